"""Reports of a world's edges: one agent each, made of the project's own, whose pushes arrive with a delay."""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import Final

import numpy as np
import numpy.typing as npt

from gslb.health import state as writer
from gslb.health.state import Measurement, Memory, WriterRules
from gslb.model.report import DOWN, UP, Report, StoreState
from gslb.policy import headroom
from gslb.simulate.steered import START_MS

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_RULES: Final = WriterRules()


@dataclasses.dataclass(frozen=True, slots=True)
class Condition:
    """How edges are; columns of edges. ``says_bps`` is the capacity that they report, ``true_bps`` what they have;
    ``silent`` are those whose reports do not arrive."""

    dead: Mask
    silent: Mask
    says_bps: F64
    true_bps: F64


class Agents:
    """All agents of a world and the store that they push to; ``loaded`` tells whether they report load."""

    def __init__(self, edges: tuple[str, ...], loaded: bool, delay_s: int) -> None:
        self._edges, self._loaded, self._delay_s = edges, loaded, delay_s
        self._memories = [writer.resume(edge, None, epoch=1) for edge in edges]
        self._reports: dict[str, Report] = {}
        self._seen: dict[str, int] = {}
        self._states: deque[tuple[int, StoreState]] = deque()
        self._known = StoreState(now_ms=0)

    def push(self, now_s: int, load_bps: F64, condition: Condition) -> None:
        """Each edge measures itself and pushes."""
        now_ms = START_MS + now_s * 1000
        dead, silent = condition.dead.tolist(), condition.silent.tolist()
        loads = np.minimum(load_bps, np.where(condition.true_bps < condition.says_bps, condition.true_bps, np.inf))
        told_bps: I64 = np.maximum(np.rint(loads), 0.0).astype(np.int64)
        says_bps: I64 = np.rint(condition.says_bps).astype(np.int64)
        pairs: list[tuple[int, int]] = list(zip(told_bps.tolist(), says_bps.tolist(), strict=True))
        milli: dict[tuple[int, int], int] = dict(
            zip(pairs, headroom.headroom_milli(told_bps, says_bps).tolist(), strict=True)
        )

        def left(load: int, capacity: int) -> int:
            return milli[load, capacity]

        for at, (edge, (load, capacity)) in enumerate(zip(self._edges, pairs, strict=True)):
            health = DOWN if dead[at] else UP
            before = self._memories[at]
            changed = health != before.report.health4
            measured = Measurement(
                health4=health if changed else None,
                health6=health if changed else None,
                load_bps=load if self._loaded else None,
                capacity_bps=capacity if self._loaded else None,
            )
            memory = writer.step(before, measured, _RULES, now_ms, left)
            self._memories[at] = memory
            if not silent[at]:
                self._receive(edge, memory, now_ms)
        self._states.append((now_s, StoreState(now_ms, dict(self._reports), dict(self._seen))))

    def known(self, now_s: int) -> StoreState:
        """What servers go by: what was pushed before the delay."""
        while self._states and self._states[0][0] + self._delay_s <= now_s:
            self._known = self._states.popleft()[1]
        return self._known

    def _receive(self, edge: str, memory: Memory, now_ms: int) -> None:
        """As a store does: it tells when the report came, and since when an edge that was down is back."""
        former = self._reports.get(edge)
        slow_ms = former.slow_since_ms if former is not None else 0
        if former is not None and former.health4 != UP and memory.report.health4 == UP:
            slow_ms = now_ms
        self._reports[edge] = dataclasses.replace(memory.report, received_ms=now_ms, slow_since_ms=slow_ms)
        self._seen[edge] = now_ms
