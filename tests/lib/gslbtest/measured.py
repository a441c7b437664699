"""Runs of the measuring pipeline in a test's own process or in one that is killed, and what they leave behind."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import ibis
import pyarrow.parquet as pq

from gslb.measure import failing, gold, manifest, process, retention
from gslb.measure.done import Done
from gslb.measure.engine import Engine, open_engine
from gslb.measure.publish import GOLD, SILVER, Kind
from gslb.measure.runs import Order, Pipeline, alone
from gslb.measure.settings import Settings
from gslb.measure.silver import Facts
from gslb.model import records
from gslb.tables import cuts
from gslb.tables.fitting import Fit
from gslb.tables.schemas import Table
from gslb.tables.shaping import shaped, start_s
from gslbtest import landed

SOON_S = 60.0


def run(
    root: Path,
    engine: Engine,
    now_s: float,
    facts: Callable[[Engine], Facts] = landed.facts,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    log: str = "log",
    **told: Any,
) -> Done:
    """One run over ``root``/log into ``root``/tables."""
    tables = root / "tables"
    with alone(tables):
        return Pipeline(tables).run(Order(root / log, tables, **told), engine, facts, now_s, progress)


def rows(tables: Path, kind: Kind) -> list[dict[str, Any]]:
    """The rows of a table as it counts, sorted."""
    folder = tables / kind.layer / kind.name
    current = manifest.read(folder, kind.name, kind.unit_s)
    found: list[dict[str, Any]] = []
    for name in current.files:
        each = pq.read_table(folder / name)
        assert each.column_names == list(kind.columns)
        found += each.to_pylist()
    return sorted(found, key=lambda row: [str(value) for value in row.values()])


def all_rows(tables: Path) -> dict[str, list[dict[str, Any]]]:
    """The same of all tables of silver and gold; real numbers to nine digits, as engines sum in any order."""
    return {
        kind.name: [{name: _rounded(value) for name, value in row.items()} for row in rows(tables, kind)]
        for kind in (*SILVER, *GOLD)
    }


def plain_demand(asked: Table, delivered: Table, load: Table, *, bucket_s: int, from_s: int, until_s: int) -> Table:
    """In the place of `gslb.tables.demand.whole`, which is long, where something else is looked at: all that edges
    carried, as if it were of one group; with the questions and sessions of the time."""

    def parts(table: Table, **values: Any) -> Table:
        table = cuts.between(table, "minute_s", from_s, until_s)
        named = {name: values[name](table) if name in values else ibis.literal(0.0) for name in ("bps", "q", "s")}
        return table.select(start_s=start_s(table.minute_s, bucket_s), **named)

    rows = ibis.union(
        parts(load, bps=lambda table: table.load_bps * 60.0 / bucket_s),
        parts(asked, q=lambda table: table.questions.cast("float64")),
        parts(delivered, s=lambda table: table.sessions_started.cast("float64")),
    )
    found = rows.group_by("start_s").agg(
        demand_bps=rows.bps.sum(), questions=rows.q.sum().cast("int64"), sessions_started=rows.s.sum().cast("int64")
    )
    nothing = ibis.literal("")
    found = found.mutate(
        time=found.start_s.as_timestamp("s"),
        service=ibis.literal(landed.SERVICES[0]),
        country=ibis.literal("DE"),
        region=nothing,
        isp=nothing,
        delivered_bps=ibis.literal(0.0),
        inferred_bps=found.demand_bps,
        source=ibis.literal("inferred"),
        confidence=ibis.literal(0.5),
    )
    return shaped(found, records.DEMAND)


@contextlib.contextmanager
def plainly(factor: float = 1.0) -> Iterator[None]:
    """Demand is `plain_demand` meanwhile, or so many times of it."""

    def told(asked: Table, delivered: Table, load: Table, **_: Any) -> Any:
        return SimpleNamespace(asked=asked, delivered=delivered, load=load)

    def fitted(told: Any, **_: Any) -> Fit:
        return Fit(told.load, told.load)

    def times(told: Any, _: Fit, **when: int) -> Table:
        found = plain_demand(told.asked, told.delivered, told.load, **when)
        return found.mutate(demand_bps=found.demand_bps * factor, inferred_bps=found.inferred_bps * factor)

    with mock.patch.multiple(gold.demand, told=told, fitted=fitted, demand=times):
        yield


def dying(root: Path, now_s: float, point: str = "", after_s: float | None = None, *, tidies: bool = False) -> int:
    """A run in a process of its own with `plain_demand`, or one that ``tidies``: it dies at a failpoint, or is killed
    after a time. How it ended."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gslb.measure.process"])
    child = context.Process(target=_child, args=(root, now_s, point, tidies), daemon=True)
    child.start()
    if after_s is not None:
        time.sleep(after_s)
        child.kill()  # where it has not ended yet
    child.join(SOON_S)
    assert child.exitcode is not None, "it hangs"
    return child.exitcode


def _child(root: Path, now_s: float, point: str, tidies: bool) -> None:
    os.environ[failing.VARIABLE] = point
    if tidies:
        settings = Settings(log=root / "log", out=root / "tables", memory_mb=512, threads=1)
        with mock.patch.object(retention, "SPARE_S", -10 * 365 * 86_400):
            process.tidy(settings, now_s)
        return
    engine = open_engine("duckdb", root / "scratch", memory_mb=512, threads=1)
    try:
        with plainly():
            done = run(root, engine, now_s)
        assert done.ok, done.faults
    finally:
        engine.close()


def _rounded(value: Any) -> Any:
    return float(f"{value:.9g}") if isinstance(value, float) else value
