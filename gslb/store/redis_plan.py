"""The published plan that counts, read where it is not the one that is held.

Reading a large one takes a second or more. It is done beside the following of entries, so that an edge that goes down
meanwhile is heard; the former plan holds until then. The plan that it is based on comes with it: mostly that is the
former one; else it is read too, where Redis still keeps it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from gslb.model.plan import Plan
from gslb.store import redis_reading as reading
from gslb.store.redis_mirror import Mirror
from gslb.store.redis_reading import PLAN, Fault, Many

_NONE: Final = ("", "")


class _Text(NamedTuple):
    """A plan as it is published."""

    version: str
    digest: str
    data: bytes


class Plans:
    """Keeps the plan of a `Mirror` current. ``told`` is called when one has been read beside."""

    def __init__(self, mirror: Mirror, told: Callable[[], None]) -> None:
        self._mirror = mirror
        self._told = told
        self._held = _NONE  # version and SHA-256 of the plan that was taken
        self._shown = ""  # the version of which it is told whether it can be read
        self._wanted = _NONE  # those of the plan that is being read
        self._reading: asyncio.Task[None] | None = None

    async def look(self, many: Many, version: str, *, wait: bool) -> None:
        """See to it that the plan of this version counts, or none where it is empty; with ``wait`` before this returns.

        Raises as `Many` does.
        """
        if not version:
            self.end()
            self._held = _NONE
            self._mirror.take_plan(None)
            self._fault("", None)
            return
        digest = await reading.plan_digest(many, version)
        if isinstance(digest, Fault) or (version, digest) == self._held:
            self.end()
            self._fault(version, digest if isinstance(digest, Fault) else None)
            return
        if self._reading is None or self._wanted != (version, digest):
            self.end()
            data = await reading.plan_data(many, version)
            if isinstance(data, Fault):
                self._fault(version, data)
                return
            base = await self._base(many, version)
            self._wanted = version, digest
            self._reading = asyncio.ensure_future(self._read(_Text(version, digest, data), base))
        if wait:
            await asyncio.wait((self._reading,))

    def end(self) -> None:
        """Take no plan that is still being read."""
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    async def _base(self, many: Many, version: str) -> _Text | Plan | None:
        """What the plan of this version is based on: as it is held, or as it is kept; None where it is kept no more."""
        name = await reading.plan_base(many, version)
        digest = await reading.plan_digest(many, name) if name else Fault()
        if isinstance(digest, Fault):
            return None
        if (name, digest) == self._held:
            return self._mirror.plan
        data = await reading.plan_data(many, name)
        return None if isinstance(data, Fault) else _Text(name, digest, data)

    async def _read(self, text: _Text, base: _Text | Plan | None) -> None:
        plan = await reading.plan(*text)
        if isinstance(base, _Text):
            found = await reading.plan(*base)
            base = None if isinstance(found, Fault) else found
        self._fault(text.version, plan if isinstance(plan, Fault) else None)
        if not isinstance(plan, Fault):
            self._held = text.version, text.digest
            self._mirror.take_plan(plan, base if base is not None and base.version == plan.base else None)
        self._reading = None
        self._told()

    def _fault(self, version: str, reason: Fault | None) -> None:
        """Tell that the plan that should count cannot be read, or that it can; of others nothing is told any more."""
        self._mirror.fault(PLAN + self._shown, None)
        self._shown = version
        self._mirror.fault(PLAN + version, reason)
