# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# Invariant of this file: a thread writes only its own block of cells and its own ring, and nothing of it waits.
"""An answer with all that goes with it: rate limit, counters and query log, as `gslb.server.respond` has them."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from gslb.answer._fast.reply import MISS_NAMES, OUTCOME_NAMES
from gslb.server import cells as layout
from gslb.server import ring as rings

from gslb.answer._fast cimport layout as rows
from gslb.answer._fast.draw cimport mix64
from gslb.answer._fast.numbers cimport big_endian
from gslb.answer._fast.reply cimport MISS_SIZE, Trace, reply, slip
from gslb.server._limit cimport PASS, POSITIVE, SLIP, CompiledLimiter, client_of, decide

cdef extern from *:
    """
    #define GSLB_PUBLISH(at, value) __atomic_store_n((at), (value), __ATOMIC_RELEASE)
    #define GSLB_TEAR(at) (__atomic_store_n((at), 0, __ATOMIC_RELAXED), __atomic_thread_fence(__ATOMIC_RELEASE))
    """
    void publish "GSLB_PUBLISH"(uint64_t *at, uint64_t value) noexcept nogil  # after all that was written before
    void tear "GSLB_TEAR"(uint64_t *at) noexcept nogil  # 0, before all that is written after

cdef enum:
    ALL = 0xFFFFFFFFFFFFFFFFu  # every hash is as small

cdef uint64_t RESOLVER = rings.RESOLVER  # factors of the sample's hash
cdef uint64_t CLIENT = rings.CLIENT

assert rings.RECORD.itemsize == sizeof(Record)
assert len(OUTCOME_NAMES) <= KINDS
assert len(MISS_NAMES) <= REASONS


cdef Py_ssize_t metered(Cells *cells, const Ring *ring, const Serving *serving, const Moment *moment, const Asked *asked,
                        uint64_t draw, uint8_t *out, Trace *trace) noexcept nogil:
    """Answer a packet that was parsed as `reply` does, limited, counted and logged.

    Invariant: every packet that is no miss counts once as a query and once as a reply or as dropped; that the compiled
    path dealt with it is counted by the caller, for a batch at once.
    """
    cdef uint64_t *at = cells.at
    cdef Py_ssize_t found = reply(serving.tables, asked, moment.now_s, draw, out, trace)
    if found == MISS_SIZE:
        at[cells.missed[<int>trace.missed]] += 1
        return MISS_SIZE
    at[cells.queries[asked.source_size == 16] + cells.qtype[trace.qtype if trace.qtype < QTYPES else 0]] += 1
    # Positive answers are only counted, and where the rate is high every so many stand for all.
    if found and serving.limits != NULL and (trace.rcode or draw & serving.limits.sparing == 0):
        found = _limited(cells, serving, moment, asked, trace, found, out)
    if found == 0:
        at[cells.dropped] += 1
        return 0
    at[cells.replies + cells.rcode[trace.rcode]] += 1
    at[cells.outcome[<int>trace.outcome]] += 1
    if trace.edge != rows.NONE32:
        at[cells.edges + serving.edge_slots[trace.edge]] += 1
    if trace.fail_open:
        at[cells.fail_open] += 1
    if trace.cookie_ok:
        at[cells.cookies_valid] += 1
    if ring.sample:
        _log(ring, serving, moment, asked, trace)
    return found


cdef Py_ssize_t _limited(Cells *cells, const Serving *serving, const Moment *moment, const Asked *asked,
                         const Trace *trace, Py_ssize_t found, uint8_t *out) noexcept nogil:
    """Hold a reply to the rate: its size, that of a short one, or 0; a positive answer stays what it is."""
    cdef Limits *limits = serving.limits
    cdef uint64_t client
    if trace.cookie_ok:
        return found
    client = client_of(limits, asked.source, asked.source_size)
    if trace.rcode == 0:
        if decide(limits, client, POSITIVE, limits.sparing + 1, moment.steady_us) != PASS:
            cells.at[cells.limited[2]] += limits.sparing + 1
        return found
    decision = decide(limits, client, trace.rcode, 1, moment.steady_us)
    if decision == PASS:
        return found
    if decision == SLIP:
        found = slip(serving.tables, asked, trace.rcode, out)
        if found:
            cells.at[cells.limited[1]] += 1
            return found
    cells.at[cells.limited[0]] += 1
    return 0


cdef void _log(const Ring *ring, const Serving *serving, const Moment *moment, const Asked *asked,
               const Trace *trace) noexcept nogil:
    """Write a record if the question is sampled. Invariant: `number` is 0 while the rest is torn."""
    cdef Record *record
    cdef uint64_t number
    cdef uint64_t resolver = big_endian(asked.source, 4 if asked.source_size == 4 else 8)
    cdef bint steered = trace.service != rows.NONE32
    if ring.sample != ALL and mix64(_asked_by(resolver, steered, trace)) > ring.sample:
        return
    number = ring.written[0] + 1
    record = &ring.records[(number - 1) & ring.mask]
    tear(&record.number)
    record.time_us = moment.time_us
    record.resolver = resolver
    record.catalog = serving.catalog
    record.steering = serving.steering
    record.qname = trace.qname
    record.qtype = trace.qtype
    record.edge = 0xFFFF if trace.edge == rows.NONE32 else <uint16_t>trace.edge
    record.rcode = <uint8_t>trace.rcode
    record.service = trace.service
    record.families = 2 if asked.source_size == 16 else 0
    if steered:
        record.client = trace.client.address
        record.cls = trace.client.cls
        record.ttl_s = trace.ttl_s
        record.level = trace.level
        record.scope = trace.client.scope
        record.client_length = trace.client.length
        record.families |= (1 if trace.client.family == 6 else 0) | (0 if trace.client.public else 4)
    publish(&record.number, number)
    publish(ring.written, number)


cdef inline uint64_t _asked_by(uint64_t resolver, bint steered, const Trace *trace) noexcept nogil:
    """What the sample's hash is of: resolver, client prefix cut to the scope, and name."""
    cdef uint64_t client = 0
    cdef int width
    if steered and trace.client.public:
        width = 32 if trace.client.family == 4 else 64
        client = trace.client.address >> (width - min(<int>trace.client.scope, width)) if trace.client.scope else 0
    return resolver * RESOLVER ^ client * CLIENT ^ trace.qname


cdef class Served:
    """What threads answer from: a snapshot, the cells of its edges, a limiter or None, and its numbers in the log."""

    def __cinit__(self, Snapshot snapshot not None, bytes edge_slots not None, CompiledLimiter limiter, uint32_t catalog,
                  uint16_t steering):
        self.snapshot = snapshot
        self.edge_slots = edge_slots
        self.limiter = limiter
        self.serving.tables = &snapshot.tables
        self.serving.edge_slots = <const uint16_t *><const uint8_t *>edge_slots
        self.serving.limits = NULL if limiter is None else &limiter.limits
        self.serving.catalog = catalog
        self.serving.steering = steering


cdef class Meters:
    """Where one thread counts and logs: block ``number`` of a worker's cells, and a ring or None."""

    def __cinit__(self, counters, int number, ring):
        cdef uint64_t[::1] cells = counters
        cdef uint8_t[::1] log
        cdef size_t at
        self._memory = (counters, ring)
        self.cells.at = &cells[number * layout.CELLS]
        self.cells.queries[0] = layout.queries_at(0, 0)
        self.cells.queries[1] = layout.queries_at(0, 1)
        self.cells.replies = layout.replies_at(0)
        self.cells.dropped = layout.replies_at(0) + layout.RCODE_DROPPED
        self.cells.edges = layout.EDGES
        self.cells.limited = [layout.LIMIT + layout.LIMITED.index(each) for each in ("dropped", "slipped", "counted")]
        self.cells.fail_open = layout.SCALAR["fail_open"]
        self.cells.cookies_valid = layout.SCALAR["cookies_valid"]
        self.cells.receive_errors = layout.SCALAR["receive_errors"]
        self.cells.send_errors = layout.SCALAR["send_errors"]
        self.cells.fast = layout.SCALAR["fast"]
        self.cells.overflow = layout.SCALAR["missed_dropped"]
        for at in range(QTYPES):
            self.cells.qtype[at] = layout.QTYPE_AT.get(at, layout.QTYPE_OTHER)
        for at in range(RCODES):
            self.cells.rcode[at] = layout.RCODE_AT.get(at, layout.RCODE_OTHER)
        for at in range(len(OUTCOME_NAMES)):
            name = OUTCOME_NAMES[<Py_ssize_t>at]
            self.cells.outcome[at] = layout.OUTCOME + layout.OUTCOME_AT[name]
        for at in range(len(MISS_NAMES)):
            name = MISS_NAMES[<Py_ssize_t>at]
            self.cells.missed[at] = layout.MISS + layout.MISSED.index(name)
        self.ring.sample = 0
        if ring is not None:
            log = ring
            _, _, _, slots, _, sample = rings.HEADER.unpack_from(ring)
            self.ring.written = <uint64_t *>&log[rings.WRITTEN_AT]
            self.ring.records = <Record *>&log[rings.HEADER.size]
            self.ring.mask = slots - 1
            self.ring.sample = rings.most(sample)
