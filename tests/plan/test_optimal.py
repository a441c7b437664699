"""Nothing is cheaper: against every flow of small instances, against HiGHS on larger ones, and what holds of any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from gslbtest.examples import examples
from gslbtest.highs import optima
from gslbtest.instances import KINDS, MBPS, PLACES, SCATTERED, instance, tiny
from gslbtest.oracle import Problem, check, costs_of, linear, solved, whole_flows
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.model.dispatch import DispatchRules
from gslb.plan.bare import bare_rules
from gslb.plan.problem import NOWHERE

SEEDS = st.integers(0, 1 << 32)
NEAR = 1e-4
"""How far above the optimum a solution may be, and its bound below, as part of it."""


def follows(problem: Problem, seed: int) -> Problem:
    """The round after: demand with noise, shares as the best plan of the round before has them."""
    sites, groups, arcs, rules = problem
    share = solved(problem).flow_bps / np.maximum(groups.demand_bps, 1)[arcs.group]
    noise = np.random.default_rng(seed).lognormal(0, 0.2, len(groups.keys))
    demand = np.rint(groups.demand_bps * noise).astype(np.int64)
    return sites, replace(groups, demand_bps=demand), replace(arcs, share=share), rules


@settings(derandomize=True, deadline=None, max_examples=examples(400))
@given(seed=SEEDS)
def test_no_flow_of_a_small_instance_is_cheaper(seed: int) -> None:
    problem = tiny(seed)
    best = costs_of(*problem, whole_flows(*problem[:3])).min()
    found = solved(problem)
    check(problem, found)
    assert best * (1 - NEAR) - 1e-6 <= found.dual_bound <= best + 1e-6
    assert found.objective == pytest.approx(best, rel=NEAR, abs=1e-6)


def middling(kind: str, load: float = 0.75, **rules: float) -> Problem:
    sites, groups, arcs = instance(kind, 400, 40, 6, load)
    return sites, groups, arcs, DispatchRules(**rules)


def fuller(problem: Problem) -> Problem:
    """With soft minima, lowered knees, an edge that may not be used, a PoP in no region and a limit of the network."""
    sites, groups, arcs, rules = problem
    usable = np.arange(len(sites.edges)) != 3
    region = sites.region_of_pop.copy()
    region[0] = NOWHERE
    return (
        replace(
            sites,
            usable=usable,
            region_of_pop=region,
            edge_minimum_bps=(sites.edge_capacity_bps * (np.arange(len(sites.edges)) % 4 == 0) * 0.9).astype(np.int64),
            region_minimum_bps=sites.region_capacity_bps // 2,
            edge_knee_cut_bps=sites.edge_capacity_bps // 10,
            pop_knee_cut_bps=sites.pop_capacity_bps // 20,
            network_capacity_bps=int(groups.demand_bps.sum() / 0.9),
        ),
        groups,
        arcs,
        rules,
    )


BY_HIGHS: Mapping[str, Problem] = {
    "places": middling(PLACES),
    "scattered": middling(SCATTERED),
    "places in the round after": follows(middling(PLACES, churn=0.7), 1),
    "scattered in the round after": follows(middling(SCATTERED), 2),
    "every term": follows(fuller(middling(PLACES, shortfall=3.0)), 3),
    "too much demand": middling(SCATTERED, 1.3),
    "bare": (*middling(PLACES)[:3], bare_rules()),
    "bare, too much demand": (*middling(SCATTERED, 1.1)[:3], bare_rules()),
}


@pytest.fixture(scope="module")
def by_highs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """The least cost of each, as HiGHS finds it."""
    found = optima([linear(*problem) for problem in BY_HIGHS.values()], tmp_path_factory.mktemp("highs"))
    return {name: each.objective for name, each in zip(BY_HIGHS, found, strict=True)}


@pytest.mark.parametrize("name", BY_HIGHS)
def test_highs_finds_the_same_optimum(name: str, by_highs: dict[str, float]) -> None:
    found = solved(BY_HIGHS[name])
    check(BY_HIGHS[name], found)
    best = by_highs[name]
    assert found.objective == pytest.approx(best, rel=1e-6)
    assert best * (1 - NEAR) <= found.dual_bound <= best * (1 + 1e-9)
    assert (found.parts.overload > 0) == ("too much" in name)


def planted(seed: int) -> tuple[Problem, float]:
    """An instance whose hard limits a flow by chance fills to the last bit or nearly, and of which the plan before had
    another; and what the flow costs at the most, moves included."""
    sites, groups, arcs = instance(SCATTERED, 60, 12, 4, seed=seed)
    rng = np.random.default_rng(seed)
    groups = replace(groups, demand_bps=groups.demand_bps // 4 * 4)
    parts = rng.multinomial(4, [0.25] * 4, size=60)
    flow = (parts * (groups.demand_bps // 4)[:, None]).ravel()
    before = rng.dirichlet([0.3] * 4, size=60).ravel()
    edges = np.bincount(arcs.edge, flow, 12)
    pops = np.bincount(sites.pop_of_edge, edges, len(sites.pops))
    regions = np.bincount(sites.region_of_pop, pops, len(sites.regions))
    caps = [np.ceil(load / 0.95).astype(np.int64) + 1 for load in (edges, pops, regions)]
    sites = replace(sites, edge_capacity_bps=caps[0], pop_capacity_bps=caps[1], region_capacity_bps=caps[2])
    rules = DispatchRules(churn=float(rng.choice([0.0, 1.0, 30.0])))
    most = float(costs_of(sites, groups, replace(arcs, share=before), rules, flow[None])[0])
    return (sites, groups, replace(arcs, share=before), rules), most


@settings(derandomize=True, deadline=None, max_examples=examples(200))
@given(seed=SEEDS)
def test_where_all_fits_nothing_is_overloaded(seed: int) -> None:
    problem, most = planted(seed)
    found = solved(problem)
    check(problem, found)
    assert found.parts.overload == 0
    assert found.objective <= most * (1 + 1e-9)


@settings(derandomize=True, deadline=None, max_examples=examples(200))
@given(seed=SEEDS, more=st.floats(0.1, 50))
def test_an_edge_that_costs_more_carries_no_more(seed: int, more: float) -> None:
    (sites, groups, arcs, rules), _ = planted(seed)
    edge = seed % len(sites.edges)
    dearer = replace(arcs, cost=arcs.cost + more * (arcs.edge == edge))
    before, after = solved((sites, groups, arcs, rules)), solved((sites, groups, dearer, rules))
    # What both are above the optimum, at the most, lets a load grow by that over the price.
    slack = sum(found.objective - found.dual_bound for found in (before, after)) * MBPS / more
    assert after.edges.load_bps[edge] <= before.edges.load_bps[edge] + slack + 1
    assert after.dual_bound <= before.objective + more * before.edges.load_bps[edge] / MBPS
    assert after.objective >= before.dual_bound


@settings(derandomize=True, deadline=None, max_examples=examples(200))
@given(seed=SEEDS, part=st.floats(0, 3))
def test_more_demand_never_costs_less(seed: int, part: float) -> None:
    (sites, groups, arcs, rules), _ = planted(seed)
    rules = replace(rules, churn=0.0)
    demand = groups.demand_bps.copy()
    demand[seed % len(demand)] *= 1 + part
    before = solved((sites, groups, arcs, rules))
    after = solved((sites, replace(groups, demand_bps=demand), arcs, rules))
    assert after.objective >= before.dual_bound


@settings(derandomize=True, deadline=None, max_examples=examples(200))
@given(seed=SEEDS, step=st.sampled_from([-50_000_000, -1_000_000, 1_000_000, 50_000_000]))
def test_capacity_is_worth_what_is_told(seed: int, step: int) -> None:
    """The cost is convex in every capacity, with the worth as its slope."""
    sites, groups, arcs = instance(PLACES, 150, 20, 5, 0.9, seed=seed)
    rules = DispatchRules(knee=0.8, hard=1.0, overload=40.0)
    found = solved((sites, groups, arcs, rules))
    dearest = int(np.argmax(found.pops.worth))
    capacity = sites.pop_capacity_bps.copy()
    capacity[dearest] = max(capacity[dearest] + step, 0)
    changed = solved((replace(sites, pop_capacity_bps=capacity), groups, arcs, rules))
    saved = float(found.pops.worth[dearest]) * (capacity[dearest] - sites.pop_capacity_bps[dearest]) / MBPS
    assert changed.objective >= found.dual_bound - saved - 1e-4 * found.objective


@pytest.mark.parametrize("kind", KINDS)
def test_viewers_are_where_it_costs_them_least(kind: str) -> None:
    _, groups, arcs, rules = problem = follows(middling(kind), 4)
    found = solved(problem)
    stay = np.floor(arcs.share * groups.demand_bps[arcs.group])
    price = arcs.cost + found.edge_price[arcs.edge]
    moving = price + rules.churn * (found.flow_bps >= stay)  # what a bit more costs
    cheapest = np.full(len(groups.keys), np.inf)
    np.minimum.at(cheapest, arcs.group, moving)
    last = price + rules.churn * (found.flow_bps > stay)  # what the last bit costs
    used = found.flow_bps > 0
    assert (last - cheapest[arcs.group])[used].max() < 1e-3
