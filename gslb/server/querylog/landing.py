"""Writing the query log's files down: a segment, a row of counters, and keeping to the room there is.

What is called here takes as long as the disk does; all of it raises `OSError` where the disk will not have it.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from gslb.model import records
from gslb.server.frames import Record
from gslb.server.querylog.rows import Known, columned
from gslb.store import querylog

GROUP: Final = 1 << 16
"""Records of a row group."""
MOST_FILES: Final = 50_000
"""Files of a server at most; they may be many and small where few ask and no pipeline takes them."""
LOOK_S: Final = 60.0
"""Between two looks at what there is of them."""


class Landed(NamedTuple):
    """What became of records: rows and bytes of the segment, records that speak of no catalog that is known, and files
    that were removed to make room."""

    rows: int
    size: int
    unknown: int
    removed: int


class Count(NamedTuple):
    """A row of counters, but for who counts."""

    time_us: int
    queries: int
    logged: int
    lost: int


class Lander:
    """Writes the files of one server; ``sample`` is what a record stands for."""

    def __init__(self, start: Record, sample: int) -> None:
        self._start = start
        self._sample = sample
        self._folder = Path(start.folder)
        self._stem = f"{_safe(start.server_id)}-"
        self._looked_s = -math.inf
        own = rf"{re.escape(self._stem)}[0-9a-f]{{16}}-\d+\.parquet"
        self._own = re.compile(own)
        self._torn = re.compile(rf"\.{own}\.\d+\.tmp")

    def segment(self, found: npt.NDArray[Any], known: Mapping[int, Known]) -> Landed:
        """Write records, which have their numbers; a segment that is there already was written just so."""
        path = self._path(querylog.QUERIES, int(found["number"][0]))
        unknown = 0

        def groups() -> Iterator[Mapping[str, Any]]:
            nonlocal unknown
            for begin in range(0, len(found), GROUP):
                some = columned(
                    found[begin : begin + GROUP], known, self._start.server_id, self._start.boot_id, self._sample
                )
                unknown += some.unknown
                if some.rows:
                    yield some.columns

        if path.exists():
            (there,) = querylog.segments(self._folder, {path.name: querylog.LATEST_US})
            return Landed(there.rows, path.stat().st_size, len(found) - there.rows, 0)
        removed = self._make_room()
        rows, size = querylog.write(path, records.QUERIES, groups())
        return Landed(rows, size, unknown, removed)

    def count(self, number: int, told: Count) -> int:
        """Write the row of counters of a number; how many files were removed to make room."""
        lost_too = told.logged + told.lost
        values = (told.time_us, told.queries, told.logged, told.lost, lost_too)
        names = ("time", "queries", "logged", "lost", "last_seq")
        texts = {"server": self._start.server_id, "boot_id": self._start.boot_id}
        row: dict[str, Any] = {name: np.array([value]) for name, value in zip(names, values, strict=True)}
        row |= {name: (np.zeros(1, np.int32), [text]) for name, text in texts.items()}
        removed = self._make_room()
        querylog.write(self._path(querylog.COUNTERS, number), records.COUNTERS, [row])
        return removed

    def clear(self) -> None:
        """Remove what a predecessor left half written."""
        for folder in (querylog.QUERIES, querylog.COUNTERS):
            for path in (self._folder / folder).glob(".*.tmp"):
                if self._torn.fullmatch(path.name):  # another server's name may begin like this one's
                    path.unlink(missing_ok=True)

    def _path(self, folder: str, number: int) -> Path:
        return self._folder / folder / f"{self._stem}{self._start.boot_id}-{number:012d}{querylog.SUFFIX}"

    def _make_room(self) -> int:
        """Remove the oldest files of this server until the rest takes no more than it may, and see that the disk has
        room; how many were removed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        removed = self._remove()
        disk = os.statvfs(self._folder)
        if disk.f_bavail * disk.f_frsize < self._start.free_bytes:
            raise OSError(errno.ENOSPC, f"less than {self._start.free_bytes} bytes of the disk are free")
        return removed

    def _remove(self) -> int:
        if time.monotonic() - self._looked_s < LOOK_S:
            return 0
        self._looked_s = time.monotonic()
        found = []
        for folder in (querylog.QUERIES, querylog.COUNTERS):
            with contextlib.suppress(FileNotFoundError), os.scandir(self._folder / folder) as entries:
                for entry in entries:
                    if self._own.fullmatch(entry.name):
                        told = entry.stat()
                        found.append((told.st_mtime_ns, told.st_size, entry.path))
        found.sort(reverse=True)
        total = removed = 0
        for at, (_, size, path) in enumerate(found):
            total += size
            if total > self._start.most_bytes or at >= MOST_FILES:
                Path(path).unlink(missing_ok=True)
                removed += 1
        return removed


def _safe(name: str) -> str:
    """A server's name as it can stand in a file's."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")[:100] or "_"
