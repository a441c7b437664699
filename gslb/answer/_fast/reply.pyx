# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# Invariant of this file: the law. What `reply` does not miss is `gslb.answer.engine.Engine.reply` over UDP, byte for byte.
"""The compiled path put together: from a packet to a reply, by the steps of `gslb.answer.engine`."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

import numpy as np

from gslb.answer import declared, fast
from gslb.errors import GslbError
from gslb.snapshot import layout as snapshot_layout
from gslb.wire import codes as wire_codes
from gslb.wire import edns, message

from gslb.answer._fast cimport codes, layout
from gslb.answer._fast.clients cimport locate
from gslb.answer._fast.crc cimport crc32
from gslb.answer._fast.draw cimport pick
from gslb.answer._fast.layout cimport STEERING_WIDTH, EdgeRow, NameRow, PolicyRow, RrsetRow, ServiceRow, ZoneRow
from gslb.answer._fast.names cimport ABSENT, CUT, OUTSIDE, Found, find_name, rrset_of
from gslb.answer._fast.query cimport ASKED, DROPPED, MISSED, REFUSAL, Asked, Query, parse
from gslb.answer._fast.tables cimport Bytes
from gslb.answer._fast.write cimport FIXED4, FIXED6, NSID_MOST, OUT_SIZE, Message, addresses, begin, finish, put, refuse

OUTCOME_NAMES = (
    "service", "static", "nodata", "nxdomain", "refused", "formerr", "notimp", "badvers", "fallback", "no_edge",
)
"""What `Trace.outcome` counts, as `gslb.answer.engine.Trace` calls it."""
assert len(OUTCOME_NAMES) == OUTCOMES
MISS_NAMES = ("unusual", "class_ch", "referral", "embedded_ipv6")
"""What `Trace.missed` says: a message or a chain of CNAMEs of unusual form, class CH, below a zone cut, an IPv6 address
that may carry an IPv4 one."""
assert len(MISS_NAMES) == MISSES


cdef struct Answer:
    uint16_t rcode
    bint authoritative
    uint8_t scope
    const Bytes *extended  # an extended error, or NULL


cdef Py_ssize_t reply(const Tables *tables, const Asked *asked, uint32_t now_s, uint64_t draw, uint8_t *out,
                      Trace *trace) noexcept nogil:
    """Answer a packet that was parsed: bytes written to ``out`` (OUT_SIZE of them), 0: no reply, MISS_SIZE: the engine.

    Invariant: ``trace`` is whole unless it is a miss.
    """
    cdef const Query *query = &asked.query
    cdef Message message
    cdef Answer answer
    trace.qtype = 0
    trace.qname = 0
    trace.service = layout.NONE32
    trace.edge = layout.NONE32
    trace.fail_open = trace.cookie_ok = False
    if asked.verdict == DROPPED:
        return 0
    trace.missed = MISS_UNUSUAL
    if asked.verdict == MISSED:
        return MISS_SIZE
    begin(&message, out, asked.packet, query)
    if asked.verdict == REFUSAL:
        trace.rcode = query.rcode
        trace.outcome = OUT_FORMERR
        if query.rcode == codes.NOTIMP:
            trace.outcome = OUT_NOTIMP
        elif query.rcode == codes.BADVERS:
            trace.outcome = OUT_BADVERS
        return <Py_ssize_t>refuse(&message, tables, query)
    trace.qtype = query.qtype
    trace.qname = query.name_crc
    answer.rcode = codes.NOERROR
    answer.authoritative = True
    answer.scope = 0
    answer.extended = NULL
    if query.qclass == codes.CLASS_CH:
        trace.missed = MISS_CLASS_CH
        return MISS_SIZE
    if query.qtype == codes.AXFR or query.qtype == codes.IXFR or query.qclass != codes.CLASS_IN:
        _refused(&answer, trace)
    elif not _answer(tables, query, asked.source, asked.source_size, draw, &message, &answer, trace):
        return MISS_SIZE
    trace.rcode = answer.rcode
    return <Py_ssize_t>finish(
        &message, tables, query, asked.source, asked.source_size, now_s, answer.rcode, answer.authoritative, answer.scope,
        NULL if answer.extended == NULL else answer.extended.at,
        0 if answer.extended == NULL else answer.extended.size, &trace.cookie_ok,
    )


cdef Py_ssize_t slip(const Tables *tables, const Asked *asked, uint16_t rcode, uint8_t *out) noexcept nogil:
    """An error as an empty answer with TC set, to send a client of good faith to TCP; 0 where that cannot help."""
    cdef Query query
    cdef Message message
    cdef bint unused = False
    if asked.verdict != ASKED:
        return 0
    query = asked.query
    query.limit = query.cookie_size = 0
    query.nsid = False
    begin(&message, out, asked.packet, &query)
    return <Py_ssize_t>finish(&message, tables, &query, NULL, 0, 0, rcode, False, 0, NULL, 0, &unused)


cdef void _refused(Answer *answer, Trace *trace) noexcept nogil:
    answer.rcode = codes.REFUSED
    answer.authoritative = False
    trace.outcome = OUT_REFUSED


cdef bint _answer(const Tables *tables, const Query *query, const uint8_t *source, size_t source_size, uint64_t draw,
                  Message *message, Answer *answer, Trace *trace) noexcept nogil:
    """Follow the name, and the CNAMEs it leads to; False: a miss. Invariant: at most MAX_LINKS are followed."""
    cdef uint8_t target[256]
    cdef const uint8_t *name = query.name
    cdef size_t name_size = query.name_size
    cdef size_t owner = codes.QNAME_AT
    cdef size_t at
    cdef const NameRow *entry
    cdef const RrsetRow *rrset
    cdef uint32_t row = 0
    cdef uint32_t crc = query.name_crc
    cdef int link
    cdef bint alias
    cdef Found found
    for link in range(codes.MAX_LINKS + 1):
        found = find_name(tables, name, name_size, crc, query.qtype, &row)
        if found == OUTSIDE:
            if link == 0:
                answer.extended = &tables.not_authoritative
                _refused(answer, trace)
            return True
        if found == CUT:
            trace.missed = MISS_REFERRAL
            return link > 0
        entry = &tables.catalog.name[row]
        if found == ABSENT:
            answer.rcode = codes.NXDOMAIN
            trace.outcome = OUT_NXDOMAIN
            _authority(tables, entry, owner, name_size, False, message)
            return True
        if entry.service != layout.NONE32 and (query.qtype == codes.A or query.qtype == codes.AAAA):
            return _serve(tables, query, name, name_size, owner, entry, source, source_size, draw, message, answer, trace)
        if query.qtype == codes.ANY and (entry.rrset_count or entry.service != layout.NONE32):
            put(message, tables.any_answer.at, tables.any_answer.size, owner)
            message.answers += 1
            trace.outcome = OUT_STATIC
            return True
        rrset = rrset_of(tables, row, query.qtype)
        alias = rrset == NULL and entry.flags & layout.NAME_CNAME
        if alias:
            rrset = rrset_of(tables, row, codes.CNAME)
        if rrset == NULL:
            trace.outcome = OUT_NODATA
            _authority(tables, entry, owner, name_size, False, message)
            return True
        trace.outcome = OUT_STATIC
        if alias and link == codes.MAX_LINKS:
            return True
        at = message.at
        put(message, tables.catalog.blob + rrset.blob, rrset.length, owner)
        message.answers += rrset.records
        if not alias:
            return True
        if message.cut:
            return False
        name_size = rrset.length - codes.RDATA_AT
        memcpy(target, tables.catalog.blob + rrset.blob + codes.RDATA_AT, name_size)
        for owner in range(name_size):
            if 65 <= target[owner] <= 90:
                target[owner] += 32
        name = target
        crc = crc32(target, name_size)
        owner = at + codes.RDATA_AT
    return True


cdef bint _serve(const Tables *tables, const Query *query, const uint8_t *name, size_t name_size, size_t owner,
                 const NameRow *entry, const uint8_t *source, size_t source_size, uint64_t draw, Message *message,
                 Answer *answer, Trace *trace) noexcept nogil:
    """A steered answer, else the fallback, else NODATA that heals soon; False: a miss."""
    cdef const ServiceRow *service = &tables.catalog.service[entry.service]
    cdef const EdgeRow *edge
    cdef bint is_v6 = query.qtype == codes.AAAA
    cdef uint8_t chosen[STEERING_WIDTH]
    cdef uint32_t held[2 * STEERING_WIDTH]
    cdef size_t first, row, count, at, places
    cdef uint8_t flags
    if not locate(tables, service, name, name_size, query, source, source_size, draw, &trace.client):
        trace.missed = MISS_EMBEDDED
        return False
    answer.scope = trace.client.scope
    first = tables.catalog.policy[service.policy].row
    if tables.steering.service_row_rows:
        first = tables.steering.service_row[entry.service]
    row = 2 * (first + trace.client.cls) + is_v6
    count = tables.steering.count[row]
    flags = tables.steering.flags[row]
    trace.service = entry.service
    trace.ttl_s = service.changing_ttl_s
    trace.level = 0
    if count:
        if not flags & (layout.ROW_CHANGING | layout.ROW_FAIL_OPEN):
            trace.ttl_s = service.ttl_s
        if flags & layout.ROW_FAIL_OPEN:
            trace.fail_open = True
            answer.extended = &tables.failing_open
        places = 1
        chosen[0] = 0
        if count > 1:
            places = pick(tables, service, row, trace.client.seed, name, name_size, chosen)
        for at in range(places):
            edge = &tables.catalog.edge[tables.steering.edge[row * STEERING_WIDTH + chosen[at]]]
            held[2 * at] = edge.rr6 if is_v6 else edge.rr4
            held[2 * at + 1] = edge.rr6_count if is_v6 else edge.rr4_count
        trace.edge = tables.steering.edge[row * STEERING_WIDTH + chosen[0]]
        trace.level = tables.steering.level[row * STEERING_WIDTH + chosen[0]]
        trace.outcome = OUT_SERVICE
    else:
        places = 1
        held[0] = service.fallback6 if is_v6 else service.fallback4
        held[1] = service.fallback6_count if is_v6 else service.fallback4_count
        trace.outcome = OUT_FALLBACK
    count = addresses(message, tables.catalog.blob, held, places, service.max_records, FIXED6 if is_v6 else FIXED4, owner,
                      trace.ttl_s)
    message.answers += <uint16_t>count
    if count == 0:
        trace.outcome = OUT_NO_EDGE
        _authority(tables, entry, owner, name_size, True, message)
    return True


cdef void _authority(const Tables *tables, const NameRow *entry, size_t owner, size_t name_size, bint brief,
                     Message *message) noexcept nogil:
    """The zone's SOA; its owner is the end of the name at ``owner``. Invariant: the apex is no longer than the name."""
    cdef const ZoneRow *zone = &tables.catalog.zone[entry.zone]
    cdef size_t apex_size = tables.catalog.name[zone.apex].length
    put(message, tables.catalog.blob + (zone.brief if brief else zone.negative), zone.negative_length,
        owner + name_size - apex_size)
    message.authorities += 1


cdef class Snapshot:
    """A catalog and a steering as the compiled path reads them, for one server identity.

    Holds what it was made from; nothing in it changes. Raises `GslbError` where the layout is not the compiled one or
    the two do not fit each other.
    """

    def __cinit__(self, catalog, steering, identity, Snapshot former=None):
        """``former`` lends what it made of the catalog, where that is the same."""
        if not fits():
            raise GslbError("the compiled answering path is made for another layout of snapshots; install gslb anew")
        self._kept = []
        self.catalog = catalog
        self._bind(<Section *>&self.tables.catalog, catalog.arrays, snapshot_layout.CATALOG_SECTIONS)
        self._bind(<Section *>&self.tables.steering, steering.arrays, snapshot_layout.STEERING_SECTIONS)
        fast.check_pair(catalog, steering)
        self.tables.slot_mask = <uint32_t>(self.tables.catalog.name_slot_rows - 1)
        self.tables.deepest = catalog.deepest
        same = former is not None and former.catalog is catalog
        self.index4, self.shift = (former.index4, former.shift) if same else fast.index4(catalog.arrays)
        self.tables.index4_shift = self.shift
        self.hashes = former.hashes if same else np.ascontiguousarray(catalog.arrays["edge"]["hash"])
        self.tables.index4 = <const uint32_t *>self._at(self.index4)
        self.tables.edge_hash = <const uint64_t *>self._at(self.hashes)
        self._bytes(&self.tables.nsid, edns.nsid_option(identity.server_id))
        self._bytes(&self.tables.opt, edns.opt(False, 0, b""))
        self._bytes(&self.tables.failing_open, edns.ede_option(wire_codes.EDE_OTHER, "failing open"))
        self._bytes(&self.tables.not_authoritative, edns.ede_option(wire_codes.EDE_NOT_AUTHORITATIVE))
        self._bytes(&self.tables.any_answer, message.ANY_ANSWER[1])
        if self.tables.nsid.size > NSID_MOST:
            raise GslbError(f"a server id has {NSID_MOST - 4} bytes at most")
        secrets = np.frombuffer(b"".join(identity.cookie_secrets), dtype=np.uint64).copy()
        self.tables.secret = <const uint64_t *>self._at(secrets)
        self.tables.secrets = <size_t>len(secrets) // 2

    cdef const uint8_t *_at(self, array) except? NULL:
        """Where an array lies, for as long as this lives; NULL for an empty one."""
        cdef const unsigned char[::1] view
        if not len(array):
            return NULL
        view = array.view(np.uint8)
        self._kept.append(view)
        return &view[0]

    cdef void _bytes(self, Bytes *to, data) except *:
        to.at = self._at(np.frombuffer(data, dtype=np.uint8))
        to.size = len(data)

    cdef void _bind(self, Section *sections, arrays, wanted) except *:
        """Point the sections, in the layout's order, at the arrays of a snapshot."""
        for number, (name, dtype) in enumerate(wanted.items()):
            array = arrays[name]
            if array.dtype != dtype or not array.flags.c_contiguous:
                raise GslbError(f"snapshot: section {name!r} is not of this layout")
            sections[<size_t>number].rows = len(array)
            sections[<size_t>number].at = self._at(array)

    def answer(self, packet, source, now_s, draw):
        """The reply to ``packet`` from the packed address ``source``, None for none, or `fast.MISS`."""
        cdef const unsigned char[::1] data = packet
        cdef const unsigned char[::1] address = source
        cdef uint8_t out[OUT_SIZE]
        cdef Trace trace
        cdef Asked asked
        cdef Py_ssize_t size
        asked.packet, asked.size = &data[0] if len(data) else NULL, len(data)
        asked.source, asked.source_size = &address[0], len(address)
        asked.verdict = parse(asked.packet, asked.size, &asked.query)
        size = reply(&self.tables, &asked, <uint32_t>(now_s & 0xFFFFFFFF), draw, out, &trace)
        if size == MISS_SIZE:
            return fast.MISS
        return None if size == 0 else out[:size]


def fits():
    """Whether this was compiled for the layout that Python has now."""
    return snapshot_layout.VERSION == layout.VERSION and declared.digest() == layout.DIGEST
