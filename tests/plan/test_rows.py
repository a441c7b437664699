"""Whole weights, rows, and rows of groups that fell silent."""

from __future__ import annotations

import numpy as np
import pytest
from gslbtest.examples import examples
from gslbtest.rounds import MBPS, SERVICE, round_of, sites_of
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.model.plan import PLAN_SUM, PlanRow
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
    found = rows.silent([row], (), given.sites, given.groups, pairs)
    expected = [] if kept is None else [row._replace(backups=kept, demand_bps=0, costs=())]
    assert found == expected, why


def test_a_plan_has_no_more_rows_than_are_read(monkeypatch):
    monkeypatch.setattr(rows, "MAX_ROWS", 2)
    given = round_of(EDGES, {"loud": (1, {"a": 1})})
    pairs = Pairs(given.candidates.group, given.candidates.edge, given.candidates.cost)
    old = [PlanRow(SERVICE, "CN", "", isp, (("a", 65535),), (), bps) for isp, bps in (("x", 0), ("y", 5), ("z", 4))]
    made = [PlanRow(SERVICE, "CN", "", "loud", (("a", 65535),))]
    assert [row.isp for row in rows.silent(old, made, given.sites, given.groups, pairs)] == ["y"]
