# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# Invariant of this file: from `_take` until `in_use` is cleared a thread reads what `in_use` names; `UdpThread.use` returns
# only when no thread can still read what was served before.
"""Native UDP threads: one socket each, answered in batches without the interpreter."""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from posix.signal cimport sigaction, sigaction_t, sigemptyset
from posix.unistd cimport usleep

import os
import signal

from gslb.server._batch cimport Batch, allocate, answer_all, receive, release, send_all
from gslb.server._meter cimport Meters, Served, Serving
from gslb.server._misses cimport Miss, done, oldest
from gslb.server._sockets cimport *

WAKE = signal.SIGRTMIN + 5
"""The signal that interrupts a thread's wait for packets; its handler does nothing."""

cdef enum:
    RETRY_MS = 10  # after a failed read
    AGAIN_MS = 1000
    GOING = 0
    STOPPING = 1
    DRAINING = 2


cdef struct Loop:
    uint64_t served  # a Serving's address
    uint64_t in_use  # the one a batch is being answered from, or 0
    uint64_t state  # GOING, STOPPING or DRAINING
    uint64_t ended
    Batch batch


cdef void _nothing(int number) noexcept nogil:
    pass


cdef void _run(Loop *loop) noexcept nogil:
    """Answer until told to stop. Invariant: `ended` is set last of all."""
    cdef int count
    while load(&loop.state) == GOING:
        count = _batch(loop, MSG_WAITFORONE)
        if count < 0 and errno != EINTR:
            _pause(loop, errno)
    if load(&loop.state) == DRAINING:
        while load(&loop.state) == DRAINING and _batch(loop, MSG_DONTWAIT) > 0:
            pass
    store(&loop.ended, 1)


cdef void _pause(Loop *loop, int error) noexcept nogil:
    """Wait where reading failed: for packets, or a moment."""
    cdef pollfd readable
    if error == EAGAIN:
        readable.fd = loop.batch.fd
        readable.events = POLLIN
        poll(&readable, 1, AGAIN_MS)
    else:
        loop.batch.cells.at[loop.batch.cells.receive_errors] += 1
        poll(NULL, 0, RETRY_MS)


cdef int _batch(Loop *loop, int flags) noexcept nogil:
    """Read a batch, answer it, send the replies; how many were read, or -1 with errno."""
    cdef const Serving *serving
    cdef int replies
    cdef int count = receive(&loop.batch, flags)
    if count <= 0:
        return count
    serving = _take(loop)
    replies = answer_all(&loop.batch, serving, count)
    store(&loop.in_use, 0)
    if replies:
        send_all(&loop.batch, replies)
    return count


cdef inline const Serving *_take(Loop *loop) noexcept nogil:
    """What to answer from. Invariant: once `in_use` names it and `served` still does, nobody frees it."""
    cdef uint64_t served = load(&loop.served)
    while True:
        store(&loop.in_use, served)
        if load(&loop.served) == served:
            return <const Serving *>served
        served = load(&loop.served)


cdef class UdpThread:
    """A thread's socket, buffers and queue. `run` is its body; all else is for the event loop's thread."""

    cdef Loop *loop
    cdef Meters meters
    cdef Served served

    def __cinit__(self, int fd, bint v6, bint wildcard, Meters meters not None, Served served not None, int wake_fd):
        cdef Loop *loop = <Loop *>calloc(1, sizeof(Loop))
        cdef sigaction_t action
        if loop == NULL:
            raise MemoryError
        self.loop = loop
        loop.batch.fd, loop.batch.v6, loop.batch.wildcard, loop.batch.wake_fd = fd, v6, wildcard, wake_fd
        loop.batch.cells, loop.batch.ring = &meters.cells, &meters.ring
        loop.batch.random = int.from_bytes(os.urandom(8))
        if not allocate(&loop.batch):
            raise MemoryError
        self.meters, self.served = meters, served
        loop.served = <uint64_t>&served.serving
        memset(&action, 0, sizeof(action))
        action.sa_handler = _nothing
        sigemptyset(&action.sa_mask)
        if sigaction(WAKE, &action, NULL):
            raise OSError(errno, "sigaction")

    def __dealloc__(self):
        if self.loop != NULL:
            release(&self.loop.batch)
            free(self.loop)

    def run(self):
        """Answer until `stop`."""
        with nogil:
            _run(self.loop)

    def use(self, Served served not None):
        """Answer from ``served`` from now on; returns when the former is not read any more."""
        cdef Loop *loop = self.loop
        cdef uint64_t former = loop.served
        store(&loop.served, <uint64_t>&served.serving)
        with nogil:
            while load(&loop.in_use) == former:
                usleep(20)
        self.served = served

    def stop(self, *, bint drain=False):
        """Tell the thread to end, at once or when it has answered what has come in. It has to be woken by `WAKE`."""
        store(&self.loop.state, DRAINING if drain else STOPPING)

    @property
    def ended(self):
        """Whether the thread reads no more."""
        return load(&self.loop.ended) != 0

    def missed(self):
        """The oldest packet that waits for the engine, and its packed source address; None: there is none."""
        cdef Miss *miss = oldest(&self.loop.batch.misses)
        if miss == NULL:
            return None
        packet = (<const uint8_t *>miss + sizeof(Miss))[: miss.size]
        return packet, miss.name[miss.source_at : miss.source_at + miss.source_size]

    def reply(self, data):
        """Send the reply to what `missed` gave, None for none, and go on to the next. Raises `OSError`."""
        cdef Miss *miss = oldest(&self.loop.batch.misses)
        cdef const unsigned char[::1] view
        cdef msghdr message
        cdef iovec iov
        cdef Py_ssize_t sent = 0
        if data is not None:
            view = data
            memset(&message, 0, sizeof(message))
            iov.iov_base = <void *>&view[0]
            iov.iov_len = len(view)
            message.msg_iov = &iov
            message.msg_iovlen = 1
            message.msg_name = miss.name
            message.msg_namelen = miss.name_size
            if miss.control_size:
                message.msg_control = miss.control
                message.msg_controllen = miss.control_size
            sent = sendmsg(self.loop.batch.fd, &message, MSG_DONTWAIT)
        done(&self.loop.batch.misses, miss)
        if sent < 0:
            raise OSError(errno, os.strerror(errno))
