"""Every bad input gets exactly the messages that stand below it in tests/zone/bad/*.txt: all at once, sorted by place.

A case is ``## title``, then files of `zones/` as ``@@ name`` with their lines (``@@ -name`` takes one of the base
away), then the messages: ``! `` before an error, ``? `` before a warning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from gslb.zone.check import check

BASE = {
    "edges.yaml": """\
edges:
  e1: {pop: fra, addresses: {v4: 192.0.2.1, v6: "2001:db8::1"}, location: {country: DE, lat: 50.1, lon: 8.7}}
  e2: {pop: fra, addresses: {v4: 192.0.2.2}, location: {country: DE, lat: 50.1, lon: 8.7}}
""",
    "base.yaml": """\
zone: base.example.
records: {"@": {NS: ns.other.example.}}
services: {pull: {pool: p}}
pools: {p: {e1: 1, e2: 1}}
""",
}


@dataclass(frozen=True)
class Case:
    title: str
    files: dict[str, str]
    told: list[str]


def cases(path: Path) -> list[Case]:
    found = []
    for block in re.split(r"^## ", path.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        title, _, rest = block.partition("\n")
        files = dict(BASE)
        told = []
        name = ""
        for line in rest.rstrip("\n").split("\n"):
            if line.startswith("@@ -"):
                name = ""
                del files[line[4:]]
            elif line.startswith("@@ "):
                name = line[3:]
                files[name] = ""
            elif line.startswith(("! ", "? ")):
                told.append(line)
            elif name and not told:
                files[name] += line + "\n"
        found.append(Case(title, files, told))
    return found


def told_of(files: dict[str, bytes]) -> list[str]:
    findings = check(files, zones_dir="zones").findings
    return [f"! {error}" for error in findings.errors] + [f"? {warning}" for warning in findings.warnings]


CASES = [(path.stem, case) for path in sorted((Path(__file__).parent / "bad").glob("*.txt")) for case in cases(path)]


@pytest.mark.parametrize(("topic", "case"), [pytest.param(*row, id=f"{row[0]}: {row[1].title}") for row in CASES])
def test_exact_messages(topic: str, case: Case) -> None:
    files = {f"zones/{name}": text.encode() for name, text in case.files.items()}
    assert told_of(files) == case.told
    refused = check(files, zones_dir="zones").intent is None
    assert refused is (topic != "8-warnings")


def test_the_base_has_no_fault() -> None:
    assert told_of({f"zones/{name}": text.encode() for name, text in BASE.items()}) == []
