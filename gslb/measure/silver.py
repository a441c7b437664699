"""Silver: of each slice of a source, what is sound, once, located; built anew where what it was built of has changed.

A slice is 300 s of a source. Its digest names the files that overlap it, and the facts that it was joined with. Slices
are built some at a time, as many as `BATCH_ROWS` allow, and published as they are built: a run that is killed loses one
batch.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gslb.measure.bronze import SOURCES, Bronze
from gslb.measure.engine import Engine
from gslb.measure.manifest import Piece, hour_name, run_time
from gslb.measure.publish import ASKED, BEHIND, DELIVERED, LOAD, Kind, Published
from gslb.model import records
from gslb.tables import cuts, deliveries, gates, queries, reports
from gslb.tables.schemas import Table

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


def build(
    engine: Engine,
    bronze: Bronze,
    tables: Mapping[str, Published],
    batch: Batch,
    digests: Mapping[int, str],
    facts: Facts,
    run: str,
    quarantine: Path,
    counters: Bronze,
) -> Built:
    """Build a batch of slices: its files are written, and do not count yet; rows that are left out go to a folder
    below ``quarantine``; ``counters`` tell whether queries are complete. Raises `GslbError`, with the path of a file
    that cannot be read."""
    rows = _rows(engine, bronze, batch)
    units = {start_s: digests[start_s] for start_s in batch.slices}
    with _once(engine, bronze.source, rows) as once, engine.kept(_judged(bronze.source, once, facts)) as judged:
        (came,) = engine.fetch(cuts.count(rows))
        by_reject = {row["reject"]: row["rows"] for row in engine.fetch(cuts.by_reject(judged))}
        accepted = by_reject.pop("", 0)
        counts = {"rows": came["rows"], "duplicates": came["rows"] - accepted - sum(by_reject.values())}
        counts |= {f"rejected {reason}": count for reason, count in sorted(by_reject.items())}
        pieces = {
            name: tables[name].write(engine, table, run, units, counts=counts)
            for name, table in _tables(bronze.source, judged, facts).items()
        }
        complete = {}
        if bronze.source == "queries":
            (complete,) = engine.fetch(gates.complete(once, _rows(engine, counters, batch)))
        if by_reject:
            bad = _bad(bronze.source, once, judged, facts, by_reject)
            stem = f"{run_time(batch.from_s)}-{run}"
            engine.write(bad, quarantine / bronze.source / hour_name(batch.from_s), stem)
    return Built(bronze.source, batch, counts["rows"], counts["duplicates"], by_reject, pieces, complete)


def _rows(engine: Engine, bronze: Bronze, batch: Batch) -> Table:
    """The rows of a source of the time of a batch."""
    source = SOURCES[bronze.source]
    files = bronze.paths(batch.from_s, batch.until_s)
    return cuts.between(engine.read(files, source.columns), source.time, batch.from_s, batch.until_s)


@contextlib.contextmanager
def _once(engine: Engine, source: str, rows: Table) -> Iterator[Table]:
    """The rows of a source, each once. Of queries, which are many, those in doubt are settled by themselves."""
    if source == "deliveries":
        with engine.kept(deliveries.deduplicated(rows)) as once:
            yield once
        return
    if source == "reports":
        yield reports.deduplicated(rows)
        return
    with contextlib.ExitStack() as stack:
        blocks = stack.enter_context(engine.kept(queries.doubted(rows)))
        (doubted,) = engine.fetch(cuts.count(blocks))
        if doubted["rows"]:
            settled = stack.enter_context(engine.kept(queries.settled(rows, blocks)))
            yield queries.undoubted(rows, blocks).union(settled)
        else:
            yield rows


def _judged(source: str, once: Table, facts: Facts) -> Table:
    """Rows with a column ``reject``; of queries what is needed of them, for wide tables cost time to keep."""
    if source == "queries":
        return queries.noted(queries.verdicts(once, facts.services, facts.edges))
    if source == "deliveries":
        return deliveries.verdicts(once, facts.services, facts.edges)
    return reports.verdicts(once, facts.edges)


def _tables(source: str, judged: Table, facts: Facts) -> dict[str, Table]:
    if source == "queries":
        return {"asked": queries.asked_of(judged), "behind": queries.behind_of(judged, facts.places)}
    good = cuts.good(judged, SOURCES[source].columns)
    if source == "deliveries":
        return {"delivered": deliveries.delivered(good, facts.places, facts.services)}
    return {"load": reports.load(good)}


def _bad(source: str, once: Table, judged: Table, facts: Facts, by_reject: Collection[str]) -> Table:
    """The rows that are left out, as they came, with their ``reject``: at most `MOST_KEPT`."""
    if source != "queries":
        return cuts.bad(judged, MOST_KEPT)
    if queries.NULL in by_reject:  # by what they are named they may not be found again
        return cuts.bad(queries.verdicts(once, facts.services, facts.edges), MOST_KEPT)
    return cuts.bad(queries.rejected(once, judged), MOST_KEPT)
