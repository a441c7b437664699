"""Reports follow the store's entries into files: each once, whatever ends the process or befalls the store."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import redis
from gslbtest.clocked import KEY, Clock, hook
from gslbtest.process import SOON_S
from gslbtest.stores import RedisServer, until

from gslb.errors import GslbError
from gslb.measure import arrow, follow
from gslb.measure.follow import Counts, Followed
from gslb.model import records
from gslb.model.override import KIND_DRAIN, Override, Target
from gslb.model.report import DOWN, UP, Report
from gslb.store.events import Page, Position
from gslb.store.interface import Writer
from gslb.store.memory import MemoryStore
from gslb.store.opening import open_events, open_writer

T0 = 1_790_000_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as found:
        yield found


@contextlib.asynccontextmanager
async def redis_store(server: RedisServer) -> AsyncIterator[tuple[Any, Any]]:
    """An empty one, read and written."""
    server.cli("FLUSHALL")
    events, writer = open_events(server.url), open_writer(server.url)
    try:
        yield events, writer
    finally:
        await events.close()
        await writer.close()


async def push(writer: Writer, first: int, last: int) -> None:
    """Reports ``first`` to ``last`` of three edges."""
    for seq in range(first, last + 1):
        assert (await writer.report(Report(f"e{seq % 3}", 1, seq, 0, load_bps=seq))).accepted


def rows(folder: Path) -> list[dict[str, Any]]:
    """All that was written, file by file."""
    paths = sorted(folder.glob("[0-9]*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("[0-9]*.parquet"))


def torn(folder: Path) -> list[str]:
    return [path.name for path in folder.glob(".*.tmp")]


def seqs(folder: Path) -> list[int]:
    return [row["seq"] for row in rows(folder)]


class Embedded(MemoryStore):
    """Read in place, with a clock that stands."""

    def __init__(self) -> None:
        self.clock = Clock(T0)
        super().__init__(self.clock)


@pytest.mark.parametrize("kind", ["redis", "embedded"])
async def test_what_is_written(server: RedisServer, tmp_path: Path, kind: str) -> None:
    async with redis_store(server) as (events, writer):
        events, writer = (events, writer) if kind == "redis" else [Embedded()] * 2
        report = Report("fra-1", 5, 1, 0, 1, UP, DOWN, 7, 8, 900, 9, 10_000)
        assert (await writer.report(report)).accepted
        now_s = writer.clock_ms // 1000
        order = Override("x", KIND_DRAIN, Target(pop="fra"), now_s, now_s + 600, author="ana", reason="works")
        assert (await writer.override(order)).accepted
        await push(writer, 2, 4)
        assert await follow.once(events, tmp_path) == Counts(reports=4, files=1, passed=1)
        found = rows(tmp_path)
        assert [row["seq"] for row in found] == [1, 2, 3, 4]
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=found[0]["stream_ms"])
        assert found[0] == {
            "time": at, "stream_ms": found[0]["stream_ms"], "stream_seq": 0, "edge": "fra-1", "epoch": 5, "seq": 1,
            "health4": UP, "health6": DOWN, "load_bps": 7, "capacity_bps": 8, "headroom_milli": 900, "sessions": 9,
        }  # fmt: skip
        assert list(found[0]) == list(records.REPORTS)
        first, last = (f"{row['stream_ms']}-{row['stream_seq']}" for row in (found[0], found[-1]))
        assert files(tmp_path) == [f"{first}_{last}.parquet"]
        assert await follow.once(events, tmp_path) == Counts()  # nothing is new
        assert (await writer.override(order)).accepted
        assert await follow.once(events, tmp_path) == Counts(passed=1)  # no file for it, and it is not read again
        assert await follow.once(events, tmp_path) == Counts()
        await push(writer, 5, 5)
        assert await follow.once(events, tmp_path) == Counts(reports=1, files=1)
        assert seqs(tmp_path) == [1, 2, 3, 4, 5]


class Killed(BaseException):
    """The process ends here."""


async def test_an_end_at_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before or after any of the things that are done to the disk."""
    store, left = Embedded(), [0]

    def ending(work: Callable[..., Any]) -> Callable[..., Any]:
        def ended(*given: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            found = work(*given)
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return found

        return ended

    for place, name in ((follow, "write_atomic"), (arrow, "write_rows")):
        monkeypatch.setattr(place, name, ending(getattr(place, name)))
    written = 0
    for step in range(1, 20):
        await push(store, written + 1, written + 2)
        written += 2
        left[0] = step
        with contextlib.suppress(Killed):
            await follow.once(store, tmp_path)
        if left[0] > 0:  # it came to its end
            break
    assert step > 6
    left[0] = 1_000_000
    await follow.once(store, tmp_path)
    assert sorted(seqs(tmp_path)) == list(range(1, written + 1))


@pytest.mark.parametrize("step", range(1, 7))
async def test_a_disk_that_fails_at_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The process goes on, and tries again."""
    store, left = Embedded(), [step]

    def failing(work: Callable[..., Any]) -> Callable[..., Any]:
        def failed(*given: Any) -> Any:
            for moment in ("before", "after"):
                left[0] -= 1
                if left[0] == 0:
                    raise OSError(28, "No space left on device")
                if moment == "before":
                    found = work(*given)
            return found

        return failed

    for place, name in ((follow, "write_atomic"), (arrow, "write_rows")):
        monkeypatch.setattr(place, name, failing(getattr(place, name)))
    await push(store, 1, 2)
    with follow.following(tmp_path) as followed:
        await followed.read(store)
        with contextlib.suppress(OSError):
            followed.flush()
        await push(store, 3, 4)
        await followed.read(store)
        followed.flush()
        assert followed.counts.reports == 4
    assert await follow.once(store, tmp_path) == Counts()
    assert seqs(tmp_path) == [1, 2, 3, 4]


FOLLOWING = """
import asyncio, os, signal, sys
from pathlib import Path
from gslb.measure import arrow, follow
from gslb.store import events, redis, redis_events
from gslb.store.opening import open_events
import pyarrow

pyarrow.array(["x"])  # looks for pandas once, and not in each child
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.setsid()
        asyncio.run(follow.follow(open_events(sys.argv[1]), Path(sys.argv[2]), every_s=0.0, poll_s=0.001))
    print(child, flush=True)
"""


def forking(server: RedisServer, folder: Path) -> subprocess.Popen[bytes]:
    """A process that starts a follower for each line it is given, and tells its number."""
    line = [sys.executable, "-c", FOLLOWING, server.url, str(folder)]
    return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


async def test_kills_at_random_moments(server: RedisServer, tmp_path: Path) -> None:
    chance = random.Random(3)
    async with redis_store(server) as (events, writer):
        with forking(server, tmp_path) as parent:
            assert parent.stdin is not None
            assert parent.stdout is not None
            written = 0
            for _ in range(5):
                parent.stdin.write(b"go\n")
                parent.stdin.flush()
                child = int(await asyncio.to_thread(parent.stdout.readline))
                before = files(tmp_path)
                async with asyncio.timeout(SOON_S):
                    while files(tmp_path) == before:  # it has begun
                        written += 1
                        await push(writer, written, written)
                        await asyncio.sleep(0.003)
                await asyncio.sleep(chance.random() * 0.02)
                os.kill(child, signal.SIGKILL)
                await until(lambda child=child: not _lives(child))
            parent.stdin.close()
        assert len(files(tmp_path)) >= 5
        counts = await follow.once(events, tmp_path)
        assert (counts.lost, counts.rejected, counts.restarts) == (0, 0, 0)
        found = rows(tmp_path)
        assert sorted(row["seq"] for row in found) == list(range(1, written + 1))
        assert len({(row["stream_ms"], row["stream_seq"]) for row in found}) == written
        assert torn(tmp_path) == []


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


async def test_entries_that_are_gone(server: RedisServer, tmp_path: Path) -> None:
    async with redis_store(server) as (events, writer):
        await push(writer, 1, 3)
        assert await follow.once(events, tmp_path) == Counts(reports=3, files=1)
        await push(writer, 4, 23)
        server.cli("XTRIM", "{gslb}:events", "MAXLEN", "5")
        assert await follow.once(events, tmp_path) == Counts(reports=5, files=1, lost=15)
        server.cli("FLUSHALL")
        await push(writer, 24, 26)
        assert await follow.once(events, tmp_path) == Counts(reports=3, files=1, restarts=1)
        assert await follow.once(events, tmp_path) == Counts()
        assert seqs(tmp_path) == [1, 2, 3, *range(19, 27)]


async def test_what_is_forged_is_rejected(server: RedisServer, tmp_path: Path) -> None:
    """It moves the position; its number counts for nothing."""
    async with redis_store(server) as (events, writer):
        await push(writer, 1, 3)
        with follow.following(tmp_path) as followed:
            await followed.read(events)
            assert followed.waiting == 3
            for n in ("4", "9007199254740991", "x"):
                server.cli("XADD", "{gslb}:events", "*", "n", n, "kind", "report", "edge", "e1", "epoch", "1")
            await push(writer, 4, 5)
            await followed.read(events)
            followed.flush()
            assert followed.counts == Counts(reports=5, files=1, rejected=3, restarts=1)
            assert followed.fault.endswith(": received_ms is not the time of the entry") is False
            assert followed.newest_ms == followed.position.ms > T0 // 2
        assert seqs(tmp_path) == [1, 2, 3, 4, 5]


async def test_a_clock_that_was_set_back(server: RedisServer, tmp_path: Path) -> None:
    """The store begins anew with ids that it may have given before; nothing is lost or doubled."""
    clock = Clock(T0)
    embedded = MemoryStore(clock)
    with contextlib.closing(redis.Redis(port=server.port)) as client:
        for kind in ("embedded", "redis"):
            clock.now_ms = T0
            folder = tmp_path / kind
            async with redis_store(server) as (events, writer):
                try:
                    if kind == "redis":
                        hook(client)
                    else:
                        events, writer = embedded, embedded

                    async def write(at_ms: int, seq: int, writer: Writer = writer) -> None:
                        clock.now_ms = at_ms
                        client.set(KEY, at_ms)
                        await push(writer, seq, seq)

                    await write(T0 - 3_600_000, 1)
                    await write(T0, 2)
                    assert await follow.once(events, folder) == Counts(reports=2, files=1)
                    await write(T0 - 3_600_000, 3)
                    await write(T0 - 3_590_000, 4)
                    assert await follow.once(events, folder) == Counts(reports=2, files=1)
                    with follow.following(folder) as followed:
                        await write(T0 - 3_580_000, 5)
                        await followed.read(events)
                        await write(T0 - 7_200_000, 6)
                        await followed.read(events)  # the row that waits is written first
                        followed.flush()
                        assert followed.counts == Counts(reports=2, files=2)
                    assert await follow.once(events, folder) == Counts()
                finally:
                    client.function_flush()
            assert seqs(folder) == [1, 2, 3, 4, 5, 6]


class Given:
    """Entries that a test gives."""

    def __init__(self, *pages: Page | Exception) -> None:
        self.pages = list(pages)
        self.asked: list[Position] = []

    async def after(self, position: Position, limit: int = 0) -> Page:
        self.asked.append(position)
        page = self.pages.pop(0) if self.pages else Page(())
        if isinstance(page, Exception):
            raise page
        return page

    async def close(self) -> None:
        """Nothing is open."""


async def test_ids_that_were_given_before_are_another_file(tmp_path: Path) -> None:
    store = Embedded()
    await push(store, 1, 1)
    (entry,) = (await store.after(Position())).entries
    assert await follow.once(Given(Page([entry])), tmp_path) == Counts(reports=1, files=1)
    again = entry._replace(n=9)
    assert await follow.once(Given(Page([again], anew=True)), tmp_path) == Counts(reports=1, files=1, lost=6)
    assert files(tmp_path) == [
        f"{T0}-0_{T0}-0.parquet",
        f"{T0}-0_{T0}-0_9.parquet",
    ]
    (tmp_path / follow.WATERMARK).unlink()
    source = Given()
    await follow.once(source, tmp_path)
    assert source.asked == [Position(T0, 0)]


async def test_without_a_watermark_the_newest_file_tells(tmp_path: Path) -> None:
    store = Embedded()
    for seq in (1, 2, 3):
        store.clock.now_ms = T0 + 10 ** (seq + 9)  # longer numbers are not greater texts
        await push(store, seq, seq)
        await follow.once(store, tmp_path)
    (tmp_path / follow.WATERMARK).unlink()
    (tmp_path / "note.parquet").write_text("another one's")
    assert await follow.once(store, tmp_path) == Counts()
    for name in files(tmp_path):
        (tmp_path / name).unlink()
    assert (await follow.once(store, tmp_path)).reports == 3


@pytest.mark.parametrize("text", ["", "{", "[]", '{"reached":"1","n":0,"next":"","next_reached":"1-0","next_n":0}'])
async def test_a_watermark_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / follow.WATERMARK
    path.write_text(text)
    with pytest.raises(GslbError) as raised:
        await follow.once(Given(), tmp_path)
    assert str(raised.value) == f"{path}: cannot be read; without it, reports are read on behind the newest file"


async def test_one_at_a_time(tmp_path: Path) -> None:
    there = "another process follows the store's reports there"
    with follow.following(tmp_path), pytest.raises(GslbError, match=there):
        await follow.once(Given(), tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(GslbError, match="file/reports: cannot be used: Not a directory"):
        await follow.once(Given(), tmp_path / "file/reports")


async def test_many_rows_are_written_at_once(tmp_path: Path) -> None:
    store = Embedded()
    with follow.following(tmp_path) as followed:
        few = Followed(tmp_path, most=4)
        await push(store, 1, 3)
        await few.read(store)
        assert (few.waiting, few.counts.files) == (3, 0)
        await push(store, 4, 5)
        await few.read(store)
        assert (few.waiting, few.counts.files, few.counts.reports) == (0, 1, 5)
        assert followed.waiting == 0


async def test_while_nothing_can_be_written_few_rows_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No entry is taken then: the store keeps them longer than this process can."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    store = Embedded()
    await push(store, 1, 9)
    followed = Followed(tmp_path, most=4)
    with monkeypatch.context() as broken:
        broken.setattr(follow, "write_atomic", full)
        broken.setattr(follow, "LIMIT", 3)
        await followed.read(store)
        for _ in range(3):
            with pytest.raises(OSError, match="No space left"):
                await followed.read(store)
        assert followed.waiting == 6
    assert await followed.read(store) == 3
    followed.flush()
    assert seqs(tmp_path) == list(range(1, 10))


async def test_following(server: RedisServer, tmp_path: Path) -> None:
    """A file appears in time; a store that is away, and a disk that is full, are told and waited for."""
    now_s, told = [0.0], list[str]()
    seen: list[Followed] = []

    def note(followed: Followed, fault: str) -> None:
        seen[:] = [followed]
        if not told or told[-1] != fault:
            told.append(fault)

    async def so(true: Callable[[], bool]) -> None:
        await until(lambda: bool(seen) and true())

    async with redis_store(server) as (events, writer):
        await push(writer, 1, 2)
        task = asyncio.ensure_future(
            follow.follow(
                events, tmp_path, told=note, poll_s=0.005, pause_s=0.005, every_s=15.0, monotonic_s=lambda: now_s[0]
            )
        )
        await so(lambda: seen[0].waiting == 2)
        now_s[0] = 14.0
        await push(writer, 3, 3)
        await so(lambda: seen[0].waiting == 3)
        assert seqs(tmp_path) == []
        now_s[0] = 15.0
        await so(lambda: seen[0].counts.files == 1)
        assert seqs(tmp_path) == [1, 2, 3]
        await push(writer, 4, 4)
        await so(lambda: seen[0].waiting == 1)
        now_s[0] = 29.0  # 14 s after it came
        server.stop()
        server.kill()
        await so(lambda: told[-1] != "")
        assert seen[0].counts.files == 1
        now_s[0] = 30.0
        await so(lambda: seen[0].counts.files == 2)  # who knows what the store has when it is back
        server.start()
        await so(lambda: told[-1] == "")
        await push(writer, 5, 5)
        await so(lambda: seen[0].waiting == 1)
        path = tmp_path / follow.WATERMARK
        kept = path.read_bytes()
        path.unlink()
        path.mkdir()  # no file can take its place
        now_s[0] = 45.0
        await so(lambda: told[-1].startswith(f"{tmp_path}: "))
        assert seen[0].waiting == 1
        path.rmdir()
        path.write_bytes(kept)
        await so(lambda: seen[0].counts.files == 3)
        await push(writer, 6, 6)
        await so(lambda: seen[0].waiting == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert seqs(tmp_path) == [1, 2, 3, 4, 5, 6]  # what was read is not left behind
        assert seen[0].counts.restarts == 1
