"""Bronze: the landed files that were taken, and of which time each is.

``TABLES/bronze/<source>/<hour>/…`` holds them, under the hour in which they were taken. What counts is said by parts, a
JSON file for each such hour, and the parts that count by `_current.json`; both are written anew, never over. A source
may have some hundred thousand files: only the part of the hour is written again.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec

from gslb.errors import GslbError
from gslb.measure.failing import failpoint
from gslb.measure.manifest import CURRENT, FORMAT, hour_name
from gslb.model import records
from gslb.store.atomic import write_atomic


class Source(NamedTuple):
    """Where files land (a folder of the log), and the table they are taken into."""

    landing: str
    columns: records.Columns
    time: str


SOURCES: Final[dict[str, Source]] = {
    "queries": Source("queries", records.QUERIES, "time"),
    "counters": Source("counters", records.COUNTERS, "time"),
    "deliveries": Source("delivery", records.DELIVERIES, "minute_s"),
    "reports": Source("reports", records.REPORTS, "time"),
}

LATE, AHEAD = "too late", "ahead of time"
"""Why rows of a file are left out as a whole: their slices were removed already, or have not come yet."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A landed file that was looked at. ``file`` is its name in the folder; there is none where the file was refused,
    for its ``fault``, where no row of it was good, and once it is forgotten. ``slices`` are the rows in each slice, by
    its start in seconds since 1970; ``rejected`` rows by reason."""

    landed: str
    size: int
    mtime_ns: int
    file: str = ""
    rows: int = 0
    bytes: int = 0
    slices: dict[int, int] = {}
    rejected: dict[str, int] = {}
    fault: str = ""

    @property
    def digest(self) -> int:
        """A number of 128 bits that names what landed."""
        told = f"{self.landed}\0{self.size}\0{self.mtime_ns}".encode()
        return int.from_bytes(hashlib.blake2b(told, digest_size=16).digest(), "big")


class Bronze:
    """What was taken of one source. One process writes at a time."""

    def __init__(self, tables: Path, source: str) -> None:
        """Raises `GslbError` where what was written before cannot be read."""
        self.source = source
        self.folder = tables / "bronze" / source
        self.gone_s = 0
        self._parts: dict[str, dict[str, Entry]] = {}
        self._files: dict[str, str] = {}
        self._taken: dict[str, Entry] = {}
        self._slices: dict[int, dict[str, Entry]] = {}
        self._digests: dict[str, int] = {}
        self._numbers = itertools.count(1)
        path = self.folder / CURRENT
        if not path.exists():
            return
        current = _read(path, _Current)
        if (current.table, current.format) != (source, FORMAT):
            raise GslbError(f"{path}: not a manifest of {source}")
        self.gone_s = current.gone_s
        for hour, file in current.parts.items():
            self._files[hour] = file
            self._parts[hour] = {self.key(entry): entry for entry in _read(self.folder / file, list[Entry])}
            for key, entry in self._parts[hour].items():
                self._add(key, entry)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._taken.values())

    def key(self, entry: Entry) -> str:
        """What names a landed file. Delivery logs may come again and again under one name."""
        again = self.source == "deliveries"
        return f"{entry.landed}\0{entry.size}\0{entry.mtime_ns}" if again else entry.landed

    def has(self, entry: Entry) -> bool:
        """Whether a landed file was looked at before."""
        return self.key(entry) in self._taken

    def slices(self) -> dict[int, str]:
        """The slices that files overlap, each with a digest of which files they are."""
        return {
            start_s: f"{sum(map(self._digests.__getitem__, entries)) % (1 << 128):032x}"
            for start_s, entries in self._slices.items()
            if start_s >= self.gone_s
        }

    def rows(self, start_s: int) -> int:
        """How many rows a slice has at most."""
        return sum(entry.slices[start_s] for entry in self._slices.get(start_s, {}).values())

    def entries(self, from_s: int, until_s: int) -> list[Entry]:
        """The files that overlap slices within a range of time, by name."""
        found = {
            entry.file: entry
            for start_s in range(from_s - from_s % records.SLICE_S, until_s, records.SLICE_S)
            for entry in self._slices.get(start_s, {}).values()
        }
        return [found[name] for name in sorted(found)]

    def paths(self, from_s: int, until_s: int) -> list[Path]:
        """The same as paths."""
        return [self.folder / entry.file for entry in self.entries(from_s, until_s)]

    def take(self, entries: Iterable[Entry], run: str, now_s: float) -> None:
        """Have these count from now on. Their files must be there, and synced. Raises `OSError`."""
        hour = hour_name(int(now_s))
        part = self._parts.setdefault(hour, {})
        for entry in entries:
            key = self.key(entry)
            part[key] = entry
            self._add(key, entry)
        self._write([hour], run)

    def refuse(self, entry: Entry, fault: str, run: str) -> None:
        """A file that was taken turns out to be torn: it counts no longer. Raises `OSError`."""
        key = self.key(entry)
        broken = Entry(landed=entry.landed, size=entry.size, mtime_ns=entry.mtime_ns, fault=fault)
        self._drop(key)
        self._add(key, broken)
        hours = [hour for hour, part in self._parts.items() if key in part]
        for hour in hours:
            self._parts[hour][key] = broken
        self._write(hours, run)

    def forget(self, before_s: int, run: str, there: Collection[str]) -> int:
        """Let go of the files that lie before a time as a whole; how many. Their slices are not built again. Of what is
        still ``there`` where it landed the name stays known, so that it is not taken once more. Raises `OSError`."""
        is_later = before_s > self.gone_s
        self.gone_s = max(self.gone_s, before_s)
        changed, gone = set(), 0
        for hour, part in self._parts.items():
            for key, entry in list(part.items()):
                is_over = max(entry.slices, default=0) + records.SLICE_S <= before_s
                if entry.landed not in there and (is_over or not entry.file):
                    del part[key]
                    self._drop(key)
                elif is_over and entry.file:
                    part[key] = Entry(landed=entry.landed, size=entry.size, mtime_ns=entry.mtime_ns, fault=entry.fault)
                    self._drop(key)
                    self._add(key, part[key])
                else:
                    continue
                changed.add(hour)
                gone += bool(entry.file)
        if changed or is_later:
            self._write(changed, run)
        return gone

    def named(self) -> set[str]:
        """All files that count, and those that say so, by their names in the folder."""
        return {entry.file for entry in self if entry.file} | set(self._files.values()) | {CURRENT}

    def _add(self, key: str, entry: Entry) -> None:
        self._taken[key] = entry
        self._digests[key] = entry.digest
        for start_s in entry.slices:
            self._slices.setdefault(start_s, {})[key] = entry

    def _drop(self, key: str) -> None:
        self._digests.pop(key)
        for start_s in self._taken.pop(key).slices:
            self._slices[start_s].pop(key, None)
            if not self._slices[start_s]:
                del self._slices[start_s]

    def _write(self, hours: Iterable[str], run: str) -> None:
        for hour in hours:
            if part := self._parts[hour]:
                self._files[hour] = f"part-{hour}-{run}-{next(self._numbers)}.json"
                write_atomic(self.folder / self._files[hour], [msgspec.json.encode(list(part.values()))])
            else:
                del self._files[hour]
        self._parts = {hour: part for hour, part in self._parts.items() if part}
        failpoint("bronze-part")
        current = _Current(table=self.source, run=run, gone_s=self.gone_s, parts=self._files)
        write_atomic(self.folder / CURRENT, [msgspec.json.encode(current), b"\n"])
        failpoint("bronze-published")


class _Current(msgspec.Struct, kw_only=True):
    format: int = FORMAT
    table: str
    run: str
    gone_s: int
    parts: dict[str, str]


_T = TypeVar("_T")


def _read(path: Path, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise GslbError(f"{path}: cannot be read: {error.strerror or error}") from None
    except msgspec.DecodeError as error:
        raise GslbError(f"{path}: not a manifest: {error}") from None
