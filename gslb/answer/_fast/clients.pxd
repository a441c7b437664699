# cython: language_level=3
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gslb.answer._fast.layout cimport ServiceRow
from gslb.answer._fast.query cimport Query
from gslb.answer._fast.tables cimport Tables

cdef struct Client:
    uint32_t cls
    uint8_t scope
    uint8_t family  # 4 or 6, of the prefix that was located
    uint8_t length
    bint public
    uint64_t address
    uint64_t seed
    uint32_t geometry

cdef size_t row4_of(const Tables *tables, uint32_t geometry, uint32_t address) noexcept nogil
cdef bint locate(const Tables *tables, const ServiceRow *service, const uint8_t *name, size_t size, const Query *query,
                 const uint8_t *source, size_t source_size, uint64_t draw, Client *client) noexcept nogil
