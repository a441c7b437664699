"""`gslb dispatch solve` as people use it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TABLES = {
    "groups.csv": "group,demand_bps\na,1000000\nb,2500000\nidle,0\n",
    "arcs.csv": "group,edge,cost\na,x,1\na,y,2\nb,x,1\nb,y,1.5\nidle,x,1\n",
    "edges.csv": "edge,capacity_bps,pop,pop_capacity_bps\nx,2000000,p,\ny,2000000,q,3000000\n",
}
FLOWS = "group,edge,bps\na,x,1000000\nb,x,1000000\nb,y,1500000\n"
Solve = Callable[..., Any]


@pytest.fixture
def solve(gslb: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Solve:
    """Run it in a folder with the tables."""
    for name, text in TABLES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    files = [part for name in TABLES for part in (f"--{name.removesuffix('.csv')}", name)]
    return lambda *more, out="flows.csv": gslb("dispatch", "solve", *files, "--out", out, *more)


def test_flows_and_numbers(solve: Solve) -> None:
    done = solve("--json")
    assert (done.code, done.err) == (0, "")
    told = json.loads(done.out)
    assert set(told) == {
        "objective", "overload_bps", "overload_cost", "total", "dual_bound", "read_s", "build_s", "solve_s",
    }  # fmt: skip
    assert told["objective"] == told["total"] == pytest.approx(4.25)
    assert told["overload_bps"] == 0
    assert 0 <= (told["objective"] - told["dual_bound"]) / told["dual_bound"] <= 1e-4
    assert Path("flows.csv").read_text() == FLOWS


def test_numbers_for_people(solve: Solve) -> None:
    done = solve("--knee", "0.5", "--beta", "0.2")
    assert done.code == 0, done.err
    assert done.out.splitlines()[:2] == [
        "objective                 4.550000",
        "overload_bps                     0",
    ]


def test_a_pipe_is_written_to(solve: Solve, tmp_path: Path) -> None:
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert solve(out="pipe").code == 0
        assert os.read(reader, 1000).decode() == FLOWS
    finally:
        os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_a_link_stays_one(solve: Solve) -> None:
    Path("link").symlink_to("target")
    assert solve(out="link").code == 0
    assert Path("link").is_symlink()
    assert Path("target").read_text() == FLOWS


REFUSED = [
    # what is changed, more of the command line, exit code, what is told
    ({"arcs.csv": "group,edge,cost\na,z,1\nb,x,-1\n"}, [], 1,
     "gslb: arcs.csv:2:3: edge: 'z' is no edge of edges.csv\n"
     "gslb: arcs.csv:3:5: cost: '-1' is not a number from 0 to 1e+12\n"),
    ({"groups.csv": None}, [], 1, "gslb: groups.csv: No such file or directory\n"),
    ({"groups.csv": "group,demand_bps\na,1e18\nb,1e18\n", "arcs.csv": "group,edge,cost\na,x,1\nb,x,1\nb,y,1\n"}, [], 1,
     "gslb: demand, counted once for each arc, is 3e+18 bps; the most is 2.31e+18\n"),
    ({}, ["--out", "."], 1, "gslb: .: Is a directory\n"),
    ({}, ["--knee", "1.5"], 2, "Invalid value for '--knee'"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "more", "code", "told"), REFUSED)
def test_what_is_refused(solve: Solve, changes: dict[str, str | None], more: list[str], code: int, told: str) -> None:
    for name, text in changes.items():
        if text is None:
            Path(name).unlink()
        else:
            Path(name).write_text(text)
    done = solve(*more)
    assert done.code == code
    assert done.out == ""
    assert told == done.err if code == 1 else told in done.err
    assert not Path("flows.csv").exists()
