"""Steering against its own rules (`gslbtest.words`): random networks, states, overrides and plans.

Networks are written as zone files and compiled; what the rows and the explanation say of each client is compared with
what follows from the words.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from gslbtest.examples import examples
from gslbtest.words import LEVELS, NOW_MS, TTL_S, VIEWS, Edge, G, Net, T, Words
from gslbtest.world import RESOLVER, World, world
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.answer.explain import explain
from gslb.model.override import Override, Target
from gslb.model.plan import PLAN_SUM, Plan, PlanRow
from gslb.model.report import Report, StoreState
from gslb.snapshot import layout, steering
from gslb.wire.query import Ecs


@st.composite
def nets(draw: Any) -> Net:
    edges = [
        Edge(
            f"e{at}",
            *draw(st.sampled_from([("DE", "BE"), ("DE", "BY"), ("FR", "IDF"), ("US", "TX")])),
            draw(st.sampled_from(["", "dtag", "voda", "any"])),
            draw(st.sampled_from([0, 1, 60, 100, 100])),
            draw(st.sampled_from(["46", "46", "4", "6"])),
            draw(st.sampled_from([0, 10 * G, 40 * G])),
            draw(st.sampled_from(["", "", "", "DE"])),
        )
        for at in range(draw(st.integers(1, 6)))
    ]
    affinity = sorted(draw(st.sets(st.sampled_from(LEVELS), min_size=1)), key=LEVELS.index)
    return Net(edges, affinity, draw(st.sampled_from([0, 0.2, 0.5])), draw(st.booleans()), draw(st.booleans()))


@st.composite
def states(draw: Any) -> StoreState:
    reports, seen = {}, {}
    ids = [f"e{at}" for at in range(7)]
    for edge in draw(st.sets(st.sampled_from(ids))):
        health = st.sampled_from(["up", "up", "up", "down", "drain"])
        four = draw(health)
        received = NOW_MS - draw(st.sampled_from([0, 0, 0, 3000, 4000, 10_000, 12_000, 75_000]))
        seen[edge] = received
        reports[edge] = Report(
            edge, 1, 1, received,
            since_ms=draw(st.sampled_from([0, NOW_MS - 30_000, NOW_MS - 70_000])),
            health4=four,
            health6=draw(st.one_of(st.just(four), health)),
            load_bps=draw(st.sampled_from([0, 5 * G, 9 * G, 9_800_000_000, 33 * G, 37 * G, 41 * G])),
            capacity_bps=draw(st.sampled_from([0, 0, 10 * G, 40 * G])),
            headroom_milli=draw(st.sampled_from([-1, -1, 0, 300, 1000])),
            valid_ms=draw(st.sampled_from([0, 0, 2000, 60_000])),
            slow_since_ms=draw(st.sampled_from([0, 0, NOW_MS - 45_000])),
        )  # fmt: skip
        if draw(st.integers(0, 9)) == 0:
            del reports[edge]
    overrides = {}
    for at in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(["drain", "ramp", "pin"]))
        service = draw(st.sampled_from(["", "live.x.test.", "play.x.test.", "gone.x.test."]))
        view = draw(st.sampled_from(["", "", "DE||", "DE|BE|", "||dtag", "DE|BY|dtag", "BR||"]))
        target = draw(st.sampled_from([Target("e1"), Target("e2"), Target("e9"), Target("", "de"), Target("", "us")]))
        begin = T + draw(st.sampled_from([-5000, -650, -300, -70, -20, 0, 40, 100]))
        overrides[f"o{at}"] = Override(
            f"o{at}", kind,
            Target(service=service or "live.x.test.", view=view) if kind == "pin"
            else Target(target.edge, target.pop, service, view),
            begin, begin + draw(st.sampled_from([0, 10, 270, 620, 4970, 9000])),
            over_s=0 if kind == "pin" else draw(st.sampled_from([0, 0, 40, 600])),
            value_milli=draw(st.sampled_from([10, 250, 900])) if kind == "ramp" else 0,
            edges=tuple(draw(st.lists(st.sampled_from(ids), min_size=1, max_size=3, unique=True))) * (kind == "pin"),
            reason="x",
        )  # fmt: skip
    plan = None
    if draw(st.booleans()):
        rows = []
        for key in draw(st.sets(st.sampled_from(["DE|BE|dtag", "DE||dtag", "DE||", "FR||", "||"]), min_size=1)):
            used = draw(st.lists(st.sampled_from(ids[:6]), min_size=2, max_size=4, unique=True))
            first = draw(st.sampled_from([0, 10_000, 40_000]))
            primaries = (used[0], first), (used[1], PLAN_SUM - first)
            rows.append(PlanRow("live.x.test.", *key.split("|"), primaries, tuple(used[2:])))
        hold = NOW_MS + draw(st.sampled_from([3000, 3000, 0, -9000, -10_000, -300_000, -595_000, -600_000]))
        effective = draw(st.sampled_from([hold - 3_600_000, hold - 3_600_000, min(hold, NOW_MS + 1000)]))
        plan = Plan("v1", "", 0, effective, hold, tuple(sorted(rows)))
    return StoreState(NOW_MS, reports, seen, overrides=overrides, plan=plan)


def compiled(net: Net) -> World:
    edges = "".join(
        f"  {edge.id}: {{pop: {edge.country.lower()}, location: {{country: {edge.country}, region: {edge.region},"
        f" lat: 1, lon: 1}}, addresses: {{"
        + ", ".join(
            [f"v4: [203.0.113.{at + 1}]"] * ("4" in edge.families)
            + [f"v6: ['2001:db8::{at + 1}']"] * ("6" in edge.families)
        )
        + "}"
        + f", capacity: {edge.capacity}bps" * (edge.capacity > 0)
        + f", isps: [{edge.isp}]" * bool(edge.isp)
        + f", fence: [{edge.fence}]" * bool(edge.fence)
        + "}\n"
        for at, edge in enumerate(net.edges)
    )
    policy = (
        f"pool: all, affinity: [{', '.join(net.affinity)}], panic: {net.panic},"
        f" on_all_down: {'closed' if net.closed else 'open'}"
    )
    return world(
        {
            "zones/edges.yaml": "edges:\n" + edges,
            "zones/isps.yaml": "isps: {dtag: {asns: [3320]}, voda: {asns: [3209]}}\n",
            "zones/x.yaml": "zone: x.test.\nsoa: {mname: ns1, rname: h}\nrecords: {'@': {NS: ns1.other.test.}}\n"
            f"services:\n  live: {{{policy}, ttl: 20, dispatch: {str(net.dispatch).lower()}}}\n"
            f"  play: {{{policy}, ttl: 60}}\n"
            f"pools:\n  all: {{{', '.join(f'{edge.id}: {edge.weight}' for edge in net.edges)}}}\n",
        },
        {
            "data/isp/net.csv": "prefix,isp,country,region\n"
            + "".join(
                f"198.51.{at}.0/24,{isp},{country},{region}\n" for at, (country, region, isp) in enumerate(VIEWS[:-1])
            )
        },
    )


FLAGS = {
    "changing": layout.ROW_CHANGING,
    "open": layout.ROW_FAIL_OPEN,
    "planned": layout.ROW_PLANNED,
    "pinned": layout.ROW_PINNED,
}


@settings(derandomize=True, deadline=None, max_examples=examples(250))
@given(nets(), states(), st.sampled_from([0, 1]))
def test_rows_and_explanations_say_what_the_rules_say(net: Net, state: StoreState, later_s: int) -> None:
    quiet = compiled(net)
    steered = quiet.steered(state, NOW_MS + later_s * 1000 + 999)
    catalog, table = steered.catalog, steered.steering
    for service in TTL_S:
        name = bytes((4,)) + service.encode() + b"\1x\4test\0"
        number = catalog.names[catalog.find(name)].service
        first = table.first(number, catalog.policies[catalog.services[number].policy].row)
        for at, view in enumerate(VIEWS):
            ecs = Ecs(1, 24, bytes((198, 51, at, 0)), b"")
            told = explain(catalog, table, name, ecs, RESOLVER)
            both = {family: Words(net, state, T + later_s, service, view, family) for family in "46"}
            for family, words in both.items():
                row = table.row(first + told.cls, family == "6")
                found = {catalog.edge_ids[edge]: weight for edge, weight in zip(row.edges, row.weights, strict=True)}
                wanted = pytest.approx({edge: float(share) for edge, share in words.row.items()}, rel=2e-3, abs=2e-4)
                why = (service, view, family)
                assert {flag for flag, bit in FLAGS.items() if row.flags & bit} == words.flags, why
                assert dict(zip(found, row.levels, strict=True)) == words.levels, why
                assert {edge: weight / sum(found.values()) for edge, weight in found.items()} == wanted, why
                shown = {each.edge: getattr(each, f"share_v{family}") for each in told.candidates}
                assert {edge: share for edge, share in shown.items() if share} == wanted, why
                assert all((each.excluded == "") == (each.share_v4 + each.share_v6 > 0) for each in told.candidates)
                answer = told.answers[family == "6"]
                short = words.flags & {"changing", "open"} or not words.row
                assert answer.ttl_s == (5 if short else TTL_S[service]), why
                assert set(answer.edges) <= set(words.row), why
            lasts = [
                words.levels.values() for words in both.values() if not words.flags & {"open", "pinned", "planned"}
            ]
            for each in told.candidates:
                if each.excluded.startswith("not needed"):
                    assert all(last <= each.level for levels_of in lasts for last in levels_of), why
                elif each.excluded.startswith("no room"):
                    assert any(last > each.level for levels_of in lasts for last in levels_of), why
                elif each.excluded.endswith("pins others"):
                    assert any("pinned" in words.flags for words in both.values()), why
                elif each.excluded in ("no headroom", "overrides leave it no weight"):
                    edge = next(edge for edge in net.edges if edge.id == each.edge)
                    assert not any(words.effective(edge) for words in both.values()), why
            assert told.scope == explain(catalog, quiet.steering, name, ecs, RESOLVER).scope, "scopes know no state"


@settings(derandomize=True, deadline=None, max_examples=40)
@given(nets(), states())
def test_the_order_in_which_a_store_tells_is_nothing(net: Net, state: StoreState) -> None:
    arrays = compiled(net).catalog.arrays
    backwards = dataclasses.replace(
        state,
        **{key: dict(reversed(getattr(state, key).items())) for key in ("reports", "seen", "overrides")},
        plan=state.plan and dataclasses.replace(state.plan, rows=state.plan.rows[::-1]),
    )
    one, other = (steering.build(arrays, each, NOW_MS) for each in (state, backwards))
    assert {name: part.tobytes() for name, part in one.items()} == {
        name: part.tobytes() for name, part in other.items()
    }


def test_a_level_without_room_is_told() -> None:
    """The upper level died under load; the next one lives and has nothing to spare, so the last gets it all."""
    net = Net(
        [Edge(f"e{at}", country, "X", "", 100, "46", 10 * G, "") for at, country in enumerate(("DE", "FR", "US"))],
        ["country", "continent", "any"],
        0.2,
        closed=False,
        dispatch=False,
    )
    reports = {
        edge: Report(edge, 1, 1, NOW_MS, health4=health, health6=health, load_bps=load * G, headroom_milli=1000)
        for edge, health, load in (("e0", "down", 9), ("e1", "up", 10), ("e2", "up", 1))
    }
    steered = compiled(net).steered(StoreState(NOW_MS, reports), NOW_MS)
    ecs = Ecs(1, 24, bytes((198, 51, 0, 0)), b"")
    told = explain(steered.catalog, steered.steering, b"\4live\1x\4test\0", ecs, RESOLVER)
    assert {each.edge: each.excluded for each in told.candidates} == {
        "e0": "down",
        "e1": "no room: its level has no bits to spare",
        "e2": "",
    }
