"""A Redis store with a clock that a test sets, to be compared with the embedded store."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import redis

from gslb.model.override import KIND_DRAIN, Override, Target
from gslb.model.plan import Plan
from gslb.model.report import Report
from gslb.store import redis_library
from gslb.store.interface import Lease, Outcome, Store
from gslbtest.stores import RedisServer, becomes, following, seen_by

BEGIN = 1_700_000_000_000
KEY = "test:clock_ms"
"""Where the clock of a Redis whose library is `hook`ed stands."""


@dataclass
class Clock:
    """A clock that stands until moved."""

    now_ms: int = BEGIN

    def __call__(self) -> int:
        return self.now_ms


class _Told:
    """A Redis store whose writes happen at the time of a `Clock`, and are waited for until they can be read."""

    def __init__(self, inner: Store, clock: Clock, client: redis.Redis) -> None:
        self.inner = inner
        self.clock = clock
        self.client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def report(self, report: Report) -> Outcome:
        self._set()
        outcome = await self.inner.report(report)
        if outcome.accepted:
            await seen_by(self.inner, report)
        return outcome

    async def override(self, override: Override) -> Outcome:
        self._set()
        outcome = await self.inner.override(override)
        if outcome.accepted:
            await becomes(self.inner, lambda state: state.overrides.get(override.id) == override)
        return outcome

    async def publish(self, plan: Plan, token: int | None = None) -> Outcome:
        self._set()
        outcome = await self.inner.publish(plan, token)
        if outcome.accepted:
            await becomes(self.inner, lambda state: state.plan == plan)
        return outcome

    async def take_lease(self, name: str, holder: str, lasting_ms: int) -> Lease:
        self._set()
        return await self.inner.take_lease(name, holder, lasting_ms)

    async def drop_lease(self, name: str, holder: str) -> Outcome:
        self._set()
        return await self.inner.drop_lease(name, holder)

    async def freeze(self, until_ms: int, author: str, reason: str) -> Outcome:
        self._set()
        return await self.inner.freeze(until_ms, author, reason)

    def _set(self) -> None:
        self.client.set(KEY, self.clock.now_ms)


def hook(client: redis.Redis) -> None:
    """Load the library with a clock that is what stands under the key `KEY`, in ms."""
    code = redis_library.text().decode()
    body = re.compile(r"(?<=^local function clock_ms\(\)\n).*?(?=^end$)", re.MULTILINE | re.DOTALL)
    hooked, count = body.subn(f"return tonumber(redis.call('GET', '{KEY}'))\n", code)
    assert count == 1
    client.function_load(hooked, replace=True)


@contextlib.asynccontextmanager
async def clocked_redis(clock: Clock, server: RedisServer) -> AsyncIterator[Any]:
    """Over an emptied Redis: the library is loaded with a clock that is what stands under a key. Times of answers to
    ``TIME`` stay those of Redis, which is later."""
    with redis.Redis(port=server.port) as client:
        client.flushall()
        hook(client)
        async with following(server.url) as store:
            yield _Told(store, clock, client)


def drain(name: str, until_s: int, pop: str = "fra") -> Override:
    return Override(name, KIND_DRAIN, Target(pop=pop), BEGIN // 1000 - 7200, until_s, author="ana", reason="works")
