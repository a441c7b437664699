# cython: language_level=3
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from gslb.answer._fast.query cimport Asked
from gslb.answer._fast.reply cimport Snapshot, Trace
from gslb.answer._fast.tables cimport Tables
from gslb.server._limit cimport CompiledLimiter, Limits

cdef enum:
    QTYPES = 258  # qtypes below have a cell of their own, or share that of the others
    RCODES = 32
    KINDS = 16  # of outcomes, at least
    REASONS = 8  # of misses, at least

cdef packed struct Record:  # as `gslb.server.ring.RECORD`
    uint64_t number
    uint64_t time_us
    uint64_t client
    uint64_t resolver
    uint32_t service
    uint32_t cls
    uint32_t ttl_s
    uint32_t catalog
    uint32_t qname
    uint16_t qtype
    uint16_t edge
    uint8_t rcode
    uint8_t level
    uint8_t scope
    uint8_t client_length
    uint8_t families
    uint8_t transport
    uint16_t steering

cdef struct Ring:
    uint64_t *written
    Record *records
    uint64_t mask
    uint64_t sample  # hashes up to here are logged; 0: nothing is

cdef struct Cells:
    uint64_t *at  # the block of this thread
    uint16_t queries[2]  # where each table begins, by family
    uint16_t replies
    uint16_t dropped
    uint16_t edges
    uint16_t fail_open
    uint16_t cookies_valid
    uint16_t limited[3]
    uint16_t fast
    uint16_t missed[REASONS]
    uint16_t overflow
    uint16_t receive_errors
    uint16_t send_errors
    uint16_t outcome[KINDS]
    uint8_t qtype[QTYPES]
    uint8_t rcode[RCODES]

cdef struct Moment:
    uint32_t now_s
    uint64_t time_us  # Unix time
    uint64_t steady_us

cdef struct Serving:
    const Tables *tables
    const uint16_t *edge_slots
    Limits *limits  # NULL: no limit
    uint32_t catalog
    uint16_t steering

cdef class Served:
    cdef Serving serving
    cdef Snapshot snapshot
    cdef CompiledLimiter limiter
    cdef object edge_slots

cdef class Meters:
    cdef Cells cells
    cdef Ring ring
    cdef object _memory

cdef Py_ssize_t metered(Cells *cells, const Ring *ring, const Serving *serving, const Moment *moment, const Asked *asked,
                        uint64_t draw, uint8_t *out, Trace *trace) noexcept nogil
