"""Both kinds of store hold the same after any history of writes and clocks."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from gslbtest.clocked import BEGIN, Clock, clocked_redis, drain
from gslbtest.stores import RedisServer, becomes

from gslb.model.report import DOWN, DRAIN, UP, Report, StoreState
from gslb.store import redis_follow
from gslb.store.memory import MemoryStore


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as found:
        yield found


STEPS_MS = (0, 0, 1, 200, 1000, 1000, 2999, 3001, 9_000, 12_000, 60_000, -1, -900, -9_999, -20_000, -3_600_000)


@pytest.mark.parametrize("seed", range(4))
async def test_both_kinds_hold_the_same_after_any_history(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(redis_follow, "BLOCK_S", 0.01)
    monkeypatch.setattr(redis_follow, "_FULL_READS_APART_S", 0.0)
    chance = random.Random(seed)
    clock = Clock()
    embedded = MemoryStore(clock)
    async with clocked_redis(clock, server) as store:
        for turn in range(150):
            clock.now_ms += chance.choice(STEPS_MS)
            if chance.random() < 0.15:
                order = drain(chance.choice("xyz"), BEGIN // 1000 + 10_000_000 + turn)
                outcomes = [await each.override(order) for each in (embedded, store)]
            else:
                words = chance.choices((UP, DOWN, DRAIN), (3, 1, 1), k=2)
                epoch, seq = chance.randrange(3), chance.randrange(turn + 1)
                valid_ms = chance.choice((0, 0, 500, 30_000))
                report = Report(chance.choice("abc"), epoch, seq, 0, 0, *words, load_bps=turn, valid_ms=valid_ms)
                outcomes = [await each.report(report) for each in (embedded, store)]
            assert outcomes[0] == outcomes[1]
            wanted = await embedded.state()
            found = await becomes(store, lambda state, wanted=wanted: state.now_ms == wanted.now_ms)
            assert _as_heard(found) == _as_heard(wanted), (turn, found, wanted, store.faults)
    assert store.faults == {}


def _as_heard(state: StoreState) -> StoreState:
    """With times as they count."""
    reports = {
        edge: dataclasses.replace(each, received_ms=state.heard_ms(each.received_ms))
        for edge, each in state.reports.items()
    }
    return dataclasses.replace(
        state, reports=reports, seen={edge: state.heard_ms(at_ms) for edge, at_ms in state.seen.items()}
    )
