"""`gslb simulate` as people use it."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gslbtest.process import SOON_S, command

TINY = """\
name: tiny
seed: 3
duration: 2m
warmup: 1m
world: {metros: 8, countries: [US, DE, JP], pops: 3}
demand: {sessions: 200, mean: 2m, streams: 3, peak_to_trough: 1}
failures: [{kind: pop, at: 1m, lasts: 30}]
caches: 2
prefixes: 2
policies: [nearest, ours]
"""
MAPPING = TINY.replace("metros: 8, countries: [US, DE, JP]", "metros: 20") + "mapping: {pops: [2, 4], worlds: 1}\n"
Run = Callable[..., Any]


@pytest.fixture
def simulate(gslb: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run it on a scenario in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(text: str, *more: str) -> Any:
        Path("s.yaml").write_text(text)
        return gslb("simulate", "s.yaml", *more)

    return run


def test_plots_need_their_library(simulate: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "gslb.simulate.plots", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = simulate(TINY.replace("[nearest, ours]", "[nearest]"), "--out", "r.html", "--processes", "1")
    assert (done.code, done.err) == (1, "gslb: simulate needs matplotlib: install gslb[dispatch]\n")
    assert not Path("r.html").exists()


def test_a_table_a_page_and_numbers(simulate: Run) -> None:
    done = simulate(TINY, "--out", "there/r.html", "--processes", "1")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].split() == ["nearest", "ours"]
    assert lines[-1] == "report: there/r.html, there/r.json"
    page = Path("there/r.html").read_text()
    assert page.startswith("<!doctype html>")
    assert page.count("<svg") == 5
    told = json.loads(Path("there/r.json").read_text())
    assert [each["policy"] for each in told["policies"]] == ["nearest", "ours"]
    # Processes change nothing, and neither does how it is shown.
    again = simulate(TINY, "--json", "--processes", "2")
    assert (again.code, again.err) == (0, "")
    assert json.loads(again.out) == told
    assert sorted(each.name for each in Path.cwd().iterdir()) == ["s.yaml", "there"]


def test_mapping_alone_and_beside_a_run(simulate: Run) -> None:
    alone = simulate(MAPPING, "--mapping")
    assert (alone.code, alone.err) == (0, "")
    assert alone.out.splitlines()[0].split()[:3] == ["PoPs", "mapping", "km"]
    beside = simulate(MAPPING.replace("[nearest, ours]", "nearest"), "--processes", "1")
    assert beside.code == 0
    assert beside.out.endswith("\n\n" + alone.out)
    assert beside.out.splitlines()[0].split() == ["nearest"]


FAULTS = [
    # scenario, what is told
    ("seed: x\n", 's.yaml:1:7: seed: "x" is not a whole number from 0 to 4294967295'),
    (TINY + "imports: {pops: none.csv}\n", "none.csv: No such file or directory"),
    (
        TINY.replace("pops: 3", "pops: 9"),
        "s.yaml: world: 9 PoPs are asked for, and there are 8 metros to put them into",
    ),
    (
        TINY.replace("lasts: 30", "lasts: 30, pop: mars"),
        "s.yaml: world: a failure is of 'mars', and the world has no such thing",
    ),
]


@pytest.mark.parametrize(("text", "told"), FAULTS, ids=[row[1] for row in FAULTS])
def test_faults(simulate: Run, text: str, told: str) -> None:
    done = simulate(text)
    assert (done.code, done.out) == (1, "")
    assert told in done.err.replace(":0:0:", ":")


def test_a_scenario_that_is_not_there(gslb: Callable[..., Any]) -> None:
    done = gslb("simulate", "/nowhere/s.yaml")
    assert done.code == 1
    assert "No such file or directory" in done.err


def test_how_far_it_is_shows_on_a_terminal_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(TINY.replace("[nearest, ours]", "nearest"))
    ours, theirs = pty.openpty()
    line = [command("gslb"), "simulate", "s.yaml"]
    with subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while select.select([ours], [], [], SOON_S)[0]:
            try:
                read = os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
            if not read:
                break
            shown += read
        out = process.stdout.read() if process.stdout else b""
    os.close(ours)
    assert process.returncode == 0
    assert b"nearest" in shown
    assert b"100%" in shown
    assert out.startswith(b" ")
    assert b"100%" not in out
