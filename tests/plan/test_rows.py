"""Whole weights, rows, and rows of groups that fell silent."""

from __future__ import annotations

import numpy as np
import pytest
from gslbtest.examples import examples
from gslbtest.rounds import MBPS, SERVICE, round_of, sites_of
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.model.plan import PLAN_SUM, REMOVED, Forced, PlanRow
from gslb.plan import rows
from gslb.plan.problem import GroupKey, Groups
from gslb.plan.standing import Pairs


def weights_of(amounts, names=None):
    """The weights of one group with these amounts, its edges in this order."""
    names = names or [f"e{at:02d}" for at in range(len(amounts))]
    count = len(amounts)
    pairs = Pairs(np.zeros(count, np.int64), np.arange(count), np.zeros(count))
    return rows.weights(pairs, np.array(amounts, dtype=np.float64), 1, rows.ranks(names)).tolist()


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        ([1], [65535]),
        ([1, 1], [32768, 32767]),
        ([1, 1, 1], [21845, 21845, 21845]),
        ([3, 1], [49151, 16384]),
        ([0, 0], [0, 0]),
        ([1e9, 1], [65535, 0]),
        ([100_000_000_000, 400_000], [65535, 0]),
        ([2, 2, 2, 2, 1, 0], [14564, 14563, 14563, 14563, 7282, 0]),
    ],
)
def test_largest_remainders(amounts, expected):
    assert weights_of(amounts) == expected


def test_ties_go_to_the_first_id_and_not_to_the_first_place():
    assert weights_of([1, 1], ["b", "a"]) == [32767, 32768]


def test_sixteen_edges_at_most_the_heaviest():
    found = weights_of([1.0] * 10 + [2.0] * 10)
    assert sum(found) == PLAN_SUM
    assert [bool(each) for each in found] == [True] * 6 + [False] * 4 + [True] * 10


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(st.integers(0, 1 << 40), min_size=1, max_size=20), st.integers(1, 1 << 45))
def test_weights_sum_and_stay_what_they_are(amounts, demand):
    found = weights_of(amounts)
    assert sum(found) == (PLAN_SUM if any(amounts) else 0)
    # As a plan is read again: shares of demand, in floats
    assert weights_of([weight / PLAN_SUM * demand for weight in found]) == found
    if len(amounts) <= 16 and any(amounts):
        exact = np.array(amounts) / sum(amounts) * PLAN_SUM
        assert np.abs(exact - found).max() < 1.001


def test_a_row_is_heaviest_first_with_costs_and_backups():
    sites = sites_of({"b": ("p", 1), "a": ("p", 1), "c": ("q", 1), "d": ("q", 1)})
    groups = Groups((GroupKey(SERVICE, "CN", "", "x"), GroupKey(SERVICE, "CN", "", "none")), np.array([5 * MBPS, 7]))
    pairs = Pairs(np.zeros(4, np.int64), np.arange(4), np.array([0.1, 0.2, 0.3, 0.4]))
    weight = np.array([10, 10, 65515, 0])
    found = rows.rows_of(sites, groups, pairs, weight, np.array([[3, -1], [-1, -1]]), rows.ranks(sites.edges))
    assert found == (
        PlanRow(SERVICE, "CN", "", "x", (("c", 65515), ("a", 10), ("b", 10)), ("d",), 5 * MBPS, (0.3, 0.2, 0.1, 0.4)),
    )


EDGES = {"a": ("p", 10), "b": ("q", 10), "c": ("q", 10)}


@pytest.mark.parametrize(
    ("why", "row", "kept"),
    [
        ("stays", PlanRow(SERVICE, "CN", "", "x", (("a", 65535),), ("b",), 9, (1.0, 2.0)), ("b",)),
        ("of another service", PlanRow("other.", "CN", "", "x", (("a", 65535),), ()), None),
        ("of another country, where it might be fenced", PlanRow(SERVICE, "DE", "", "x", (("a", 65535),), ()), None),
        ("an edge that nobody there may use", PlanRow(SERVICE, "CN", "", "x", (("c", 65535),), ()), None),
        ("an edge that is gone", PlanRow(SERVICE, "CN", "", "x", (("old", 65535),), ()), None),
        ("a backup that nobody there may use", PlanRow(SERVICE, "CN", "", "x", (("a", 65535),), ("c", "b")), ("b",)),
        ("one that asks for something", PlanRow(SERVICE, "CN", "", "loud", (("a", 65535),), ()), None),
    ],
)
def test_silent_rows(why, row, kept):
    given = round_of(EDGES, {"loud": (1, {"a": 1, "b": 1})})
    pairs = Pairs(given.candidates.group, given.candidates.edge, given.candidates.cost)
    found, _ = rows.silent([row], (), given.sites, given.groups, pairs)
    expected = [] if kept is None else [row._replace(backups=kept, demand_bps=0, costs=())]
    assert found == expected, why


def test_what_rows_had_that_do_not_stay_had_to_move():
    given = round_of(EDGES, {"loud": (1, {"a": 1, "b": 1})})
    pairs = Pairs(given.candidates.group, given.candidates.edge, given.candidates.cost)
    both = (("a", 13107), ("old", 52428))
    before = [
        PlanRow("renamed.", "CN", "", "x", both, ("c",), 1000),
        PlanRow("renamed.", "DE", "", "x", both, (), 0),
        PlanRow("other.", "CN", "", "x", (("b", 65535),), (), 7),
        PlanRow("other.", "CN", "", "y", (("b", 65535),), (), 8),
        PlanRow(SERVICE, "CN", "", "quiet", (("a", 65535),), (), 9),
        PlanRow(SERVICE, "CN", "", "loud", (("a", 65535),), (), 11),
    ]
    kept, gone = rows.silent(before, (), given.sites, given.groups, pairs)
    assert [row.isp for row in kept] == ["quiet"]
    assert gone == [Forced("a", REMOVED, 200), Forced("old", REMOVED, 800), Forced("b", REMOVED, 15)]


SHADOWS = [
    ("regions are not told any more", ("A", "x"), 0, [("", "x")], False),
    ("nor ISPs", ("A", "x"), 0, [("", "")], False),
    ("ISPs are not told any more", ("", "x"), 0, [("", "")], False),
    ("not seen before: left to the next plan", ("A", "x"), 5, [("", "x")], True),
    ("other regions are told", ("A", "x"), 0, [("", "x"), ("B", "x")], True),
    ("viewers without an ISP, beside others", ("", "x"), 0, [("", ""), ("", "y")], True),
    ("no row that they would find", ("A", "x"), 0, [("", "y")], True),
    ("the coarsest", ("", ""), 0, [("", "x")], True),
]


@pytest.mark.parametrize(("why", "key", "demand", "made", "stays"), SHADOWS)
def test_a_silent_row_does_not_hide_the_one_that_speaks_for_its_viewers_now(why, key, demand, made, stays):
    given = round_of(EDGES, {"loud": (1, {"a": 1, "b": 1})})
    pairs = Pairs(given.candidates.group, given.candidates.edge, given.candidates.cost)
    old = PlanRow(SERVICE, "CN", *key, (("a", 65535),), (), demand)
    new = [PlanRow(SERVICE, "CN", *each, (("b", 65535),), (), 9) for each in made]
    kept, gone = rows.silent([old], new, given.sites, given.groups, pairs)
    assert (bool(kept), gone) == (stays, []), why


def test_silent_rows_stay_while_there_is_room(monkeypatch):
    monkeypatch.setattr(rows, "MOST_ROWS", 2)
    given = round_of(EDGES, {"loud": (1, {"a": 1})})
    pairs = Pairs(given.candidates.group, given.candidates.edge, given.candidates.cost)
    old = [PlanRow(SERVICE, "CN", "", isp, (("a", 65535),), (), bps) for isp, bps in (("x", 0), ("y", 5), ("z", 4))]
    made = [PlanRow(SERVICE, "CN", "", "loud", (("a", 65535),))]
    kept, gone = rows.silent(old, made, given.sites, given.groups, pairs)
    assert ([row.isp for row in kept], gone) == (["y"], [Forced("a", REMOVED, 4)])
