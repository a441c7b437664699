# cython: language_level=3
# What the compiled UDP workers use of Linux's sockets (recvmmsg(2), cmsg(3), ip(7), RFC 3542), and atomic words.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from posix.time cimport timespec

cdef extern from "<sys/socket.h>" nogil:
    """
    #include <arpa/inet.h>
    #include <netinet/in.h>
    #include <poll.h>
    #include <sys/eventfd.h>
    #include <sys/uio.h>
    """
    ctypedef unsigned int socklen_t
    struct iovec:
        void *iov_base
        size_t iov_len
    struct msghdr:
        void *msg_name
        socklen_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    struct sockaddr_storage:
        unsigned short ss_family
    int recvmmsg(int fd, mmsghdr *messages, unsigned int count, int flags, timespec *timeout)
    int sendmmsg(int fd, mmsghdr *messages, unsigned int count, int flags)
    ssize_t sendmsg(int fd, const msghdr *message, int flags)
    cmsghdr *CMSG_FIRSTHDR(msghdr *message)
    cmsghdr *CMSG_NXTHDR(msghdr *message, cmsghdr *former)
    uint8_t *CMSG_DATA(cmsghdr *each)
    size_t CMSG_LEN(size_t size)
    size_t CMSG_SPACE(size_t size)
    enum:
        AF_INET6
        MSG_DONTWAIT
        MSG_WAITFORONE

cdef extern from "<netinet/in.h>" nogil:
    enum:
        IPPROTO_IP
        IPPROTO_IPV6
        IP_PKTINFO
        IPV6_PKTINFO
    struct in_addr:
        uint32_t s_addr
    struct in6_addr:
        uint8_t s6_addr[16]
    struct sockaddr_in:
        in_addr sin_addr
    struct sockaddr_in6:
        in6_addr sin6_addr
    struct in_pktinfo:
        int ipi_ifindex
        in_addr ipi_spec_dst
    struct in6_pktinfo:
        in6_addr ipi6_addr
        unsigned int ipi6_ifindex

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd *fds, unsigned long count, int timeout_ms)
    enum:
        POLLIN

cdef extern from "<stdlib.h>" nogil:
    void *aligned_alloc(size_t alignment, size_t size)

cdef extern from "<sys/mman.h>" nogil:
    int madvise(void *at, size_t size, int advice)
    enum:
        MADV_HUGEPAGE

cdef extern from "<time.h>" nogil:
    enum:
        CLOCK_REALTIME_COARSE

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd_write(int fd, uint64_t value)

cdef extern from *:
    """
    #define GSLB_LOAD(at) __atomic_load_n((at), __ATOMIC_SEQ_CST)
    #define GSLB_STORE(at, value) __atomic_store_n((at), (value), __ATOMIC_SEQ_CST)
    """
    uint64_t load "GSLB_LOAD"(const uint64_t *at) noexcept nogil
    void store "GSLB_STORE"(uint64_t *at, uint64_t value) noexcept nogil
