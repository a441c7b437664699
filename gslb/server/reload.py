"""When the files change: read, build in a child process, compare with what is applied, then swap or hold.

What is applied last stays the base of every comparison, also over restarts, so that many small edits cannot together
move what one edit may not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from gslb.errors import ConfigErrors, GslbError
from gslb.server.durations import RELOAD_S, Durations
from gslb.server.status import Built, Fault, Pending, ReloadStatus

SETTLE_S = 0.05
"""Requests that come this close together are one reading."""


class Reloader:
    """Decides what is served. One reading at a time; ``status`` always says how the last one went.

    ``read`` gives the generation of the files as they are, ``build`` a catalog for them, ``take`` has it served. Each
    may raise `GslbError`, and then nothing changes. ``remember`` keeps what is served for the next start; where it
    fails, that is told, and tried again at the next reading.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[str]],
        build: Callable[[], Awaitable[Built]],
        take: Callable[[Built], Awaitable[None]],
        remember: Callable[[Built], Awaitable[None]],
    ) -> None:
        self.status = ReloadStatus()
        self.durations = Durations(RELOAD_S)
        self._read = read
        self._build = build
        self._take = take
        self._remember = remember
        self._applied = ""
        self._owed: Built | None = None  # served, and not remembered yet
        self._warnings: tuple[Fault, ...] = ()  # of what is applied
        self._lock = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._pending: Built | None = None
        self._log: Any = structlog.get_logger("gslb.reload")

    def adopt(self, generation: str, warnings: tuple[Fault, ...] = ()) -> None:
        """The catalog of ``generation`` is served already: from the state directory, at start."""
        self._applied = generation
        self._warnings = self.status.warnings = warnings

    def request(self) -> None:
        """Ask for a reading soon; many requests are one."""
        self._wanted.set()

    async def run(self) -> None:
        """Do what `request` asks, until cancelled."""
        while True:
            await self._wanted.wait()
            await asyncio.sleep(SETTLE_S)
            self._wanted.clear()
            try:
                await self.reload()
            except Exception:
                self._log.exception("reload met a fault of this program; the next change is tried again")

    async def reload(self, *, force: bool = False) -> ReloadStatus:
        """Read the files now. ``force`` lets through what is held, or would be."""
        async with self._lock:
            begun = time.monotonic()
            before = self.status.state
            try:
                result = await self._reload(force)
            except ConfigErrors as errors:
                result = self._failed(tuple(Fault(e.path, e.line, e.column, e.reason) for e in errors.errors))
            except (GslbError, OSError) as error:
                result = self._failed((Fault("", 0, 0, str(error)),))
            except Exception as error:
                # A fault of this program: served is what was, and the next change is tried again.
                self._log.exception("reload met a fault of this program")
                result = self._failed((Fault("", 0, 0, f"{type(error).__name__}: {error}"),))
            self.status.counts[result] += 1
            self.status.at_s = time.time()
            self.status.seconds = time.monotonic() - begun
            self.durations.add(self.status.seconds)
            if result != "unchanged" or self.status.state != before:
                self._tell(result)
            return self.status

    async def _reload(self, force: bool) -> str:
        """What came of it: a key of `ReloadStatus.counts`."""
        generation = await self._read()
        if generation and generation == self._applied:
            self._settle("ok", errors=await self._keep(), warnings=self._warnings)
            return "unchanged"
        built = self._pending
        if built is None or built.generation != generation:
            built = await self._build()
        if built.errors:
            return self._failed(built.errors, built.warnings)
        if built.held and self._applied and not force:
            self._pending = built
            self._settle("pending", errors=(), warnings=built.warnings, pending=Pending(built.generation, built.held))
            return "pending"
        if built.generation != self._applied:
            await self._take(built)
            self._applied, self._warnings = built.generation, built.warnings
            self._owed = built
        self._settle("ok", errors=await self._keep(), warnings=built.warnings)
        return "applied"

    async def _keep(self) -> tuple[Fault, ...]:
        """Remember what is served, if that is still to be done; the fault of doing so."""
        if self._owed is None:
            return ()
        try:
            await self._remember(self._owed)
        except Exception as error:
            reason = str(error) if isinstance(error, GslbError | OSError) else f"{type(error).__name__}: {error}"
            self._log.error("what is served could not be remembered", reason=reason)
            return (Fault("", 0, 0, f"served, but could not be remembered: {reason}"),)
        self._owed = None
        return ()

    def _failed(self, errors: tuple[Fault, ...], warnings: tuple[Fault, ...] = ()) -> str:
        self._settle("failed", errors=errors, warnings=warnings)
        return "failed"

    def _settle(
        self,
        state: str,
        *,
        errors: tuple[Fault, ...],
        warnings: tuple[Fault, ...],
        pending: Pending | None = None,
    ) -> None:
        status = self.status
        status.state, status.errors, status.warnings, status.pending = state, errors, warnings, pending
        if pending is None:
            self._pending = None

    def _tell(self, result: str) -> None:
        status = self.status
        for fault in status.warnings:
            self._log.warning("files: warning", at=fault.place, reason=fault.message)
        for fault in status.errors:
            self._log.error("files: error", at=fault.place, reason=fault.message)
        seconds = round(status.seconds, 3)
        if result == "failed":
            self._log.error("reload failed, nothing changed", errors=len(status.errors), seconds=seconds)
        elif result == "pending":
            moved = status.pending.held if status.pending else ()
            held = [f"{each.service} {each.fraction:.1%} of at most {each.max_change:.1%}" for each in moved]
            self._log.error("reload held: gslb apply --force lets it through", held=held, seconds=seconds)
        else:
            self._log.info("reload", result=result, generation=self._applied[:16], seconds=seconds)
