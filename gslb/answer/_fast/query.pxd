# cython: language_level=3
from libc.stdint cimport uint8_t, uint16_t, uint32_t

cdef enum Verdict:
    DROPPED  # no reply is due
    MISSED  # for the engine
    REFUSAL  # an error of header, question and OPT: `rcode` and the fields above the line
    ASKED  # a query: all fields

cdef struct Query:
    uint16_t id
    uint16_t flags
    uint16_t rcode
    uint16_t question_size  # bytes of the question section, which begins behind the header; 0: none to echo
    bint opt
    bint dnssec_ok
    # ------
    uint16_t qtype
    uint16_t qclass
    uint16_t limit
    uint8_t name_size
    bint nsid
    const uint8_t *cookie  # into the packet, as is the next
    uint16_t cookie_size  # 0: none, else 8 or 16 to 40
    const uint8_t *ecs  # the whole option
    uint16_t ecs_size  # 0: none
    uint8_t ecs_family
    uint8_t ecs_source
    uint8_t address[16]  # of the subnet, zero beyond what was sent
    uint32_t address4  # the first four bytes as a number
    uint32_t name_crc  # CRC-32 of the name
    uint8_t name[256]  # lower case

cdef struct Asked:  # a packet, whence it came, and what it asks
    const uint8_t *packet
    size_t size
    const uint8_t *source  # packed address
    size_t source_size  # 4 or 16
    Verdict verdict
    Query query

cdef Verdict parse(const uint8_t *packet, size_t size, Query *query) noexcept nogil
