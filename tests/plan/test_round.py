"""Whole rounds: what a plan says, that rounds come to rest, and what happens when something is lost."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from gslbtest.rounds import MBPS, NOW_MS, SERVICE, following, grown, loads, made_of, moved, no_clock, round_of, shares

from gslb.model.dispatch import DispatchRules
from gslb.model.plan import (
    DOWN,
    DRAIN,
    FENCE,
    PLAN_SUM,
    RELIEF,
    REMOVED,
    BindingCap,
    Forced,
    Plan,
    PlanInput,
    PlannedEdge,
    PlanRow,
)  # fmt: skip
from gslb.plan import published
from gslb.plan.problem import NOWHERE, Groups
from gslb.plan.round import HOLD_MS, Live, plan_round
from gslb.snapshot.acceptance import shift

EDGES = {"a": ("p", 1000), "b": ("q", 1000), "c": ("r", 1000)}
NEAR_A = {"a": 1.0, "b": 2.0, "c": 3.0}
NEAR_B = {"a": 2.0, "b": 1.0, "c": 3.0}


def test_the_first_plan_is_the_optimum():
    made = plan_round(
        replace(round_of(EDGES, {"x": (100, NEAR_A), "y": (50, NEAR_B)}), inputs={"demand": PlanInput(5.0, "0" * 64)}),
        no_clock,
    )
    plan, report = made.plan, made.report
    assert plan.rows == (
        PlanRow(SERVICE, "CN", "", "x", (("a", 65535),), ("b", "c"), 100 * MBPS, (1.0, 2.0, 3.0)),
        PlanRow(SERVICE, "CN", "", "y", (("b", 65535),), ("a", "c"), 50 * MBPS, (1.0, 2.0, 3.0)),
    )
    assert (plan.version, plan.base, plan.inputs) == ("v1", "", {"demand": PlanInput(5.0, "0" * 64)})
    assert (plan.issued_at_ms, plan.effective_at_ms, plan.hold_until_ms) == (NOW_MS, NOW_MS, NOW_MS + HOLD_MS)
    assert plan.edges == {"a": PlannedEdge(100 * MBPS), "b": PlannedEdge(50 * MBPS), "c": PlannedEdge(0)}
    assert (plan.forced, plan.caps, report.shortfalls) == ((), (), ())
    assert (report.demand_bps, report.moved_bps, report.forced_bps, report.waiting_bps) == (150 * MBPS, 0, 0, 0)
    assert (report.overload_bps, report.unserved_bps, report.surprise_total) == (0, 0, 0.0)
    assert made.solution.flow_bps.sum() == 150 * MBPS


def test_a_plan_may_count_later():
    given = replace(round_of(EDGES, {"x": (100, NEAR_A)}), effective_at_ms=NOW_MS + 5000)
    plan = plan_round(given, no_clock).plan
    assert (plan.effective_at_ms, plan.hold_until_ms) == (NOW_MS + 5000, NOW_MS + HOLD_MS)


@pytest.mark.parametrize("use", [0.6, 0.85, 1.1])
def test_plans_can_be_published_and_read_again(use):
    made = plan_round(grown(1, use=use), no_clock)
    assert published.read(*published.write(made.plan)) == made.plan
    assert all(sum(weight for _, weight in row.primaries) == PLAN_SUM for row in made.plan.rows)
    assert all(not {edge for edge, _ in row.primaries} & set(row.backups) for row in made.plan.rows)
    assert len(made.plan.rows) == 120


def test_a_full_edge_is_a_binding_cap_and_spills_to_the_next():
    made = made_of({**EDGES, "a": ("p", 100)}, {"x": (200, NEAR_A)})
    assert shares(made.plan, "x") == {"a": 0.4, "b": 0.6}  # up to the knee, since the next is cheaper than beta
    assert [cap[:3] for cap in made.plan.caps] == [BindingCap("edge", "a", 100 * MBPS, 0)[:3]]
    assert made.plan.caps[0].price > 0


def test_overload_is_reported_and_no_crash():
    made = made_of({"a": ("p", 100)}, {"x": (200, {"a": 1})})
    assert shares(made.plan, "x") == {"a": 1.0}
    assert made.report.overload_bps == 105 * MBPS
    assert str(made.report.shortfalls[0]) == "without p 0.2 Gbps move; 0.2 Gbps have no backup"


def test_groups_without_candidates_are_unserved():
    made = made_of(EDGES, {"x": (100, NEAR_A), "y": (70, {})})
    assert [row.isp for row in made.plan.rows] == ["x"]
    assert made.report.unserved_bps == 70 * MBPS


def before(*rows, edges=None):
    told = tuple(PlanRow(SERVICE, "CN", "", isp, primaries, backups, 100 * MBPS) for isp, primaries, backups in rows)
    return Plan("v0", rows=told, issued_at_ms=NOW_MS, edges=edges or {})


ON_A = before(("x", (("a", 65535),), ("c",)), ("y", (("b", 65535),), ()))
GROUPS = {"x": (100, NEAR_A), "y": (100, NEAR_B)}


@pytest.mark.parametrize(
    ("why", "more", "groups", "expected", "forced", "moved_mbps"),
    [
        ("down", {"leaving": {"a": DOWN}}, GROUPS, {"b": 1.0}, [("a", DOWN, 100)], (0, 100)),
        ("drained", {"leaving": {"a": DRAIN}}, GROUPS, {"b": 1.0}, [("a", DRAIN, 100)], (0, 100)),
        ("removed", {"leaving": {"a": REMOVED}}, GROUPS, {"b": 1.0}, [("a", REMOVED, 100)], (0, 100)),
        (
            "fenced",
            {},
            {"x": (100, {"b": 2, "c": 3}), "y": (100, NEAR_B)},
            {"b": 1.0},
            [("a", FENCE, 100)],
            (0, 100),
        ),
        ("dearer than elsewhere", {}, {"x": (100, NEAR_B), "y": (100, NEAR_B)}, {"a": 0.96, "b": 0.04}, [], (4, 0)),
        ("too little dearer", {}, {"x": (100, {"a": 2.3, "b": 2}), "y": (100, NEAR_B)}, {"a": 1.0}, [], (0, 0)),
    ],
)  # fmt: skip
def test_what_moves_and_why(why, more, groups, expected, forced, moved_mbps):
    made = made_of(EDGES, groups, ON_A, version="v1", **more)
    assert shares(made.plan, "x") == expected, why
    assert [(edge, reason, bps // MBPS) for edge, reason, bps in made.plan.forced] == forced
    assert (made.report.moved_bps // MBPS, made.report.forced_bps // MBPS) == moved_mbps
    assert made.plan.base == "v0"
    assert made.plan.caps == (), "an edge that is lost is no limit"


def test_relief_is_forced_and_told():
    made = made_of({**EDGES, "a": ("p", 100)}, {"x": (150, NEAR_A), "y": (100, NEAR_B)}, ON_A)
    assert made.plan.forced == (Forced("a", RELIEF, made.report.forced_bps),)
    assert loads(made.plan, ("a", "b", "c"))[0] == pytest.approx(95 * MBPS, rel=1e-4)


def test_rounds_come_to_the_optimum_and_stay_there():
    given = grown(3)
    made = plan_round(given, no_clock)
    rng = np.random.default_rng(1)
    given = following(given, made)
    cost = given.candidates.cost * np.exp(rng.normal(0, 0.5, len(given.candidates.cost)))
    given = replace(given, candidates=replace(given.candidates, cost=cost), rules=replace(given.rules, churn=0.1))
    free = plan_round(replace(given, limited=False), no_clock)
    assert free.report.moved_bps > 0.1 * free.report.demand_bps
    waiting = []
    for _ in range(40):
        step = plan_round(given, no_clock)
        assert step.report.moved_bps <= 0.02 * step.report.demand_bps + 1
        assert moved(made.plan, step.plan) <= 0.02 + (step.report.forced_bps + 1e5) / step.report.demand_bps
        waiting.append(step.report.waiting_bps)
        made, given = step, following(given, step)
        if step.plan.rows == given.before.rows and not step.report.moved_bps:
            break
    assert waiting[-1] == made.report.moved_bps == made.report.forced_bps == 0
    assert waiting[0] > 0.05 * made.report.demand_bps
    # Nothing is left but what the deadband and the price of moving hold back
    assert made.solution.parts.routes <= free.solution.parts.routes * 1.02
    assert plan_round(given, no_clock).plan.rows == made.plan.rows


def test_noise_below_the_deadband_moves_nothing():
    given = grown(4, use=0.5)
    made = plan_round(given, no_clock)
    rng = np.random.default_rng(2)
    first = made.plan.rows
    for _ in range(8):
        noise = np.exp(rng.normal(0, 0.02, len(given.groups.keys)))
        groups = Groups(given.groups.keys, (grown(4, use=0.5).groups.demand_bps * noise).astype(np.int64))
        given = following(given, made, groups=groups)
        made = plan_round(given, no_clock)
        assert made.report.moved_bps == made.report.forced_bps == 0
        assert [row.primaries for row in made.plan.rows] == [row.primaries for row in first]


def test_no_edge_is_above_its_cap_that_was_not_before():
    given = grown(5, use=0.8)
    made = plan_round(given, no_clock)
    rng = np.random.default_rng(3)
    caps = 0.95 * given.sites.edge_capacity_bps
    for _ in range(6):
        demand = (grown(5).groups.demand_bps * np.exp(rng.normal(0, 0.2, 120))).astype(np.int64)
        given = following(given, made, groups=Groups(given.groups.keys, demand))
        today = dict(zip(given.groups.keys, demand.tolist(), strict=True))
        stood = loads(
            replace(made.plan, rows=tuple(row._replace(demand_bps=today[row[:4]]) for row in made.plan.rows)),
            given.sites.edges,
        )
        made = plan_round(given, no_clock)
        after = loads(made.plan, given.sites.edges)
        allowed = np.maximum(np.maximum(stood, caps), made.solution.edges.load_bps)
        assert (after <= allowed * (1 + 2e-4) + 1000).all()


def test_equal_input_gives_an_equal_plan_also_with_edges_in_another_order():
    given = grown(6)
    assert plan_round(given, no_clock).plan == plan_round(given, no_clock).plan
    made = made_of(EDGES, GROUPS)
    other = made_of(dict(reversed(EDGES.items())), GROUPS)
    assert made.plan.rows == other.plan.rows


def test_a_group_that_is_new_starts_at_its_aim_but_where_a_coarser_row_had_it():
    made = made_of(EDGES, {**GROUPS, "new": (100, NEAR_B)}, ON_A)
    assert shares(made.plan, "new") == {"b": 1.0}
    assert made.report.moved_bps == 0
    coarse = Plan("v0", rows=(*ON_A.rows, PlanRow(SERVICE, "CN", "", "", (("a", 65535),))), issued_at_ms=NOW_MS)
    made = made_of(EDGES, {**GROUPS, "new": (100, NEAR_B)}, coarse)
    assert shares(made.plan, "new") == {"a": 0.94, "b": 0.06}


def test_silent_groups_keep_their_rows():
    made = made_of(EDGES, {"x": (100, NEAR_A)}, ON_A)  # y is not there
    assert [row.isp for row in made.plan.rows] == ["x", "y"]
    assert made.plan.rows[1] == ON_A.rows[1]._replace(demand_bps=0)
    made = made_of(EDGES, {"x": (100, NEAR_A), "y": (0, NEAR_A)}, ON_A)  # y is there, and asks for nothing
    assert shares(made.plan, "y") == {"b": 1.0}
    assert made.plan.rows[1].backups == ("a", "c")


def test_a_forced_round_leaves_no_room_for_what_need_not_be():
    groups = {"x": (100, NEAR_A), "y": (100, {"a": 2, "b": 5, "c": 1})}
    quiet = made_of(EDGES, groups, ON_A)
    assert quiet.report.moved_bps == 4 * MBPS
    made = made_of(EDGES, groups, ON_A, leaving={"a": DOWN})
    assert (made.report.moved_bps, made.report.forced_bps) == (0, 100 * MBPS)


def test_load_that_is_heavier_than_planned_takes_room():
    known = {"a": PlannedEdge(100 * MBPS), "b": PlannedEdge(100 * MBPS), "c": PlannedEdge(0)}
    plan = before(("x", (("a", 65535),), ()), ("y", (("b", 65535),), ()), edges=known)
    edges = {"a": ("p", 130), "b": ("q", 1000), "c": ("r", 1000)}
    made = made_of(edges, GROUPS, plan, load={"a": 120, "b": 90})
    assert made.plan.edges["a"].factor_milli == pytest.approx(1100, abs=3)
    assert 900 < made.plan.edges["b"].factor_milli < 1000
    assert made.plan.edges["c"] == PlannedEdge(0)
    assert made.report.surprise.tolist() == [
        pytest.approx(20 / 130),
        pytest.approx(-0.01),
        pytest.approx(math.nan, nan_ok=True),
    ]
    assert made.report.surprise_total == pytest.approx(30 / 1130)
    assert "a" in {cap.name for cap in made.plan.caps}  # its room is 130 / 1.1


@pytest.mark.parametrize(("measured", "milli"), [(None, 938), (50, 1000)])
def test_loads_are_compared_with_what_is_asked_for_now_and_not_with_what_is_expected(measured, milli):
    """A stream is going to begin: twice as much is planned for as is asked for by now."""
    known = {"a": PlannedEdge(100 * MBPS), "b": PlannedEdge(0), "c": PlannedEdge(0)}
    plan = before(("x", (("a", 65535),), ()), edges=known)
    plan = replace(plan, rows=(plan.rows[0]._replace(demand_bps=100 * MBPS),))
    given = round_of(EDGES, {"x": (100, NEAR_A)}, plan, load={"a": 50})
    if measured is not None:
        given = replace(given, measured_bps=np.array([measured * MBPS], dtype=np.int64))
    made = plan_round(given, no_clock)
    assert made.plan.edges["a"].factor_milli == pytest.approx(milli, abs=1)
    assert made.report.surprise_total > 0  # the projection was of what was expected


def test_projections_follow_viewers_who_stay_until_their_session_ends():
    known = {"a": PlannedEdge(100 * MBPS), "b": PlannedEdge(100 * MBPS), "c": PlannedEdge(0)}
    plan = before(("x", (("a", 65535),), ()), ("y", (("b", 65535),), ()), edges=known)
    given = replace(round_of(EDGES, {"x": (100, {"a": 2, "c": 1}), "y": (100, NEAR_B)}, plan), limited=False)
    made = plan_round(given, no_clock)
    assert shares(made.plan, "x") == {"c": 1.0}
    left = 100 * math.exp(-60 / 620)
    assert made.plan.edges["a"].projected_bps == pytest.approx(left * MBPS, rel=1e-6)
    assert made.plan.edges["c"].projected_bps == pytest.approx((100 - left) * MBPS, rel=1e-6)
    after = plan_round(following(given, made), no_clock)
    assert after.plan.edges["a"].projected_bps == pytest.approx(100 * math.exp(-120 / 620) * MBPS, rel=1e-4)
    assert after.plan.edges["c"].projected_bps + after.plan.edges["a"].projected_bps == pytest.approx(100 * MBPS)
    gone = plan_round(following(given, made, live=Live((DOWN, "", ""), given.live.load_bps)), no_clock)
    assert gone.plan.edges["a"].projected_bps == 0


def test_limits_above_edges_are_in_planned_demand_too():
    """Edges that weigh 1.2 each let their PoP, region and network carry less."""
    given = round_of(EDGES, {"x": (100, {"a": 1.0, "b": 1.5})})
    sites = replace(
        given.sites,
        regions=("east",),
        region_of_pop=np.array([0, NOWHERE, NOWHERE]),
        pop_capacity_bps=np.array([90 * MBPS, 10**12, 10**12]),
        region_capacity_bps=np.array([80 * MBPS]),
        network_capacity_bps=10**12,
        pop_minimum_bps=np.array([0, 12 * MBPS, 0]),
        edge_minimum_bps=np.array([6 * MBPS, 0, 0]),
        region_minimum_bps=np.array([6 * MBPS]),
        network_minimum_bps=MBPS,
    )
    heavy = Plan("v0", issued_at_ms=NOW_MS, edges={edge: PlannedEdge(0, 0, 1200) for edge in EDGES})
    rules = replace(DispatchRules(), knee=0.9, hard=0.9)
    light = plan_round(replace(given, sites=sites, rules=rules), no_clock)
    assert loads(light.plan, tuple(EDGES))[0] == pytest.approx(72 * MBPS, rel=1e-3)
    made = plan_round(replace(given, sites=sites, rules=rules, before=heavy), no_clock)
    assert loads(made.plan, tuple(EDGES))[0] == pytest.approx(60 * MBPS, rel=1e-3)
    assert ("region", "east", 80 * MBPS) in [cap[:3] for cap in made.plan.caps]


def test_a_service_that_is_renamed_is_planned_anew_and_nothing_counts_as_moved():
    old = replace(ON_A, rows=tuple(row._replace(service="old.example.") for row in ON_A.rows))
    made = made_of(EDGES, GROUPS, old)
    assert [row.service for row in made.plan.rows] == [SERVICE, SERVICE]
    assert made.plan.forced == (Forced("a", REMOVED, 100 * MBPS), Forced("b", REMOVED, 100 * MBPS))
    assert (made.report.moved_bps, made.report.forced_bps, shift(made.plan, old)) == (0, 0, 0.0)
    # An edge that has two reasons of one kind is told once
    both = replace(old, rows=(*old.rows, PlanRow(SERVICE, "CN", "", "x", (("z", 65535),), ("a",), 9)))
    both = replace(both, rows=(*both.rows, PlanRow("old.example.", "DE", "", "x", (("z", 65535),), (), 5 * MBPS)))
    assert Forced("z", REMOVED, 105 * MBPS) in made_of(EDGES, GROUPS, both).plan.forced


def test_a_world_without_edges_or_groups_makes_an_empty_plan():
    made = made_of(EDGES, {})
    assert (made.plan.rows, made.report.demand_bps, made.report.shortfalls) == ((), 0, ())
    assert made_of(EDGES, {}, ON_A).plan.rows == ()
