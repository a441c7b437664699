# cython: language_level=3
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from gslb.answer._fast.clients cimport Client
from gslb.answer._fast.query cimport Asked
from gslb.answer._fast.tables cimport Bytes, Tables

cdef enum Outcome:
    OUT_SERVICE
    OUT_STATIC
    OUT_NODATA
    OUT_NXDOMAIN
    OUT_REFUSED
    OUT_FORMERR
    OUT_NOTIMP
    OUT_BADVERS
    OUT_FALLBACK
    OUT_NO_EDGE
    OUTCOMES

cdef enum Missed:
    MISS_UNUSUAL
    MISS_CLASS_CH
    MISS_REFERRAL
    MISS_EMBEDDED
    MISSES

cdef enum:
    MISS_SIZE = -1

cdef struct Trace:
    uint16_t qtype
    uint16_t rcode
    Outcome outcome
    Missed missed  # why, where it is a miss; the rest means nothing then
    uint32_t qname  # CRC-32 of the lower-case name that was asked
    uint32_t service  # the next ones mean something where it is a row
    uint32_t edge
    uint32_t ttl_s
    uint8_t level
    bint fail_open
    bint cookie_ok
    Client client

cdef struct Section:
    const void *at
    size_t rows

cdef class Snapshot:
    cdef Tables tables
    cdef readonly object catalog
    cdef object index4
    cdef uint32_t shift
    cdef object hashes
    cdef list _kept
    cdef const uint8_t *_at(self, array) except? NULL
    cdef void _bytes(self, Bytes *to, data) except *
    cdef void _bind(self, Section *sections, arrays, wanted) except *

cdef Py_ssize_t reply(const Tables *tables, const Asked *asked, uint32_t now_s, uint64_t draw, uint8_t *out,
                      Trace *trace) noexcept nogil
cdef Py_ssize_t slip(const Tables *tables, const Asked *asked, uint16_t rcode, uint8_t *out) noexcept nogil
