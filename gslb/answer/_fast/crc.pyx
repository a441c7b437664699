# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# Invariant of this file: the table is filled when the module is imported, and only read from then on.
"""CRC-32, by which the catalog finds names."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

cdef uint32_t CRC[4][256]


cdef void _fill() noexcept:
    """CRC[k][b]: what a byte b becomes when k more bytes of zero follow."""
    cdef uint32_t byte, bit, value, level
    for byte in range(256):
        value = byte
        for bit in range(8):
            value = value >> 1 ^ (<uint32_t>0xEDB88320 if value & 1 else <uint32_t>0)
        CRC[0][byte] = value
    for level in range(1, 4):
        for byte in range(256):
            CRC[level][byte] = CRC[level - 1][byte] >> 8 ^ CRC[0][CRC[level - 1][byte] & 255]


_fill()


cdef uint32_t crc32(const uint8_t *data, size_t size) noexcept nogil:
    """CRC-32 as zlib's, four bytes a step (Kounavis and Berry, 2005). Invariant: reads ``size`` bytes."""
    cdef uint32_t crc = 0xFFFFFFFFu
    cdef uint32_t word
    while size >= 4:
        memcpy(&word, data, 4)
        crc ^= word
        crc = CRC[3][crc & 255] ^ CRC[2][crc >> 8 & 255] ^ CRC[1][crc >> 16 & 255] ^ CRC[0][crc >> 24]
        data += 4
        size -= 4
    while size:
        crc = crc >> 8 ^ CRC[0][(crc ^ data[0]) & 255]
        data += 1
        size -= 1
    return crc ^ 0xFFFFFFFFu
