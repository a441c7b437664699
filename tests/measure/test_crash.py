"""A run that is killed, wherever: the next one goes on, and what comes out is what an undisturbed run makes of it."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest
from gslbtest import landed, measured
from gslbtest.landed import BEGIN_S

from gslb.measure.engine import Engine
from gslb.measure.failing import POINTS, VARIABLE, failpoint

pytestmark = pytest.mark.usefixtures("plain_demand")

TIDYING = ("compacted", "removed")
"""Points that a run does not pass."""


def _undisturbed(root: Path, engine: Engine, until_s: int) -> dict[str, list[dict[str, object]]]:
    landed.land(root / "log", BEGIN_S, until_s)
    assert measured.run(root, engine, until_s + 1).ok
    return measured.all_rows(root / "tables")


def test_only_at_the_point_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr("os.kill", lambda *each: killed.append(each))
    failpoint(POINTS[0])
    monkeypatch.setenv(VARIABLE, POINTS[1])
    failpoint(POINTS[0])
    assert killed == []
    failpoint(POINTS[1])
    assert killed == [(os.getpid(), signal.SIGKILL)]


@pytest.mark.no_cover
def test_killed_between_any_two_steps(duckdb: Engine, tmp_path: Path) -> None:
    points = [point for point in POINTS if point not in TIDYING]
    root = tmp_path / "killed"
    for number, point in enumerate(points):
        at_s = BEGIN_S + 300 * number
        landed.land(root / "log", at_s, at_s + 300)
        assert measured.dying(root, at_s + 301, point) == -signal.SIGKILL, point
    end_s = BEGIN_S + 300 * len(points)
    assert measured.run(root, duckdb, end_s + 1).ok
    assert measured.all_rows(root / "tables") == _undisturbed(tmp_path / "whole", duckdb, end_s)
    assert measured.run(root, duckdb, end_s + 2).built == []


@pytest.mark.no_cover
def test_killed_while_tidying(duckdb: Engine, tmp_path: Path) -> None:
    for start_s in (BEGIN_S, BEGIN_S + 300):
        landed.land(tmp_path / "log", start_s, start_s + 300, sources="r")
        measured.run(tmp_path, duckdb, start_s + 301)
    rows = measured.all_rows(tmp_path / "tables")
    now_s = BEGIN_S + 5 * 3600
    for point in TIDYING:
        spare = tmp_path / "tables" / "gold" / "demand" / "spare.parquet"
        spare.write_bytes(b"")
        os.utime(spare, (0, 0))
        assert measured.dying(tmp_path, now_s, point, tidies=True) == -signal.SIGKILL, point
        assert measured.all_rows(tmp_path / "tables") == rows
    assert measured.dying(tmp_path, now_s, tidies=True) == 0
    assert measured.all_rows(tmp_path / "tables") == rows


def _at_random(tmp_path: Path, engine: Engine, kills: int) -> None:
    draw = random.Random(kills)
    root = tmp_path / "killed"
    at_s = BEGIN_S
    for number in range(kills):
        if number % 3 == 0:
            landed.land(root / "log", at_s, at_s + 300)
            at_s += 300
        assert measured.dying(root, at_s + 1, after_s=draw.uniform(0.1, 3.0)) in (-signal.SIGKILL, 0)
    assert measured.run(root, engine, at_s + 1).ok
    assert measured.all_rows(root / "tables") == _undisturbed(tmp_path / "whole", engine, at_s)


@pytest.mark.no_cover
def test_killed_at_random_moments(duckdb: Engine, tmp_path: Path) -> None:
    _at_random(tmp_path, duckdb, 5)


@pytest.mark.soak
def test_killed_at_fifty_random_moments(duckdb: Engine, tmp_path: Path) -> None:
    _at_random(tmp_path, duckdb, 50)
