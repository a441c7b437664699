"""The control protocol: frames in any pieces, descriptors that arrive with their frame, ends that go away."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gslb.server import frames
from gslb.server.meta import RateLimit

IDENTITY = frames.Identity(b"ns1", b"gslb", (bytes(16),), ("127.0.0.0/8",), 100)
FRAMES = [
    frames.Start(1, 2, "info", 10, 5, 10.0),
    frames.Listen(3),
    frames.Unlisten(3),
    frames.Swap(7, b"\1\0\2\0", IDENTITY, RateLimit(5, 2, 15, ("192.0.2.0/24",))),
    frames.Swap(8, b"", IDENTITY, None),
    frames.Swap(8, b"", IDENTITY, None, 3, 65535),
    frames.Steer(9),
    frames.Steer(9, 65535),
    frames.Record("ns1", "00112233aabbccdd", "/log", "info", 500_000, 15.0, 10**10, 10**9),
    frames.Decided(4, 3, 65535, True),
    frames.Drain(),
    frames.Done(7),
    frames.Done(8, "checksum differs"),
]


@pytest.mark.parametrize("size", [1, 2, 7, 100_000])
def test_pieces_of_any_size(size: int) -> None:
    stream = b"".join(map(frames.pack, FRAMES))
    assembler = frames.Assembler()
    found = []
    for at in range(0, len(stream), size):
        found += assembler.feed(stream[at : at + size])
    assert found == [(frame, []) for frame in FRAMES]


def test_descriptors_go_with_their_frames() -> None:
    fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(4)]
    assembler = frames.Assembler()
    data = frames.pack(FRAMES[1], 2) + frames.pack(FRAMES[2]) + frames.pack(FRAMES[5], 1)
    found = assembler.feed(data[:3], fds[:2]) + assembler.feed(data[3:], fds[2:])
    assert found == [(FRAMES[1], fds[:2]), (FRAMES[2], []), (FRAMES[5], fds[2:3])]
    assembler.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fds[3])
    for fd in fds[:3]:
        os.close(fd)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff\xff\xff\xff\0", "a frame of 4294967295 bytes"),
        (frames.pack(FRAMES[1], 1), "descriptors of a frame are missing"),
        (b"\1\0\0\0\0\xc0", "Expected `object`"),
    ],
)
def test_what_is_no_frame(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        frames.Assembler().feed(data)


class End:
    """One end of a pair, with what it heard."""

    def __init__(self, sock: socket.socket) -> None:
        self.heard: list[tuple[frames.Frame, list[int]]] = []
        self.closed = 0
        self.channel = frames.Channel(sock, lambda frame, fds: self.heard.append((frame, fds)), self._gone)

    def _gone(self) -> None:
        self.closed += 1


Until = Callable[[Callable[[], object]], Awaitable[None]]


async def test_channel_passes_descriptors(until: Until) -> None:
    left, right = map(End, socket.socketpair())
    memory = os.memfd_create("test")
    os.write(memory, b"hello")
    left.channel.send(FRAMES[5], [memory])
    os.close(memory)
    await until(lambda: right.heard)
    [(frame, [fd])] = right.heard
    assert frame == FRAMES[5]
    assert os.pread(fd, 10, 0) == b"hello"
    os.close(fd)
    left.channel.close()
    await until(lambda: right.closed)
    assert (left.closed, right.closed) == (0, 1)
    right.channel.send(FRAMES[6])  # into a closed channel: nothing
    left.channel.close()


async def test_channel_waits_for_a_slow_reader(until: Until) -> None:
    ours, theirs = socket.socketpair()
    left = End(ours)
    large = frames.Swap(1, bytes(1_000_000), IDENTITY, None)
    memory = os.memfd_create("test")
    for _ in range(5):
        left.channel.send(large, [memory])
    await asyncio.sleep(0.05)
    right = End(theirs)
    await until(lambda: len(right.heard) == 5)
    assert all(frame == large and len(fds) == 1 for frame, fds in right.heard)
    for _, fds in right.heard:
        os.close(fds[0])
    os.close(memory)
    left.channel.close()
    right.channel.close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_channel_whose_reader_dies_while_it_writes(until: Until) -> None:
    ours, theirs = socket.socketpair()
    left = End(ours)
    memory = os.memfd_create("test")
    before = descriptors()
    for _ in range(3):
        left.channel.send(frames.Swap(1, bytes(1_000_000), IDENTITY, None), [memory])
    theirs.close()
    await until(lambda: left.closed)
    assert left.closed == 1
    assert descriptors() < before
    os.close(memory)
