"""The sample alerts of dispatchers: each fires in its case and in no other, and asks for metrics that there are."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from gslbtest.process import SOON_S, program

from gslb.dispatch.metrics import Told, exposition
from gslb.dispatch.rounds import PUBLISHED, Done
from gslb.model.plan import Plan, PlannedEdge, PlanRow
from gslb.plan.optimize import Level, Parts, Solution
from gslb.plan.round import Made, Report

REPO = Path(__file__).parents[2]
ALERTS = REPO / "deploy" / "alerts-dispatch.yml"
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
}
STEPS = 240  # an hour, 15 s apart
WELL = {
    'gslb_dispatch_last_success_timestamp_seconds{instance="a"}': "0+15",
    'gslb_dispatch_last_success_timestamp_seconds{instance="b"}': "0",
    'gslb_dispatch_rounds_total{instance="a",outcome="failed"}': "0",
    'gslb_dispatch_round_seconds{instance="a"}': "60",
    'gslb_dispatch_round_seconds{instance="b"}': "60",
    'gslb_dispatch_frozen{instance="a"}': "0",
    'gslb_dispatch_lease_held{instance="a"}': "1",
    'gslb_dispatch_lease_held{instance="b"}': "0",
    'gslb_dispatch_projection_error_total_ratio{instance="a"}': "0.04",
    'gslb_dispatch_demand_bps{instance="a"}': "1000000",
    'gslb_dispatch_overload_bps{instance="a"}': "99",
    'gslb_dispatch_unserved_ratio{instance="a"}': "0",
    'gslb_dispatch_pop_shortfalls{instance="a"}': "0",
}
A = {"instance": "a"}
LATE = {'gslb_dispatch_last_success_timestamp_seconds{instance="a"}': "0"}
CASES: dict[str, tuple[dict[str, str], dict[str, dict[str, str]]]] = {
    "well": ({}, {}),
    "no plan comes": (LATE, {"GslbDispatchNoPlan": {}}),
    "and is not to": (LATE | {'gslb_dispatch_frozen{instance="a"}': "1"}, {}),
    "and rounds are long": (
        {
            'gslb_dispatch_last_success_timestamp_seconds{instance="a"}': "2000",
            'gslb_dispatch_round_seconds{instance="a"}': "600",
        },
        {},
    ),
    "rounds fail": (
        {'gslb_dispatch_rounds_total{instance="a",outcome="failed"}': "0+0.25"},
        {"GslbDispatchFailing": A | {"outcome": "failed"}},
    ),
    "nobody leads": ({'gslb_dispatch_lease_held{instance="a"}': "0"}, {"GslbDispatchNobodyLeads": {}}),
    "load is elsewhere": (
        {'gslb_dispatch_projection_error_total_ratio{instance="a"}': "0.06"},
        {"GslbDispatchProjectionOff": A},
    ),
    "overload": ({'gslb_dispatch_overload_bps{instance="a"}': "101"}, {"GslbDispatchOverload": A}),
    "unserved": ({'gslb_dispatch_unserved_ratio{instance="a"}': "0.01"}, {"GslbDispatchUnserved": A}),
    "no spare": ({'gslb_dispatch_pop_shortfalls{instance="a"}': "1"}, {"GslbDispatchNoSpare": A}),
}


def promtool(*arguments: str, given: bytes | None = None) -> None:
    done = subprocess.run(
        [program("promtool"), *arguments], input=given, capture_output=True, timeout=SOON_S, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def test_each_fires_in_its_case_alone(tmp_path: Path) -> None:
    tests = []
    for differs, fires in CASES.values():
        series = [
            {"series": name.replace("{", '{job="gslb-dispatch",'), "values": f"{_values(value)}x{STEPS}"}
            for name, value in (WELL | differs).items()
        ]
        asked = [
            {"eval_time": "60m", "alertname": name, "exp_alerts": [_fired(rule, fires[name])] if name in fires else []}
            for name, rule in RULES.items()
        ]
        tests.append({"interval": "15s", "input_series": series, "alert_rule_test": asked})
    path = tmp_path / "cases.yml"
    path.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "15s", "tests": tests}))
    promtool("test", "rules", str(path))
    assert {name for _, fires in CASES.values() for name in fires} == set(RULES)


def test_the_metrics_are_sound_and_all_that_is_asked_for_is_there() -> None:
    told = Told()
    told.ended(Done(PUBLISHED, made=_made(), demand_age_s=1.0), 5.0, lease_held=True)
    text = exposition(told)
    promtool("check", "metrics", given=text)
    exposed = set(re.findall(rb"^(\w+)", text, re.MULTILINE))
    wanted = {name.encode() for rule in RULES.values() for name in re.findall(r"\bgslb_\w+", rule["expr"])}
    assert wanted - exposed == set()
    page = (REPO / "docs" / "operations.md").read_text()
    named = {name.decode() for name in exposed if name.startswith(b"gslb_dispatch_")}
    assert {name for name in named if f"`{name}`" not in page} == set()


def test_the_unit_is_sound(tmp_path: Path) -> None:
    text = (REPO / "deploy" / "gslb-dispatch.service").read_text()
    assert set(re.findall(r"^\[(\w+)\]$", text, re.MULTILINE)) == {"Unit", "Service", "Install"}
    path = tmp_path / "gslb-dispatch.service"
    path.write_text(text.replace("/usr/local/bin/gslb", "/bin/true"))
    if shutil.which("systemd-analyze"):  # where there is no systemd, nothing can verify its units
        line = ["systemd-analyze", "verify", "--man=no", str(path)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=SOON_S, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    promtool("check", "rules", str(ALERTS))


def _values(value: str) -> str:
    return value if "+" in value else f"{value}+0"


def _fired(rule: dict[str, Any], labels: dict[str, str]) -> dict[str, Any]:
    labels = {"job": "gslb-dispatch"} | labels
    told = {
        key: re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels[found[1]], text)
        for key, text in rule["annotations"].items()
    }
    return {"exp_labels": labels | rule["labels"], "exp_annotations": told}


def _made() -> Made:
    none = Level(*(np.zeros(0, np.int64),) * 2, *(np.zeros(0),) * 2)
    nothing = np.zeros(0, np.int64)
    solution = Solution(
        nothing, nothing, none, none, none, none, np.zeros(0), 0, Parts(1.0, 0.0, 0.0, 0.0, 0.0), 1.0, 0.1, 0.1
    )
    plan = Plan("v", rows=(PlanRow("a.", "DE", "", "", (("e", 65535),)),), edges={"e": PlannedEdge(5)})
    return Made(plan, solution, Report(9, 1, 2, 3, 0, 0, (), np.array([0.1]), 0.02))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_each_says_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule["annotations"]) == {"summary", "description"}
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
