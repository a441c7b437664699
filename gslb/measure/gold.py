"""Gold: demand, resolvers and load of edges of an hour, and live demand of the newest minutes, all from silver.

An hour is built anew where a slice of it, or of the time that demand looks back, is another than it was built of, or
where a further bucket of it has ended. Silver is small: an hour of it is read whole.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from gslb.measure.abreast import abreast
from gslb.measure.bronze import Bronze
from gslb.measure.engine import Engine
from gslb.measure.keeping import keeping
from gslb.measure.manifest import Piece
from gslb.measure.publish import DEMAND, DEMAND_LIVE, EDGE_LOAD, RESOLVERS, Kind, Published
from gslb.model import records
from gslb.tables import cuts, demand, edge_load, resolvers
from gslb.tables.fitting import Fit
from gslb.tables.schemas import Table

VERSION: Final = 1
"""Of the steps: another one builds anew what a run looks at."""
LIVE_S: Final = 900
"""How much of the newest time live demand tells of: dispatchers compare the newest bucket with the dozen before."""
PART_S: Final = 900
MOST_AT_ONCE: Final = 2_000_000
"""Demand of more rows of silver than these is made in parts, each of so many seconds."""
_MEASURED_BY: Final[Mapping[str, str]] = {"queries": "asked", "reports": "load"}
"""A bucket is measured where questions were asked or edges reported; what was delivered comes late, and is not all."""
OF: Final[Mapping[str, tuple[str, ...]]] = {
    "demand": ("asked", "delivered", "load"),
    "demand_live": ("asked", "delivered", "load"),
    "resolvers": ("behind",),
    "edge_load": ("delivered", "load"),
}
"""Of which tables of silver each is built."""


class Work(NamedTuple):
    """What is to be built of a table: ``units`` with their digests, of the time from ``from_s`` to ``until_s``."""

    kind: Kind
    from_s: int
    until_s: int
    units: dict[int, str]


def stale(
    silver: Mapping[str, Published], gold: Mapping[str, Published], until_s: int, span: range, *, rebuild: bool = False
) -> list[Work]:
    """The hours to build, in order of time, where what ended until ``until_s`` counts; of those that touch ``span``,
    all of them where they are to be built again. What lies before silver that was removed stays as it is."""
    kept_s = max(table.current.gone_s for table in silver.values())
    digests = {name: table.current.units() for name, table in silver.items()}
    hours = sorted({unit_s - unit_s % records.HOUR_S for units in digests.values() for unit_s in units})
    found = []
    for hour_s in hours:
        end_s = min(hour_s + records.HOUR_S, until_s)
        if hour_s >= span.stop or end_s <= max(hour_s, span.start) or hour_s - demand.LOOKBACK_S < kept_s > 0:
            continue
        for kind in (DEMAND, RESOLVERS, EDGE_LOAD):
            digest = _digest(kind, digests, hour_s, end_s)
            if rebuild or digest != gold[kind.name].current.digest(hour_s):
                found.append(Work(kind, hour_s, end_s, {hour_s: digest}))
    return found


def stale_live(silver: Mapping[str, Published], live: Published, until_s: int) -> Work | None:
    """Live demand until ``until_s``, where it is not as it should be; None too where nothing is known of that time."""
    digests = {name: table.current.units() for name, table in silver.items()}
    newest_s = max((max(digests[name], default=0) for name in _MEASURED_BY.values()), default=0)
    end_s = min(until_s, newest_s + records.SLICE_S)
    from_s = end_s - LIVE_S
    if from_s <= 0:
        return None
    digest = _digest(DEMAND_LIVE, digests, from_s, end_s)
    if live.current.units() == dict.fromkeys(range(from_s, end_s, 60), digest):
        return None
    return Work(DEMAND_LIVE, from_s, end_s, dict.fromkeys(range(from_s, end_s, 60), digest))


def held(silver: Mapping[str, Published], bronze: Mapping[str, Bronze]) -> set[int]:
    """The slices of which something came in that is not built: a gate stopped it, or it failed. Where there is an older
    state of a slice, that counts."""
    return {
        start_s
        for source, name in _MEASURED_BY.items()
        for start_s in bronze[source].slices()
        if not silver[name].current.digest(start_s)
    }


class _Fitted(NamedTuple):
    span: tuple[int, int]
    told: demand.Told
    fit: Fit


class Fits:
    """Builds gold; what demand of the newest time was fitted to is kept, for live demand of the same slices, until it
    is closed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept = contextlib.ExitStack()
        self._newest: _Fitted | None = None

    def close(self) -> None:
        """Let go of it."""
        self._newest = None
        self._kept.close()

    def build(
        self, silver: Mapping[str, Published], table: Published, work: Work, run: str, held: Collection[int]
    ) -> Piece:
        """Build a table: its files are written, and do not count yet. What lies in slices that are ``held`` is not
        measured."""
        kind, from_s, until_s = work.kind, work.from_s, work.until_s
        tables = {name: silver[name].read(self._engine, back_s(kind, from_s), until_s) for name in OF[kind.name]}
        if kind.bucket_s is None:
            found = (
                resolvers.resolvers(tables["behind"], from_s)
                if kind is RESOLVERS
                else edge_load.edge_load(tables["load"], tables["delivered"])
            )
            return table.write(self._engine, found, run, work.units, [])
        there = [cuts.between(tables[name], "minute_s", from_s, until_s) for name in _MEASURED_BY.values()]
        starts = sorted(row["start_s"] for row in self._engine.fetch(cuts.starts(there, "minute_s", kind.bucket_s)))
        buckets = [start_s for start_s in starts if start_s - start_s % records.SLICE_S not in held]
        rows = sum(piece.rows for piece in silver["asked"].current.within(from_s, until_s))
        spans = parts(from_s, until_s, PART_S) if rows > MOST_AT_ONCE else [(from_s, until_s)]
        with contextlib.ExitStack() as stack:
            found = self._demand(kind, tables, buckets, spans, stack)
            return table.write(self._engine, cuts.union(found), run, work.units, buckets)

    def _demand(
        self,
        kind: Kind,
        tables: Mapping[str, Table],
        buckets: list[int],
        spans: list[tuple[int, int]],
        stack: contextlib.ExitStack,
    ) -> list[Table]:
        """Demand of parts of the time, kept until ``stack`` is closed."""

        def spread(engine: Engine, told: demand.Told, span: tuple[int, int], fit: Fit) -> Table:
            from_s, until_s = span
            found = demand.demand(told, fit, bucket_s=kind.bucket_s or 0, from_s=from_s, until_s=until_s)
            return stack.enter_context(engine.kept(cuts.starting(found, kind.time, buckets)))

        newest = self._newest
        if newest is not None and [newest.span] == spans:
            return [spread(self._engine, newest.told, newest.span, newest.fit)]
        self.close()
        first_s, last_s = spans[0][0], spans[-1][1]
        stays = self._kept.enter_context(keeping(self._engine))
        told = demand.told(**tables, from_s=first_s, until_s=last_s, kept=stays)

        def part(engine: Engine, span: tuple[int, int]) -> Table:
            with keeping(engine) as kept:
                fit = demand.fitted(told, from_s=span[0], until_s=span[1], kept=kept)
                if span == spans[-1]:
                    fit = Fit(*map(self._kept.enter_context(keeping(engine)), fit))
                    self._newest = _Fitted(span, told, fit)
                return spread(engine, told, span, fit)

        with contextlib.closing(abreast(self._engine, (partial(part, span=span) for span in spans))) as found:
            return [table() for table in found]


def parts(from_s: int, until_s: int, part_s: int) -> list[tuple[int, int]]:
    """A range of time in parts of ``part_s``, of which all but the first begin where slices do."""
    second_s = from_s + part_s - (from_s + part_s) % records.SLICE_S
    starts = [from_s, *range(second_s, until_s, part_s)]
    return list(zip(starts, [*starts[1:], until_s], strict=True))


def back_s(kind: Kind, from_s: int) -> int:
    """From when on silver is read for a table that begins at ``from_s``: for demand all of its hour, so that what is
    live comes out as it does in the hour."""
    return from_s if kind.bucket_s is None else from_s - from_s % records.HOUR_S - demand.LOOKBACK_S


def _digest(kind: Kind, digests: Mapping[str, Mapping[int, str]], from_s: int, until_s: int) -> str:
    """Of all that the time is built of. A slice that has no rows any more is as if there were none."""
    told: list[Any] = [VERSION, from_s, until_s]
    first_s = back_s(kind, from_s)
    first_s -= first_s % records.SLICE_S
    for name in OF[kind.name]:
        units = digests[name]
        told += [units.get(start_s, "") for start_s in range(first_s, until_s, records.SLICE_S)]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:32]
