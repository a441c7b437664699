"""Publishing plans: what the embedded store, Redis and the admin port of a server do alike, by the same table."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, cast

import pytest
import pytest_asyncio
from fastapi import FastAPI
from gslbtest.clocked import BEGIN, Clock, clocked_redis
from gslbtest.desk import TOKEN, Desk
from gslbtest.stores import RedisServer

from gslb.errors import GslbError
from gslb.model.plan import PLAN_SUM, BindingCap, Forced, Plan, PlanInput, PlannedEdge, PlanRow
from gslb.server import admin
from gslb.store.admin_port import AdminWriter
from gslb.store.interface import DISPATCH, EXPIRE_MS, MAX_LASTING_MS, Freeze, Lease, Outcome, Publisher, StoreError
from gslb.store.memory import MemoryStore

pytestmark = pytest.mark.asyncio(loop_scope="module")

MINUTE = 60_000
ROW = PlanRow("pull.live.example.", "DE", "", "", (("ber", PLAN_SUM),), ("par",), 10**9, (1.5, 2.0))


def planned(version: str, base: str = "") -> Plan:
    return Plan(version, base, 1, 2, 3, (ROW,))


@contextlib.asynccontextmanager
async def _memory(clock: Clock) -> AsyncIterator[Publisher]:
    store = MemoryStore(clock)
    yield store
    await store.close()


class Port:
    """The admin port of a server with the embedded store, over HTTP. The store can be replaced."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.desk = Desk()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def port() -> AsyncIterator[Port]:
    """One for all tests of this module: it takes a moment to end."""
    stopped = asyncio.Event()
    sock = socket.create_server(("127.0.0.1", 0))
    found = Port(f"http://127.0.0.1:{sock.getsockname()[1]}")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await found.desk.app(scope, receive, send)

    serving = asyncio.ensure_future(admin.serve(cast("FastAPI", app), sock, stopped))
    yield found
    stopped.set()
    await serving


Make = Callable[[Clock], Awaitable[Publisher]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis for all tests of this module."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as found:
        yield found


@contextlib.asynccontextmanager
async def _admin(clock: Clock, port: Port) -> AsyncIterator[Publisher]:
    """A writer over HTTP to the admin port of a server with the embedded store."""
    port.desk = Desk(store=MemoryStore(clock))
    writer = AdminWriter(port.url, TOKEN)
    yield writer
    await writer.close()


@pytest_asyncio.fixture(params=["memory", "redis", "admin"], loop_scope="module")
async def make(request: pytest.FixtureRequest, server: RedisServer, port: Port) -> AsyncIterator[Make]:
    """Makes an empty store with the given clock."""
    async with contextlib.AsyncExitStack() as stack:

        async def made(clock: Clock) -> Publisher:
            opened = {
                "memory": lambda: _memory(clock),
                "redis": lambda: clocked_redis(clock, server),
                "admin": lambda: _admin(clock, port),
            }[request.param]()
            store: Publisher = await stack.enter_async_context(opened)
            return store

        yield made


async def test_nothing_is_published_yet(make: Make) -> None:
    store = await make(Clock())
    assert await store.plan() is None
    assert await store.plan("v1") is None
    assert await store.plan("../v1") is None
    assert await store.plan_versions() == ()
    assert await store.frozen() is None


async def test_plans_follow_one_another_and_few_are_kept(make: Make) -> None:
    store = await make(Clock())
    for at in range(1, 6):
        plan = planned(f"v{at}", f"v{at - 1}" if at > 1 else "")
        assert await store.publish(plan) == Outcome(True)
        assert await store.plan() == await store.plan(plan.version) == plan
        assert await store.plan_versions() == tuple(f"v{kept}" for kept in range(at, max(0, at - 3), -1))
    assert await store.plan("v3") == planned("v3", "v2")
    assert await store.plan("v2") is None
    assert (await store.publish(planned("v2", "v5"))).accepted, "one that is kept no more is forgotten"


async def test_everything_of_a_plan_comes_through(make: Make) -> None:
    store = await make(Clock())
    whole = Plan(
        "v1", "", 5, 6, 7, (ROW, PlanRow("s.", "", "", "", (("ber", 1), ("par", 65534)))),
        {"demand": PlanInput(12.5, "ab" * 32)}, (Forced("ber", "down", 7), Forced("", "rollback")),
        {"ber": PlannedEdge(10**12, 5, 990)},
        (BindingCap("edge", "ber", 10**10, -0.25), BindingCap("network", "", 5, 1.0)),
    )  # fmt: skip
    assert (await store.publish(whole)).accepted
    assert await store.plan() == whole


REFUSED = [
    # what is published once v1 and v2 are, and the reason
    (planned("v3", "v1"), "plan 'v3': is based on 'v1', and what counts is 'v2'"),
    (planned("v3"), "plan 'v3': is based on '', and what counts is 'v2'"),
    (planned("v2", "v2"), "plan 'v2': the version is kept already"),
    (planned("v1", "v2"), "plan 'v1': the version is kept already"),
    (planned("current", "v2"), "plan 'current': the name is taken"),
    (planned("versions", "v2"), "plan 'versions': the name is taken"),
    (planned("a b", "v2"), "plan: version: 'a b' is not a name: 1 to 63 letters, digits, dots, hyphens and underscores,"
     " beginning with a letter or digit"),
    (Plan("v3", "v2", 3, 2, 1), "plan 'v3': effective_at_ms: is before issued_at_ms; hold_until_ms: is before"
     " effective_at_ms"),
    (Plan("v3", "v2", rows=(ROW._replace(primaries=(("ber", 1),)),)),
     "plan 'v3': rows[0].weights: sum to 1, not to 65535"),
]  # fmt: skip


@pytest.mark.parametrize(("plan", "reason"), REFUSED)
async def test_what_is_refused_changes_nothing(make: Make, plan: Plan, reason: str) -> None:
    store = await make(Clock())
    await store.publish(planned("v1"))
    await store.publish(planned("v2", "v1"))
    assert await store.publish(plan) == Outcome(False, reason)
    assert await store.plan_versions() == ("v2", "v1")
    assert await store.plan() == planned("v2", "v1")


async def test_of_two_who_publish_at_once_one_is_refused(make: Make) -> None:
    store = await make(Clock())
    found = await asyncio.gather(store.publish(planned("a")), store.publish(planned("b")))
    assert sorted(each.accepted for each in found) == [False, True]
    assert len(await store.plan_versions()) == 1


# Leases.


async def test_a_lease(make: Make) -> None:
    clock = Clock()
    store = await make(clock)
    first = await store.take_lease(DISPATCH, "a:1", MINUTE)
    assert first == Lease(BEGIN, "a:1", MINUTE)
    clock.now_ms += 20_000
    assert await store.take_lease(DISPATCH, "b:2", MINUTE) == Lease(0, "a:1", 40_000)
    assert await store.take_lease(DISPATCH, "a:1", 90_000) == Lease(first.token, "a:1", 90_000), "prolonged"
    assert (await store.take_lease("other", "b:2", MINUTE)).token == BEGIN + 20_000, "each name is apart"
    clock.now_ms += 89_999
    assert (await store.take_lease(DISPATCH, "b:2", MINUTE)).token == 0
    clock.now_ms += 1
    second = await store.take_lease(DISPATCH, "b:2", MINUTE)
    assert second.token > first.token
    assert await store.take_lease(DISPATCH, "a:1", MINUTE) == Lease(0, "b:2", MINUTE)
    reason = f"lease 'dispatch': is held by 'b:2' for another {MINUTE} ms"
    assert await store.drop_lease(DISPATCH, "a:1") == Outcome(False, reason)
    assert await store.drop_lease(DISPATCH, "b:2") == Outcome(True)
    assert await store.drop_lease(DISPATCH, "b:2") == Outcome(False, "lease 'dispatch': nobody holds it")
    third = await store.take_lease(DISPATCH, "b:2", 1)
    assert third.token == second.token + 1, "greater, though no time has passed"
    clock.now_ms += 1
    assert (await store.take_lease(DISPATCH, "b:2", 1)).token > third.token, "its own, but not in time"


async def test_a_lease_ends_where_the_clock_is_set_back(make: Make) -> None:
    clock = Clock()
    store = await make(clock)
    first = await store.take_lease(DISPATCH, "a", MINUTE)
    clock.now_ms -= 10_000
    assert await store.take_lease(DISPATCH, "b", MINUTE) == Lease(0, "a", MINUTE + 10_000)
    clock.now_ms -= 1
    second = await store.take_lease(DISPATCH, "b", MINUTE)
    assert second == Lease(first.token + 1, "b", MINUTE)


NO_LEASE = [
    # name, holder, ms, and what is wrong
    ("-x", "a", 1, "'[^ ]*-x' is not (the name of a lease|a key {gslb}:lease:NAME)"),
    ("x", "", 1, "lease 'x': holder: '' is not 1 to 128 printable ASCII characters"),
    ("x", "a b", 1, "lease 'x': holder: 'a b' is not 1 to 128 printable ASCII characters"),
    ("x", "a" * 129, 1, f"lease 'x': holder: '{'a' * 40}…' is not 1 to 128 printable ASCII characters"),
    ("x", "a", 0, "lease 'x': lasting_ms: '0' is not a decimal number from 1 to 600000"),
    ("x", "a", MAX_LASTING_MS + 1, "lease 'x': lasting_ms: '600001' is not a decimal number from 1 to 600000"),
]


@pytest.mark.parametrize(("name", "holder", "lasting_ms", "reason"), NO_LEASE)
async def test_leases_that_are_none(make: Make, name: str, holder: str, lasting_ms: int, reason: str) -> None:
    store = await make(Clock())
    with pytest.raises(GslbError, match=reason) as raised:
        await store.take_lease(name, holder, lasting_ms)
    assert not isinstance(raised.value, StoreError)


# Fencing: what a dispatcher does between the rounds, and whether he may publish then.

HELD = "which is held by 'b' for another 60000 ms"


async def test_a_dispatcher_that_holds_the_lease_publishes(make: Make) -> None:
    store = await make(Clock())
    token = (await store.take_lease(DISPATCH, "a", MINUTE)).token
    assert await store.publish(planned("v1"), token) == Outcome(True)
    assert await store.publish(planned("v2", "v1"), token) == Outcome(True)
    reason = "plan 'v3': is based on 'v1', and what counts is 'v2'"
    assert await store.publish(planned("v3", "v1"), token) == Outcome(False, reason)


async def test_a_dispatcher_that_was_away_is_fenced_off(make: Make) -> None:
    """The lease passes on while one stands still; then it goes on where it was."""
    clock = Clock()
    store = await make(clock)
    old = (await store.take_lease(DISPATCH, "a", MINUTE)).token
    clock.now_ms += MINUTE
    ended = "plan 'v1': the lease dispatch has ended, or was never taken"
    assert await store.publish(planned("v1"), old) == Outcome(False, ended), "nobody took it since"
    new = (await store.take_lease(DISPATCH, "b", MINUTE)).token
    fenced = f"plan 'v1': the token '{old}' is not that of the lease dispatch, {HELD}"
    assert await store.publish(planned("v1"), old) == Outcome(False, fenced)
    assert await store.publish(planned("v1"), new + 1) == Outcome(
        False, f"plan 'v1': the token '{new + 1}' is not that of the lease dispatch, {HELD}"
    )
    assert await store.publish(planned("v1"), new) == Outcome(True)
    assert (await store.publish(planned("v2", "v1"), old)).accepted is False
    await store.drop_lease(DISPATCH, "b")
    assert (await store.publish(planned("v2", "v1"), new)).accepted is False, "dropped"
    assert await store.plan_versions() == ("v1",)


async def test_without_a_lease_no_token_is_good(make: Make) -> None:
    store = await make(Clock())
    reason = "plan 'v1': the lease dispatch has ended, or was never taken"
    for token in (0, 1, BEGIN):
        assert await store.publish(planned("v1"), token) == Outcome(False, reason)
    await store.take_lease("other", "a", MINUTE)
    assert await store.publish(planned("v1"), BEGIN) == Outcome(False, reason), "another lease is none"


async def test_who_publishes_by_hand_comes_before_a_dispatcher(make: Make) -> None:
    """It is not fenced, and what the dispatcher makes of the former plan is refused then."""
    store = await make(Clock())
    token = (await store.take_lease(DISPATCH, "a", MINUTE)).token
    await store.publish(planned("v1"), token)
    assert await store.publish(planned("by-hand", "v1")) == Outcome(True)
    reason = "plan 'v2': is based on 'v1', and what counts is 'by-hand'"
    assert await store.publish(planned("v2", "v1"), token) == Outcome(False, reason)
    assert await store.publish(planned("v2", "by-hand"), token) == Outcome(True)


# Freezing.


async def test_a_freeze_stops_dispatchers_alone(make: Make) -> None:
    clock = Clock()
    store = await make(clock)
    token = (await store.take_lease(DISPATCH, "a", MAX_LASTING_MS)).token
    await store.publish(planned("v1"), token)
    assert await store.freeze(BEGIN + MINUTE, "ana", "a “big” match") == Outcome(True)
    assert await store.frozen() == Freeze(BEGIN + MINUTE, "ana", "a “big” match")
    reason = "plan 'v2': plans are frozen by 'ana': 'a “big” match'"
    assert await store.publish(planned("v2", "v1"), token) == Outcome(False, reason)
    assert await store.publish(planned("held", "v1")) == Outcome(True)
    assert (await store.take_lease(DISPATCH, "a", MAX_LASTING_MS)).token == token, "leases go on"
    clock.now_ms += MINUTE
    assert await store.publish(planned("v2", "held"), token) == Outcome(True), "it has ended"


async def test_a_freeze_is_replaced_and_called_off(make: Make) -> None:
    store = await make(Clock())
    token = (await store.take_lease(DISPATCH, "a", MINUTE)).token
    await store.freeze(BEGIN + MINUTE, "ana", "a")
    assert await store.freeze(BEGIN + EXPIRE_MS, "bob", "b") == Outcome(True)
    assert await store.frozen() == Freeze(BEGIN + EXPIRE_MS, "bob", "b")
    assert await store.freeze(0, "ana", "over") == Outcome(True)
    assert await store.frozen() is None
    assert await store.publish(planned("v1"), token) == Outcome(True)


WORDS = "is not 1 to 512 bytes without control characters"
NO_FREEZE = [
    # until, author, reason, and what is wrong
    (BEGIN + EXPIRE_MS + 1, "ana", "why", "until_ms: is more than 7 days away"),
    (1 << 60, "ana", "why", f"until_ms: '{1 << 60}' is not a decimal number from 0 to 9007199254740991"),
    (BEGIN, "", "why", f"author: {WORDS}"),
    (BEGIN, "ana", "é" * 257, f"reason: {WORDS}"),
    (BEGIN + EXPIRE_MS + 1, "a\nb", "\x7f", f"until_ms: is more than 7 days away; author: {WORDS}; reason: {WORDS}"),
]


@pytest.mark.parametrize(("until_ms", "author", "why", "reason"), NO_FREEZE)
async def test_freezes_that_are_none(make: Make, until_ms: int, author: str, why: str, reason: str) -> None:
    store = await make(Clock())
    assert await store.freeze(until_ms, author, why) == Outcome(False, f"freeze: {reason}")
    assert await store.frozen() is None
