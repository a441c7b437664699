"""Overrides that operators order over the admin port: checked against what is served, then written to the store."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import structlog

from gslb.health import override as reading
from gslb.model.override import Override
from gslb.model.plan import Plan
from gslb.model.report import StoreState
from gslb.policy.override import cancelled, state_of
from gslb.server.refusal import Refused, told_faults
from gslb.snapshot import emptied, overriding
from gslb.snapshot.catalog import Catalog
from gslb.store.interface import Store, StoreError

MAX_BODY = 16_384


class Orders:
    """Reads, writes and calls off overrides; one write at a time, so that each is checked against those before it."""

    def __init__(
        self, store: Store, catalog: Callable[[], Catalog | None], plan: Callable[[], Plan | None] | None = None
    ) -> None:
        """``catalog`` gives what is served, ``plan`` the plan that counts; the store's where it is not given."""
        self._store = store
        self._catalog = catalog
        self._plan = plan
        self._lock = asyncio.Lock()
        self._log: Any = structlog.get_logger("gslb.overrides")

    async def kept(self) -> dict[str, Any]:
        """All that are kept, with whether each is to come, acts or has ended; while the store is away those that
        servers act upon."""
        connected = True
        try:
            found = await self._store.overrides()
        except StoreError:
            connected = False
            found = tuple((await self._store.state()).overrides.values())
        clock_ms = self._store.clock_ms
        return {
            "clock_ms": clock_ms,
            "connected": connected,
            "overrides": [
                {**reading.mapping(each), "state": state_of(each, clock_ms // 1000)}
                for each in sorted(found, key=lambda each: each.id)
            ],
        }

    async def order(self, body: bytes, *, force: bool) -> dict[str, Any]:
        """Write the override that ``body`` spells; gives it back.

        Raises `Refused`: faults (422); where it would leave clients of a service without a healthy edge, or means
        some views of a class and not others (409, unless ``force``); where the store cannot be reached (503).
        """
        try:
            wanted = reading.read(body)
        except reading.OverrideError as error:
            raise Refused(422, str(error), faults=told_faults(error.faults)) from None
        catalog = self._catalog()
        if catalog is None:
            raise Refused(503, "nothing is served yet")
        async with self._lock:
            state = await self._state()
            clock_ms = self._store.clock_ms
            faults = await asyncio.to_thread(overriding.faults, catalog, wanted)
            if wanted.until_s <= clock_ms // 1000 and wanted.id not in state.overrides:
                faults = [*faults, ("until", f"{reading.time_text(wanted.until_s)} has passed")]
            if faults:
                raise Refused(422, str(reading.OverrideError(wanted.id, faults)), faults=told_faults(faults))
            if not force and wanted.until_s > clock_ms // 1000:
                await asyncio.to_thread(_check, catalog, state, wanted, clock_ms)
            return await self._write(wanted, forced=force)

    async def cancel(self, name: str) -> dict[str, Any]:
        """Let an override end now; gives it back as it ends. One that has ended stays as it is. Raises `Refused`."""
        async with self._lock:
            found = (await self._state()).overrides.get(name)
            if found is None:
                raise Refused(404, f"no override {name[:63]!r} is kept")
            now_s = self._store.clock_ms // 1000
            if found.until_s <= now_s:
                return reading.mapping(found)
            return await self._write(cancelled(found, now_s), forced=False)

    async def _state(self) -> StoreState:
        """The state as far as it is known here, with the overrides that the store itself holds now."""
        try:
            held = await self._store.overrides()
        except StoreError as error:
            raise Refused(503, str(error)) from None
        state = await self._store.state()
        plan = self._plan() if self._plan is not None else state.plan
        return dataclasses.replace(state, overrides={each.id: each for each in held}, plan=plan)

    async def _write(self, override: Override, *, forced: bool) -> dict[str, Any]:
        try:
            outcome = await self._store.override(override)
        except StoreError as error:
            raise Refused(503, str(error)) from None
        if not outcome.accepted:
            raise Refused(422, outcome.reason, faults=[])
        told = reading.mapping(override)
        self._log.info("override written", forced=forced, **{f"override_{key}": value for key, value in told.items()})
        return told


def _check(catalog: Catalog, state: StoreState, wanted: Override, clock_ms: int) -> None:
    """Raises `Refused` for what only a person's word lets through."""
    cut = emptied.cut_views(catalog, wanted)
    found = emptied.check(catalog, state, wanted, clock_ms)
    if not cut and not found:
        return
    raise Refused(
        409,
        "; ".join(str(each) for each in [*cut, *found]),
        emptied=[str(each) for each in found],
        cut=[str(each) for each in cut],
    )
