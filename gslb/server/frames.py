"""What the control process and its children say to each other: length-prefixed msgpack over a socketpair.

frame   body bytes u32, descriptors u8, body     (little-endian; the descriptors travel beside the first byte)
"""

from __future__ import annotations

import array
import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from gslb.server.meta import RateLimit

_HEAD = struct.Struct("<IB")
MAX_FDS = 250
"""Descriptors in one frame; the kernel's own limit is 253."""
MAX_BODY = 16 * 1024 * 1024
_READ = 256 * 1024


class Identity(msgspec.Struct, frozen=True):
    """What a worker says of itself; ``debug_acl`` are CIDR texts."""

    server_id: bytes
    version: bytes
    cookie_secrets: tuple[bytes, ...]
    debug_acl: tuple[str, ...]
    keepalive_ds: int


class Start(msgspec.Struct, frozen=True, tag=True):
    """The first frame to a worker, with two descriptors: its counters and its query log's rings.

    Of the questions, one in ``query_log`` is logged; 0: none.
    """

    slot: int
    workers: int
    log_level: str
    tcp_connections: int
    tcp_per_client: int
    tcp_idle_s: float
    query_log: int = 0


class Listen(msgspec.Struct, frozen=True, tag=True):
    """Read the accompanying sockets; ``key`` names them for `Unlisten`."""

    key: int


class Unlisten(msgspec.Struct, frozen=True, tag=True):
    """Leave the sockets of ``key`` to another worker."""

    key: int


class Swap(msgspec.Struct, frozen=True, tag=True):
    """Answer from the accompanying catalog and steering, two descriptors in this order.

    ``edge_slots``: u16 per edge row, its counter. ``catalog`` and ``steering`` are their numbers in the query log.
    """

    seq: int
    edge_slots: bytes
    identity: Identity
    rate_limit: RateLimit | None
    catalog: int = 0
    steering: int = 0


class Steer(msgspec.Struct, frozen=True, tag=True):
    """Answer with the accompanying steering, for the catalog of the last `Swap`."""

    seq: int
    steering: int = 0


class Record(msgspec.Struct, frozen=True, tag=True):
    """The first frame to the process that writes the query log.

    With it come the descriptors of what outlives it, then the counters of all workers, then their rings. ``folder`` is
    where it lands; a segment is written at ``rows`` records and after ``seconds``; the server's own files there take
    ``most_bytes`` together, and ``free_bytes`` of the disk are left to others.
    """

    server_id: str
    boot_id: str
    folder: str
    log_level: str
    rows: int
    seconds: float
    most_bytes: int
    free_bytes: int


class Decided(msgspec.Struct, frozen=True, tag=True):
    """To the same: what workers answer from next, by the numbers that records have.

    With it come the catalog, where it is ``new``, and the steering, unless its number is -1. ``seq`` 0 is not answered.
    """

    seq: int
    catalog: int
    steering: int
    new: bool


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Take no more, answer what has come in, and end."""


class Done(msgspec.Struct, frozen=True, tag=True):
    """From a child: `Swap`, `Steer` or `Decided` ``seq`` is taken, or why it is not."""

    seq: int
    error: str = ""


Frame = Start | Listen | Unlisten | Swap | Steer | Drain | Done | Record | Decided
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Frame).decode


class Assembler:
    """Puts frames together from whatever pieces they arrive in; no sockets here."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._fds: deque[int] = deque()

    def feed(self, data: bytes, fds: Sequence[int] = ()) -> list[tuple[Frame, list[int]]]:
        """The frames that ``data`` completes, each with its descriptors, which are the caller's to close.

        Raises `ValueError` for bytes that are no frame.
        """
        self._data += data
        self._fds.extend(fds)
        found = []
        while len(self._data) >= _HEAD.size:
            length, count = _HEAD.unpack_from(self._data)
            if length > MAX_BODY:
                raise ValueError(f"a frame of {length} bytes")
            if len(self._data) < _HEAD.size + length:
                break
            body = bytes(self._data[_HEAD.size : _HEAD.size + length])
            del self._data[: _HEAD.size + length]
            if count > len(self._fds):
                raise ValueError("descriptors of a frame are missing")
            found.append((_decode(body), [self._fds.popleft() for _ in range(count)]))
        return found

    def close(self) -> None:
        """Close descriptors that no frame came for."""
        while self._fds:
            os.close(self._fds.popleft())


def pack(frame: Frame, fds: int = 0) -> bytes:
    """A frame as bytes."""
    body = _encode(frame)
    return _HEAD.pack(len(body), fds) + body


class Channel:
    """One end of the socketpair, on the running event loop.

    ``on_frame`` is called with each frame and its descriptors; ``on_close`` once, when the other end is gone.
    """

    def __init__(
        self, sock: socket.socket, on_frame: Callable[[Frame, list[int]], None], on_close: Callable[[], None]
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._on_frame = on_frame
        self._on_close = on_close
        self._assembler = Assembler()
        self._waiting: deque[tuple[bytes, list[int]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._open = True
        self._loop.add_reader(sock.fileno(), self._readable)

    def send(self, frame: Frame, fds: Sequence[int] = ()) -> None:
        """Send a frame; the descriptors are duplicated here, the caller's own remain the caller's."""
        if self._open:
            self._waiting.append((pack(frame, len(fds)), [os.dup(fd) for fd in fds]))
            if len(self._waiting) == 1:
                self._writable()

    def close(self) -> None:
        """Close this end; `on_close` is not called."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        self._assembler.close()
        while self._waiting:
            _close_all(self._waiting.popleft()[1])

    def _readable(self) -> None:
        try:
            data, ancillary, _, _ = self._sock.recvmsg(_READ, socket.CMSG_SPACE(MAX_FDS * 4), socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        if not data:
            self._lost()
            return
        fds = array.array("i")
        for level, kind, raw in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(raw[: len(raw) - len(raw) % fds.itemsize])
        for frame, owned in self._assembler.feed(data, fds):
            self._on_frame(frame, owned)

    def _writable(self) -> None:
        while self._waiting:
            data, fds = self._waiting[0]
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
            try:
                sent = self._sock.sendmsg([data], rights)
            except BlockingIOError:
                self._loop.add_writer(self._sock.fileno(), self._writable)
                return
            except OSError:
                self._lost()
                return
            _close_all(fds)
            if sent < len(data):
                self._waiting[0] = (data[sent:], [])
            else:
                self._waiting.popleft()
        self._loop.remove_writer(self._sock.fileno())

    def _lost(self) -> None:
        if self._open:
            self.close()
            self._on_close()


def _close_all(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
