"""Room for what fluctuates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gslbtest.rounds import MBPS, loads, no_clock, round_of, sites_of

from gslb.plan.knees import knee_cuts
from gslb.plan.problem import NOWHERE
from gslb.plan.round import plan_round
from gslb.plan.standing import Pairs

EDGES = {"a": ("p", 1000), "b": ("p", 1000), "c": ("q", 1000)}
SITES = replace(
    sites_of(EDGES), regions=("east",), region_of_pop=np.array([0, NOWHERE]), region_capacity_bps=np.array([10**12])
)
# Two groups on a and b that peak by turns, one on c that swings from 0 to 100; the last has candidates b and c.
PAIRS = Pairs(np.array([0, 1, 2, 3, 3]), np.array([0, 1, 2, 1, 2]), np.array([1.0, 1.0, 1.0, 3.0, 2.0]))
TURNS = np.array([[100, 0, 100, 0], [0, 100, 0, 0]] * 10)


def cuts(history, share):
    found = knee_cuts(SITES, np.array(history, dtype=np.int64), PAIRS, np.array(share, dtype=np.float64))
    return (
        found.edge_knee_cut_bps.tolist(),
        found.pop_knee_cut_bps.tolist(),
        found.region_knee_cut_bps.tolist(),
        found.network_knee_cut_bps,
    )


@pytest.mark.parametrize(
    ("why", "history", "share", "expected"),
    [
        ("peaks by turns need no room together", TURNS, [1, 1, 1, 1, 0], ([50, 50, 50], [0, 50], [0], 50)),
        ("where they stand", TURNS, [1, 1, 0, 1, 0], ([50, 50, 50], [0, 50], [0], 50)),  # c by its cheapest
        ("level demand", [[7, 7, 7, 7]] * 4, [1, 1, 1, 1, 0], ([0, 0, 0], [0, 0], [0], 0)),
        ("together", TURNS[:, [1, 1, 1, 0]], [1, 1, 1, 0, 0], ([50, 50, 0], [100, 0], [100], 100)),
        ("at the cheapest of two", TURNS[:, [3, 3, 3, 0]], [1, 1, 1, 0, 0], ([0, 0, 50], [0, 50], [0], 50)),
    ],
)  # fmt: skip
def test_p95_less_the_mean_of_sums(why, history, share, expected):
    assert cuts(history, share) == expected, why


def test_one_bucket_tells_nothing():
    assert knee_cuts(SITES, np.ones((1, 4), np.int64), PAIRS, np.ones(5)) is SITES


def test_a_round_leaves_the_room():
    given = round_of({"a": ("p", 100), "b": ("q", 1000)}, {"x": (100, {"a": 1, "b": 2})})
    calm = plan_round(replace(given, history_bps=np.full((20, 1), 100 * MBPS)), no_clock)
    swinging = plan_round(replace(given, history_bps=np.array([[60 * MBPS], [140 * MBPS]] * 10)), no_clock)
    assert loads(calm.plan, ("a", "b"))[0] == pytest.approx(80 * MBPS, rel=1e-3)
    assert loads(swinging.plan, ("a", "b"))[0] == pytest.approx(40 * MBPS, rel=1e-3)
