"""Where viewers stand by the plan before, and why what left had to."""

from __future__ import annotations

import numpy as np
import pytest
from gslbtest.rounds import MBPS, SERVICE, round_of

from gslb.model.plan import DOWN, DRAIN, FENCE, REMOVED, Forced, Plan, PlanRow
from gslb.plan.standing import leaving_of, stand, usable_pairs

EDGES = {"a": ("p", 1000), "b": ("p", 1000), "c": ("q", 1000), "d": ("r", 1000)}
ALL = {"a": 1, "b": 1, "c": 1, "d": 1}


def stood(primaries, backups=(), *, candidates=ALL, leaving=None, key=("CN", "", "x"), mbps=100):
    """Shares, free shares and what was forced, of one group ``CN||x``."""
    given = round_of(EDGES, {"x": (mbps, candidates)}, leaving=leaving)
    why = leaving_of(given.sites, given.live.leaving)
    may = np.array([not each for each in why])
    pairs = usable_pairs(given.candidates.group, given.candidates.edge, given.candidates.cost, may)
    plan = Plan("v0", rows=(PlanRow(SERVICE, *key, primaries, backups),))
    found = stand(plan, given.sites, why, given.groups, pairs)
    assert found.row.tolist() == [0 if found.share.any() or found.forced else -1]
    names = [given.sites.edges[at] for at in pairs.edge]

    def told(column):
        return {name: round(share, 2) for name, share in zip(names, column.tolist(), strict=True) if share}

    return told(found.share), told(found.free), [(edge, why, bps // MBPS) for edge, why, bps in found.forced]


HALVES = (("a", 32768), ("c", 32767))
THREE = (("a", 13107), ("b", 26214), ("c", 26214))


@pytest.mark.parametrize(
    ("why", "given", "share", "free", "forced"),
    [
        ("as planned", {"primaries": HALVES}, {"a": 0.5, "c": 0.5}, {}, []),
        (
            "a dead primary's share is with the first backup that lives",
            {"primaries": HALVES, "backups": ("b", "d"), "leaving": {"a": DOWN, "b": DOWN}},
            {"c": 0.5, "d": 0.5},
            {"d": 0.5},
            [("a", DOWN, 50)],
        ),
        (
            "or spread over the rest",
            {"primaries": THREE, "leaving": {"a": DRAIN}},
            {"b": 0.5, "c": 0.5},
            {"b": 0.1, "c": 0.1},
            [("a", DRAIN, 20)],
        ),
        (
            "a backup that is a fence",
            {"primaries": HALVES, "backups": ("b", "d"), "leaving": {"a": DOWN}, "candidates": dict.fromkeys("acd", 1)},
            {"c": 0.5, "d": 0.5},
            {"d": 0.5},
            [("a", DOWN, 50)],
        ),
        (
            "a pair that is no candidate any more counts as fenced",
            {"primaries": HALVES, "candidates": {"b": 1, "c": 1}},
            {"c": 1.0},
            {"c": 0.5},
            [("a", FENCE, 50)],
        ),
        (
            "an edge that nobody knows",
            {"primaries": (("gone", 32768), ("c", 32767)), "backups": ("old", "d")},
            {"c": 0.5, "d": 0.5},
            {"d": 0.5},
            [("gone", REMOVED, 50)],
        ),
        (
            "an edge that is known to be removed",
            {"primaries": HALVES, "leaving": {"a": REMOVED}},
            {"c": 1.0},
            {"c": 0.5},
            [("a", REMOVED, 50)],
        ),
        (
            "all of it gone: it stands nowhere",
            {"primaries": (("a", 65535),), "leaving": {"a": DOWN}},
            {},
            {},
            [("a", DOWN, 100)],
        ),
        ("the coarser row of the ISP", {"primaries": HALVES, "key": ("CN", "", "")}, {"a": 0.5, "c": 0.5}, {}, []),
        ("another country's row is none", {"primaries": HALVES, "key": ("DE", "", "")}, {}, {}, []),
        (
            "without demand",
            {"primaries": HALVES, "mbps": 0, "leaving": {"a": DOWN}},
            {"c": 1.0},
            {"c": 0.5},
            [("a", DOWN, 0)],
        ),
    ],
)  # fmt: skip
def test_a_row_on_todays_pairs(why, given, share, free, forced):
    assert stood(**given) == (share, free, forced), why


def test_a_finer_row_comes_first_and_regions_fall_back_to_the_isp():
    given = round_of(EDGES, {"x": (100, ALL)})
    key = given.groups.keys[0]._replace(region="SH")
    groups = type(given.groups)((key,), given.groups.demand_bps)
    pairs = usable_pairs(given.candidates.group, given.candidates.edge, given.candidates.cost, np.ones(4, np.bool_))
    rows = [
        PlanRow(SERVICE, "CN", "", "", (("a", 65535),)),
        PlanRow(SERVICE, "CN", "", "x", (("b", 65535),)),
        PlanRow(SERVICE, "CN", "SH", "x", (("c", 65535),)),
    ]
    for count, expected in ((3, "c"), (2, "b"), (1, "a")):
        found = stand(Plan("v0", rows=tuple(rows[:count])), given.sites, ("",) * 4, groups, pairs)
        assert given.sites.edges[pairs.edge[int(found.share.argmax())]] == expected


def test_an_edge_that_is_not_usable_for_no_reason_given_is_drained():
    given = round_of(EDGES, {"x": (100, ALL)}, leaving={"b": DOWN})
    assert leaving_of(given.sites, ("", "", DOWN, "")) == ("", DRAIN, DOWN, "")
    assert leaving_of(round_of(EDGES, {}).sites, ("",) * 4) == ("",) * 4


def test_without_candidates_nobody_stands():
    given = round_of(EDGES, {"x": (100, {})})
    nothing = np.zeros(0, np.int64)
    pairs = usable_pairs(nothing, nothing, np.zeros(0), np.ones(4, np.bool_))
    plan = Plan("v0", rows=(PlanRow(SERVICE, "CN", "", "x", HALVES, ("d",)),))
    found = stand(plan, given.sites, ("",) * 4, given.groups, pairs)
    assert found.forced == (Forced("a", FENCE, 50_000_763), Forced("c", FENCE, 49_999_237))
