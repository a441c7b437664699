# cython: language_level=3
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from gslb.answer._fast.query cimport Query
from gslb.answer._fast.tables cimport Tables

cdef enum:
    RECORDS_END = 2048  # records that would go beyond are not written; the message is cut
    OUT_SIZE = 4096  # room for header, question, records and options in any case
    NSID_MOST = 1024  # bytes of the NSID option
    FIXED4 = 16  # bytes of a stored A and AAAA record
    FIXED6 = 28

cdef struct Message:
    uint8_t *out
    size_t at
    bint cut  # more than fits was to be written
    uint16_t answers
    uint16_t authorities

cdef void begin(Message *message, uint8_t *out, const uint8_t *packet, const Query *query) noexcept nogil
cdef void put(Message *message, const uint8_t *run, size_t size, size_t owner) noexcept nogil
cdef void put_timed(Message *message, const uint8_t *run, size_t size, size_t owner, uint32_t ttl_s) noexcept nogil
cdef size_t addresses(Message *message, const uint8_t *blob, const uint32_t *held, size_t places, size_t most, size_t size,
                      size_t owner, uint32_t ttl_s) noexcept nogil
cdef size_t refuse(Message *message, const Tables *tables, const Query *query) noexcept nogil
cdef size_t finish(Message *message, const Tables *tables, const Query *query, const uint8_t *source, size_t source_size,
                   uint32_t now_s, uint16_t rcode, bint authoritative, uint8_t scope, const uint8_t *extended,
                   size_t extended_size, bint *cookie_ok) noexcept nogil
