# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# Invariant of this file: a steering row has at most STEERING_WIDTH edges, and no array here is longer.
"""The compiled draw: the numbers of `gslb.policy.draw`, whose text says what they are and whose tables are used."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from gslb.answer._fast cimport layout
from gslb.answer._fast.layout cimport STEERING_WIDTH

from gslb.policy import draw

cdef extern from *:
    """
    typedef unsigned __int128 gslb_u128;
    """
    ctypedef unsigned long long u128 "gslb_u128"

cdef uint64_t KEY[2]
cdef uint32_t LOG[65536]
cdef enum:
    BLOCK = 8
    LONGEST = 264  # a name and what stands behind it


cdef void _fill(const uint8_t *key, const uint32_t *log) noexcept:
    memcpy(KEY, key, sizeof(KEY))
    memcpy(LOG, log, sizeof(LOG))


cdef const unsigned char[::1] _key = draw.KEY
cdef const uint32_t[::1] _log = draw.LOG_TABLE
_fill(&_key[0], &_log[0])


cdef inline uint64_t _turned(uint64_t x, int bits) noexcept nogil:
    return x << bits | x >> (64 - bits)


cdef inline void _round(uint64_t *v) noexcept nogil:
    v[0] += v[1]
    v[2] += v[3]
    v[1] = _turned(v[1], 13) ^ v[0]
    v[3] = _turned(v[3], 16) ^ v[2]
    v[0] = _turned(v[0], 32)
    v[2] += v[1]
    v[0] += v[3]
    v[1] = _turned(v[1], 17) ^ v[2]
    v[3] = _turned(v[3], 21) ^ v[0]
    v[2] = _turned(v[2], 32)


cdef uint64_t siphash(const uint64_t *key, const uint8_t *data, size_t size) noexcept nogil:
    """SipHash-2-4 (Aumasson and Bernstein, 2012). Invariant: reads ``size`` bytes."""
    cdef uint64_t v[4]
    cdef uint64_t word
    cdef uint64_t last = <uint64_t>size << 56
    v[0] = key[0] ^ 0x736F6D6570736575u
    v[1] = key[1] ^ 0x646F72616E646F6Du
    v[2] = key[0] ^ 0x6C7967656E657261u
    v[3] = key[1] ^ 0x7465646279746573u
    while size >= BLOCK:
        memcpy(&word, data, BLOCK)
        v[3] ^= word
        _round(v)
        _round(v)
        v[0] ^= word
        data += BLOCK
        size -= BLOCK
    while size:
        size -= 1
        last |= <uint64_t>data[size] << (8 * size)
    v[3] ^= last
    _round(v)
    _round(v)
    v[0] ^= last
    v[2] ^= 0xFF
    _round(v)
    _round(v)
    _round(v)
    _round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


cdef uint64_t seed_of(const uint8_t *name, size_t size, int family, uint64_t address, int hash_len) noexcept nogil:
    """A client's part of a draw. Invariant: ``size`` is at most 255, so what is hashed fits."""
    cdef uint8_t hashed[LONGEST]
    cdef int width = 32 if family == 4 else 64
    cdef int at
    address = address >> (width - hash_len) << (width - hash_len) if hash_len else 0
    memcpy(hashed, name, size)
    hashed[size] = <uint8_t>family
    for at in range(width >> 3):
        hashed[size + 1 + at] = <uint8_t>(address >> (width - 8 - 8 * at))
    return siphash(KEY, hashed, size + 1 + (width >> 3))


cdef size_t pick(const Tables *tables, const ServiceRow *service, size_t row, uint64_t seed, const uint8_t *name,
                 size_t name_size, uint8_t *chosen) noexcept nogil:
    """Draw from a steering row of two edges or more: places in the row, best first, and how many they are.

    Invariant: ``chosen`` takes STEERING_WIDTH; ties go to the lower edge row.
    """
    cdef const uint16_t *edges = tables.steering.edge + row * STEERING_WIDTH
    cdef const uint32_t *reciprocals = tables.steering.reciprocal + row * STEERING_WIDTH
    cdef size_t count = min(<size_t>tables.steering.count[row], <size_t>STEERING_WIDTH)
    cdef uint64_t score[STEERING_WIDTH]
    cdef uint32_t narrowed[STEERING_WIDTH]
    cdef uint8_t kept[STEERING_WIDTH]
    cdef size_t at, place, best, answers
    cdef uint64_t x
    if service.spread:
        count = _narrow(tables, service.spread, row, name, name_size, kept, narrowed)
    else:
        for at in range(count):
            kept[at] = <uint8_t>at
    for at in range(count):
        x = mix64(seed ^ tables.edge_hash[edges[kept[at]]])
        score[at] = <uint64_t>LOG[x >> 48] * (narrowed[at] if service.spread else reciprocals[at])
    answers = min(<size_t>service.answers, count)
    for place in range(answers):
        best = place
        for at in range(place + 1, count):
            if score[at] < score[best] or (score[at] == score[best] and edges[kept[at]] < edges[kept[best]]):
                best = at
        chosen[place] = kept[best]
        score[best] = score[place]
        kept[best] = kept[place]
    return answers


cdef size_t _narrow(const Tables *tables, size_t spread, size_t row, const uint8_t *name, size_t name_size,
                    uint8_t *kept, uint32_t *narrowed) noexcept nogil:
    """What ``spread`` leaves of a row: places, and their reciprocals. Invariant: at most the row's count."""
    cdef const uint16_t *edges = tables.steering.edge + row * STEERING_WIDTH
    cdef const uint8_t *levels = tables.steering.level + row * STEERING_WIDTH
    cdef const uint32_t *weights = tables.steering.weight + row * STEERING_WIDTH
    cdef const uint32_t *reciprocals = tables.steering.reciprocal + row * STEERING_WIDTH
    cdef size_t count = min(<size_t>tables.steering.count[row], <size_t>STEERING_WIDTH)
    cdef uint64_t rank[STEERING_WIDTH]
    cdef uint64_t hashed = siphash(KEY, name, name_size)
    cdef uint64_t kept_sum, whole_sum
    cdef bint stays[STEERING_WIDTH]
    cdef size_t at, other, members, before
    cdef size_t found = 0
    cdef u128 part
    for at in range(count):
        rank[at] = mix64(hashed ^ tables.edge_hash[edges[at]])
    for at in range(count):
        before = 0
        for other in range(count):
            if levels[other] == levels[at] and (
                rank[other] < rank[at] or (rank[other] == rank[at] and edges[other] < edges[at])
            ):
                before += 1
        stays[at] = before < spread
    for at in range(count):
        if not stays[at]:
            continue
        members = 0
        kept_sum = whole_sum = 0
        for other in range(count):
            if levels[other] == levels[at]:
                members += 1
                whole_sum += weights[other]
                kept_sum += weights[other] if stays[other] else 0
        narrowed[found] = reciprocals[at]
        if members > spread:
            part = (<u128>reciprocals[at] * kept_sum + whole_sum - 1) / whole_sum
            narrowed[found] = 0xFFFFFFFFu if part > 0xFFFFFFFFu else <uint32_t>part
        kept[found] = <uint8_t>at
        found += 1
    return found
