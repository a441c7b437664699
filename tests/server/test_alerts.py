"""The sample alerts: each fires in its case and in no other, says what to do, and asks for metrics that there are."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from gslbtest.process import SOON_S, program
from gslbtest.serving import Server

HOUR = "60m"
STEPS = 240
"""An hour of samples, 15 s apart."""
A, B = 'instance="a"', 'instance="b"'
WELL = {
    f"up{{{A}}}": "1",
    f"gslb_ready{{{A}}}": "1",
    f'gslb_edge_health{{{A},edge="sha",family="ipv4"}}': "1",
    f'gslb_edge_health{{{A},edge="sha",family="ipv6"}}': "1",
    f'gslb_edge_report_age_seconds{{{A},edge="sha"}}': "1",
    f'gslb_edge_headroom_ratio{{{A},edge="sha"}}': "0.5",
    f'gslb_edge_silence_held{{{A},edge="sha"}}': "0",
    f'gslb_edge_silence_held{{{A},edge="fra"}}': "0",
    f'gslb_edge_computed_share{{{A},edge="sha"}}': "0.5",
    f'gslb_edge_drawn_share{{{A},edge="sha"}}': "0.6",
    f'gslb_edge_answers_total{{{A},edge="sha"}}': "+3000",
    f"gslb_fail_open_answers_total{{{A}}}": "0",
    f'gslb_service_fail_open_ratio{{{A},service="pull.live.example."}}': "0",
    f'gslb_service_no_edge_ratio{{{A},service="pull.live.example."}}': "0",
    f"gslb_plan_rows{{{A}}}": "10",
    f"gslb_plan_acting{{{A}}}": "1",
    f"gslb_plan_rows_skipped{{{A}}}": "0",
    f"gslb_plan_age_seconds{{{A}}}": "65",
    f"gslb_plan_faded_ratio{{{A}}}": "0",
    f"gslb_state_age_seconds{{{A}}}": "0",
    f"gslb_store_connected{{{A}}}": "1",
    f"gslb_store_faults{{{A}}}": "0",
    f"gslb_state_not_saved{{{A}}}": "0",
    f"gslb_reload_failed{{{A}}}": "0",
    f"gslb_reload_pending{{{A}}}": "0",
    f"gslb_reload_not_remembered{{{A}}}": "0",
    f'gslb_catalog_info{{{A},generation="11"}}': "1",
    f'gslb_catalog_info{{{B},generation="11"}}': "1",
    f"gslb_engine_errors_total{{{A}}}": "0",
    f"gslb_worker_restarts_total{{{A}}}": "0",
    f"gslb_udp_receive_drops_total{{{A}}}": "0",
    f"gslb_udp_missed_dropped_total{{{A}}}": "0",
    f'gslb_query_log_lost_total{{{A},reason="disk"}}': "0",
    f"gslb_query_log_failing{{{A}}}": "0",
}
"""A server that is well: series without their job, and the value that stands, or after a + what is added each step."""
SHA, PULL = {"edge": "sha"}, {"service": "pull.live.example."}
ON_A = {"instance": "a"}
DOWN = {f'gslb_edge_health{{{A},edge="sha",family="ipv6"}}': "0"}
AGED = {f'gslb_edge_report_age_seconds{{{A},edge="sha"}}': "+15"}
APART = {f'gslb_edge_drawn_share{{{A},edge="sha"}}': "0.1"}
SEVERAL_DOWN = {
    f'gslb_edge_health{{{B},edge="sha",family="ipv4"}}': "0",
    f'gslb_edge_health{{{B},edge="sha",family="ipv6"}}': "3",
}

Case = tuple[dict[str, str], dict[str, list[dict[str, str]]]]
"""What differs from `WELL`, and the labels of what fires by alert."""
CASES: dict[str, Case] = {
    "all is well": ({}, {}),
    "an edge is down": (DOWN, {"GslbEdgeDown": [SHA | {"family": "ipv6"}]}),
    "another server says so": (SEVERAL_DOWN, {"GslbEdgeDown": [SHA | {"family": "ipv4"}]}),
    "an edge is silent": (AGED, {"GslbEdgeSilent": [SHA]}),
    "and drained": (AGED | {name: "3" for name in WELL if "edge_health" in name}, {}),
    "a continent is silent": (
        {f'gslb_edge_silence_held{{{A},edge="{edge}"}}': "1" for edge in ("sha", "fra")},
        {"GslbSilenceHeld": [ON_A]},
    ),
    "an edge is full": ({f'gslb_edge_headroom_ratio{{{A},edge="sha"}}': "0"}, {"GslbEdgeWithoutHeadroom": [SHA]}),
    "shares are apart": (APART, {"GslbSharesApart": [ON_A | SHA]}),
    "nobody asks": (APART | {f'gslb_edge_answers_total{{{A},edge="sha"}}': "+30"}, {}),
    "a service fails open": (
        {f'gslb_service_fail_open_ratio{{{A},service="pull.live.example."}}': "0.01"},
        {"GslbServiceFailsOpen": [PULL]},
    ),
    "answers fail open": ({f"gslb_fail_open_answers_total{{{A}}}": "+1"}, {"GslbAnswersFailOpen": [ON_A]}),
    "a service has no edge": (
        {f'gslb_service_no_edge_ratio{{{A},service="pull.live.example."}}': "1"},
        {"GslbServiceWithoutEdge": [PULL]},
    ),
    "a plan does not fit": ({f"gslb_plan_rows_skipped{{{A}}}": "1"}, {"GslbPlanRowsSkipped": [ON_A]}),
    "a plan has ended": ({f"gslb_plan_acting{{{A}}}": "0"}, {"GslbPlanNotInForce": [ON_A]}),
    "no new plan comes": ({f"gslb_plan_age_seconds{{{A}}}": "+15"}, {"GslbPlanOld": [ON_A]}),
    "two rounds late": ({f"gslb_plan_age_seconds{{{A}}}": "185"}, {}),
    "a plan fades": ({f"gslb_plan_faded_ratio{{{A}}}": "0.1"}, {"GslbPlanFading": [ON_A]}),
    "a plan has faded": (
        {f"gslb_plan_faded_ratio{{{A}}}": "1", f"gslb_plan_acting{{{A}}}": "0"},
        {"GslbPlanNotInForce": [ON_A]},
    ),
    "a plan is refused": (
        {f'gslb_plan_refused_info{{{A},version="v8",reason="shift"}}': "1"},
        {"GslbPlanRefused": [ON_A | {"version": "v8", "reason": "shift"}]},
    ),
    "no plan": ({f"gslb_plan_acting{{{A}}}": "0", f"gslb_plan_rows{{{A}}}": "0"}, {}),
    "the store is away": (
        {
            f"gslb_state_age_seconds{{{A}}}": "+15",
            f"gslb_store_connected{{{A}}}": "0",
            f"gslb_store_faults{{{A}}}": "1",
        },
        {"GslbStoreAway": [ON_A]},
    ),
    "keys cannot be read": ({f"gslb_store_faults{{{A}}}": "2"}, {"GslbStoreFaults": [ON_A]}),
    "state is not saved": ({f"gslb_state_not_saved{{{A}}}": "1"}, {"GslbStateNotSaved": [ON_A]}),
    "a server is gone": ({f"up{{{A}}}": "0"}, {"GslbServerGone": [ON_A]}),
    "a server is not ready": ({f"gslb_ready{{{A}}}": "0"}, {"GslbNotReady": [ON_A]}),
    "files have errors": ({f"gslb_reload_failed{{{A}}}": "1"}, {"GslbReloadFailed": [ON_A]}),
    "an edit is held": ({f"gslb_reload_pending{{{A}}}": "1"}, {"GslbReloadPending": [ON_A]}),
    "an edit is not remembered": ({f"gslb_reload_not_remembered{{{A}}}": "1"}, {"GslbNotRemembered": [ON_A]}),
    "files differ": (
        {f'gslb_catalog_info{{{B},generation="11"}}': "_", f'gslb_catalog_info{{{B},generation="22"}}': "1"},
        {"GslbCatalogsDiffer": [{}]},
    ),
    "a fault of the engine": ({f"gslb_engine_errors_total{{{A}}}": "+1"}, {"GslbEngineErrors": [ON_A]}),
    "workers die": ({f"gslb_worker_restarts_total{{{A}}}": "+1"}, {"GslbWorkerDied": [ON_A]}),
    "queries are lost": ({f"gslb_udp_receive_drops_total{{{A}}}": "+100"}, {"GslbReceiveDrops": [ON_A]}),
    "records of the query log are lost": (
        {f'gslb_query_log_lost_total{{{A},reason="disk"}}': "+1"},
        {"GslbQueryLogLost": [ON_A | {"reason": "disk"}]},
    ),
    "the query log cannot be written": ({f"gslb_query_log_failing{{{A}}}": "1"}, {"GslbQueryLogFailing": [ON_A]}),
    "the engine cannot keep up": ({f"gslb_udp_missed_dropped_total{{{A}}}": "+100"}, {"GslbMissesDropped": [ON_A]}),
}


@pytest.fixture(scope="module")
def rules() -> dict[str, dict[str, Any]]:
    """Every alert by its name."""
    text = (Path(__file__).parents[2] / "deploy/alerts.yml").read_text()
    found = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in found}) == len(found)
    return {rule["alert"]: rule for rule in found}


def promtool(*arguments: str) -> None:
    done = subprocess.run(
        [program("promtool"), *arguments], capture_output=True, text=True, timeout=SOON_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_fires(rules: dict[str, dict[str, Any]], repo: Path, tmp_path: Path) -> None:
    """All alerts are looked at in every case, an hour after it began; all cases in one run, which names what failed."""
    test = {
        "rule_files": [str(repo / "deploy/alerts.yml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "name": title,
                "interval": "15s",
                "input_series": [
                    {"series": _with_job(name), "values": _values(value)} for name, value in (WELL | changed).items()
                ],
                "alert_rule_test": [
                    {"eval_time": HOUR, "alertname": name, "exp_alerts": [_fired(rule, x) for x in fires.get(name, [])]}
                    for name, rule in rules.items()
                ],
            }
            for title, (changed, fires) in CASES.items()
        ],
    }
    path = tmp_path / "cases.yml"
    path.write_text(yaml.safe_dump(test))
    promtool("test", "rules", str(path))


def _with_job(series: str) -> str:
    return series.replace("{", '{job="gslb",', 1)


def _values(value: str) -> str:
    if value == "_":
        return f"_x{STEPS}"
    return f"0{value}x{STEPS}" if value.startswith("+") else f"{value}x{STEPS}"


def _fired(rule: dict[str, Any], labels: dict[str, str]) -> dict[str, Any]:
    labels = {"job": "gslb", **labels}
    told = {
        key: re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels[found[1]], text)
        for key, text in rule["annotations"].items()
    }
    return {"exp_labels": labels | rule["labels"], "exp_annotations": told}


def test_each_has_a_case_and_says_what_to_do(rules: dict[str, dict[str, Any]], repo: Path) -> None:
    promtool("check", "rules", str(repo / "deploy/alerts.yml"))
    assert {name for _, fires in CASES.values() for name in fires} == set(rules)
    for rule in rules.values():
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["labels"]["severity"] in ("info", "warning", "critical")


def test_the_metrics_that_are_asked_for_are_there(
    rules: dict[str, dict[str, Any]], asked: Server, admin_of: Callable[[Server], Any]
) -> None:
    """By the names of a real server's samples; an edge's age and a plan's version are there once something came."""
    exposed = {name.partition("{")[0] for name in admin_of(asked).metrics()}
    text = admin_of(asked).ask("GET", "/metrics", None)[1].decode()
    exposed |= set(re.findall(r"^# TYPE (\S+) gauge", text, re.MULTILINE))
    wanted = {name for rule in rules.values() for name in re.findall(r"\bgslb_\w+", rule["expr"])}
    assert wanted - exposed == set()
    assert len(wanted) > 20
