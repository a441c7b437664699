"""UDP: the address that was asked answers, batches are bounded, and no packet makes the socket fall over."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Iterator
from typing import Self

import pytest
from gslbtest.process import SOON_S

from gslb.server import cells, listen, udp
from gslb.server.endpoint import Endpoint
from gslb.server.udp import UdpSocket


class Echo:
    """Stands for a `Responder`: answers with the message reversed, and keeps whom it answered."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(cells.SCALARS, 0)
        self.sources: list[bytes] = []

    def count(self, scalar: str, by: int = 1) -> None:
        self.counts[scalar] += by

    def answer(self, packet: bytes, source: bytes, *, now_s: int, tcp: bool) -> bytes | None:
        assert not tcp
        assert now_s > 1_700_000_000
        self.sources.append(source)
        return None if packet == b"drop" else packet[::-1]


def bound(host: str) -> socket.socket:
    opened = listen.open_all([Endpoint(host, 0)], 1, 1 << 20)
    opened.by_worker[0][1].close()
    return opened.by_worker[0][0]


@pytest.fixture
def client() -> Iterator[dict[int, socket.socket]]:
    """A socket of each family."""
    sockets = {family: socket.socket(family, socket.SOCK_DGRAM) for family in (socket.AF_INET, socket.AF_INET6)}
    for sock in sockets.values():
        sock.settimeout(SOON_S)
    yield dict(sockets)
    for sock in sockets.values():
        sock.close()


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.2"),
        ("0.0.0.0", "127.255.3.4"),
        ("127.0.0.3", "127.0.0.3"),
        ("::", "::1"),
        ("::1", "::1"),
    ],
)
async def test_answers_leave_from_the_address_asked(host: str, asked: str, client: dict[int, socket.socket]) -> None:
    sock = bound(host)
    echo = Echo()
    read = UdpSocket(asyncio.get_running_loop(), sock, echo)  # type: ignore[arg-type]  # a stand-in
    ours = client[sock.family]
    ours.sendto(b"question", (asked, sock.getsockname()[1]))
    answer, peer = await asyncio.to_thread(ours.recvfrom, 1000)
    assert (answer, peer[0], peer[1]) == (b"noitseuq", asked, sock.getsockname()[1])
    assert echo.sources == [socket.inet_pton(sock.family, ours.getsockname()[0].replace("0.0.0.0", "127.0.0.1"))] or (
        echo.sources == [socket.inet_pton(sock.family, "::1")]
    )
    read.close()
    assert sock.fileno() == -1


async def test_a_batch_is_bounded_and_a_drain_is_whole(client: dict[int, socket.socket]) -> None:
    sock = bound("127.0.0.1")
    echo = Echo()
    read = UdpSocket(asyncio.get_running_loop(), sock, echo)  # type: ignore[arg-type]  # a stand-in
    ours = client[socket.AF_INET]
    for number in range(udp.BATCH * 3):
        ours.sendto(b"%d" % number, sock.getsockname())
    assert read.readable() is True
    assert len(echo.sources) == udp.BATCH
    read.drain(time.monotonic() + SOON_S)
    assert len(echo.sources) == udp.BATCH * 3
    ours.sendto(b"late", sock.getsockname())
    await asyncio.sleep(0.02)
    assert len(echo.sources) == udp.BATCH * 3
    read.close()


class Failing:
    """Stands for a socket whose system calls fail."""

    family = socket.AF_INET

    def __init__(self, *, read: int = 0, write: int = 0) -> None:
        self._read, self._write = read, write
        self._left = 2

    def getsockname(self) -> tuple[str, int]:
        return ("127.0.0.1", 53)

    def fileno(self) -> int:
        return self._pair[0].fileno()

    def recvmsg(self, size: int, space: int, flags: int) -> tuple[bytes, list[object], int, tuple[str, int]]:
        self._left -= 1
        if self._read:
            raise OSError(self._read, "read")
        if self._left < 0:
            raise BlockingIOError
        return b"question", [], 0, ("192.0.2.1", 4242)

    def sendmsg(self, *_: object) -> int:
        raise OSError(self._write, "write")

    def __enter__(self) -> Self:
        self._pair = socket.socketpair()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._pair:
            each.close()


@pytest.mark.parametrize(
    ("read", "write", "counts"),
    [
        (errno.ENOMEM, 0, {"receive_errors": 1, "send_errors": 0}),
        (0, errno.EPERM, {"receive_errors": 0, "send_errors": 2}),
        (0, errno.EAGAIN, {"receive_errors": 0, "send_errors": 2}),
        (0, errno.ENETUNREACH, {"receive_errors": 0, "send_errors": 2}),
    ],
)
async def test_system_calls_that_fail_are_counted(read: int, write: int, counts: dict[str, int]) -> None:
    echo = Echo()
    with Failing(read=read, write=write) as failing:
        reader = UdpSocket(asyncio.get_running_loop(), failing, echo)  # type: ignore[arg-type]  # stand-ins
        assert reader.readable() is False
        reader.pause()
    assert {name: echo.counts[name] for name in counts} == counts


async def test_no_answer_is_sent_where_none_is_due(client: dict[int, socket.socket]) -> None:
    sock = bound("127.0.0.1")
    echo = Echo()
    read = UdpSocket(asyncio.get_running_loop(), sock, echo)  # type: ignore[arg-type]  # a stand-in
    ours = client[socket.AF_INET]
    ours.sendto(b"drop", sock.getsockname())
    ours.sendto(b"", sock.getsockname())
    ours.sendto(b"x" * 60_000, sock.getsockname())
    assert await asyncio.to_thread(ours.recv, 65535) == b""
    assert len(await asyncio.to_thread(ours.recv, 65535)) == 60_000
    read.close()
