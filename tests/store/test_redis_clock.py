"""The store's clock as it is known here, and a Redis the clock of which is set while it is followed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gslbtest.stores import RedisServer, becomes, following, seen_by, until

from gslb.model.report import Report, StoreState
from gslb.store import redis_follow, redis_library, redis_reading
from gslb.store.interface import Store
from gslb.store.redis_clock import SAMPLE_S, StoreClock
from gslb.store.redis_mirror import Mirror

STORE_S = 1_700_000_000.0


class Machine:
    """This machine's two clocks, set by a test."""

    def __init__(self) -> None:
        self.local_ms = 5
        self.monotonic_s = 1000.0
        self.clock = StoreClock(lambda: self.local_ms, lambda: self.monotonic_s)

    def asks(self, store_s: float, takes_s: float) -> None:
        """The store says ``store_s`` in the middle of the time that its answer takes, at most by half of that off."""
        sent_s = self.monotonic_s
        self.monotonic_s += takes_s
        self.clock.told(store_s, sent_s, self.monotonic_s)


def test_before_the_first_answer_it_is_this_machines() -> None:
    machine = Machine()
    assert (machine.clock.ms(), machine.clock.known, machine.clock.due) == (5, False, True)
    machine.local_ms = 3
    assert machine.clock.ms() == 3
    machine.asks(STORE_S, 0.2)
    assert (machine.clock.ms(), machine.clock.known, machine.clock.due) == (1_700_000_000_100, True, False)


def test_it_goes_on_by_the_monotonic_clock() -> None:
    machine = Machine()
    machine.asks(STORE_S, 0.0)
    machine.monotonic_s += 90
    machine.local_ms = 10**15
    assert machine.clock.ms() == 1_700_000_090_000
    assert machine.clock.due


def test_it_asks_now_and_then() -> None:
    machine = Machine()
    machine.asks(STORE_S, 0.0)
    machine.monotonic_s += SAMPLE_S - 0.01
    assert not machine.clock.due
    machine.monotonic_s += 0.01
    assert machine.clock.due


SECOND = [
    # the first answer's time and duration, the second's (a second after), and the clock then, in ms from STORE_S
    ((0.0, 0.0), (1.0, 0.4), 1400),  # wider, and in agreement: the first stays
    ((0.0, 0.4), (1.0, 0.0), 1000),  # narrower
    ((0.0, 0.4), (1.1, 0.0), 1100),
    ((0.0, 0.0), (31.0, 0.4), 31_200),  # cannot both be true: the clock was set ahead
    ((0.0, 0.0), (-29.0, 0.0), -29_000),  # and back
]


@pytest.mark.parametrize(("first", "second", "wanted_ms"), SECOND)
def test_of_two_answers_the_better_one_counts(
    first: tuple[float, float], second: tuple[float, float], wanted_ms: int
) -> None:
    machine = Machine()
    machine.asks(STORE_S + first[0], first[1])
    machine.monotonic_s = 1001.0
    machine.asks(STORE_S + second[0], second[1])
    assert machine.clock.ms() - 1000 * int(STORE_S) == pytest.approx(wanted_ms, abs=1)


def test_small_steps_back_are_waited_for() -> None:
    machine = Machine()
    machine.asks(STORE_S, 0.5)
    assert machine.clock.ms() == 1_700_000_000_250
    machine.asks(STORE_S, 0.0)
    assert machine.clock.ms() == 1_700_000_000_250
    machine.monotonic_s += 0.125
    assert machine.clock.ms() == 1_700_000_000_250
    machine.monotonic_s += 0.25
    assert machine.clock.ms() == 1_700_000_000_375


def test_after_a_lost_connection_the_next_answer_counts_whatever_it_is() -> None:
    machine = Machine()
    machine.clock.forget()
    machine.asks(STORE_S, 0.0)
    machine.clock.forget()
    assert machine.clock.due
    assert machine.clock.known
    machine.asks(STORE_S + 0.3, 1.0)
    assert machine.clock.ms() == pytest.approx(1_700_000_000_800, abs=1)


# A Redis whose clock is set. Its own cannot be: the library is loaded with a clock that is off by what stands under a
# key, and answers to TIME are off by as much.


class Skewed:
    """A Redis and its clock."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.offset_ms = 0
        self.asked = redis_reading.seconds
        code = redis_library.text().decode()
        told = "return tonumber(now[1]) * 1000"
        assert code.count(told) == 1
        code = code.replace(told, f"{told} + tonumber(redis.call('GET', 'test:offset_ms'))")
        self.set(0)
        server.cli("-x", "FUNCTION", "LOAD", "REPLACE", given=code.encode())

    def set(self, offset_ms: int) -> None:
        """Set it, by so much against this machine's."""
        self.offset_ms = offset_ms
        self.server.cli("SET", "test:offset_ms", str(offset_ms))

    def seconds(self, told: object) -> float:
        """As `redis_reading.seconds`."""
        return self.asked(told) + self.offset_ms / 1000

    @property
    def now_ms(self) -> float:
        """What it shows."""
        return time.time() * 1000 + self.offset_ms


@pytest.fixture
def skewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Skewed]:
    """A Redis the clock of which can be set; it is asked for the time all along."""
    monkeypatch.setattr(redis_follow, "BLOCK_S", 0.05)
    monkeypatch.setattr(redis_follow, "FULL_READ_S", 0.2)
    with RedisServer(tmp_path / "redis") as server:
        found = Skewed(server)
        monkeypatch.setattr(redis_reading, "seconds", found.seconds)
        yield found


NEAR_MS = 10_000
"""Times that are this near are the same here: what is told apart are hours."""


async def push(store: Store, edge: str, seq: int) -> None:
    report = Report(edge, 1, seq, 0)
    assert await store.report(report) == (True, "")
    await seen_by(store, report)


def ages(state: StoreState) -> dict[str, int]:
    """How old the report of each edge counts as, in ms."""
    return {edge: state.now_ms - state.heard_ms(report.received_ms) for edge, report in state.reports.items()}


@pytest.mark.parametrize("step_ms", [3_600_000, -3_600_000], ids=["ahead", "back"])
async def test_a_clock_that_is_set_ages_nobody(skewed: Skewed, step_ms: int) -> None:
    async with following(skewed.server.url) as store:
        for edge in ("a", "b", "gone"):
            await push(store, edge, 1)
        skewed.server.cli("DEL", "{gslb}:report:gone")
        skewed.set(step_ms)
        await push(store, "a", 2)
        state = await becomes(store, lambda state: abs(state.now_ms - skewed.now_ms) < NEAR_MS)
        await until(lambda: abs(store.clock_ms - skewed.now_ms) < NEAR_MS)
        assert max(ages(state).values()) < NEAR_MS
        assert all(age_ms >= 0 for age_ms in ages(state).values())
        # A server that starts now sees the same.
        async with following(skewed.server.url) as other:
            theirs = await other.state()
            assert (theirs.now_ms, theirs.gap_end_ms) == (state.now_ms, state.gap_end_ms)
            mine = await becomes(store, lambda state: sorted(state.reports) == ["a", "b"])
            assert ages(theirs) == ages(mine)
            # Whoever falls silent from now on ages, also who was there before the clock was set.
            for seq in range(3, 6):
                await push(store, "a", seq)
            for each in (store, other):
                later = await becomes(each, lambda state: state.reports["a"].seq == 5)
                assert ages(later)["b"] > ages(mine)["b"]
                assert later.heard_ms(later.seen["gone"]) < later.now_ms
                assert each.faults == {}


async def test_a_clock_that_is_wrong_from_the_beginning(skewed: Skewed) -> None:
    skewed.set(-500 * 86_400_000)
    async with following(skewed.server.url) as store:
        await push(store, "a", 1)
        await push(store, "a", 2)
        state = await store.state()
        assert abs(state.now_ms - skewed.now_ms) < NEAR_MS
        assert abs(store.clock_ms - skewed.now_ms) < NEAR_MS
        assert store.faults == {}


def test_a_report_that_is_read_before_its_entry_ages() -> None:
    """The first reading of an empty store, while the first report comes: its entry is read next."""
    now_ms = round(STORE_S * 1000)
    report = Report("a", 1, 1, now_ms)
    mirror = Mirror(StoreState())
    mirror.take_reports({"a": report})
    mirror.take_time(now_ms)
    mirror.take_reports({"a": report}, entries=True)
    mirror.take_time(now_ms + 60_000)
    assert mirror.state().reports == {"a": report}
