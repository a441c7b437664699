"""Small simulated worlds, and records made by hand."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import numpy as np

from gslb.simulate import geography
from gslb.simulate.record import RTT_BORDERS_MS, Record, RoundRecord
from gslb.simulate.scenario import Demand, Scenario
from gslb.simulate.world import World, WorldRules, build

SMALL = Scenario(
    name="tiny",
    seed=3,
    duration_s=180,
    warmup_s=60,
    world=WorldRules(metros=8, countries=("US", "DE", "JP"), pops=3, edges_per_pop=2),
    demand=Demand(sessions=300, mean_s=120, streams=4, peak_to_trough=1.0),
    violators=0.1,
    violators_keep_s=600,
    caches=2,
    prefixes=2,
)


@cache
def small_world() -> World:
    """The world of `SMALL`."""
    return build(SMALL.world, geography.shipped(), SMALL.demand.mean_bps, SMALL.seed)


def record(load: np.ndarray[Any, Any], capacity_bps: float = 100.0, **changed: Any) -> Record:
    """A record of these loads, shape (seconds, edges), in which nothing else happened."""
    seconds, edges = load.shape
    minutes = -(-seconds // 60)
    nothing = np.zeros(seconds)
    rtt = np.zeros((minutes, len(RTT_BORDERS_MS)))
    rtt[:, 10] = 1.0
    made = Record(
        name="ours",
        title="ours",
        begin_s=0,
        edges=tuple(f"e{at}" for at in range(edges)),
        capacity_bps=np.full(edges, capacity_bps),
        load_bps=load.astype(np.float32),
        demand_bps=load.sum(axis=1).astype(np.float64),
        overload_bps=np.maximum(load - capacity_bps, 0.0).sum(axis=1),
        waiting_bps=nothing,
        begun=nothing,
        failed=nothing,
        affected=nothing,
        moved=nothing,
        rtt_bps=rtt,
        intended=np.full((minutes, edges), 1.0 / edges),
        churn=np.zeros(minutes),
        rounds=(),
        session_bps=0.0,
        concentration=0.0,
        concentration_cells=0.0,
        questions=1,
        builds=1,
    )
    return dataclasses.replace(made, **changed)


def a_round(at_s: int, moved: int, refused: str = "") -> RoundRecord:
    """A round that moved so many of 1000 bits."""
    return RoundRecord(at_s, 1000, moved, 0, 0, 0, 0, 0.01, 0, refused)
