"""What every store does. The table runs on each kind of store; a kind is a function that makes one with a set clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from gslb.model.report import Report, StoreState
from gslb.store.interface import EXPIRE_MS, Store
from gslb.store.memory import MemoryStore

BEGIN = 1_700_000_000_000


@dataclass
class Clock:
    """A clock that stands until moved."""

    now_ms: int = BEGIN

    def __call__(self) -> int:
        return self.now_ms


async def _memory(clock: Clock) -> Store:
    return MemoryStore(clock)


Make = Callable[[Clock], Awaitable[Store]]


@pytest.fixture(params=[_memory], ids=["memory"])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes an empty store with the given clock."""
    found: Make = request.param
    return found


def said(edge: str, seq: int, epoch: int = 1, load_bps: int = 0) -> Report:
    return Report(edge, epoch, seq, received_ms=0, load_bps=load_bps)


async def test_an_empty_store(make: Make) -> None:
    store = await make(Clock())
    assert await store.state() == StoreState()
    assert (store.now_ms, store.connected, store.age_s) == (0, True, 0.0)


async def test_a_report_is_stamped_by_the_store(make: Make) -> None:
    clock = Clock()
    store = await make(clock)
    assert (await store.report(said("a", 1, load_bps=7))).accepted
    clock.now_ms += 1500
    assert (await store.report(said("b", 1))).accepted
    state = await store.state()
    assert state.now_ms == store.now_ms == BEGIN + 1500
    assert state.reports["a"] == Report("a", 1, 1, received_ms=BEGIN, load_bps=7)
    assert state.reports["b"].received_ms == BEGIN + 1500
    assert state.seen == {"a": BEGIN, "b": BEGIN + 1500}


ORDER = [
    # (epoch, seq) held, and then pushed; whether it is accepted
    ((1, 5), (1, 6), True),
    ((1, 5), (2, 0), True),
    ((1, 5), (1, 5), False),
    ((1, 5), (1, 4), False),
    ((2, 0), (1, 9), False),
]


@pytest.mark.parametrize(("held", "pushed", "accepted"), ORDER)
async def test_only_newer_reports_count(
    make: Make, held: tuple[int, int], pushed: tuple[int, int], accepted: bool
) -> None:
    clock = Clock()
    store = await make(clock)
    await store.report(said("a", held[1], held[0], load_bps=1))
    clock.now_ms += 10
    outcome = await store.report(said("a", pushed[1], pushed[0], load_bps=2))
    state = await store.state()
    assert outcome.accepted is accepted
    assert state.reports["a"].load_bps == (2 if accepted else 1)
    assert state.now_ms == BEGIN + (10 if accepted else 0)
    if not accepted:
        assert outcome.reason == (
            f"report of edge 'a': epoch {pushed[0]}, seq {pushed[1]} is not newer than epoch {held[0]}, seq {held[1]}"
        )


async def test_a_reading_does_not_change_afterwards(make: Make) -> None:
    store = await make(Clock())
    await store.report(said("a", 1))
    before = await store.state()
    await store.report(said("a", 2))
    await store.report(said("b", 1))
    assert (list(before.reports), before.reports["a"].seq) == (["a"], 1)
    assert list((await store.state()).reports) == ["a", "b"]


async def test_store_time_never_goes_back(make: Make) -> None:
    clock = Clock()
    store = await make(clock)
    await store.report(said("a", 1))
    clock.now_ms -= 60_000
    await store.report(said("a", 2))
    assert (await store.state()).now_ms == BEGIN


async def test_a_report_that_nobody_renews_vanishes(make: Make) -> None:
    clock = Clock()
    store = await make(clock)
    await store.report(said("a", 9))
    await store.report(said("b", 9))
    clock.now_ms += EXPIRE_MS
    await store.report(said("b", 10))
    state = await store.state()
    assert list(state.reports) == ["b"]
    assert state.seen == {"a": BEGIN, "b": BEGIN + EXPIRE_MS}
    assert (await store.report(said("a", 1))).accepted, "what has vanished is not compared with"


async def test_changes_are_told_and_none_is_lost(make: Make) -> None:
    store = await make(Clock())
    changes = store.changes()
    await store.report(said("a", 1))
    await store.report(said("b", 1))
    await asyncio.wait_for(anext(changes), 5)
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    assert not waiting.done(), "many writes may be one item"
    await store.report(said("a", 2))
    await asyncio.wait_for(waiting, 5)
    await store.report(said("a", 2))  # refused: no change
    late = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    assert not late.done()
    await store.close()
    with pytest.raises(StopAsyncIteration):
        await late


async def test_each_reader_has_its_own_changes(make: Make) -> None:
    store = await make(Clock())
    first, second = store.changes(), store.changes()
    await store.report(said("a", 1))
    await asyncio.wait_for(anext(first), 5)
    await asyncio.wait_for(anext(second), 5)


async def test_a_closed_store(make: Make) -> None:
    store = await make(Clock())
    await store.report(said("a", 1))
    await store.close()
    assert not store.connected
    assert await store.report(said("a", 2)) == (False, "the store is closed")
    assert (await store.state()).reports["a"].seq == 1
    assert [item async for item in store.changes()] == []


async def test_the_embedded_store_is_bounded() -> None:
    store = MemoryStore(Clock(), max_edges=2)
    for edge in ("a", "b"):
        assert (await store.report(said(edge, 1))).accepted
    outcome = await store.report(said("c", 1))
    assert outcome == (False, "report of edge 'c': 2 edges have reported already")
    assert (await store.report(said("a", 2))).accepted


async def test_the_embedded_store_has_a_clock_of_its_own() -> None:
    store = MemoryStore()
    await store.report(said("a", 1))
    first = store.now_ms
    await store.report(said("a", 2))
    assert first > BEGIN
    assert store.now_ms >= first
