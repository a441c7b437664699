"""What dispatch.yaml means. What is refused stands in tests/zone/bad/9-dispatch.txt."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from gslb.model.dispatch import DispatchRules, NodeRules, RegionRules
from gslb.zone.check import check
from gslb.zone.dispatch_models import DispatchModel

FILES = {
    "zones/edges.yaml": b"""\
edges:
  e1: {pop: fra, addresses: {v4: 192.0.2.1, v6: "2001:db8::1"}, location: {country: DE, lat: 50.1, lon: 8.7}}
  e2: {pop: lhr, addresses: {v4: 192.0.2.2}, location: {country: GB, lat: 51.5, lon: 0}}
""",
    "zones/base.yaml": b"""\
zone: base.example.
records: {"@": {NS: ns.other.example.}}
services: {pull: {pool: p}}
pools: {p: {e1: 1, e2: 1}}
""",
}
NUMBERS = [each.name for each in fields(DispatchRules) if each.name not in ("edges", "pops", "regions", "network")]


def rules_of(text: str) -> DispatchRules:
    found = check({**FILES, "zones/dispatch.yaml": text.encode()})
    assert found.findings.errors == found.findings.warnings == []
    assert found.intent is not None
    return found.intent.dispatch


def test_no_file_is_every_default() -> None:
    intent = check(FILES).intent
    assert intent is not None
    assert intent.dispatch == DispatchRules()
    assert rules_of("edges: ") == DispatchRules()


def test_the_keys_are_the_fields_of_the_rules_with_their_defaults() -> None:
    assert set(DispatchModel.model_fields) == {each.name for each in fields(DispatchRules)}
    made = DispatchModel()
    assert {name: getattr(made, name) for name in NUMBERS} == {name: getattr(DispatchRules(), name) for name in NUMBERS}


VALUES = [
    ("alpha: 0.125", "alpha", 0.125),
    ("knee: 75%", "knee", 0.75),
    ("hard: 1", "hard", 1.0),
    ("small_group_bps: 5Mbps", "small_group_bps", 5_000_000),
    ("{round_s: 30, solve_limit_s: 2.5}", "solve_limit_s", 2.5),
    ("backups: 0", "backups", 0),
    ("overload: 5000", "overload", 5000.0),
    ("demand_late_s: 600", "demand_late_s", 600),
    ("edges: {e1: {capacity: 10Gbps, minimum: 1Gbps, price: 2.5}, e2: }", "edges",
     {"e1": NodeRules(10**10, 10**9, 2.5), "e2": NodeRules()}),
    ("pops: {fra: {price: 0}}", "pops", {"fra": NodeRules(None, 0, 0.0)}),
    ("regions: {eu: {pops: [fra, lhr], capacity: 1Tbps, minimum: 5Gbps}}", "regions",
     {"eu": RegionRules(("fra", "lhr"), NodeRules(10**12, 5 * 10**9))}),
    ("regions: {de: {pops: fra}, gb: {pops: lhr}}", "regions",
     {"de": RegionRules(("fra",)), "gb": RegionRules(("lhr",))}),
    ("network: {capacity: 1Tbps}", "network", NodeRules(10**12)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "name", "value"), VALUES)
def test_values(text: str, name: str, value: Any) -> None:
    assert getattr(rules_of(text), name) == value


def test_the_sample_documents_every_constant_at_its_default(repo: Path) -> None:
    text = (repo / "zones/dispatch.yaml").read_text("utf-8")
    written = yaml.safe_load(text)
    assert list(written) == list(dict.fromkeys([*written, *NUMBERS]))
    constants = "\n".join(f"{name}: {written[name]}" for name in NUMBERS)
    assert rules_of(constants) == DispatchRules(), "zones/dispatch.yaml says other defaults"
    for name in NUMBERS:
        line = next(line for line in text.splitlines() if line.startswith(f"{name}: "))
        assert "#" in line, name
