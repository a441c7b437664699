"""Opens the sockets that queries come in on; the control process opens them and workers read them."""

from __future__ import annotations

import errno
import itertools
import os
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from gslb.errors import GslbError
from gslb.server.endpoint import Endpoint

BACKLOG = 512
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("9I")
_MEMINFO_DROPS = 8
_MTU_DISCOVER = {socket.AF_INET: (socket.IPPROTO_IP, 10), socket.AF_INET6: (socket.IPPROTO_IPV6, 23)}
_PMTUDISC_OMIT = 5
_MAPPED = bytes(10) + b"\xff\xff"
_PKTINFO = {
    socket.AF_INET: (socket.IPPROTO_IP, 8),  # IP_PKTINFO
    socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO),
}

_NAMES = {socket.SOCK_DGRAM: "UDP", socket.SOCK_STREAM: "TCP"}
_ANY = {"0.0.0.0", "::"}


@dataclass(frozen=True, slots=True)
class Opened:
    """``by_worker``: the sockets each worker reads; ``endpoints``: the addresses in fact bound, for people;
    ``transports``: of each endpoint, which of UDP and TCP it has.

    A socket that the service manager handed over is read by all workers; those we open belong to one each.
    """

    by_worker: tuple[tuple[socket.socket, ...], ...]
    endpoints: tuple[Endpoint, ...]
    transports: tuple[tuple[str, ...], ...] = ()

    def sockets(self) -> set[socket.socket]:
        """Each socket once."""
        return {sock for sockets in self.by_worker for sock in sockets}

    def close(self) -> None:
        """Close all; what waits in them is lost unless a worker still holds the same sockets."""
        for sock in self.sockets():
            sock.close()


def open_all(endpoints: Iterable[Endpoint], workers: int, receive_buffer: int) -> Opened:
    """UDP and TCP on every endpoint, one pair per worker; the kernel spreads clients over them (SO_REUSEPORT).

    Port 0 takes a free port, the same for both. Raises `GslbError` naming the endpoint that cannot be had.
    """
    endpoints = tuple(endpoints)
    _refuse_overlaps(endpoints)
    by_worker: list[list[socket.socket]] = [[] for _ in range(workers)]
    bound = []
    try:
        for endpoint in endpoints:
            endpoint = _probe(endpoint)
            bound.append(endpoint)
            for sockets in by_worker:
                sockets.append(_bind(endpoint, socket.SOCK_DGRAM, shared=True))
                prepare(sockets[-1], receive_buffer)
                sockets.append(_bind(endpoint, socket.SOCK_STREAM, shared=True))
                sockets[-1].listen(BACKLOG)
    except GslbError:
        for sock in (sock for sockets in by_worker for sock in sockets):
            sock.close()
        raise
    return Opened(tuple(map(tuple, by_worker)), tuple(bound), (tuple(_NAMES.values()),) * len(bound))


def adopt(sockets: Iterable[socket.socket], workers: int, receive_buffer: int) -> Opened:
    """The sockets of the service manager, all of them for every worker."""
    sockets = tuple(sockets)
    for sock in sockets:
        sock.setblocking(sock.type == socket.SOCK_DGRAM)  # a thread waits in a read of UDP, an event loop for TCP
        if sock.type == socket.SOCK_DGRAM:
            prepare(sock, receive_buffer)
    found: dict[Endpoint, set[int]] = {}
    for sock in sockets:
        found.setdefault(Endpoint(*sock.getsockname()[:2]), set()).add(sock.type)
    transports = (tuple(name for kind, name in _NAMES.items() if kind in kinds) for kinds in found.values())
    return Opened((sockets,) * workers, tuple(found), tuple(transports))


def listen_admin(endpoint: Endpoint) -> socket.socket:
    """The listening socket of the admin port. Raises `GslbError` where it cannot be had."""
    sock = _bind(endpoint, socket.SOCK_STREAM, shared=False)
    sock.listen(BACKLOG)
    return sock


def prepare(sock: socket.socket, receive_buffer: int) -> None:
    """Options of a UDP socket that hold for one we bound and for one we were given."""
    if sock.getsockname()[0] in _ANY:
        sock.setsockopt(*_PKTINFO[sock.family], 1)  # with every packet, which costs: only where it is needed
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        # Path MTU messages can be forged; answers of at most 1232 bytes need none.
        sock.setsockopt(*_MTU_DISCOVER[sock.family], _PMTUDISC_OMIT)
    except OSError as error:
        if error.errno not in (errno.ENOPROTOOPT, errno.EINVAL):
            raise


def packed(host: str) -> bytes:
    """The address of a peer as 4 or 16 bytes; an IPv4 one behind a socket of both families as 4."""
    if ":" not in host:
        return socket.inet_pton(socket.AF_INET, host)
    found = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    return found.removeprefix(_MAPPED)


def drops(sock: socket.socket) -> int:
    """Packets the kernel threw away because the socket's buffer was full, since it was opened (modulo 2^32).

    The same counter as SO_RXQ_OVFL's, read when somebody asks instead of with every packet.
    """
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
    except OSError:
        return 0
    return int(_MEMINFO.unpack(raw)[_MEMINFO_DROPS]) if len(raw) == _MEMINFO.size else 0


def _refuse_overlaps(endpoints: Iterable[Endpoint]) -> None:
    """The kernel would say "in use" of two of our own, and send people to look for another process."""
    for one, other in itertools.combinations(endpoints, 2):
        hosts = {one.host, other.host}
        if one.port and one.port == other.port and one.family == other.family and (len(hosts) == 1 or hosts & _ANY):
            again = "is given twice" if one == other else f"overlaps with --listen {one}"
            raise GslbError(f"--listen {other} {again}")


def _probe(endpoint: Endpoint) -> Endpoint:
    """The endpoint with its port filled in, refused where another process listens there.

    SO_REUSEPORT would silently share it with any process of the same user, so it is first bound without.
    """
    for attempt in range(10):
        udp = _bind(endpoint, socket.SOCK_DGRAM, shared=False)
        found = Endpoint(endpoint.host, udp.getsockname()[1])
        try:
            _bind(found, socket.SOCK_STREAM, shared=False).close()
        except GslbError:
            if endpoint.port or attempt == 9:
                raise
        else:
            return found
        finally:
            udp.close()
    raise AssertionError("the last attempt returns or raises")


def _bind(endpoint: Endpoint, kind: socket.SocketKind, *, shared: bool) -> socket.socket:
    waiting = 0 if kind == socket.SOCK_DGRAM else socket.SOCK_NONBLOCK
    sock = socket.socket(endpoint.family, kind | waiting | socket.SOCK_CLOEXEC)
    try:
        if endpoint.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((endpoint.host, endpoint.port))
    except OSError as error:
        sock.close()
        raise GslbError(f"cannot listen on {endpoint} ({_NAMES[kind]}): {os.strerror(error.errno or 0)}") from None
    return sock
