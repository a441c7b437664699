"""UDP: our own sockets on the event loop, so that answers leave from the address that was asked."""

from __future__ import annotations

import asyncio
import socket
import struct
import time

from gslb.server.listen import packed
from gslb.server.respond import Responder

BATCH = 64
"""Packets answered per wake-up at most; then TCP and the control channel have their turn."""
LARGEST = 65535
"""Bytes of a query that are read: all that a datagram can have."""
_IN_PKTINFO = struct.Struct("=i4s4s")
_IN6_PKTINFO = struct.Struct("=16si")
_IP_PKTINFO = 8
_LINK_LOCAL = b"\xfe\x80"
_Ancillary = list[tuple[int, int, bytes]]


def is_wildcard(sock: socket.socket) -> bool:
    """Whether replies must be told from which address to leave: a socket bound to one sends from it by itself."""
    return sock.getsockname()[0] in ("0.0.0.0", "::")


class UdpSocket:
    """Reads one socket and answers what comes in. No packet makes it raise."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, responder: Responder) -> None:
        self._loop = loop
        self._sock = sock
        self._responder = responder
        self._v6 = sock.family == socket.AF_INET6
        wildcard = is_wildcard(sock)
        self._space = socket.CMSG_SPACE(_IN6_PKTINFO.size if self._v6 else _IN_PKTINFO.size) if wildcard else 0
        loop.add_reader(sock.fileno(), self.readable)

    def readable(self) -> bool:
        """Answer up to `BATCH` packets; whether the socket may hold more."""
        sock, responder, space = self._sock, self._responder, self._space
        now_s = int(time.time())
        for _ in range(BATCH):
            try:
                packet, ancillary, _, peer = sock.recvmsg(LARGEST, space, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return False
            except OSError:
                responder.count("receive_errors")
                return False
            try:
                reply = responder.answer(packet, packed(peer[0]), now_s=now_s, tcp=False)
                if reply is not None:
                    sock.sendmsg((reply,), self._from(ancillary) if ancillary else (), socket.MSG_DONTWAIT, peer)
            except OSError:
                # A full send buffer, a firewall, a source no route leads back to: the client will ask again.
                responder.count("send_errors")
        return True

    def _from(self, ancillary: _Ancillary) -> _Ancillary:
        """What makes the kernel send from the address the packet came to (ip(7), RFC 3542 section 6)."""
        for level, kind, data in ancillary:
            if kind == _IP_PKTINFO and level == socket.IPPROTO_IP and len(data) == _IN_PKTINFO.size:
                local = _IN_PKTINFO.unpack(data)[1]
                return [(level, kind, _IN_PKTINFO.pack(0, local, bytes(4)))]
            if kind == socket.IPV6_PKTINFO and level == socket.IPPROTO_IPV6 and len(data) == _IN6_PKTINFO.size:
                local, interface = _IN6_PKTINFO.unpack(data)
                return [(level, kind, _IN6_PKTINFO.pack(local, interface if local[:2] == _LINK_LOCAL else 0))]
        return []

    def drain(self, until: float) -> None:
        """Answer what has come in, at most to a time of `time.monotonic`, and read no more."""
        self.pause()
        while self.readable() and time.monotonic() < until:
            pass

    def pause(self) -> None:
        """Read no more; the socket stays open for whoever else holds it."""
        self._loop.remove_reader(self._sock.fileno())

    def close(self) -> None:
        """Stop and close this process's hold on the socket."""
        self.pause()
        self._sock.close()
