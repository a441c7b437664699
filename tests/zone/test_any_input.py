"""Whatever stands in `zones/`: nothing is raised, every finding has a place in a file that exists, and an error in one
file never hides those of another."""

from __future__ import annotations

import string
from typing import Any

import pytest
import yaml
from gslbtest.examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.zone.check import Checked, check

EDGES = b"""\
edges:
  e1: {pop: fra, addresses: {v4: 192.0.2.1, v6: "2001:db8::1"}, location: {country: DE, lat: 50.1, lon: 8.7}}
health: {stale_s: 3}
rrl: {per_second: 5, allow: [192.0.2.0/24]}
"""
ISPS = b"isps: {a: {asns: [1, 2], names: [x]}}\n"
ZONE = b"""\
zone: live.example.
soa: {mname: ns1, negative_ttl: 60}
include: [static.zone]
records:
  "@": {NS: [ns1, ns2], MX: 10 mail}
  ns1: {A: {ttl: 60, data: [192.0.2.53]}, TXT: "a b"}
  sub: {NS: ns.sub}
  c1: {CNAME: c2}
  c2: {CNAME: ns1}
defaults: {affinity: [isp, any], ttl: 1m}
services:
  pull: {pool: p, hash_len: {v4: 24}}
  "*.pull": {like: pull, fallback: {v4: [192.0.2.9]}}
pools:
  p: {e1: 100}
"""
STATIC = b'$ORIGIN x\na 60 IN A 192.0.2.1\n  TXT ( "a" b ) ; c\n'
FILES = {"edges.yaml": EDGES, "isps.yaml": ISPS, "live.yaml": ZONE, "static.zone": STATIC}


def located(files: dict[str, bytes]) -> Checked:
    shown = {f"zones/{name}": content for name, content in files.items()}
    checked = check(shown, zones_dir="zones")
    told = checked.findings.errors + checked.findings.warnings
    for each in told:
        lines = shown.get(each.path, b"").count(b"\n") + shown.get(each.path, b"").count(b"\r") + 1
        lines += shown.get(each.path, b"").decode("utf-8", "replace").count("\u2028") * 2
        assert each.path in shown or (each.line, each.path) in ((0, "zones"), (0, "zones/edges.yaml"))
        assert 0 <= each.line <= lines + shown.get(each.path, b"").count(b"\xc2\x85") + 1
        assert (each.column == 0) == (each.line == 0)
        assert each.reason
        assert "\n" not in each.reason
    assert [e.place() for e in checked.findings.errors] == sorted({e.place() for e in checked.findings.errors})
    assert (checked.intent is None) == bool(checked.findings.errors)
    return checked


SETTINGS = settings(derandomize=True, deadline=None, max_examples=examples(300))
NAMES = st.sampled_from(sorted(FILES))


def test_the_base_is_sound() -> None:
    assert located(FILES).intent is not None


@SETTINGS
@given(NAMES, st.binary(max_size=80))
def test_any_bytes(name: str, content: bytes) -> None:
    located({**FILES, name: content})


@SETTINGS
@given(NAMES, st.data())
def test_any_edit_of_sound_files(name: str, data: st.DataObject) -> None:
    content = FILES[name]
    for _ in range(data.draw(st.integers(1, 4))):
        begin = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(begin, min(len(content), begin + 12)))
        put = data.draw(st.text(alphabet=string.printable + "é\u2028", max_size=6)).encode()
        content = content[:begin] + put + content[end:]
    located({**FILES, name: content})


WORDS = """
    zone ttl soa include records defaults services pools pool like affinity fallback v4 v6 hash_len edges isps pop
    addresses location country lat lon capacity bps fence health rrl asns names @ * a a.b live.example. A NS CNAME
    data mname rname
"""
MEANINGS = """
    live.example. 5m 300 -1 ns1 p e1 any nearest isp yes NO 192.0.2.1 2001:db8::1 40Gbps AS1 static.zone @ a..b ~
"""
KEYS = st.sampled_from(WORDS.split())
VALUES = st.sampled_from(MEANINGS.split()) | st.text(max_size=5)
TREES = st.recursive(
    VALUES, lambda part: st.lists(part, max_size=3) | st.dictionaries(KEYS, part, max_size=5), max_leaves=25
)


@SETTINGS
@given(NAMES, st.dictionaries(KEYS, TREES, max_size=8))
def test_any_tree(name: str, tree: dict[str, Any]) -> None:
    located({**FILES, name: yaml.safe_dump(tree, allow_unicode=True).encode()})


@SETTINGS
@given(st.dictionaries(NAMES | st.sampled_from(["x.yml", "sub/x.yaml", "y.yaml", "slo.yaml"]), TREES, max_size=5))
def test_any_folder(trees: dict[str, Any]) -> None:
    located({name: yaml.safe_dump(tree).encode() for name, tree in trees.items()})


FAULTS = {
    "edges.yaml": EDGES.replace(b"50.1", b"500"),
    "isps.yaml": ISPS.replace(b"[1, 2]", b"none"),
    "live.yaml": ZONE.replace(b"1m", b"1 m").replace(b"like: pull", b"like: push"),
    "static.zone": STATIC.replace(b"192.0.2.1", b"192.0.2"),
}


def test_all_files_tell_their_errors_at_once_sorted() -> None:
    alone = [str(e) for name in FILES for e in located({**FILES, name: FAULTS[name]}).findings.errors]
    assert len(alone) == 5
    assert [str(e) for e in located(FAULTS).findings.errors] == sorted(alone)


@pytest.mark.parametrize("broken", [b"\xff", b"a: [", b"", b"- a"])
@pytest.mark.parametrize("name", ["edges.yaml", "isps.yaml", "live.yaml"])
def test_a_file_that_cannot_be_read_hides_nothing_and_blames_no_other(name: str, broken: bytes) -> None:
    others = [
        str(e) for other in FAULTS if other != name and not (name == "live.yaml" and other == "static.zone")
        for e in located({**FILES, other: FAULTS[other]}).findings.errors
    ]  # fmt: skip
    told = [str(e) for e in located({**FAULTS, name: broken}).findings.errors]
    assert [each for each in told if not each.startswith(f"zones/{name}:")] == sorted(others)
    assert any(each.startswith(f"zones/{name}:") for each in told)
