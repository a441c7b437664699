# cython: language_level=3
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from gslb.answer._fast.layout cimport ServiceRow
from gslb.answer._fast.tables cimport Tables

cdef uint64_t siphash(const uint64_t *key, const uint8_t *data, size_t size) noexcept nogil
cdef uint64_t seed_of(const uint8_t *name, size_t size, int family, uint64_t address, int hash_len) noexcept nogil
cdef size_t pick(const Tables *tables, const ServiceRow *service, size_t row, uint64_t seed, const uint8_t *name,
                 size_t name_size, uint8_t *chosen) noexcept nogil


cdef inline uint64_t mix64(uint64_t x) noexcept nogil:
    """The finaliser of MurmurHash3."""
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCDu
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53u
    return x ^ x >> 33
