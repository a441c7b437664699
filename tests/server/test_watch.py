"""Watching directories: what counts as a change, directories that come and go, systems that cannot watch."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from gslbtest.process import SOON_S

from gslb.server import watch

Until = Callable[[Callable[[], object]], Awaitable[None]]


class Told:
    """How often a change was told."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1

    async def rests(self) -> None:
        """Wait until nothing more is told: a slow machine may tell one change in several parts."""
        async with asyncio.timeout(SOON_S):
            before = -1
            while before != self.count:
                before = self.count
                await asyncio.sleep(0.5)


@contextlib.asynccontextmanager
async def watching(*paths: Path) -> AsyncIterator[Told]:
    told = Told()
    task = asyncio.create_task(watch.watch(paths, told))
    try:
        yield told
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_MS", 200)
    monkeypatch.setattr(watch, "QUIET_MS", 20)


async def test_the_start_is_told_and_then_every_change(tmp_path: Path, until: Until) -> None:
    async with watching(tmp_path) as told:
        await until(lambda: told.count == 1)
        (tmp_path / "a").write_text("1")
        await until(lambda: told.count >= 2)
        await told.rests()
        before = told.count
        (tmp_path / "a").rename(tmp_path / "b")
        await until(lambda: told.count > before)
        await told.rests()


async def test_directories_that_come_go_and_come_back(tmp_path: Path, until: Until) -> None:
    there, later = tmp_path / "there", tmp_path / "later"
    there.mkdir()
    async with watching(there, later) as told:
        await until(lambda: told.count == 1)
        later.mkdir()
        await until(lambda: told.count >= 2)
        await told.rests()
        before = told.count
        (later / "a").write_text("1")
        await until(lambda: told.count > before)
        (later / "a").unlink()
        later.rmdir()
        await told.rests()
        before = told.count
        (there / "a").write_text("1")
        await until(lambda: told.count > before)


async def test_nothing_there_at_first(tmp_path: Path, until: Until) -> None:
    async with watching(tmp_path / "later") as told:
        await asyncio.sleep(0.3)
        (tmp_path / "later").mkdir()
        (tmp_path / "later" / "a").write_text("1")
        await until(lambda: told.count > 1)


async def test_a_system_that_cannot_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Until) -> None:
    async def awatch(*paths: Path, **options: Any) -> AsyncIterator[set[Any]]:
        raise OSError(28, "OS file watch limit reached")
        yield set()

    monkeypatch.setattr(watch.watchfiles, "awatch", awatch)
    monkeypatch.setattr(watch, "POLL_S", 0.02)
    with structlog.testing.capture_logs() as logs:
        async with watching(tmp_path) as told:
            await until(lambda: told.count >= 3)
    assert logs[0]["event"] == "files cannot be watched and are looked at instead"
    assert len(logs) == 1  # said once
