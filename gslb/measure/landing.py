"""From where files land to bronze: each is looked at once, and taken as it is, or refused as a whole with its reason.

Query logs, counters and reports are linked, delivery logs converted; their rows that are faulty lie with reason and
place in ``TABLES/quarantine/deliveries``, a line of JSON each. What is refused is linked to ``TABLES/quarantine`` too,
with its reason beside it. A file that is still being written has a name that begins with a dot or ends in ``.tmp``.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from gslb.errors import GslbError
from gslb.measure import delivery, footers
from gslb.measure.bronze import AHEAD, LATE, SOURCES, Bronze, Entry
from gslb.measure.failing import failpoint
from gslb.measure.footers import Seen
from gslb.measure.manifest import hour_name
from gslb.store.atomic import replacing, sync_file, sync_folder, write_atomic

AHEAD_S: Final = 300
"""A clock may be so much ahead of ours."""
AT_ONCE: Final = 500
"""Files that are taken together: so many are looked at again after a crash."""
SYNCS: Final = 8
"""Files that are synced at the same time."""
ENDINGS: Final = {"deliveries": (".csv", ".parquet")}


@dataclass(slots=True)
class Intake:
    """What was newly taken of a source: files, rows, rejects by reason, and refused files with their faults."""

    files: int = 0
    rows: int = 0
    bytes: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    refused: list[tuple[str, str]] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        """Count a file."""
        if entry.fault:
            self.refused.append((entry.landed, entry.fault))
            return
        self.files += 1
        self.rows += entry.rows
        self.bytes += entry.bytes
        for reason, count in entry.rejected.items():
            self.rejected[reason] = self.rejected.get(reason, 0) + count


def there(log: Path, source: str) -> list[Entry]:
    """The files that lie where a source lands; none where there is no such folder. Raises `GslbError` where it cannot
    be read."""
    folder = log / SOURCES[source].landing
    endings = ENDINGS.get(source, (".parquet",))
    found = []
    try:
        with os.scandir(folder) as files:
            for file in files:
                if file.name.startswith(".") or not file.name.endswith(endings) or not file.is_file():
                    continue
                told = file.stat()
                found.append(Entry(landed=file.name, size=told.st_size, mtime_ns=told.st_mtime_ns))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise GslbError(f"{folder}: cannot be read: {error.strerror}") from None
    return found


def take(
    log: Path, tables: Path, bronze: Bronze, run: str, now_s: float, seen: Callable[[int, int], None] = lambda *_: None
) -> Intake:
    """Take all that landed; ``seen`` is told how many of how many files were. Raises `GslbError`, `OSError`."""
    entries = [entry for entry in there(log, bronze.source) if not bronze.has(entry)]
    entries.sort(key=lambda entry: (entry.landed, entry.mtime_ns))
    found = Intake()
    source = SOURCES[bronze.source]
    hour = hour_name(int(now_s))
    for group in _groups(entries):
        looked = [
            _taken(log / source.landing / entry.landed, entry, tables, bronze, f"{hour}/{run}", now_s)
            for entry in group
        ]
        taken = [entry for entry in looked if entry is not None]
        _sync([bronze.folder / entry.file for entry in taken if entry.file], files=bronze.source == "deliveries")
        failpoint("bronze-linked")
        bronze.take(taken, run, now_s)
        for entry in taken:
            found.add(entry)
        seen(found.files + len(found.refused), len(entries))
    return found


def quarantine(path: Path, tables: Path, source: str, fault: str) -> None:
    """Put a file aside, with its reason. Raises `OSError`."""
    aside = tables / "quarantine" / source / path.name
    if path.is_file():
        _link(path, aside)
    write_atomic(aside.with_name(f"{path.name}.json"), [json.dumps({"file": path.name, "reason": fault}).encode()])


def _groups(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    for at in range(0, len(entries), AT_ONCE):
        yield entries[at : at + AT_ONCE]


def _taken(path: Path, entry: Entry, tables: Path, bronze: Bronze, below: str, now_s: float) -> Entry | None:
    """What becomes of one file; whatever is wrong with it, the others go on. None: it is gone meanwhile."""
    source = SOURCES[bronze.source]
    file = f"{below}/{entry.landed}"
    rejected: dict[str, int] = {}
    try:
        if bronze.source == "deliveries":
            file = f"{below}/{path.stem}-{entry.mtime_ns}-{entry.size}.parquet"
            seen, rejected = _converted(path, entry, bronze.folder / file, tables)
            if not seen.rows:
                return _with(entry, rejected=rejected)
        else:
            _link(path, bronze.folder / file)
            seen = footers.seen(bronze.folder / file, source.columns, source.time)
    except GslbError as error:
        quarantine(path, tables, bronze.source, str(error))
        return _with(entry, fault=str(error))
    except FileNotFoundError:
        return None
    slices = {}
    for start_s, rows in seen.slices.items():
        if start_s < bronze.gone_s:
            rejected[LATE] = rejected.get(LATE, 0) + rows
        elif start_s > now_s + AHEAD_S:
            rejected[AHEAD] = rejected.get(AHEAD, 0) + rows
        else:
            slices[start_s] = rows
    return _with(entry, file=file, rows=seen.rows, bytes=seen.bytes, slices=slices, rejected=rejected)


def _converted(path: Path, entry: Entry, target: Path, tables: Path) -> tuple[Seen, dict[str, int]]:
    """What was made of a delivery log, and rejects by kind. Raises `GslbError` where the file is refused."""
    taken = delivery.take(path, entry.mtime_ns // 10**9, target)
    if taken.faults:
        raise GslbError("; ".join(str(fault) for fault in taken.faults[:10]))
    if taken.rejects.told:
        lines = (
            json.dumps({"place": each.place, "reason": each.reason, "raw": each.raw}).encode() + b"\n"
            for each in taken.rejects.told
        )
        write_atomic(tables / "quarantine" / "deliveries" / f"{target.stem}.jsonl", lines)
    size = target.stat().st_size if taken.rows else 0
    return Seen(taken.rows, size, dict(taken.slices)), dict(taken.rejects.counts)


def _with(entry: Entry, **changes: object) -> Entry:
    return msgspec.structs.replace(entry, **changes)


def _sync(paths: Sequence[Path], files: bool) -> None:
    """Have the names of ``paths`` outlive a crash of the machine, and the ``files`` too, some at a time: a disk takes
    many of them as one. Raises `OSError`."""
    if files:
        with ThreadPoolExecutor(SYNCS) as pool:
            list(pool.map(sync_file, paths))
    for folder in {path.parent for path in paths}:
        sync_folder(folder)


def _link(path: Path, target: Path) -> None:
    """The same file under another name, or a copy where there is another file system between."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(path, target)
    except FileNotFoundError:
        raise
    except OSError:
        with path.open("rb") as source, replacing(target) as file:
            shutil.copyfileobj(source, file, 1 << 20)
