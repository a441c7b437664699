# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# Invariant of this file: bytes of a packet come from a cursor; `Query` points into the packet and nowhere else.
"""The compiled parser of queries: `gslb.wire.query.parse`, or a miss where a message is unusual.

Missed: compressed owners, a question for a cookie alone, IXFR's SOA, TSIG.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from gslb.answer._fast cimport codes
from gslb.answer._fast.crc cimport crc32
from gslb.answer._fast.cursor cimport Cursor, left, over, take, u8, u16
from gslb.answer._fast.numbers cimport big_endian

cdef enum Walk:
    GOOD
    MALFORMED
    UNUSUAL

cdef struct Sections:
    const uint8_t *opt  # the fixed part of the OPT record that was found first, NULL: none
    const uint8_t *opt_data
    uint16_t opt_size


cdef Verdict parse(const uint8_t *packet, size_t size, Query *query) noexcept nogil:
    """What a packet asks. Invariant: the order of checks is that of the reference, so the same fault decides."""
    cdef Cursor cursor
    cdef uint16_t qdcount, ancount, nscount, arcount
    cdef Sections found
    cdef Walk walked
    if size < 12:
        return DROPPED  # also nothing at all, which may have no address to begin at
    cursor = over(packet, size)
    query.id = u16(&cursor)
    query.flags = u16(&cursor)
    qdcount, ancount = u16(&cursor), u16(&cursor)
    nscount, arcount = u16(&cursor), u16(&cursor)
    if query.flags & codes.QR:
        return DROPPED
    if query.flags & codes.OPCODE:
        return _refusal(packet, size, codes.NOTIMP, query)
    if qdcount == 0:
        return MISSED
    if qdcount > 1 or _question(&cursor, query) != GOOD or ancount:
        return _refusal(packet, size, codes.FORMERR, query)
    if nscount:
        return _refusal(packet, size, codes.FORMERR, query) if nscount > 1 or query.qtype != codes.IXFR else MISSED
    walked = _additional(&cursor, arcount, &found)
    if walked == UNUSUAL:
        return MISSED
    query.opt = found.opt != NULL
    query.dnssec_ok = False
    query.limit = codes.UDP_MIN
    query.nsid = False
    query.cookie_size = query.ecs_size = 0
    if walked != GOOD or (query.opt and _options(found.opt_data, found.opt_size, query) != GOOD):
        return _refusal(packet, size, codes.FORMERR, query)
    if query.opt:
        if found.opt[5]:
            return _refusal(packet, size, codes.BADVERS, query)
        query.dnssec_ok = found.opt[6] & 0x80 != 0
        query.limit = max(<uint16_t>codes.UDP_MIN, min(<uint16_t>(found.opt[2] << 8 | found.opt[3]), <uint16_t>codes.UDP_MAX))
        if query.cookie != NULL and query.cookie_size != 8 and not 16 <= query.cookie_size <= 40:
            return _refusal(packet, size, codes.FORMERR, query)
        if query.ecs_size and _subnet(query) != GOOD:
            return _refusal(packet, size, codes.FORMERR, query)
    query.name_crc = crc32(query.name, query.name_size)
    return ASKED


cdef Walk _question(Cursor *cursor, Query *query) noexcept nogil:
    """Read name, type and class. Invariant: `name` is filled only with names of at most 255 bytes."""
    cdef const uint8_t *start = cursor.at
    cdef size_t size, at
    cdef uint8_t octet
    if _labels(cursor) != GOOD:
        return MALFORMED
    size = <size_t>(cursor.at - start)
    query.qtype = u16(cursor)
    query.qclass = u16(cursor)
    if cursor.bad:
        return MALFORMED
    for at in range(size):
        octet = start[at]
        query.name[at] = octet + (<uint8_t>32 if 65 <= octet <= 90 else <uint8_t>0)
    query.name_size = <uint8_t>size
    query.question_size = <uint16_t>(size + 4)
    return GOOD


cdef Walk _labels(Cursor *cursor) noexcept nogil:
    """Go behind an uncompressed name. Invariant: GOOD means at most 255 bytes, all in the packet."""
    cdef const uint8_t *start = cursor.at
    cdef uint8_t size = u8(cursor)
    while size:
        if size > 63:
            return UNUSUAL if size >= 192 else MALFORMED
        if take(cursor, size) == NULL:
            return MALFORMED
        size = u8(cursor)
    if cursor.bad or cursor.at - start > 255:
        return MALFORMED
    return GOOD


cdef Walk _additional(Cursor *cursor, uint16_t count, Sections *found) noexcept nogil:
    """Walk ``count`` records to the packet's end. Invariant: GOOD vouches that the OPT's data lie in the packet."""
    cdef const uint8_t *fixed
    cdef const uint8_t *data
    cdef uint16_t rtype, size, number
    cdef bint is_root
    cdef Walk walked
    found.opt = NULL
    for number in range(count):
        is_root = left(cursor) > 0 and cursor.at[0] == 0
        walked = _labels(cursor)
        if walked != GOOD:
            return walked
        fixed = take(cursor, 10)
        if fixed == NULL:
            return MALFORMED
        rtype = <uint16_t>(fixed[0] << 8 | fixed[1])
        size = <uint16_t>(fixed[8] << 8 | fixed[9])
        if rtype == codes.TSIG:
            return UNUSUAL
        data = take(cursor, size)
        if data == NULL:
            return MALFORMED
        if rtype == codes.OPT:
            if found.opt != NULL or not is_root:
                return MALFORMED
            found.opt = fixed
            found.opt_data = data
            found.opt_size = size
    return GOOD if left(cursor) == 0 else MALFORMED


cdef Walk _options(const uint8_t *data, uint16_t size, Query *query) noexcept nogil:
    """Read the options. Invariant: the first COOKIE and the first ECS count; the syntax of all is checked."""
    cdef Cursor cursor = over(data, size)
    cdef const uint8_t *option
    cdef const uint8_t *inside
    cdef uint16_t code, length
    query.cookie = query.ecs = NULL
    while left(&cursor):
        option = cursor.at
        code = u16(&cursor)
        length = u16(&cursor)
        inside = take(&cursor, length)
        if cursor.bad:
            return MALFORMED
        if code == codes.OPTION_ECS and query.ecs == NULL:
            query.ecs = option
            query.ecs_size = length + <uint16_t>4
            if length > 65531:
                return MALFORMED
        elif code == codes.OPTION_COOKIE and query.cookie == NULL:
            query.cookie = inside
            query.cookie_size = length
        elif code == codes.OPTION_NSID:
            query.nsid = True
    return GOOD


cdef Walk _subnet(Query *query) noexcept nogil:
    """Check and take over the client subnet (RFC 7871 section 6). Invariant: at most 16 bytes are copied."""
    cdef uint8_t kept, source
    cdef uint16_t family
    cdef size_t sent
    if query.ecs_size < 8:
        return MALFORMED
    family = <uint16_t>(query.ecs[4] << 8 | query.ecs[5])
    source = query.ecs[6]
    sent = query.ecs_size - 8
    if query.ecs[7] or sent != <size_t>((source + 7) >> 3):
        return MALFORMED
    if not ((family == codes.FAMILY_V4 and source <= 32) or (family == codes.FAMILY_V6 and source <= 128)
            or (family == codes.FAMILY_NONE and source == 0)):
        return MALFORMED
    kept = source & 7
    if kept and query.ecs[7 + sent] & (0xFF >> kept):
        return MALFORMED
    memset(query.address, 0, 16)
    memcpy(query.address, query.ecs + 8, sent)
    query.address4 = <uint32_t>big_endian(query.address, 4)
    query.ecs_family = <uint8_t>family
    query.ecs_source = source
    return GOOD


cdef Verdict _refusal(const uint8_t *packet, size_t size, uint16_t rcode, Query *query) noexcept nogil:
    """What can be read of a packet that is refused. Invariant: only id, flags and the fields above the line are set."""
    cdef Cursor cursor = over(packet, size)
    cdef const uint8_t *fixed
    cdef size_t counts[4]
    cdef size_t number
    cdef Walk walked
    query.rcode = rcode
    query.question_size = 0
    query.opt = query.dnssec_ok = False
    take(&cursor, 4)
    for number in range(4):
        counts[number] = u16(&cursor)
    for number in range(counts[0]):
        if _labels(&cursor) != GOOD or take(&cursor, 4) == NULL:
            return REFUSAL
    if counts[0] == 1:
        query.question_size = <uint16_t>(cursor.at - packet - 12)
    for number in range(counts[1] + counts[2] + counts[3]):
        walked = _labels(&cursor)
        if walked == UNUSUAL:
            return MISSED
        fixed = take(&cursor, 10)
        if walked != GOOD or fixed == NULL:
            return REFUSAL
        if fixed[0] << 8 | fixed[1] == codes.OPT:
            query.opt = True
            query.dnssec_ok = fixed[6] & 0x80 != 0
            return REFUSAL
        if take(&cursor, <size_t>(fixed[8] << 8 | fixed[9])) == NULL:
            return REFUSAL
    return REFUSAL


def parsed(packet):
    """What `parse` makes of a packet, for tests: None, "MISS", or a tuple (rcode, id, flags, question, opt, do) of a
    refusal, or (id, flags, name, qtype, qclass, question, opt, limit, do, cookie, nsid, ecs) of a query.
    """
    cdef const unsigned char[::1] view = packet
    cdef Query query
    cdef const uint8_t *data = &view[0] if len(view) else NULL
    cdef Verdict verdict = parse(data, len(view), &query)
    if verdict == DROPPED:
        return None
    if verdict == MISSED:
        return "MISS"
    question = bytes(packet)[12 : 12 + query.question_size]
    if verdict == REFUSAL:
        return query.rcode, query.id, query.flags, question, query.opt, query.dnssec_ok
    cookie = query.cookie[: query.cookie_size] if query.cookie_size else b""
    ecs = query.ecs[: query.ecs_size] if query.ecs_size else b""
    return (query.id, query.flags, query.name[: query.name_size], query.qtype, query.qclass, question, query.opt,
            query.limit, query.dnssec_ok, cookie, query.nsid, ecs)
