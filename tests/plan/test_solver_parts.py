"""What the optimum is made of: costs of routes, the tree of limits, a flow, and what prices prove."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from gslbtest.examples import examples
from gslbtest.instances import MBPS, tiny
from gslbtest.oracle import solved
from gslbtest.rounds import sites_of
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.model.dispatch import DispatchRules
from gslb.plan.bound import Climb, Routes, dual_value
from gslb.plan.costs import route_costs
from gslb.plan.flow import LARGEST_COST, FlowError, cheapest_flow
from gslb.plan.problem import NOWHERE, UNLIMITED
from gslb.plan.tree import Slopes, segments, tree_of


@pytest.mark.parametrize(
    ("rtt_ms", "in_isp", "at_home", "price", "cost"),
    [
        (0.0, True, True, 1.0, 1.0),
        (50.0, True, True, 1.0, 2.0),
        (50.0, False, True, 1.0, 2.3),
        (50.0, False, False, 1.0, 3.2),
        (50.0, True, False, 0.0, 1.0),  # the viewers' network, in another country
    ],
)
def test_what_a_route_costs(rtt_ms: float, in_isp: bool, at_home: bool, price: float, cost: float) -> None:
    columns = (np.array([each]) for each in (rtt_ms, in_isp, at_home, price))
    assert route_costs(DispatchRules(), *columns).tolist() == pytest.approx([cost])


SITES = replace(
    sites_of({"a": ("p", 100), "b": ("p", 50), "c": ("q", 10)}),
    regions=("east",),
    region_of_pop=np.array([0, NOWHERE]),
    region_capacity_bps=np.array([120 * MBPS]),
    network_capacity_bps=200 * MBPS,
    edge_knee_cut_bps=np.array([10, 60, 0]) * MBPS,
    edge_minimum_bps=np.array([0, 45, 90]) * MBPS,
)


def test_loads_add_up_to_the_network() -> None:
    tree = tree_of(SITES, 0.8, 0.95)
    assert tree.parent.tolist() == [3, 3, 4, 5, 6, 6, 6]  # a b c, p q, east, the network
    assert tree.loads(np.array([5, 7, 1])).tolist() == [5, 7, 1, 12, 1, 12, 13]
    assert tree.down(np.array([1.0, 2, 4, 10, 20, 100, 1000])).tolist() == [1111, 1112, 1024]


def test_knees_and_limits() -> None:
    tree = tree_of(SITES, 0.8, 0.95)
    limited = tree.hard_bps < UNLIMITED
    assert limited.tolist() == [True, True, True, False, False, True, True]
    assert (tree.knee_bps[limited] / MBPS).tolist() == [70, 0, 8, 96, 160]
    assert (tree.hard_bps[limited] / MBPS).tolist() == [95, 47.5, 9.5, 114, 190]
    assert tree_of(SITES, 1.0, 1.0).hard_bps.tolist()[:3] == SITES.edge_capacity_bps.tolist()


def test_pieces_of_a_convex_cost() -> None:
    node, start, size, slope = segments(tree_of(SITES, 0.8, 0.95), Slopes(0.5, 2.0, 100.0))
    pieces = {
        name: [
            (float(begin), float(length) if length < UNLIMITED / MBPS / 2 else None, float(each))
            for at, begin, length, each in zip(node, start / MBPS, size / MBPS, slope, strict=True)
            if at == where
        ]
        for where, name in ((0, "a"), (1, "b"), (2, "c"), (3, "p"))
    }
    assert pieces == {
        "a": [(0, 70, 0), (70, 25, 2), (95, None, 100)],
        "b": [(0, 45, 1.5), (45, 2.5, 2), (47.5, None, 100)],  # no knee left; the minimum first
        "c": [(0, 8, -0.5), (8, 1.5, 1.5), (9.5, 80.5, 99.5), (90, None, 100)],  # a minimum above what it can carry
        "p": [(0, None, 0)],
    }


def test_the_cheapest_flow() -> None:
    # From 0 and 1 to 2 by a cheap way of 4 and a dear one.
    columns = [[0, 0, 1], [2, 2, 2], [4, 9, 9], [1, 5, 2], [6, 3, -9]]
    assert cheapest_flow(*(np.array(each, np.int64) for each in columns)).tolist() == [4, 2, 3]


@pytest.mark.parametrize(
    ("cost", "supply", "status"),
    [
        (1, [6, -6], "INFEASIBLE"),
        (1, [4, -3], "UNBALANCED"),
        (LARGEST_COST * 16, [4, -4], "BAD_COST_RANGE"),
    ],
)
def test_the_solvers_reason_is_told(cost: int, supply: list[int], status: str) -> None:
    columns = [[0], [1], [5], [cost], supply]
    with pytest.raises(FlowError, match=f"^the solver gives no flow: {status}$"):
        cheapest_flow(*(np.array(each, np.int64) for each in columns))


def test_without_ortools_only_solving_fails() -> None:
    script = (
        "import sys; sys.modules['ortools'] = None\n"
        "import numpy as np\nfrom gslb.plan import flow, optimize\n"
        "try: flow.cheapest_flow(*np.zeros((5, 0), np.int64))\n"
        "except flow.FlowError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "ortools cannot be imported: install gslb[dispatch]\n"


@settings(derandomize=True, deadline=None, max_examples=examples(200))
@given(seed=st.integers(0, 1 << 32))
def test_no_prices_prove_more_than_the_optimum(seed: int) -> None:
    sites, groups, arcs, rules = problem = tiny(seed)
    sites = replace(sites, usable=None, network_capacity_bps=UNLIMITED, network_minimum_bps=0)
    rng = np.random.default_rng(seed)
    tree = tree_of(sites, rules.knee, rules.hard)
    slopes = Slopes(rules.shortfall, rules.beta, rules.overload)
    node, start, size, slope = segments(tree, slopes)
    size = np.clip(int(groups.demand_bps.sum()) - start, 0, size)
    stay = np.floor(arcs.share * groups.demand_bps[arcs.group]).astype(np.int64)
    routes = Routes(arcs.group, arcs.edge, arcs.cost, groups.demand_bps[arcs.group])
    new = np.bincount(arcs.group, arcs.share, len(groups.keys)) == 0  # who has no place yet does not move
    constant = (
        rules.shortfall * float(tree.minimum_bps[:-1].sum()) - rules.churn * float(groups.demand_bps[new].sum())
    ) / MBPS
    found = solved((sites, *problem[1:]))
    for spread in (0.0, 1.0, 10.0):
        price = np.append(rng.normal(0, spread, tree.nodes - 1), 0.0)
        value = dual_value(tree, Climb(node, size, slope), routes, stay, rules.churn, groups.demand_bps, price)
        assert value + constant <= found.objective + 1e-6
