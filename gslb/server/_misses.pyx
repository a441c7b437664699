# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# Invariant of this file: one thread writes and one reads; bytes between `read` and `written` belong to the reader, all
# others to the writer. Records are whole and in one piece: what is left at the end of the memory is skipped.
"""The queue of packets that the compiled path leaves to the engine: bounded, in memory that is never allocated anew."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gslb.server._sockets cimport load, store

cdef enum:
    ALIGN = 16
    SKIP = 0xFFFFFFF  # as a size: the rest of the memory is not used this time


cdef uint64_t _bytes(uint64_t size) noexcept nogil:
    """What a record with a packet of ``size`` bytes takes."""
    return (sizeof(Miss) + size + ALIGN - 1) // ALIGN * ALIGN


cdef Miss *room(Misses *misses, size_t size) noexcept nogil:
    """Where the next record may be written, NULL where there is no room; it is there for nobody until `publish`."""
    cdef uint64_t written = misses.written
    cdef uint64_t free = misses.capacity - (written - load(&misses.read))
    cdef uint64_t at = written % misses.capacity
    cdef uint64_t rest = misses.capacity - at
    cdef uint64_t needed = _bytes(size)
    if needed > rest:
        if needed + rest > free:
            return NULL
        (<Miss *>(misses.memory + at)).size = SKIP
        store(&misses.written, written + rest)
        return <Miss *>misses.memory
    return <Miss *>(misses.memory + at) if needed <= free else NULL


cdef void publish(Misses *misses, const Miss *miss) noexcept nogil:
    """Hand the record that `room` gave to the reader."""
    store(&misses.written, misses.written + _bytes(miss.size))


cdef Miss *oldest(Misses *misses) noexcept nogil:
    """The record to be read next, NULL where there is none."""
    cdef Miss *found
    cdef uint64_t at
    while misses.read != load(&misses.written):
        at = misses.read % misses.capacity
        found = <Miss *>(misses.memory + at)
        if found.size != SKIP:
            return found
        store(&misses.read, misses.read + misses.capacity - at)
    return NULL


cdef void done(Misses *misses, const Miss *miss) noexcept nogil:
    """Give the oldest record's bytes back to the writer."""
    store(&misses.read, misses.read + _bytes(miss.size))
