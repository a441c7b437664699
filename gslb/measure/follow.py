"""Reports of edges: the store's entries → Parquet files of `records.REPORTS`, each entry exactly once.

A file is named by the ids of its first and last entry, and its appearing under that name is what takes its entries:
whoever goes on, after whatever end, goes on behind them. ``_watermark.json`` beside the files says how far they reach,
so that old files may be deleted; before a file appears it says which one is about to.

One process at a time follows into a folder; a lock tells.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from gslb.errors import GslbError
from gslb.measure import arrow
from gslb.model import records
from gslb.store.atomic import write_atomic
from gslb.store.events import LIMIT, REPORT, Entry, Events, Position, position
from gslb.store.interface import StoreError
from gslb.store.locking import alone_in

WATERMARK: Final = "_watermark.json"
LOCK: Final = ".lock"
EVERY_S: Final = 15.0
"""A file appears so long after its first entry was read, or once it has `MOST` rows."""
MOST: Final = 50_000
POLL_S: Final = 1.0
"""Between two questions for new entries."""
PAUSE_S: Final = 3.0
"""Where the store cannot be reached, or a file not be written."""

_PAGES: Final = 20_000  # writes may come faster than they are read
_NAME: Final = re.compile(r"([0-9]+-[0-9]+)_([0-9]+-[0-9]+)(?:_[0-9]+)?\.parquet")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Counts(NamedTuple):
    """What a follower has seen since it began: ``reports`` written to ``files``; entries of another kind ``passed``
    over; ``rejected`` ones, which are forged or cannot be read; ``lost`` ones, which the store had forgotten before
    they were read; ``restarts`` of the store's count, after which nobody knows how many are lost."""

    reports: int = 0
    files: int = 0
    passed: int = 0
    rejected: int = 0
    lost: int = 0
    restarts: int = 0


class Followed:
    """Takes entries, and writes files of them into ``folder``.

    ``counts`` is what it has seen; ``position`` how far it has read; ``fault`` the latest reason to reject an entry.
    """

    def __init__(self, folder: Path, most: int = MOST) -> None:
        """The position is where the files in ``folder`` end. Raises `GslbError` where that cannot be read."""
        self.counts = Counts()
        self.fault = ""
        self._folder = folder
        self._most = most
        self.position = self._landed = _reached(folder)
        self._rows: list[Mapping[str, Any]] = []
        self._first: Entry | None = None
        self._last: Entry | None = None

    @property
    def newest_ms(self) -> int:
        """The time of the newest entry that was read, in ms since 1970 on the store's clock; 0: none ever was."""
        return self.position.ms

    @property
    def waiting(self) -> int:
        """Rows that are read and lie in no file yet."""
        return len(self._rows)

    async def read(self, events: Events) -> int:
        """Take the next page of entries; how many there were. Raises `StoreError`, ``OSError``: where no more rows can
        wait, none is taken before they are written."""
        if len(self._rows) >= self._most:
            self.flush()
        page = await events.after(self.position, LIMIT)
        if page.anew:
            self.flush()  # what is read so far has ids that are greater than those to come
            self.position = Position(n=self.position.n)
            self._save(self.position)
        for at, entry in enumerate(page.entries):
            self._take(entry, anew=page.anew and at == 0)
        if len(self._rows) >= self._most:
            self.flush()
        return len(page.entries)

    def flush(self) -> None:
        """Let the file of what was read appear. Raises ``OSError``; then all of it is still there to be written."""
        if self.position == self._landed:
            return
        if not self._rows or self._first is None or self._last is None:
            self._save(self.position)  # there were entries of other kinds alone
            return
        first, last = self._first.position, self._last.position
        name = f"{first}_{last}.parquet"
        if (self._folder / name).exists():  # of ids that a store gave a second time
            name = f"{first}_{last}_{last.n}.parquet"
        self._save(self._landed, next_name=name, next_position=self.position)
        try:
            arrow.write_rows(self._folder / name, self._rows, records.REPORTS)
        except OSError:
            if not (self._folder / name).exists():  # else it was the last thing that failed, and the file is there
                raise
        self.counts = self.counts._replace(files=self.counts.files + 1, reports=self.counts.reports + len(self._rows))
        self._rows, self._first, self._last = [], None, None
        self._save(self.position)

    def _take(self, entry: Entry, *, anew: bool) -> None:
        counts, before = self.counts, self.position.n
        counted = entry.n == before + 1 or not entry.fault  # who forges an entry forges its number, too
        if before and counted:
            if entry.n > before:  # where it begins anew a store passes over a number
                counts = counts._replace(lost=counts.lost + max(0, entry.n - before - 1 - anew))
            else:
                counts = counts._replace(restarts=counts.restarts + 1)
        if entry.fault:
            self.fault = f"entry {entry.position}: {entry.fault}"
            counts = counts._replace(rejected=counts.rejected + 1)
        elif entry.kind != REPORT or entry.report is None:
            counts = counts._replace(passed=counts.passed + 1)
        else:
            self._rows.append(_row(entry))
            self._first, self._last = self._first or entry, entry
        self.counts = counts
        self.position = entry.position if counted else entry.position._replace(n=before)

    def _save(self, reached: Position, next_name: str = "", next_position: Position | None = None) -> None:
        kept = _Kept(str(reached), reached.n, next_name, str(next_position or reached), (next_position or reached).n)
        write_atomic(self._folder / WATERMARK, [msgspec.json.encode(kept), b"\n"])
        self._landed = reached


async def once(events: Events, folder: Path) -> Counts:
    """Read what there is, up to the newest entry, and let its files appear. Raises `StoreError`, `GslbError` where
    another process follows into ``folder``, ``OSError``."""
    with following(folder) as followed:
        for _ in range(_PAGES):
            if not await followed.read(events):
                break
        followed.flush()
        return followed.counts


async def follow(
    events: Events,
    folder: Path,
    *,
    told: Callable[[Followed, str], None] = lambda _followed, _fault: None,
    every_s: float = EVERY_S,
    poll_s: float = POLL_S,
    pause_s: float = PAUSE_S,
    monotonic_s: Callable[[], float] = time.monotonic,
) -> None:
    """Follow until cancelled; then the file of what was read appears.

    ``told`` is called after each page, and where one cannot be had or written, with the reason, which is empty else.
    Raises `GslbError` where another process follows into ``folder``, or the folder cannot be used.
    """
    with following(folder) as followed:
        since_s: float | None = None
        try:
            while True:
                wait_s, faults = poll_s, list[str]()
                try:
                    if await followed.read(events) >= LIMIT:
                        wait_s = 0.0
                except StoreError as error:  # what was read before is written all the same
                    faults.append(str(error))
                except OSError as error:
                    faults.append(f"{folder}: {error.strerror or error}")
                if followed.waiting and since_s is None:
                    since_s = monotonic_s()
                if since_s is not None and monotonic_s() - since_s >= every_s:
                    try:
                        await _in_thread(followed.flush)
                        since_s = None
                    except OSError as error:
                        faults = [f"{folder}: {error.strerror or error}"]
                told(followed, "; ".join(faults))
                await asyncio.sleep(pause_s if faults else wait_s)
        finally:
            with contextlib.suppress(OSError):
                followed.flush()


async def _in_thread(work: Callable[[], None]) -> None:
    """Do it, to its end though who waits be cancelled."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


@contextlib.contextmanager
def following(folder: Path) -> Iterator[Followed]:
    """What follows into ``folder``, which is made where it is missing. Raises `GslbError` where another process does,
    or where it cannot be used."""
    with alone_in(folder, LOCK, "another process follows the store's reports there"):
        try:
            for torn in folder.glob(".*.tmp"):
                torn.unlink()
            followed = Followed(folder)
        except OSError as error:
            raise GslbError(f"{folder}: cannot be used: {error.strerror}") from None
        yield followed


class _Kept(msgspec.Struct, frozen=True):
    """How far the files reach; ``next`` is the file that is about to appear, and how far they reach then."""

    reached: str
    n: int
    next: str
    next_reached: str
    next_n: int


def _reached(folder: Path) -> Position:
    path = folder / WATERMARK
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
        if kept.next and (folder / kept.next).exists():
            return position(kept.next_reached, kept.next_n)
        return position(kept.reached, kept.n)
    except FileNotFoundError:
        found = [_NAME.fullmatch(path.name) for path in folder.iterdir()]
        return max((position(each[2]) for each in found if each is not None), default=Position())
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        raise GslbError(f"{path}: cannot be read; without it, reports are read on behind the newest file") from None


def _row(entry: Entry) -> Mapping[str, Any]:
    report = entry.report
    assert report is not None
    return {
        "time": _EPOCH + timedelta(milliseconds=entry.ms),
        "stream_ms": entry.ms,
        "stream_seq": entry.seq,
        **{name: getattr(report, name) for name in list(records.REPORTS)[3:]},
    }
