# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# Invariant of this file: `out` has OUT_SIZE bytes; records end below RECORDS_END, and behind them there is room for OPT
# with every option, the longest of which `NSID_MOST` bounds.
"""The compiled writer: `gslb.wire.message` and `gslb.wire.edns` from bytes that Python encoded."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from gslb.answer._fast cimport codes
from gslb.answer._fast.draw cimport siphash
from gslb.answer._fast.tables cimport Bytes


cdef inline void _u16(uint8_t *out, uint32_t value) noexcept nogil:
    out[0] = <uint8_t>(value >> 8)
    out[1] = <uint8_t>value


cdef inline void _u32(uint8_t *out, uint32_t value) noexcept nogil:
    _u16(out, value >> 16)
    _u16(out + 2, value & 0xFFFF)


cdef void begin(Message *message, uint8_t *out, const uint8_t *packet, const Query *query) noexcept nogil:
    """Echo the question behind room for the header. Invariant: a question has at most 259 bytes."""
    message.out = out
    message.at = 12 + query.question_size
    message.cut = False
    message.answers = message.authorities = 0
    memcpy(out + 12, packet + 12, query.question_size)


cdef void put(Message *message, const uint8_t *run, size_t size, size_t owner) noexcept nogil:
    """Append stored records that are owned by the name at ``owner``. Invariant: a run is whole records."""
    cdef uint8_t *out = message.out + message.at
    cdef size_t at = 0
    if message.cut or message.at + size > RECORDS_END:
        message.cut = True
        return
    memcpy(out, run, size)
    message.at += size
    if owner == codes.QNAME_AT:
        return  # as they are stored
    while at < size:
        _u16(out + at, <uint32_t>(0xC000 + owner))
        at += codes.RDATA_AT + (<size_t>out[at + 10] << 8 | out[at + 11])


cdef void put_timed(Message *message, const uint8_t *run, size_t size, size_t owner, uint32_t ttl_s) noexcept nogil:
    """The same with another TTL."""
    cdef uint8_t *out = message.out + message.at
    cdef size_t at = 0
    put(message, run, size, owner)
    while at < size and not message.cut:
        _u32(out + at + 6, ttl_s)
        at += codes.RDATA_AT + (<size_t>out[at + 10] << 8 | out[at + 11])


cdef size_t addresses(Message *message, const uint8_t *blob, const uint32_t *held, size_t places, size_t most, size_t size,
                      size_t owner, uint32_t ttl_s) noexcept nogil:
    """Append up to ``most`` stored records of ``size`` bytes from each place, each record once; how many they are.

    ``held`` is pairs (where in the blob, how many). Invariant: what was appended before is compared where it stands.
    """
    cdef size_t place, number, other
    cdef size_t found = 0
    cdef size_t begin = message.at
    cdef const uint8_t *record
    if places == 1:
        found = min(<size_t>held[1], most)
        put_timed(message, blob + held[0], found * size, owner, ttl_s)
        return found
    for place in range(places):
        for number in range(min(<size_t>held[2 * place + 1], most)):
            record = blob + held[2 * place] + number * size
            for other in range(found):
                if memcmp(message.out + begin + other * size + codes.RDATA_AT, record + codes.RDATA_AT,
                          size - codes.RDATA_AT) == 0:
                    break
            else:
                put_timed(message, record, size, owner, ttl_s)
                if message.cut:
                    return 1
                found += 1
    return found


cdef size_t _opt(uint8_t *out, const Tables *tables, const Query *query, uint16_t rcode, size_t options) noexcept nogil:
    """The OPT record but for its ``options`` bytes. Invariant: it is what Python made, with three fields set."""
    memcpy(out, tables.opt.at, tables.opt.size)
    out[5] = <uint8_t>(rcode >> 4)
    if query.dnssec_ok:
        out[7] |= 0x80
    _u16(out + tables.opt.size - 2, <uint32_t>options)
    return tables.opt.size


cdef void _header(Message *message, const Query *query, uint16_t rcode, uint16_t more, bint empty) noexcept nogil:
    """Id, flags and counts."""
    cdef uint8_t *out = message.out
    _u16(out, query.id)
    _u16(out + 2, codes.QR | query.flags & (codes.OPCODE | codes.RD) | rcode & 15 | more)
    _u16(out + 4, 1 if query.question_size else 0)
    _u16(out + 6, 0 if empty else message.answers)
    _u16(out + 8, 0 if empty else message.authorities)
    _u16(out + 10, 1 if query.opt else 0)


cdef size_t refuse(Message *message, const Tables *tables, const Query *query) noexcept nogil:
    """The whole reply to a packet that is no query; its size."""
    _header(message, query, query.rcode, 0, True)
    if query.opt:
        message.at += _opt(message.out + message.at, tables, query, query.rcode, 0)
    return message.at


cdef size_t _append(uint8_t *out, const Bytes *bytes_) noexcept nogil:
    memcpy(out, bytes_.at, bytes_.size)
    return bytes_.size


cdef size_t finish(Message *message, const Tables *tables, const Query *query, const uint8_t *source, size_t source_size,
                   uint32_t now_s, uint16_t rcode, bint authoritative, uint8_t scope, const uint8_t *extended,
                   size_t extended_size, bint *cookie_ok) noexcept nogil:
    """Add OPT and its options, and the header; the size. What does not fit is not cut: TC is set, sections are empty."""
    cdef uint8_t *opt
    cdef size_t at, size
    cdef size_t question_end = 12 + query.question_size
    cdef uint16_t more = codes.AA if authoritative else 0
    if query.opt:
        opt = message.out + message.at
        at = tables.opt.size
        if query.ecs_size:
            memcpy(opt + at, query.ecs, query.ecs_size)
            opt[at + 7] = scope
            at += query.ecs_size
        if query.cookie_size:
            at += _cookie(opt + at, tables, query, source, source_size, now_s, cookie_ok)
        if query.nsid:
            at += _append(opt + at, &tables.nsid)
        if extended_size:
            memcpy(opt + at, extended, extended_size)
            at += extended_size
        _opt(opt, tables, query, rcode, at - tables.opt.size)
        size = at
    else:
        size = 0
    if message.cut or message.at + size > query.limit:
        more |= codes.TC
        if size and message.at != question_end:
            for at in range(size):
                message.out[question_end + at] = message.out[message.at + at]
        message.at = question_end
        _header(message, query, rcode, more, True)
    else:
        _header(message, query, rcode, more, False)
    return message.at + size


cdef size_t _cookie(uint8_t *out, const Tables *tables, const Query *query, const uint8_t *source, size_t source_size,
                    uint32_t now_s, bint *cookie_ok) noexcept nogil:
    """The COOKIE option that answers a query's (RFC 9018). Invariant: 28 bytes, whatever came."""
    cdef const uint8_t *server = query.cookie + 8
    cdef uint64_t sent, made
    cdef uint32_t age = 0
    cdef size_t number
    cdef size_t used = tables.secrets
    if query.cookie_size == 24 and server[0] == 1:
        age = now_s - (<uint32_t>server[4] << 24 | <uint32_t>server[5] << 16 | <uint32_t>server[6] << 8 | server[7])
        if age <= codes.COOKIE_MAX_AGE_S or age >= <uint32_t>(-codes.COOKIE_MAX_AHEAD_S):
            memcpy(&sent, server + 8, 8)
            for number in range(tables.secrets):
                if _digest(tables.secret + 2 * number, query.cookie, server, source, source_size) == sent:
                    used = number
                    break
    cookie_ok[0] = used < tables.secrets
    _u16(out, codes.OPTION_COOKIE)
    _u16(out + 2, 24)
    memcpy(out + 4, query.cookie, 8)
    if used == 0 and not (codes.COOKIE_RENEW_S <= age < 0x80000000u):
        memcpy(out + 12, server, 16)
        return 28
    _u32(out + 12, 0x01000000)
    _u32(out + 16, now_s)
    made = _digest(tables.secret, query.cookie, out + 12, source, source_size)
    memcpy(out + 20, &made, 8)
    return 28


cdef uint64_t _digest(const uint64_t *secret, const uint8_t *client, const uint8_t *head, const uint8_t *source,
                      size_t source_size) noexcept nogil:
    """SipHash over client cookie, head of the server's, and address. Invariant: at most 32 bytes."""
    cdef uint8_t hashed[32]
    memcpy(hashed, client, 8)
    memcpy(hashed + 8, head, 8)
    memcpy(hashed + 16, source, source_size)
    return siphash(secret, hashed, 16 + source_size)
