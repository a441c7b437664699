"""The writer's side of health: what an agent or a script pushes next, from what it pushed last and what it measured.

All memory lives here, in the writer; servers judge reports by their age alone (`health.judge`). Three rules:

**Rise and fall.** A probe's result changes nothing until ``fall`` probes in a row have failed (up → down), or ``rise``
in a row have succeeded (down → up). A verdict is obeyed at once and starts the count anew. Probes never end a drain: it
is somebody's word, and so is what ends it. IPv4 and IPv6 are apart; a family of which nothing is said stays as it is.

**Headroom** follows what the load leaves (``left``: `policy.headroom.left_milli`), down by at most 5 % a second and up
by at most 1 %, so that neither a measurement that jumps nor the traffic that follows headroom makes it swing. It is
about bits alone, and unknown, -1, while no capacity is known; then it starts at what the load leaves.

**Silence never resets.** Whatever time has passed, words, counts and headroom go on from where they were. Time is the
store's clock. Where it seems to have gone back no time has passed; more than `MAX_STEP_MS` counts as that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from gslb.model.report import DOWN, DRAIN, UP, Report

FALL_MICRO_PER_MS: Final = 50
"""Millionths of headroom lost in a millisecond at most: 5 % a second."""
RISE_MICRO_PER_MS: Final = 10
"""And regained: 1 % a second."""
MAX_STEP_MS: Final = 60_000
_MICRO: Final = 1000  # millionths in a thousandth


@dataclass(frozen=True, slots=True)
class WriterRules:
    """How many probes in a row it takes to change a family's health."""

    rise: int = 2
    fall: int = 3


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was found out at one moment; None: nothing about that, and it stays as it was.

    ``probe4`` and ``probe6`` tell whether a probe of that family succeeded. ``health4`` and ``health6`` are verdicts
    (model.report.VERDICTS), obeyed whatever probes say. A ``capacity_bps`` of 0 is an unknown one. ``valid_ms`` is how
    long the report is vouched for, 0 for the rules' stale + hold.
    """

    probe4: bool | None = None
    probe6: bool | None = None
    health4: str | None = None
    health6: str | None = None
    load_bps: int | None = None
    capacity_bps: int | None = None
    sessions: int | None = None
    valid_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """What a writer remembers of its edge: the report to push (`step` numbers it), and what led to it.

    ``against4`` and ``against6`` count the probes in a row that contradict the report's health. ``headroom_micro`` is
    its headroom in millionths, -1 where unknown; ``clock_ms`` is the store's clock when it held.
    """

    report: Report
    against4: int = 0
    against6: int = 0
    headroom_micro: int = -1
    clock_ms: int = 0


class _Family(NamedTuple):
    health: str
    against: int


def resume(
    edge: str, held: Report | None, *, epoch: int | None = None, probed: tuple[bool, bool] | None = None
) -> Memory:
    """The memory of a writer that goes on from the report that the store holds of ``edge``, or from none.

    Without ``epoch`` the numbering goes on too, as for a script that pushes once. A writer that stays begins an epoch
    of its own: its start in seconds, or one more than the one that is held. ``probed`` tells of a writer that probes
    which families it does: the others are up, unless drained.
    """
    if held is None:
        return Memory(Report(edge=edge, epoch=epoch or 0, seq=0, received_ms=0))
    report = held
    if epoch is not None:
        report = dataclasses.replace(held, epoch=max(epoch, held.epoch + 1), seq=0)
    if probed is not None:
        healths = zip(probed, (held.health4, held.health6), strict=True)
        four, six = (UP if health == DOWN and not probes else health for probes, health in healths)
        report = dataclasses.replace(report, health4=four, health6=six)
    micro = held.headroom_milli * _MICRO if held.headroom_milli >= 0 else -1
    return Memory(report, headroom_micro=micro, clock_ms=held.received_ms)


def step(
    memory: Memory, measurement: Measurement, rules: WriterRules, now_ms: int, left: Callable[[int, int], int]
) -> Memory:
    """What to push after a measurement at ``now_ms`` of the store's clock: ``report`` of the memory that is returned.

    ``left(load_bps, capacity_bps)`` gives the thousandths of weight that a load leaves: `policy.headroom.left_milli`.
    """
    before = memory.report
    four = _family(_Family(before.health4, memory.against4), measurement.health4, measurement.probe4, rules)
    six = _family(_Family(before.health6, memory.against6), measurement.health6, measurement.probe6, rules)
    clock_ms = _clock_ms(memory, now_ms)
    load_bps = _told(measurement.load_bps, before.load_bps)
    capacity_bps = _told(measurement.capacity_bps, before.capacity_bps)
    micro = -1
    if capacity_bps > 0:
        elapsed_ms = min(clock_ms - memory.clock_ms, MAX_STEP_MS)
        micro = _slewed(memory.headroom_micro, left(load_bps, capacity_bps) * _MICRO, elapsed_ms)
    is_transition = (four.health, six.health) != (before.health4, before.health6)
    report = dataclasses.replace(
        before,
        seq=before.seq + 1,
        since_ms=clock_ms if is_transition else before.since_ms,
        health4=four.health,
        health6=six.health,
        load_bps=load_bps,
        capacity_bps=capacity_bps,
        headroom_milli=micro // _MICRO if micro >= 0 else -1,
        sessions=_told(measurement.sessions, before.sessions),
        valid_ms=_told(measurement.valid_ms, before.valid_ms),
    )
    return Memory(report, four.against, six.against, micro, clock_ms)


def _family(before: _Family, verdict: str | None, probe: bool | None, rules: WriterRules) -> _Family:
    if verdict is not None:
        return _Family(verdict, 0)
    if probe is None:
        return before
    if before.health == DRAIN or probe == (before.health == UP):
        return _Family(before.health, 0)
    against = before.against + 1
    if against < (rules.rise if probe else rules.fall):
        return _Family(before.health, against)
    return _Family(UP if probe else DOWN, 0)


def _clock_ms(memory: Memory, now_ms: int) -> int:
    """The store's clock, not earlier than before, unless it was far ahead then: that was a mistake."""
    return max(now_ms, memory.clock_ms) if memory.clock_ms - now_ms <= MAX_STEP_MS else now_ms


def _slewed(before: int, wanted: int, elapsed_ms: int) -> int:
    """``wanted``, or as near to it as headroom may have come; all in millionths."""
    if before < 0:
        return wanted
    elapsed_ms = max(elapsed_ms, 0)
    return min(max(wanted, before - FALL_MICRO_PER_MS * elapsed_ms), before + RISE_MICRO_PER_MS * elapsed_ms)


def _told(value: int | None, before: int) -> int:
    return before if value is None else value
