"""TCP as a table of conversations: what goes in, in which pieces, and what comes out (RFC 7766)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Self

import pytest
from gslbtest.process import SOON_S

from gslb.server import cells
from gslb.server.tcp import Framer, TcpServer


class Echo:
    """Stands for a `Responder`: answers with the message reversed, ``b"?"`` repeated for a large one, or not at all."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(cells.SCALARS, 0)
        self.asked = 0

    def count(self, scalar: str, by: int = 1) -> None:
        self.counts[scalar] += by

    def answer(self, packet: bytes, source: bytes, *, now_s: int, tcp: bool) -> bytes | None:
        assert tcp
        assert source in (socket.inet_aton("127.0.0.1"), socket.inet_pton(socket.AF_INET6, "::1"))
        self.asked += 1
        if packet.startswith(b"none"):
            return None
        if packet.startswith(b"large"):
            return b"?" * 60_000
        return packet[::-1]


class Running:
    """A `TcpServer` on a free port."""

    def __init__(self, *, connections: int = 100, per_client: int = 100, idle_s: float = 60.0) -> None:
        self.echo = Echo()
        self.server = TcpServer(self.echo, connections, per_client, idle_s)  # type: ignore[arg-type]  # a stand-in
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]

    async def __aenter__(self) -> Self:
        await self.server.listen(self.sock)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.wait_for(self.server.drain(), SOON_S)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


def framed(*messages: bytes) -> bytes:
    return b"".join(struct.pack("!H", len(each)) + each for each in messages)


async def everything(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(SOON_S):
        return await reader.read()


Until = Callable[[Callable[[], object]], Awaitable[None]]
ONE, TWO, THREE = b"question one", b"question two, longer", b"question three"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize(
    ("stream", "out", "bad"),
    [
        (framed(ONE), [ONE], False),
        (framed(ONE, TWO, THREE), [ONE, TWO, THREE], False),
        (framed(ONE, TWO)[:-1], [ONE], False),
        (framed(ONE) + b"\0", [ONE], False),
        (b"", [], False),
        (b"\0\0", [], True),
        (framed(ONE) + b"\0\0" + framed(TWO), [ONE], True),
        (framed(ONE, b"short"), [ONE], True),
        (framed(b"x" * 11), [], True),
        (framed(b"x" * 65535), [b"x" * 65535], False),
        (framed(ONE, b"none, and so the end", TWO), [ONE], True),
    ],
    ids=["one", "pipelined", "cut", "half a length", "nothing", "zero", "zero between", "short", "11", "65535", "drop"],
)
async def test_conversations(stream: bytes, out: list[bytes], bad: bool, size: int, until: Until) -> None:
    if len(stream) > 10_000:
        size *= 1000
    async with Running() as running:
        reader, writer = await running.connect()
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(stream), size):
            writer.write(stream[at : at + size])
            await asyncio.sleep(0)
        writer.write_eof()
        assert await everything(reader) == framed(*(each[::-1] for each in out))
        writer.close()
        await until(lambda: running.echo.counts["tcp_open"] == 0)
        assert running.echo.counts["tcp_bad_frames"] == bad


async def test_the_connection_stays_for_further_questions() -> None:
    async with Running() as running:
        reader, writer = await running.connect()
        for message in (ONE, TWO, THREE):
            writer.write(framed(message))
            assert await asyncio.wait_for(reader.readexactly(2 + len(message)), SOON_S) == framed(message[::-1])
        writer.close()


async def test_thousands_pipelined_and_others_are_served_meanwhile() -> None:
    async with Running() as running:
        reader, writer = await running.connect()
        many = [b"question %06d" % number for number in range(20_000)]
        writer.write(framed(*many))
        other_reader, other_writer = await running.connect()
        other_writer.write(framed(ONE))
        assert await asyncio.wait_for(other_reader.readexactly(2 + len(ONE)), SOON_S) == framed(ONE[::-1])
        answered_first = running.echo.asked
        writer.write_eof()
        assert await everything(reader) == framed(*(each[::-1] for each in many))
        assert answered_first < len(many)
        for each in (writer, other_writer):
            each.close()


async def test_who_does_not_read_is_not_read_from() -> None:
    async with Running() as running:
        reader, writer = await running.connect()
        writer.write(framed(*[b"large question"] * 2000))  # 120 MB of replies
        asked = 0
        async with asyncio.timeout(SOON_S):
            while asked != running.echo.asked or not asked:  # until nothing more is read
                asked = running.echo.asked
                await asyncio.sleep(0.2)
        assert asked < 500
        async with asyncio.timeout(SOON_S):
            for _ in range(2000):
                assert await reader.readexactly(60_002) == b"\xea\x60" + b"?" * 60_000
        writer.close()


async def test_idle_connections_are_closed() -> None:
    async with Running(idle_s=0.3) as running:
        silent, silent_writer = await running.connect()
        asking, asking_writer = await running.connect()
        asking_writer.write(framed(ONE))
        assert await everything(silent) == b""
        assert await everything(asking) == framed(ONE[::-1])
        assert running.echo.counts["tcp_idle_closed"] == 2
        for each in (silent_writer, asking_writer):
            each.close()


async def test_dripping_is_no_progress() -> None:
    async with Running(idle_s=0.3) as running:
        reader, writer = await running.connect()

        async def drip() -> None:
            for octet in framed(b"x" * 1000):
                writer.write(bytes((octet,)))
                await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        with contextlib.suppress(ConnectionResetError):  # what dripped in last may not have been read
            assert await everything(reader) == b""
        dripping.cancel()
        writer.close()
        assert (running.echo.counts["tcp_idle_closed"], running.echo.asked) == (1, 0)


async def test_who_never_reads_is_cut_off(until: Until) -> None:
    async with Running(idle_s=0.3) as running:
        _, writer = await running.connect()
        writer.write(framed(*[b"large question"] * 2000))
        await until(lambda: running.echo.counts["tcp_idle_closed"])
        await until(lambda: running.echo.counts["tcp_open"] == 0)
        writer.transport.abort()


async def test_too_many_of_one_client(until: Until) -> None:
    async with Running(per_client=2) as running:
        pairs = [await running.connect() for _ in range(3)]
        for _, writer in pairs:
            writer.write(framed(ONE))
        for reader, _ in pairs[:2]:
            assert await asyncio.wait_for(reader.readexactly(2 + len(ONE)), SOON_S) == framed(ONE[::-1])
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(pairs[2][0].readexactly(1), SOON_S)
        counts = running.echo.counts
        assert (counts["tcp_accepted"], counts["tcp_open"], counts["tcp_refused_client"]) == (3, 2, 1)
        pairs[0][1].close()
        await until(lambda: counts["tcp_open"] == 1)
        reader, writer = await running.connect()
        writer.write(framed(TWO))
        assert await asyncio.wait_for(reader.readexactly(2 + len(TWO)), SOON_S) == framed(TWO[::-1])
        for _, each in (*pairs, (reader, writer)):
            each.transport.abort()


async def test_too_many_in_all_and_the_longest_idle_goes() -> None:
    async with Running(connections=2) as running:
        pairs = [await running.connect() for _ in range(2)]
        for reader, writer in reversed(pairs):  # the second has been idle for longer than the first
            writer.write(framed(ONE))
            await asyncio.wait_for(reader.readexactly(2 + len(ONE)), SOON_S)
        third_reader, third = await running.connect()
        third.write(framed(TWO))
        assert await asyncio.wait_for(third_reader.readexactly(2 + len(TWO)), SOON_S) == framed(TWO[::-1])
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(pairs[1][0].readexactly(1), SOON_S)
        pairs[0][1].write(framed(THREE))
        await asyncio.wait_for(pairs[0][0].readexactly(2 + len(THREE)), SOON_S)
        assert running.echo.counts["tcp_evicted"] == 1
        for _, each in (*pairs, (None, third)):
            each.transport.abort()


async def test_drain_answers_what_is_under_way() -> None:
    running = Running()
    await running.server.listen(running.sock)
    idle_reader, idle = await running.connect()
    idle.write(framed(ONE))
    await idle_reader.readexactly(2 + len(ONE))
    half_reader, half = await running.connect()
    half.write(framed(ONE, TWO)[:-3])
    await half_reader.readexactly(2 + len(ONE))
    late_reader, late = await running.connect()
    drain = asyncio.create_task(running.server.drain())
    assert await everything(idle_reader) == b""
    late.write(framed(THREE))
    assert await everything(late_reader) == framed(THREE[::-1])
    half.write(framed(ONE, TWO)[-3:])
    assert await everything(half_reader) == framed(TWO[::-1])
    await asyncio.wait_for(drain, SOON_S)
    with pytest.raises(ConnectionRefusedError):
        await running.connect()
    for each in (idle, half, late):
        each.close()


async def test_drain_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gslb.server.tcp.GRACE_S", 0.2)
    running = Running()
    await running.server.listen(running.sock)
    reader, writer = await running.connect()
    writer.write(framed(ONE)[:-1])
    await asyncio.sleep(0.05)
    await asyncio.wait_for(running.server.drain(), SOON_S)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    writer.close()


async def test_ipv6() -> None:
    running = Running()
    running.sock.close()
    running.sock = socket.create_server(("::1", 0), family=socket.AF_INET6)
    async with running:
        reader, writer = await asyncio.open_connection("::1", running.sock.getsockname()[1])
        writer.write(framed(ONE))
        assert await asyncio.wait_for(reader.readexactly(2 + len(ONE)), SOON_S) == framed(ONE[::-1])
        writer.close()


def test_framer_says_what_it_holds() -> None:
    framer = Framer()
    assert (framer.is_empty, framer.has_whole, framer.next()) == (True, False, None)
    framer.feed(framed(ONE)[:5])
    assert (framer.is_empty, framer.has_whole, framer.next()) == (False, False, None)
    framer.feed(framed(ONE)[5:] + b"\0\3")
    assert framer.has_whole
    assert framer.next() == ONE
    assert framer.has_whole
    assert framer.next() is None
    assert framer.broken
    assert (framer.has_whole, framer.next()) == (False, None)
