# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# Invariant of this file: the pointers point into bytes objects that the caller's sequences hold.
"""The compiled path without sockets, for measuring it."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from time import thread_time

from gslb.answer._fast.draw cimport mix64
from gslb.answer._fast.layout cimport NONE32
from gslb.answer._fast.query cimport Asked
from gslb.answer._fast.reply cimport MISS_SIZE, Trace, reply
from gslb.answer._fast.tables cimport Tables
from gslb.answer._fast.write cimport OUT_SIZE
from gslb.server._batch cimport BATCH, parse_all, take_time
from gslb.server._meter cimport Meters, Moment, Served, metered

cdef enum:
    ADDRESS = 16


def replay(Served served not None, Meters meters not None, packets, sources, int rounds, *, bint metered_):
    """What a thread does for each packet but for system calls, ``rounds`` times over all: how many packets the compiled
    path answered or dropped in all, and the CPU seconds that took. ``metered_``: with limit, counters and query log.
    """
    cdef size_t count = len(packets)
    cdef const uint8_t **packet = <const uint8_t **>calloc(count, sizeof(uint8_t *))
    cdef uint8_t *source = <uint8_t *>calloc(count, ADDRESS)  # end to end, as a thread's buffers are
    cdef size_t *size = <size_t *>calloc(count, sizeof(size_t))
    cdef size_t *source_size = <size_t *>calloc(count, sizeof(size_t))
    cdef const Tables *tables = served.serving.tables
    cdef Asked asked[BATCH]
    cdef uint8_t out[OUT_SIZE]
    cdef Trace trace
    cdef Moment moment
    cdef uint64_t random = 1
    cdef uint64_t answered = 0
    cdef uint64_t fast
    cdef uint32_t geometry = 0
    cdef size_t number, begin
    cdef int at, size_
    cdef Py_ssize_t found
    cdef int each
    for number in range(count):
        packet[number], size[number] = <const uint8_t *><bytes>packets[number], len(packets[number])
        source_size[number] = len(sources[number])
        memcpy(source + ADDRESS * number, <const uint8_t *><bytes>sources[number], min(source_size[number], <size_t>ADDRESS))
    begun = thread_time()
    with nogil:
        for each in range(rounds):
            begin = 0
            while begin < count:
                size_ = <int>min(<size_t>BATCH, count - begin)
                for at in range(size_):
                    asked[at].packet, asked[at].size = packet[begin + at], size[begin + at]
                    asked[at].source, asked[at].source_size = source + ADDRESS * (begin + at), source_size[begin + at]
                parse_all(tables, asked, size_, geometry)
                take_time(&moment, metered_)
                fast = 0
                for at in range(size_):
                    random += 0x9E3779B97F4A7C15u
                    if metered_:
                        found = metered(&meters.cells, &meters.ring, &served.serving, &moment, &asked[at], mix64(random),
                                        out, &trace)
                    else:
                        found = reply(tables, &asked[at], moment.now_s, mix64(random), out, &trace)
                    fast += found != MISS_SIZE
                    if found > 0 and trace.service != NONE32:
                        geometry = trace.client.geometry
                answered += fast
                if metered_:
                    meters.cells.at[meters.cells.fast] += fast
                begin += BATCH
    spent = thread_time() - begun
    free(packet)
    free(source)
    free(size)
    free(source_size)
    return answered, spent
