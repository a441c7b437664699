"""What every store does. The table runs on each kind of store; a kind is a function that makes one with a set clock."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from gslbtest.clocked import BEGIN, Clock, clocked_redis, drain
from gslbtest.process import SOON_S
from gslbtest.stores import RedisServer, becomes

from gslb.errors import GslbError
from gslb.model.plan import Plan
from gslb.model.report import DOWN, DRAIN, UP, Report, StoreState
from gslb.store.interface import DISPATCH, EXPIRE_MS, OVERRIDE_KEPT_S, Store, StoreError
from gslb.store.memory import MemoryStore
from gslb.store.memory_plans import MAX_LEASES


@contextlib.asynccontextmanager
async def _memory(clock: Clock, _: RedisServer) -> AsyncIterator[Store]:
    yield MemoryStore(clock)


Make = Callable[[Clock], Awaitable[Store]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis for all tests of this module."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as found:
        yield found


@pytest.fixture(params=[_memory, clocked_redis], ids=["memory", "redis"])
async def make(request: pytest.FixtureRequest, server: RedisServer) -> AsyncIterator[Make]:
    """Makes an empty store with the given clock."""
    async with contextlib.AsyncExitStack() as stack:

        async def made(clock: Clock) -> Store:
            store: Store = await stack.enter_async_context(request.param(clock, server))
            return store

        yield made


def said(edge: str, seq: int, epoch: int = 1, load_bps: int = 0) -> Report:
    return Report(edge, epoch, seq, received_ms=0, load_bps=load_bps)


async def test_an_empty_store(make: Make) -> None:
    store = await make(Clock())
    assert await store.state() == StoreState()
    assert (store.now_ms, store.connected, store.age_s, store.faults) == (0, True, 0.0, {})
    assert await store.latest("a") is None
    assert await store.overrides() == ()


async def test_a_report_is_stamped_by_the_store(make: Make) -> None:
    clock = Clock()
    store = await make(clock)
    assert (await store.report(said("a", 1, load_bps=7))).accepted
    clock.now_ms += 1500
    forged = dataclasses.replace(said("b", 1), received_ms=5, slow_since_ms=6)
    assert (await store.report(forged)).accepted
    state = await store.state()
    assert state.now_ms == store.now_ms == BEGIN + 1500
    assert state.reports["a"] == Report("a", 1, 1, received_ms=BEGIN, load_bps=7)
    assert state.reports["b"] == Report("b", 1, 1, received_ms=BEGIN + 1500)
    assert state.seen == {"a": BEGIN, "b": BEGIN + 1500}
    assert await store.latest("b") == state.reports["b"]
    assert await store.latest("c") is None
    assert await store.latest("no name") is None


async def test_every_field_comes_through(make: Make) -> None:
    store = await make(Clock())
    whole = Report("a.b-c_9", 2**62, 2**63 - 1, 0, 5, DRAIN, DOWN, 10**15, 10**15, 0, 2**63 - 1, 7 * 86_400_000)
    assert (await store.report(whole)).accepted
    assert (await store.state()).reports == {whole.edge: dataclasses.replace(whole, received_ms=BEGIN)}
    assert await store.latest(whole.edge) == dataclasses.replace(whole, received_ms=BEGIN)


ORDER = [
    # (epoch, seq) held, and then pushed; whether it is accepted
    ((1, 5), (1, 6), True),
    ((1, 5), (2, 0), True),
    ((1, 9), (1, 10), True),
    ((9, 0), (10, 0), True),
    ((2**62, 2**62), (2**62, 2**62 + 1), True),
    ((1, 5), (1, 5), False),
    ((1, 5), (1, 4), False),
    ((2, 0), (1, 9), False),
    ((10, 0), (9, 99), False),
    ((2**62, 2**62 + 1), (2**62, 2**62), False),
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


UNFIT = [
    (
        Report("no name", 1, 1, 0),
        "report of edge 'no name': the name is not letters, digits, dots, hyphens and underscores, at most 63",
    ),
    (
        Report("a", -1, 1, 0, health4="dwon", headroom_milli=1001),
        "report of edge 'a': epoch: '-1' is not a decimal number from 0 to 9223372036854775807;"
        " headroom_milli: '1001' is not a decimal number from 0 to 1000; health4: 'dwon' is not one of up, down, drain",
    ),
]


@pytest.mark.parametrize(("report", "reason"), UNFIT, ids=["name", "fields"])
async def test_an_unfit_report_is_refused_with_every_fault(make: Make, report: Report, reason: str) -> None:
    store = await make(Clock())
    assert await store.report(report) == (False, reason)
    assert await store.state() == StoreState()


async def test_a_reading_does_not_change_afterwards(make: Make) -> None:
    store = await make(Clock())
    await store.report(said("a", 1))
    before = await store.state()
    await store.report(said("a", 2))
    await store.report(said("b", 1))
    await store.override(drain("d", BEGIN // 1000 + 60))
    assert (list(before.reports), before.reports["a"].seq, before.overrides) == (["a"], 1, {})
    assert sorted((await store.state()).reports) == ["a", "b"]


# Time.


BACK = [
    # by how much the clock is set back; store time afterwards
    (5_000, BEGIN),
    (10_000, BEGIN),
    (60_000, BEGIN - 60_000),
]


@pytest.mark.parametrize(("back_ms", "now_ms"), BACK)
async def test_a_clock_that_is_set_back(make: Make, back_ms: int, now_ms: int) -> None:
    """By little: store time stands until the clock is there again. By more: it begins anew, and so do ages."""
    clock = Clock(BEGIN - 1000)
    store = await make(clock)
    await store.report(said("old", 1))
    clock.now_ms = BEGIN
    await store.report(said("a", 1))
    clock.now_ms -= back_ms
    await store.report(said("a", 2))
    state = await becomes(store, lambda state: state.now_ms == now_ms)
    assert state.reports["a"].received_ms == now_ms
    assert state.heard_ms(state.reports["old"].received_ms) == (BEGIN - 1000 if now_ms == BEGIN else now_ms)
    assert state.heard_ms(state.seen["old"]) == (BEGIN - 1000 if now_ms == BEGIN else now_ms)
    clock.now_ms += 2000
    await store.report(said("a", 3))
    state = await store.state()
    assert state.now_ms == max(now_ms, clock.now_ms)
    assert state.heard_ms(state.reports["old"].received_ms) == (BEGIN - 1000 if now_ms == BEGIN else now_ms)


SECONDS = [1000] * 10
GAPS = [
    # ms between one report and the next; the gap after each
    ([], (0, BEGIN)),
    ([3000], (0, BEGIN)),
    ([3001], (BEGIN, BEGIN + 3001)),
    ([3001, 3000], (BEGIN, BEGIN + 3001)),
    ([5000, *SECONDS, 1000, 9000], (BEGIN + 16_000, BEGIN + 25_000)),
    ([5000, *SECONDS, 9000], (BEGIN, BEGIN + 24_000)),
    ([12_000, 0, 300_000], (BEGIN, BEGIN + 312_000)),
    ([5000, 5000, 5000], (BEGIN + 10_000, BEGIN + 15_000)),
    ([5000, 5000, 5000, 5000], (BEGIN + 10_000, BEGIN + 20_000)),
]


@pytest.mark.parametrize(("steps", "gap"), GAPS)
async def test_time_through_which_nobody_wrote(make: Make, steps: list[int], gap: tuple[int, int]) -> None:
    clock = Clock()
    store = await make(clock)
    await store.report(said("a", 1))
    for seq, step_ms in enumerate(steps, 2):
        clock.now_ms += step_ms
        await store.report(said("a", seq))
    state = await store.state()
    assert (state.gap_begin_ms, state.gap_end_ms) == gap


SLOW = [
    # what an edge said before, what it says after so many ms through which another edge reported; whether it came back
    ((UP, UP, 0), (UP, UP), 9_000, False),
    ((UP, UP, 0), (UP, UP), 12_000, True),
    ((UP, UP, 20_000), (UP, UP), 12_000, False),
    ((UP, UP, 2_000), (UP, UP), 4_000, True),
    ((DOWN, UP, 0), (UP, UP), 2_000, False),
    ((DOWN, DOWN, 0), (UP, DOWN), 2_000, True),
    ((DRAIN, DOWN, 0), (DOWN, UP), 2_000, True),
    ((DRAIN, DRAIN, 0), (DRAIN, DOWN), 12_000, False),
]


@pytest.mark.parametrize(("before", "after", "later_ms", "slow"), SLOW)
async def test_who_comes_back_starts_slowly(
    make: Make, before: tuple[str, str, int], after: tuple[str, str], later_ms: int, slow: bool
) -> None:
    clock = Clock()
    store = await make(clock)
    await store.report(said("other", 1))
    held = Report("a", 1, 1, 0, health4=before[0], health6=before[1], valid_ms=before[2])
    await store.report(held)
    for seq in range(2, 2 + later_ms // 1000):
        clock.now_ms += 1000
        await store.report(said("other", seq))
    await store.report(Report("a", 1, 2, 0, health4=after[0], health6=after[1]))
    state = await store.state()
    assert state.reports["a"].slow_since_ms == (clock.now_ms if slow else 0)
    await store.report(Report("a", 1, 3, 0, health4=after[0], health6=after[1]))
    assert (await store.state()).reports["a"].slow_since_ms == (clock.now_ms if slow else 0), "it is remembered"


async def test_nobody_starts_slowly_after_a_time_through_which_nobody_wrote(make: Make) -> None:
    clock = Clock()
    store = await make(clock)
    for edge in ("a", "b"):
        await store.report(said(edge, 1))
    clock.now_ms += 3_600_000
    for edge in ("a", "b"):
        await store.report(said(edge, 2))
    assert {report.slow_since_ms for report in (await store.state()).reports.values()} == {0}


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


# Overrides.


async def test_overrides_are_written_replaced_and_cancelled(make: Make) -> None:
    store = await make(Clock())
    later = BEGIN // 1000 + 3600
    assert (await store.override(drain("works", later))).accepted
    assert (await store.override(drain("a-first", later, "ams"))).accepted
    assert await store.overrides() == (drain("a-first", later, "ams"), drain("works", later))
    assert (await store.override(drain("works", BEGIN // 1000))).accepted
    state = await store.state()
    assert state.overrides == {"a-first": drain("a-first", later, "ams"), "works": drain("works", BEGIN // 1000)}
    assert await store.overrides() == tuple(state.overrides[name] for name in sorted(state.overrides))
    assert state.now_ms == BEGIN, "an override is an entry too"


async def test_an_unfit_override_is_refused_with_every_fault(make: Make) -> None:
    store = await make(Clock())
    wrong = dataclasses.replace(drain("Works", BEGIN // 1000), kind="pause", reason="")
    outcome = await store.override(wrong)
    assert outcome == (
        False,
        "override: id: 'Works' is not 1 to 63 of a–z, 0–9, dot, hyphen and underscore, not beginning with a sign;"
        " kind: 'pause' is not one of drain, ramp, pin; reason: is missing",
    )
    assert await store.overrides() == ()


async def test_the_embedded_store_forgets_overrides_some_time_after_their_end() -> None:
    clock = Clock()
    held = StoreState(overrides={"held": drain("held", BEGIN // 1000 + 30)})
    store = MemoryStore(clock, held=held)
    assert await store.state() is held
    await store.override(drain("soon", BEGIN // 1000 + 60))
    await store.override(drain("past", BEGIN // 1000 - 3600))
    found = []
    for after_s in (0, OVERRIDE_KEPT_S - 1, OVERRIDE_KEPT_S, OVERRIDE_KEPT_S + 29, OVERRIDE_KEPT_S + 30):
        clock.now_ms = BEGIN + 1000 * after_s
        found.append([each.id for each in await store.overrides()])
        assert sorted((await store.state()).overrides) == found[-1]
    assert found == [["held", "past", "soon"], ["held", "past", "soon"], ["held", "soon"], ["held", "soon"], ["soon"]]


@pytest.mark.parametrize(("end_s", "kept_s"), [(60, OVERRIDE_KEPT_S + 60), (-3600, OVERRIDE_KEPT_S)])
async def test_redis_forgets_overrides_some_time_after_their_end(server: RedisServer, end_s: int, kept_s: int) -> None:
    async with clocked_redis(Clock(), server) as store:
        await store.override(drain("works", BEGIN // 1000 + end_s))
        left_s = int(server.cli("TTL", "{gslb}:override:works"))
        assert kept_s - 30 < left_s <= kept_s


# Changes, and the end.


async def test_changes_are_told_and_none_is_lost(make: Make) -> None:
    store = await make(Clock())
    changes = store.changes()
    await store.report(said("a", 1))
    await store.report(said("b", 1))
    await asyncio.wait_for(anext(changes), SOON_S)
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    assert not waiting.done(), "many writes may be one item"
    await store.report(said("a", 2))
    await asyncio.wait_for(waiting, SOON_S)
    await store.report(said("a", 2))  # refused: no change
    late = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    assert not late.done()
    await store.override(drain("works", BEGIN // 1000 + 60))
    await asyncio.wait_for(late, SOON_S)
    last = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    assert not last.done()
    await store.close()
    with pytest.raises(StopAsyncIteration):
        await last


async def test_each_reader_has_its_own_changes(make: Make) -> None:
    store = await make(Clock())
    first, second = store.changes(), store.changes()
    await store.report(said("a", 1))
    await asyncio.wait_for(anext(first), SOON_S)
    await asyncio.wait_for(anext(second), SOON_S)


async def test_a_closed_store(make: Make) -> None:
    store = await make(Clock())
    await store.report(said("a", 1))
    await store.close()
    assert not store.connected
    assert await store.report(said("a", 2)) == (False, "the store is closed")
    assert await store.override(drain("works", BEGIN // 1000)) == (False, "the store is closed")
    assert (await store.state()).reports["a"].seq == 1
    assert [item async for item in store.changes()] == []


# The embedded store alone.


async def test_the_embedded_store_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore(Clock(), max_edges=2)
    for edge in ("a", "b"):
        assert (await store.report(said(edge, 1))).accepted
    outcome = await store.report(said("c", 1))
    assert outcome == (False, "report of edge 'c': 2 edges have reported already")
    assert (await store.report(said("a", 2))).accepted
    monkeypatch.setattr("gslb.store.memory.MAX_OVERRIDES", 1)
    assert (await store.override(drain("one", BEGIN // 1000))).accepted
    assert await store.override(drain("two", BEGIN // 1000)) == (
        False,
        "override 'two': 1 overrides are kept already",
    )
    assert (await store.override(drain("one", BEGIN // 1000 + 60))).accepted


async def test_the_embedded_store_has_a_clock_of_its_own() -> None:
    store = MemoryStore()
    await store.report(said("a", 1))
    first = store.now_ms
    await store.report(said("a", 2))
    assert BEGIN < first <= store.now_ms <= store.clock_ms


async def test_the_embedded_store_goes_on_from_what_was_held() -> None:
    clock = Clock()
    first = MemoryStore(clock)
    await first.report(said("a", 5))
    await first.override(drain("works", BEGIN // 1000 + 60))
    held = await first.state()
    clock.now_ms += 60_000
    second = MemoryStore(clock, held=held)
    assert await second.state() is held
    assert not (await second.report(said("a", 5))).accepted
    assert (await second.report(said("b", 1))).accepted
    state = await second.state()
    assert (state.gap_begin_ms, state.gap_end_ms) == (BEGIN, BEGIN + 60_000)
    assert state.heard_ms(state.reports["a"].received_ms) == BEGIN + 60_000, "nobody aged while it was away"
    assert list(state.overrides) == ["works"]


async def test_the_embedded_store_goes_on_from_the_plan_that_was_held() -> None:
    """Leases and a freeze are forgotten; a token of before opens nothing."""
    clock = Clock()
    first = MemoryStore(clock)
    old = await first.take_lease(DISPATCH, "a", 60_000)
    assert (await first.publish(Plan("v1"), old.token)).accepted
    assert (await first.publish(Plan("v2", "v1"), old.token)).accepted
    await first.freeze(BEGIN + 60_000, "ana", "match")
    clock.now_ms += 1
    second = MemoryStore(clock, held=dataclasses.replace(await first.state(), plan_base=None))
    assert (await second.plan_versions(), await second.plan(), await second.frozen()) == (
        ("v2",),
        Plan("v2", "v1"),
        None,
    )
    assert not (await second.publish(Plan("v3", "v2"), old.token)).accepted
    new = await second.take_lease(DISPATCH, "a", 60_000)
    assert new.token > old.token
    assert (await second.publish(Plan("v3", "v2"), new.token)).accepted
    assert (await second.state()).plan_base == Plan("v2", "v1")
    clock.now_ms += EXPIRE_MS
    assert (await second.plan_versions(), await second.plan("v3")) == ((), None)


async def test_the_embedded_store_keeps_few_leases() -> None:
    store = MemoryStore(Clock())
    for at in range(MAX_LEASES):
        await store.take_lease(f"l{at}", "a", 1)
    with pytest.raises(GslbError, match=f"lease 'more': {MAX_LEASES} leases are kept already"):
        await store.take_lease("more", "a", 1)
    assert (await store.take_lease("l0", "a", 1)).token


async def test_a_closed_embedded_store_publishes_nothing() -> None:
    store = MemoryStore(Clock())
    await store.close()
    closed = (False, "the store is closed")
    assert await store.publish(Plan("v1")) == closed
    assert await store.drop_lease(DISPATCH, "a") == closed
    assert await store.freeze(0, "a", "b") == closed
    with pytest.raises(StoreError, match="the store is closed"):
        await store.take_lease(DISPATCH, "a", 1)


async def test_a_plan_is_an_entry(make: Make) -> None:
    clock = Clock()
    store = await make(clock)
    changes = store.changes()
    assert (await store.publish(Plan("v1"))).accepted
    await asyncio.wait_for(anext(changes), SOON_S)
    clock.now_ms += 5
    assert (await store.publish(Plan("v2", "v1"))).accepted
    state = await store.state()
    assert (state.now_ms, state.plan, state.plan_base) == (BEGIN + 5, Plan("v2", "v1"), Plan("v1"))
