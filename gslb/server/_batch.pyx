# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# Invariant of this file: a batch has BATCH places; place n is packet n of those read, and reply n of those to be sent.
# Buffers are allocated once and belong to one thread.
"""A batch of packets on its way through a UDP thread: read, parsed, answered, sent."""

from libc.errno cimport EINTR, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, timespec

from gslb.answer._fast.ahead cimport look_ahead
from gslb.answer._fast.draw cimport mix64
from gslb.answer._fast.layout cimport NONE32
from gslb.answer._fast.query cimport parse
from gslb.answer._fast.reply cimport MISS_SIZE, Trace
from gslb.server._meter cimport metered
from gslb.server._misses cimport NAME, Miss, publish, room
from gslb.server._sockets cimport *

cdef enum:
    LARGEST = 65535  # bytes of a datagram at most
    STRIDE = 65728  # between two buffers: no power of two, or their first lines would fight for the same cache sets
    OUT_STRIDE = 4288  # room for OUT_SIZE
    HUGE = 2097152  # a huge page, of which a few replace a thousand entries of address translation
    BUFFERS = (BATCH * (STRIDE + OUT_STRIDE) / HUGE + 1) * HUGE
    QUEUE = 1048576  # bytes of packets that wait for the engine

cdef uint8_t[12] MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]


cdef bint allocate(Batch *batch) noexcept nogil:
    """Make the buffers of a batch that is zero but for ``wildcard``; False: no memory. `release` takes them back."""
    cdef int at
    cdef bint wildcard = batch.wildcard
    batch.packets = <uint8_t *>aligned_alloc(HUGE, BUFFERS)
    batch.misses.memory = <uint8_t *>calloc(1, QUEUE)
    if batch.packets == NULL or batch.misses.memory == NULL:
        return False
    madvise(batch.packets, BUFFERS, MADV_HUGEPAGE)
    batch.outs = batch.packets + BATCH * STRIDE
    batch.misses.capacity = QUEUE
    for at in range(BATCH):
        batch.asked[at].packet = batch.packets + at * <size_t>STRIDE
        batch.in_iov[at].iov_base = <void *>batch.asked[at].packet
        batch.in_iov[at].iov_len = LARGEST
        batch.received[at].msg_hdr.msg_iov = &batch.in_iov[at]
        batch.received[at].msg_hdr.msg_iovlen = 1
        batch.received[at].msg_hdr.msg_name = batch.names[at]
        batch.received[at].msg_hdr.msg_namelen = NAME
        batch.received[at].msg_hdr.msg_control = batch.controls[at] if wildcard else NULL
        batch.received[at].msg_hdr.msg_controllen = CONTROL if wildcard else 0
        batch.out_iov[at].iov_base = batch.outs + at * <size_t>OUT_STRIDE
        batch.replies[at].msg_hdr.msg_iov = &batch.out_iov[at]
        batch.replies[at].msg_hdr.msg_iovlen = 1
        batch.replies[at].msg_hdr.msg_control = batch.from_controls[at] if wildcard else NULL
    return True


cdef void release(Batch *batch) noexcept nogil:
    """Free the buffers."""
    free(batch.packets)
    free(batch.misses.memory)


cdef int receive(Batch *batch, int flags) noexcept nogil:
    """Read up to BATCH packets: how many, or -1 with errno."""
    return recvmmsg(batch.fd, batch.received, BATCH, flags, NULL)


cdef int answer_all(Batch *batch, const Serving *serving, int count) noexcept nogil:
    """Answer the packets that were read; how many replies `send_all` has to send."""
    cdef Asked *asked = batch.asked
    cdef msghdr *message
    cdef Moment moment
    cdef Trace trace
    cdef bint missed = False
    cdef Py_ssize_t size
    cdef int at
    cdef int replies = 0
    cdef int misses = 0
    for at in range(count):
        asked[at].size = batch.received[at].msg_len
        asked[at].source = _source(&batch.received[at].msg_hdr, batch.v6, &asked[at].source_size)
    parse_all(serving.tables, asked, count, batch.geometry)
    take_time(&moment, serving.limits != NULL or batch.ring.sample != 0)
    for at in range(count):
        message = &batch.received[at].msg_hdr
        batch.random += 0x9E3779B97F4A7C15u
        size = metered(batch.cells, batch.ring, serving, &moment, &asked[at], mix64(batch.random),
                       batch.outs + replies * <size_t>OUT_STRIDE, &trace)
        if size > 0:
            batch.out_iov[replies].iov_len = <size_t>size
            batch.replies[replies].msg_hdr.msg_name = message.msg_name
            batch.replies[replies].msg_hdr.msg_namelen = message.msg_namelen
            if batch.wildcard:
                batch.replies[replies].msg_hdr.msg_controllen = _from(message, batch.from_controls[replies])
            replies += 1
            if trace.service != NONE32:
                batch.geometry = trace.client.geometry
        elif size == MISS_SIZE:
            misses += 1
            if _keep(batch, message, &asked[at]):
                missed = True
            else:
                batch.cells.at[batch.cells.overflow] += 1
        message.msg_namelen = NAME
        message.msg_controllen = CONTROL if batch.wildcard else 0
    batch.cells.at[batch.cells.fast] += <uint64_t>(count - misses)
    if missed:
        eventfd_write(batch.wake_fd, 1)
    return replies


cdef void parse_all(const Tables *tables, Asked *asked, int count, uint32_t geometry) noexcept nogil:
    """Parse a batch, and have on its way from memory what answering it will read."""
    cdef int at
    for at in range(count):
        asked[at].verdict = parse(asked[at].packet, asked[at].size, &asked[at].query)
    look_ahead(tables, asked, count, geometry)


cdef void take_time(Moment *moment, bint exactly) noexcept nogil:
    """The time of a batch: in seconds to the kernel's last tick or, where a limit or the query log needs it, exactly."""
    cdef timespec now
    clock_gettime(CLOCK_REALTIME if exactly else CLOCK_REALTIME_COARSE, &now)
    moment.now_s = <uint32_t>now.tv_sec
    if exactly:
        moment.time_us = <uint64_t>now.tv_sec * 1000000 + <uint64_t>now.tv_nsec // 1000
        clock_gettime(CLOCK_MONOTONIC, &now)
        moment.steady_us = <uint64_t>now.tv_sec * 1000000 + <uint64_t>now.tv_nsec // 1000


cdef inline const uint8_t *_source(const msghdr *asked, bint v6, size_t *size) noexcept nogil:
    """A peer's packed address, an IPv4-mapped one as IPv4."""
    cdef const uint8_t *found
    size[0] = 4
    if not v6:
        return <const uint8_t *>&(<sockaddr_in *>asked.msg_name).sin_addr
    found = (<sockaddr_in6 *>asked.msg_name).sin6_addr.s6_addr
    if memcmp(found, MAPPED, 12) == 0:
        return found + 12
    size[0] = 16
    return found


cdef size_t _from(msghdr *asked, uint8_t *control) noexcept nogil:
    """What makes the kernel send from the address that a packet came to: written to ``control``, its size; 0: nothing."""
    cdef cmsghdr *each = CMSG_FIRSTHDR(asked)
    cdef cmsghdr *made = <cmsghdr *>control
    cdef in_pktinfo v4
    cdef in6_pktinfo v6
    while each != NULL:
        if each.cmsg_level == IPPROTO_IP and each.cmsg_type == IP_PKTINFO:
            memcpy(&v4, CMSG_DATA(each), sizeof(v4))
            v4.ipi_ifindex = 0
            memset(control, 0, CONTROL)
            made.cmsg_level, made.cmsg_type, made.cmsg_len = IPPROTO_IP, IP_PKTINFO, CMSG_LEN(sizeof(v4))
            memcpy(CMSG_DATA(made), &v4, sizeof(v4))
            return CMSG_SPACE(sizeof(v4))
        if each.cmsg_level == IPPROTO_IPV6 and each.cmsg_type == IPV6_PKTINFO:
            memcpy(&v6, CMSG_DATA(each), sizeof(v6))
            if v6.ipi6_addr.s6_addr[0] != 0xFE or v6.ipi6_addr.s6_addr[1] != 0x80:
                v6.ipi6_ifindex = 0  # only a link-local address needs its interface
            memset(control, 0, CONTROL)
            made.cmsg_level, made.cmsg_type, made.cmsg_len = IPPROTO_IPV6, IPV6_PKTINFO, CMSG_LEN(sizeof(v6))
            memcpy(CMSG_DATA(made), &v6, sizeof(v6))
            return CMSG_SPACE(sizeof(v6))
        each = CMSG_NXTHDR(asked, each)
    return 0


cdef void send_all(Batch *batch, int count) noexcept nogil:
    """Send the replies. Invariant: each is tried once; what cannot be sent is counted, and the client asks again."""
    cdef int at = 0
    cdef int sent
    while at < count:
        sent = sendmmsg(batch.fd, batch.replies + at, <unsigned int>(count - at), MSG_DONTWAIT)
        if sent > 0:
            at += sent
        elif sent == 0 or errno != EINTR:
            batch.cells.at[batch.cells.send_errors] += 1
            at += 1


cdef bint _keep(Batch *batch, msghdr *message, const Asked *asked) noexcept nogil:
    """Queue a packet for the engine; False where there is no room."""
    cdef Miss *miss = room(&batch.misses, asked.size)
    if miss == NULL:
        return False
    miss.size = <uint32_t>asked.size
    miss.name_size = min(<uint32_t>message.msg_namelen, <uint32_t>NAME)
    miss.source_at = <uint32_t>(asked.source - <const uint8_t *>message.msg_name)
    miss.source_size = <uint32_t>asked.source_size
    memcpy(miss.name, message.msg_name, miss.name_size)
    miss.control_size = <uint32_t>_from(message, miss.control) if batch.wildcard else 0
    memcpy(<uint8_t *>miss + sizeof(Miss), asked.packet, asked.size)
    publish(&batch.misses, miss)
    return True
