"""Rows of demand out of Parquet: columns as `gslb.dispatch.parquet` has them → `gslb.dispatch.demand_rows`.

A fault is told as ``path:row:column``, both counted from 1; of a column as a whole the row is 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from gslb.dispatch.demand_rows import DemandRows, Raw
from gslb.dispatch.parquet import NUMBER, TEXT, TIME, Numbers, Piece, Seconds, Table, Texts
from gslb.errors import Findings
from gslb.geo import values
from gslb.plan.history import spans
from gslb.plan.problem import F64, I64, Mask

MOST: Final = 100
"""Faults of one kind that are told of one column."""
_NOTHING: Final = np.zeros(0, dtype=np.int64)
I32 = npt.NDArray[np.int32]
_FEW: Final = 1 << 20  # numbers for which a table of all of them is quick


def read_parquet(
    path: str,
    content: bytes,
    columns: Sequence[str],
    max_bps: int,
    rows: DemandRows,
    known: frozenset[int] | None,
    findings: Findings,
) -> None:
    """Add what a file holds to ``rows``. ``columns`` are those of the time, of the four texts of a group, and of the
    rate, which is at most ``max_bps``; ``known`` are the buckets that may occur, None any.

    Texts are read only of buckets that a forecast can look at: a file may hold months. Raises `GslbError` where it is
    not Parquet.
    """
    table = Table(content, columns)
    told = _Told(path, table.names, findings)
    time, *texts, rate = columns
    kinds = {time: (TIME, TEXT), rate: (NUMBER,)}
    fits = [told.fits(table, column, kinds.get(column, (TEXT,))) for column in columns]  # all are told
    if not all(fits) or not table.rows:
        return
    newest_s = max(known, default=0) if known is not None else _newest_s(table, time)

    def sound_rows(piece: Piece) -> tuple[I64, I64, I64]:
        """Of the rows to look at: their numbers from 0, the starts of their buckets, and their rates."""
        times = piece.texts(time) if table.kind(time) == TEXT else piece.seconds(time)
        starts, on_time = _starts(times, piece.first, told.of(time), lambda time_s: rows.time_fault(time_s, known))
        bps, sound = _rates(piece.numbers(rate), max_bps, piece.first, told.of(rate))
        kept = np.flatnonzero(on_time & sound & _needed(starts, newest_s))
        return kept + piece.first, starts[kept], bps[kept]

    found: list[tuple[I64, I64, I64]] = []
    all_texts = [_AllTexts() for _ in texts]
    for row_group in range(table.groups):
        sound = [sound_rows(piece) for piece in table.pieces(row_group, (time, rate))]
        if any(len(numbers) for numbers, _, _ in sound):
            for (numbers, _, _), piece in zip(sound, table.pieces(row_group, texts), strict=True):
                piece = piece.taken(numbers - piece.first)
                for column, each in zip(texts, all_texts, strict=True):
                    each.add(piece.texts(column))
            found += sound
    told.finish()
    numbers, starts, bps = (
        np.concatenate([_NOTHING, *columns]) for columns in zip((_NOTHING,) * 3, *found, strict=True)
    )
    codes, distinct = _mixed([each.together() for each in all_texts])
    group = np.zeros(len(distinct), dtype=np.int64)
    for at, (row, raw) in enumerate(distinct):
        number = int(numbers[row])
        group[at] = rows.group(raw, partial(told.error, number), partial(told.warning, number))
    rows.add(path, numbers + 1, starts, group[codes], bps)


def _newest_s(table: Table, time: str) -> int:
    """The start of the newest bucket that occurs, as far as it can be read."""
    if table.kind(time) == TIME:
        found = table.latest(time)
        return int(table.whole(time).seconds(time).seconds.max()) if found is None else found
    return max((time_s for time_s, fault in map(_time, table.whole(time).texts(time).distinct) if not fault), default=0)


def _needed(times_s: I64, newest_s: int) -> Mask:
    """Which rows a forecast may look at, by the starts of their buckets; what is newer than the newest is told."""
    kept: Mask = times_s > newest_s
    for first_s, last_s in spans(newest_s):
        kept |= (times_s >= first_s) & (times_s <= last_s)
    return kept


class _AllTexts:
    """A column put together of pieces, each with texts numbered in its own way."""

    def __init__(self) -> None:
        self._number: dict[str, int] = {}
        self._codes: list[I32] = []

    def add(self, texts: Texts) -> None:
        """Add a piece."""
        numbers = [self._number.setdefault(text, len(self._number)) for text in texts.distinct]
        self._codes.append(np.array(numbers, dtype=np.int32)[texts.codes])

    def together(self) -> Texts:
        """All of it."""
        return Texts(np.concatenate([_NOTHING, *self._codes]), tuple(self._number))


class _Told:
    """Faults of a file by row, counted from 0, and column."""

    def __init__(self, path: str, names: Sequence[str], findings: Findings) -> None:
        self._path = path
        self._names = names
        self._findings = findings
        self._columns: dict[str, _Column] = {}

    def fits(self, table: Table, column: str, kinds: Sequence[str]) -> bool:
        """Whether a column is there, once, and holds one of ``kinds``."""
        count = self._names.count(column)
        if count != 1:
            reason = f"column {column!r} is missing" if not count else f"column {column!r} is there {count} times"
            self._findings.error(self._path, 0, 0, reason)
        elif (kind := table.kind(column)) not in kinds:
            self.error(-1, column, f"is of type {kind}; expected is {' or '.join(kinds)}")
        else:
            return True
        return False

    def error(self, row: int, column: str, reason: str) -> None:
        self._findings.error(self._path, row + 1, self._names.index(column) + 1, f"{column}: {reason}")

    def warning(self, row: int, column: str, reason: str) -> None:
        self._findings.warn(self._path, row + 1, self._names.index(column) + 1, f"{column}: {reason}")

    def of(self, column: str) -> _Column:
        return self._columns.setdefault(column, _Column(self, column))

    def finish(self) -> None:
        """Tell how much was not."""
        for column in self._columns.values():
            column.finish()


class _Column:
    """Faults of one column."""

    def __init__(self, told: _Told, name: str) -> None:
        self._told = told
        self._name = name
        self._once: set[str] = set()
        self._count: Counter[str] = Counter()

    def first(self, rows: I64, reason: str) -> None:
        """Of all the rows that are wrong, the first."""
        if len(rows) and reason not in self._once:
            self._once.add(reason)
            self._told.error(int(rows[0]), self._name, reason)

    def each(self, rows: I64, reason: str, values: I64 | F64 | None = None) -> None:
        """Each of the rows that are wrong, up to `MOST` of a reason, with its value where given."""
        for at in range(min(len(rows), MOST - min(MOST, self._count[reason]))):
            shown = f"'{values[at]}' " if values is not None else ""
            self._told.error(int(rows[at]), self._name, shown + reason)
        self._count[reason] += len(rows)

    def finish(self) -> None:
        """How many more there are of each reason."""
        for count in self._count.values():
            if count > MOST:
                self._told.error(-1, self._name, f"{count - MOST} more faults of this kind")


def _starts(times: Seconds | Texts, first: int, told: _Column, fault: Callable[[int], str]) -> tuple[I64, Mask]:
    """Each row's bucket, in seconds since 1970, and which are sound; ``first`` is the number of the first row. Of equal
    times the first is told."""
    if isinstance(times, Seconds):
        told.each(np.flatnonzero(times.missing) + first, "is empty")
        told.each(np.flatnonzero(~times.exact) + first, "has a fraction of a second")
        sound = ~times.missing & times.exact
        distinct, codes = _coded(times.seconds)
        read = [(time_s, fault(time_s)) for time_s in distinct]
    else:
        codes = times.codes
        sound = np.ones(len(codes), dtype=np.bool_)
        read = [_time(text, fault) for text in times.distinct]
    for code, (_, reason) in enumerate(read):
        if reason:
            wrong = sound & (codes == code)
            told.first(np.flatnonzero(wrong) + first, reason)
            sound &= ~wrong
    return np.array([time_s for time_s, _ in read], dtype=np.int64)[codes], sound


def _coded(numbers: I64) -> tuple[list[int], I64]:
    """The distinct numbers, ascending, and which of them each is. Equal ones that follow each other cost little."""
    begin = np.flatnonzero(np.diff(numbers, prepend=numbers[:1] - 1))
    distinct, code = np.unique(numbers[begin], return_inverse=True)
    return distinct.tolist(), np.repeat(code, np.diff(begin, append=len(numbers)))


def _time(text: str, fault: Callable[[int], str] = lambda _: "") -> tuple[int, str]:
    try:
        time_s = values.time_s(text)
    except ValueError as error:
        return 0, str(error)
    return time_s, fault(time_s)


def _rates(numbers: Numbers, max_bps: int, first: int, told: _Column) -> tuple[I64, Mask]:
    """Bits per second of each row, rounded, and which are sound; ``first`` is the number of the first row."""
    found = numbers.whole if numbers.whole is not None else numbers.real
    assert found is not None
    sound = ~numbers.missing
    told.each(np.flatnonzero(numbers.missing) + first, "is empty; 0 is written as 0")
    for wrong, reason in (
        (~np.isfinite(found), "is not a number"),
        (found < 0, "is negative"),
        (found > max_bps, f"is above {max_bps}"),
    ):
        bad = np.flatnonzero(wrong & sound)
        told.each(bad + first, reason, found[bad])
        sound &= ~wrong
    return np.rint(np.where(sound, found, 0)).astype(np.int64), sound


def _mixed(columns: Sequence[Texts]) -> tuple[I64, list[tuple[int, Raw]]]:
    """Which distinct combination of texts each row has; of each its first row and the texts."""
    mixed = np.zeros(len(columns[0].codes), dtype=np.int64)
    count = 1
    for codes, distinct in columns:
        if count * len(distinct) >= 1 << 62:  # numbered anew, or they would not fit
            mixed = np.unique(mixed, return_inverse=True)[1].astype(np.int64)
            count = len(mixed)
        mixed = mixed * max(1, len(distinct)) + codes
        count *= max(1, len(distinct))
    first, codes = _first_rows(mixed, count)
    a, b, c, d = columns
    return codes, [(row, (a.at(row), b.at(row), c.at(row), d.at(row))) for row in first.tolist()]


def _first_rows(numbers: I64, count: int) -> tuple[I64, I64]:
    """The first row of each distinct number below ``count``, ascending by number, and which of them each row has."""
    if count > 4 * len(numbers) + _FEW:
        _, first, codes = np.unique(numbers, return_index=True, return_inverse=True)
        return first.astype(np.int64), codes.astype(np.int64)
    row_of = np.full(count, -1, dtype=np.int64)
    row_of[numbers[::-1]] = np.arange(len(numbers) - 1, -1, -1)  # the first row is written last
    found = np.flatnonzero(row_of >= 0)
    code_of = np.zeros(count, dtype=np.int64)
    code_of[found] = np.arange(len(found))
    return row_of[found], code_of[numbers]
