"""Silver: of each slice of a source, what is sound, once, located; built anew where what it was built of has changed.

A slice is 300 s of a source. Its digest names the files that overlap it, and the facts that it was joined with. Slices
are built some at a time, as many as `BATCH_ROWS` allow, and published as they are built: a run that is killed loses one
batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from gslb.measure.bronze import SOURCES
from gslb.measure.engine import Engine
from gslb.measure.keeping import keeping
from gslb.measure.manifest import Piece, hour_name, run_time
from gslb.measure.publish import ASKED, BEHIND, DELIVERED, LOAD, Kind, Published
from gslb.model import records
from gslb.tables import cuts, deliveries, gates, queries, reports
from gslb.tables.leaving import DUPLICATE
from gslb.tables.schemas import Table
from gslb.tables.shaping import Kept

VERSION: Final = 1
"""Of the steps: another one builds anew what a run looks at."""
BATCH_ROWS: Final = 5_000_000
MOST_KEPT: Final = 100_000
"""Rejected rows of a batch that are put aside; those beyond are counted."""
NOTHING: Final = "0" * 32
"""The digest of files of a slice that has none any more."""

TABLES_OF: Final[Mapping[str, tuple[Kind, ...]]] = {
    "queries": (ASKED, BEHIND),
    "deliveries": (DELIVERED,),
    "reports": (LOAD,),
}
"""What is built of which source."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What zones and data say, as tables of an engine; ``digest`` names what they hold. ``fault`` tells why the newest
    files were not taken; empty: they were."""

    places: Table
    services: Table
    edges: Table
    digest: str
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Slices of an hour that follow each other, by their starts, and how many rows they may have."""

    slices: tuple[int, ...]
    rows: int
    from_s: int = field(init=False)
    until_s: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "from_s", self.slices[0])
        object.__setattr__(self, "until_s", self.slices[-1] + records.SLICE_S)


def digest(files: str, facts: str) -> str:
    """Of a slice: of its files, and of what they were joined with and how."""
    return f"{files[:24]}.{hashlib.sha256(f'{VERSION} {facts}'.encode()).hexdigest()[:8]}"


def stale(
    files: Mapping[int, str], built: Mapping[int, str], facts: str, strict_s: int, span: range | None = None
) -> dict[int, str]:
    """The slices to build, with their digests: those whose files are others than they were built of; from ``strict_s``
    on those too whose facts are others, for what is older was as it was. ``span`` are the seconds to look at, None:
    all."""
    found = {}
    for start_s in sorted({*files, *built}):
        if span is not None and start_s not in span:
            continue
        new, old = digest(files.get(start_s, NOTHING), facts), built.get(start_s, "")
        if new != old if start_s >= strict_s else new.partition(".")[0] != old.partition(".")[0]:
            found[start_s] = new
    return found


def batches(starts_s: Sequence[int], rows: Callable[[int], int], most: int = BATCH_ROWS) -> Iterator[Batch]:
    """Slices put together: of one hour, following each other, of at most so many rows, or alone."""
    group: list[int] = []
    total = 0
    for start_s in sorted(starts_s):
        count = rows(start_s)
        follows = group and start_s == group[-1] + records.SLICE_S and start_s % records.HOUR_S
        if group and not (follows and total + count <= most):
            yield Batch(tuple(group), total)
            group, total = [], 0
        group.append(start_s)
        total += count
    if group:
        yield Batch(tuple(group), total)


@dataclass(frozen=True, slots=True)
class Built:
    """A batch that was built: what came in, what was left out and why, and the pieces that hold the rest."""

    source: str
    batch: Batch
    rows: int
    duplicates: int
    rejected: dict[str, int]
    pieces: dict[str, Piece]
    complete: dict[str, int]
    """What `gates.complete` counts; of queries."""


@dataclass(frozen=True, slots=True)
class Job:
    """A batch to be built, of what there is when this is made: ``files`` of its source, and ``counters``, which tell
    whether queries are complete. ``units`` are its slices with their digests."""

    source: str
    batch: Batch
    units: Mapping[int, str]
    files: Sequence[Path]
    counters: Sequence[Path]
    facts: Facts
    tables: Mapping[str, Published]
    run: str
    quarantine: Path

    def __call__(self, engine: Engine) -> Built:
        """Build the batch: its files are written, and do not count yet; rows that are left out go to a folder below
        ``quarantine``. Raises `GslbError`, with the path of a file that cannot be read."""
        batch = self.batch
        rows = _rows(engine, self.files, self.source, batch)
        with keeping(engine) as kept:
            match self.source:
                case "queries":
                    made = _queries(engine, kept, rows, _rows(engine, self.counters, "counters", batch), self.facts)
                case "deliveries":
                    made = _deliveries(engine, kept, rows, self.facts)
                case _:
                    made = _reports(engine, kept, rows, self.facts)
            rejected = {reason: count for reason, count in sorted(made.rejected.items()) if reason}
            counts = {"rows": made.rows, "duplicates": made.duplicates}
            counts |= {f"rejected {reason}": count for reason, count in rejected.items()}
            pieces = {
                name: self.tables[name].write(engine, table, self.run, self.units, counts=counts)
                for name, table in made.tables.items()
            }
            if rejected:
                stem = f"{run_time(batch.from_s)}-{self.run}"
                engine.write(made.bad, self.quarantine / self.source / hour_name(batch.from_s), stem)
        return Built(self.source, batch, made.rows, made.duplicates, rejected, pieces, made.complete)


class _Made(NamedTuple):
    """What a batch comes to, as tables to be written; ``rejected`` has rows by reason."""

    rows: int
    duplicates: int
    rejected: dict[str, int]
    bad: Table
    tables: dict[str, Table]
    complete: dict[str, int]


def _queries(engine: Engine, kept: Kept, rows: Table, counters: Table, facts: Facts) -> _Made:
    numbers = kept(queries.numbers(rows))
    (told,) = engine.fetch(queries.counted(numbers))
    blocks = kept(queries.doubted(numbers)) if told["doubted"] else None
    judged = queries.verdicts(rows, facts.services, facts.edges)
    left_out = kept(queries.excess(kept(queries.suspects(judged, blocks))))
    duplicates, rejected = _rejected(engine, left_out)
    less = left_out if duplicates or rejected else None
    pairs = kept(queries.pairs(rows, less))
    tables = {
        "asked": queries.asked(kept(queries.answered(rows, less)), pairs),
        "behind": queries.behind(pairs, facts.places),
    }
    (complete,) = engine.fetch(gates.complete(numbers, counters))
    return _Made(told["rows"], duplicates, rejected, _bad(left_out), tables, complete)


def _deliveries(engine: Engine, kept: Kept, rows: Table, facts: Facts) -> _Made:
    rows = kept(rows)  # of many small files
    (came,) = engine.fetch(cuts.count(rows))
    hosts = kept(deliveries.hosts_of(rows, facts.services))
    judged = deliveries.verdicts(rows, hosts, facts.edges)
    left_out = kept(deliveries.excess(judged, kept(deliveries.doubled(rows))))
    duplicates, rejected = _rejected(engine, left_out)
    less = left_out if duplicates or rejected else None
    tables = {"delivered": deliveries.delivered(rows, less, facts.places, hosts, kept=kept)}
    return _Made(came["rows"], duplicates, rejected, _bad(left_out), tables, {})


def _reports(engine: Engine, kept: Kept, rows: Table, facts: Facts) -> _Made:
    judged = kept(reports.verdicts(reports.deduplicated(rows), facts.edges))
    (came,) = engine.fetch(cuts.count(rows))
    rejected = _by_reject(engine, judged)
    duplicates = came["rows"] - sum(rejected.values())
    tables = {"load": reports.load(cuts.good(judged, records.REPORTS))}
    return _Made(came["rows"], duplicates, rejected, cuts.bad(judged, MOST_KEPT), tables, {})


def _rejected(engine: Engine, left_out: Table) -> tuple[int, dict[str, int]]:
    """How many of the rows that do not count are duplicates, and the others by reason."""
    rejected = _by_reject(engine, left_out)
    return rejected.pop(DUPLICATE, 0), rejected


def _bad(left_out: Table) -> Table:
    return cuts.bad(left_out.filter(left_out.reject != DUPLICATE), MOST_KEPT)


def _by_reject(engine: Engine, judged: Table) -> dict[str, int]:
    return {row["reject"]: row["rows"] for row in engine.fetch(cuts.by_reject(judged))}


def _rows(engine: Engine, files: Sequence[Path], source: str, batch: Batch) -> Table:
    """The rows of a source of the time of a batch."""
    of = SOURCES[source]
    return cuts.between(engine.read(files, of.columns), of.time, batch.from_s, batch.until_s)
