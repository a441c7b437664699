# cython: language_level=3
# Numbers as they stand in messages and addresses: the first byte is the highest.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from * nogil:
    uint32_t bswap32 "__builtin_bswap32"(uint32_t value)
    uint64_t bswap64 "__builtin_bswap64"(uint64_t value)


cdef inline uint64_t big_endian(const uint8_t *packed, size_t size) noexcept nogil:
    """The number that 4 or 8 bytes are."""
    cdef uint32_t word
    cdef uint64_t wide
    if size == 4:
        memcpy(&word, packed, 4)
        return bswap32(word)
    memcpy(&wide, packed, 8)
    return bswap64(wide)
