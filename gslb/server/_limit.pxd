# cython: language_level=3
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum Decision:
    PASS
    DROP
    SLIP

cdef enum:
    POSITIVE = 31  # the kind of answers that are only counted; those of errors are their rcodes

cdef enum:
    WAYS = 8
    SETS = 8192

cdef struct Row:
    uint64_t key  # of a client prefix and a kind of answer; 0: free
    uint64_t state  # when its credit is whole again, in µs, and in the lower 16 bits how many in a row were over

cdef struct Network:
    uint64_t prefix[2]
    uint64_t mask[2]

cdef struct Limits:
    Row *rows
    const Network *allowed
    size_t allowed_count
    uint64_t secret  # keys cannot be guessed
    uint64_t saved_us  # what may be saved, as time
    uint64_t owed_us  # saved and owed
    uint64_t step_us  # what one answer costs
    uint32_t slip
    uint32_t sparing  # positive answers are looked at where these bits of a random number are 0

cdef class CompiledLimiter:
    cdef Limits limits
    cdef object _rows
    cdef object _allowed
    cdef Decision _decide(self, source, uint32_t kind, double now)

cdef uint64_t client_of(const Limits *limits, const uint8_t *source, size_t size) noexcept nogil
cdef Decision decide(const Limits *limits, uint64_t client, uint32_t kind, uint64_t answers,
                     uint64_t now_us) noexcept nogil


cdef inline Row *rows_of(const Limits *limits, uint64_t client) noexcept nogil:
    """The rows that a client's answers may have: two cache lines side by side.

    Invariant: all kinds of one client find room there, so that none makes another forgotten.
    """
    return limits.rows + (client >> 32) % SETS * WAYS
