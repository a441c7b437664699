"""A dispatcher that serves on a real Redis: it goes round after round, and its lease passes on."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gslbtest import dispatcher
from gslbtest.process import SOON_S, end, free_port, running, wait_for_text
from gslbtest.stores import until, wait_for

from gslb.dispatch import rounds
from gslb.dispatch.process import serve
from gslb.dispatch.settings import Settings
from gslb.dispatch.solver import Solver
from gslb.store.interface import DISPATCH, Lease
from gslb.store.opening import open_writer


class Said:
    """A logger that keeps what it is told, as (event, what else)."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def note(self, event: str, **more: Any) -> None:
        self.lines.append((event, more))

    info = warning = error = note

    async def until(self, event: str) -> dict[str, Any]:
        """Wait until something is said; what else was said with it."""
        await until(lambda: any(said == event for said, _ in self.lines))
        return next(more for said, more in self.lines if said == event)


@contextlib.asynccontextmanager
async def serving(settings: Settings, solver: Solver) -> AsyncIterator[Said]:
    """A dispatcher at work in this process, stopped in the end."""
    said, stop = Said(), asyncio.Event()
    task = asyncio.create_task(serve(settings, said, stop, solver=solver))
    try:
        yield said
    finally:
        stop.set()
        await task


async def taken(settings: Settings, holder: str) -> Lease:
    writer = open_writer(settings.store)
    try:
        return await writer.take_lease(DISPATCH, holder, 1000)
    finally:
        await writer.close()


async def test_the_lease_is_kept_however_long_a_round_is(
    settings: Settings, solver: Solver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "LEASE_MS", 4000)
    (settings.zones / "dispatch.yaml").write_text("round_s: 3600\n")
    async with serving(settings, solver) as said:
        await said.until("published")
        first = await taken(settings, "other")
        while (later := await taken(settings, "other")).left_ms <= first.left_ms:
            assert later.token == 0
            first = later
            await asyncio.sleep(0.02)
        assert (later.token, first.token) == (0, 0)
    assert (await taken(settings, "other")).token, "given back in the end"


async def test_who_fails_gives_the_lease_back(settings: Settings, solver: Solver) -> None:
    path = settings.zones.parent / "demand.csv"
    path.write_text(path.read_text().replace(",4000000000\n", ",-4\n", 1))
    async with serving(settings, solver) as said:
        failed = await said.until("round failed, the last plan stays")
        assert "demand.csv:2:" in failed["reason"]
        assert (await taken(settings, "other")).token


async def test_a_stop_does_not_wait_for_the_solver(settings: Settings) -> None:
    (settings.zones / "dispatch.yaml").write_text("round_s: 3600\nsolve_limit_s: 3600\n")
    before = set(multiprocessing.active_children())
    async with serving(settings, Solver(dispatcher.slow)) as said:
        await until(lambda: bool(set(multiprocessing.active_children()) - before))
    assert not set(multiprocessing.active_children()) - before
    assert said.lines == []
    assert (await taken(settings, "other")).token


async def test_what_cannot_be_kept_is_told_and_published_all_the_same(settings: Settings, solver: Solver) -> None:
    (settings.state).mkdir()
    (settings.state / "dispatch").write_text("a file where a folder should be")
    async with serving(settings, solver) as said:
        await said.until("published")
        assert "is published, and not kept" in (await said.until("passed over"))["reason"]
        assert "dispatch" in (await said.until("round not kept"))["reason"]


def test_the_lease_passes_on_when_its_holder_is_killed(settings: Settings, tmp_path: Path) -> None:
    (settings.zones / "dispatch.yaml").write_text("round_s: 60\n")
    port = free_port()
    env = {
        "GSLB_ZONES": str(settings.zones),
        "GSLB_DATA": str(settings.data),
        "GSLB_STORE": settings.store,
        "GSLB_DEMAND": str(settings.demand),
    }
    lines = [
        [sys.executable, "-c", SHORT_LEASE, "dispatch", "--state", str(tmp_path / name), "--metrics", metrics]
        for name, metrics in (("one", "none"), ("two", f"127.0.0.1:{port}"))
    ]
    with running(lines[0], tmp_path / "one.log", env=env) as first:
        wait_for_text(first, tmp_path / "one.log", '"published"')
        with running(lines[1], tmp_path / "two.log", env=env) as second:
            wait_for_text(second, tmp_path / "two.log", "standby")
            assert 'gslb_dispatch_rounds_total{outcome="standby"}' in page(port, "metrics")
            first.kill()
            wait_for_text(second, tmp_path / "two.log", '"published"')
            wait_for(lambda: "gslb_dispatch_lease_held 1.0" in page(port, "metrics"))
            assert page(port, "readyz") == "published\n"
            assert end(second) == 0
    assert asyncio.run(taken(settings, "other")).token, "SIGTERM gives it back"


SHORT_LEASE = "from gslb.dispatch import rounds; rounds.LEASE_MS = 3000; from gslb.cli import main; main()"


def page(port: int, name: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=SOON_S) as reply:
            return str(reply.read().decode())
    except urllib.error.HTTPError as error:
        return str(error.read().decode())
