"""What gates make of counts: which value warns, which one stops a table, and how it is said."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from gslb.measure.engine import Engine
from gslb.measure.quality import OK, STOP, WARN
from gslb.model import records
from gslb.tables import gates
from gslb.tables.schemas import Table

NEVER: Final = math.inf

Counts = Mapping[str, Any]


class Limit(NamedTuple):
    """From which value on a gate warns, and from which on it stops: values above; ``low``: values below."""

    warn: float
    stop: float
    low: bool = False


class Limits(NamedTuple):
    """The limits of all gates. What is only sad, as a server that loses records, warns: demand without them is better
    than demand of an hour ago. What makes demand wrong stops."""

    rejected: Limit = Limit(0.001, 0.2)
    """Share of rows. A few are a bug of one server; a fifth is another format, and what is left is no sample."""
    unknown: Limit = Limit(0.01, 0.5)
    """Share of rows of edges or services that files do not name: of those just taken away some, not most."""
    duplicates: Limit = Limit(0.25, NEVER)
    """Share of rows. They are left out, and cost only time."""
    lost: Limit = Limit(0.01, NEVER)
    """Share of records that a server says it lost. It is told, and demand goes by load all the same."""
    missing: Limit = Limit(0.01, 0.5)
    """Share of logged records that did not come in. Most of them is a disk or a copy that stands still."""
    uncounted: Limit = Limit(0.5, NEVER)
    """Share of rows of servers without counters: nobody can say how many there should be."""
    volume_low: Limit = Limit(0.5, 0.1, low=True)
    """Rows against those of the time before. No audience leaves like that; logs stop like that."""
    volume_high: Limit = Limit(4.0, NEVER)
    """Audiences do come like that: an event begins."""
    stale_s: Limit = Limit(300, NEVER)
    """Age of the newest rows, in seconds."""
    repeated: Limit = Limit(0, 0)
    """Rows whose key is there twice: what reads the table would count it twice."""
    broken: Limit = Limit(0, 0)
    """Rows with nulls, with numbers that are none or negative."""
    wrong: Limit = Limit(0, 0)
    """Rows that contradict themselves."""
    empty: Limit = Limit(0, 0)
    """Tables without rows where what they are made of has some."""
    unplaced: Limit = Limit(0.2, 0.9)
    """Share of demand of no known country. Most of it: the geographic tables are not there."""
    unsure: Limit = Limit(0.9, NEVER)
    """Share of demand without confidence. The forecast goes by confidence itself."""
    conserved: Limit = Limit(0.1, 0.5)
    """By how much demand misses what edges carried, of that."""
    demand_low: Limit = Limit(0.5, 0.1, low=True)
    """Demand against the hour before."""
    demand_high: Limit = Limit(4.0, 50.0)
    """Likewise. Fifty times as much within an hour is a wrong unit."""
    overloads: Limit = Limit(0.1, NEVER)
    """Share of rows of edges above their capacity."""


DEFAULT: Final = Limits()


class Found(NamedTuple):
    """What a gate found: see `gslb.measure.quality.Verdict`."""

    gate: str
    level: str
    value: float
    limit: float
    text: str


def taken(rows: int, duplicates: int, rejected: Mapping[str, int], limits: Limits = DEFAULT) -> list[Found]:
    """The gates of rows of a source: how many came in, how many of them twice, and how many of the others were rejected
    for which reason."""
    once = rows - duplicates
    unknown = rejected.get("edge", 0) + rejected.get("service", 0)
    others = sum(rejected.values()) - unknown
    return [
        _share(limits.duplicates, "duplicates", duplicates, rows, "rows are there twice"),
        _share(limits.rejected, "rejected", others, once, "rows are rejected"),
        _share(limits.unknown, "unknown", unknown, once, "rows name an edge or a service that files do not"),
    ]


def complete(counts: Counts, limits: Limits = DEFAULT) -> list[Found]:
    """The gates of `gates.complete`."""
    return [
        _share(limits.lost, "lost", counts["lost"], counts["given"], "records were lost by servers"),
        _share(limits.missing, "missing", counts["missing"], counts["logged"], "logged records did not come in"),
        _share(limits.uncounted, "uncounted", counts["uncounted"], counts["rows"], "rows are of servers not counted"),
    ]


def volume(rows: int, before: int, limits: Limits = DEFAULT) -> list[Found]:
    """Rows against the same length of time ``before``; nothing is said where that had none."""
    return _drift(limits.volume_low, limits.volume_high, "volume", rows, before, "rows")


def fresh(age_s: float, limits: Limits = DEFAULT) -> list[Found]:
    """The age of the newest rows."""
    return [_found(limits.stale_s, "fresh", age_s, f"the newest rows are {age_s:.0f} s old")]


def silver(engine: Engine, name: str, table: Table, columns: records.Columns, limits: Limits = DEFAULT) -> list[Found]:
    """The gates that a table of silver passes before it is published."""
    _, found = _sound(engine, name, table, columns, limits)
    return found


class Beside(NamedTuple):
    """What a table of gold is compared with: ``load`` of its time from ``from_s`` to ``until_s``; ``expected``: whether
    there are rows of what it is made of; the demand of the hour before, 0 where that is unknown."""

    load: Table
    from_s: int
    until_s: int
    expected: bool = True
    before_bps: float = 0.0


def gold(
    engine: Engine, name: str, table: Table, columns: records.Columns, beside: Beside, limits: Limits = DEFAULT
) -> tuple[list[Found], float]:
    """The gates that a table of gold passes before it is published; and of demand its sum over all buckets, for the
    next hour's ``before_bps``, else 0."""
    rows, found = _sound(engine, name, table, columns, limits)
    empty = int(beside.expected and not rows)
    found.append(_found(limits.empty, "empty", empty, f"{rows} rows" if rows else "no rows"))
    if not rows:
        return found, 0.0
    if name in ("demand", "demand_live"):
        sums = _one(engine, gates.demand_sums(table))
        bucket_s = 300 if name == "demand" else 60
        balance = _one(engine, gates.conserved(table, beside.load, bucket_s, beside.from_s, beside.until_s))
        found += _demand(sums, balance, beside.before_bps, limits)
        return found, float(sums["demand_bps"])
    if name == "resolvers":
        sums = _one(engine, gates.shares(table))
        wrong = int(sums["wrong"]) + int(sums["over"])
        found.append(_found(limits.wrong, "wrong", wrong, f"{wrong} shares are wrong"))
    else:
        sums = _one(engine, gates.overloads(table))
        found.append(_share(limits.overloads, "overloads", sums["over"], sums["rows"], "rows are above capacity"))
    return found, 0.0


def worst(found: Iterable[Found]) -> str:
    """The worst level."""
    return max((each.level for each in found), key=(OK, WARN, STOP).index, default=OK)


def _demand(sums: Counts, balance: Counts, before_bps: float, limits: Limits) -> list[Found]:
    total = float(sums["demand_bps"])
    unsure = total - float(sums["sure_bps"])
    found = [
        _found(limits.wrong, "wrong", sums["wrong"], f"{sums['wrong']} rows contradict themselves"),
        _share(limits.unplaced, "unplaced", sums["unplaced_bps"], total, "of demand is of no known country"),
        _share(limits.unsure, "unsure", unsure, total, "of demand is uncertain"),
    ]
    load_bps = float(balance["load_bps"])
    if load_bps > 0:
        miss = abs(float(balance["demand_bps"]) - load_bps) / load_bps
        text = f"demand misses what edges carried by {miss:.1%}"
        found.append(_found(limits.conserved, "conserved", miss, text))
    return found + _drift(limits.demand_low, limits.demand_high, "demand", total, before_bps, "demand")


def _sound(
    engine: Engine, name: str, table: Table, columns: records.Columns, limits: Limits
) -> tuple[int, list[Found]]:
    """How many rows there are, and the gates of keys and values."""
    key = gates.KEYS[name]
    counts = _one(engine, gates.sound(table, columns, key))
    once = counts["distinct"] == counts["rows"]
    repeated = 0 if once else _one(engine, gates.repeated(table, key))["repeated"]
    return counts["rows"], [
        _found(limits.repeated, "repeated", repeated, f"{repeated} keys are there again"),
        _found(limits.broken, "broken", counts["broken"], f"{counts['broken']} rows have a value that cannot be"),
    ]


def _share(limit: Limit, gate: str, part: float, whole: float, what: str) -> Found:
    share = float(part) / float(whole) if whole else 0.0
    return _found(limit, gate, share, f"{share:.2%} {what}" if "of demand" in what else f"{share:.2%} of {what}")


def _drift(low: Limit, high: Limit, gate: str, now: float, before: float, what: str) -> list[Found]:
    if before <= 0:
        return []
    ratio = float(now) / float(before)
    text = f"{ratio:.2f} times the {what} of before"
    return [_found(low, f"{gate}-low", ratio, text), _found(high, f"{gate}-high", ratio, text)]


def _found(limit: Limit, gate: str, value: float, text: str) -> Found:
    """A value that is none stops."""

    def beyond(at: float) -> bool:
        return not (value >= at if limit.low else value <= at)

    level = STOP if beyond(limit.stop) else WARN if beyond(limit.warn) else OK
    shown = limit.stop if level == STOP else limit.warn
    return Found(gate, level, float(value), shown, text)


def _one(engine: Engine, table: Table) -> dict[str, Any]:
    (row,) = engine.fetch(table)
    return row
