"""Backups: from other PoPs, where there is room, and a check that reckons as servers do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gslbtest.rounds import MBPS, grown, sites_of

from gslb.model.plan import PLAN_SUM
from gslb.plan.backups import Planned, Shortfall, check, choose
from gslb.plan.problem import Sites
from gslb.plan.round import plan_round
from gslb.plan.rows import ranks
from gslb.plan.standing import Pairs


def laid_out(edges, groups, pops=None):
    """``groups``: of each, a mapping of edge to (Mbps there, cost)."""
    sites = sites_of(edges)
    if pops:
        sites = replace(sites, pop_capacity_bps=np.array([pops[pop] * MBPS for pop in sites.pops]))
    entries = [
        (at, edge, *group[name])
        for at, group in enumerate(groups)
        for edge, name in enumerate(sites.edges)
        if name in group
    ]
    group, edge, mbps, cost = (np.array(column) for column in zip(*entries, strict=True))
    planned = Planned(len(groups), mbps * 1.0 * MBPS, mbps > 0)
    return sites, Pairs(group, edge, cost * 1.0), planned


def chosen(edges, groups, count=2, pops=None):
    sites, pairs, planned = laid_out(edges, groups, pops)
    found = choose(sites, pairs, planned, count, ranks(sites.edges))
    names = [[sites.edges[pairs.edge[at]] for at in row if at >= 0] for row in found.tolist()]
    return names, [str(each) for each in check(sites, pairs, planned, found)]


FOUR = {"a": ("p", 1000), "b": ("p", 1000), "c": ("q", 1000), "d": ("r", 1000)}


@pytest.mark.parametrize(
    ("why", "edges", "groups", "more", "expected", "told"),
    [
        (
            "cheapest in another PoP",
            FOUR,
            [{"a": (10, 1), "b": (0, 1), "c": (0, 3), "d": (0, 2)}],
            {},
            [["d", "c"]],
            [],
        ),
        ("ties by id", FOUR, [{"b": (10, 1), "d": (0, 2), "c": (0, 2)}], {}, [["c", "d"]], []),
        (
            "none is asked for",
            FOUR,
            [{"a": (10, 1), "c": (0, 3)}],
            {"count": 0},
            [[]],
            ["without p 0.0 Gbps move; 0.0 Gbps have no backup"],
        ),
        (
            "in none of the primaries' PoPs",
            FOUR,
            [{"a": (6, 1), "c": (4, 1), "b": (0, 1), "d": (0, 9)}],
            {},
            [["d", "b"]],
            [],
        ),
        (
            "nothing but the primaries' PoPs: what helps with one, then what helps with the other",
            {"a": ("p", 1000), "b": ("p", 1000), "c": ("q", 1000), "d": ("q", 1000)},
            [{"a": (6, 1), "c": (4, 1), "b": (0, 2), "d": (0, 3)}],
            {},
            [["b", "d"]],
            [],
        ),
        (
            "the dearer one, where the cheap one is full",
            {**FOUR, "d": ("r", 15)},
            [{"a": (10, 1), "c": (0, 3), "d": (0, 2)}, {"a": (9, 1), "c": (0, 3), "d": (0, 2)}],
            {"count": 1},
            [["d"], ["c"]],
            [],
        ),
        (
            "room is for the loss of one PoP at a time",
            {"a": ("p", 1000), "c": ("q", 1000), "d": ("r", 10)},
            [{"a": (10, 1), "d": (0, 2)}, {"c": (10, 1), "d": (0, 2)}],
            {"count": 1},
            [["d"], ["d"]],
            [],
        ),
        (
            "a PoP has limits too",
            FOUR,
            [{"a": (10, 1), "c": (0, 3), "d": (0, 2)}],
            {"count": 1, "pops": {"p": 1000, "q": 1000, "r": 5}},
            [["c"]],
            [],
        ),
        (
            "where there is room nowhere: the most, and it is told",
            {"a": ("p", 2_000_000), "c": ("q", 500_000), "d": ("r", 300_000)},
            [{"a": (1_000_000, 1), "c": (0, 3), "d": (0, 2)}],
            {"count": 1},
            [["c"]],
            ["without p 1000.0 Gbps move; 500.0 Gbps of it do not fit (c 500.0)"],
        ),
        (
            "of a PoP's own limit no edge is named",
            {"a": ("p", 2_000_000), "c": ("q", 2_000_000)},
            [{"a": (1_000_000, 1), "c": (0, 3)}],
            {"count": 1, "pops": {"p": 2_000_000, "q": 400_000}},
            [["c"]],
            ["without p 1000.0 Gbps move; 600.0 Gbps of it do not fit"],
        ),
        (
            "without a backup the primaries that are left share it",
            {"a": ("p", 900), "c": ("q", 1000), "d": ("r", 50_000)},
            [{"a": (40_000, 1), "c": (30_000, 1), "d": (30_000, 1)}],
            {"count": 1},
            [[]],
            [
                "without r 30.0 Gbps move; 30.0 Gbps of it do not fit (a 17.1, c 12.9)",
                "without p 40.0 Gbps move; 20.0 Gbps of it do not fit (c 20.0)",
                "without q 30.0 Gbps move; 17.1 Gbps of it do not fit (a 17.1)",
            ],
        ),
        (
            "less than half left: local policy",
            {"a": ("p", 50_000), "c": ("q", 50_000)},
            [{"a": (40_000, 1), "c": (300, 1)}],
            {"count": 1},
            [[]],
            ["without p 40.0 Gbps move; 40.0 Gbps have no backup"],
        ),
        ("a silent group has backups that are no primaries", FOUR, [{"a": (0, 1), "c": (0, 3)}], {}, [["a", "c"]], []),
    ],
)
def test_choice(why, edges, groups, more, expected, told):
    names, lines = chosen(edges, groups, **more)
    assert names == expected, why
    assert lines == told, why


def by_the_rule(sites: Sites, rows, lost: str) -> tuple[np.ndarray, float, float]:
    """What edges carry without a PoP, row by row as servers do it; what moves, and what falls to local policy."""
    at = {edge: place for place, edge in enumerate(sites.edges)}
    gone = {edge for edge in sites.edges if sites.pops[sites.pop_of_edge[at[edge]]] == lost}
    extra, moves, local = np.zeros(len(at)), 0.0, 0.0
    for row in rows:
        bps = {edge: weight / PLAN_SUM * row.demand_bps for edge, weight in row.primaries}
        dead = sum(each for edge, each in bps.items() if edge in gone)
        moves += dead
        heir = next((edge for edge in row.backups if edge not in gone), None)
        left = {edge: each for edge, each in bps.items() if edge not in gone}
        if not dead:
            continue
        if heir is not None:
            extra[at[heir]] += dead
        elif 2 * sum(left.values()) >= sum(bps.values()):
            for edge, each in left.items():
                extra[at[edge]] += dead * each / sum(left.values())
        else:
            local += dead
    return extra, moves, local


@pytest.mark.parametrize(("seed", "use", "count"), [(1, 0.5, 2), (2, 0.7, 1), (3, 0.85, 2), (4, 0.7, 0)])
def test_the_check_is_what_servers_do(seed, use, count):
    given = grown(seed, use=use)
    made = plan_round(replace(given, rules=replace(given.rules, backups=count)), lambda: 0.0)
    sites, told = given.sites, {each.pop: each for each in made.report.shortfalls}
    carried = np.zeros(len(sites.edges))
    for row in made.plan.rows:
        for edge, weight in row.primaries:
            carried[sites.edges.index(edge)] += weight / PLAN_SUM * row.demand_bps
    for pop in sites.pops:
        extra, moves, local = by_the_rule(sites, made.plan.rows, pop)
        over = np.clip(carried + extra - sites.edge_capacity_bps, 0, extra)
        found = told.get(pop, Shortfall(pop, round(moves), 0, 0, ()))
        assert found.moving_bps == pytest.approx(moves, rel=1e-6)
        assert found.local_bps == pytest.approx(local, abs=100)
        assert found.over_bps == pytest.approx(over.sum(), rel=1e-6, abs=100)
        assert sum(bps for _, bps in found.edges) == pytest.approx(over.sum(), rel=1e-6, abs=100)


def test_half_empty_networks_can_lose_any_pop():
    """Where there is room for it, the choice finds it: the cheapest backups alone would not."""
    given = grown(7, use=0.35)
    made = plan_round(given, lambda: 0.0)
    sites, pairs = given.sites, Pairs(given.candidates.group, given.candidates.edge, given.candidates.cost)
    weight = {(row.isp, edge): each for row in made.plan.rows for edge, each in row.primaries}
    planned_weight = np.array(
        [
            weight.get((given.groups.keys[group].isp, sites.edges[edge]), 0)
            for group, edge in zip(pairs.group.tolist(), pairs.edge.tolist(), strict=True)
        ]
    )
    planned = Planned(
        len(given.groups.keys), planned_weight / PLAN_SUM * given.groups.demand_bps[pairs.group], planned_weight > 0
    )
    endless = replace(sites, edge_capacity_bps=sites.edge_capacity_bps * 1000)
    careless = check(sites, pairs, planned, choose(endless, pairs, planned, 2, ranks(sites.edges)))
    ours = check(sites, pairs, planned, choose(sites, pairs, planned, 2, ranks(sites.edges)))
    total = sum(each.over_bps for each in careless)
    assert total > 0
    assert sum(each.over_bps for each in ours) < 0.2 * total
