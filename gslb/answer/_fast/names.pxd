# cython: language_level=3
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from gslb.answer._fast.layout cimport RrsetRow
from gslb.answer._fast.tables cimport Tables

cdef enum Found:
    HIT
    WILDCARD
    CUT
    ABSENT
    OUTSIDE

cdef Found find_name(const Tables *tables, const uint8_t *name, size_t size, uint32_t crc, uint16_t qtype,
                     uint32_t *row) noexcept nogil
cdef const RrsetRow *rrset_of(const Tables *tables, uint32_t row, uint16_t rtype) noexcept nogil
