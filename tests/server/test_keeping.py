"""The state kept on disk while the server runs: when it is saved, how trouble is told, and what a restart finds."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog.testing
from gslbtest.process import SOON_S

from gslb.model.override import Override, Target
from gslb.model.plan import Plan
from gslb.model.report import Report, StoreState
from gslb.server import keeping
from gslb.server.keeping import LEAST_S, LOADS_S, Keeper, matters
from gslb.store import kept
from gslb.store.memory import MemoryStore

T = 1_795_530_600_000
ORDER = Override("o", "drain", Target(edge="a"), T // 1000, T // 1000 + 60, author="ana", reason="r")


class Turns:
    """Time for a keeper: it stands still while the keeper sleeps, until a test lets it go on."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.asked = 0
        self._go = asyncio.Semaphore(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        assert seconds == LEAST_S
        self.asked += 1
        await self._go.acquire()
        self.now_s += seconds

    async def turn(self, count: int = 1) -> None:
        """Let the keeper look, so many times."""
        for _ in range(count):
            wanted = self.asked + 1
            self._go.release()
            async with asyncio.timeout(SOON_S):
                while self.asked < wanted:  # noqa: ASYNC110 a thread may be writing meanwhile
                    await asyncio.sleep(0.001)


class World:
    """A keeper at work for an embedded store, on real files, with the times at which it saved."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, held: StoreState | None = None) -> None:
        self.clock_ms = T
        self.folder = folder
        self.turns = Turns()
        held = held or StoreState()
        self.store = MemoryStore(lambda: self.clock_ms, held=held)
        self.keeper = Keeper(self.store, folder, held)
        self.saved_s: list[float] = []
        self.seq = 0
        self._save = kept.save
        monkeypatch.setattr(keeping, "asyncio", self.turns)
        monkeypatch.setattr(keeping, "time", SimpleNamespace(monotonic=lambda: self.turns.now_s, time=lambda: 5.0))
        monkeypatch.setattr(kept, "save", self.save)

    def save(self, state_dir: Path, state: StoreState, **how: bool) -> None:
        self.saved_s.append(self.turns.now_s)
        self._save(state_dir, state, **how)

    async def report(self, edge: str = "a", **said: Any) -> None:
        self.clock_ms += 100
        self.seq += 1
        assert (await self.store.report(Report(edge, 1, self.seq, 0, **said))).accepted

    def left(self) -> list[str]:
        return [path.name for path in self.folder.iterdir()]

    async def is_saved(self) -> bool:
        return kept.load(self.folder) == dataclasses.replace(await self.store.state(), plan_base=None)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    found = World(tmp_path / "state", monkeypatch)
    running = asyncio.ensure_future(found.keeper.run())
    await found.turns.turn(0)
    yield found
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_nothing_new_is_not_saved(world: World) -> None:
    await world.turns.turn(20)
    assert (world.saved_s, world.keeper.saved_s, world.folder.exists()) == ([], 0.0, False)


async def test_what_was_held_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that was never reached gives what was held, each time anew; what another version wrote is not lost."""
    world = World(tmp_path, monkeypatch, dataclasses.replace(StoreState(), now_ms=T))
    kept_file = tmp_path / kept.STATE
    kept_file.write_text("another version's")

    async def state() -> StoreState:
        return dataclasses.replace(StoreState(), now_ms=T)

    monkeypatch.setattr(world.store, "state", state)
    running = asyncio.ensure_future(world.keeper.run())
    await world.turns.turn(10)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await world.keeper.end()
    assert (world.saved_s, kept_file.read_text()) == ([], "another version's")


async def test_what_is_new_is_saved_once(world: World) -> None:
    await world.report()
    await world.turns.turn()
    assert await world.is_saved()
    assert (len(world.saved_s), world.keeper.saved_s, world.keeper.failed) == (1, 5.0, "")
    await world.turns.turn(20)
    assert len(world.saved_s) == 1


async def test_loads_are_saved_now_and_then(world: World) -> None:
    for load_bps in range(40):
        await world.report(load_bps=load_bps)
        await world.turns.turn()
    assert len(world.saved_s) == 8
    assert {after - before for before, after in zip(world.saved_s, world.saved_s[1:], strict=False)} == {LOADS_S}


async def test_what_matters_is_saved_at_the_next_look(world: World) -> None:
    await world.report()
    await world.turns.turn()
    for health in ("down", "up", "down", "up"):
        await world.report(health4=health)
        await world.report(health6=health)
        await world.turns.turn()
        assert await world.is_saved()
    assert len(world.saved_s) == 5
    assert {after - before for before, after in zip(world.saved_s, world.saved_s[1:], strict=False)} == {LEAST_S}


async def test_a_plan_is_written_once(world: World) -> None:
    """A large one has ten megabytes, and loads change all the time."""
    written = []
    for at in range(3):
        assert (await world.store.publish(Plan(f"v{at}", f"v{at - 1}" if at else ""))).accepted
        for load_bps in range(2 * round(LOADS_S)):
            await world.report(load_bps=load_bps)
            await world.turns.turn()
            written.append((world.folder / kept.PLAN).stat().st_ino)
        await world.turns.turn(round(LOADS_S))
        assert await world.is_saved()
    assert len(world.saved_s) > 6
    assert sum(before != after for before, after in pairwise(written)) == 2


async def test_trouble_is_told_and_saving_tried_again(world: World) -> None:
    world.folder.write_text("in the way")
    with structlog.testing.capture_logs() as logs:
        for _ in range(12):
            await world.report(health4="down")
            await world.report(health4="up")
            await world.turns.turn()
    assert [log["event"] for log in logs] == ["the state of the store could not be saved"]
    assert "state" in logs[0]["reason"]
    assert logs[0]["reason"] == world.keeper.failed
    assert world.keeper.saved_s == 0.0
    assert {after - before for before, after in zip(world.saved_s, world.saved_s[1:], strict=False)} == {LOADS_S}
    world.folder.unlink()
    await world.turns.turn(5)
    assert await world.is_saved()
    assert (world.keeper.failed, world.keeper.saved_s) == ("", 5.0)


async def test_a_fault_of_the_program_is_no_other_trouble(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(state_dir: Path, state: StoreState, **how: bool) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(kept, "save", save)
    with structlog.testing.capture_logs() as logs:
        await world.report()
        await world.turns.turn()
    assert [log["event"] for log in logs] == ["saving the state met a fault of this program"]
    assert world.keeper.failed == "ZeroDivisionError: oh"


async def test_the_last_state_is_saved_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch)
    await world.keeper.end()
    assert world.saved_s == []
    await world.report()
    await world.keeper.end()
    assert await world.is_saved()
    await world.keeper.end()
    assert len(world.saved_s) == 1
    again = World(tmp_path, monkeypatch, kept.load(tmp_path))
    assert await again.store.state() == await world.store.state(), "a restart begins with it"
    await again.keeper.end()
    assert again.saved_s == []


async def test_the_end_waits_for_what_is_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that write one file at once could leave it torn, or the older state in it."""
    world = World(tmp_path, monkeypatch)
    begun, go_on = threading.Event(), threading.Event()
    inner, writing = world._save, []

    def save(state_dir: Path, state: StoreState, **how: bool) -> None:
        writing.append("begun")
        begun.set()
        assert go_on.wait(SOON_S)
        inner(state_dir, state, **how)
        writing.append("ended")

    monkeypatch.setattr(kept, "save", save)
    running = asyncio.ensure_future(world.keeper.run())
    await world.report()
    await asyncio.sleep(0)
    world.turns._go.release()
    assert await asyncio.to_thread(begun.wait, 20)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await world.report(health4="down")
    ending = asyncio.ensure_future(world.keeper.end())
    await asyncio.sleep(0.05)
    assert writing == ["begun"]
    go_on.set()
    await asyncio.wait_for(ending, SOON_S)
    assert writing == ["begun", "ended"] * 2
    assert await world.is_saved()
    assert world.left() == ["state.json"]


STATE = StoreState(T, {"a": Report("a", 1, 1, T)}, {"a": T})


def told(**said: Any) -> Callable[[], StoreState]:
    return lambda: dataclasses.replace(STATE, reports={"a": dataclasses.replace(STATE.reports["a"], **said)})


MATTERS: list[tuple[Callable[[], StoreState], bool]] = [
    # another state, and whether it differs by more than loads and times
    (lambda: dataclasses.replace(STATE), False),
    (lambda: dataclasses.replace(STATE, now_ms=T + 5, seen={"a": T + 5}), False),
    (told(seq=2, received_ms=T + 5, load_bps=5, sessions=5, headroom_milli=500), False),
    (told(health4="down"), True),
    (told(health6="drain"), True),
    (told(since_ms=5), True),
    (told(slow_since_ms=5), True),
    (told(valid_ms=5), True),
    (told(capacity_bps=5), True),
    (lambda: dataclasses.replace(STATE, reports={}), True),
    (lambda: dataclasses.replace(STATE, seen={"a": T, "b": T}), True),
    (lambda: dataclasses.replace(STATE, gap_end_ms=T), True),
    (lambda: dataclasses.replace(STATE, overrides={"o": ORDER}), True),
    (lambda: dataclasses.replace(STATE, plan=Plan("v1")), True),
]


@pytest.mark.parametrize(("other", "wanted"), MATTERS)
def test_what_matters(other: Callable[[], StoreState], wanted: bool) -> None:
    assert matters(STATE, other()) is wanted
