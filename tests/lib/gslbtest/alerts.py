"""The sample alerts and units of `deploy/`, checked by the programs that read them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gslbtest.process import SOON_S, program

DEPLOY = Path(__file__).parents[3] / "deploy"
STEPS = 240
"""An hour of samples, 15 s apart."""
Rules = dict[str, dict[str, Any]]
Cases = Mapping[str, tuple[dict[str, str], dict[str, dict[str, str]]]]
"""By name what differs from when all is well, and the labels of what fires by alert."""


def promtool(*arguments: str, given: bytes | None = None) -> None:
    """It finds nothing wrong."""
    done = subprocess.run(
        [program("promtool"), *arguments], input=given, capture_output=True, timeout=SOON_S, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def rules_of(alerts: Path) -> Rules:
    """The rules of a file by their alerts."""
    return {rule["alert"]: rule for group in yaml.safe_load(alerts.read_text())["groups"] for rule in group["rules"]}


def each_fires_in_its_case_alone(alerts: Path, job: str, well: Mapping[str, str], cases: Cases, folder: Path) -> None:
    """Of series without their job, and the value that stands or, as ``0+1``, what is added each step."""
    rules = rules_of(alerts)
    tests = []
    for differs, fires in cases.values():
        series = [
            {"series": name.replace("{", f'{{job="{job}",'), "values": f"{_values(value)}x{STEPS}"}
            for name, value in {**well, **differs}.items()
        ]
        asked = [
            {"eval_time": "60m", "alertname": name, "exp_alerts": _fired(rule, job, fires.get(name))}
            for name, rule in rules.items()
        ]
        tests.append({"interval": "15s", "input_series": series, "alert_rule_test": asked})
    path = folder / "cases.yml"
    path.write_text(yaml.safe_dump({"rule_files": [str(alerts)], "evaluation_interval": "15s", "tests": tests}))
    promtool("test", "rules", str(path))
    assert {name for _, fires in cases.values() for name in fires} == set(rules)


def exposed(text: bytes, alerts: Path) -> set[str]:
    """The metrics that a sound exposition tells; all that the alerts ask for are among them."""
    promtool("check", "metrics", given=text)
    found = {name.decode() for name in re.findall(rb"^(\w+)", text, re.MULTILINE)}
    wanted = {name for rule in rules_of(alerts).values() for name in re.findall(r"\bgslb_\w+", rule["expr"])}
    assert wanted - found == set()
    return found


def unit_is_sound(name: str, folder: Path) -> None:
    """A systemd unit that starts ``/usr/local/bin/gslb``."""
    text = (DEPLOY / name).read_text()
    assert set(re.findall(r"^\[(\w+)\]$", text, re.MULTILINE)) == {"Unit", "Service", "Install"}
    path = folder / name
    path.write_text(text.replace("/usr/local/bin/gslb", "/bin/true"))
    if shutil.which("systemd-analyze"):  # where there is no systemd, nothing can verify its units
        line = ["systemd-analyze", "verify", "--man=no", str(path)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=SOON_S, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def _values(value: str) -> str:
    return value if "+" in value else f"{value}+0"


def _fired(rule: dict[str, Any], job: str, labels: dict[str, str] | None) -> list[dict[str, Any]]:
    if labels is None:
        return []
    labels = {"job": job} | labels
    told = {
        key: re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels[found[1]], text)
        for key, text in rule["annotations"].items()
    }
    return [{"exp_labels": labels | rule["labels"], "exp_annotations": told}]
