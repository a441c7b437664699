"""The agent at work in a time of its own: what it pushes as probes, loads and the store come and go."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from gslbtest.agents import BEGIN_S, EDGE, Log, Scene, Weak, tcp
from gslbtest.process import SOON_S

from gslb.agent.config import Config, Source
from gslb.agent.log import Troubles
from gslb.agent.pushing import Pusher
from gslb.agent.run import Timing, serve
from gslb.errors import GslbError
from gslb.health.state import Measurement
from gslb.model.report import Report
from gslb.store.interface import Outcome
from gslb.store.memory import MemoryStore

Start = Callable[[Config], Scene]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    scenes: list[Scene] = []

    def begin(config: Config) -> Scene:
        scenes.append(Scene(tmp_path, config))
        return scenes[-1]

    yield begin
    for scene in scenes:
        if scene.task is not None and not scene.task.done():
            scene.weak.mood = "gone"
            await scene.end()


async def test_it_pushes_each_second_with_jitter(start: Start) -> None:
    scene = start(Config(EDGE, "x", valid_ms=9000))
    scene.begin()
    await scene.time.to(100.0)
    pushed = scene.weak.pushed
    assert scene.ready == 1
    assert 95 <= len(pushed) <= 105
    times = [report.received_ms for report in pushed]
    assert times == [0] * len(times), "the store sets it"
    assert [report.seq for report in pushed] == list(range(1, len(pushed) + 1))
    assert {report.epoch for report in pushed} == {BEGIN_S}
    assert {report.valid_ms for report in pushed} == {9000}
    assert (await scene.held()).headroom_milli == -1
    assert await scene.health() == ("up", "up")


async def test_the_jitter_is_a_tenth(start: Start) -> None:
    scene = start(Config(EDGE, "x", probes=(tcp(),)))
    scene.begin()
    await scene.time.to(50.0)
    between = [round(after - before, 6) for before, after in zip(scene.asked, scene.asked[1:], strict=False)]
    assert len(set(between)) > 40
    assert 0.9 <= min(between) < 0.95
    assert 1.05 < max(between) <= 1.1


async def test_rise_and_fall_reach_the_store(start: Start) -> None:
    scene = start(Config(EDGE, "x", probes=(tcp(1), tcp(2, four=False, six=True), tcp(3, four=True, six=True))))
    scene.begin()
    await scene.time.to(5.0)
    assert await scene.health() == ("up", "up")
    scene.failing = {1}
    await scene.time.to(6.6)
    assert await scene.health() == ("up", "up"), "two failures are not enough"
    await scene.time.to(10.0)
    assert await scene.health() == ("down", "up")
    assert 5000 < (await scene.held()).since_ms - BEGIN_S * 1000 < 10_000
    scene.failing = {3}
    await scene.time.to(15.0)
    assert await scene.health() == ("down", "down"), "what counts for both"
    scene.failing = set()
    await scene.time.to(20.0)
    assert await scene.health() == ("up", "up")
    said = [fields for event, fields in scene.log.said if event == "probe down"]
    assert [each["probe"] for each in said] == ["tcp h:1 (IPv4)", "tcp h:3 (IPv4 and IPv6)"]
    assert said[0]["reason"] == "connection refused"
    assert scene.log.events().count("probe up") == 5


async def test_a_dead_edge_says_so_at_once(start: Start) -> None:
    scene = start(Config(EDGE, "x", probes=(tcp(),)))
    scene.failing = {1}
    scene.begin()
    await scene.time.to(0.0)
    assert await scene.health() == ("down", "up")
    assert scene.weak.pushed[0].health4 == "down"


async def test_probes_that_take_long_delay_the_first_push_by_an_interval(start: Start) -> None:
    scene = start(Config(EDGE, "x", probes=(tcp(),)))
    answer = asyncio.Event()

    async def late() -> None:
        await answer.wait()

    scene.check = lambda probe, target: late  # type: ignore[method-assign]  # a probe that answers when told to
    scene.begin()
    await scene.time.to(0.9)
    assert scene.weak.pushed == []
    await scene.time.to(1.1)
    assert await scene.health() == ("up", "up"), "nothing is known, and nothing was: as before it reported"
    answer.set()


async def test_it_goes_on_from_what_is_held(start: Start) -> None:
    scene = start(Config(EDGE, "x", probes=(tcp(),), load=Source("interface", ("eth0",)), capacity_bps=10_000))
    held = Report(EDGE, BEGIN_S + 50, 7, 0, since_ms=5, health4="down", health6="down", load_bps=9000)
    await scene.store.report(dataclasses.replace(held, capacity_bps=10_000, headroom_milli=100, sessions=3))
    scene.begin()
    await scene.time.to(0.0)
    found = await scene.held()
    assert (found.epoch, found.seq) == (BEGIN_S + 51, 1)
    assert (found.health4, found.health6) == ("down", "up"), "one success is not enough; nothing probes IPv6"
    assert (found.load_bps, found.capacity_bps, found.headroom_milli) == (9000, 10_000, 100), "no counter is there yet"
    assert found.sessions == 0, "nothing counts them"
    await scene.time.to(2.5)
    assert await scene.health() == ("up", "up")


async def test_a_failure_on_restart_needs_its_row(start: Start) -> None:
    scene = start(Config(EDGE, "x", probes=(tcp(),)))
    await scene.store.report(Report(EDGE, 1, 1, 0))
    scene.failing = {1}
    scene.begin()
    await scene.time.to(1.0)
    assert await scene.health() == ("up", "up")
    await scene.time.to(4.0)
    assert await scene.health() == ("down", "up")


async def test_load_and_headroom(start: Start) -> None:
    source = Source("interface", ("eth0",))
    scene = start(Config(EDGE, "x", load=source, capacity_bps=10_000))
    scene.begin()
    await scene.time.to(3.0)
    found = await scene.held()
    assert (found.load_bps, found.capacity_bps, found.headroom_milli) == (0, 0, -1), "no load is not a load of 0"
    assert scene.log.events().count("load fails") == 1
    total = 0
    for second in range(4, 10):
        total += 5 * 125  # octets: 5 kbit
        scene.sent(total)
        await scene.time.to(second)
    found = await scene.held()
    assert found.load_bps == pytest.approx(5000, rel=0.4)
    assert (found.capacity_bps, found.headroom_milli) == (10_000, 1000)
    assert "load is well again" in scene.log.events()
    (scene.folder / "eth0/statistics/tx_bytes").unlink()
    await scene.time.to(200.0)
    after = await scene.held()
    assert after.load_bps == found.load_bps, "what cannot be read stays"
    assert scene.log.events().count("load fails") == 5, "now and a minute later, and so on"


async def test_sessions(start: Start, tmp_path: Path) -> None:
    scene = start(Config(EDGE, "x", sessions=Source("command", argv=("echo", "12"), timeout_s=SOON_S)))
    scene.begin()
    for _ in range(2000):
        await asyncio.sleep(0.01)
        await scene.time.to(scene.time.now_s + 0.1)
        found = await scene.store.latest(EDGE)
        if found is not None and found.sessions == 12:
            return
    pytest.fail("no sessions")


@pytest.mark.parametrize("mood", ["gone", "broken", "hangs"])
async def test_without_a_store_at_the_start(start: Start, mood: str) -> None:
    scene = start(Config(EDGE, "x", timeout_s=0.02, probes=(tcp(),)))
    scene.weak.mood = mood
    scene.begin()
    for second in range(1, 6):
        await asyncio.sleep(0.03)  # what hangs is given up in real time
        await scene.time.to(float(second))
        assert scene.weak.waiting <= 1
    assert scene.ready == 1
    assert scene.log.events().count("store fails") == 1
    scene.weak.mood = "there"
    scene.failing = {1}
    await asyncio.sleep(0.03)
    await scene.time.to(12.0)
    found = await scene.held()
    assert (found.health4, found.epoch) == ("down", BEGIN_S)
    assert "store is well again" in scene.log.events()


async def test_the_store_goes_and_comes_back(start: Start) -> None:
    scene = start(Config(EDGE, "x", timeout_s=0.02, probes=(tcp(),)))
    scene.begin()
    await scene.time.to(5.0)
    before = await scene.held()
    scene.weak.mood = "hangs"
    scene.failing = {1}
    for second in range(6, 16):
        await asyncio.sleep(0.03)
        await scene.time.to(float(second))
        assert scene.weak.waiting <= 1, "one push at a time"
    assert await scene.held() == before
    scene.weak.mood = "there"
    await asyncio.sleep(0.03)
    await scene.time.to(18.0)
    after = await scene.held()
    assert (after.health4, after.epoch) == ("down", before.epoch)
    assert after.seq > before.seq + 5, "memory goes on while nobody takes it"


async def test_a_store_that_was_emptied_is_told_all(start: Start) -> None:
    scene = start(Config(EDGE, "x"))
    scene.begin()
    await scene.time.to(5.0)
    scene.weak.store = scene.store = MemoryStore(clock_ms=scene.time.clock_ms)
    await scene.time.to(7.0)
    assert (await scene.held()).seq > 5


async def test_a_report_that_cannot_be_read_is_written_over(start: Start) -> None:
    scene = start(Config(EDGE, "x"))
    scene.weak.mood = "unreadable"
    scene.begin()
    await scene.time.to(2.0)
    assert (await scene.held()).epoch == BEGIN_S


async def test_a_word_of_somebody_else_is_gone_on_from(start: Start) -> None:
    scene = start(Config(EDGE, "x", probes=(tcp(four=True, six=True),)))
    scene.begin()
    await scene.time.to(5.0)
    await scene.somebody_says(health4="drain", health6="drain")
    await scene.time.to(20.0)
    assert await scene.health() == ("drain", "drain"), "probes never end a drain"
    assert (await scene.held()).epoch == BEGIN_S + 1
    await scene.somebody_says(health4="down", health6="down")
    await scene.time.to(21.05)
    assert await scene.health() == ("down", "down"), "a word holds until a row of probes says otherwise"
    await scene.time.to(25.0)
    assert await scene.health() == ("up", "up")
    assert "store fails" not in scene.log.events(), "no report was lost by it"


async def test_reports_that_are_refused_for_another_reason(start: Start) -> None:
    scene = start(Config(EDGE, "x"))
    scene.begin()
    await scene.time.to(3.0)
    epoch = (await scene.held()).epoch
    scene.weak.mood = "refuses"
    await scene.time.to(6.0)
    assert [fields["reason"] for event, fields in scene.log.said if event == "store fails"] == ["too often"]
    scene.weak.mood = "there"
    await scene.time.to(9.0)
    assert (await scene.held()).epoch == epoch


async def test_two_agents_of_one_edge_do_not_stop_each_other(start: Start) -> None:
    one, other = start(Config(EDGE, "x")), start(Config(EDGE, "x"))
    other.weak, other.time = Weak(one.store), one.time
    one.begin()
    other.begin()
    await one.time.to(10.0)
    assert min(len(one.weak.pushed), len(other.weak.pushed)) > 5


async def test_a_second_refusal_is_told() -> None:
    store = MemoryStore(clock_ms=lambda: BEGIN_S * 1000)

    class Ahead(Weak):
        async def report(self, report: Report) -> Outcome:
            await self.store.report(dataclasses.replace(report, epoch=report.epoch + 1))
            return await super().report(report)

    with pytest.raises(GslbError, match="is not newer than"):
        await Pusher(Config(EDGE, "x"), Ahead(store), 5, lambda held: None).push(Measurement)


@pytest.mark.parametrize(("down_at_end", "wanted"), [(False, ("up", "drain")), (True, ("down", "drain"))])
async def test_the_last_word(start: Start, down_at_end: bool, wanted: tuple[str, str]) -> None:
    scene = start(Config(EDGE, "x", down_at_end=down_at_end))
    scene.begin()
    await scene.time.to(3.0)
    await scene.somebody_says(health6="drain")
    await scene.time.to(5.0)
    await scene.end()
    assert await scene.health() == wanted
    scene.begin()
    await scene.time.to(8.0)
    assert await scene.health() == ("up", "drain"), "nothing probes, and a drain stays"


async def test_the_last_word_finds_no_store(start: Start) -> None:
    scene = start(Config(EDGE, "x", down_at_end=True))
    scene.weak.mood = "gone"
    scene.begin()
    await scene.time.to(3.0)
    await scene.end()
    assert scene.weak.pushed == []


async def test_what_is_being_pushed_is_pushed_to_its_end(start: Start) -> None:
    scene = start(Config(EDGE, "x", timeout_s=20.0))
    scene.begin()
    await scene.time.to(3.0)
    before = len(scene.weak.pushed)
    going, go = asyncio.Event(), asyncio.Event()
    plain = scene.weak.report

    async def slow(report: Report) -> Outcome:
        going.set()
        await go.wait()
        return await plain(report)

    scene.weak.report = slow  # type: ignore[method-assign]  # a store that answers when told to
    await scene.time.to(4.2)
    assert going.is_set()
    ending = asyncio.create_task(scene.end())
    await scene.time.settle()
    assert not ending.done()
    go.set()
    await ending
    assert len(scene.weak.pushed) == before + 1


@pytest.mark.parametrize("mood", ["there", "hangs"])
async def test_serve_closes_the_store(capsys: pytest.CaptureFixture[str], mood: str) -> None:
    weak = Weak(MemoryStore())
    stop = asyncio.Event()
    config = Config(EDGE, "x", timeout_s=0.05)
    task = asyncio.create_task(serve(config, weak, Timing(random.Random(1)), Log(), stop, "ready edge=ber-1"))
    async with asyncio.timeout(SOON_S):
        while not weak.pushed:  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.01)
        weak.mood = mood
        stop.set()
        await task
    assert weak.closed
    assert capsys.readouterr().out == "ready edge=ber-1\n"


def test_troubles_are_told_sparingly() -> None:
    steps = ((0, ""), (1, "a"), (1.5, "b"), (3, "b"), (4, "a"), (30, "a"), (70, "a"), (80, ""), (90, ""))
    times = iter(now_s for now_s, _ in steps)
    log = Log()
    troubles = Troubles(log, lambda: next(times))
    told = []
    for _, reason in steps:
        before = len(log.said)
        troubles.note("load", reason)
        told.append([(event, fields.get("reason")) for event, fields in log.said[before:]])
    assert told == [
        [],
        [("load fails", "a")],
        [],
        [],
        [("load fails", "a")],
        [],
        [("load fails", "a")],
        [("load is well again", None)],
        [],
    ]
