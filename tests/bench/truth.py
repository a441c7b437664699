"""Demand recovered from logs, against what viewers of a simulated network really asked for; and what plans made of it
cost on the truth. Logs and reports land as files, and ``gslb measure run`` does the rest.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
from bounds import Result
from gslbtest.truth import simulated

from gslb.measure.engine import Engine, open_engine
from gslb.measure.runs import Pipeline
from gslb.model.dispatch import DispatchRules
from gslb.plan.optimize import optimize
from gslb.plan.problem import NOWHERE, UNLIMITED, Arcs, GroupKey, Groups, Sites
from gslb.simulate.dispatching import candidates
from gslb.tables import demand
from gslb.tables.schemas import Table

SCENARIO = Path(__file__).parents[1] / "scenarios/truth.yaml"
LOOKBACK_S = demand.LOOKBACK_S
HALVES = 5
"""Random halves of the edges that send delivery logs; the first goes through the whole pipeline."""
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


def measure(folder: Path) -> Result:
    """The simulation, the pipeline, and all comparisons."""
    network = simulated(SCENARIO)
    from_s, until_s = network.begin_s + LOOKBACK_S, network.until_s
    work = folder / "truth"
    network.configure(work / "zones", work / "data")
    network.leave(work / "log")
    halves = [network.halves(seed) for seed in range(HALVES)]
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

        def recovered(edges: Sequence[str], bucket_s: int, first_s: int) -> Cells:
            sent = tables["delivered"].filter(tables["delivered"].edge.isin(list(edges)))
            with contextlib.ExitStack() as stack:
                made = demand.demand(
                    tables["asked"],
                    sent,
                    tables["load"],
                    bucket_s=bucket_s,
                    from_s=first_s,
                    until_s=until_s,
                    kept=lambda table: stack.enter_context(engine.kept(table)),
                )
                written = engine.write(made, work, f"d{time.monotonic_ns()}")
            rows = duckdb.sql(f"select * from read_parquet({[str(work / each.name) for each in written]})")
            return cells(rows.to_arrow_table(), first_s, until_s, "time")

        errors += [error(recovered(half, 300, from_s), true) for half in halves[1:]]
        none = error(recovered([""], 300, from_s), true)
        live_from_s = until_s - 600
        live_true = cells(network.truth(60), live_from_s, until_s, "bucket_s")
        live = error(recovered(halves[0], 60, live_from_s), live_true)
        live_none = error(recovered([""], 60, live_from_s), live_true)
    shutil.rmtree(work)
    worst = max(each.part for each in errors)
    mean = float(np.mean([each.part for each in errors]))
    values = {"truth_demand": 100 * worst, "truth_dispatch": 100 * max(plans)}
    lines = [
        "### Demand against the truth",
        "",
        f"`{SCENARIO.name}`: {network.scenario.demand.sessions:,} viewers at once, {len(network.edges)} edges of which"
        f" a random half sends delivery logs; {errors[0].cells:,} groups in buckets that are the top 95 % of demand."
        f" The pipeline took {seconds:.0f} s.",
        "",
        "| logs | error |",
        "|---|---|",
        f"| half of the edges, worst of {HALVES} halves | {100 * worst:.2f} % |",
        f"| the same, mean | {100 * mean:.2f} % |",
        f"| all edges | {100 * all_logs.part:.2f} % |",
        f"| no delivery log, questions and reports alone | {100 * none.part:.2f} % |",
        f"| live, newest 10 minutes, half of the edges | {100 * live.part:.2f} % |",
        f"| live, no delivery log yet | {100 * live_none.part:.2f} % |",
        "",
        f"Plans made of recovered demand cost {100 * float(np.mean(plans)):.2f} % more on the true demand than plans"
        f" made of it, {100 * max(plans):.2f} % in the worst of {len(plans)} buckets.",
        "",
    ]
    return Result(values, lines)


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
