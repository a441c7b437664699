"""The table of a steering snapshot in the making: blocks of rows, one for each policy and for services of their own.

For each class, the first of these that has anything to say decides: a pin, the plan, local policy. What drains and
ramps take away, they take from all three.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from gslb.model.override import KIND_PIN
from gslb.snapshot import layout, lookups, overriding, planning, weighing
from gslb.snapshot.layout import STEERING_WIDTH
from gslb.snapshot.lookups import Arrays
from gslb.snapshot.overriding import Order
from gslb.snapshot.planning import PlannedPolicy
from gslb.snapshot.weighing import PoolState, Rows

_BLOCK: Final = 1 << 16  # elements of class × edge worked on at a time: stays in the processor's cache


class Block(NamedTuple):
    """Rows of one policy: the first class's row, the orders that act on it, and its plan."""

    policy: int
    first: int
    orders: Sequence[Order]
    plan: PlannedPolicy | None


class Table:
    """Rows by class and family, two a class."""

    def __init__(self, arrays: Arrays, classes: int) -> None:
        self._arrays = arrays
        rows = 2 * classes
        self.edge = np.zeros((rows, STEERING_WIDTH), dtype=np.uint16)
        self.level = np.zeros((rows, STEERING_WIDTH), dtype=np.uint8)
        self.weight = np.zeros((rows, STEERING_WIDTH), dtype=np.uint32)
        self.reciprocal = np.zeros((rows, STEERING_WIDTH), dtype=np.uint32)
        self.count = np.zeros(rows, dtype=np.uint8)
        self.flags = np.zeros(rows, dtype=np.uint8)

    def fill(self, block: Block, fours: PoolState, sixes: PoolState) -> None:
        """Write a block's rows; ``fours`` and ``sixes`` are its pool in either family."""
        self._fill(block, fours, is_v6=False)
        if _alike(fours, sixes):
            begin, end = block.first, block.first + int(self._arrays["policy"]["classes"][block.policy])
            for name in weighing.COLUMNS:
                column = getattr(self, name)
                column[2 * begin + 1 : 2 * end : 2] = column[2 * begin : 2 * end : 2]
        else:
            self._fill(block, sixes, is_v6=True)

    def sections(self) -> dict[str, npt.NDArray[Any]]:
        """The sections that hold rows."""
        return {name: getattr(self, name).reshape(-1) for name in weighing.COLUMNS}

    def _fill(self, block: Block, pool: PoolState, *, is_v6: bool) -> None:
        row = self._arrays["policy"][block.policy]
        classes, edges = int(row["classes"]), int(row["edge_count"])
        levels = self._arrays["policy_level"][int(row["level"]) :][: classes * edges].reshape(classes, edges)
        step = max(1, _BLOCK // max(1, edges))
        ordered = overriding.combinations(block.orders)
        plain = np.arange(classes)
        if ordered:
            plain = np.setdiff1d(plain, np.concatenate([meant for _, meant in ordered]))
        for begin in range(0, len(plain), step):
            some = plain[begin : begin + step]
            self._put(block, some, _decided(block, row, levels[some], some, pool), is_v6=is_v6)
        for orders, meant in ordered:
            for begin in range(0, len(meant), step):
                some = meant[begin : begin + step]
                self._put(block, some, self._ordered(block, row, levels[some], some, pool, orders), is_v6=is_v6)

    def _ordered(
        self,
        block: Block,
        row: npt.NDArray[Any],
        levels: npt.NDArray[np.uint8],
        classes: npt.NDArray[np.intp],
        pool: PoolState,
        orders: Sequence[Order],
    ) -> Rows:
        """Rows of classes on which some orders act."""
        factor, changing = overriding.factors(orders, len(pool.edges))
        pool = pool.less(factor, changing)
        found = _decided(block, row, levels, classes, pool)
        if (pin := overriding.pin(orders)) is not None:
            ours, alive = weighing.pinned(pin.members, self._allowed(block.policy, levels, classes, pin), pool)
            found.put(np.flatnonzero(alive), ours.take(np.flatnonzero(alive)))
        if any(each.changing and each.override.kind == KIND_PIN for each in orders):
            found.flags[:] |= layout.ROW_CHANGING
        return found

    def _allowed(
        self, policy: int, levels: npt.NDArray[np.uint8], classes: npt.NDArray[np.intp], pin: Order
    ) -> npt.NDArray[np.bool_]:
        """Whether a pinned edge may serve a class: it has a level there, or no fence keeps it from a client of it."""
        found: npt.NDArray[np.bool_] = levels != layout.LEVEL_NEVER
        edges, weights = lookups.pool(self._arrays, policy)
        for at in np.flatnonzero(pin.members & (weights > 0)).tolist():
            fence = lookups.text(self._arrays, int(self._arrays["edge"]["fence"][edges[at]]))
            found[:, at] |= lookups.classes_within(self._arrays, policy, fence)[classes]
        return found

    def _put(self, block: Block, classes: npt.NDArray[np.intp], rows: Rows, *, is_v6: bool) -> None:
        into = 2 * (block.first + classes) + is_v6
        for name in weighing.COLUMNS:
            getattr(self, name)[into] = getattr(rows, name)


def _decided(
    block: Block,
    row: npt.NDArray[Any],
    levels: npt.NDArray[np.uint8],
    classes: npt.NDArray[np.intp],
    pool: PoolState,
) -> Rows:
    """Rows by the plan, where it says something of a class, else by local policy."""
    found = weighing.rows(levels, pool, int(row["panic_milli"]), bool(row["flags"] & layout.SERVICE_CLOSED))
    if block.plan is not None:
        weight, decided = planning.weigh(block.plan, classes, pool.planned_micro, pool.living)
        at = np.flatnonzero(decided)
        found.put(at, weighing.planned(weight[at], pool))
    return found


def _alike(fours: PoolState, sixes: PoolState) -> bool:
    """Whether two families of a pool make the same rows."""
    return (
        np.array_equal(fours.verdict, sixes.verdict)
        and np.array_equal(fours.planned_micro, sixes.planned_micro)
        and all(np.array_equal(ours, theirs) for ours, theirs in zip(fours.supply, sixes.supply, strict=True))
    )
