"""What was read from Redis and still counts: the state as readers get it, and what could not be read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

from gslb.model.override import Override
from gslb.model.plan import Plan
from gslb.model.report import Report, StoreState
from gslb.store.interface import EXPIRE_MS
from gslb.store.redis_reading import GAP, OVERRIDE, REPORT, Fault, Gap

JUMP_MS: Final = 10_000
"""Store time goes back by more than this alone: the clock was set, and the stream begun anew (JUMP_MS of gslb.lua)."""
MAX_EDGES: Final = 65_535
MAX_FAULTS: Final = 200
"""Faults that are told; the rest is counted."""


class Mirror:
    """The state as it was read last. What cannot be read any more stays as it was good, and is told in ``faults``."""

    def __init__(self, initial: StoreState) -> None:
        self.now_ms = initial.now_ms
        self.changes = 0
        self._reports = dict(initial.reports)
        self._seen = dict(initial.seen)
        self._overrides = dict(initial.overrides)
        self._gap = Gap(initial.gap_begin_ms, initial.gap_end_ms)
        self._plan = initial.plan
        self._plan_base: Plan | None = initial.plan_base
        self._late: dict[str, tuple[int, int]] = {}  # edge → a time of before the clock was set back, what it counts as
        self._faults: dict[str, str] = {}
        self._state: StoreState | None = None

    @property
    def faults(self) -> dict[str, str]:
        """What cannot be read: key → why, at most `MAX_FAULTS` of them."""
        told = dict(sorted(self._faults.items())[:MAX_FAULTS])
        if more := len(self._faults) - len(told):
            told["…"] = f"{more} more"
        return told

    def state(self) -> StoreState:
        """One reading. A report that says not when it was written counts as written now, for as long as it is there."""
        if self._state is None:
            oldest = self.now_ms - EXPIRE_MS
            self._state = StoreState(
                now_ms=self.now_ms,
                reports={
                    edge: report if report.received_ms else dataclasses.replace(report, received_ms=self.now_ms)
                    for edge, report in self._reports.items()
                    if report.received_ms > oldest or not report.received_ms
                },
                seen=dict(self._seen),
                gap_begin_ms=self._gap.begin_ms,
                gap_end_ms=self._gap.end_ms,
                overrides=dict(self._overrides),
                plan=self._plan,
                plan_base=self._plan_base,
            )
        return self._state

    def fault(self, key: str, reason: str | None) -> None:
        """Tell that a key cannot be read, or, with None, that it can."""
        if reason is None:
            self._faults.pop(key, None)
        elif len(self._faults) < 10 * MAX_FAULTS or key in self._faults:
            self._faults[key] = str(reason)

    def take_time(self, now_ms: int) -> None:
        """Store time at the newest entry; it goes back for a stream begun anew alone."""
        if now_ms > self.now_ms or now_ms < self.now_ms - JUMP_MS:
            self.now_ms = now_ms
            self._changed()

    def take_gap(self, gap: Gap | Fault, latest_ms: int) -> None:
        """The newest time without entries. One that ends after store time belongs to an entry that is still to be read,
        unless it ends after ``latest_ms``: then it is forged."""
        if isinstance(gap, Gap) and gap.end_ms > max(latest_ms, self.now_ms):
            gap = Fault(f"end_ms: {gap.end_ms} lies ahead of the store's clock")
        self.fault(GAP, gap if isinstance(gap, Fault) else None)
        if isinstance(gap, Gap) and gap != self._gap and gap.end_ms <= self.now_ms:
            self._gap = gap
            self._seen = {edge: self._believed_ms(edge, at_ms) for edge, at_ms in self._seen.items()}
            self._changed()

    def take_reports(self, found: Mapping[str, Report | Fault | None], *, entries: bool = False) -> None:
        """What stands under the keys of some edges; with ``entries``, after an entry told so."""
        for edge, report in found.items():
            key = REPORT + edge
            if isinstance(report, Fault):
                self.fault(key, report)
                continue
            self.fault(key, None)
            held = self._reports.get(edge)
            if report is None:
                if held is not None:
                    self._vanished(edge, held)
                continue
            if (received_ms := self._believed_ms(edge, report.received_ms)) != report.received_ms:
                report = dataclasses.replace(report, received_ms=received_ms)
            if report != held and (held is not None or len(self._reports) < MAX_EDGES):
                self._reports[edge] = report
                self._seen[edge] = min(report.received_ms or self.now_ms, self.now_ms)
                self._changed()
        if entries and found:
            self._changed()

    def take_overrides(self, found: Mapping[str, Override | Fault | None]) -> None:
        """What stands under the keys of some overrides."""
        for name, override in found.items():
            key = OVERRIDE + name
            if isinstance(override, Fault):
                self.fault(key, override)
                continue
            self.fault(key, None)
            if override is None and self._overrides.pop(name, None) is not None:
                self._changed()
            elif override is not None and override != self._overrides.get(name):
                self._overrides[name] = override
                self._changed()

    @property
    def plan(self) -> Plan | None:
        """The plan that counts."""
        return self._plan

    def take_plan(self, plan: Plan | None, base: Plan | None = None) -> None:
        """The plan that counts from now on, and the one that it is based on, where that is still kept."""
        if plan != self._plan:
            self._plan, self._plan_base = plan, base
            self._changed()
        elif base is not None and base != self._plan_base:
            self._plan_base = base  # nothing that is drawn follows from it: it is there for who asks next
            self._state = None

    def take_seen(self, seen: Mapping[str, int]) -> None:
        """When edges were last seen. What was known of others stays: a store that was emptied forgets them."""
        for edge, at_ms in seen.items():
            at_ms = min(self._believed_ms(edge, at_ms), self.now_ms)
            if at_ms > self._seen.get(edge, -1) and (edge in self._seen or len(self._seen) < MAX_EDGES):
                self._seen[edge] = at_ms
                self._changed()

    def keep_only(self, edges: set[str], overrides: set[str]) -> None:
        """Forget the reports and overrides of all others: a full read did not meet them."""
        for edge in [edge for edge in self._reports if edge not in edges]:
            self._vanished(edge, self._reports[edge])
        for name in [name for name in self._overrides if name not in overrides]:
            del self._overrides[name]
            self._changed()
        kept = {REPORT + edge for edge in edges} | {OVERRIDE + name for name in overrides}
        for key in [key for key in self._faults if key.startswith((REPORT, OVERRIDE)) and key not in kept]:
            del self._faults[key]

    def touch(self) -> None:
        """Count a change of what is no part of the state."""
        self.changes += 1

    def _vanished(self, edge: str, report: Report) -> None:
        del self._reports[edge]
        self._seen[edge] = max(self._seen.get(edge, 0), min(report.received_ms or self.now_ms, self.now_ms))
        self._changed()

    def _believed_ms(self, edge: str, at_ms: int) -> int:
        """What a time counts as that was told of an edge. Of one from before the clock was set back nothing is known
        but that it is no later than that; so it stays once the clock is there again. Before the first entry is known
        no time is late: a report may be read before the entry that tells of it."""
        late_ms, believed_ms = self._late.get(edge, (at_ms, at_ms))
        found_ms = believed_ms if at_ms == late_ms else at_ms
        if self.now_ms and found_ms > self.now_ms + JUMP_MS:
            found_ms = min(self._gap.end_ms or self.now_ms, self.now_ms)
            self._late[edge] = (at_ms, found_ms)
        return found_ms

    def _changed(self) -> None:
        self._state = None
        self.changes += 1
