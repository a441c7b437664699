"""Rows of delivery logs, of whatever files: what each value may be, and the numbers that it becomes.

A row at fault is rejected, and the others are taken. What is wrong is found for whole columns at once: a text that
occurs in a thousand rows is read once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from gslb.geo import bulk, values
from gslb.geo.address import parse_prefix
from gslb.measure import rejects
from gslb.measure.rejects import Rejects
from gslb.model import records
from gslb.model.jsontext import quoted
from gslb.store.redis_reading import is_name

I64 = npt.NDArray[np.int64]

MAX_BYTES: Final = 10**15
"""Of one row: what 133 Tbit/s are in a minute."""
MAX_SESSIONS: Final = 10**9
AHEAD_S: Final = 300
"""A minute may begin so much later than its row came in: clocks differ."""
OLDEST_S: Final = 400 * 86_400
"""And so much earlier."""
LONGEST4: Final = 24
LONGEST6: Final = 56
"""Longer prefixes of clients are rejected: no household is to be kept. To cut them would make rows alike that are not,
and whoever sends them knows what to sum up."""

_LONGEST: Final = 1000  # characters of a text that is looked at
_MEMORY: Final = 1 << 16  # distinct texts of a column that are remembered from piece to piece


class Coded(NamedTuple):
    """A column of texts: which of ``distinct`` each row has."""

    codes: I64
    distinct: Sequence[str]

    def at(self, row: int) -> str:
        """The text of a row."""
        return self.distinct[int(self.codes[row])]


class Column(NamedTuple):
    """A column that was read: of each row its number, and which of `KINDS` is wrong with it, 0 for nothing; ``reason``
    tells what is wrong with a row."""

    numbers: I64
    kinds: I64
    reason: Callable[[int], str]


class Raw(NamedTuple):
    """Some rows of a file. ``places`` has the line or the row of each, from 1; ``at`` tells in which column of the file
    a value of a row begins, ``text`` how the row stands there."""

    places: I64
    minute: Coded | Column
    edge: Coded
    service: Coded
    client_prefix: Coded
    bytes: Column
    sessions_started: Column
    at: Callable[[int, str], int]
    text: Callable[[int], str]


KINDS: Final = (
    "",
    "is empty",
    "is not a time",
    "is not a whole minute",
    "lies ahead",
    "is too old",
    "is not a name",
    "is not a prefix",
    "is not a number",
    "is negative",
    "is too large",
    "is too long",
)
"""What may be wrong with a value."""
EMPTY, NO_TIME, NO_MINUTE, AHEAD, OLD, NO_NAME, NO_PREFIX, NO_NUMBER, NEGATIVE, LARGE, LONG = range(1, len(KINDS))


class Checker:
    """Reads the rows of one file that came in at ``received_s``, seconds since 1970."""

    def __init__(self, rejected: Rejects, received_s: int) -> None:
        self._rejects = rejected
        self._received_s = received_s
        self._minutes: dict[str, tuple[int, int, str]] = {}

    def taken(self, raw: Raw) -> dict[str, I64 | Coded]:
        """The rows that are sound, as columns of `records.DELIVERIES`; the others are rejected."""
        minute = raw.minute if isinstance(raw.minute, Column) else _spread(raw.minute, self._minute)
        minute = self._bounded(minute)
        edge = _spread(raw.edge, _edge)
        services: list[str] = []
        service = _spread(raw.service, lambda text: _service(text, services))
        family, net, length, client = _clients(raw.client_prefix)
        columns = {
            "minute": minute,
            "edge": edge,
            "service": service,
            "client_prefix": client,
            "bytes": raw.bytes,
            "sessions_started": raw.sessions_started,
        }
        wrong = np.logical_or.reduce([column.kinds != 0 for column in columns.values()])
        self._reject(raw, columns, np.flatnonzero(wrong))
        kept = ~wrong if wrong.any() else slice(None)
        numbers = {
            "minute_s": minute.numbers,
            "client_family": family,
            "client_net": net,
            "client_len": length,
            "bytes": raw.bytes.numbers,
            "sessions_started": raw.sessions_started.numbers,
            "received_s": np.full(len(raw.places), self._received_s, dtype=np.int64),
        }
        found: dict[str, I64 | Coded] = {name: column[kept] for name, column in numbers.items()}
        found["edge"] = Coded(raw.edge.codes[kept], raw.edge.distinct)
        found["service"] = Coded(service.numbers[kept], services)
        return {name: found[name] for name in records.DELIVERIES}

    def _reject(self, raw: Raw, columns: dict[str, Column], wrong: npt.NDArray[np.intp]) -> None:
        """Note the rows that are wrong; those beyond what is told are counted, each by its first fault."""
        left = max(0, rejects.TOLD - len(self._rejects.told))
        for row in wrong[:left].tolist():
            faults = [(name, column) for name, column in columns.items() if column.kinds[row]]
            name, first = faults[0]
            reason = "; ".join(f"{each}: {column.reason(row)}" for each, column in faults)
            kind = f"{name}: {KINDS[int(first.kinds[row])]}"
            self._rejects.add(int(raw.places[row]), raw.at(row, name), kind, reason, raw.text(row))
        rest = wrong[left:]
        for name, column in columns.items():
            kinds = column.kinds[rest]
            for wanted, count in enumerate(np.bincount(kinds).tolist()):
                if wanted and count:
                    self._rejects.counts[f"{name}: {KINDS[wanted]}"] += count
            rest = rest[kinds == 0]

    def _minute(self, text: str) -> tuple[int, int, str]:
        found = self._minutes.get(text)
        if found is None:
            if len(self._minutes) >= _MEMORY:
                self._minutes.clear()
            found = self._minutes[text] = _time(text)
        return found

    def _bounded(self, minute: Column) -> Column:
        """Whole minutes alone, and no nonsense."""
        earliest_s, latest_s = self._received_s - OLDEST_S, self._received_s + AHEAD_S
        times_s = minute.numbers
        outside = (times_s % 60 != 0, times_s > latest_s, times_s < earliest_s)
        if not any(bool(each.any()) for each in outside):
            return minute
        kinds = np.where(minute.kinds != 0, minute.kinds, np.select(outside, (NO_MINUTE, AHEAD, OLD), 0))

        def reason(row: int) -> str:
            if minute.kinds[row]:
                return minute.reason(row)
            shown = f"{_instant(int(times_s[row]))!r}"
            return {
                NO_MINUTE: f"{shown} is not the start of a minute",
                AHEAD: f"{shown} lies more than {AHEAD_S} s ahead",
                OLD: f"{shown} is more than {OLDEST_S // 86_400} days ago",
            }[int(kinds[row])]

        return Column(times_s, kinds.astype(np.int64), reason)


def _clients(column: Coded) -> tuple[I64, I64, I64, Column]:
    """Family, network and length of each row, and what is wrong."""
    read = _networks(column.distinct)
    family, net, length, kinds = (each[column.codes] for each in read)
    return family, net, length, Column(net, kinds, lambda row: _prefix_fault(column.at(row)))


def _networks(texts: Sequence[str]) -> tuple[I64, I64, I64, I64]:
    """Family, network and length of each text, and what is wrong."""
    family, net, length, kinds = (np.zeros(len(texts), dtype=np.int64) for _ in range(4))
    rest: Sequence[int] = range(len(texts))
    if max(map(len, texts), default=0) > _LONGEST:
        texts = [text if len(text) <= _LONGEST else "?" for text in texts]
    joined = "\n".join(texts)
    if texts and "," not in joined and joined.count("\n") == len(texts) - 1:
        lines = bulk.read(joined.encode("utf-8", "replace") + b"\n")
        plain = lines.lens != bulk.NO_PREFIX
        length = np.where(plain, lines.lens, 0).astype(np.int64)
        net = np.where(plain, lines.starts, 0).astype(np.int64)
        family, kinds = np.where(plain, 4, 0), np.where(length > LONGEST4, LONG, 0)
        rest = np.flatnonzero(~plain).tolist()
    six = [at for at in rest if ":" in texts[at]]
    if six:
        starts, lens = bulk.read6([texts[at] for at in six])
        fits = lens != bulk.NO_PREFIX
        family[six], net[six], length[six] = np.where(fits, 6, 0), starts.view(np.int64), np.where(fits, lens, 0)
        kinds[six] = np.where(fits, np.where(lens > LONGEST6, LONG, 0), NO_PREFIX)
        rest = [at for at in rest if ":" not in texts[at]]
    for at in rest:
        if texts[at]:  # empty: it is not known where the clients are
            family[at], net[at], length[at], kinds[at] = _odd(texts[at])
    return family, net, length, kinds


def _odd(text: str) -> tuple[int, int, int, int]:
    """An IPv4 prefix amid texts that are none."""
    try:
        _, start, length = parse_prefix(text)
    except ValueError:
        return 0, 0, 0, NO_PREFIX
    return 4, start, length, LONG if length > LONGEST4 else 0


def numbers(texts: Sequence[str], most: int) -> Column:
    """A column of decimal numbers from 0 to ``most``, which has at most 18 digits."""
    joined = "".join(texts)
    kinds = np.zeros(len(texts), dtype=np.int64)
    try:
        if not (joined.isdigit() and joined.isascii()):
            raise ValueError
        found = np.fromiter(map(int, texts), np.int64, len(texts))
        kinds[found > most] = LARGE
    except (ValueError, OverflowError):
        found = kinds.copy()
        for at, text in enumerate(texts):
            found[at], kinds[at] = _number(text, most)
    return Column(found, kinds, lambda row: _number_fault(texts[row], int(kinds[row]), most))


def _number(text: str, most: int) -> tuple[int, int]:
    if text.isdigit() and text.isascii():
        if len(text) > 18 or int(text) > most:
            return 0, LARGE
        return int(text), 0
    if not text:
        return 0, EMPTY
    negative = text[0] == "-" and text[1:].isdigit()
    return 0, NEGATIVE if negative else NO_NUMBER


def _number_fault(text: str, kind: int, most: int) -> str:
    return {
        EMPTY: "is empty; 0 is written as 0",
        NEGATIVE: f"{quoted(text)} is negative",
        LARGE: f"{quoted(text)} is above {most}",
    }.get(kind, f"{quoted(text)} is not a whole number")


def _spread(column: Coded, read: Callable[[str], tuple[int, int, str]]) -> Column:
    """Read each distinct text once."""
    found = [read(text) for text in column.distinct]
    number, kind = (np.array([each[at] for each in found], dtype=np.int64) for at in (0, 1))
    return Column(number[column.codes], kind[column.codes], lambda row: found[int(column.codes[row])][2])


def _time(text: str) -> tuple[int, int, str]:
    if not text:
        return 0, EMPTY, "is empty"
    if text.isdigit() and text.isascii() and len(text) <= 12:
        return int(text), 0, ""
    try:
        return values.time_s(text[:_LONGEST]), 0, ""
    except ValueError:
        return 0, NO_TIME, f"{quoted(text)} is not a time with its zone, as '2026-01-01T18:00:00Z', nor in Unix seconds"


def _edge(text: str) -> tuple[int, int, str]:
    if not text:
        return 0, EMPTY, "is empty"
    return (0, 0, "") if is_name(text) else (0, NO_NAME, f"{quoted(text)} is not the name of an edge")


def _service(text: str, names: list[str]) -> tuple[int, int, str]:
    """Its number is where its name is among ``names``."""
    names.append(text[:_LONGEST])
    if not text:
        return len(names) - 1, EMPTY, "is empty"
    try:
        names[-1] = values.service(text[: _LONGEST + 1])
    except ValueError:
        return len(names) - 1, NO_NAME, f"{quoted(text)} is not the name of a service"
    return len(names) - 1, 0, ""


def _prefix_fault(text: str) -> str:
    try:
        bits, _, _ = parse_prefix(text[:100])
    except ValueError as error:
        return str(error)
    return f"{quoted(text)} is longer than /{LONGEST4 if bits == 32 else LONGEST6}; sum up by such networks"


def _instant(time_s: int) -> str:
    if not 0 <= time_s < 253_402_300_800:
        return str(time_s)
    return f"{np.datetime64(time_s, 's')}Z"
