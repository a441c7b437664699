"""Gates applied: the verdicts on a batch of silver and on a piece of gold, before they are published."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from gslb.measure import judging
from gslb.measure.bronze import Bronze
from gslb.measure.engine import Engine
from gslb.measure.gold import Work
from gslb.measure.judging import Beside, Found
from gslb.measure.manifest import Piece
from gslb.measure.publish import Published
from gslb.measure.quality import Verdict
from gslb.measure.silver import Built
from gslb.model import records
from gslb.tables import cuts

SUM: Final = "demand_bps"
"""Of a piece of demand: the sum over all rows, among its counts."""
_OF: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "demand": (("asked",), ("delivered", "load")),
    "demand_live": (("asked",), ("delivered", "load")),
    "edge_load": (("delivered", "load"),),
    "resolvers": (),
}
"""Of which tables of silver a table of gold has rows where they have: of each group one at least. Of few questions no
resolver is learned."""


@dataclass(frozen=True, slots=True)
class Judging:
    """Judges what a run built at ``at_s``; what has not ended at ``ended_s`` is not whole yet."""

    engine: Engine
    run: str
    at_s: int
    ended_s: int

    def batch(self, bronze: Bronze, tables: Mapping[str, Published], built: Built) -> list[Verdict]:
        """On a batch: of its source as a whole, and of each table."""
        batch = built.batch
        found = judging.taken(built.rows, built.duplicates, built.rejected)
        if built.complete:
            found += judging.complete(built.complete)
        whole = [start_s for start_s in batch.slices if start_s + records.SLICE_S <= self.ended_s]
        back_s = len(batch.slices) * records.SLICE_S
        pairs = [(bronze.rows(start_s), bronze.rows(start_s - back_s)) for start_s in whole]
        if pairs and all(before for _, before in pairs):
            found += judging.volume(sum(now for now, _ in pairs), sum(before for _, before in pairs))
        verdicts = self._told(built.source, found, batch.from_s, batch.until_s)
        for name, piece in built.pieces.items():
            table = tables[name]
            columns = table.kind.columns
            found = judging.silver(self.engine, name, table.of(self.engine, [piece]), columns)
            verdicts += self._told(name, found, batch.from_s, batch.until_s)
        return verdicts

    def piece(
        self, silver: Mapping[str, Published], table: Published, work: Work, piece: Piece
    ) -> tuple[list[Verdict], Piece]:
        """On a piece of gold; and the piece with what the next one is compared with."""
        kind, from_s, until_s = work.kind, work.from_s, work.until_s

        def has_rows(names: Iterable[str]) -> bool:
            return any(each.rows for name in names for each in silver[name].current.within(from_s, until_s))

        groups = _OF[kind.name]
        expected = bool(groups) and all(map(has_rows, groups)) and (kind.bucket_s is None or bool(piece.buckets))
        load = silver["load"].read(self.engine, from_s, until_s)
        if kind.bucket_s is not None:
            load = cuts.within(load, "minute_s", kind.bucket_s, list(piece.buckets))
        beside = Beside(load, from_s, until_s, expected, _before(table, work, piece))
        found, total = judging.gold(self.engine, kind.name, table.of(self.engine, [piece]), kind.columns, beside)
        verdicts = self._told(kind.name, found, from_s, until_s)
        if kind.bucket_s is not None:
            piece = msgspec.structs.replace(piece, counts={**piece.counts, SUM: round(total)})
        return verdicts, piece

    def fresh(self, bronze: Mapping[str, Bronze]) -> list[Verdict]:
        """On the age of what comes in by itself."""
        verdicts: list[Verdict] = []
        for source in ("queries", "reports"):
            newest_s = max(bronze[source].slices(), default=None)
            if newest_s is not None:
                age_s = max(0, self.at_s - newest_s - records.SLICE_S)
                verdicts += self._told(source, judging.fresh(age_s), newest_s, newest_s + records.SLICE_S)
        return verdicts

    def _told(self, table: str, found: Iterable[Found], from_s: int, until_s: int) -> list[Verdict]:
        return [
            Verdict(
                table=table,
                gate=each.gate,
                level=each.level,
                value=each.value if math.isfinite(each.value) else None,
                limit=each.limit,
                text=each.text,
                run=self.run,
                at_s=self.at_s,
                from_s=from_s,
                until_s=until_s,
            )
            for each in found
        ]


def _before(table: Published, work: Work, piece: Piece) -> float:
    """What demand was before, over as many buckets as the piece has; 0 where that is not known."""
    if work.kind.bucket_s is None:
        return 0.0
    current = table.current
    if work.kind.unit_s == records.HOUR_S:
        pieces = current.within(work.from_s - records.HOUR_S, work.from_s)
    else:
        pieces = list(current.pieces)
    buckets = sum(len(each.buckets) for each in pieces)
    total = sum(each.counts.get(SUM, 0) for each in pieces)
    return total * len(piece.buckets) / buckets if buckets else 0.0
