# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# Invariant of this file: rows are read and written a word at a time, and every value of a word is a valid one; so
# threads may share a table without a lock, and the worst of a race is an answer too many.
"""Response rate limiting for threads without the interpreter: the rules of `gslb.server.limit`, in a flat table.

A bucket is kept as the time when its credit will be whole again (the virtual scheduling algorithm, ITU-T I.371): an
answer moves it on by the time that earns one. Of `WAYS` rows that a key may have, the one whose credit was whole for
longest goes first, so the table is bounded.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

import ipaddress
import os

import numpy as np

from gslb.server.limit import ALWAYS, KINDS, TABLE_ROWS

from gslb.answer._fast.draw cimport mix64
from gslb.answer._fast.numbers cimport big_endian

cdef enum:
    SPARING = 64  # of the positive answers, as many as stand for one another where the rate is high; a power of two

assert WAYS * SETS == TABLE_ROWS
assert WAYS > len(KINDS)


cdef inline bint _allowed(const Limits *limits, uint64_t high, uint64_t low) noexcept nogil:
    cdef size_t at
    cdef const Network *each
    for at in range(limits.allowed_count):
        each = &limits.allowed[at]
        if high & each.mask[0] == each.prefix[0] and low & each.mask[1] == each.prefix[1]:
            return True
    return False


cdef uint64_t client_of(const Limits *limits, const uint8_t *source, size_t size) noexcept nogil:
    """What tells a packed address's client prefix (/24, /56) from others; 0: it is never limited.

    IPv4 addresses count as IPv4-mapped ones do.
    """
    cdef uint64_t high = 0 if size == 4 else big_endian(source, 8)
    cdef uint64_t low = 0xFFFF00000000u | big_endian(source, 4) if size == 4 else big_endian(source + 8, 8)
    if _allowed(limits, high, low):
        return 0
    return mix64((low >> 8 & 0xFFFFFF | <uint64_t>1 << 63 if size == 4 else high >> 8) ^ limits.secret) | 1


cdef Decision decide(const Limits *limits, uint64_t client, uint32_t kind, uint64_t answers,
                     uint64_t now_us) noexcept nogil:
    """What becomes of an answer of a kind to a client; it stands for so many ``answers``.

    Invariant: due times lie within `owed_us` of now, so a clock that jumps back blocks nobody for longer.
    """
    cdef uint64_t key = client ^ <uint64_t>kind << 1
    cdef uint64_t due, over, oldest
    cdef Row *rows
    cdef Row *row
    cdef size_t at
    if client == 0:
        return PASS
    rows = rows_of(limits, client)
    row = rows
    oldest = <uint64_t>-1
    for at in range(WAYS):
        if rows[at].key == key:
            row = &rows[at]
            break
        if rows[at].state < oldest:
            oldest = rows[at].state
            row = &rows[at]
    due = now_us
    over = 0
    if row.key == key:
        due = min(max(row.state >> 16, now_us), now_us + limits.owed_us)
        over = row.state & 0xFFFF
    due = min(due + limits.step_us * answers, now_us + limits.owed_us)
    over = 0 if due <= now_us + limits.saved_us else (over + 1 if over < 0xFFFF else 1)
    row.key = key
    row.state = due << 16 | over
    if over == 0:
        return PASS
    return SLIP if limits.slip and over % limits.slip == 0 else DROP


cdef class CompiledLimiter:
    """`gslb.server.limit.Limiter`, for the threads of a process and its interpreter together."""

    def __cinit__(self, double per_second, uint32_t slip, double window_s, allow, int workers=1):
        cdef const unsigned char[::1] allowed
        cdef unsigned char[::1] rows
        networks = [_network(text) for text in (*ALWAYS, *allow)]
        self._allowed = np.array(networks, dtype=np.uint64)
        allowed = self._allowed.view(np.uint8).reshape(-1)
        self.limits.allowed = <const Network *>&allowed[0]
        self.limits.allowed_count = len(networks)
        self._rows = np.zeros(TABLE_ROWS * sizeof(Row) + 128, dtype=np.uint8)
        rows = self._rows
        self.limits.rows = <Row *>(<size_t>&rows[127] & ~<size_t>127)
        self.limits.secret = int.from_bytes(os.urandom(8))
        self.limits.step_us = <uint64_t>(1e6 * workers / per_second)
        self.limits.saved_us = 1_000_000
        self.limits.owed_us = 1_000_000 + <uint64_t>(window_s * 1_000_000)
        self.limits.slip = slip
        self.limits.sparing = SPARING - 1 if per_second >= workers * 8 * SPARING else 0

    def decide(self, source, kind, double now):
        """PASS, DROP or SLIP for an error of ``kind`` to ``source``; ``now`` is seconds of any steady clock."""
        return self._decide(source, KINDS[kind], now)

    def positive_is_over(self, source, double now):
        """Whether a positive answer is over the rate; it is sent all the same."""
        return self._decide(source, POSITIVE, now) != PASS

    cdef Decision _decide(self, source, uint32_t kind, double now):
        cdef const unsigned char[::1] packed = source
        return decide(&self.limits, client_of(&self.limits, &packed[0], len(packed)), kind, 1, <uint64_t>(now * 1_000_000))


def _network(text):
    """A network as four words: prefix and mask, an IPv4 one as IPv4-mapped."""
    network = ipaddress.ip_network(text, strict=False)
    mapped = network.version == 4
    prefix = int(network.network_address) | (0xFFFF << 32 if mapped else 0)
    length = network.prefixlen + (96 if mapped else 0)
    mask = (1 << 128) - (1 << (128 - length))
    word = (1 << 64) - 1
    return prefix >> 64, prefix & word, mask >> 64, mask & word
