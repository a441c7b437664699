"""The embedded store: the state of one process, lost with it. The default, for a server without Redis."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Callable

from gslb.model.report import Report, StoreState
from gslb.store.interface import EXPIRE_MS, Outcome

MAX_EDGES = 65_535
"""Edges that may ever report, as many as a catalog can hold; so a store stays below some 50 MB."""


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000


class MemoryStore:
    """An `interface.Store` in memory. ``clock_ms`` tells the time, in ms since 1970."""

    def __init__(self, clock_ms: Callable[[], int] = _clock_ms, max_edges: int = MAX_EDGES) -> None:
        self._clock_ms = clock_ms
        self._max_edges = max_edges
        self._reports: dict[str, Report] = {}
        self._seen: dict[str, int] = {}
        self._now_ms = 0
        self._writes = 0
        self._written = asyncio.Event()
        self._closed = False
        self._state: StoreState | None = StoreState()

    @property
    def now_ms(self) -> int:
        """The time of the newest entry; it never goes back, whatever the clock does."""
        return self._now_ms

    @property
    def connected(self) -> bool:
        """True until closed."""
        return not self._closed

    @property
    def age_s(self) -> float:
        """0: what is in this process is always current."""
        return 0.0

    async def state(self) -> StoreState:
        """As `Store.state`."""
        if self._state is None:
            oldest = self._now_ms - EXPIRE_MS
            self._reports = {edge: report for edge, report in self._reports.items() if report.received_ms > oldest}
            self._state = StoreState(self._now_ms, dict(self._reports), dict(self._seen))
        return self._state

    async def report(self, report: Report) -> Outcome:
        """As `Store.report`; refused too when too many edges have reported already."""
        if self._closed:
            return Outcome(False, "the store is closed")
        now_ms = max(self._now_ms, self._clock_ms())
        held = self._reports.get(report.edge)
        if (
            held is not None
            and now_ms - held.received_ms < EXPIRE_MS
            and (report.epoch, report.seq) <= (held.epoch, held.seq)
        ):
            return Outcome(
                False,
                f"report of edge {report.edge!r}: epoch {report.epoch}, seq {report.seq} is not newer than"
                f" epoch {held.epoch}, seq {held.seq}",
            )
        if report.edge not in self._seen and len(self._seen) >= self._max_edges:
            return Outcome(False, f"report of edge {report.edge!r}: {self._max_edges} edges have reported already")
        self._now_ms = now_ms
        self._reports[report.edge] = dataclasses.replace(report, received_ms=self._now_ms)
        self._seen[report.edge] = self._now_ms
        self._state = None
        self._writes += 1
        self._wake()
        return Outcome(True)

    def changes(self) -> AsyncIterator[None]:
        """As `Store.changes`."""
        return self._changes(self._writes)

    async def close(self) -> None:
        """As `Store.close`."""
        self._closed = True
        self._wake()

    async def _changes(self, seen: int) -> AsyncIterator[None]:
        while not self._closed:
            if seen == self._writes:
                await self._written.wait()
            else:
                seen = self._writes
                yield

    def _wake(self) -> None:
        self._written.set()
        self._written = asyncio.Event()
