"""Plans in Redis for those who publish them: reading what is kept, publishing, leases, and freezing.

Following the plan that counts is `redis_plan`'s. What is written goes through the functions of plans.lua.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from gslb.errors import GslbError
from gslb.model.plan import Plan
from gslb.store import redis_reading as reading
from gslb.store.interface import PLANS_KEPT, Freeze, Lease, Outcome, StoreError
from gslb.store.redis_reading import FREEZE, LEASE, PLAN, PLAN_CURRENT, PLAN_S, PLAN_VERSIONS, Fault, Many, Refused

Call = Callable[..., Awaitable[Any]]
"""Calls a function of the library: its name, the key, what follows, and ``wait_s`` as of `reading.Many`. Gives the
answer. Raises `CallRefused`, or another `StoreError` where it is not known whether it was called."""

_LONGEST: Final = 512  # bytes of a field of a freeze that is read
_VERSIONS_TEXT: Final = 1023
_TORN_S: Final = 0.5  # until it is looked whether a plan came through that was sent over a lost connection


class CallRefused(StoreError):
    """A function was not called, or answered with an error: nothing was written."""


class Publishing:
    """What `interface.Publisher` asks for, over the connection of a writer."""

    def __init__(self, many: Many, call: Call) -> None:
        self._many = many
        self._call = call

    async def plan(self, version: str | None) -> Plan | None:
        """As `Publisher.plan`."""
        if version is None:
            (current,) = await self._many([("GETRANGE", PLAN_CURRENT, 0, 63)])
            version = _text(current)
        if not reading.is_name(version):
            return None
        digest = await reading.plan_digest(self._many, version)
        if isinstance(digest, Fault):
            return None
        data = await reading.plan_data(self._many, version)
        if isinstance(data, Fault):
            return None
        found = await reading.plan(version, digest, data)
        return None if isinstance(found, Fault) else found

    async def versions(self) -> tuple[str, ...]:
        """As `Publisher.plan_versions`."""
        asked = [("GETRANGE", PLAN_CURRENT, 0, 63), ("GETRANGE", PLAN_VERSIONS, 0, _VERSIONS_TEXT)]
        current, others = map(_text, await self._many(asked))
        names = list(filter(reading.is_name, dict.fromkeys([current, *others.split()])))
        there = await self._many([("HSTRLEN", PLAN + name, "sha256") for name in names])
        found = [name for name, length in zip(names, there, strict=True) if isinstance(length, int) and length]
        return tuple(found[:PLANS_KEPT])

    async def publish(self, plan: Plan, token: int | None) -> Outcome:
        """As `Publisher.publish`. Packing a large plan takes a second or more; a thread does it."""
        from gslb.plan import published

        try:
            data, sha256 = await asyncio.to_thread(published.write, plan)
        except GslbError as error:
            return Outcome(False, str(error))
        if len(data) > reading.MAX_PLAN_BYTES:
            most = reading.MAX_PLAN_BYTES
            return Outcome(False, f"plan {plan.version!r}: has {len(data)} bytes; at most {most} are read")
        said = "" if token is None else str(token)
        try:
            answer = await self._call("gslb_plan", PLAN + plan.version, data, sha256, plan.base, said, wait_s=PLAN_S)
        except CallRefused:
            raise
        except StoreError as error:
            if await self._came_through(plan.version, sha256):
                return Outcome(True)
            raise StoreError(f"{error}; it is not known whether the plan counts") from None
        return outcome(answer)

    async def take_lease(self, name: str, holder: str, lasting_ms: int) -> Lease:
        """As `Publisher.take_lease`."""
        answer = await self._call("gslb_lease", LEASE + name, holder, str(lasting_ms))
        if answer[0]:
            return Lease(int(answer[1]), holder, int(answer[2]))
        if len(answer) < 4:
            raise GslbError(_said(answer[1]))
        return Lease(0, _said(answer[2]), int(answer[3]))

    async def drop_lease(self, name: str, holder: str) -> Outcome:
        """As `Publisher.drop_lease`."""
        return outcome(await self._call("gslb_release", LEASE + name, holder))

    async def freeze(self, until_ms: int, author: str, reason: str) -> Outcome:
        """As `Publisher.freeze`."""
        return outcome(await self._call("gslb_freeze", FREEZE, str(until_ms), author, reason))

    async def frozen(self) -> Freeze | None:
        """As `Publisher.frozen`: the key vanishes when it ends. What cannot be read is none, as for the function that
        publishes."""
        fields = ("until_ms", "author", "reason")
        lengths = await self._many([("HSTRLEN", FREEZE, field) for field in fields])
        if isinstance(lengths[0], Refused):
            if lengths[0].code != "WRONGTYPE":
                raise lengths[0]
            return None
        if max(lengths) > _LONGEST or not lengths[0]:
            return None
        (values,) = await self._many([("HMGET", FREEZE, *fields)])
        until_ms = reading.number(values[0])
        if until_ms is None:
            return None
        return Freeze(until_ms, *(_said(value or b"") for value in values[1:]))

    async def _came_through(self, version: str, sha256: str) -> bool:
        """Whether a plan counts of which it is not known, the connection having been lost; as far as can be told."""
        await asyncio.sleep(_TORN_S)
        try:
            (current,) = await self._many([("GETRANGE", PLAN_CURRENT, 0, 63)])
            return _text(current) == version and await reading.plan_digest(self._many, version) == sha256
        except (StoreError, Refused):
            return False


def outcome(answer: Any) -> Outcome:
    """What a function's answer tells."""
    return Outcome(True) if answer[0] else Outcome(False, _said(answer[1]))


def _text(answer: Any) -> str:
    """A name or several; empty where the key holds something else. Raises a refusal that is not about the key."""
    if isinstance(answer, Refused):
        if answer.code != "WRONGTYPE":
            raise answer
        return ""
    return str(answer.decode("ascii", "replace"))


def _said(value: bytes) -> str:
    return value.decode("utf-8", "replace")
