"""Both kinds of store hold the same after any history of writes and clocks."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator

import pytest
from gslbtest.clocked import BEGIN, Clock, clocked_redis, drain
from gslbtest.stores import RedisServer, becomes

from gslb.model.plan import Plan
from gslb.model.report import DOWN, DRAIN, UP, Report, StoreState
from gslb.store import redis_follow
from gslb.store.interface import DISPATCH, Publisher
from gslb.store.memory import MemoryStore


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as found:
        yield found


STEPS_MS = (0, 0, 1, 200, 1000, 1000, 2999, 3001, 9_000, 12_000, 60_000, -1, -900, -9_999, -20_000, -3_600_000)


@pytest.mark.parametrize("seed", range(4))
async def test_both_kinds_hold_the_same_after_any_history(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    for name, seconds in (("BLOCK_S", 0.01), ("_FULL_READS_APART_S", 0.0), ("_APART_S", 0.0)):
        monkeypatch.setattr(redis_follow, name, seconds)
    chance = random.Random(seed)
    clock = Clock()
    embedded = MemoryStore(clock)
    async with clocked_redis(clock, server) as store:
        for turn in range(150):
            clock.now_ms += chance.choice(STEPS_MS)
            if chance.random() < 0.15:
                order = drain(chance.choice("xyz"), BEGIN // 1000 + 10_000_000 + turn)
                outcomes = [await each.override(order) for each in (embedded, store)]
            elif chance.random() < 0.2:
                outcomes = await _about_plans(chance, turn, embedded, store)
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


async def _about_plans(chance: random.Random, turn: int, *stores: Publisher) -> list[object]:
    """One of the things that are done with plans: the outcome in each store."""
    holder, other = chance.sample("ab", 2)
    lasting_ms, by_hand = chance.choice((1, 5_000, 60_000)), chance.random() < 0.3
    frozen_ms = chance.choice((0, 500_000_000))  # what is to end within moments ends in Redis by its own clock
    base_at, done = chance.choice((0, 0, 0, 1)), chance.choice(("publish", "publish", "lease", "drop", "freeze"))
    found: list[object] = []
    for store in stores:
        if done == "publish":
            versions = await store.plan_versions()
            plan = Plan(f"v{turn % 7}", versions[base_at] if len(versions) > base_at else "", turn, turn, turn)
            lease = await store.take_lease(DISPATCH, holder, lasting_ms)
            outcome = await store.publish(plan, None if by_hand else lease.token)
            found.append((plan, lease, outcome, await store.plan_versions()))
        elif done == "lease":
            found.append(await store.take_lease(DISPATCH, other, lasting_ms))
        elif done == "drop":
            found.append(await store.drop_lease(DISPATCH, other))
        else:
            found.append(await store.freeze(BEGIN + frozen_ms, "ana", "match"))
    return found


def _as_heard(state: StoreState) -> StoreState:
    """With times as they count."""
    reports = {
        edge: dataclasses.replace(each, received_ms=state.heard_ms(each.received_ms))
        for edge, each in state.reports.items()
    }
    return dataclasses.replace(
        state, reports=reports, seen={edge: state.heard_ms(at_ms) for edge, at_ms in state.seen.items()}
    )
