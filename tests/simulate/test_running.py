"""Runs of a tiny world: nobody is lost or made, what is dead carries nothing, and the same comes of the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from gslbtest.simulated import SMALL, small_world

from gslb.errors import GslbError
from gslb.simulate import comparing, failing, measures
from gslb.simulate.policies import KINDS
from gslb.simulate.record import RTT_BORDERS_MS, Record, Recorder
from gslb.simulate.running import RECONNECT_S, RETRY_S, run
from gslb.simulate.scenario import Failure, FlashCrowd, Scenario

LOST = Failure("pop", 60, 120)
SCENARIO = dataclasses.replace(SMALL, failures=(LOST,))
DEAD = failing.struck(LOST, small_world())


@cache
def ran(policy: str) -> Record:
    return run(SCENARIO, small_world(), policy)


def same(one: Record, other: Record) -> bool:
    """Whether all of two records is equal."""
    pairs = [(getattr(one, name), getattr(other, name)) for name in Record.__slots__]
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)


@pytest.mark.parametrize("policy", list(KINDS))
def test_sessions_are_on_an_edge_or_wait_for_one(policy: str) -> None:
    found = ran(policy)
    carried = found.load_bps.sum(axis=1)
    assert np.allclose(carried + found.waiting_bps, found.demand_bps, rtol=1e-4)
    # Nobody waits while all is well, or for long when it is not.
    assert found.waiting_bps[: LOST.at_s].max() == 0
    assert found.waiting_bps[LOST.at_s] > 0
    assert found.waiting_bps[LOST.until_s + 30 :].max() <= 0.02 * found.demand_bps.max()
    assert (found.load_bps >= 0).all()
    assert found.seconds == SMALL.duration_s
    assert found.begun.sum() > 100


@pytest.mark.parametrize("policy", list(KINDS))
def test_what_is_dead_carries_nothing_and_is_left(policy: str) -> None:
    found = ran(policy)
    assert found.load_bps[: LOST.at_s, DEAD].sum(axis=1).min() > 0
    assert found.load_bps[LOST.at_s : LOST.until_s, DEAD].max() == 0
    assert found.load_bps[-1, DEAD].max() > 0
    assert found.affected[: LOST.at_s].max() == 0
    assert (found.moved <= found.affected).all()
    assert found.affected[LOST.until_s :].max() == 0
    late = slice(LOST.at_s + SMALL.ttl_s + RETRY_S + RECONNECT_S, LOST.until_s)
    assert found.affected[late].sum() > 0
    assert (found.moved[late] == found.affected[late]).all()
    assert found.failed[: LOST.at_s].max() == 0 < found.failed[LOST.at_s : LOST.until_s].max()


def test_all_policies_meet_the_same_viewers() -> None:
    demands = [ran(policy).demand_bps for policy in KINDS]
    quiet = slice(0, LOST.at_s)
    for each in demands[1:]:
        assert np.allclose(each[quiet], demands[0][quiet], rtol=1e-6)
    assert len({ran(policy).concentration for policy in KINDS}) == 1


def test_plans_are_made_each_round_and_the_others_make_none() -> None:
    assert [each.at_s for each in ran("ours").rounds] == [0, 60, 120]
    assert not any(each.refused for each in ran("ours").rounds)
    assert all(not ran(policy).rounds for policy in KINDS if policy != "ours")
    assert sum(each.forced_bps for each in ran("ours").rounds) > 0


@pytest.mark.parametrize("policy", list(KINDS))
def test_minutes(policy: str) -> None:
    found = ran(policy)
    assert found.intended.shape == (3, len(found.edges))
    assert found.intended.sum(axis=1) == pytest.approx([1, 1, 1])
    assert (found.rtt_bps.sum(axis=1) > 0).all()
    assert found.churn.max() <= 1
    assert found.questions > 0
    assert found.builds >= 1


def test_plans_are_nearer_than_chance_would_have_it() -> None:
    assert measures.mean_latency_ms(ran("ours")) < measures.mean_latency_ms(ran("geo-round-robin"))


@pytest.mark.no_cover
def test_the_same_scenario_makes_the_same_run_and_another_seed_another() -> None:
    assert same(run(SCENARIO, small_world(), "ours"), ran("ours"))
    other = run(dataclasses.replace(SCENARIO, seed=4), small_world(), "nearest")
    assert not same(other, ran("nearest"))


EVENTS: list[tuple[str, dict[str, Any], Callable[[Record, Record], bool]]] = [
    # what happens, how, and what it does against nothing
    (
        "grey",
        {"failures": (Failure("grey", 30, 180, loss=0.99),)},
        lambda with_it, without: with_it.overload_bps.sum() > without.overload_bps.sum(),
    ),
    (
        "link",
        {"failures": (Failure("link", 30, 180, loss=0.9),)},
        lambda with_it, without: with_it.load_bps[-60:, DEAD].sum() < without.load_bps[-60:, DEAD].sum(),
    ),
    (
        "stale",
        {"failures": (Failure("stale", 30, 180),)},
        lambda with_it, without: with_it.load_bps[-60:, DEAD].sum() < without.load_bps[-60:, DEAD].sum(),
    ),
    (
        "flash",
        {"flashes": (FlashCrowd(0, 5.0, 30, 600, 30, ("US",)),)},
        lambda with_it, without: with_it.demand_bps[-1] > 1.3 * without.demand_bps[-1],
    ),
]


@pytest.mark.parametrize(("changes", "shows"), [row[1:] for row in EVENTS], ids=[row[0] for row in EVENTS])
def test_what_happens_shows(changes: dict[str, Any], shows: Callable[[Record, Record], bool]) -> None:
    scenario = dataclasses.replace(SMALL, **changes)
    assert shows(run(scenario, small_world(), "ours"), _quiet())


@cache
def _quiet() -> Record:
    return run(SMALL, small_world(), "ours")


def compared(scenario: Scenario, processes: int) -> tuple[list[Record], dict[str, list[int]]]:
    """The records, and what was told of how far each run is."""
    told: dict[str, list[int]] = {}
    records = comparing.compare(
        scenario, small_world(), processes, lambda name, now_s: told.setdefault(name, []).append(now_s)
    )
    return records, told


@pytest.mark.no_cover
def test_in_processes_the_same_comes_of_it() -> None:
    scenario = dataclasses.replace(SCENARIO, policies=("nearest", "ours"))
    one, told = compared(scenario, 1)
    two, told_by_processes = compared(scenario, 2)
    assert [record.name for record in one] == ["nearest", "ours"]
    assert all(same(here, there) for here, there in zip(one, two, strict=True))
    assert told == told_by_processes
    assert told["ours"] == [0, 60, 120, 180, 240]
    assert same(one[1], ran("ours"))


def test_a_process_that_ends_without_a_record_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    scenario = dataclasses.replace(SMALL, policies=("nearest", "ours"), failures=(Failure("pop", 0, 9, "nowhere"),))
    with pytest.raises(GslbError, match=r"the run of (nearest|ours) ended without a record"):
        compared(scenario, 2)
    assert "nowhere" in capfd.readouterr().err


def test_what_is_before_the_beginning_is_not_kept() -> None:
    recorder = Recorder(60, 240, 2)
    load, rtt = np.array([1.0, 2.0]), np.array([0.0, 3.5, 5000.0])
    for now_s in (59, 60, 239):
        recorder.second(now_s, load * now_s, begun=now_s)
        recorder.second(now_s, load * now_s, begun=1)
    assert np.flatnonzero(recorder.load_bps[:, 0]).tolist() == [0, 179]
    assert recorder.by_second["begun"][[0, 1, 179]].tolist() == [61, 0, 240]
    for now_s in (0, 60, 90, 180):
        recorder.minute(now_s, rtt, np.array([1.0, 2.0, 4.0]), load / 3, 0.25)
    assert recorder.churn.tolist() == [0.25, 0, 0.25]
    assert recorder.rtt_bps[0, [0, 3, len(RTT_BORDERS_MS) - 1]].tolist() == [1, 2, 4]
    assert recorder.rtt_bps.sum() == 14
