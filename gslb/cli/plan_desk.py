"""Where plans are read and put in force by hand: the store or a server's admin port, and a dispatcher's disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from gslb.cli.units import coming_s
from gslb.dispatch.keeping import Keeper, read_plan
from gslb.dispatch.rounds import version_at
from gslb.errors import GslbError
from gslb.model.plan import ROLLBACK, Forced, Plan
from gslb.plan import published
from gslb.plan.round import HOLD_MS
from gslb.store.interface import EXPIRE_MS, Freeze, Writer

T = TypeVar("T")


@dataclass(slots=True)
class PlanDesk:
    """Asks and writes at ``url``, with a token that is read when it is needed. ``clock_ms`` is the store's clock (0
    while it was not asked), and ``frozen`` the freeze that acts, by the last reply."""

    url: str
    token: Callable[[], str | None]
    keeper: Keeper
    clock_ms: int = 0
    frozen: Freeze | None = None

    @classmethod
    def of(cls, store: str | None, admin: str | None, state: Path | None, config: Path | None, kept: Path) -> PlanDesk:
        """The one that the options name. Raises `UsageError`."""
        import os

        from gslb.cli.client import Server
        from gslb.errors import UsageError
        from gslb.server.settings import load

        if store is None:
            settings, _ = load({"admin": admin, "state": state}, os.environ, config)
            return cls(f"http://{settings.admin}", Server(admin, state, config).token, Keeper(kept))
        if admin is not None:
            raise UsageError("--store and --admin: plans are read from the one or from the other")
        if store.startswith(("memory:", "http:")):
            raise UsageError("--store: the embedded store is inside of a server; name its port by --admin")
        return cls(store, lambda: None, Keeper(kept))

    def versions(self) -> list[str]:
        """Of all plans that are kept: in the store, and then on disk, newest first."""

        async def ask(writer: Writer) -> tuple[str, ...]:
            return await writer.plan_versions()

        return list(dict.fromkeys([*self._ask(ask), *self.keeper.versions()]))

    def plan(self, version: str | None) -> Plan:
        """A plan of the store, else of the disk, or one in a file; None: the one that counts. Raises `GslbError` where
        there is none."""
        if version is not None and (path := Path(version)).is_file():
            return read_plan(path)
        if version is not None and not published.is_version(version):
            raise GslbError(f"{version}: no such file, and not the version of a plan")

        async def ask(writer: Writer) -> Plan | None:
            return await writer.plan(version)

        found = self._ask(ask) or (self.keeper.plan(version) if version is not None else None)
        if found is None:
            known = ", ".join(self.versions()[:5])
            told = f"no plan {version!r} is kept" if version is not None else "there is no plan that counts"
            raise GslbError(f"{told}; newest: {known}" if known else told)
        return found

    def put(self, wanted: Plan) -> Plan:
        """Publish the rows of ``wanted`` now, on top of what counts. While plans are frozen it holds for an hour longer
        than that, since nothing will follow it. Raises `GslbError` where that is refused."""

        async def write(writer: Writer) -> Plan:
            frozen_ms = self.frozen.until_ms if self.frozen is not None else 0
            return await _publish(writer, wanted, max(writer.clock_ms, frozen_ms) + HOLD_MS)

        return self._ask(write)

    def freeze(self, until: str, author: str, reason: str) -> tuple[int, Plan | None]:
        """Freeze plans, and have the one that counts hold for an hour longer than that; ``now`` ends a freeze. The end
        in ms since 1970, and the plan. Raises `GslbError` where that is refused."""
        from gslb.errors import UsageError

        async def write(writer: Writer) -> tuple[int, Plan | None]:
            now_ms = writer.clock_ms
            try:
                until_ms = coming_s(until, now_ms // 1000) * 1000
            except ValueError as error:
                raise UsageError(f"--until: {error}") from None
            if until_ms - now_ms > EXPIRE_MS:
                raise UsageError(f"--until: {until!r} is more than 7 days away")
            outcome = await writer.freeze(until_ms, author, reason)
            if not outcome.accepted:
                raise GslbError(outcome.reason)
            held = await writer.plan()
            if until_ms <= now_ms or held is None:
                return until_ms, None
            return until_ms, await _publish(writer, held, until_ms + HOLD_MS, forced=False)

        return self._ask(write)

    def _ask(self, use: Callable[[Writer], Awaitable[T]]) -> T:
        from gslb.store.opening import open_writer

        async def run() -> T:
            writer = open_writer(self.url, self.token())
            try:
                self.frozen = await writer.frozen()  # its reply tells the store's clock too
                found = await use(writer)
                self.clock_ms = writer.clock_ms
                return found
            finally:
                await writer.close()

        return asyncio.run(run())


async def _publish(writer: Writer, wanted: Plan, hold_until_ms: int, *, forced: bool = True) -> Plan:
    now_ms = writer.clock_ms
    versions = await writer.plan_versions()
    made = replace(
        wanted,
        version=version_at(now_ms),
        base=versions[0] if versions else "",
        issued_at_ms=now_ms,
        effective_at_ms=now_ms,
        hold_until_ms=hold_until_ms,
        forced=(Forced("", ROLLBACK),) if forced else wanted.forced,
    )
    outcome = await writer.publish(made, None)
    if not outcome.accepted:
        raise GslbError(f"refused: {outcome.reason}")
    return made
