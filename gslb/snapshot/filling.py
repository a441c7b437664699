"""The table of a steering snapshot in the making: blocks of rows, one for each policy and for services of their own.

For each class, the first of these that has anything to say decides: a pin, the plan, local policy; a plan that fades
decides together with local policy. What drains and ramps take away, they take from all three.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from gslb.model.override import KIND_PIN
from gslb.snapshot import layout, lookups, overriding, planning, weighing
from gslb.snapshot.layout import STEERING_WIDTH
from gslb.snapshot.lookups import Arrays
from gslb.snapshot.overriding import Acting, Order
from gslb.snapshot.planning import PlannedPolicy
from gslb.snapshot.weighing import PoolState, Rows

_BLOCK: Final = 1 << 16  # elements of class × edge worked on at a time: stays in the processor's cache


class Block(NamedTuple):
    """Rows of one policy: the first class's row, the orders that act on it, and its plan.

    ``like`` is the first row of a block filled before, of the same policy, whose rows hold here too where no order
    names a service; -1 where there is none.
    """

    policy: int
    first: int
    orders: Sequence[Order]
    plan: PlannedPolicy | None
    like: int = -1


class Plotted(NamedTuple):
    """The blocks of a table in the order in which they are filled, and how many classes they have in all.

    ``service_row`` is the section of that name.
    """

    blocks: Sequence[Block]
    service_row: npt.NDArray[np.uint32]
    classes: int


def plot(arrays: Arrays, acting: Acting, plans: Mapping[int, PlannedPolicy]) -> Plotted:
    """Where rows are to lie: those of a policy, then those of services that overrides single out.

    Services of a policy on which orders do the same share a block. The first takes its policy's where no service is
    left that goes by the policy alone: a dispatched service is the only one of its policy.
    """
    policies = arrays["policy"]
    singled = acting.services()
    others = np.bincount(arrays["service"]["policy"], minlength=len(policies))
    for policy in singled.values():
        others[policy] -= 1
    known: dict[tuple[object, ...], int] = {}
    taken = np.zeros(len(policies), dtype=np.bool_)
    blocks = []
    alone = set(singled.values())
    for policy, first in enumerate(policies["row"].tolist()):
        if others[policy] or policy not in alone:
            blocks.append(Block(policy, first, acting.orders(policy, -1), plans.get(policy)))
            taken[policy] = True
    if not singled:
        return Plotted(blocks, np.zeros(0, dtype=np.uint32), len(arrays["class_multi"]))
    service_row = policies["row"][arrays["service"]["policy"]].astype(np.uint32)
    classes = len(arrays["class_multi"])
    for service, policy in singled.items():
        orders = acting.orders(policy, service)
        key = (policy, overriding.effect(orders))
        if key not in known:
            home = int(policies["row"][policy])
            if taken[policy]:
                known[key] = classes
                blocks.append(Block(policy, classes, orders, plans.get(policy), home if others[policy] else -1))
                classes += int(policies["classes"][policy])
            else:
                known[key] = home
                blocks.append(Block(policy, home, orders, plans.get(policy)))
                taken[policy] = True
        service_row[service] = known[key]
    return Plotted(blocks, service_row, classes)


class Table:
    """Rows by class and family, two a class. ``faded`` sixtieths (`planning.STEPS`) of what goes by a plan are local
    policy's."""

    def __init__(self, arrays: Arrays, classes: int, faded: int = 0) -> None:
        self._arrays = arrays
        self._faded = faded
        rows = 2 * classes
        self.edge = np.zeros((rows, STEERING_WIDTH), dtype=np.uint16)
        self.level = np.zeros((rows, STEERING_WIDTH), dtype=np.uint8)
        self.weight = np.zeros((rows, STEERING_WIDTH), dtype=np.uint32)
        self.reciprocal = np.zeros((rows, STEERING_WIDTH), dtype=np.uint32)
        self.count = np.zeros(rows, dtype=np.uint8)
        self.flags = np.zeros(rows, dtype=np.uint8)

    def fill(self, block: Block, fours: PoolState, sixes: PoolState) -> None:
        """Write a block's rows; ``fours`` and ``sixes`` are its pool in either family."""
        begin, end = block.first, block.first + int(self._arrays["policy"]["classes"][block.policy])
        if block.like >= 0:
            for name in weighing.COLUMNS:
                column = getattr(self, name)
                column[2 * begin : 2 * end] = column[2 * block.like : 2 * (block.like + end - begin)]
        self._fill(block, fours, is_v6=False)
        if _alike(fours, sixes):
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
        for orders, meant in overriding.combinations(block.orders, classes):
            if block.like >= 0 and not any(each.override.target.service for each in orders):
                continue
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
        """Rows of classes on which some orders act, or none."""
        if orders:
            pool = pool.less(*overriding.factors(orders, len(pool.edges)))
        found = _decided(block, row, levels, classes, pool, self._faded)
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
    faded: int,
) -> Rows:
    """Rows by the plan, as far as it has not faded, where it says something of a class; else by local policy."""
    panic_milli, closed = int(row["panic_milli"]), bool(row["flags"] & layout.SERVICE_CLOSED)
    if block.plan is None:
        return weighing.rows(levels, pool, panic_milli, closed)
    weighed = planning.weigh(block.plan, classes, pool.planned_micro, pool.living)
    if faded:
        found = weighing.rows(levels, pool, panic_milli, closed)
        ours = np.flatnonzero(weighed.decided)
        found.put(ours, weighing.blended(weighed.weight[ours], found.take(ours), pool, faded, planning.STEPS))
    else:
        found = weighing.planned(weighed.weight, pool)
        if len(rest := np.flatnonzero(~weighed.decided)):
            found.put(rest, weighing.rows(levels[rest], pool, panic_milli, closed))
    looked_at = weighed.looked_at & (pool.changing & (pool.supply.nominal > 0))
    found.flags[looked_at.any(axis=1)] |= layout.ROW_CHANGING
    return found


def _alike(fours: PoolState, sixes: PoolState) -> bool:
    """Whether two families of a pool make the same rows."""
    return (
        np.array_equal(fours.verdict, sixes.verdict)
        and np.array_equal(fours.planned_micro, sixes.planned_micro)
        and all(np.array_equal(ours, theirs) for ours, theirs in zip(fours.supply, sixes.supply, strict=True))
    )
