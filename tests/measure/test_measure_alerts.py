"""The sample alerts of measuring: each fires in its case and in no other, and asks for metrics that there are."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml
from gslbtest.process import SOON_S, program

from gslb.measure.metrics import Told, exposition

REPO = Path(__file__).parents[2]
ALERTS = REPO / "deploy" / "alerts-measure.yml"
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
}
STEPS = 240  # an hour, 15 s apart
A = {"instance": "a"}
WELL = {
    'gslb_measure_age_seconds{instance="a",table="demand"}': "600",
    'gslb_measure_age_seconds{instance="a",table="demand_live"}': "100",
    'gslb_measure_runs_total{instance="a",outcome="ok"}': "0+1",
    'gslb_measure_runs_total{instance="a",outcome="failed"}': "0",
    'gslb_measure_lease_held{instance="a"}': "1",
    'gslb_measure_lease_held{instance="b"}': "0",
    'gslb_measure_reports_lost_total{instance="a"}': "5",
    'gslb_measure_refused_files_total{instance="a",source="queries"}': "1",
}
CASES: dict[str, tuple[dict[str, str], dict[str, dict[str, str]]]] = {
    "well": ({}, {}),
    "without a store": ({'gslb_measure_lease_held{instance="a"}': "0"}, {}),
    "late": ({'gslb_measure_age_seconds{instance="a",table="demand"}': "700"}, {"GslbMeasureDemandLate": {}}),
    "live is late": (
        {'gslb_measure_age_seconds{instance="a",table="demand_live"}': "200"},
        {"GslbMeasureLiveLate": {}},
    ),
    "runs fail": (
        {'gslb_measure_runs_total{instance="a",outcome="failed"}': "0+0.25"},
        {"GslbMeasureFailing": A | {"outcome": "failed"}},
    ),
    "nobody works": (
        {
            'gslb_measure_lease_held{instance="a"}': "0",
            'gslb_measure_runs_total{instance="a",outcome="ok"}': "7",
        },
        {"GslbMeasureNobodyLeads": {}},
    ),
    "reports are lost": ({'gslb_measure_reports_lost_total{instance="a"}': "0+1"}, {"GslbMeasureReportsLost": A}),
    "files are refused": (
        {'gslb_measure_refused_files_total{instance="a",source="queries"}': "0+1"},
        {"GslbMeasureRefused": A | {"source": "queries"}},
    ),
}


def test_each_fires_in_its_case_alone(tmp_path: Path) -> None:
    tests = []
    for differs, fires in CASES.values():
        series = [
            {"series": name.replace("{", '{job="gslb-measure",'), "values": f"{_values(value)}x{STEPS}"}
            for name, value in (WELL | differs).items()
        ]
        asked = [
            {"eval_time": "60m", "alertname": name, "exp_alerts": [_fired(rule, fires[name])] if name in fires else []}
            for name, rule in RULES.items()
        ]
        tests.append({"interval": "15s", "input_series": series, "alert_rule_test": asked})
    path = tmp_path / "cases.yml"
    path.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "15s", "tests": tests}))
    _promtool("test", "rules", str(path))
    assert {name for _, fires in CASES.values() for name in fires} == set(RULES)


def test_the_metrics_are_sound_and_all_that_is_asked_for_is_there() -> None:
    told = Told(demand_until_s=1, live_until_s=1, seconds={"gold": 1.0}, table_bytes={"demand": 5})
    told.received.replies[200] += 1
    text = exposition(told, 5.0)
    _promtool("check", "metrics", given=text)
    exposed = set(re.findall(rb"^(\w+)", text, re.MULTILINE))
    wanted = {name.encode() for rule in RULES.values() for name in re.findall(r"\bgslb_\w+", rule["expr"])}
    assert wanted - exposed == set()


def test_the_unit_is_sound(tmp_path: Path) -> None:
    text = (REPO / "deploy" / "gslb-measure.service").read_text()
    assert set(re.findall(r"^\[(\w+)\]$", text, re.MULTILINE)) == {"Unit", "Service", "Install"}
    path = tmp_path / "gslb-measure.service"
    path.write_text(text.replace("/usr/local/bin/gslb", "/bin/true"))
    if shutil.which("systemd-analyze"):  # where there is no systemd, nothing can verify its units
        line = ["systemd-analyze", "verify", "--man=no", str(path)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=SOON_S, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def _promtool(*arguments: str, given: bytes | None = None) -> None:
    done = subprocess.run(
        [program("promtool"), *arguments], input=given, capture_output=True, timeout=SOON_S, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def _values(value: str) -> str:
    return value if "+" in value else f"{value}+0"


def _fired(rule: dict[str, Any], labels: dict[str, str]) -> dict[str, Any]:
    labels = {"job": "gslb-measure"} | labels
    told = {
        key: re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels[found[1]], text)
        for key, text in rule["annotations"].items()
    }
    return {"exp_labels": labels | rule["labels"], "exp_annotations": told}
