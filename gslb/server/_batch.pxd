# cython: language_level=3
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gslb.answer._fast.query cimport Asked
from gslb.answer._fast.tables cimport Tables
from gslb.server._meter cimport Cells, Moment, Ring, Serving
from gslb.server._misses cimport CONTROL, Misses
from gslb.server._sockets cimport iovec, mmsghdr

cdef enum:
    BATCH = 32  # packets read and answered at once: what is touched for them stays in a core's first cache
    NAME_STRIDE = 32

cdef struct Batch:  # a thread's socket and buffers
    int fd
    bint v6
    bint wildcard  # replies must be told from which address to leave
    int wake_fd  # tells the event loop of misses
    uint64_t random
    uint32_t geometry  # of the service that was answered last
    Cells *cells
    Ring *ring
    Misses misses
    mmsghdr received[BATCH]
    mmsghdr replies[BATCH]
    iovec in_iov[BATCH]
    iovec out_iov[BATCH]
    uint8_t names[BATCH][NAME_STRIDE]
    uint8_t controls[BATCH][CONTROL]
    uint8_t from_controls[BATCH][CONTROL]
    Asked asked[BATCH]
    uint8_t *packets  # BATCH of them, STRIDE apart
    uint8_t *outs  # behind them, OUT_STRIDE apart

cdef bint allocate(Batch *batch) noexcept nogil
cdef void release(Batch *batch) noexcept nogil
cdef int receive(Batch *batch, int flags) noexcept nogil
cdef int answer_all(Batch *batch, const Serving *serving, int count) noexcept nogil
cdef void send_all(Batch *batch, int count) noexcept nogil
cdef void parse_all(const Tables *tables, Asked *asked, int count, uint32_t geometry) noexcept nogil
cdef void take_time(Moment *moment, bint exactly) noexcept nogil
