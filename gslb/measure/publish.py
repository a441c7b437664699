"""A table of silver or gold: its rows of some time, new pieces of it, and their publication.

``TABLES/<layer>/<table>/`` holds its files, those of silver in folders by the hour, those of gold beside the manifest.
A file is named by table, time and run, so that no run writes over what another wrote.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from gslb.measure import manifest
from gslb.measure.engine import Engine
from gslb.measure.failing import failpoint
from gslb.measure.manifest import CURRENT, Current, Piece
from gslb.model import records
from gslb.tables import cuts
from gslb.tables.schemas import Table


class Kind(NamedTuple):
    """A table: its layer and name, its columns and which one is its time, how long its units are, and its buckets where
    it tells which were measured."""

    layer: str
    name: str
    columns: records.Columns
    time: str
    unit_s: int
    bucket_s: int | None = None


ASKED: Final = Kind("silver", "asked", records.ASKED, "minute_s", records.SLICE_S)
BEHIND: Final = Kind("silver", "behind", records.BEHIND, "slice_s", records.SLICE_S)
DELIVERED: Final = Kind("silver", "delivered", records.DELIVERED, "minute_s", records.SLICE_S)
LOAD: Final = Kind("silver", "load", records.LOAD, "minute_s", records.SLICE_S)
DEMAND: Final = Kind("gold", "demand", records.DEMAND, "time", records.HOUR_S, 300)
DEMAND_LIVE: Final = Kind("gold", "demand_live", records.DEMAND, "time", 60, 60)
RESOLVERS: Final = Kind("gold", "resolvers", records.RESOLVERS, "hour", records.HOUR_S)
EDGE_LOAD: Final = Kind("gold", "edge_load", records.EDGE_LOAD, "time", records.HOUR_S)
FOLDER: Final = "_lineage"
"""Beside a table: what its files were made of."""
SILVER: Final = (ASKED, BEHIND, DELIVERED, LOAD)
GOLD: Final = (DEMAND, RESOLVERS, EDGE_LOAD, DEMAND_LIVE)


class Published:
    """A table as it counts now. One process writes at a time."""

    def __init__(self, tables: Path, kind: Kind) -> None:
        """Raises `GslbError` where its manifest cannot be read."""
        self.kind = kind
        self.folder = tables / kind.layer / kind.name
        self.current = manifest.read(self.folder, kind.name, kind.unit_s)

    def read(self, engine: Engine, from_s: int, until_s: int) -> Table:
        """The rows of a range of time."""
        return cuts.between(self._table(engine, self.current.within(from_s, until_s)), self.kind.time, from_s, until_s)

    def of(self, engine: Engine, pieces: Iterable[Piece]) -> Table:
        """The rows of pieces, published or not."""
        return self._table(engine, pieces)

    def write(
        self,
        engine: Engine,
        table: Table,
        run: str,
        units: Mapping[int, str],
        buckets: Sequence[int] = (),
        counts: Mapping[str, int] | None = None,
    ) -> Piece:
        """Write the rows of some units, at least one, as a piece that does not count yet."""
        below = "" if self.kind.layer == "gold" else f"{manifest.hour_name(min(units))}/"
        made = engine.write(table, self.folder / below, self.stem(units, run))
        written = [each for each in made if each.rows]
        return Piece(
            files=tuple(below + each.name for each in written),
            rows=sum(each.rows for each in written),
            bytes=sum(each.bytes for each in written),
            run=run,
            units=dict(units),
            buckets=tuple(buckets),
            counts=dict(counts or {}),
        )

    def stem(self, units: Iterable[int], run: str) -> str:
        """How files of these units are named in a run."""
        return f"{self.kind.name}-{manifest.run_time(min(units))}-{run}"

    def publish(self, engine: Engine, run: str, built: Sequence[Piece], *, alone: bool = False) -> None:
        """Have pieces count from now on, in place of whatever there was of their units, or of all if ``alone``. Raises
        `OSError`."""
        whole, parts = manifest.replaced(() if alone else self.current.pieces, built)
        for number, (piece, left) in enumerate(parts):
            gone = sorted(set(piece.units) - set(left))
            rest = cuts.without(self._table(engine, [piece]), self.kind.time, self.kind.unit_s, gone)
            buckets = [start_s for start_s in piece.buckets if start_s - start_s % self.kind.unit_s in left]
            whole.append(self.write(engine, rest, f"{run}-rest{number}", left, buckets))
        self._say(replace(self.current, run=run, pieces=manifest.ordered(whole)))

    def put_aside(self, piece: Piece, quarantine: Path) -> None:
        """Keep the files of a piece that is not to count, for whoever looks why. Raises `OSError`."""
        for name in piece.files:
            target = quarantine / self.kind.name / Path(name).name
            target.parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).replace(target)

    def join(self, engine: Engine, run: str, pieces: Sequence[Piece]) -> None:
        """Make one piece of several; what they were built of stays the same. Raises `OSError`."""
        units = {unit_s: digest for piece in pieces for unit_s, digest in piece.units.items()}
        buckets = sorted(start_s for piece in pieces for start_s in piece.buckets)
        counts: Counter[str] = Counter()
        for piece in pieces:
            counts.update(piece.counts)
        joined = self.write(engine, self._table(engine, pieces), f"{run}-joined", units, buckets, counts)
        others = [piece for piece in self.current.pieces if piece not in pieces]
        self._say(replace(self.current, run=run, pieces=manifest.ordered([*others, joined])))

    def forget(self, before_s: int, run: str) -> int:
        """Let go of the pieces that lie before a time as a whole; how many. Raises `OSError`."""
        unit_s = self.kind.unit_s
        kept = [piece for piece in self.current.pieces if max(piece.units) + unit_s > before_s]
        gone = len(self.current.pieces) - len(kept)
        if gone or before_s > self.current.gone_s:
            gone_s = max(before_s, self.current.gone_s)
            self._say(replace(self.current, run=run, pieces=tuple(kept), gone_s=gone_s))
        return gone

    def named(self) -> set[str]:
        """All files that count, and the one that says so, by their names in the folder."""
        return {*self.current.files, CURRENT}

    def _table(self, engine: Engine, pieces: Iterable[Piece]) -> Table:
        files = [self.folder / name for piece in pieces for name in piece.files]
        return engine.read(files, self.kind.columns)

    def _say(self, current: Current) -> None:
        manifest.write(self.folder, current, self.kind.bucket_s)
        self.current = current
        failpoint(f"{self.kind.layer}-published")
