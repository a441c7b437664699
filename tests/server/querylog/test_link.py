"""The process that writes the query log, started, told, killed and replaced by the control process."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import structlog.testing
from gslbtest import network
from gslbtest.logged import snapshots
from gslbtest.world import World, world

from gslb.server import cells, frames, ring
from gslb.server.fleet import Slot
from gslb.server.querylog import link, process
from gslb.server.querylog.link import Link
from gslb.server.settings import Settings

Until = Callable[[Callable[[], object]], Awaitable[None]]


@pytest.fixture(scope="module")
def net() -> World:
    return world(network.ZONES, network.TABLES)


def slots(sample: int = 1) -> tuple[list[Slot], ring.Writer]:
    """A worker's place, and what one of its threads writes with."""
    counters, log = cells.create(), ring.create(sample, cells.BLOCKS)
    return [Slot(0, (), counters, cells.attach(counters), log)], ring.Writer(ring.attach(log)[1])


def put(writer: ring.Writer, mark: int, catalog: int = 1) -> None:
    writer.put(1_795_000_000_000_000, 0, 0, 0, 0, 20, catalog, mark, 1, 0, *(0,) * 6, 5)


def record(folder: Path, seconds: float = 0.0) -> frames.Record:
    return frames.Record("ns1", "00112233aabbccdd", str(folder), "info", 1000, seconds, 10**9, 0)


def rows(folder: Path) -> list[dict[str, Any]]:
    found = [row for path in (folder / "queries").glob("*") for row in pq.read_table(path).to_pylist()]
    return sorted(found, key=lambda row: row["seq"])


async def test_nothing_is_lost_when_it_is_killed(tmp_path: Path, net: World, until: Until) -> None:
    """What it had read, what lay in the rings, and what the catalogs mean: a successor has it all."""
    (places, writer), linked = slots(), Link(record(tmp_path, 3600.0))
    catalog, steering = snapshots(net)
    await linked.begin(places)
    linked.decided((1, catalog), (5, steering), new=True)
    put(writer, 1)
    await until(lambda: linked.told().waiting == 1)
    first = linked.pid
    with structlog.testing.capture_logs() as logs:
        os.kill(first, signal.SIGKILL)
        await until(lambda: linked.pid == 0)
        put(writer, 2)
        linked.decided((1, catalog), (6, steering), new=False)
        linked.decided((2, catalog), (7, steering), new=True)
        await until(lambda: linked.pid)
        put(writer, 3, catalog=2)
        linked.decided((2, catalog), (8, steering), new=False)
        await until(lambda: linked.told().waiting == 3)
        await linked.end()
    assert [each["event"] for each in logs] == ["the query log's process died and is replaced"]
    assert linked.told()[:3] == (3, dict.fromkeys(("ring", "disk", "catalog", "fault"), 0), 1)
    assert linked.told()[-2:] == (0, 1)
    found = rows(tmp_path)
    assert [(row["seq"], row["qname_crc"]) for row in found] == [(1, 1), (2, 2), (3, 3)]
    assert {row["edge"] for row in found} == {net.catalog.edge_ids[0]}
    assert linked.pid == 0 or linked.pid != first
    for fd in (catalog, steering):
        os.close(fd)


class Ears:
    """A channel that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[frames.Frame, int]] = []

    def send(self, frame: frames.Frame, fds: Sequence[int] = ()) -> None:
        self.sent.append((frame, len(fds)))

    def close(self) -> None:
        """Nothing to close."""


class Killed:
    """A process that can be killed."""

    pid = 7

    def __init__(self, returncode: int | None = None) -> None:
        self.killed, self.returncode = 0, returncode

    def kill(self) -> None:
        self.killed += 1


def none_left(_: int) -> int:
    raise OSError(24, "Too many open files")


def open_fds() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_start_that_fails_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    linked = Link(record(tmp_path))
    assert linked.told() == link.NOTHING  # who scrapes before it began
    await linked.end()
    linked = Link(record(tmp_path))
    before = open_fds()
    monkeypatch.setattr(frames.os, "dup", none_left)
    for _ in range(3):
        with pytest.raises(OSError, match="Too many open files"):
            await linked._spawn()
    assert open_fds() == before


async def test_one_that_is_slow_is_told_the_newest(net: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never more than so many frames wait for it; one that says nothing for long is killed."""
    linked, ears, killed = Link(record(Path("/nowhere"))), Ears(), Killed()
    monkeypatch.setattr(linked, "_channel", ears)
    monkeypatch.setattr(linked, "_process", killed)
    catalog, steering = snapshots(net)
    linked.decided((1, catalog), (1, steering), new=True)
    for number in range(2, 2 * link.AHEAD):
        linked.decided((1, catalog), (number, steering), new=False)
    assert len(ears.sent) == link.AHEAD
    assert ears.sent[0] == (frames.Decided(1, 1, 1, True), 2)
    linked._frame(frames.Done(1))
    assert ears.sent[link.AHEAD :] == [(frames.Decided(1, 1, 2 * link.AHEAD - 1, False), 1)]
    linked.decided((2, catalog), (100, steering), new=True)  # a catalog is told in any case
    assert ears.sent[-1] == (frames.Decided(1, 2, 100, True), 2)
    assert killed.killed == 0
    monkeypatch.setattr(link, "STUCK_S", -1.0)
    with structlog.testing.capture_logs() as logs:
        linked.decided((2, catalog), (101, steering), new=False)
    assert (killed.killed, [each["event"] for each in logs]) == (
        1, ["the query log's process does not respond and is killed"],
    )  # fmt: skip
    for number in range(3, 9):
        linked.decided((number, catalog), (102, steering), new=True)
    assert sorted(linked._catalogs) == [6, 7, 8]
    monkeypatch.setattr(link, "STUCK_S", 60.0)
    for refused in (9, 10, 11):  # what was answered from before is told again, whatever came between
        linked.decided((refused, catalog), (103, steering), new=True)
        linked.decided((8, catalog), (104, steering), new=False)
    assert sorted(linked._catalogs) == [8, 9, 10, 11]
    told = [(frame.catalog, frame.new) for frame, _ in ears.sent[-2:] if isinstance(frame, frames.Decided)]
    assert told == [(11, True), (8, True)]
    ears.sent.clear()
    with monkeypatch.context() as broken, structlog.testing.capture_logs() as logs:
        broken.setattr(link.os, "dup", none_left)
        linked.decided((12, catalog), (105, steering), new=True)  # it must not keep workers from being told
    assert [each["event"] for each in logs] == ["the query log is not told what is answered from"]
    linked.decided((12, catalog), (106, steering), new=False)
    assert ears.sent == [(frames.Decided(1, 12, 106, True), 2)]
    for fd in (catalog, steering):
        os.close(fd)


async def test_one_that_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Until) -> None:
    """The server starts without it, and it is tried again."""
    places, _ = slots()
    linked = Link(record(tmp_path))
    tries = []

    async def failing() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise OSError("no more processes")
        monkeypatch.setattr(linked, "_channel", Ears())
        monkeypatch.setattr(linked, "_process", Killed(0))

    monkeypatch.setattr(linked, "_spawn", failing)
    monkeypatch.setattr(link, "BACKOFF_S", (0.01,))
    with structlog.testing.capture_logs() as logs:
        await linked.begin(places)
        assert (linked.pid, linked.told().restarts) == (0, 1)
        await until(lambda: linked.pid)
        await linked.end()
    assert logs[0]["event"] == "the query log cannot be started"
    assert len(tries) == 3


async def test_the_end_of_one_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Until) -> None:
    monkeypatch.setattr(link, "END_S", 0.05)
    places, _ = slots()
    linked = Link(record(tmp_path))
    await linked.begin(places)
    os.kill(linked.pid, signal.SIGSTOP)
    await linked.end()
    assert linked._process is not None
    assert linked._process.returncode == -signal.SIGKILL


async def test_an_end_while_it_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Until) -> None:
    """What waits is written by one that is started for that."""
    monkeypatch.setattr(link, "BACKOFF_S", (3600.0,))
    (places, writer), linked = slots(), Link(record(tmp_path, 3600.0))
    await linked.begin(places)
    put(writer, 1)
    await until(lambda: linked.told().waiting == 1)
    os.kill(linked.pid, signal.SIGKILL)
    await until(lambda: linked.pid == 0)
    put(writer, 2)
    await linked.end()
    assert linked.told().lost["catalog"] == 2  # it was told of none
    assert len(list((tmp_path / "queries").iterdir())) == 1


async def test_an_end_that_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing() -> None:
        raise OSError("no more processes")

    linked = Link(record(tmp_path))
    monkeypatch.setattr(linked, "_spawn", failing)
    monkeypatch.setattr(link, "BACKOFF_S", (3600.0,))
    await linked.begin(slots()[0])
    async with asyncio.timeout(60):
        await linked.end()


def test_it_is_made_by_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Link.by(Settings()) is None
    monkeypatch.chdir(tmp_path)
    made = Link.by(Settings(server_id="ns1", query_log_dir=Path("log"), query_log_rows=5000))
    assert made is not None
    start = made._start
    assert (start.server_id, start.folder, start.rows, start.seconds) == ("ns1", str(tmp_path / "log"), 5000, 15.0)
    assert len(start.boot_id) == 16
    again = Link.by(Settings(query_log_dir=tmp_path))
    assert again is not None
    assert again._start.boot_id != start.boot_id


@pytest.mark.parametrize(
    ("settings", "one_in"),
    [
        (Settings(), 0),
        (Settings(query_log=5), 5),
        (Settings(query_log_dir=Path("log")), 1),
        (Settings(query_log_dir=Path("log"), query_log=0), 0),
        (Settings(query_log_dir=Path("log"), query_log=100), 100),
    ],
)
def test_how_many_are_logged(settings: Settings, one_in: int) -> None:
    assert settings.logged_one_in == one_in


def test_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is started, in this process."""
    ran: list[int] = []

    async def run(fd: int) -> None:
        ran.append(fd)

    monkeypatch.setattr(process, "_run", run)
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    fd = os.memfd_create("test")
    try:
        process.main([str(fd)])
        assert [signal.getsignal(number) for number in former] == [signal.SIG_IGN] * 3
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        os.close(fd)
    assert ran == [fd]
