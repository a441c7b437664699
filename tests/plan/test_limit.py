"""What a round may move: the kinds of moves, their order, and caps that are kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gslbtest.examples import examples
from gslbtest.rounds import MBPS, sites_of
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.model.dispatch import DispatchRules
from gslb.plan.limit import Limited, Moves, limited, unlimited
from gslb.plan.tree import tree_of

RULES = DispatchRules(hard=1.0, knee=1.0, move_share=0.1, small_group_bps=0, deadband=0.0)


def run(edges, groups, rules=RULES, pops=None, free=None):
    """``groups``: of each, a mapping of edge to (Mbps that stand, Mbps aimed at, price). In Mbps per group and edge."""
    sites = sites_of(edges)
    if pops:
        sites = replace(sites, pop_capacity_bps=np.array([pops[pop] * MBPS for pop in sites.pops]))
    entries = [
        (at, sites.edges.index(edge), *numbers)
        for at, group in enumerate(groups)
        for edge, numbers in sorted(group.items(), key=lambda each: sites.edges.index(each[0]))
    ]
    group, edge, stands, aim, price = (np.array(column) for column in zip(*entries, strict=True))
    demand = np.bincount(group, aim).astype(np.int64) * MBPS
    held = np.zeros(len(group)) if free is None else np.array(free, dtype=np.float64) * MBPS
    moves = Moves(group, edge, stands * 1.0 * MBPS, held, aim * 1.0 * MBPS, price * 1.0, demand)
    tree = tree_of(sites, rules.knee, rules.hard)
    found = limited(moves, tree, rules)
    told = [
        {sites.edges[at]: round(bps / MBPS, 3) for at, bps in zip(edge[rows], found.flow_bps[rows], strict=True)}
        for rows in (group == at for at in range(len(groups)))
    ]
    return found, told


def sums(found: Limited) -> tuple[float, float, float]:
    """Moved, forced and waiting in Mbps."""
    return tuple(round(each / MBPS, 3) for each in (found.moved_bps, found.forced_bps, found.waiting_bps))


ROOMY = {"a": ("p", 10_000), "b": ("q", 10_000), "c": ("r", 10_000)}


@pytest.mark.parametrize(
    ("why", "edges", "groups", "more", "expected", "told"),
    [
        ("nothing to do", ROOMY, [{"a": (100, 100, 1), "b": (0, 0, 1)}], {}, (0, 0, 0), [{"a": 100, "b": 0}]),
        (
            "a tenth of all demand, and the rest waits",
            ROOMY,
            [{"a": (100, 0, 2), "b": (0, 100, 1)}],
            {},
            (10, 0, 90),
            [{"a": 90, "b": 10}],
        ),
        (
            "what saves most comes first",
            ROOMY,
            [{"a": (100, 50, 2), "b": (0, 50, 1)}, {"a": (100, 85, 5), "b": (0, 15, 1)}],
            {},
            (20, 0, 45),
            [{"a": 95, "b": 5}, {"a": 85, "b": 15}],
        ),
        (
            "a leaving goes where its group gains, in proportion",
            ROOMY,
            [{"a": (100, 0, 2), "b": (0, 75, 1), "c": (0, 25, 1)}],
            {},
            (10, 0, 90),
            [{"a": 90, "b": 7.5, "c": 2.5}],
        ),
        (
            "a group that stands nowhere starts at its aim",
            ROOMY,
            [{"a": (0, 40, 1), "b": (0, 60, 1)}],
            {},
            (0, 0, 0),
            [{"a": 40, "b": 60}],
        ),
        (
            "small groups whole: the first fits, the second does not",
            ROOMY,
            [
                {"a": (6, 0, 9), "b": (0, 6, 1)},
                {"a": (6, 0, 8), "b": (0, 6, 1)},
                {"a": (88, 88, 1)},
            ],
            {"rules": replace(RULES, small_group_bps=7 * MBPS)},
            (6, 0, 6),
            [{"a": 0, "b": 6}, {"a": 6, "b": 0}, {"a": 88}],
        ),
        (
            "a group above what a round may move is not small",
            ROOMY,
            [{"a": (100, 0, 2), "b": (0, 100, 1)}],
            {"rules": replace(RULES, small_group_bps=1000 * MBPS)},
            (10, 0, 90),
            [{"a": 90, "b": 10}],
        ),
        (
            "what is free goes at once, and uses up the round",
            ROOMY,
            [{"a": (60, 0, 2), "b": (40, 100, 1)}],
            {"free": [30, 0]},
            (0, 30, 30),
            [{"a": 30, "b": 70}],
        ),
        (
            "relief down to the cap, and no further",
            {**ROOMY, "a": ("p", 70)},
            [{"a": (100, 0, 2), "b": (0, 100, 1)}],
            {},
            (0, 30, 70),
            [{"a": 70, "b": 30}],
        ),
        (
            "relief of a PoP does not count what stays in it",
            {"a": ("p", 1000), "b": ("p", 1000), "c": ("r", 1000)},
            [{"a": (100, 0, 2), "b": (0, 50, 1), "c": (0, 50, 1)}],
            {"pops": {"p": 80, "r": 1000}},
            (0, 40, 60),
            [{"a": 60, "b": 20, "c": 20}],
        ),
        (
            "relief of what relief fills: the chain moves",
            {"a": ("p", 60), "b": ("q", 60), "c": ("r", 1000)},
            [{"a": (100, 60, 2), "b": (0, 40, 1)}, {"b": (60, 20, 2), "c": (0, 40, 1)}],
            {},
            (0, 80, 0),
            [{"a": 60, "b": 40}, {"b": 20, "c": 40}],
        ),
        (
            "an edge that is full takes nobody before someone leaves",
            {"a": ("p", 1000), "b": ("q", 100), "c": ("r", 1000)},
            [{"a": (100, 50, 9), "b": (0, 50, 1)}, {"b": (100, 50, 3), "c": (0, 50, 2.5)}],
            {},
            (20, 0, 80),
            [{"a": 100, "b": 0}, {"b": 80, "c": 20}],
        ),
        (
            "an edge above its cap by the aim itself: not more than it is",
            {"a": ("p", 1000), "b": ("q", 50)},
            [{"a": (100, 20, 2), "b": (0, 80, 1)}],
            {"rules": replace(RULES, move_share=1.0)},
            (50, 0, 30),
            [{"a": 50, "b": 50}],
        ),
        (
            "the deadband: what changes little stays",
            ROOMY,
            [{"a": (100, 98, 2), "b": (0, 2, 1)}],
            {"rules": replace(RULES, deadband=0.03)},
            (0, 0, 0),
            [{"a": 100, "b": 0}],
        ),
        (
            "the deadband: others give way",
            ROOMY,
            [{"a": (60, 50, 2), "b": (20, 28, 1), "c": (20, 22, 1)}],
            {"rules": replace(RULES, deadband=0.03)},
            (8, 0, 0),
            [{"a": 52, "b": 28, "c": 20}],
        ),
        (
            "the deadband: a large group moves by less in a round, since it is the aim that counts",
            ROOMY,
            [{"a": (100, 0, 2), "b": (0, 100, 1)}],
            {"rules": replace(RULES, deadband=0.03, move_share=0.01)},
            (1, 0, 99),
            [{"a": 99, "b": 1}],
        ),
        (
            "the deadband holds nobody on an edge above its cap",
            {**ROOMY, "a": ("p", 98)},
            [{"a": (100, 98, 2), "b": (0, 2, 1)}],
            {"rules": replace(RULES, deadband=0.03)},
            (0, 2, 0),
            [{"a": 98, "b": 2}],
        ),
    ],
)
def test_a_round(why, edges, groups, more, expected, told):
    found, where = run(edges, groups, **more)
    assert (sums(found), where) == (expected, told), why


def test_relief_is_told_by_edge():
    found, _ = run({**ROOMY, "a": ("p", 70)}, [{"a": (100, 0, 2), "b": (0, 100, 1)}])
    assert found.relief_bps.tolist() == [30 * MBPS, 0, 0]


def random_moves(seed: int, use: float):
    rng = np.random.default_rng(seed)
    groups, edges, each = 80, 12, 5
    edge = np.concatenate([np.sort(rng.choice(edges, each, replace=False)) for _ in range(groups)])
    group = np.repeat(np.arange(groups), each)
    demand = (rng.pareto(1.2, groups) * 40 * MBPS + 1000).astype(np.int64)

    def spread(zeros: float) -> np.ndarray:
        part = rng.random(len(edge)) * (rng.random(len(edge)) > zeros) + 1e-9
        part /= np.bincount(group, part)[group]
        return part * demand[group]

    stands, aim = spread(0.6), spread(0.6)
    stands[np.isin(group, rng.choice(groups, 5))] = 0
    free = stands * (rng.random(len(edge)) < 0.1)
    names = {f"e{at}": (f"p{at // 3}", 0) for at in range(edges)}
    aimed = np.bincount(edge, aim, edges)
    capacity = (aimed * rng.uniform(0.9, 1.5, edges) / use).astype(np.int64)
    in_pops = np.bincount(np.arange(edges) // 3, aimed)
    sites = replace(
        sites_of(names),
        edge_capacity_bps=capacity,
        pop_capacity_bps=(in_pops * rng.uniform(0.95, 1.5, 4) / use).astype(np.int64),
    )
    return Moves(group, edge, stands, free, aim, rng.random(len(edge)), demand), sites


@settings(max_examples=examples(120), deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    use=st.sampled_from([0.7, 0.95, 1.1]),
    share=st.sampled_from([0.0, 0.02, 0.2, 1.0]),
    small=st.sampled_from([0, 20 * MBPS]),
)
def test_properties_of_a_round(seed, use, share, small):
    moves, sites = random_moves(seed, use)
    rules = DispatchRules(move_share=share, small_group_bps=small, deadband=0.0)
    tree = tree_of(sites, rules.knee, rules.hard)
    found = limited(moves, tree, rules)
    flow, total = found.flow_bps, moves.demand_bps.sum()
    assert (flow > -1e-3).all()
    assert np.bincount(moves.group, flow) == pytest.approx(moves.demand_bps, abs=1)  # each group whole
    stood = np.bincount(moves.group, moves.stands_bps)[moves.group] > 0
    stands = np.where(stood, moves.stands_bps, moves.aim_bps)
    assert (flow >= np.minimum(stands, moves.aim_bps) - 1).all()  # between where it stood and its aim
    assert (flow <= np.maximum(stands, moves.aim_bps) + 1).all()
    assert found.moved_bps <= share * total + 1
    gone = np.minimum(moves.free_bps, np.maximum(stands - moves.aim_bps, 0)).sum()
    assert found.forced_bps >= gone - 1
    changed = np.maximum(stands - flow, 0).sum()
    assert changed == pytest.approx(found.moved_bps + found.forced_bps, rel=1e-6, abs=10)
    waits = np.maximum(stands - moves.aim_bps, 0).sum() - changed
    assert found.waiting_bps == pytest.approx(waits, rel=1e-6, abs=10)
    pop = sites.pop_of_edge
    for node, count, capacity in (
        (moves.edge, 12, sites.edge_capacity_bps),
        (pop[moves.edge], 4, sites.pop_capacity_bps),
    ):
        before, after, aim = (np.bincount(node, each, count) for each in (stands, flow, moves.aim_bps))
        # Nothing is above its cap that was not before, but where the aim itself is
        assert (after <= np.maximum(np.maximum(before, capacity * 0.95 * (1 + 1e-4)), aim) + 10).all()
    again = limited(moves, tree, rules)
    assert (again.flow_bps == flow).all()


def test_small_groups_are_not_torn():
    moves, sites = random_moves(3, 0.8)
    moves = replace(moves, free_bps=np.zeros(len(moves.edge)), demand_bps=moves.demand_bps)
    rules = DispatchRules(move_share=0.05, deadband=0.0, small_group_bps=50 * MBPS)
    roomy = replace(sites, edge_capacity_bps=sites.edge_capacity_bps * 9, pop_capacity_bps=sites.pop_capacity_bps * 9)
    flow = limited(moves, tree_of(roomy, rules.knee, rules.hard), rules).flow_bps
    small = np.flatnonzero(moves.demand_bps < 50 * MBPS)
    moved = 0
    for group in small.tolist():
        rows = moves.group == group
        if moves.stands_bps[rows].sum() == 0:
            continue
        stays = np.abs(flow[rows] - moves.stands_bps[rows]).max() < 1
        arrives = np.abs(flow[rows] - moves.aim_bps[rows]).max() < 1
        assert stays or arrives
        moved += arrives
    assert 0 < moved < len(small)


def test_without_limit_everyone_arrives():
    moves, sites = random_moves(4, 1.0)
    found = unlimited(moves, tree_of(sites, 0.8, 0.95))
    assert found.flow_bps == pytest.approx(moves.aim_bps, abs=1)
    assert found.waiting_bps == 0
    assert found.moved_bps > 0


def test_rounds_lead_to_the_aim():
    moves, sites = random_moves(5, 0.8)
    moves = replace(moves, free_bps=np.zeros(len(moves.edge)))
    rules = DispatchRules(deadband=0.0, move_share=0.05)
    tree = tree_of(sites, rules.knee, rules.hard)
    rounds = 0
    while (found := limited(moves, tree, rules)).waiting_bps > 0:
        moves = replace(moves, stands_bps=found.flow_bps)
        rounds += 1
        assert rounds < 40
    assert found.flow_bps == pytest.approx(moves.aim_bps, abs=10)
