# cython: language_level=3
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gslb.server._sockets cimport msghdr

cdef enum:
    CONTROL = 64  # bytes of ancillary data at most
    NAME = 28  # bytes of a socket address at most

cdef struct Miss:  # a packet for the engine, which lies behind it
    uint32_t size
    uint32_t name_size
    uint32_t control_size
    uint32_t source_at  # in `name`: the packed source address
    uint32_t source_size
    uint8_t name[NAME]
    uint8_t control[CONTROL]

cdef struct Misses:
    uint8_t *memory
    uint64_t capacity
    uint64_t written  # by the thread, in bytes since the start
    uint64_t read  # by the event loop

cdef Miss *room(Misses *misses, size_t size) noexcept nogil
cdef void publish(Misses *misses, const Miss *miss) noexcept nogil
cdef Miss *oldest(Misses *misses) noexcept nogil
cdef void done(Misses *misses, const Miss *miss) noexcept nogil
