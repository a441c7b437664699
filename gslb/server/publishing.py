"""Plans, leases and freezes that come in over the admin port, from those who cannot reach the store themselves."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import structlog

from gslb.errors import GslbError
from gslb.model.jsontext import decoded, is_whole
from gslb.plan import published
from gslb.plan.published import PlanError
from gslb.server.refusal import Refused, told_faults
from gslb.store.admin_plans import CURRENT
from gslb.store.interface import Outcome, Publisher, StoreError

MAX_BODY = 16 << 20
"""Bytes of the longest plan that is taken, packed."""
MAX_ORDER = 8192
"""Stands for the version that counts."""


class Packed(NamedTuple):
    """A plan as it is published, and the SHA-256 of it in hexadecimal."""

    data: bytes
    sha256: str


class Publishing:
    """Passes on to the store what is asked of it. Large plans are packed and read in threads, one at a time."""

    def __init__(self, store: Publisher) -> None:
        self._store = store
        self._lock = asyncio.Lock()
        self._log: Any = structlog.get_logger("gslb.plans")

    async def kept(self) -> dict[str, Any]:
        """The versions that are kept, newest first, and the freeze that acts."""
        try:
            versions, frozen = await self._store.plan_versions(), await self._store.frozen()
        except StoreError as error:
            raise Refused(503, str(error)) from None
        return {"versions": versions, "frozen": frozen._asdict() if frozen else None}

    async def plan(self, version: str) -> Packed:
        """A plan that is kept. Raises `Refused`."""
        async with self._lock:
            try:
                found = await self._store.plan(None if version == CURRENT else version)
                if found is None:
                    raise Refused(404, f"no plan {version[:63]!r} is kept that can be read")
                return Packed(*await asyncio.to_thread(published.write, found))
            except StoreError as error:
                raise Refused(503, str(error)) from None

    async def publish(self, body: bytes, sha256: str, token: int | None) -> dict[str, Any]:
        """Publish the plan that ``body`` spells, with the token of a lease or by hand.

        Raises `Refused`: faults (422), not in the place of what counts, or not by who may (409), the store cannot be
        reached (503).
        """
        async with self._lock:
            try:
                plan = await asyncio.to_thread(published.read, body, sha256)
            except PlanError as error:
                raise Refused(422, str(error), faults=told_faults(error.faults)) from None
            try:
                outcome = await self._store.publish(plan, token)
            except StoreError as error:
                raise Refused(503, str(error)) from None
        _check(outcome)
        self._log.info("plan published", plan=plan.version, base=plan.base, by_hand=token is None)
        return {"accepted": True, "version": plan.version}

    async def take(self, name: str, body: bytes) -> dict[str, Any]:
        """Take or prolong a lease: ``{"holder", "lasting_ms"}``. Who does not get it is told by whom it is held."""
        told = _told(body)
        holder, lasting_ms = told.get("holder"), told.get("lasting_ms")
        if not isinstance(holder, str) or not is_whole(lasting_ms, 1 << 53):
            raise Refused(422, f"lease {name[:63]!r}: give holder, a text, and lasting_ms, a whole number")
        try:
            return (await self._store.take_lease(name, holder, int(told["lasting_ms"])))._asdict()
        except StoreError as error:
            raise Refused(503, str(error)) from None
        except GslbError as error:
            raise Refused(422, str(error)) from None

    async def drop(self, name: str, holder: str) -> dict[str, Any]:
        """End a lease."""
        try:
            _check(await self._store.drop_lease(name, holder))
        except StoreError as error:
            raise Refused(503, str(error)) from None
        return {"accepted": True}

    async def freeze(self, body: bytes) -> dict[str, Any]:
        """Freeze plans: ``{"until_ms", "author", "reason"}``; a time that is past ends it."""
        told = _told(body)
        until_ms, author, reason = told.get("until_ms"), told.get("author"), told.get("reason")
        if not is_whole(until_ms, 1 << 62) or not isinstance(author, str) or not isinstance(reason, str):
            raise Refused(422, "freeze: give until_ms, a whole number, author and reason, which are texts")
        try:
            _check(await self._store.freeze(int(told["until_ms"]), author, reason), 422)
        except StoreError as error:
            raise Refused(503, str(error)) from None
        self._log.info("plans frozen", until_ms=until_ms, author=author, reason=reason)
        return {"accepted": True}


def _check(outcome: Outcome, code: int = 409) -> None:
    if not outcome.accepted:
        raise Refused(code, outcome.reason)


def _told(body: bytes) -> dict[str, Any]:
    try:
        found = decoded(body)
    except ValueError as error:
        raise Refused(400, str(error)) from None
    if not isinstance(found, dict):
        raise Refused(400, "not a mapping")
    return found
