# cython: language_level=3
from libc.stdint cimport uint32_t

from gslb.answer._fast.query cimport Asked
from gslb.answer._fast.tables cimport Tables

cdef extern from * nogil:
    void prefetch "__builtin_prefetch"(const void *at)

cdef void look_ahead(const Tables *tables, const Asked *asked, int count, uint32_t geometry) noexcept nogil
