"""Numbers of records, each on records made by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from gslbtest.simulated import a_round, record

from gslb.simulate import measures as m
from gslb.simulate.record import RTT_BORDERS_MS

HOUR = np.arange(3600)


def steady(level: float = 50.0, seconds: int = 3600) -> np.ndarray[Any, Any]:
    return np.full((seconds, 2), level)


def test_latency() -> None:
    rtt = np.zeros((2, len(RTT_BORDERS_MS)))
    rtt[0, 10], rtt[0, 20], rtt[1, 20], rtt[1, 90] = 60.0, 10.0, 25.0, 5.0
    found = record(steady(seconds=120), rtt_bps=rtt)
    borders, part = m.latency_cdf(found)
    assert (borders[11], part[11], part[21], part[91], part[10]) == (11.0, 0.6, 0.95, 1.0, 0.0)
    assert [m.latency_ms(found, each) for each in (0.5, 0.95, 0.96, 1.0)] == [11.0, 21.0, 91.0, 91.0]
    assert m.mean_latency_ms(found) == pytest.approx(0.6 * 10.5 + 0.35 * 20.5 + 0.05 * 90.5)


def test_overload_is_of_all_demand_in_its_time() -> None:
    load = steady(seconds=100)
    load[10:20, 0] = 150.0
    found = record(load)
    assert m.overload(found) == pytest.approx(10 * 50 / load.sum())
    assert m.overload(found, 0, 20) == pytest.approx(500 / (1000 + 10 * 200))
    assert m.overload(found, 20) == 0


def test_demand_without_an_edge() -> None:
    found = record(steady(seconds=10), waiting_bps=np.full(10, 25.0), demand_bps=np.full(10, 125.0))
    assert m.waiting(found) == pytest.approx(0.2)


def test_utilisation_is_of_whole_minutes() -> None:
    load = steady(seconds=150)
    load[:60, 1] = 100.0
    assert m.utilisation(record(load)).tolist() == [[0.5, 1.0], [0.5, 0.5]]


def test_churn_and_moves() -> None:
    rounds = (a_round(0, 20), a_round(60, 5), a_round(120, 10))
    found = record(steady(seconds=180), churn=np.array([0.0, 0.3, 0.0]), rounds=rounds)
    assert m.churn(found) == (pytest.approx(0.1), 0.3)
    assert m.moves(found) == (0.02, pytest.approx(0.035))
    assert m.moves(found, 60) == (0.01, pytest.approx(0.015))
    assert m.moves(found, 60, 120) == (0.005, 0.005)
    assert m.moves(record(steady(seconds=60))) == (0.0, 0.0)


LEFT = [
    # new sessions each second, moved from which second on, when one stays once more, what is found
    (5, 0, None, 0),
    (5, 20, None, 22),  # until three seconds together are moved
    (5, 20, 50, 53),
    (5, 100, None, math.inf),
    (0, 0, None, math.nan),
    (0.1, 0, None, math.nan),
]


@pytest.mark.parametrize(("each", "from_s", "again_s", "wanted"), LEFT)
def test_when_new_sessions_have_moved(each: float, from_s: int, again_s: int | None, wanted: float) -> None:
    affected = np.zeros(130)
    affected[30:] = each
    moved = np.where(np.arange(130) >= 30 + from_s, affected, 0.0)
    if again_s is not None:
        moved[30 + again_s] = 0
    found = m.moved_after_s(record(steady(seconds=130), affected=affected, moved=moved), 30)
    assert found == pytest.approx(wanted, nan_ok=True)


def test_shares_beyond_the_floor() -> None:
    load = steady()
    load[-1800:] = [60.0, 40.0]
    exact = record(load)
    assert m.steady(exact) == m.Steady("e0", 0.6, 0.5, 0.0, pytest.approx(0.1))
    rough = record(load, concentration_cells=0.04)
    assert m.steady(rough) == m.Steady("e0", 0.6, 0.5, pytest.approx(0.1), pytest.approx(0.0, abs=1e-9))
    # What came before does not count.
    load[:-1800] = [90.0, 10.0]
    assert m.steady(record(load)) == m.steady(exact)


def rising(peak: float, end: float) -> np.ndarray[Any, Any]:
    """Edge 0: 20 until second 600, then up to ``peak`` within five minutes, then ``end``; edge 1 is quiet."""
    load = np.full((2600, 2), 30.0)
    load[:600, 0] = 20.0
    load[600:, 0] = np.interp(np.arange(2000), [0, 300, 900], [20.0, peak, end])
    return load


SHOT = [
    # load, what is found
    (rising(80, 80), 0.0),
    (rising(80, 60), 0.2),
    (rising(95, 50), 0.45),
    (rising(20, 5), 0.0),  # leaving is no overshoot
    (rising(60, 10), 0.4),  # above where it was
]


@pytest.mark.parametrize(("load", "wanted"), SHOT, ids=["none", "a fifth", "much", "leaving", "back below"])
def test_overshoot(load: np.ndarray[Any, Any], wanted: float) -> None:
    found = m.overshoot(record(load), 600)
    assert found[1] == pytest.approx(wanted, abs=0.01)
    if wanted:
        assert found[0] == "e0"


def swing(amplitude: Any, period_s: float, seconds: int = 3600) -> np.ndarray[Any, Any]:
    load = np.full((seconds, 2), 60.0)
    load[:, 1] += amplitude * np.sin(2 * np.pi * np.arange(seconds) / period_s)
    return load


def noisy(load: np.ndarray[Any, Any], sd: float) -> np.ndarray[Any, Any]:
    return load + np.random.default_rng(1).normal(0, sd, load.shape)


CYCLES = [
    ("a swing", swing(5, 200), {}, 0.05, 200),
    ("a slow swing", swing(5, 900), {}, 0.05, 900),
    ("a swing in noise", noisy(swing(5, 200), 3), {}, 0.05, 200),
    ("a short record", swing(5, 100, 400), {}, 0.05, 100),
    ("too small", swing(1.5, 200), {}, 0, 0),
    ("dying out", swing(10 * np.exp(-HOUR / 300), 200), {}, 0, 0),
    ("only once", swing(5, 2000), {}, 0, 0),
    ("a trend", 60 + np.linspace(0, 30, 3600)[:, None] * np.ones(2), {}, 0, 0),
    ("noise", noisy(swing(0, 200), 5), {}, 0, 0),
    ("as single sessions make it", swing(5, 200), {"session_bps": 11.0}, 0, 0),
    ("as single caches make it", swing(5, 200), {"concentration_cells": 0.003}, 0, 0),
    ("a record too short to tell", swing(5, 60, 200), {}, 0, 0),
]


@pytest.mark.parametrize(("load", "more", "amplitude", "period_s"), [row[1:] for row in CYCLES], ids=[
    row[0] for row in CYCLES
])  # fmt: skip
def test_limit_cycles(load: np.ndarray[Any, Any], more: dict[str, Any], amplitude: float, period_s: float) -> None:
    found = m.limit_cycle(record(load, **more))
    assert found.amplitude == pytest.approx(amplitude, abs=0.01)
    assert found.period_s == pytest.approx(period_s, rel=0.1)
    assert found.edge == ("e1" if amplitude else "")


def test_a_summary_holds_all_numbers() -> None:
    quiet = m.summary(record(steady(), rounds=(a_round(0, 20), a_round(60, 10, "shift"))))
    assert quiet["unforced_worst_round"] == 0.02
    assert (quiet["refused_plans"], quiet["surprise_mean"], quiet["utilisation_max"]) == (1, 0.01, 0.5)
    assert quiet["rtt_mean_ms"] == 10.5
    none = m.summary(record(steady()))
    keys = ("unforced_worst_round", "unforced_all_rounds", "surprise_mean", "refused_plans")
    assert all(math.isnan(none[key]) for key in keys)
