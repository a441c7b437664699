"""Demand recovered from logs, against what viewers of a simulated network really asked for; and what plans made of it
cost on the truth. Logs and reports land as files, and ``gslb measure run`` does the rest.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import multiprocessing
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
from bounds import Result
from gslbtest.truth import simulated

from gslb.measure.engine import Engine, open_engine
from gslb.measure.keeping import keeping
from gslb.measure.runs import Pipeline
from gslb.model.dispatch import DispatchRules
from gslb.plan.optimize import optimize
from gslb.plan.problem import NOWHERE, UNLIMITED, Arcs, GroupKey, Groups, Sites
from gslb.simulate.dispatching import candidates
from gslb.tables import demand
from gslb.tables.schemas import Table

SCENARIO = Path(__file__).parents[1] / "scenarios/truth.yaml"
LOOKBACK_S = demand.LOOKBACK_S
HELD_OUT = 2026
"""The seed of a world on which no constant of `gslb.tables.inference` was tuned."""
HALVES = 5
"""Random halves of the edges that send delivery logs; the first goes through the whole pipeline."""
LIVE_S = 600
"""The end of a run, of which demand by minutes is compared too."""
TOP = 0.95
"""The groups in buckets that are this part of all demand, largest first, are compared."""
PLANS = 4
"""Buckets of which plans are compared."""

Cells = Mapping[tuple[int, str, str, str, str], float]
"""Bits per second by bucket and group."""


class Error(NamedTuple):
    """Σ |recovered − true| / Σ true over the largest cells, and how many they are."""

    part: float
    cells: int


class Recovered(NamedTuple):
    """What came of a world. ``halves`` are errors where a half of its edges sends delivery logs, ``plans`` what plans
    on the first of them cost above those on the truth, by bucket."""

    about: str
    halves: tuple[Error, ...]
    plans: tuple[float, ...]
    all_logs: Error
    none: Error
    live: Error
    live_none: Error
    seconds: float


def measure(folder: Path) -> Result:
    """Both worlds, each by a process of its own. Bounds hold for the worst of the halves, and of the plans."""
    seeds = (None, HELD_OUT)
    spawned = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(len(seeds), mp_context=spawned) as pool:
        bound, other = pool.map(recover, [folder / f"truth{at}" for at in range(len(seeds))], seeds)
    values = {
        "truth_demand": 100 * max(each.part for each in bound.halves),
        "truth_dispatch": 100 * max(bound.plans),
    }
    lines = [
        "### Demand against the truth",
        "",
        f"`tests/scenarios/{SCENARIO.name}`, {bound.about}; beside it the same with another seed, {HELD_OUT}, on which"
        f" nothing was tuned. Error is Σ |recovered − true| / Σ true over {bound.halves[0].cells:,} and"
        f" {other.halves[0].cells:,} groups in buckets of 300 s, the top {TOP:.0%} of demand. The first half and all"
        f" edges are what `gslb measure run` published ({bound.seconds:.0f} s with half of the delivery logs, while the"
        " other world did the same); the others are the same steps on its silver. The bound is on the worst half of"
        " the first world, and on the worst of its buckets.",
        "",
        "| | bound by | held out |",
        "|---|---|---|",
    ]
    rows: list[tuple[str, Callable[[Recovered], float]]] = [
        (f"half of the edges send delivery logs, half {at + 1}", lambda each, at=at: each.halves[at].part)
        for at in range(HALVES)
    ]
    rows += [
        ("the same, mean", lambda each: float(np.mean([half.part for half in each.halves]))),
        ("the same, worst", lambda each: max(half.part for half in each.halves)),
        ("all edges send them", lambda each: each.all_logs.part),
        ("none does: questions and reports alone", lambda each: each.none.part),
        ("live, newest 10 minutes, half 1", lambda each: each.live.part),
        ("live, no delivery log yet", lambda each: each.live_none.part),
        ("plans on half 1, above plans on the truth, mean", lambda each: float(np.mean(each.plans))),
        (f"the same, worst of {PLANS} buckets", lambda each: max(each.plans)),
    ]
    lines += [f"| {title} | {100 * of(bound):.2f} % | {100 * of(other):.2f} % |" for title, of in rows]
    return Result(values, [*lines, ""])


def recover(work: Path, seed: int | None) -> Recovered:
    """A simulation, the pipeline on what it left, and all comparisons."""
    network = simulated(SCENARIO, **({} if seed is None else {"seed": seed}))
    from_s, until_s = network.begin_s + LOOKBACK_S, network.until_s
    network.configure(work / "zones", work / "data")
    network.leave(work / "log")
    halves = [network.halves(number) for number in range(HALVES)]
    network.deliver(work / "log", halves[0], "half")
    began_s = time.monotonic()
    _run(work, network.begin_s, until_s)
    seconds = time.monotonic() - began_s
    true = cells(network.truth(300), from_s, until_s, "bucket_s")
    found = _gold(work / "tables/gold/demand", from_s, until_s)
    errors = [error(found, true)]
    plans = [regret(network.world, found, true, bucket_s) for bucket_s in _some(true)]
    network.deliver(work / "log", [edge for edge in network.edges if edge not in halves[0]], "late")
    _run(work, network.begin_s, until_s)
    all_logs = error(_gold(work / "tables/gold/demand", from_s, until_s), true)
    with _silver(work, network.begin_s, until_s) as (engine, tables):

        def again(edges: Sequence[str], bucket_s: int, first_s: int) -> Cells:
            sent = tables["delivered"].filter(tables["delivered"].edge.isin(list(edges)))
            inputs = {"bucket_s": bucket_s, "from_s": first_s, "until_s": until_s}
            with keeping(engine) as kept:
                made = demand.whole(*map(kept, (tables["asked"], sent, tables["load"])), **inputs, kept=kept)
                written = engine.write(made, work, f"d{time.monotonic_ns()}")
            rows = duckdb.sql(f"select * from read_parquet({[str(work / each.name) for each in written]})")
            return cells(rows.to_arrow_table(), first_s, until_s, "time")

        errors += [error(again(half, 300, from_s), true) for half in halves[1:]]
        live_from_s = until_s - LIVE_S
        live_true = cells(network.truth(60), live_from_s, until_s, "bucket_s")
        recovered = Recovered(
            f"{network.scenario.demand.sessions:,} viewers at once on {len(network.edges)} edges",
            tuple(errors),
            tuple(plans),
            all_logs,
            none=error(again([""], 300, from_s), true),
            live=error(again(halves[0], 60, live_from_s), live_true),
            live_none=error(again([""], 60, live_from_s), live_true),
            seconds=seconds,
        )
    shutil.rmtree(work)
    return recovered


def error(found: Cells, true: Cells) -> Error:
    """How far off the cells are that make up `TOP` of true demand."""
    order = sorted(true, key=lambda cell: (-true[cell], cell))
    total, reached, off, top = sum(true.values()), 0.0, 0.0, 0
    for cell in order:
        if reached >= TOP * total:
            break
        reached += true[cell]
        off += abs(found.get(cell, 0.0) - true[cell])
        top += 1
    return Error(off / reached, top)


def cells(table: pa.Table, from_s: int, until_s: int, time_column: str) -> Cells:
    """Demand by bucket and group of a table that may split it further."""
    at = "epoch_us(time) // 1000000" if time_column == "time" else time_column
    rows = duckdb.sql(f"""
        select {at} as at_s, service, country, region, isp, sum(demand_bps) from "table"
        where at_s >= {from_s} and at_s < {until_s} group by all
    """).fetchall()
    return {tuple(row[:5]): row[5] for row in rows}


def regret(world: Any, found: Cells, true: Cells, bucket_s: int) -> float:
    """By which part the plan for recovered demand costs more on the true one than the plan for that: routes, loads
    above knees, and what is above the capacity that edges have; what the hard limit keeps free is there for errors."""
    rules = DispatchRules()
    edge, cost = candidates(world, rules)
    views = {(view.country, view.region, view.isp): at for at, view in enumerate(world.views)}
    keys = sorted({GroupKey(*cell[1:]) for cell in (*true, *found) if cell[0] == bucket_s and cell[2:] in views})
    view = np.array([views[key[1:]] for key in keys])
    width = edge.shape[1]
    group, edges, costs = np.repeat(np.arange(len(keys)), width), edge[view].reshape(-1), cost[view].reshape(-1)
    arcs = Arcs(group, edges, costs, np.zeros(len(edges)))
    capacity = np.array([each.capacity_bps for each in world.edges], dtype=np.int64)
    sites = Sites(
        edges=tuple(each.id for each in world.edges),
        pops=world.pops,
        regions=(),
        pop_of_edge=world.pop_of_edge,
        region_of_pop=np.full(len(world.pops), NOWHERE),
        edge_capacity_bps=capacity,
        pop_capacity_bps=np.full(len(world.pops), UNLIMITED),
        region_capacity_bps=np.zeros(0, dtype=np.int64),
    )
    asked = np.array([true.get((bucket_s, *key), 0.0) for key in keys])
    first = np.arange(len(keys)) * width + np.argmin(costs.reshape(-1, width), axis=1)

    def paid(by: Cells) -> float:
        wanted = np.rint([by.get((bucket_s, *key), 0.0) for key in keys]).astype(np.int64)
        flow = optimize(sites, Groups(tuple(keys), wanted), arcs, rules, time.process_time).flow_bps
        share = np.zeros(len(group))
        share[first] = wanted == 0  # who is not in the plan goes where it is cheapest
        share += flow / np.maximum(wanted, 1)[group]
        bits = share * asked[group] / 1e6
        load, room = np.bincount(edges, weights=bits, minlength=len(capacity)), capacity / 1e6
        above, over = np.maximum(load - rules.knee * room, 0), np.maximum(load - room, 0)
        return float(bits @ costs + rules.beta * above.sum() + rules.overload * over.sum())

    return paid(found) / paid(true) - 1.0


def _some(true: Cells) -> list[int]:
    buckets = sorted({cell[0] for cell in true})
    return buckets[:: max(1, len(buckets) // PLANS)][:PLANS]


def _run(work: Path, from_s: int, until_s: int) -> None:
    command = [sys.executable, "-m", "gslb", "measure", "run", "--from", _iso(from_s), "--to", _iso(until_s)]
    for name in ("log", "zones", "data"):
        command += [f"--{name}", str(work / name)]
    subprocess.run([*command, "--out", str(work / "tables")], check=True, stdout=subprocess.PIPE)


def _gold(folder: Path, from_s: int, until_s: int) -> Cells:
    files = [str(folder / name) for name in json.loads((folder / "_current.json").read_bytes())["files"]]
    return cells(duckdb.sql(f"select * from read_parquet({files})").to_arrow_table(), from_s, until_s, "time")


@contextlib.contextmanager
def _silver(work: Path, from_s: int, until_s: int) -> Iterator[tuple[Engine, dict[str, Table]]]:
    pipeline, engine = Pipeline(work / "tables"), open_engine("duckdb", work / "scratch")
    with contextlib.closing(engine):
        names = ("asked", "delivered", "load")
        yield engine, {name: pipeline.silver[name].read(engine, from_s, until_s) for name in names}


def _iso(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
