"""The shipped sample: made again it is the same bytes, it stands on documentation prefixes, and it passes its check."""

from __future__ import annotations

import csv
import filecmp
import ipaddress
import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from gslbtest.process import SOON_S, command

REPO = Path(__file__).parents[2]
DOCUMENTATION = [
    ipaddress.ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]
ADDRESS = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}(?:/\d+)?\b|\b[0-9a-f]{1,4}:[0-9a-f:]+(?:/\d+)?\b", re.IGNORECASE)


def test_make_sample_gives_what_is_shipped(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(REPO / "data/make_sample.py"), str(tmp_path)], check=True, timeout=SOON_S)
    made = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    shipped = sorted(
        path.relative_to(REPO / "data").as_posix()
        for path in (REPO / "data").rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    )
    assert made == shipped
    assert [name for name in made if not filecmp.cmp(tmp_path / name, REPO / "data" / name, shallow=False)] == []


FILES = [
    path
    for folder in ("zones", "data")
    for path in sorted((REPO / folder).rglob("*"))
    if path.suffix in {".yaml", ".zone", ".csv"}
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPO)))
def test_documentation_prefixes_alone(path: Path) -> None:
    strange = []
    for text in ADDRESS.findall(path.read_text(encoding="utf-8")):
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            continue  # a time of day, a version, a hash
        if path.name == "resolvers.csv" and network.is_loopback:
            continue  # resolvers that a reader can be, by dig -b
        if not any(network.version == known.version and network.subnet_of(known) for known in DOCUMENTATION):
            strange.append(text)
    assert strange == []


def test_size() -> None:
    edges = yaml.safe_load((REPO / "zones/edges.yaml").read_text(encoding="utf-8"))["edges"]
    pops = {edge["pop"] for edge in edges.values()}
    continents = {"CN": "AS", "SG": "AS", "JP": "AS", "DE": "EU", "GB": "EU", "US": "NA", "BR": "SA"}
    assert len(pops) == 10
    assert len({continents[edge["location"]["country"]] for edge in edges.values()}) == 4
    carriers = {isp for edge in edges.values() if edge["location"]["country"] == "CN" for isp in edge["isps"]}
    assert carriers == {"chinanet", "unicom", "cmcc", "any"}
    families = {tuple(sorted(edge["addresses"])) for edge in edges.values()}
    assert families == {("v4", "v6"), ("v6",), ("v4",)}


def test_tables_have_a_header_and_rows() -> None:
    for path in FILES:
        if path.suffix == ".csv":
            rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
            assert rows, path
            assert all(None not in row and None not in row.values() for row in rows), path


WARNINGS = [
    # what the sample shows on purpose: a pool behind fences, a pool with one family
    ("zones/live.example.yaml", 'pool "china": every edge is fenced'),
    ("zones/live.example.yaml", 'pool "six": no edge has an IPv4 address'),
]


def test_check_finds_no_error_and_warns_of_what_is_meant() -> None:
    done = subprocess.run(
        [command("gslb"), "check", "zones"], cwd=REPO, capture_output=True, text=True, timeout=SOON_S, check=False
    )
    told = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("zones/", "data/"))]
    assert done.returncode == 0, told
    assert len(told) == len(WARNINGS)
    for line, (path, reason) in zip(told, WARNINGS, strict=True):
        assert re.match(rf"{re.escape(path)}:\d+:\d+: warning: {re.escape(reason)}", line)


def test_schemas_are_those_of_the_models(tmp_path: Path) -> None:
    subprocess.run(
        [command("gslb"), "check", "zones", "--write-schema", str(tmp_path)], cwd=REPO, check=True, timeout=SOON_S
    )
    made = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.glob("*.json")}
    shipped = {path.name: path.read_text(encoding="utf-8") for path in (REPO / "zones/schema").glob("*.json")}
    assert made == shipped
    assert {"zone.json", "edges.json", "isps.json"} <= set(made)


@pytest.mark.parametrize("path", sorted((REPO / "zones").glob("*.yaml")), ids=lambda path: path.name)
def test_sample_files_fit_the_schema_they_name(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert named, "the first line names the schema, for editors"
    schema = json.loads((path.parent / named[1]).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(text), schema, cls=jsonschema.Draft202012Validator)
