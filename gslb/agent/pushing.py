"""Report after report: what was pushed last and what is measured now make what is pushed next.

The memory (`health.state`) lives here from push to push, whether the store takes them or not. It begins with the report
that the store holds, as soon as the store can be read. Where the store refuses a report as not newer, somebody else
has written: what he wrote is where this agent goes on from, with an epoch of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gslb.agent.config import Config
from gslb.errors import GslbError
from gslb.health.state import Measurement, Memory, WriterRules, resume, step
from gslb.model.report import DOWN, DRAIN, Report
from gslb.policy.headroom import left_milli
from gslb.store.interface import StoreError, Writer

RULES: Final = WriterRules(rise=1, fall=1)
"""Each probe has counted its outcomes already (`standing`)."""


class Refused(GslbError):
    """The store took neither a report nor the one that followed."""


class Pusher:
    """Pushes for one edge. ``started_s`` is its epoch, in seconds since 1970. ``adopt`` is told of each report of
    another writer that is gone on from: the one that is held at the start, too."""

    def __init__(self, config: Config, writer: Writer, started_s: int, adopt: Callable[[Report], None]) -> None:
        self._config = config
        self._writer = writer
        self._started_s = started_s
        self._adopt = adopt
        self._memory: Memory | None = None

    @property
    def report(self) -> Report | None:
        """What was pushed last; None while the store was never read."""
        return self._memory.report if self._memory is not None else None

    async def begin(self) -> None:
        """Go on from what the store holds, unless that is done. Raises `StoreError`."""
        if self._memory is None:
            self._resume(await self._held())

    async def push(self, measure: Callable[[], Measurement]) -> Report:
        """Push what follows from a measurement, which is asked for once more where another writer's report is gone on
        from. Raises `StoreError`, and `Refused` where a second try is refused."""
        await self.begin()
        report = self._step(measure())
        outcome = await self._writer.report(report)
        if outcome.accepted:
            return report
        held = await self._held()
        if held is None or (held.epoch, held.seq) < (report.epoch, report.seq):
            raise Refused(outcome.reason)  # for another reason than its number: a second try would fare no better
        self._resume(held)
        report = self._step(measure())
        outcome = await self._writer.report(report)
        if not outcome.accepted:
            raise Refused(outcome.reason)
        return report

    async def say_down(self) -> None:
        """Push a last word: both families are down, but where somebody drained them. Raises as `push`."""
        await self.push(self._all_down)

    def _all_down(self) -> Measurement:
        assert self._memory is not None
        before = self._memory.report
        four, six = (DOWN if health != DRAIN else None for health in (before.health4, before.health6))
        return Measurement(health4=four, health6=six)

    def _step(self, measurement: Measurement) -> Report:
        assert self._memory is not None
        self._memory = step(self._memory, measurement, RULES, self._writer.clock_ms, left_milli)
        return self._memory.report

    def _resume(self, held: Report | None) -> None:
        config = self._config
        self._memory = resume(config.edge, held, epoch=self._started_s, probed=config.probed)
        if held is not None:
            self._adopt(held)

    async def _held(self) -> Report | None:
        """What the store holds of the edge; None too where that cannot be read: it is to be written over."""
        try:
            return await self._writer.latest(self._config.edge)
        except StoreError:
            raise
        except GslbError:
            return None
