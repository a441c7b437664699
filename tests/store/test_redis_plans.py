"""Plans in a real Redis: what servers read of them, and what becomes of publishing where something is amiss there."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import zstandard
from gslbtest.process import SOON_S
from gslbtest.stores import RedisServer, becomes, following, publish, seen_by, until

from gslb.model.plan import PLAN_SUM, Plan, PlanRow
from gslb.model.report import Report
from gslb.plan import published
from gslb.store import redis as connecting
from gslb.store import redis_follow, redis_library, redis_publishing
from gslb.store.interface import DISPATCH, Lease, Outcome, Store, StoreError, Writer
from gslb.store.opening import open_writer

CURRENT, VERSIONS, FREEZE = "{gslb}:plan:current", "{gslb}:plan:versions", "{gslb}:freeze"
LEASE = "{gslb}:lease:dispatch"
ROW = PlanRow("s.", "", "", "", (("a", PLAN_SUM),))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as found:
        found.cli("-x", "FUNCTION", "LOAD", given=redis_library.text())
        yield found


@pytest.fixture
def server(shared: RedisServer, monkeypatch: pytest.MonkeyPatch) -> RedisServer:
    """An empty Redis with the library, of which everything is read again after a moment."""
    monkeypatch.setattr(redis_follow, "FULL_READ_S", 0.05)
    monkeypatch.setattr(redis_follow, "BLOCK_S", 0.02)
    shared.cli("FLUSHALL")
    return shared


@contextlib.asynccontextmanager
async def writing(server: RedisServer) -> AsyncIterator[Writer]:
    writer = open_writer(server.url)
    yield writer
    await writer.close()


def chain(length: int) -> list[Plan]:
    """Plans that are each based on the one before."""
    return [Plan(f"v{at}", f"v{at - 1}" if at else "", at, at, at) for at in range(length)]


# Reading.


async def test_a_plan_comes_in_and_goes(server: RedisServer) -> None:
    plan = Plan("v1", "v0", 1, 2, 3)
    data, digest = published.write(plan)
    async with following(server.url) as store:
        publish(server, "v1", data, digest)
        state = await becomes(store, lambda state: state.plan is not None)
        assert state.plan == plan
        # One that is torn takes nobody's place.
        publish(server, "v2", data[:-3], hashlib.sha256(data[:-3]).hexdigest())
        await until(lambda: bool(store.faults))
        assert list(store.faults) == ["{gslb}:plan:v2"]
        assert (await store.state()).plan == plan
        # Nor one under another name than its own.
        publish(server, "v3", data, digest)
        await until(lambda: list(store.faults) == ["{gslb}:plan:v3"])
        assert store.faults == {"{gslb}:plan:v3": "version: 'v1' is not that of the key"}
        assert (await store.state()).plan == plan
        server.cli("DEL", CURRENT)
        await becomes(store, lambda state: state.plan is None)
        assert store.faults == {}


async def test_a_plan_is_read_beside_what_edges_say(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large one takes long: meanwhile entries are followed, and the plan that is wanted last comes."""
    plans = [Plan(f"v{at}", "", 1, 2, 3) for at in range(3)]
    may_go_on = threading.Event()
    whole = published.read
    slowly = ["v1"]

    def slow(data: bytes, sha256: str) -> Plan:
        found = whole(data, sha256)
        if found.version in slowly:
            slowly.clear()
            assert may_go_on.wait(SOON_S)
        return found

    monkeypatch.setattr(published, "read", slow)
    async with following(server.url) as store:
        publish(server, "v0", *published.write(plans[0]))
        await becomes(store, lambda state: state.plan == plans[0])
        publish(server, "v1", *published.write(plans[1]))
        for seq in range(2, 5):
            assert (await store.report(Report("a", 1, seq, 0))).accepted
            await seen_by(store, Report("a", 1, seq, 0))
        assert (await store.state()).plan == plans[0]
        publish(server, "v2", *published.write(plans[2]))
        await becomes(store, lambda state: state.plan == plans[2])
        may_go_on.set()
        server.cli("DEL", "{gslb}:plan:v1")
        publish(server, "v1", *published.write(plans[1]))
        await becomes(store, lambda state: state.plan == plans[1])
        assert store.faults == {}


async def test_a_plan_that_was_torn_is_read_again(server: RedisServer) -> None:
    """Its checksum was right from the beginning."""
    plan = Plan("v1", "", 1, 2, 3)
    data, digest = published.write(plan)
    async with following(server.url) as store:
        publish(server, "v1", data[:-3], digest)
        await until(lambda: bool(store.faults))
        server.cli("-x", "HSET", "{gslb}:plan:v1", "data", given=data)
        await becomes(store, lambda state: state.plan == plan)
        assert store.faults == {}


def changed(plan: Plan, **keys: Any) -> bytes:
    """What no dispatcher of ours publishes: a plan with other keys."""
    text = json.loads(zstandard.decompress(published.write(plan)[0], max_output_size=1 << 20))
    return zstandard.compress(json.dumps({**text, **keys}).encode())


POISONED = [
    # keys of the plan, the checksum where it is another, and the fault
    ({}, "a" * 64, "sha256: differs from that of the data"),
    ({"rows": [["s.", "", "", "", [["a", 65534]], []]]}, "", "rows[0].weights: sum to 65534, not to 65535"),
    ({"format": 2}, "", "format: 2 is not 1, the one that this version reads"),
    ({"version": "v8"}, "", "version: 'v8' is not that of the key"),
    ({"demand_bps": [1, 2]}, "", "demand_bps: has 2 items for 1 rows"),
    ({"hold_until_ms": 0}, "", "hold_until_ms: is before effective_at_ms"),
]


@pytest.mark.parametrize(("keys", "digest", "fault"), POISONED, ids=[row[2] for row in POISONED])
async def test_a_poisoned_plan_leaves_the_former(
    server: RedisServer, keys: dict[str, Any], digest: str, fault: str
) -> None:
    former = Plan("v1", "", 1, 2, 3, (ROW,))
    data = changed(dataclasses.replace(former, version="v2", base="v1"), **keys)
    async with following(server.url) as store, writing(server) as writer:
        assert (await writer.publish(former)).accepted
        await becomes(store, lambda state: state.plan == former)
        assert publish(server, "v2", data, digest or hashlib.sha256(data).hexdigest()).startswith("1\n")
        await until(lambda: bool(store.faults))
        assert store.faults == {"{gslb}:plan:v2": fault}
        assert (await store.state()).plan == former
        # The next dispatcher reads nothing there, and knows what to base his plan on.
        assert await writer.plan() is None
        assert await writer.plan_versions() == ("v2", "v1")
        better = Plan("v3", "v2", 4, 5, 6)
        assert await writer.publish(better) == Outcome(True)
        state = await becomes(store, lambda state: state.plan == better)
        assert (state.plan_base, store.faults) == (None, {})


async def test_what_a_plan_is_based_on_comes_with_it(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = chain(6)
    read: list[Plan] = []
    whole = published.read

    def noted(data: bytes, sha256: str) -> Plan:
        read.append(whole(data, sha256))
        return read[-1]

    monkeypatch.setattr(published, "read", noted)
    for plan in plans[:2]:
        publish(server, plan.version, *published.write(plan))
    async with following(server.url) as store:

        async def comes(at: int, base: Plan | None) -> None:
            state = await becomes(store, lambda state: state.plan == plans[at])
            assert state.plan_base == base

        await comes(1, plans[0])  # never held here, but kept
        assert len(read) == 2
        publish(server, "v2", *published.write(plans[2]))
        await comes(2, plans[1])
        assert len(read) == 3, "what is held is not read again"
        publish(server, "v4", *published.write(plans[4]))
        await comes(4, None)  # it says that it is based on v3, and was published upon v2
        publish(server, "v5", *published.write(plans[5]))
        await comes(5, plans[4])
        server.cli("DEL", CURRENT)
        await comes_nothing(store)
        assert store.faults == {}


async def comes_nothing(store: Store) -> None:
    state = await becomes(store, lambda state: state.plan is None)
    assert state.plan_base is None


@pytest.mark.parametrize("base", ["x" * 65, "../v0", "v0", "gone", ""])
async def test_a_base_that_cannot_be_read_is_none(server: RedisServer, base: str) -> None:
    plan = Plan("v1", "v0", 1, 2, 3)
    data, digest = published.write(plan)
    server.cli("HSET", "{gslb}:plan:v0", "data", "torn", "sha256", hashlib.sha256(b"torn").hexdigest())
    server.cli("-x", "HSET", "{gslb}:plan:v1", "sha256", digest, "base", base, "data", given=data)
    server.cli("SET", CURRENT, "v1")
    async with following(server.url) as store:
        state = await becomes(store, lambda state: state.plan == plan)
        assert (state.plan_base, store.faults) == (None, {})


# Publishing.


async def test_what_stands_in_redis_by_hand_gives_way(server: RedisServer) -> None:
    """Keys of another kind, names that are none, and a plan that has expired: who publishes goes on from nothing."""
    by_hand = [("SET", CURRENT, "a b"), ("LPUSH", CURRENT, "x"), ("SET", CURRENT, "gone"), ("SET", CURRENT, "current")]
    async with writing(server) as writer:
        for at, command in enumerate(by_hand):
            server.cli("FLUSHALL")
            server.cli(*command)
            server.cli("SET", VERSIONS, "current versions ../x gone " + "y" * 5000)
            assert await writer.plan() is None
            assert await writer.plan_versions() == ()
            assert await writer.publish(Plan(f"v{at}")) == Outcome(True)
            assert await writer.plan_versions() == (f"v{at}",)
            assert server.cli("GET", CURRENT) == f"v{at}"
        for key, command in [(LEASE, ("SET", "x")), (FREEZE, ("SET", "x")), (LEASE, ("HSET", "token", "-5"))]:
            server.cli("DEL", key)
            server.cli(command[0], key, *command[1:])
            assert await writer.frozen() is None
            lease = await writer.take_lease(DISPATCH, "a", 60_000)
            assert lease.token > 1_600_000_000_000
            base = (await writer.plan_versions())[0]
            assert await writer.publish(Plan(f"{base}x", base), lease.token) == Outcome(True)
            await writer.drop_lease(DISPATCH, "a")


async def test_redis_keeps_the_newest_three(server: RedisServer) -> None:
    """Of what an older library published it forgets the same."""
    server.cli("HSET", "{gslb}:plan:old", "data", "x", "sha256", "a" * 64)
    server.cli("SET", CURRENT, "old")
    async with writing(server) as writer:
        for version, base in [("v1", "old"), ("v2", "v1"), ("v3", "v2")]:
            assert await writer.publish(Plan(version, base)) == Outcome(True)
            assert 604_700 < int(server.cli("TTL", f"{{gslb}}:plan:{version}")) <= 604_800
        assert await writer.plan_versions() == ("v3", "v2", "v1")
        keys = sorted(server.cli("KEYS", "{gslb}:plan:*").split())
        assert keys == [CURRENT, "{gslb}:plan:v1", "{gslb}:plan:v2", "{gslb}:plan:v3", VERSIONS]


async def test_who_publishes_by_hand_is_noted(server: RedisServer) -> None:
    async with writing(server) as writer:
        token = (await writer.take_lease(DISPATCH, "a", 60_000)).token
        await writer.publish(Plan("v1"), token)
        assert server.cli("EXISTS", "{gslb}:byhand") == "0"
        await writer.publish(Plan("v2", "v1"))
        assert server.cli("HGET", "{gslb}:byhand", "version") == "v2"


async def test_a_freeze_ends_by_itself(server: RedisServer) -> None:
    async with writing(server) as writer:
        await writer.take_lease(DISPATCH, "a", 60_000)  # tells the time, too
        until_ms = writer.clock_ms + 90_000
        assert (await writer.freeze(until_ms, "ana", "match")).accepted
        assert 80 < int(server.cli("TTL", FREEZE)) <= 90
        server.cli("PEXPIRE", FREEZE, "1")
        await until(lambda: server.cli("EXISTS", FREEZE) == "0")
        assert await writer.frozen() is None


async def test_what_is_too_long_is_not_sent(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gslb.store.redis_reading.MAX_PLAN_BYTES", 10)
    async with writing(server) as writer:
        outcome = await writer.publish(Plan("v1"))
        assert not outcome.accepted
        assert outcome.reason.endswith("bytes; at most 10 are read")


# A connection that is lost while a plan is under way.


class Losing:
    """Stands before the connection: loses it when a plan is published, before or after Redis has it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, after: bool, then: int = 0) -> None:
        self.left = 1 + then
        whole = connecting.Link.many

        async def many(link: connecting.Link, commands: Any, wait_s: float = 0.0) -> list[Any]:
            lost = self.left > 0 and (self.left <= then or any("gslb_plan" in command for command in commands))
            if lost:
                self.left -= 1
                if after:
                    await whole(link, commands, wait_s)
                await link.drop()
                raise StoreError("redis://x: Connection closed by server.")
            return await whole(link, commands, wait_s)

        monkeypatch.setattr(connecting.Link, "many", many)
        monkeypatch.setattr(redis_publishing, "_TORN_S", 0.0)


@pytest.mark.parametrize(
    ("after", "then", "known"), [(True, 0, True), (True, 1, False), (False, 0, False), (False, 1, False)]
)
async def test_a_connection_that_is_lost_while_a_plan_is_under_way(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, after: bool, then: int, known: bool
) -> None:
    """Reading again decides: it came through, or that is not known, and the next round finds out."""
    async with writing(server) as writer:
        token = (await writer.take_lease(DISPATCH, "a", 60_000)).token
        Losing(monkeypatch, after=after, then=then)
        if known:
            assert await writer.publish(Plan("v1"), token) == Outcome(True)
        else:
            with pytest.raises(StoreError, match=r"^redis://x: Connection closed .*; it is not known whether the plan"):
                await writer.publish(Plan("v1"), token)
        versions = await writer.plan_versions()
        assert versions == (("v1",) if after else ())
        assert await writer.take_lease(DISPATCH, "a", 60_000) == Lease(token, "a", 60_000)
        assert await writer.publish(Plan("v2", "v1" if after else ""), token) == Outcome(True)


async def test_redis_that_is_away(server: RedisServer) -> None:
    writer = open_writer("redis://127.0.0.1:1")
    asked = [
        writer.plan(), writer.plan_versions(), writer.publish(Plan("v1")), writer.take_lease(DISPATCH, "a", 1),
        writer.drop_lease(DISPATCH, "a"), writer.freeze(1, "a", "b"), writer.frozen(),
    ]  # fmt: skip
    for each in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(each, StoreError)
        assert str(each).startswith("redis://127.0.0.1:1: ")
    await writer.close()


async def test_a_closed_writer(server: RedisServer) -> None:
    async with following(server.url) as store:
        await store.close()
        closed = Outcome(False, "the store is closed")
        assert await store.publish(Plan("v1")) == closed
        assert await store.drop_lease(DISPATCH, "a") == closed
        assert await store.freeze(1, "a", "b") == closed
        with pytest.raises(StoreError, match="the store is closed"):
            await store.take_lease(DISPATCH, "a", 1)
