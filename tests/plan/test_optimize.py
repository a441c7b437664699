"""The optimum by hand, with numbers of any size, and of the bare form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gslbtest.instances import MBPS, PLACES, SCATTERED, instance
from gslbtest.oracle import Problem, check, solved
from gslbtest.rounds import sites_of

from gslb.model.dispatch import DispatchRules
from gslb.plan.bare import OVERLOAD, bare_rules
from gslb.plan.flow import FlowError
from gslb.plan.optimize import stays
from gslb.plan.problem import UNLIMITED, Arcs, GroupKey, Groups, Sites

NEAR = 1e-4
"""How far a bound may be below the optimum, as part of it."""

# Edges by name with PoP and capacity in Mbps; groups by name with demand in Mbps, and arcs: edge, cost, share before.
EDGES = {"a": ("p", 100), "b": ("p", 100), "c": ("q", 100)}
WORKED = [
    # why, changes of rules, changes of sites, groups, flows in Mbps, parts in currency
    ("the cheapest", {}, {}, [(50, {"a": (1, 0), "b": (2, 0)})], [50, 0], {"routes": 50}),
    ("nothing asked", {}, {}, [(0, {"a": (1, 0)}), (0, {"b": (1, 1)})], [0, 0], {}),
    ("above the knee where the way round is dear", {}, {}, [(90, {"a": (1, 0), "b": (4, 0)})], [90, 0],
     {"routes": 90, "knee": 20}),
    ("else on the way round", {}, {}, [(90, {"a": (1, 0), "b": (2, 0)})], [80, 10], {"routes": 100}),
    ("overload where nothing else is left", {}, {}, [(120, {"a": (1, 0)})], [120],
     {"routes": 120, "knee": 30, "overload": 25_000}),
    ("overload where the way round is dearer still", {}, {}, [(100, {"a": (1, 0), "b": (2000, 0)})], [100, 0],
     {"routes": 100, "knee": 30, "overload": 5000}),
    ("a PoP's knee", {}, {"pop_capacity_bps": [100, UNLIMITED]}, [(90, {"a": (1, 0), "b": (1.5, 0), "c": (2, 0)})],
     [80, 0, 10], {"routes": 100}),
    ("the knee is lowered", {}, {"edge_knee_cut_bps": [30, 0, 0]}, [(90, {"a": (1, 0), "b": (2, 0)})], [50, 40],
     {"routes": 130}),
    ("a minimum draws", {"shortfall": 2.0}, {"edge_minimum_bps": [0, 30, 0]}, [(50, {"a": (1, 0), "b": (2, 0)})],
     [20, 30], {"routes": 80}),
    ("but not at any price", {"shortfall": 0.5}, {"edge_minimum_bps": [0, 30, 0]}, [(50, {"a": (1, 0), "b": (2, 0)})],
     [50, 0], {"routes": 50, "shortfall": 15}),
    ("who is there stays", {}, {}, [(50, {"a": (1, 0), "b": (1.5, 1)})], [0, 50], {"routes": 75}),
    ("unless it is worth the move", {}, {}, [(50, {"a": (1, 0), "b": (3, 1)})], [50, 0], {"routes": 50, "churn": 50}),
    ("the part that was there stays", {}, {}, [(50, {"a": (1, 0.4), "b": (1.5, 0.6)})], [20, 30], {"routes": 65}),
    ("who is new has not moved", {}, {}, [(50, {"a": (1, 0), "b": (1.5, 0)})], [50, 0], {"routes": 50}),
    ("who was at an edge that left moves", {}, {}, [(50, {"a": (1, 0.5)})], [50], {"routes": 50, "churn": 25}),
    ("a dead edge has nothing", {}, {"usable": [False, True, True]}, [(50, {"a": (1, 1), "b": (5, 0)})], [0, 50],
     {"routes": 250, "churn": 50}),
    ("nobody can serve", {}, {"usable": [False, True, True]}, [(50, {"a": (1, 1)}), (10, {}), (5, {"b": (1, 0)})],
     [0, 5], {"routes": 5}),
    ("the network's limits cost as any", {}, {"network_capacity_bps": 50, "network_minimum_bps": 60},
     [(45, {"a": (1, 0)})], [45], {"routes": 45, "knee": 10, "shortfall": 7.5}),
    ("costs of nothing", {}, {}, [(90, {"a": (0, 0), "b": (0, 0.2), "c": (5, 0.8)})], [72, 18, 0], {"churn": 72}),
    ("costs below nothing", {}, {}, [(50, {"a": (-3, 0), "b": (-1, 0)})], [50, 0], {"routes": -150}),
]  # fmt: skip


@pytest.mark.parametrize(("why", "rules", "sites", "groups", "flow", "parts"), WORKED, ids=[row[0] for row in WORKED])
def test_by_hand(
    why: str,
    rules: dict[str, float],
    sites: dict[str, object],
    groups: list[tuple[float, dict[str, tuple[float, float]]]],
    flow: list[float],
    parts: dict[str, float],
) -> None:
    del why
    changes = {
        name: (
            np.array(value) if name == "usable"
            else np.array([v if v == UNLIMITED else v * MBPS for v in value], np.int64) if isinstance(value, list)
            else int(value) * MBPS
        )
        for name, value in sites.items()
    }  # fmt: skip
    arcs = [(at, list(EDGES).index(edge), *each) for at, (_, mine) in enumerate(groups) for edge, each in mine.items()]
    group, edge, cost, share = (np.array(column) for column in zip(*arcs, strict=True))
    problem = (
        replace(sites_of(EDGES), **changes),
        Groups(
            tuple(GroupKey("a.", "", "", f"AS{at}") for at in range(len(groups))),
            np.array([round(mbps * MBPS) for mbps, _ in groups]),
        ),
        Arcs(group, edge, cost.astype(np.float64), share.astype(np.float64)),
        DispatchRules(**rules),
    )
    found = solved(problem)
    check(problem, found)
    assert (found.flow_bps / MBPS).tolist() == pytest.approx(flow, abs=1e-5)
    told = {name: getattr(found.parts, name) for name in ("routes", "knee", "overload", "shortfall", "churn")}
    assert told == pytest.approx({name: parts.get(name, 0) for name in told}, abs=1e-4)
    assert found.dual_bound == pytest.approx(found.objective, rel=NEAR, abs=1e-6)


def numbers(demand: float, capacity: float, cost: float, groups: int = 40) -> Problem:
    """The scattered instance with the mean of each kind of number as said."""
    sites, given_groups, arcs = instance(SCATTERED, groups, 8, 4)
    scale = demand / given_groups.demand_bps.mean()
    most = np.full(8, min(capacity, UNLIMITED), np.int64)
    return (
        replace(
            sites,
            edge_capacity_bps=most,
            pop_capacity_bps=np.full(len(sites.pops), UNLIMITED),
            region_capacity_bps=np.full(len(sites.regions), UNLIMITED),
        ),
        replace(given_groups, demand_bps=(given_groups.demand_bps * scale).astype(np.int64)),
        replace(arcs, cost=arcs.cost * cost / arcs.cost.mean()),
        bare_rules(),
    )


@pytest.mark.parametrize("demand", [1.0, 1e6, 1e15])
@pytest.mark.parametrize("capacity", [0.0, 3.0, 1e7, 1e18, UNLIMITED])
@pytest.mark.parametrize("cost", [0.0, 1e-12, 1.0, 1e12])
def test_numbers_of_any_size(demand: float, capacity: float, cost: float) -> None:
    problem = numbers(demand, capacity, cost)
    found = solved(problem)
    check(problem, found)
    assert found.objective - found.dual_bound <= NEAR * found.objective + 1e-9


@pytest.mark.parametrize("dear", [1e6, 1e12])
def test_a_few_costs_out_of_all_proportion(dear: float) -> None:
    sites, groups, arcs = instance(SCATTERED, 400, 40, 6, 0.75)
    usual = solved((sites, groups, arcs, bare_rules()))
    odd = replace(arcs, cost=np.where(usual.flow_bps > 0, arcs.cost, np.where(arcs.edge % 3, arcs.cost, dear)))
    found = solved((sites, groups, odd, bare_rules()))
    assert found.objective == pytest.approx(usual.objective, rel=1e-6)
    assert found.dual_bound == pytest.approx(usual.objective, rel=NEAR)


def test_some_groups_that_cost_out_of_all_proportion() -> None:
    sites, groups, arcs = instance(SCATTERED, 400, 40, 6, 0.75)
    usual = solved((sites, groups, arcs, bare_rules()))
    dear = 1e6 * (arcs.group % 5 == 0)
    found = solved((sites, groups, replace(arcs, cost=arcs.cost + dear), bare_rules()))
    assert found.objective - np.dot(found.flow_bps, dear) / MBPS == pytest.approx(usual.objective, rel=NEAR)


@pytest.mark.parametrize("demand", [1, 3, 10**6 + 7, 10**9, 10**13 - 3, 10**17 + 13])
def test_no_more_stays_than_there_is(demand: int) -> None:
    arcs = Arcs(
        np.repeat(np.arange(500), 7),
        np.tile(np.arange(7), 500),
        np.zeros(3500),
        np.random.default_rng(demand).dirichlet(np.ones(7), 500).ravel() * np.repeat(np.arange(500) < 400, 7),
    )
    stay = stays(arcs, np.full(500, demand))
    summed = stay.reshape(500, 7).sum(axis=1)
    assert stay.min() >= 0
    assert (demand - 7 * (1 + demand * 1e-15) <= summed[:400]).all()
    assert summed.max() <= demand
    assert not summed[400:].any()


@pytest.mark.parametrize(
    ("demand", "cost", "reason"),
    [
        (1e18, 1.0, r"^demand, counted once for each arc, is 1\.6\d*e\+20 bps; the most is 2\.31e\+18$"),
        (1e6, float("inf"), "^the cost of an arc is not a number$"),
        (1e6, float("nan"), "^the cost of an arc is not a number$"),
    ],
)
def test_numbers_too_large(demand: float, cost: float, reason: str) -> None:
    with pytest.raises(FlowError, match=reason):
        solved(numbers(demand, 1e9, cost))


def test_the_bare_form_has_no_term_but_costs_and_overload() -> None:
    sites, groups, arcs = instance(PLACES, 400, 40, 6, 1.05)
    rng = np.random.default_rng(1)
    arcs = replace(arcs, share=rng.dirichlet(np.ones(6), 400).ravel())
    sites = replace(sites, edge_minimum_bps=sites.edge_capacity_bps)
    found = solved((sites, groups, arcs, bare_rules()))
    over = sum(float(level.overload_bps.sum()) for level in (found.edges, found.pops, found.regions)) / MBPS
    assert over > 0
    assert found.objective == pytest.approx(np.dot(found.flow_bps, arcs.cost) / MBPS + OVERLOAD * over, rel=1e-12)
    assert bare_rules(knee=0.8, beta=2.0) == replace(bare_rules(), knee=0.8, beta=2.0)


def test_nothing_at_all() -> None:
    none, no_cost = np.zeros(0, np.int64), np.zeros(0)
    sites = Sites((), (), (), none, none, none, none, none)
    found = solved((sites, Groups((), none), Arcs(none, none, no_cost, no_cost), DispatchRules()))
    assert (found.objective, found.dual_bound, found.flow_bps.tolist()) == (0.0, 0.0, [])
