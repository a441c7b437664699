"""Metrics of live state: values of a state by hand, all of them as promtool wants them, and what labels may hold."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from gslbtest.asking import ask
from gslbtest.process import SOON_S, program
from gslbtest.serving import Server
from gslbtest.world import world

from gslb.model.override import Override, Target
from gslb.model.plan import Plan, PlanRow
from gslb.model.report import DOWN, Report, StoreState
from gslb.server import cells, live_metrics
from gslb.server.durations import RELOAD_S, STEERING_S, Durations
from gslb.server.live import Served, Tables, known_space
from gslb.server.live_metrics import Moment
from gslb.server.metrics import Scrape, exposition
from gslb.server.status import Live, RefusedPlan, Status
from gslb.snapshot import steering
from gslb.snapshot.steering import Steering

NOW_S = 1_795_530_600
NOW_MS = NOW_S * 1000
LABELS = {
    "transport", "family", "qtype", "rcode", "outcome", "edge", "action", "reason", "version", "generation", "result",
    "service", "level", "kind", "state", "le",
}  # fmt: skip
"""Every label there is: what each may be is bounded by files, by `cells`, or by the vocabulary."""

Samples = dict[str, float]


@pytest.fixture(autouse=True)
def dispatched(small: dict[str, str]) -> None:
    small["live.yaml"] = small["live.yaml"].replace(
        "services:\n", "services:\n  p: {pool: all, affinity: [any], dispatch: true}\n"
    )


def state() -> StoreState:
    """sha down in IPv6, full and slow; fra silent; overrides of each kind and state; a plan of which half is wrong."""

    def order(name: str, begin_s: int, end_s: int, kind: str = "drain", **more: Any) -> Override:
        target = Target(service="pull.live.example.") if kind == "pin" else Target(edge="sha", view="CN||")
        return Override(name, kind, target, NOW_S + begin_s, NOW_S + end_s, **more)

    overrides = [
        order("a", -5, 5), order("b", 5, 9), order("c", 6, 9), order("d", -9, -5),
        order("p", -1, 5, "pin", edges=("fra",)),
    ]  # fmt: skip
    rows = (
        PlanRow("p.live.example.", "CN", "", "", (("fra", 65535),)),
        PlanRow("p.live.example.", "DE", "", "", (("nyc", 65535),)),
    )
    reports = {
        "sha": Report("sha", 1, 1, NOW_MS - 500, health6=DOWN, load_bps=875, capacity_bps=1000, headroom_milli=400),
        "fra": Report("fra", 1, 1, NOW_MS - 5_000),
    }
    return StoreState(
        now_ms=NOW_MS,
        reports=reports,
        seen={edge: report.received_ms for edge, report in reports.items()},
        overrides={each.id: each for each in overrides},
        plan=Plan("v7", effective_at_ms=NOW_MS - 1, hold_until_ms=NOW_MS + 60_000, rows=rows),
    )


def scraped(small: dict[str, str], held: StoreState, told: Live, drawn: dict[str, float]) -> bytes:
    catalog = world({f"zones/{name}": text for name, text in small.items()}).catalog
    steered = Steering(steering.build(catalog.arrays, held, NOW_MS))
    served = Served(catalog, steered, held, NOW_MS)
    status = Status("1", "id", 1, 0.0, True, (), "", "memory://", live=told)
    steerings = Durations(STEERING_S)
    steerings.add(0.003)
    moment = Moment(served, Tables(served, known_space(catalog)), drawn)
    counters = [cells.attach(cells.create())]
    return exposition(Scrape(status, counters, {}, 0, Durations(RELOAD_S), steerings, lambda: moment))


def samples(text: bytes) -> Samples:
    lines = [line for line in text.decode().splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


AWAY = Live(
    False, 12.5, NOW_MS - 4_000, NOW_MS, {"{gslb}:report:x": "seq: is missing"}, 2, "v7", 77.0, "disk full",
    plan_age_s=61.5, plan_refused=(RefusedPlan("v8", "shift", "much"),), plan_refusals={"shift": 2, "sums": 1},
)  # fmt: skip


def test_values(small: dict[str, str]) -> None:
    found = samples(scraped(small, state(), AWAY, {"sha": 0.25}))
    wanted = {
        "gslb_store_connected": 0,
        "gslb_state_age_seconds": 12.5,
        "gslb_store_faults": 1,
        "gslb_store_time_lag_seconds": 4,
        "gslb_state_not_saved": 1,
        "gslb_state_saved_timestamp_seconds": 77,
        'gslb_edge_health{edge="sha",family="ipv4"}': 1,
        'gslb_edge_health{edge="sha",family="ipv6"}': 0,
        'gslb_edge_health{edge="fra",family="ipv4"}': 2,
        'gslb_edge_report_age_seconds{edge="sha"}': 0.5,
        'gslb_edge_report_age_seconds{edge="fra"}': 5,
        'gslb_edge_headroom_ratio{edge="sha"}': 0.4,
        'gslb_edge_headroom_ratio{edge="fra"}': 1,
        'gslb_edge_ramp_ratio{edge="sha"}': 1,
        'gslb_edge_silence_held{edge="fra"}': 0,
        'gslb_edge_drawn_share{edge="sha"}': 0.25,
        'gslb_edge_drawn_share{edge="fra"}': 0,
        "gslb_edges_reported": 2,
        'gslb_service_fail_open_ratio{service="pull.live.example."}': 0,
        'gslb_service_no_edge_ratio{service="pull.live.example."}': 0,
        # Everybody is pinned to Frankfurt.
        'gslb_service_level_share{level="country",service="pull.live.example."}': 0,
        'gslb_service_level_share{level="pin",service="pull.live.example."}': 1,
        'gslb_service_level_share{level="plan",service="p.live.example."}': 0.5,
        'gslb_service_level_share{level="any",service="p.live.example."}': 0.5,
        "gslb_services_failing_open": 0,
        'gslb_overrides{kind="drain",state="active"}': 1,
        'gslb_overrides{kind="drain",state="scheduled"}': 2,
        'gslb_overrides{kind="drain",state="ended"}': 1,
        'gslb_overrides{kind="pin",state="active"}': 1,
        'gslb_overrides{kind="ramp",state="active"}': 0,
        'gslb_plan_info{version="v7"}': 1,
        "gslb_plan_acting": 1,
        "gslb_plan_faded_ratio": 0,
        "gslb_plan_age_seconds": 61.5,
        'gslb_plan_refused_total{reason="shift"}': 2,
        'gslb_plan_refused_total{reason="sums"}': 1,
        'gslb_plan_refused_total{reason="fence"}': 0,
        'gslb_plan_refused_info{reason="shift",version="v8"}': 1,
        "gslb_plan_hold_until_timestamp_seconds": NOW_S + 60,
        "gslb_plan_rows": 2,
        "gslb_plan_rows_skipped": 1,
        'gslb_steering_build_seconds_bucket{le="0.0025"}': 0,
        'gslb_steering_build_seconds_bucket{le="0.005"}': 1,
        "gslb_steering_build_seconds_count": 1,
        "gslb_reload_seconds_count": 0,
    }  # fmt: skip
    assert {name: found.get(name) for name in wanted} == pytest.approx(wanted)
    # p goes to Frankfurt by its plan in China, and by local policy, half and half, in Germany.
    assert 0.5 < found['gslb_edge_computed_share{edge="fra"}'] < 1


def test_a_plan_that_fades(small: dict[str, str]) -> None:
    """Its part of the clients is said to be the plan's until it has faded."""
    for after_s, wanted in ((0, (1, 0.0, 0.5)), (300, (1, 0.5, 0.5)), (600, (0, 1.0, None))):
        held = state()
        assert held.plan is not None
        held = replace(held, plan=replace(held.plan, hold_until_ms=NOW_MS - after_s * 1000, effective_at_ms=0))
        found = samples(scraped(small, held, Live(), {}))
        level = 'gslb_service_level_share{level="plan",service="p.live.example."}'
        assert (found["gslb_plan_acting"], found["gslb_plan_faded_ratio"], found.get(level)) == wanted


def test_of_a_store_that_holds_nothing(small: dict[str, str]) -> None:
    found = samples(scraped(small, StoreState(), Live(connected=True, clock_ms=NOW_MS), {}))
    assert (found["gslb_store_connected"], found["gslb_store_time_lag_seconds"]) == (1, 0)
    assert (found["gslb_plan_acting"], found["gslb_plan_hold_until_timestamp_seconds"]) == (0, 0)
    assert 'gslb_edge_report_age_seconds{edge="sha"}' not in found
    assert not any(name.startswith(("gslb_plan_info{", "gslb_plan_age_", "gslb_plan_refused_info")) for name in found)
    assert found['gslb_plan_refused_total{reason="checksum"}'] == 0
    assert found['gslb_edge_health{edge="sha",family="ipv4"}'] == 1


def test_before_anything_is_served() -> None:
    scrape = Scrape(
        Status("1", "id", 1, 0.0, False, (), "", "memory://"), [], {}, 0,
        Durations(RELOAD_S), Durations(STEERING_S), lambda: None,
    )  # fmt: skip
    found = samples(exposition(scrape))
    assert (found["gslb_ready"], found["gslb_store_connected"]) == (0, 0)
    assert not any(name.startswith(("gslb_edge_health", "gslb_service_", "gslb_plan_acting")) for name in found)


def test_promtool_finds_nothing(small: dict[str, str]) -> None:
    text = scraped(small, state(), AWAY, {"sha": 1.0})
    line = [program("promtool"), "check", "metrics"]
    done = subprocess.run(line, input=text, capture_output=True, timeout=SOON_S, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def labels(text: str) -> dict[str, dict[str, set[str]]]:
    """Metric → label → its values."""
    found: dict[str, dict[str, set[str]]] = {}
    for name, inside in re.findall(r"^(gslb_\w+)(?:\{(.*)\})? \S+$", text, re.MULTILINE):
        of = found.setdefault(name, {})
        for label, value in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', inside):
            of.setdefault(label, set()).add(value)
    return found


def test_labels_are_bounded(asked: Server, admin_of: Callable[[Server], Any]) -> None:
    """No name that was asked for, no client, and no product of services and edges."""
    for number in range(20):
        ask(asked.port, f"stream-{number}.live.example.", subnet="198.51.100.0/24")
        ask(asked.port, "pull.live.example.", subnet=f"203.0.{number}.0/24")
    text = admin_of(asked).ask("GET", "/metrics", None)[1].decode()
    found = labels(text)
    assert {label for of in found.values() for label in of} <= LABELS
    assert [name for name, of in found.items() if {"service", "edge"} <= of.keys()] == []
    values = {value for of in found.values() for each in of.values() for value in each}
    assert [each for each in values if "stream-" in each or "198.51.100" in each or "203.0." in each] == []
    assert found["gslb_service_fail_open_ratio"] == {"service": {"pull.live.example."}}
    assert found["gslb_edge_health"]["edge"] == {"sha", "fra"}


def test_services_beyond_the_limit_have_no_metrics_of_their_own(
    small: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_metrics, "MAX_SERVICES", 1)
    held = StoreState(
        now_ms=NOW_MS, reports={edge: Report(edge, 1, 1, NOW_MS, health4=DOWN) for edge in ("sha", "fra")}
    )
    found = samples(scraped(small, held, Live(), {}))
    assert [name for name in found if name.startswith("gslb_service_fail_open_ratio")] == [
        'gslb_service_fail_open_ratio{service="p.live.example."}'
    ]
    assert found["gslb_services_failing_open"] == 2
