"""What goes: what is older than it is to be kept, and files that nothing names; and what is put together in few files.

Nothing that a `_current.json` names is ever removed. A file that none names is left for `SPARE_S`: whoever read the
manifest before this one may still be reading it.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gslb.measure.bronze import Bronze
from gslb.measure.engine import Engine
from gslb.measure.failing import failpoint
from gslb.measure.landing import there
from gslb.measure.manifest import Piece
from gslb.measure.publish import DEMAND_LIVE, FOLDER, Published
from gslb.model import records

DAY_S: Final = 86_400
SPARE_S: Final = 3600
CLOSED_S: Final = 2 * 3600
"""An hour of silver is put together when it ended so long ago, and a day of gold."""
PUT_TOGETHER: Final = 20
"""Pieces that one run puts together, at most: it has other things to do."""
_FEW: Final = 2  # pieces that are worth it


@dataclass(frozen=True, slots=True)
class Keep:
    """For how many days what is kept."""

    bronze: int
    silver: int
    gold: int
    quarantine: int
    lineage: int


@dataclass(slots=True)
class Removed:
    """What went: landed files that were let go of, pieces of tables, and files of all kinds with their bytes; and what
    was put together."""

    entries: int = 0
    pieces: int = 0
    files: int = 0
    bytes: int = 0
    joined: int = 0


def put_together(
    engine: Engine, tables: Mapping[str, Published], run: str, now_s: float, removed: Removed, most: int = PUT_TOGETHER
) -> None:
    """Make one piece of those of a closed hour of silver, and of those of a closed day of gold. Raises `GslbError`,
    `OSError`."""
    left = most
    for table in tables.values():
        if table.kind is DEMAND_LIVE:
            continue
        span_s = records.HOUR_S if table.kind.layer == "silver" else DAY_S
        for group in _groups(table, span_s, now_s):
            if not left:
                return
            left -= 1
            removed.joined += len(group)
            table.join(engine, run, group)
            failpoint("compacted")


def forget(
    log: Path,
    bronze: Mapping[str, Bronze],
    tables: Mapping[str, Published],
    keep: Keep,
    run: str,
    now_s: float,
    removed: Removed,
) -> None:
    """Let go of what is too old; its files stay until `sweep`. Raises `GslbError`, `OSError`."""
    for source, each in bronze.items():
        names = {entry.landed for entry in there(log, source)}
        removed.entries += each.forget(_before_s(now_s, keep.bronze), run, names)
    for table in tables.values():
        days = keep.silver if table.kind.layer == "silver" else keep.gold
        removed.pieces += table.forget(_before_s(now_s, days), run)


def sweep(
    tables: Path,
    bronze: Mapping[str, Bronze],
    published: Mapping[str, Published],
    keep: Keep,
    removed: Removed,
    clock_s: Callable[[], float] = time.time,
) -> None:
    """Remove the files that nothing names, by the time at which they were written, and what was put aside or told too
    long ago. Raises `OSError`."""
    now_s = clock_s()
    spared: list[tuple[Path, set[str], float]] = [
        *((each.folder, each.named(), SPARE_S) for each in bronze.values()),
        *((each.folder, each.named(), SPARE_S) for each in published.values()),
        (tables / "quarantine", set(), keep.quarantine * DAY_S),
        (tables / "runs", set(), keep.lineage * DAY_S),
    ]
    spared += [(each.folder / FOLDER, set(), keep.lineage * DAY_S) for each in published.values()]
    for folder, named, spare_s in spared:
        for path, told in _files(folder):
            name = path.relative_to(folder).as_posix()
            if name in named or (name.startswith(f"{FOLDER}/") and folder.name != FOLDER):
                continue
            if now_s - max(told.st_mtime, told.st_ctime) > spare_s:
                path.unlink(missing_ok=True)
                removed.files += 1
                removed.bytes += told.st_size
                failpoint("removed")
        _remove_empty(folder)


def sweep_scratch(scratch: Path, removed: Removed, clock_s: Callable[[], float] = time.time) -> None:
    """Remove what engines that were killed have left: folders of theirs that are a day old. Raises `OSError`."""
    for folder in scratch.glob("*-*") if scratch.is_dir() else ():
        if folder.name.startswith(("duckdb-", "spark-")) and clock_s() - folder.stat().st_mtime > DAY_S:
            files = list(_files(folder))
            removed.files += len(files)
            removed.bytes += sum(told.st_size for _, told in files)
            shutil.rmtree(folder)


def _before_s(now_s: float, days: int) -> int:
    """A whole hour."""
    before_s = int(now_s) - days * DAY_S
    return max(0, before_s - before_s % records.HOUR_S)


def _groups(table: Published, span_s: int, now_s: float) -> Iterator[list[Piece]]:
    found: dict[int, list[Piece]] = {}
    for piece in table.current.pieces:
        first_s, last_s = min(piece.units), max(piece.units)
        start_s = first_s - first_s % span_s
        if last_s < start_s + span_s and start_s + span_s + CLOSED_S <= now_s:
            found.setdefault(start_s, []).append(piece)
    yield from (group for _, group in sorted(found.items()) if len(group) >= _FEW)


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    if not folder.is_dir():
        return
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path, path.stat()


def _remove_empty(folder: Path) -> None:
    """Folders without files, but not ``folder`` itself."""
    for path in sorted(folder.rglob("*"), reverse=True) if folder.is_dir() else ():
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
