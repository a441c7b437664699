"""Rounds in which all sorts of things happen at once: what holds whatever they are, and that they come to rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gslbtest.rounds import following, grown, no_clock

from gslb.model.dispatch import DispatchRules
from gslb.model.plan import DOWN, DRAIN, Plan
from gslb.plan import published, standing
from gslb.plan.problem import Groups
from gslb.plan.round import Candidates, Live, Made, Round, plan_round
from gslb.plan.tree import Tree, tree_of
from gslb.snapshot.acceptance import shift

ROUNDED = 2e-3
"""Weights are whole: of a large group one of them is that part of a small edge."""


def world(seed: int, rng: np.random.Generator) -> Round:
    """Six PoPs, of which some have limits, in two regions with limits."""
    given = grown(seed, groups=80, use=(0.4, 0.6, 0.8, 1.0)[seed % 4])
    sites = given.sites
    inside = np.bincount(sites.pop_of_edge, sites.edge_capacity_bps)
    region = np.arange(6) % 2
    return replace(
        given,
        rules=DispatchRules(
            move_share=float(rng.choice([0.005, 0.02])),
            churn=float(rng.choice([0.1, 1.0])),
            small_group_bps=int(rng.choice([0, 20_000_000])),
            deadband=float(rng.choice([0.0, 0.03])),
            backups=int(rng.integers(0, 3)),
        ),
        sites=replace(
            sites,
            regions=("east", "west"),
            region_of_pop=region,
            pop_capacity_bps=(inside * rng.uniform(0.9, 1.5, 6)).astype(np.int64),
            region_capacity_bps=(np.bincount(region, inside) * rng.uniform(0.9, 1.2, 2)).astype(np.int64),
        ),
    )


def stormy(calm: Round, given: Round, rng: np.random.Generator) -> Round:
    """The same with other demand, edges down or drained, less capacity here and there, other costs and fences."""
    edges = len(calm.sites.edges)
    leaving = tuple(str(each) for each in rng.choice(["", DOWN, DRAIN], edges, p=[0.96, 0.02, 0.02]))
    may = np.array([not why for why in leaving])
    capacity = calm.sites.edge_capacity_bps * rng.choice([0.3, 0.7, 1.0], edges, p=[0.02, 0.08, 0.9])
    demand = calm.groups.demand_bps * np.exp(rng.normal(0, rng.choice([0.02, 0.3]), len(calm.groups.keys)))
    demand[rng.random(len(demand)) < 0.05] = 0
    kept = rng.random(len(calm.candidates.group)) > 0.03
    cost = calm.candidates.cost * np.exp(rng.normal(0, 0.7, len(kept)))
    return replace(
        given,
        groups=Groups(calm.groups.keys, demand.astype(np.int64)),
        sites=replace(calm.sites, usable=may, edge_capacity_bps=np.where(may, capacity, 0).astype(np.int64)),
        live=Live(leaving, given.live.load_bps),
        candidates=Candidates(calm.candidates.group[kept], calm.candidates.edge[kept], cost[kept]),
    )


def loads(given: Round, plan: Plan, tree: Tree) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """What each node carries where viewers stand by a plan, dead primaries' shares with their heirs."""
    arcs = given.candidates
    usable = given.sites.usable
    assert usable is not None
    pairs = standing.usable_pairs(arcs.group, arcs.edge, arcs.cost, usable)
    share = standing.stand(plan, given.sites, given.live.leaving, given.groups, pairs).share
    bps = np.bincount(pairs.edge, share * given.groups.demand_bps[pairs.group], tree.edges)
    return tree.loads(np.rint(bps).astype(np.int64)).astype(np.float64)


def check(given: Round, made: Made) -> None:
    """What holds of each round."""
    before, plan, report = given.before, made.plan, made.report
    assert before is not None
    assert published.read(*published.write(plan)) == plan
    assert report.moved_bps <= given.rules.move_share * report.demand_bps + 1
    assert shift(plan, before) <= report.moved_bps / (report.demand_bps - report.unserved_bps) + ROUNDED
    tree = tree_of(given.sites, given.rules.knee, given.rules.hard)
    stood, stands = loads(given, before, tree), loads(given, plan, tree)
    aim = tree.loads(made.solution.edges.load_bps)
    allowed = np.maximum(np.maximum(stood, aim), tree.hard_bps.astype(np.float64))
    assert (stands <= allowed * (1 + ROUNDED) + 1000)[:-1].all()  # the network carries what is asked for


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_limits_hold_and_rounds_come_to_rest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    calm = world(seed, rng)
    made, given = plan_round(calm, no_clock), calm
    for _ in range(6):
        given = stormy(calm, following(given, made), rng)
        made = plan_round(given, no_clock)
        check(given, made)
    for _ in range(150):
        given = replace(
            calm, before=made.plan, version=f"v{int(made.plan.version[1:]) + 1}", now_ms=given.now_ms + 60_000
        )
        made = plan_round(given, no_clock)
        if made.report.moved_bps + made.report.forced_bps <= 1e-4 * made.report.demand_bps:
            return
    pytest.fail(f"{made.report.moved_bps} and {made.report.forced_bps} bps still move")
