"""Decisions over what is served, as stories: what the files are, what a build makes of them, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import structlog.testing

from gslb.errors import ConfigError, ConfigErrors, GslbError
from gslb.server.reload import Reloader
from gslb.server.status import Built, Fault, Moved

WARNING = Fault("zones/a.yaml", 1, 2, "odd")
FAULT = Fault("zones/a.yaml", 3, 4, "wrong")
SMALL, LARGE = Moved("pull.", 0.3, 0.3), Moved("pull.", 0.31, 0.3)


class World:
    """The files (their generation), what a build of each generation comes to, and what was applied."""

    def __init__(self) -> None:
        self.files = "1"
        self.builds: dict[str, Built | Exception] = {}
        self.built: list[str] = []
        self.applied: list[str] = []
        self.trouble: Exception | None = None
        self.remembered: list[str] = []
        self.full = False
        self.reloader = Reloader(self._read, self._build, self._take, self._remember)

    async def _read(self) -> str:
        if self.files == "unreadable":
            raise ConfigErrors([ConfigError("zones/b.yaml", 0, 0, "cannot be read")])
        return self.files

    async def _build(self) -> Built:
        self.built.append(self.files)
        found = self.builds.get(self.files, Built(self.files, f"{self.files}.cat"))
        if isinstance(found, Exception):
            raise found
        return found

    async def _take(self, built: Built) -> None:
        if self.trouble:
            raise self.trouble
        self.applied.append(built.generation)

    async def _remember(self, built: Built) -> None:
        if self.full:
            raise OSError(28, "No space left on device", "state/applied")
        self.remembered.append(built.generation)

    async def reload(self, files: str, *, force: bool = False) -> str:
        """The state after a reading of these files."""
        self.files = files
        return (await self.reloader.reload(force=force)).state


@pytest.fixture
async def world() -> World:
    return World()


async def test_unchanged_files_are_not_built(world: World) -> None:
    assert await world.reload("1") == "ok"
    assert await world.reload("1") == "ok"
    assert (world.built, world.applied) == (["1"], ["1"])
    assert world.reloader.status.counts == {"applied": 1, "unchanged": 1, "failed": 0, "pending": 0}


async def test_what_is_adopted_is_the_base(world: World) -> None:
    world.reloader.adopt("1", (WARNING,))
    assert await world.reload("1") == "ok"
    assert (world.built, world.reloader.status.warnings) == ([], (WARNING,))


async def test_errors_change_nothing_and_warnings_come_back(world: World) -> None:
    world.builds["1"] = Built("1", "1.cat", warnings=(WARNING,))
    world.builds["2"] = Built("2", errors=(FAULT,))
    assert await world.reload("1") == "ok"
    assert await world.reload("2") == "failed"
    assert (world.reloader.status.errors, world.reloader.status.warnings) == ((FAULT,), ())
    assert await world.reload("1") == "ok"
    assert (world.reloader.status.errors, world.reloader.status.warnings) == ((), (WARNING,))
    assert world.applied == ["1"]


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (GslbError("the build ended with exit code -9"), "the build ended with exit code -9"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
        (KeyError("x"), "KeyError: 'x'"),
    ],
)
@pytest.mark.parametrize("where", ["build", "apply"])
async def test_trouble_changes_nothing(world: World, trouble: Exception, told: str, where: str) -> None:
    await world.reload("1")
    if where == "build":
        world.builds["2"] = trouble
    else:
        world.trouble = trouble
    assert await world.reload("2") == "failed"
    assert [str(fault) for fault in world.reloader.status.errors] == [told]
    assert world.applied == ["1"]
    world.builds.clear()
    world.trouble = None
    assert await world.reload("2") == "ok"
    assert world.applied == ["1", "2"]


async def test_what_is_served_but_not_remembered_is_told_and_tried_again(world: World) -> None:
    told = ["served, but could not be remembered: [Errno 28] No space left on device: 'state/applied'"]
    await world.reload("1")
    world.full = True
    for _ in range(2):
        assert await world.reload("2") == "ok"
        assert [str(fault) for fault in world.reloader.status.errors] == told
    assert (world.applied, world.remembered) == (["1", "2"], ["1"])
    assert await world.reload("1") == "ok"  # back again is a change: what is served is 2
    assert world.applied == ["1", "2", "1"]
    assert await world.reload("2") == "ok"
    world.full = False
    assert await world.reload("2") == "ok"
    assert (world.reloader.status.errors, world.remembered) == ((), ["1", "2"])
    assert await world.reload("2") == "ok"
    assert world.remembered == ["1", "2"]


async def test_a_fault_of_one_reload_does_not_end_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch, until: Callable[[Callable[[], object]], Awaitable[None]]
) -> None:
    monkeypatch.setattr("gslb.server.reload.SETTLE_S", 0.01)
    tell, told = world.reloader._tell, []

    def failing(result: str) -> None:
        told.append(result)
        if len(told) == 1:
            raise RuntimeError("the log is broken")
        tell(result)

    monkeypatch.setattr(world.reloader, "_tell", failing)
    running = asyncio.create_task(world.reloader.run())
    with structlog.testing.capture_logs() as logs:
        world.reloader.request()
        await until(lambda: told)
        world.files = "2"
        world.reloader.request()
        await until(lambda: len(told) == 2)
    assert world.applied == ["1", "2"]
    assert logs[0]["event"] == "reload met a fault of this program; the next change is tried again"
    running.cancel()


async def test_files_that_cannot_be_read(world: World) -> None:
    await world.reload("1")
    assert await world.reload("unreadable") == "failed"
    assert [str(fault) for fault in world.reloader.status.errors] == ["zones/b.yaml:0:0: cannot be read"]


async def test_at_the_limit_is_not_over_it(world: World) -> None:
    world.builds["2"] = Built("2", "2.cat", moved=(SMALL,))
    await world.reload("1")
    assert await world.reload("2") == "ok"


async def test_over_the_limit_is_held_until_forced(world: World) -> None:
    world.builds["2"] = Built("2", "2.cat", warnings=(WARNING,), moved=(SMALL, LARGE))
    await world.reload("1")
    assert await world.reload("2") == "pending"
    assert await world.reload("2") == "pending"
    pending = world.reloader.status.pending
    assert pending is not None
    assert (pending.generation, pending.held) == ("2", (LARGE,))
    assert world.built == ["1", "2"]  # what is held is not built again
    assert await world.reload("2", force=True) == "ok"
    assert (world.built, world.applied, world.reloader.status.pending) == (["1", "2"], ["1", "2"], None)


async def test_what_is_held_gives_way(world: World) -> None:
    world.builds["2"] = Built("2", "2.cat", moved=(LARGE,))
    world.builds["3"] = Built("3", errors=(FAULT,))
    await world.reload("1")
    assert await world.reload("2") == "pending"
    assert await world.reload("3") == "failed"
    assert world.reloader.status.pending is None
    assert await world.reload("1") == "ok"
    assert await world.reload("2") == "pending"
    assert await world.reload("4") == "ok"
    assert world.applied == ["1", "4"]


async def test_force_takes_a_large_change_at_once(world: World) -> None:
    world.builds["2"] = Built("2", "2.cat", moved=(LARGE,))
    await world.reload("1")
    assert await world.reload("2", force=True) == "ok"
    assert world.reloader.status.counts["pending"] == 0


async def test_nothing_is_held_without_a_base(world: World) -> None:
    world.builds["1"] = Built("1", "1.cat", moved=(LARGE,))
    assert await world.reload("1") == "ok"


async def test_the_build_saw_other_files(world: World) -> None:
    """They went back, between reading and building, to what is applied."""
    await world.reload("1")
    world.builds["2"] = Built("1", "1.cat")
    assert await world.reload("2") == "ok"
    assert world.applied == ["1"]


async def test_requests_are_gathered(
    world: World, monkeypatch: pytest.MonkeyPatch, until: Callable[[Callable[[], object]], Awaitable[None]]
) -> None:
    monkeypatch.setattr("gslb.server.reload.SETTLE_S", 0.01)
    running = asyncio.create_task(world.reloader.run())
    counts = world.reloader.status.counts
    for _ in range(10):
        world.reloader.request()
    await until(lambda: counts["applied"] == 1)
    world.files = "2"
    world.reloader.request()
    await until(lambda: counts["applied"] == 2)
    assert sum(counts.values()) == 2
    running.cancel()


async def test_each_outcome_is_told_once(world: World) -> None:
    world.builds["2"] = Built("2", errors=(FAULT,), warnings=(WARNING,))
    world.builds["3"] = Built("3", "3.cat", moved=(LARGE,))
    with structlog.testing.capture_logs() as logs:
        for files in ("1", "1", "2", "3", "1"):
            await world.reload(files)
    assert [(log["log_level"], log["event"]) for log in logs] == [
        ("info", "reload"),
        ("warning", "files: warning"),
        ("error", "files: error"),
        ("error", "reload failed, nothing changed"),
        ("error", "reload held: gslb apply --force lets it through"),
        ("info", "reload"),
    ]
    assert logs[2]["at"] == "zones/a.yaml:3:4"
    assert logs[4]["held"] == ["pull. 31.0% of at most 30.0%"]
