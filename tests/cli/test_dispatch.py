"""`gslb dispatch` by the shipped sample, what it says of itself, and the verbs of plans where its extra is missing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gslb.dispatch.keeping import text_of
from gslb.model.plan import PLAN_SUM, Plan, PlanRow

REPO = Path(__file__).parents[2]
AT = "2026-01-01T18:07:00Z"
SAMPLE = ("dispatch", "--dry-run", "--zones", str(REPO / "zones"), "--data", str(REPO / "data"))


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GSLB_STORE", "GSLB_DEMAND"):
        monkeypatch.delenv(name, raising=False)


def test_a_newcomer_sees_a_plan_of_the_sample(gslb: Callable[..., Any]) -> None:
    done = gslb(*SAMPLE, "--at", AT)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "plan      20260101T180700.000Z, 22 rows; not published"
    assert lines[1].endswith("Gbps, measured 120 s ago")
    words = [line.split()[0] for line in lines[2 : lines.index("")]]
    assert words == ["moved", "forced", "overload", "unserved", "cost", "PoP", "held"]
    assert lines[lines.index("") + 1].split()[:3] == ["EDGE", "POP", "PROJECTED"]
    assert gslb(*SAMPLE, "--at", AT).out == done.out
    told = json.loads(gslb(*SAMPLE, "--at", AT, "--json").out)
    assert (told["outcome"], told["rows"], told["demand_age_s"]) == ("dry", 22, 120.0)


def test_a_plan_that_was_not_published_can_be_looked_at(
    gslb: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("zones", "data"):
        shutil.copytree(REPO / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    edges = tmp_path / "zones" / "edges.yaml"
    for name, capacity in (("before.json", "40Gbps"), ("after.json", "6Gbps")):
        edges.write_text(edges.read_text().replace("capacity: 40Gbps", f"capacity: {capacity}", 1))
        assert gslb("dispatch", "--dry-run", "--at", AT, "--out", name).code == 0
    shown = gslb("plan", "show", "after.json").out
    assert "issued    2026-01-01T18:07:00Z\nholds     until 2026-01-01T19:07:00Z\n" in shown
    assert "held by   edge sha-ct at 6 Gbps: a Mbps more would save " in shown
    moved = gslb("plan", "diff", "before.json", "after.json").out
    assert re.search(r"^sha-ct +8\.4 Gbps +4\.8 Gbps +-3\.6 Gbps$", moved, re.MULTILINE)
    client = ("--client", "198.51.100.7", "--version", "after.json")
    explained = gslb("plan", "explain", "planned.live.example", *client).out
    assert "\nheld by   edge sha-ct at 6 Gbps" in explained
    assert re.search(r"^sha-ct +sha +isp\+region +14\.8 ms +1\.296 +57\.1%$", explained, re.MULTILINE)
    assert gslb("dispatch", "--dry-run", "--at", AT, "--out", "zones").err == "gslb: zones: Is a directory\n"
    assert gslb("plan", "show", "none.json", "--state", "none").err.startswith("gslb: the admin token cannot be read: ")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ((*SAMPLE,), 1, "gslb: failed: "),
        ((*SAMPLE, "--at", "2026-01-01T06:07:00Z"), 1, "lies in the future: now it is 2026-01-01T06:07:00Z"),
        ((*SAMPLE, "--at", "noon"), 2, "gslb: --at: 'noon' is not a time: 14:30 (UTC), -10m or 2026"),
        (("dispatch", "--once", "--at", AT), 2, "gslb: --at: only a --dry-run may be of another time"),
        (("dispatch", "--once"), 1, "gslb: no store to publish to: --store redis://…"),
        (("dispatch",), 1, "--dry-run needs none"),
        (("dispatch", "--once", "--metrics", "here"), 2, "gslb: --metrics: 'here' is not ADDRESS:PORT"),
    ],
)
def test_what_cannot_be_is_told(gslb: Callable[..., Any], arguments: tuple[str, ...], code: int, told: str) -> None:
    done = gslb(*arguments)
    assert (done.code, done.out) == (code, "")
    assert told in done.err


@pytest.mark.parametrize("verb", ["", "dispatch", "dispatch solve", "simulate"])
def test_the_help_says_which_extra_is_needed(
    gslb: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    done = gslb(*verb.split(), "--help")
    assert done.code == 0
    assert re.search(r"[Nn]eeds gslb\[dispatch\]\.", re.sub(r"\x1b\[[0-9;]*m", "", done.out))


WHERE = "store admin state config json"


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ("dispatch", "once dry-run at zones data state store demand demand-live metrics config out json"),
        ("plan show", f"rows service view list kept {WHERE}"),
        ("plan diff", f"kept {WHERE}"),
        ("plan explain", f"client version zones data kept {WHERE}"),
        ("plan freeze", f"until reason author {WHERE}"),
        ("plan force", f"kept {WHERE}"),
        ("plan rollback", f"kept {WHERE}"),
    ],
)
def test_the_help_of_verbs(gslb: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, verb: str, options: str) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    done = gslb(*verb.split(), "--help")
    text = re.sub(r"\x1b\[[0-9;]*m", "", done.out)
    found = set(re.findall(r"^\W+--([a-z][a-z0-9-]+)", text, re.MULTILINE)) - {"help"}
    assert (done.code, found) == (0, set(options.split()))


WITHOUT = """
import sys
for name in ("ortools", "pyarrow", "matplotlib"):
    sys.modules[name] = None
from gslb.cli import main
sys.argv[0] = "gslb"
main()
"""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (SAMPLE, "gslb: ortools cannot be imported: install gslb[dispatch]\n"),
        (
            ("dispatch", "solve", "--groups", "g", "--arcs", "a", "--edges", "e", "--out", "o"),
            "gslb: ortools cannot be imported: install gslb[dispatch]\n",
        ),
        (("simulate", "s.yaml"), "gslb: ortools cannot be imported: install gslb[dispatch]\n"),
        (("plan", "show", "--store", "redis://127.0.0.1:1/0"), "gslb: redis://127.0.0.1:1: "),
    ],
)
def test_without_the_extra_plans_are_shown_and_the_others_say_what_to_install(
    tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(told)


def test_of_many_groups_that_move_the_largest_are_shown(tmp_path: Path, gslb: Callable[..., Any]) -> None:
    for name, edge in (("a", "fra-1"), ("b", "fra-2")):
        rows = [PlanRow("a.", "DE", "", f"AS{at}", ((edge, PLAN_SUM),), (), 10**9 + at) for at in range(22)]
        (tmp_path / name).write_text(text_of(Plan(name, "" if name == "a" else "a", 1, 2, 3, tuple(rows))))
    shown = gslb("plan", "diff", str(tmp_path / "a"), str(tmp_path / "b")).out.splitlines()
    assert shown[0] == "a → b: 22 Gbps (100%) moves; 0 rows added, 0 gone"
    assert shown[-1] == "… and 2 groups more"
    assert [line.split()[1] for line in shown if line.startswith("a. ")] == [f"DE||AS{at}" for at in range(21, 1, -1)]
