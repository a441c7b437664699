# cython: language_level=3
# The one way to read a packet: a position and an end. Reading past the end gives zeros and leaves `bad` set for good.
#
# Invariant: start <= at <= end, whatever was read; so nothing outside the packet is ever touched.

from libc.stdint cimport uint8_t, uint16_t

cdef struct Cursor:
    const uint8_t *at
    const uint8_t *end
    bint bad

cdef inline Cursor over(const uint8_t *data, size_t size) noexcept nogil:
    """Over ``size`` bytes that must stay while the cursor is used."""
    cdef Cursor made
    made.at = data
    made.end = data + size
    made.bad = False
    return made

cdef inline size_t left(const Cursor *cursor) noexcept nogil:
    """Bytes that are still to be read."""
    return <size_t>(cursor.end - cursor.at)

cdef inline const uint8_t *take(Cursor *cursor, size_t size) noexcept nogil:
    """The next ``size`` bytes, all of them there; NULL, at the end and bad, where they are not."""
    cdef const uint8_t *found = cursor.at
    if left(cursor) < size:
        cursor.at = cursor.end
        cursor.bad = True
        return NULL
    cursor.at += size
    return found

cdef inline uint8_t u8(Cursor *cursor) noexcept nogil:
    """The next byte."""
    cdef const uint8_t *found = take(cursor, 1)
    return 0 if found == NULL else found[0]

cdef inline uint16_t u16(Cursor *cursor) noexcept nogil:
    """The next two bytes, the first the higher."""
    cdef const uint8_t *found = take(cursor, 2)
    return 0 if found == NULL else <uint16_t>(found[0] << 8 | found[1])
