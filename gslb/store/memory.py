"""The embedded store: the state of one process. The default, for a server without Redis.

It does what gslb.lua does in Redis, so that a network may change from the one to the other: the same order of reports,
the same store time, gap and slow start. What it held may be handed to it again at the next start.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

from gslb.health import override as override_text
from gslb.health import report as report_text
from gslb.model.override import Override
from gslb.model.plan import Plan
from gslb.model.report import GAP_MS, UP, Report, StoreState
from gslb.store import memory_plans
from gslb.store.events import LIMIT, Page, Position
from gslb.store.interface import EXPIRE_MS, OVERRIDE_KEPT_S, Freeze, Lease, Outcome, StoreError
from gslb.store.memory_events import MemoryEvents

MAX_EDGES: Final = 65_535
"""Edges that may ever report, as many as a catalog can hold; so a store stays below some 50 MB."""
MAX_OVERRIDES: Final = 10_000
VALID_MS: Final = 10_000
"""For how long a report holds that does not say so (VALID_MS of gslb.lua)."""

_CLOSED: Final = Outcome(False, "the store is closed")


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class MemoryStore:
    """An `interface.Store` in memory, which begins with what was ``held``. ``clock_ms`` tells ms since 1970."""

    def __init__(
        self,
        clock_ms: Callable[[], int] = _wall_ms,
        max_edges: int = MAX_EDGES,
        held: StoreState | None = None,
    ) -> None:
        held = held or StoreState()
        self._clock_ms = clock_ms
        self._max_edges = max_edges
        self._reports = dict(held.reports)
        self._late: dict[str, int] = {}  # edge → when its report counts as received, written before a clock set back
        self._seen = dict(held.seen)
        self._gap = (held.gap_begin_ms, held.gap_end_ms)
        self._gap_joins = False
        self._overrides = dict(held.overrides)
        self._forget_ms = {name: (each.until_s + OVERRIDE_KEPT_S) * 1000 for name, each in held.overrides.items()}
        self._plan = held.plan
        self._plans = memory_plans.MemoryPlans(clock_ms, held.plan)
        self._events = MemoryEvents()
        self._now_ms = held.now_ms
        self._writes = 0
        self._written = asyncio.Event()
        self._closed = False
        self._state: StoreState | None = held

    @property
    def now_ms(self) -> int:
        """The time of the newest entry. It goes back only with a clock set back by more than `memory_plans.JUMP_MS`."""
        return self._now_ms

    @property
    def clock_ms(self) -> int:
        """This process's clock."""
        return self._clock_ms()

    @property
    def connected(self) -> bool:
        """True until closed."""
        return not self._closed

    @property
    def age_s(self) -> float:
        """0: what is in this process is always current."""
        return 0.0

    @property
    def faults(self) -> dict[str, str]:
        """None: only what can be read is taken."""
        return {}

    async def state(self) -> StoreState:
        """As `Store.state`."""
        self._forget()
        if self._state is None:
            oldest = self._now_ms - EXPIRE_MS
            self._reports = {edge: report for edge, report in self._reports.items() if report.received_ms > oldest}
            reports = dict(self._reports)
            for edge in self._late.keys() & reports.keys():
                reports[edge] = dataclasses.replace(reports[edge], received_ms=self._late[edge])
            self._state = StoreState(
                now_ms=self._now_ms,
                reports=reports,
                seen=dict(self._seen),
                gap_begin_ms=self._gap[0],
                gap_end_ms=self._gap[1],
                overrides=dict(self._overrides),
                plan=self._plan,
                plan_base=self._plans.base,
            )
        return self._state

    async def latest(self, edge: str) -> Report | None:
        """As `Writer.latest`."""
        return self._held(edge)

    async def report(self, report: Report) -> Outcome:
        """As `Writer.report`; refused too when too many edges have reported already."""
        if self._closed:
            return _CLOSED
        try:
            report_text.read(report.edge, report_text.fields(report), 0)
        except report_text.ReportError as error:
            return Outcome(False, str(error))
        former = self._held(report.edge)
        if former is not None and (report.epoch, report.seq) <= (former.epoch, former.seq):
            return Outcome(
                False,
                f"report of edge {report.edge!r}: epoch {report.epoch}, seq {report.seq} is not newer than"
                f" epoch {former.epoch}, seq {former.seq}",
            )
        if report.edge not in self._seen and len(self._seen) >= self._max_edges:
            return Outcome(False, f"report of edge {report.edge!r}: {self._max_edges} edges have reported already")
        newest = self._newest()
        now_ms = max(self._clock_ms(), newest or 0)
        slow_since_ms = self._slow_since_ms(former, report, now_ms, newest)
        written = dataclasses.replace(report, received_ms=now_ms, slow_since_ms=slow_since_ms)
        self._entered(now_ms, newest, "report", written)
        self._reports[report.edge] = written
        self._seen[report.edge] = now_ms
        self._late.pop(report.edge, None)
        return Outcome(True)

    async def overrides(self) -> tuple[Override, ...]:
        """As `Writer.overrides`."""
        self._forget()
        return tuple(self._overrides[name] for name in sorted(self._overrides))

    async def override(self, override: Override) -> Outcome:
        """As `Writer.override`; refused too when too many are kept already."""
        if self._closed:
            return _CLOSED
        try:
            override_text.read(override_text.mapping(override))
        except override_text.OverrideError as error:
            return Outcome(False, str(error))
        self._forget()
        if override.id not in self._overrides and len(self._overrides) >= MAX_OVERRIDES:
            return Outcome(False, f"override {override.id!r}: {MAX_OVERRIDES} overrides are kept already")
        newest = self._newest()
        clock_ms = self._clock_ms()
        self._entered(max(clock_ms, newest or 0), newest, "override")
        self._overrides[override.id] = override
        self._forget_ms[override.id] = (max(override.until_s, clock_ms // 1000) + OVERRIDE_KEPT_S) * 1000
        return Outcome(True)

    async def plan(self, version: str | None = None) -> Plan | None:
        """As `Publisher.plan`."""
        return self._plans.plan(version)

    async def plan_versions(self) -> tuple[str, ...]:
        """As `Publisher.plan_versions`."""
        return self._plans.versions()

    async def publish(self, plan: Plan, token: int | None = None) -> Outcome:
        """As `Publisher.publish`. A thread looks whether it can be read, which takes a second for a large one."""
        if fault := await asyncio.to_thread(memory_plans.check, plan):
            return Outcome(False, fault)
        if self._closed:
            return _CLOSED
        if refusal := self._plans.refusal(plan, token):
            return Outcome(False, refusal)
        newest = self._newest()
        self._plans.take(plan)
        self._plan = plan
        self._entered(max(self._clock_ms(), newest or 0), newest, "plan")
        return Outcome(True)

    async def take_lease(self, name: str, holder: str, lasting_ms: int) -> Lease:
        """As `Publisher.take_lease`."""
        if self._closed:
            raise StoreError(_CLOSED.reason)
        return self._plans.take_lease(name, holder, lasting_ms)

    async def drop_lease(self, name: str, holder: str) -> Outcome:
        """As `Publisher.drop_lease`."""
        return _CLOSED if self._closed else self._plans.drop_lease(name, holder)

    async def freeze(self, until_ms: int, author: str, reason: str) -> Outcome:
        """As `Publisher.freeze`."""
        return _CLOSED if self._closed else self._plans.freeze(until_ms, author, reason)

    async def frozen(self) -> Freeze | None:
        """As `Publisher.frozen`."""
        return self._plans.frozen()

    async def after(self, position: Position, limit: int = LIMIT) -> Page:
        """As `events.Events.after`: the newest 10,000 writes of this process."""
        return self._events.after(position, limit, self._clock_ms())

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

    def _held(self, edge: str) -> Report | None:
        """The report of an edge, unless nobody renewed it for too long."""
        report = self._reports.get(edge)
        return report if report is not None and self._clock_ms() - report.received_ms < EXPIRE_MS else None

    def _newest(self) -> int | None:
        """The time of the newest entry; None where there is none, or one that lies far ahead of the clock."""
        return self._now_ms if 0 < self._now_ms <= self._clock_ms() + memory_plans.JUMP_MS else None

    def _entered(self, now_ms: int, newest: int | None, kind: str, report: Report | None = None) -> None:
        """Count an entry at ``now_ms`` after the ``newest`` one."""
        if newest is None and self._now_ms:
            self._events.begin_anew()
        self._events.add(now_ms, kind, report)
        if newest is None:
            self._gap, self._gap_joins = (0, now_ms), False
            self._set_back(now_ms)
        elif now_ms - newest > GAP_MS:
            begin_ms, end_ms = self._gap
            self._gap_joins = not self._gap_joins and begin_ms > 0 and 0 <= newest - end_ms <= VALID_MS
            self._gap = (begin_ms if self._gap_joins else newest, now_ms)
        self._now_ms = now_ms
        self._state = None
        self._writes += 1
        self._wake()

    def _set_back(self, now_ms: int) -> None:
        """The clock was set back: of what is from before, no more is known than that it is no newer than this."""
        late_ms = now_ms + memory_plans.JUMP_MS
        for edge, report in self._reports.items():
            if self._late.get(edge, report.received_ms) > late_ms:
                self._late[edge] = now_ms
        self._seen = {edge: now_ms if at_ms > late_ms else at_ms for edge, at_ms in self._seen.items()}

    def _slow_since_ms(self, former: Report | None, report: Report, now_ms: int, newest: int | None) -> int:
        """When an edge came back last, and its slow start began."""
        if former is None:
            return 0
        if UP not in (former.health4, former.health6):
            return now_ms if UP in (report.health4, report.health6) else former.slow_since_ms
        if newest is not None:
            heard_ms = StoreState(newest, gap_begin_ms=self._gap[0], gap_end_ms=self._gap[1]).heard_ms
            if newest - heard_ms(former.received_ms) > (former.valid_ms or VALID_MS):
                return now_ms
        return former.slow_since_ms

    def _forget(self) -> None:
        """Drop the overrides that have ended for long."""
        clock_ms = self._clock_ms()
        for name in [name for name, at_ms in self._forget_ms.items() if at_ms <= clock_ms]:
            del self._forget_ms[name], self._overrides[name]
            self._state = None
