"""A dispatcher on a real Redis: it publishes, keeps the last plan when something fails, and passes its lease on."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from gslbtest import dispatcher
from gslbtest.stores import RedisServer

from gslb.dispatch.keeping import Keeper
from gslb.dispatch.process import once
from gslb.dispatch.rounds import DRY, FAILED, FROZEN, PUBLISHED, STANDBY, Done
from gslb.dispatch.settings import Settings
from gslb.dispatch.solver import Solver, SolverError
from gslb.model.override import KIND_DRAIN, Override, Target
from gslb.model.plan import DRAIN, PLAN_SUM, Plan
from gslb.plan.round import Made, Round
from gslb.store.interface import DISPATCH, Writer
from gslb.store.leases import holder
from gslb.store.opening import open_writer


def round_(settings: Settings, solver: Solver, *, dry: bool = False) -> Done:
    return asyncio.run(once(settings, dry=dry, solver=solver))


def asked(settings: Settings, use: Callable[[Writer], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        writer = open_writer(settings.store)
        try:
            return await use(writer)
        finally:
            await writer.close()

    return asyncio.run(run())


def current(settings: Settings) -> Plan | None:
    found: Plan | None = asked(settings, lambda writer: writer.plan())
    return found


def test_one_round_publishes_a_plan_and_keeps_it(settings: Settings, solver: Solver) -> None:
    done = round_(settings, solver)
    assert (done.outcome, done.reason) == (PUBLISHED, "")
    plan = current(settings)
    assert plan is not None
    assert [(row.country, row.primaries) for row in plan.rows] == [
        ("DE", (("fra-1", PLAN_SUM),)),
        ("FR", (("par-1", PLAN_SUM),)),
    ]
    assert set(plan.inputs) == {"demand", "files"}
    assert plan.rows[0].backups[0] == "par-1"
    keeper = Keeper(settings.state)
    assert keeper.versions() == [plan.version]
    assert keeper.plan(plan.version) == plan
    line = json.loads((settings.state / "dispatch" / "rounds.jsonl").read_text())
    assert line["outcome"] == PUBLISHED
    assert line["version"] == plan.version
    second = round_(settings, solver)
    assert second.outcome == PUBLISHED
    assert second.made is not None
    assert second.made.plan.base == plan.version
    assert second.made.report.moved_bps == 0


def test_a_dry_run_leaves_everything_alone(settings: Settings, solver: Solver) -> None:
    done = round_(settings, solver, dry=True)
    assert done.outcome == DRY
    assert done.made is not None
    assert current(settings) is None
    assert not settings.state.exists()
    assert asked(settings, lambda writer: writer.take_lease(DISPATCH, "else", 1000)).token


def test_a_dry_run_needs_no_store_and_may_be_of_another_time(tmp_path: Path, solver: Solver) -> None:
    settings = dispatcher.settings(dispatcher.network(tmp_path), "memory://")
    table = (tmp_path / "demand.csv").read_text()
    newest = table.splitlines()[-1].split(",")[0]
    (tmp_path / "demand.csv").write_text(table.replace(newest[:4], "2020"))
    assert "late: the newest bucket" in round_(settings, solver, dry=True).reason
    at_ms = round(datetime.fromisoformat(newest.replace(newest[:4], "2020")).timestamp() * 1000) + 360_000
    done = asyncio.run(once(settings, dry=True, at_ms=at_ms, solver=solver))
    assert (done.outcome, done.demand_age_s) == (DRY, 60.0)
    assert done.made is not None
    assert done.made.plan.issued_at_ms == at_ms
    assert done.made.plan.base == ""


def test_a_dry_run_of_before_the_plan_that_counts_goes_without_it(settings: Settings, solver: Solver) -> None:
    done = round_(settings, solver)
    assert done.made is not None
    plan = done.made.plan
    done = asyncio.run(once(settings, dry=True, at_ms=plan.issued_at_ms - 1, solver=solver))
    assert done.outcome == DRY
    assert done.warnings == (f"plan {plan.version} was issued later than --at: it does not count here",)


@pytest.mark.parametrize(
    ("rows", "outcome", "told"),
    [
        ([4 * 10**9, 5 * 10**9], PUBLISHED, ""),
        ([4 * 10**9, "nan"], FAILED, "live.csv:3:"),
        ([4 * 10**9, 10**13], FAILED, "× what it was"),
        ([], FAILED, "live.csv:0:0: there is no demand in it"),
        (None, FAILED, "live.csv:0:0: cannot be read: No such file"),
    ],
)
def test_live_demand_counts_and_its_faults_are_told(
    settings: Settings, solver: Solver, rows: list[int | str] | None, outcome: str, told: str
) -> None:
    live = settings.zones.parent / "live.csv"
    if rows is not None:
        dispatcher.measured_live(live, rows)
    done = round_(dataclasses.replace(settings, demand_live=live), solver)
    assert done.outcome == outcome, done.reason
    assert told in done.reason
    assert done.demand_age_s is not None
    if done.made is not None:
        assert set(done.made.plan.inputs) == {"demand", "demand_live", "files"}


def test_of_many_faults_the_first_are_told(settings: Settings, solver: Solver) -> None:
    path = settings.zones.parent / "demand.csv"
    path.write_text(path.read_text() + "soon,a\n" * 30)
    lines = round_(settings, solver).reason.splitlines()
    assert (len(lines), lines[-1]) == (21, "… and 10 more")


def _late(folder: Path) -> None:
    (folder / "demand.csv").write_text(
        "time,service,country,region,isp,demand_bps\n2020-01-01T00:00:00Z,pull.live.example.,DE,HE,dtag,1000\n"
    )


def _negative(folder: Path) -> None:
    path = folder / "demand.csv"
    path.write_text(path.read_text().replace(",4000000000\n", ",-4\n", 1))


def _units(folder: Path) -> None:
    path = folder / "demand.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-2], lines[-2] + "000", lines[-1]]) + "\n")


def _nowhere(folder: Path) -> None:
    (folder / "demand.csv").unlink()


def _broken(folder: Path) -> None:
    (folder / "zones" / "edges.yaml").write_text("edges: {fra-1: {pop: fra}}\n")


def _unplanned(folder: Path) -> None:
    path = folder / "zones" / "live.example.yaml"
    path.write_text(path.read_text().replace(", dispatch: true", ""))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_late, "late: the newest bucket"),
        (_negative, "demand.csv:2:"),
        (_units, "×"),
        (_nowhere, "cannot be read: No such file"),
        (_broken, "edges.yaml:1:"),
        (_unplanned, ""),
    ],
)
def test_what_is_wrong_is_told_and_the_last_plan_stays(
    settings: Settings, solver: Solver, spoil: Callable[[Path], None], told: str
) -> None:
    assert round_(settings, solver).outcome == PUBLISHED
    plan = current(settings)
    spoil(settings.zones.parent)
    done = round_(settings, solver)
    assert done.outcome == FAILED
    assert told in done.reason
    assert done.reason
    assert current(settings) == plan


def test_a_freeze_stops_publishing(settings: Settings, solver: Solver) -> None:
    assert round_(settings, solver).outcome == PUBLISHED
    plan = current(settings)
    until_ms = int(time.time() * 1000) + 60_000
    asked(settings, lambda writer: writer.freeze(until_ms, "ann", "a match"))
    done = round_(settings, solver)
    assert done.outcome == FROZEN
    assert done.reason.endswith("by ann: a match")
    assert current(settings) == plan
    asked(settings, lambda writer: writer.freeze(1, "ann", "over"))
    assert round_(settings, solver).outcome == PUBLISHED


def test_who_has_no_lease_stands_by(settings: Settings, solver: Solver) -> None:
    asked(settings, lambda writer: writer.take_lease(DISPATCH, "other:1:ab", 60_000))
    done = round_(settings, solver)
    assert done.outcome == STANDBY
    assert "other:1:ab has the lease" in done.reason
    assert current(settings) is None


def test_a_drain_empties_an_edge_at_once(settings: Settings, solver: Solver) -> None:
    assert round_(settings, solver).outcome == PUBLISHED
    now_s = int(time.time())
    drain = Override("d", KIND_DRAIN, Target(edge="fra-1"), now_s - 60, now_s + 3600, author="ann", reason="disks")
    asked(settings, lambda writer: writer.override(drain))
    done = round_(settings, solver)
    assert done.outcome == PUBLISHED, done.reason
    assert done.made is not None
    assert [(each.edge, each.reason, each.bps) for each in done.made.plan.forced] == [
        ("fra-1", DRAIN, done.made.plan.rows[0].demand_bps)
    ]
    assert all(edge != "fra-1" for row in done.made.plan.rows for edge, _ in row.primaries)


def test_a_plan_that_nobody_can_read_is_replaced(settings: Settings, solver: Solver, server: RedisServer) -> None:
    assert round_(settings, solver).outcome == PUBLISHED
    version = server.cli("GET", "{gslb}:plan:current")
    server.cli("HSET", f"{{gslb}}:plan:{version}", "sha256", "0" * 64)
    assert current(settings) is None
    done = round_(settings, solver)
    assert done.outcome == PUBLISHED, done.reason
    assert done.made is not None
    assert done.made.plan.base == version


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (dispatcher.slow, "the solver took more than 1 s and was stopped"),
        (dispatcher.dying, "the solver's process ended with -9"),
        (dispatcher.failing, "the solver failed: ValueError: numbers are too large"),
    ],
)
def test_a_solver_that_fails_costs_one_round(
    settings: Settings, solver: Solver, plan: Callable[[Round, Callable[[], float]], Made], told: str
) -> None:
    (settings.zones / "dispatch.yaml").write_text("solve_limit_s: 1\n")
    assert round_(settings, solver).outcome == PUBLISHED
    held = current(settings)
    done = round_(settings, Solver(plan))
    assert (done.outcome, done.reason) == (FAILED, told)
    assert current(settings) == held
    assert round_(settings, solver).outcome == PUBLISHED


def test_a_solver_is_started_again_after_it_was_killed() -> None:
    solver = Solver(dispatcher.failing)
    for _ in range(2):
        with pytest.raises(SolverError, match="too large"):
            solver.made(None, 30.0)
        solver.close()


def test_holders_differ() -> None:
    assert holder() != holder()
    assert " " not in holder()
