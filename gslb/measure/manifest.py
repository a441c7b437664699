"""`_current.json` of a table: which files count, of which time each is, and what each was built of.

```json
{"format": 1, "table": "asked", "run": "20261128T180500Z-1", "unit_s": 300,
 "from": "2026-11-28T17:00:00Z", "until": "2026-11-28T18:05:00Z",
 "files": ["2026-11-28T17/asked-20261128T180500Z-1.parquet"],
 "pieces": [{"files": ["…"], "rows": 9, "bytes": 4096, "run": "…", "units": {"1764349200": "9f3c…"}}]}
```

A *piece* is some units of time (`unit_s` each: slices of silver, hours of gold) that were written together; for each
unit stands the digest of what it was built of. Every unit is in one piece only. Tables of demand say in `bucket_s` and
`buckets` too which buckets were measured: what a dispatcher reads. The file is written last, and files that it names
are never written again; a file that no manifest names is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from gslb.errors import GslbError
from gslb.store.atomic import write_atomic

CURRENT: Final = "_current.json"
FORMAT: Final = 1


class Piece(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Units that were written together. ``files`` lie in the table's folder; without rows there may be none."""

    files: tuple[str, ...]
    rows: int
    bytes: int
    run: str
    units: dict[int, str]
    buckets: tuple[int, ...] = ()
    """Starts of the buckets that were measured, in seconds since 1970; of tables of demand."""
    counts: dict[str, int] = {}
    """Rows that came in, duplicates, and rejects by reason; of silver."""


@dataclass(frozen=True, slots=True)
class Current:
    """What counts of a table. ``gone_s``: units before were removed, and are not built again."""

    table: str
    unit_s: int
    run: str = ""
    pieces: tuple[Piece, ...] = ()
    gone_s: int = 0
    _unit_of: dict[int, Piece] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found = {unit_s: piece for piece in self.pieces for unit_s in piece.units}
        object.__setattr__(self, "_unit_of", found)

    @property
    def files(self) -> list[str]:
        """Names of all files, in the table's folder."""
        return [name for piece in self.pieces for name in piece.files]

    def units(self) -> dict[int, str]:
        """The digest of every unit."""
        return {unit_s: piece.units[unit_s] for unit_s, piece in self._unit_of.items()}

    def digest(self, unit_s: int) -> str:
        """What a unit was built of; empty where it is not there."""
        piece = self._unit_of.get(unit_s)
        return piece.units[unit_s] if piece is not None else ""

    def within(self, from_s: int, until_s: int) -> list[Piece]:
        """The pieces that have a unit in a range of time, in order."""
        return [
            piece
            for piece in self.pieces
            if any(from_s < unit_s + self.unit_s and unit_s < until_s for unit_s in piece.units)
        ]


def read(folder: Path, table: str, unit_s: int) -> Current:
    """What counts of the table in ``folder``; nothing where it was never published. Raises `GslbError` with the path
    where the manifest cannot be read, which is never written over."""
    path = folder / CURRENT
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Written)
    except FileNotFoundError:
        return Current(table, unit_s)
    except OSError as error:
        raise GslbError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise GslbError(f"{path}: not a manifest: {error}") from None
    for key, value, wanted in (
        ("format", found.format, FORMAT),
        ("table", found.table, table),
        ("unit_s", found.unit_s, unit_s),
    ):
        if value != wanted:
            raise GslbError(f"{path}: {key}: {value!r} is not {wanted!r}")
    return Current(table, unit_s, found.run, found.pieces, found.gone_s)


def write(folder: Path, current: Current, bucket_s: int | None = None) -> None:
    """Publish: from here on this is what counts. ``bucket_s`` is how long the buckets of a table of demand are. Raises
    `OSError`."""
    units = sorted(unit_s for piece in current.pieces for unit_s in piece.units)
    told: dict[str, Any] = {
        "format": FORMAT,
        "table": current.table,
        "run": current.run,
        "unit_s": current.unit_s,
        "from": instant(units[0] if units else 0),
        "until": instant(units[-1] + current.unit_s if units else 0),
        "files": current.files,
    }
    if bucket_s is not None:
        starts = sorted({start_s for piece in current.pieces for start_s in piece.buckets})
        told |= {"bucket_s": bucket_s, "buckets": [instant(start_s) for start_s in starts]}
        told["until"] = instant(starts[-1] + bucket_s) if starts else told["from"]
    told |= {"gone_s": current.gone_s, "pieces": current.pieces}
    write_atomic(folder / CURRENT, [msgspec.json.encode(told), b"\n"])


def replaced(pieces: Sequence[Piece], built: Sequence[Piece]) -> tuple[list[Piece], list[tuple[Piece, dict[int, str]]]]:
    """Put ``built`` in the place of the units that it holds: the pieces that stay as they are, with ``built``, and
    those of which some units stay, with these units. What is left of the latter has to be written anew."""
    taken = {unit_s for piece in built for unit_s in piece.units}
    whole, parts = list(built), []
    for piece in pieces:
        left = {unit_s: digest for unit_s, digest in piece.units.items() if unit_s not in taken}
        if len(left) == len(piece.units):
            whole.append(piece)
        elif left:
            parts.append((piece, left))
    return whole, parts


def ordered(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """Pieces by time."""
    return tuple(sorted(pieces, key=lambda piece: min(piece.units, default=0)))


def instant(time_s: int) -> str:
    """A time as manifests have it."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def run_time(time_s: float) -> str:
    """A time as names of runs and files have it."""
    return datetime.fromtimestamp(int(time_s), UTC).strftime("%Y%m%dT%H%M%SZ")


def hour_name(time_s: int) -> str:
    """The folder of an hour."""
    return datetime.fromtimestamp(time_s - time_s % 3600, UTC).strftime("%Y-%m-%dT%H")


class _Written(msgspec.Struct, kw_only=True):
    format: int
    table: str
    run: str
    unit_s: int
    pieces: tuple[Piece, ...]
    gone_s: int = 0
