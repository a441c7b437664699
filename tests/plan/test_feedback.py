"""What load teaches about edges, and that the loop comes to rest."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gslb.plan.feedback import LEAST, MOST, Learnt, gain, learn, surprise

CAPACITY = 1000


@pytest.mark.parametrize(
    ("round_s", "ttl_s", "expected"),
    [(60, 20, 0.5), (60, 60, 0.5), (60, 120, 0.25), (60, 300, 0.1), (10, 20, 0.25), (60, 0, 0.5)],
)
def test_a_round_corrects_its_length_over_two_ttls_and_at_most_a_half(round_s, ttl_s, expected):
    assert gain(round_s, ttl_s) == expected
    assert gain(round_s, ttl_s) <= round_s / (2 * max(ttl_s, 1))


def after(load, flow, *, factor=1.0, background=0.0, late=0.0, silent=False, capacity=CAPACITY, step=0.5):
    known = Learnt(np.array([factor]), np.array([float(background)]), np.array([float(late)]))
    found = learn(known, np.array([float(flow)]), np.array([load]), np.array([capacity]), np.array([silent]), step)
    return float(found.factor[0]), float(found.background_bps[0])


@pytest.mark.parametrize(
    ("why", "given", "factor", "background"),
    [
        ("as projected", {"load": 500, "flow": 500}, 1.0, 0.0),
        ("no load known", {"load": -1, "flow": 500, "factor": 1.3, "background": 70}, 1.3, 70.0),
        ("drained", {"load": 0, "flow": 500, "factor": 1.3, "silent": True}, 1.3, 0.0),
        ("no capacity", {"load": 10, "flow": 500, "factor": 1.3, "capacity": 0}, 1.3, 0.0),
        ("heavier", {"load": 600, "flow": 500}, 1 + 0.5 * 100 * 500 / 260_000, 0.5 * 100 * 10_000 / 260_000),
        ("less than projected while servers shed", {"load": 960, "flow": 900, "factor": 1.2}, 1.2, 0.0),
        (
            "less than projected and nobody sheds",
            {"load": 940, "flow": 900, "factor": 1.2},
            1.2 - 0.5 * 140 * 900 / 820_000,
            0.0,
        ),
        (
            "less than projected where the plan alone fills it",
            {"load": 700, "flow": 960, "factor": 0.9},
            0.9,
            0.0,
        ),
        (
            "more than projected where the plan alone fills it",
            {"load": 1000, "flow": 960, "factor": 0.9},
            0.9 + 0.5 * 136 * 960 / 931_600,
            0.5 * 136 * 10_000 / 931_600,
        ),
        ("twice at most", {"load": 1900, "flow": 500, "factor": 1.9}, MOST, 0.5 * 950 * 10_000 / 260_000),
        ("half at least", {"load": 0, "flow": 500, "factor": 0.6}, LEAST, 0.0),
        ("without flow all is background, slowly", {"load": 300, "flow": 0}, 1.0, 0.5 * 300 * 10_000 / 40_000),
        ("background is never below nothing", {"load": 0, "flow": 100, "background": 3}, 0.871, 0.0),
        ("what has still to come is not missing", {"load": 300, "flow": 500, "late": -200}, 1.0, 0.0),
    ],
)
def test_one_step(why, given, factor, background):
    assert after(**given) == (pytest.approx(factor, abs=1e-3), pytest.approx(background, abs=0.6)), why


def test_nothing_is_learnt_from_what_is_in_transit():
    settled, _ = after(600, 500)
    moving, _ = after(700, 500, late=100)
    gone, _ = after(700, 0, late=500)
    assert settled > moving > gone == 1.0


@pytest.mark.parametrize(
    ("load", "factor", "background", "late"),
    [
        (940, 1.0, 0, 0),  # nobody sheds
        (1200, 1.0, 0, 0),  # more than projected: nothing is missing
        (960, 1.0, 0, -240),
        (960, 1.2, 60, -450),
    ],
)
def test_what_servers_shed_is_late(load, factor, background, late):
    known = Learnt(np.array([factor]), np.array([float(background)]), np.zeros(1))
    one = np.array([CAPACITY])
    found = learn(known, np.array([1200.0]), np.array([load]), one, np.array([False]), 0.5)
    assert found.late_bps.tolist() == [late]
    down = learn(known, np.array([1200.0]), np.array([load]), one, np.array([True]), 0.5)
    assert down.late_bps.tolist() == [0]


def test_a_factor_that_shedding_lowered_comes_back():
    """Loads between 80 % and 110 % by turns, as servers make them who go by old reports, whatever the plan sends."""
    known = Learnt(np.array([0.7]), np.zeros(1), np.zeros(1))
    for turn in range(40):
        load = (800, 900, 1000, 1100)[turn % 4]
        flow = (950 - known.background_bps) / known.factor
        known = learn(known, flow, np.array([load]), np.array([CAPACITY]), np.array([False]), 0.5)
        known = known.passed(60, 660)
    assert float(known.factor[0]) > 0.95


@pytest.mark.parametrize("seed", range(4))
def test_no_step_leads_away_from_the_truth_and_flows_that_vary_tell_both_unknowns(seed):
    rng = np.random.default_rng(seed)
    count = 50
    truth = Learnt(rng.uniform(0.6, 1.9, count), rng.uniform(0, 200, count), np.zeros(count))
    known, silent, capacity = Learnt.nothing(count), np.zeros(count, np.bool_), np.full(count, CAPACITY)

    def error(known: Learnt) -> np.ndarray:
        background = (known.background_bps - truth.background_bps) / (0.1 * CAPACITY)
        return np.hypot(known.factor - truth.factor, background)

    begun = error(known)
    for _ in range(400):
        flow = rng.uniform(0, 380, count)
        load = np.minimum(truth.load(flow), 949).round().astype(np.int64)
        step = learn(known, flow, load, capacity, silent, 0.5)
        assert (error(step) <= error(known) + 0.01).all()  # loads are whole
        known = step
    assert (error(known) < np.maximum(0.25 * begun, 0.06)).all()


@pytest.mark.parametrize("ttl_s", [20, 60, 300])
@pytest.mark.parametrize("session_s", [120, 600, 1800])
def test_the_loop_comes_to_rest_also_where_sessions_last_longer_or_shorter_than_taken(ttl_s, session_s):
    """An edge in demand fills up to its cap by what the plan believes; its load follows with a lag that the plan takes
    to be another. The true factor is 1.4."""
    cap, true, round_s, taken_s = 900.0, 1.4, 60.0, 600
    lag, believed = ttl_s + session_s, ttl_s + taken_s
    known = Learnt.nothing(1)
    flow = there = np.array([cap])
    seen = []
    for _ in range(400):
        there = there + (flow - there) * (1 - math.exp(-round_s / lag))
        load = true * there
        seen.append(float(load[0]))
        known = known.passed(round_s, believed)
        known = learn(known, flow, load.astype(np.int64), np.array([2000]), np.array([False]), gain(round_s, ttl_s))
        asked = np.minimum(2000, (cap - known.background_bps) / known.factor)
        known, flow = known.moved(flow, asked), asked
    assert min(seen) >= 0.9 * cap  # it starts 40 % above, and overshoots by at most 10 %
    assert max(seen[-100:]) - min(seen[-100:]) < 0.01 * cap
    assert seen[-1] == pytest.approx(cap, rel=0.02)


def test_what_is_late_arrives_with_the_lag():
    known = Learnt.nothing(1).moved(np.array([100.0]), np.array([300.0]))
    assert known.load(np.array([300.0])) == [100.0]
    assert known.passed(600, 600).load(np.array([300.0])) == pytest.approx([300 - 200 / math.e])
    assert known.passed(-5, 600).late_bps == [-200.0]
    assert known.without(np.array([True])).late_bps == [0.0]


@pytest.mark.parametrize(
    ("projected", "load", "silent", "each", "total"),
    [
        ([500, 500], [550, 400], [False, False], [0.05, -0.1], 0.075),
        ([500, 500], [-1, 400], [False, False], [None, -0.1], 0.1),
        ([500, 500], [550, 0], [False, True], [0.05, None], 0.05),
        ([500, 500], [-1, -1], [False, False], [None, None], 0.0),
    ],
)
def test_surprise_is_a_part_of_capacity(projected, load, silent, each, total):
    found, whole = surprise(np.array(projected), np.array(load), np.full(2, CAPACITY), np.array(silent))
    assert [None if math.isnan(one) else round(one, 9) for one in found.tolist()] == each
    assert whole == pytest.approx(total)
