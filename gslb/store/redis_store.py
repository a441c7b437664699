"""The store in Redis: followed by servers, written to by agents, scripts and operators. docs/redis.md tells its keys.

What is written goes through the functions of gslb.lua, which check it and keep the order.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

from gslb.health import override as override_text
from gslb.health import report as report_text
from gslb.model.override import Override
from gslb.model.plan import Plan
from gslb.model.report import Report, StoreState
from gslb.store import redis_library as library
from gslb.store import redis_reading as reading
from gslb.store.interface import Freeze, Lease, Outcome, StoreError
from gslb.store.redis import Link
from gslb.store.redis_clock import StoreClock
from gslb.store.redis_follow import Follower
from gslb.store.redis_mirror import Mirror
from gslb.store.redis_publishing import CallRefused, Publishing, outcome
from gslb.store.redis_reading import OVERRIDE, REPORT, Command, Fault, Refused
from gslb.store.redis_url import Address

_CLOSED: Final = Outcome(False, "the store is closed")


class RedisWriter:
    """An `interface.Writer` over one connection, which is made when it is needed."""

    def __init__(self, address: Address, clock: StoreClock | None = None) -> None:
        self._shown = address.shown
        self._link = Link(address)
        self._clock = clock or StoreClock()
        self._closed = False
        self._plans = Publishing(self._many, self._called)

    @property
    def clock_ms(self) -> int:
        """As `Writer.clock_ms`; this machine's clock before the first answer."""
        return self._clock.ms()

    async def latest(self, edge: str) -> Report | None:
        """As `Writer.latest`. One that cannot be read is as good as none: the next takes its place."""
        if not reading.is_name(edge):
            return None
        with self._refusals():
            found = (await reading.reports(self._many, [edge]))[edge]
        return None if isinstance(found, Fault) else found

    async def report(self, report: Report) -> Outcome:
        """As `Writer.report`."""
        fields = report_text.fields(report)
        try:
            report_text.read(report.edge, fields, 0)
        except report_text.ReportError as error:
            return Outcome(False, str(error))
        flat = [text for pair in fields.items() for text in pair]
        return await self._write("gslb_report", REPORT + report.edge, *flat)

    async def overrides(self) -> tuple[Override, ...]:
        """As `Writer.overrides`; without those that cannot be read."""
        found: dict[str, Override] = {}
        with self._refusals():
            async for keys in reading.scan(self._many, OVERRIDE + "*", reading.MAX_OVERRIDES):
                read = await reading.overrides(self._many, reading.named(keys, OVERRIDE))
                found |= {name: each for name, each in read.items() if isinstance(each, Override)}
        return tuple(found[name] for name in sorted(found))

    async def override(self, override: Override) -> Outcome:
        """As `Writer.override`."""
        try:
            override_text.read(override_text.mapping(override))
        except override_text.OverrideError as error:
            return Outcome(False, str(error))
        return await self._write("gslb_override", OVERRIDE + override.id, override_text.text(override))

    async def plan(self, version: str | None = None) -> Plan | None:
        """As `Publisher.plan`."""
        with self._refusals():
            return await self._plans.plan(version)

    async def plan_versions(self) -> tuple[str, ...]:
        """As `Publisher.plan_versions`."""
        with self._refusals():
            return await self._plans.versions()

    async def publish(self, plan: Plan, token: int | None = None) -> Outcome:
        """As `Publisher.publish`."""
        return _CLOSED if self._closed else await self._plans.publish(plan, token)

    async def take_lease(self, name: str, holder: str, lasting_ms: int) -> Lease:
        """As `Publisher.take_lease`."""
        return await self._plans.take_lease(name, holder, lasting_ms)

    async def drop_lease(self, name: str, holder: str) -> Outcome:
        """As `Publisher.drop_lease`."""
        return _CLOSED if self._closed else await self._plans.drop_lease(name, holder)

    async def freeze(self, until_ms: int, author: str, reason: str) -> Outcome:
        """As `Publisher.freeze`."""
        return _CLOSED if self._closed else await self._plans.freeze(until_ms, author, reason)

    async def frozen(self) -> Freeze | None:
        """As `Publisher.frozen`."""
        with self._refusals():
            return await self._plans.frozen()

    async def close(self) -> None:
        """As `Writer.close`."""
        self._closed = True
        await self._link.drop()

    async def _write(self, function: str, key: str, *content: str) -> Outcome:
        return _CLOSED if self._closed else outcome(await self._called(function, key, *content))

    async def _called(self, function: str, key: str, *content: str | bytes, wait_s: float = 0.0) -> Any:
        """The answer of a function of the library, which is loaded first where it is missing."""
        if self._closed:
            raise CallRefused(f"{self._shown}: the store is closed")
        call = library.call(function, key, *content)
        (answer,) = await self._many([call], wait_s)
        if library.is_missing(answer):
            if reason := await library.load(self._many):
                raise CallRefused(f"{self._shown}: the function library {library.NAME} {reason}")
            (answer,) = await self._many([call], wait_s)
        if isinstance(answer, Refused):
            if answer.code == "READONLY":
                await self._link.drop()  # a replica by now: Sentinels know the new primary
            raise CallRefused(f"{self._shown}: {key}: {answer}")
        return answer

    async def _many(self, commands: Sequence[Command], wait_s: float = 0.0) -> list[Any]:
        """As `reading.Many`; now and then the time is asked for besides."""
        first: list[Command] = [("TIME",)] if self._clock.due else []
        sent_s = time.monotonic()
        answers = await self._link.many([*first, *commands], wait_s)
        if first:
            told = answers.pop(0)
            if not isinstance(told, Refused):
                self._clock.told(reading.seconds(told), sent_s, time.monotonic())
        return answers

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except Refused as error:
            raise StoreError(f"{self._shown}: {error}") from None


class RedisStore:
    """An `interface.Store`: one connection follows, another writes. It begins with what was ``held`` on disk, and gives
    that until Redis was read."""

    def __init__(self, address: Address, held: StoreState) -> None:
        self._clock = StoreClock()
        self._mirror = Mirror(held)
        self._link = Link(address)
        self._writer = RedisWriter(address, self._clock)
        self._follower = Follower(self._link, self._mirror, self._clock, address.shown, self._wake)
        self._following: asyncio.Task[None] | None = None
        self._written = asyncio.Event()
        self._closed = False

    def follow(self) -> None:
        """Begin to follow, in the loop that runs. Returns at once."""
        if self._following is None and not self._closed:
            self._following = asyncio.ensure_future(self._follower.run())

    @property
    def now_ms(self) -> int:
        """As `Store.now_ms`."""
        return self._mirror.now_ms

    @property
    def clock_ms(self) -> int:
        """As `Writer.clock_ms`; this machine's clock before the first answer."""
        return self._clock.ms()

    @property
    def connected(self) -> bool:
        """As `Store.connected`."""
        return self._follower.connected and not self._closed

    @property
    def age_s(self) -> float:
        """As `Store.age_s`; before the first reading, since this store was opened."""
        return 0.0 if self.connected else time.monotonic() - self._follower.current_s

    @property
    def faults(self) -> dict[str, str]:
        """As `Store.faults`; while Redis cannot be reached, its URL without the password tells why."""
        return self._mirror.faults

    async def state(self) -> StoreState:
        """As `Store.state`."""
        return self._mirror.state()

    def changes(self) -> AsyncIterator[None]:
        """As `Store.changes`."""
        return self._changes(self._mirror.changes)

    async def latest(self, edge: str) -> Report | None:
        """As `Writer.latest`."""
        return await self._writer.latest(edge)

    async def report(self, report: Report) -> Outcome:
        """As `Writer.report`."""
        return await self._writer.report(report)

    async def overrides(self) -> tuple[Override, ...]:
        """As `Writer.overrides`."""
        return await self._writer.overrides()

    async def override(self, override: Override) -> Outcome:
        """As `Writer.override`."""
        return await self._writer.override(override)

    async def plan(self, version: str | None = None) -> Plan | None:
        """As `Publisher.plan`."""
        return await self._writer.plan(version)

    async def plan_versions(self) -> tuple[str, ...]:
        """As `Publisher.plan_versions`."""
        return await self._writer.plan_versions()

    async def publish(self, plan: Plan, token: int | None = None) -> Outcome:
        """As `Publisher.publish`."""
        return await self._writer.publish(plan, token)

    async def take_lease(self, name: str, holder: str, lasting_ms: int) -> Lease:
        """As `Publisher.take_lease`."""
        return await self._writer.take_lease(name, holder, lasting_ms)

    async def drop_lease(self, name: str, holder: str) -> Outcome:
        """As `Publisher.drop_lease`."""
        return await self._writer.drop_lease(name, holder)

    async def freeze(self, until_ms: int, author: str, reason: str) -> Outcome:
        """As `Publisher.freeze`."""
        return await self._writer.freeze(until_ms, author, reason)

    async def frozen(self) -> Freeze | None:
        """As `Publisher.frozen`."""
        return await self._writer.frozen()

    async def close(self) -> None:
        """As `Store.close`."""
        self._closed = True
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._link.drop()
        await self._writer.close()
        self._wake()

    async def _changes(self, seen: int) -> AsyncIterator[None]:
        while not self._closed:
            if seen == self._mirror.changes:
                await self._written.wait()
            else:
                seen = self._mirror.changes
                yield

    def _wake(self) -> None:
        self._written.set()
        self._written = asyncio.Event()
