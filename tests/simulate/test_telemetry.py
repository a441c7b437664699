"""Reports of a world's edges: what agents tell, and when servers hear of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from gslb.model.report import DOWN, UP, Report
from gslb.simulate.steered import START_MS
from gslb.simulate.telemetry import Agents, Condition

NO = np.zeros(2, dtype=np.bool_)
YES = np.array([True, False])
CAPACITY = np.array([1000.0, 1000.0])
SOUND = Condition(NO, NO, CAPACITY, CAPACITY)


def reports(*pushes: tuple[int, Any, Condition], loaded: bool = True, delay_s: int = 0) -> dict[str, Report]:
    """What is known after the last push."""
    agents = Agents(("a", "b"), loaded, delay_s)
    for now_s, load, condition in pushes:
        agents.push(now_s, np.array(load, dtype=np.float64), condition)
    return agents.known(pushes[-1][0]).reports


ONE = [
    # condition, load, what a report tells
    (SOUND, 700.4, {"load_bps": 700, "capacity_bps": 1000, "headroom_milli": 1000, "health4": UP}),
    (SOUND, 900, {"load_bps": 900, "headroom_milli": 333}),
    (SOUND, 1400, {"load_bps": 1400, "headroom_milli": 0}),
    (dataclasses.replace(SOUND, dead=YES), 0, {"health4": DOWN, "health6": DOWN, "since_ms": START_MS}),
    # A link that is lost and told: load above what it carries cannot be seen, and capacity is what is left.
    (dataclasses.replace(SOUND, says_bps=CAPACITY / 2, true_bps=CAPACITY / 2), 480, {"capacity_bps": 500}),
    # A grey failure: nothing is told, and no more than what it carries can be seen.
    (dataclasses.replace(SOUND, true_bps=CAPACITY / 2), 800, {"load_bps": 500, "capacity_bps": 1000}),
]


@pytest.mark.parametrize(("condition", "load", "told"), ONE, ids=[str(row[2]) for row in ONE])
def test_what_a_report_tells(condition: Condition, load: float, told: dict[str, Any]) -> None:
    found = reports((0, [load, 0], condition))["a"]
    assert {key: getattr(found, key) for key in told} == told


def test_policies_that_are_blind_to_load_hear_only_of_health() -> None:
    found = reports((0, [5000, 0], dataclasses.replace(SOUND, dead=YES)), loaded=False)["a"]
    assert (found.health4, found.load_bps, found.capacity_bps, found.headroom_milli) == (DOWN, 0, 0, -1)


def test_reports_arrive_after_their_delay() -> None:
    agents = Agents(("a", "b"), True, 3)
    for now_s in range(6):
        agents.push(now_s, np.array([100.0 * now_s, 0.0]), SOUND)
    assert agents.known(2).reports == {}
    assert agents.known(3).reports["a"].load_bps == 0
    assert agents.known(5).reports["a"].load_bps == 200
    assert agents.known(5).now_ms == START_MS + 2000
    assert agents.known(99).reports["a"].load_bps == 500


def test_what_is_silent_is_heard_of_no_more() -> None:
    found = reports((0, [10, 10], SOUND), (1, [20, 20], dataclasses.replace(SOUND, silent=YES)))
    assert [(each.load_bps, each.received_ms - START_MS) for each in found.values()] == [(10, 0), (20, 1000)]


def test_an_edge_that_comes_back_starts_slowly() -> None:
    dead = dataclasses.replace(SOUND, dead=YES)
    found = reports((0, [0, 0], SOUND), (1, [0, 0], dead), (2, [0, 0], dead), (9, [0, 0], SOUND))
    assert [each.slow_since_ms for each in found.values()] == [START_MS + 9000, 0]
    assert [each.since_ms for each in found.values()] == [START_MS + 9000, 0]
    assert [each.seq for each in found.values()] == [4, 4]


def test_headroom_falls_by_no_more_than_a_writer_lets_it() -> None:
    found = reports((0, [100, 0], SOUND), (1, [2000, 0], SOUND))["a"]
    assert found.headroom_milli == 950
