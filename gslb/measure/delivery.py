"""Delivery logs of edges, as they are sent: checked row by row, and turned into what the pipeline reads.

A row at fault is rejected with its reason and place, and the other rows are taken. A file is refused as a whole where a
column is missing, and where it is neither CSV nor Parquet.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from gslb.errors import ConfigError, Findings, GslbError
from gslb.measure import delivery_csv
from gslb.measure.delivery_rows import I64, Checker, Coded
from gslb.measure.rejects import Rejects
from gslb.model import records

MAX_FILE_BYTES: Final = 256 << 20
"""Of a file; some four million rows of CSV."""
MAX_ROWS: Final = 20_000_000
MAX_UNPACKED_BYTES: Final = 1 << 30
"""Of a Parquet file."""
PARQUET: Final = b"PAR1"


class Taken(NamedTuple):
    """What became of a file. ``rows`` were taken, of minutes from ``first_s`` to ``last_s`` (seconds since 1970; 0
    where there are none), of these ``edges``; ``rejects`` were not. ``slices`` has the rows in each slice, by its start
    in seconds since 1970. Where there are ``faults`` the file is refused as a whole, and nothing was taken."""

    rows: int
    first_s: int
    last_s: int
    edges: frozenset[str]
    rejects: Rejects
    faults: tuple[ConfigError, ...]
    slices: Mapping[int, int] = {}


def take(path: Path, received_s: int, target: Path) -> Taken:
    """Turn a file, CSV or Parquet as its content says, into a Parquet file of `records.DELIVERIES` at ``target``, which
    is written, and not synced, only where rows are taken. ``received_s`` is when it came in, in seconds since 1970: as
    its time of modification tells. Raises ``OSError`` where ``target`` cannot be written; a file that cannot be read is
    refused.
    """
    try:
        content = _content(path)
    except OSError as error:
        return _refused(path, f"cannot be read: {error.strerror}")
    except GslbError as error:
        return _refused(path, str(error))
    from gslb.measure.delivery_parquet import writing  # its library is large

    found = _Examined(str(path), content, received_s, MAX_ROWS, MAX_UNPACKED_BYTES)
    rows = found.rows()
    first = next(rows, None)
    if first is not None:
        with contextlib.suppress(_Faulty), writing(target) as sink:
            sink.add(first)
            for columns in rows:
                sink.add(columns)
            if found.taken().faults:
                raise _Faulty
    return found.taken()


def examined(
    name: str, content: bytes, received_s: int, max_rows: int = MAX_ROWS, max_unpacked: int = MAX_UNPACKED_BYTES
) -> Taken:
    """What `take` would make of a file called ``name`` in messages, without writing any."""
    found = _Examined(name, content, received_s, max_rows, max_unpacked)
    for _ in found.rows():
        pass
    return found.taken()


class _Faulty(Exception):
    """A file of which a part cannot be read: what was written of it is let go of."""


class _Examined:
    """Goes through a file once, and remembers what it saw."""

    def __init__(self, name: str, content: bytes, received_s: int, max_rows: int, max_unpacked: int) -> None:
        self._name = name
        self._content = content
        self._bounds = max_rows, max_unpacked
        self._findings = Findings()
        self._rejects = Rejects(name)
        self._checker = Checker(self._rejects, received_s)
        self._first_s: int | None = None
        self._last_s = 0
        self._slices: Counter[int] = Counter()
        self._edges: set[str] = set()

    def rows(self) -> Iterator[Mapping[str, I64 | Coded]]:
        """Columns of the rows that are sound, some rows at a time; none of a file with ``faults``."""
        name, content, findings = self._name, self._content, self._findings
        if content.startswith(PARQUET) or name.endswith(".parquet"):
            from gslb.measure import delivery_parquet

            pieces = delivery_parquet.pieces(name, content, findings, *self._bounds)
        else:
            pieces = delivery_csv.pieces(name, content, findings, self._rejects, self._bounds[0])
        for piece in pieces:
            columns = self._checker.taken(piece)
            minutes, edges = columns["minute_s"], columns["edge"]
            assert not isinstance(minutes, Coded)
            assert isinstance(edges, Coded)
            if not len(minutes):
                continue
            first_s, last_s = int(minutes.min()), int(minutes.max())
            self._first_s = first_s if self._first_s is None else min(self._first_s, first_s)
            self._last_s = max(self._last_s, last_s)
            starts, counts = np.unique(minutes // records.SLICE_S, return_counts=True)
            self._slices.update(dict(zip((starts * records.SLICE_S).tolist(), counts.tolist(), strict=True)))
            self._edges.update(edges.distinct[code] for code in np.flatnonzero(np.bincount(edges.codes)).tolist())
            yield columns

    def taken(self) -> Taken:
        """What was seen."""
        faults = tuple(sorted(self._findings.errors, key=ConfigError.place))
        if faults:
            return Taken(0, 0, 0, frozenset(), self._rejects, faults)
        edges = frozenset(self._edges)
        slices = self._slices
        return Taken(slices.total(), self._first_s or 0, self._last_s, edges, self._rejects, faults, slices)


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise GslbError(f"more than {MAX_FILE_BYTES} bytes")
    return content


def _refused(path: Path, reason: str) -> Taken:
    return Taken(0, 0, 0, frozenset(), Rejects(str(path)), (ConfigError(str(path), 0, 0, reason),))
