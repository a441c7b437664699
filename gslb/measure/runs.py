"""One run: what landed → bronze → silver → gates → gold → gates → publication. It does what is left to do, and no more.

A run that is killed has published whole batches and whole hours; the next one goes on from there. One failing source,
or a table that a gate stops, does not keep the others from being built.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gslb.errors import GslbError
from gslb.measure import arrow, gold, landing, lineage, quality, silver
from gslb.measure.abreast import abreast
from gslb.measure.bronze import SOURCES, Bronze
from gslb.measure.done import Done, summary
from gslb.measure.engine import Engine
from gslb.measure.expecting import Judging
from gslb.measure.failing import failpoint
from gslb.measure.landing import Intake
from gslb.measure.manifest import Piece
from gslb.measure.publish import DEMAND_LIVE, GOLD, SILVER, Published
from gslb.measure.quality import Verdict
from gslb.measure.silver import TABLES_OF, Batch, Built, Facts
from gslb.store.locking import alone_in

LOCK: Final = ".lock"
STRICT_S: Final = 1800
"""Slices so new are built again where facts or steps have changed; older ones stay as the network was then."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a run is to do. ``span`` are the seconds to look at, None: all, then live demand too; ``rebuild`` builds all
    of it again; without ``hours`` there is live demand alone of gold. Buckets count ``wait_s`` after they have ended.
    ``batch_rows`` bounds what is built at once."""

    log: Path
    tables: Path
    span: range | None = None
    rebuild: bool = False
    wait_s: int = 0
    batch_rows: int = silver.BATCH_ROWS
    hours: bool = True

    def until_s(self, now_s: float, bucket_s: int) -> int:
        """When the last bucket ended that counts."""
        return int(now_s - self.wait_s) // bucket_s * bucket_s


Progress = Callable[[str, int, int], None]
"""Told the step, how much of it is done, and of how much; by one thread or another."""


def alone(tables: Path) -> contextlib.AbstractContextManager[None]:
    """The one process that writes to ``tables``. Raises `GslbError` where there is another, or it cannot be used."""
    return alone_in(tables, LOCK, "another process measures there")


class Pipeline:
    """The tables in a folder, and what builds them. It is used by one thread at a time, under `alone`."""

    def __init__(self, tables: Path) -> None:
        """Raises `GslbError` where what was written before cannot be read."""
        self.tables = tables
        self.bronze = {source: Bronze(tables, source) for source in SOURCES}
        self.silver = {kind.name: Published(tables, kind) for kind in SILVER}
        self.gold = {kind.name: Published(tables, kind) for kind in GOLD}

    def run(
        self,
        order: Order,
        engine: Engine,
        facts: Callable[[Engine], Facts],
        now_s: float,
        progress: Progress = lambda *_: None,
    ) -> Done:
        """Do what is left to do at ``now_s``. Raises `GslbError` and `OSError` only where nothing could be begun."""
        done = Done(lineage.claimed(self.tables, now_s), now_s)
        failpoint("run-claimed")
        work = _Run(self, order, engine, done, now_s, progress)
        with ThreadPoolExecutor(1, thread_name_prefix="landing") as pool:
            later = {source: pool.submit(work.taken, source) for source in TABLES_OF if source != "queries"}
            for source in ("queries", "counters"):
                work.take(source, functools.partial(work.taken, source))
            with work.guarded("facts"):
                known = facts(engine)
                if known.fault:
                    done.faults.append(f"facts: {known.fault}")
                for source in TABLES_OF:
                    if source in later:
                        work.take(source, later.pop(source).result)
                    with work.guarded(source):
                        work.build_silver(source, known)
            for source, taken in later.items():
                work.take(source, taken.result)
        work.look_whether_fresh()
        with contextlib.closing(work.fits):
            for step in (work.build_gold, work.build_live):
                with work.guarded("gold"):
                    step()
        work.tell()
        return done


@dataclass(slots=True)
class _Run:
    """A run on its way."""

    pipeline: Pipeline
    order: Order
    engine: Engine
    done: Done
    now_s: float
    progress: Progress
    fits: gold.Fits = field(init=False)

    def __post_init__(self) -> None:
        self.fits = gold.Fits(self.engine)

    @contextlib.contextmanager
    def guarded(self, step: str) -> Iterator[None]:
        """What fails is told, and others go on. A step counts the seconds that no step within it has counted."""
        seconds = self.done.seconds
        began_s, counted_s = time.monotonic(), sum(seconds.values())
        try:
            yield
        except GslbError as error:
            self.done.faults.append(f"{step}: {error}")
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            self.done.faults.append(f"{step}: {where}{error.strerror or error}")
        finally:
            own_s = time.monotonic() - began_s - (sum(seconds.values()) - counted_s)
            seconds[step] = seconds.get(step, 0.0) + own_s

    def take(self, source: str, taken: Callable[[], Intake]) -> None:
        """What landed → bronze, as it is ``taken``: in this thread, or by another one meanwhile."""
        with self.guarded("landing"):
            self.done.intake[source] = taken()

    def taken(self, source: str) -> Intake:
        """Take what landed of a source. It touches nothing but that source, so that it may be done beside others."""
        order, bronze = self.order, self.pipeline.bronze[source]
        seen = functools.partial(self.progress, f"take {source}")
        return landing.take(order.log, self.pipeline.tables, bronze, self.done.run, self.now_s, seen)

    def build_silver(self, source: str, facts: Facts) -> None:
        """The slices of a source that are stale, some at a time."""
        bronze = self.pipeline.bronze[source]
        tables = {kind.name: self.pipeline.silver[kind.name] for kind in TABLES_OF[source]}
        digests = self._stale(bronze, tables, facts)
        batches = list(silver.batches(list(digests), bronze.rows, self.order.batch_rows))

        def job(batch: Batch) -> silver.Job:
            units = {start_s: digests[start_s] for start_s in batch.slices}
            files, counters = self._files(source, batch)
            return silver.Job(source, batch, units, files, counters, facts, tables, self.done.run, self._quarantine)

        jobs, told = itertools.tee(map(job, batches))
        built = abreast(self.engine, jobs)
        with contextlib.closing(built):
            for at, (work, result) in enumerate(zip(told, built, strict=True)):
                self.progress(f"build {source}", at, len(batches))
                with self.guarded(source):
                    while True:
                        try:
                            self._settle(bronze, tables, result(), facts)
                            break
                        except GslbError as error:
                            if not self._put_aside(work, str(error)):
                                raise
                            digests |= self._stale(bronze, tables, facts)
                            work = job(work.batch)
                            result = functools.partial(work, self.engine)
        self.progress(f"build {source}", len(batches), len(batches))

    def _stale(self, bronze: Bronze, tables: dict[str, Published], facts: Facts) -> dict[int, str]:
        strict_s = int(self.now_s) - STRICT_S if self.order.span is None else 0
        found: dict[int, str] = {}
        for table in tables.values():
            built = {} if self.order.rebuild else table.current.units()
            kept = {unit_s: each for unit_s, each in built.items() if unit_s >= bronze.gone_s}
            found |= silver.stale(bronze.slices(), kept, facts.digest, strict_s, self.order.span)
        return found

    def _settle(self, bronze: Bronze, tables: dict[str, Published], built: Built, facts: Facts) -> None:
        """Judge what was built, and publish it."""
        run, batch = self.done.run, built.batch
        failpoint("silver-written")
        verdicts = self._judging().batch(bronze, tables, built)
        self._note(verdicts)
        stopped = {verdict.table for verdict in quality.stops(verdicts)}
        entries = bronze.entries(batch.from_s, batch.until_s)
        of = lineage.of_batch(self.engine.name, facts.digest, built, entries)
        for name, piece in built.pieces.items():
            if stopped & {name, built.source}:
                tables[name].put_aside(piece, self._quarantine)
                continue
            lineage.beside(tables[name], run, piece, of, verdicts)
            tables[name].publish(self.engine, run, [piece])
        self.done.built.append(built)

    def _files(self, source: str, batch: Batch) -> tuple[list[Path], list[Path]]:
        """Those of a batch now, and those of counters."""
        bronze = self.pipeline.bronze
        files, counters = (bronze[name].paths(batch.from_s, batch.until_s) for name in (source, "counters"))
        return files, counters

    def _put_aside(self, work: silver.Job, fault: str) -> bool:
        """Whether a file of the batch was torn, and is refused now: one whose rows cannot be read, or that is named by
        what failed."""
        batch, bronze = work.batch, self.pipeline.bronze
        if (work.files, work.counters) != self._files(work.source, batch):
            return True  # it was of another batch too
        for each in (bronze[work.source], bronze["counters"]):
            for entry in each.entries(batch.from_s, batch.until_s):
                path = each.folder / entry.file
                reason = arrow.broken([path]).removeprefix(f"{path}: ") or (fault if str(path) in fault else "")
                if reason:
                    landing.quarantine(path, self.pipeline.tables, each.source, reason)
                    each.refuse(entry, reason, self.done.run)
                    self.done.intake.setdefault(each.source, Intake()).refused.append((entry.landed, reason))
                    return True
        return False

    @property
    def _quarantine(self) -> Path:
        return self.pipeline.tables / "quarantine"

    def look_whether_fresh(self) -> None:
        """How old the newest rows of each source are; of a run that looks at all."""
        if self.order.span is None:
            self._note(self._judging().fresh(self.pipeline.bronze))

    def build_gold(self) -> None:
        """The hours that are stale."""
        pipeline, order = self.pipeline, self.order
        until_s = order.until_s(self.now_s, 300)
        span = order.span if order.span is not None else range(1 << 62)
        works = gold.stale(pipeline.silver, pipeline.gold, until_s, span, rebuild=order.rebuild) if order.hours else []
        held = gold.held(pipeline.silver, pipeline.bronze) if works else set()
        for at, work in enumerate(works):
            self.progress("build gold", at, len(works))
            with self.guarded(work.kind.name):
                self._build_piece(work, held)
        self.progress("build gold", len(works), len(works))
        demand = pipeline.gold["demand"].current
        self.done.demand_until_s = _until_s(demand.pieces, 300)

    def build_live(self) -> None:
        """Live demand, unless the run is of another time."""
        if self.order.span is None:
            until_s = self.order.until_s(self.now_s, 60)
            work = gold.stale_live(self.pipeline.silver, self.pipeline.gold["demand_live"], until_s)
            if work is not None:
                with self.guarded(work.kind.name):
                    self._build_piece(work, gold.held(self.pipeline.silver, self.pipeline.bronze))
        self.done.live_until_s = _until_s(self.pipeline.gold["demand_live"].current.pieces, 60)

    def _build_piece(self, work: gold.Work, held: set[int]) -> None:
        pipeline, run = self.pipeline, self.done.run
        table = pipeline.gold[work.kind.name]
        piece = self.fits.build(pipeline.silver, table, work, run, held)
        failpoint("gold-written")
        verdicts, piece = self._judging().piece(pipeline.silver, table, work, piece)
        self._note(verdicts)
        failpoint("gold-judged")
        if quality.stops(verdicts):
            table.put_aside(piece, self._quarantine)
            return
        inputs = {name: pipeline.silver[name] for name in gold.OF[work.kind.name]}
        of = lineage.of_piece(self.engine.name, work, inputs, gold.back_s(work.kind, work.from_s))
        lineage.beside(table, run, piece, of, verdicts)
        failpoint("gold-lineage")
        table.publish(self.engine, run, [piece], alone=work.kind is DEMAND_LIVE)
        self.done.pieces.append((work.kind.name, piece))

    def _judging(self) -> Judging:
        return Judging(self.engine, self.done.run, int(self.now_s), int(self.now_s) - self.order.wait_s)

    def _note(self, verdicts: Sequence[Verdict]) -> None:
        quality.note(self.pipeline.tables, verdicts)
        self.done.verdicts += verdicts

    def tell(self) -> None:
        """Write down what was done."""
        lineage.told(self.pipeline.tables, self.done.run, summary(self.done))
        failpoint("run-told")


def _until_s(pieces: Sequence[Piece], bucket_s: int) -> int:
    """When the newest bucket ended; 0 where there is none."""
    return max((start_s for piece in pieces for start_s in piece.buckets), default=-bucket_s) + bucket_s
