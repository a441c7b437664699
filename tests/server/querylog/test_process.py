"""The process that writes the query log, in this one: what is in the rings lands, whatever the disk does meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import structlog.testing
from gslbtest import network
from gslbtest.logged import snapshots
from gslbtest.process import SOON_S
from gslbtest.world import World, world

from gslb.model.names import to_text
from gslb.server import cells, frames, ring
from gslb.server.querylog import board, landing, process
from gslb.server.querylog.board import Board
from gslb.snapshot.layout import NONE32

ROOM = 4
RINGS = cells.BLOCKS


class Desk:
    """A worker's rings and counters, and what becomes of the log of those."""

    def __init__(self, folder: Path, seconds: float = 0.0) -> None:
        self.folder = folder
        self._counters = cells.create()
        self._rings = ring.create(1, RINGS)
        self._fd = board.create(RINGS, ROOM)
        self.board = Board(self._fd, RINGS)
        self.cells = cells.attach(self._counters)
        self.writers = [ring.Writer(each) for each in ring.attach(self._rings)]
        self.start = frames.Record("ns1", "00112233aabbccdd", str(folder), "info", ROOM, seconds, 10**9, 0)
        self.answers: asyncio.Queue[frames.Frame] = asyncio.Queue()

    def put(self, *marks: int, ring_: int = 1, catalog: int = 1, service: int = NONE32) -> None:
        """Questions of a worker's thread, each told by its mark."""
        for mark in marks:
            self.cells[cells.replies_at(0)] += 1
            self.writers[ring_].put(1_795_000_000_000_000, 0, 0, service, 0, 0, catalog, mark, 1, 65535, *(0,) * 7)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[frames.Channel, asyncio.Task[None]]]:
        """The process; it is broken off where it has not ended, as if it were killed."""
        ours, theirs = socket.socketpair()
        channel = frames.Channel(ours, lambda frame, _: self.answers.put_nowait(frame), lambda: None)
        channel.send(self.start, [self._fd, self._counters, self._rings])
        running = asyncio.create_task(process.Writer(theirs).run())
        try:
            yield channel, running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            channel.close()

    async def until(self, cell: str, value: int) -> None:
        """Wait until a cell of the board has come to a value."""
        async with asyncio.timeout(SOON_S):
            while self.board[cell] < value:  # noqa: ASYNC110 what is waited for sets no event
                await asyncio.sleep(0.005)

    def rows(self, folder: str = "queries") -> list[dict[str, Any]]:
        found = [row for path in (self.folder / folder).glob("*") for row in pq.read_table(path).to_pylist()]
        return sorted(found, key=lambda row: row["seq"] if "seq" in row else row["last_seq"])

    def marks(self) -> list[tuple[int, int]]:
        """Number and mark of every record."""
        return [(row["seq"], row["qname_crc"]) for row in self.rows()]


@pytest.fixture(autouse=True)
def _logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process sets up its log; these tests have theirs."""
    monkeypatch.setattr(process, "configure", lambda level: None)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "log")


async def drained(channel: frames.Channel, running: asyncio.Task[None]) -> None:
    channel.send(frames.Drain())
    async with asyncio.timeout(SOON_S):
        await running


async def test_what_is_in_the_rings_lands(desk: Desk) -> None:
    desk.put(1, 2)
    async with desk.running() as (channel, running):
        await desk.until("segments", 1)
        desk.put(3, 4, ring_=0)
        await desk.until("segments", 2)
        desk.put(5, ring_=8)
        await drained(channel, running)
    assert desk.marks() == [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]
    names = sorted(path.name for path in (desk.folder / "queries").iterdir())
    assert names == [f"ns1-00112233aabbccdd-{first:012d}.parquet" for first in (1, 3, 5)]
    counted = [(row["queries"], row["logged"], row["lost"], row["last_seq"]) for row in desk.rows("counters")]
    assert counted == [(2, 2, 0, 2), (4, 4, 0, 4), (5, 5, 0, 5)]
    assert desk.board["bytes"] == sum(path.stat().st_size for path in (desk.folder / "queries").iterdir())


async def test_segments_are_cut_by_size(tmp_path: Path) -> None:
    desk = Desk(tmp_path, seconds=3600)
    desk.put(*range(1, 8))
    async with desk.running() as (channel, running):
        await desk.until("segments", 1)
        assert [seq for seq, _ in desk.marks()] == [1, 2, 3, 4]
        await asyncio.sleep(3 * process.POLL_S)
        assert desk.board["segments"] == 1  # the rest waits for its time
        await drained(channel, running)
    assert desk.marks() == [(number, number) for number in range(1, 8)]


async def test_counters_without_questions(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "COUNT_S", 0.0)
    desk.cells[cells.replies_at(1) + cells.RCODE_DROPPED] += 9  # no reply, no record
    async with desk.running() as (channel, running):
        await desk.until("counts", 2)
        await drained(channel, running)
    assert {(row["queries"], row["logged"], row["lost"]) for row in desk.rows("counters")} == {(0, 0, 0)}
    assert not (desk.folder / "queries").exists()


async def test_a_disk_that_will_not_have_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What finds no room meanwhile is counted, its numbers are missing, and it is told once; then all goes on."""
    monkeypatch.setattr(process, "AGAIN_S", (0.01,))
    kept = 1 + ROOM  # what was tried to be written, and what waits behind it
    desk.folder.write_text("a file where the folder should be")
    with structlog.testing.capture_logs() as logs:
        async with desk.running() as (channel, running):
            for mark in range(1, 4 * ROOM + 1):
                desk.put(mark)
                await desk.until("given", mark)
            await desk.until("failures", 3)
            assert (desk.board["failing"], desk.board["lost_disk"]) == (1, 4 * ROOM - kept)
            desk.folder.unlink()
            await desk.until("segments", 2)
            desk.put(99)
            await desk.until("segments", 3)
            await drained(channel, running)
    assert desk.marks() == [*((number, number) for number in range(1, kept + 1)), (4 * ROOM + 1, 99)]
    assert desk.board["failing"] == 0
    assert [(each["event"], each.get("reason"), each.get("lost")) for each in logs] == [
        ("the query log cannot be written", "File exists", None),
        ("the query log is written again", None, 4 * ROOM - kept),
    ]
    assert desk.rows("counters")[-1]["lost"] == 4 * ROOM - kept


async def test_an_end_while_the_disk_will_not_have_it(desk: Desk) -> None:
    desk.folder.write_text("")
    desk.put(1, 2)
    async with desk.running() as (channel, running):
        await desk.until("failures", 1)
        desk.put(3)
        await drained(channel, running)
    assert (desk.board["lost_disk"], desk.board["logged"], desk.board["given"]) == (3, 0, 3)


async def test_a_slow_disk_delays_nothing_else(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a segment is written for ever, rings are read; what finds no room is counted."""
    turn = asyncio.Event()
    loop = asyncio.get_running_loop()
    write = landing.Lander.segment

    def slow(self: landing.Lander, *arguments: Any) -> landing.Landed:
        asyncio.run_coroutine_threadsafe(turn.wait(), loop).result()
        return write(self, *arguments)

    monkeypatch.setattr(landing.Lander, "segment", slow)
    async with desk.running() as (channel, running):
        desk.put(1)
        await desk.until("attempts", 1)
        desk.put(*range(2, 2 + 2 * ROOM))
        await desk.until("lost_disk", ROOM)
        assert desk.board["segments"] == 0
        turn.set()
        await drained(channel, running)
    assert [seq for seq, _ in desk.marks()] == [1, 2, 3, 4, 5]


async def test_a_successor_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken off at any point: what was read has its number and is written; the ring is read on from there."""
    desk.put(1, 2)
    async with desk.running():
        await desk.until("segments", 1)
    desk.put(3)
    with desk.board.change() as change:  # read, and written down, but that was not noted
        change.read(1, 3, ring.Reader(ring.attach(desk._rings)[1], 2).read(), 0)
        change.seal()
    landing.Lander(desk.start, 1).segment(desk.board.records(1 - desk.board["active"]), {})
    desk.put(4)
    async with desk.running() as (channel, running):
        await desk.until("segments", 3)
        await drained(channel, running)
    assert desk.marks() == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert (desk.board["logged"], desk.board.lost) == (4, 0)


async def test_what_kills_the_process_is_given_up(desk: Desk) -> None:
    with desk.board.change() as change:
        change.read(1, 0, ring.Reader(ring.attach(desk._rings)[1]).read(), 0)
    desk.put(1, 2)
    with desk.board.change() as change:
        change.read(1, 2, ring.Reader(ring.attach(desk._rings)[1]).read(), 0)
        change.seal()
        change["attempts"] = process.ATTEMPTS
    async with desk.running() as (channel, running):
        await desk.until("lost_fault", 2)
        desk.put(3)
        await drained(channel, running)
    assert desk.marks() == [(3, 3)]


async def test_a_fault_of_this_program_loses_a_segment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    write = landing.Lander.segment

    def faulty(self: landing.Lander, found: Any, known: Any) -> landing.Landed:
        if found["qname"][0] == 1:
            raise RuntimeError("a fault")
        return write(self, found, known)

    monkeypatch.setattr(landing.Lander, "segment", faulty)
    async with desk.running() as (channel, running):
        desk.put(1, 2)
        await desk.until("lost_fault", 2)
        desk.put(3)
        await drained(channel, running)
    assert desk.marks() == [(3, 3)]
    assert desk.rows("counters")[-1]["lost"] == 2


async def test_it_ends_when_control_is_gone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits a moment for what workers still answer, and writes that too."""
    monkeypatch.setattr(process, "LAST_S", 3 * process.POLL_S)
    desk.put(1)
    async with desk.running() as (channel, running):
        await desk.until("segments", 1)
        channel.close()
        await asyncio.sleep(process.POLL_S)
        desk.put(2)
        async with asyncio.timeout(SOON_S):
            await running
    assert desk.marks() == [(1, 1), (2, 2)]


async def test_it_may_end_before_it_began() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    writer = process.Writer(theirs)
    process.LAST_S, last = 0.0, process.LAST_S
    try:
        async with asyncio.timeout(SOON_S):
            await writer.run()
    finally:
        process.LAST_S = last


async def test_catalogs_are_told_and_forgotten(desk: Desk) -> None:
    net: World = world(network.ZONES, network.TABLES)
    catalog, steered = snapshots(net)
    with structlog.testing.capture_logs() as logs:
        async with desk.running() as (channel, running):
            channel.send(frames.Decided(0, 1, -1, True), [catalog])  # a predecessor's, which nobody waits for
            for number in range(2, 6):
                channel.send(frames.Decided(number, number, number, True), [catalog, steered])
            channel.send(frames.Decided(9, 5, 6, False), [steered])
            channel.send(frames.Decided(10, 7, 7, True), [steered, steered])  # no catalog
            for number in (2, 3, 4, 5, 9):
                assert await desk.answers.get() == frames.Done(number)
            refused = await desk.answers.get()
            assert refused == frames.Done(10, "snapshot: magic b'GSLBSTE\\x00' is not b'GSLBCAT\\x00'")
            for turn, catalog_number in enumerate((2, 3, 5, 4, 99), 1):
                desk.put(turn, service=0, catalog=catalog_number)
                await desk.until("segments", turn)
            await drained(channel, running)
    os.close(catalog)
    os.close(steered)
    assert [seq for seq, _ in desk.marks()] == [2, 3, 4]  # 2 was forgotten though nothing was written, 99 never known
    assert desk.board["lost_catalog"] == 2
    assert {row["service"] for row in desk.rows()} == {to_text(net.catalog.name_text(net.catalog.services[0].name))}
    assert [each["event"] for each in logs if each["log_level"] == "error"] == [
        "the query log cannot tell what is answered from"
    ]


async def test_catalogs_that_waiting_records_speak_of_stay(tmp_path: Path) -> None:
    """Those that lie in the rings yet among them."""
    desk = Desk(tmp_path / "log", seconds=3600)
    catalog, steered = snapshots(world(network.ZONES, network.TABLES))
    async with desk.running() as (channel, running):
        for number in range(1, 7):
            channel.send(frames.Decided(number, number, number, True), [catalog, steered])
            assert await desk.answers.get() == frames.Done(number)
            if number == 1:
                desk.put(1, service=0)
        await drained(channel, running)
    os.close(catalog)
    os.close(steered)
    assert [row["catalog"] for row in desk.board.records(0)] == []
    assert (desk.board["logged"], desk.board.lost) == (1, 0)


async def test_an_end_tries_once_more(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk did not take before it may take now."""
    monkeypatch.setattr(process, "AGAIN_S", (3600.0,))
    desk.folder.write_text("a file where the folder should be")
    desk.put(1)
    async with desk.running() as (channel, running):
        await desk.until("failures", 1)
        desk.put(2)
        desk.folder.unlink()
        await drained(channel, running)
    assert desk.marks() == [(1, 1), (2, 2)]
    assert desk.board.lost == 0
