"""The table of a steering snapshot in the making: blocks of rows, one for each policy and for services of their own.

For each class, the first of these that has anything to say decides: a pin, the plan, local policy; a plan that fades
decides together with local policy. What drains and ramps take away, they take from all three.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from gslb.model.override import KIND_PIN
from gslb.snapshot import layout, lookups, overriding, planning, weighing
from gslb.snapshot.layout import STEERING_WIDTH
from gslb.snapshot.lookups import Arrays
from gslb.snapshot.overriding import Acting, Order
from gslb.snapshot.planning import Weighed
from gslb.snapshot.resolved import PlannedPolicy
from gslb.snapshot.weighing import PoolState, Rows

Classes = npt.NDArray[np.intp]

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
        classes = int(self._arrays["policy"]["classes"][block.policy])
        for orders, meant in overriding.combinations(block.orders, classes):
            if block.like >= 0 and not any(each.override.target.service for each in orders):
                continue
            left = pool.less(*overriding.factors(orders, len(pool.edges))) if orders else pool
            others = meant
            if block.plan is not None and not self._faded:
                others = self._by_plan(block, block.plan, meant, left, is_v6=is_v6)
            self._by_policy(block, others, left, is_v6=is_v6)
            if (pin := overriding.pin(orders)) is not None:
                self._by_pin(block, meant, left, pin, is_v6=is_v6)
            if any(each.changing and each.override.kind == KIND_PIN for each in orders):
                self.flags[2 * (block.first + meant) + is_v6] |= layout.ROW_CHANGING

    def _by_plan(self, block: Block, plan: PlannedPolicy, classes: Classes, pool: PoolState, *, is_v6: bool) -> Classes:
        """Write the rows of the classes for which the plan decides alone; the others."""
        others = [classes[:0]]
        for some in _parts(classes, STEERING_WIDTH):
            weighed = _weighed(plan, some, pool)
            ours = np.flatnonzero(weighed.decided)
            found = weighing.planned(weighed.at[ours], weighed.weight[ours], pool)
            found.flags[weighed.changing[ours]] |= layout.ROW_CHANGING
            self._put(block, some[ours], found, is_v6=is_v6)
            others.append(some[~weighed.decided])
        return np.concatenate(others)

    def _by_policy(self, block: Block, classes: Classes, pool: PoolState, *, is_v6: bool) -> None:
        """Write rows by local policy, and by the plan as far as it has not faded."""
        row, levels = self._levels(block.policy)
        panic_milli, closed = int(row["panic_milli"]), bool(row["flags"] & layout.SERVICE_CLOSED)
        for some in _parts(classes, levels.shape[1]):
            found = weighing.rows(levels[some], pool, panic_milli, closed)
            if block.plan is not None:
                weighed = _weighed(block.plan, some, pool)
                if len(ours := np.flatnonzero(weighed.decided)):
                    local = found.take(ours)
                    at, weight = weighed.at[ours], weighed.weight[ours]
                    found.put(ours, weighing.blended(at, weight, local, pool, self._faded, planning.STEPS))
                found.flags[weighed.changing] |= layout.ROW_CHANGING
            self._put(block, some, found, is_v6=is_v6)

    def _by_pin(self, block: Block, classes: Classes, pool: PoolState, pin: Order, *, is_v6: bool) -> None:
        """Write the rows in which an edge of a pin lives."""
        _, levels = self._levels(block.policy)
        for some in _parts(classes, levels.shape[1]):
            allowed = self._allowed(block.policy, levels[some], some, pin)
            found, alive = weighing.pinned(pin.members, allowed, pool)
            self._put(block, some[alive], found.take(np.flatnonzero(alive)), is_v6=is_v6)

    def _levels(self, policy: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
        """A policy's row, and the levels of its classes, shape (classes, edges)."""
        row = self._arrays["policy"][policy]
        classes, edges = int(row["classes"]), int(row["edge_count"])
        return row, self._arrays["policy_level"][int(row["level"]) :][: classes * edges].reshape(classes, edges)

    def _allowed(
        self, policy: int, levels: npt.NDArray[np.uint8], classes: Classes, pin: Order
    ) -> npt.NDArray[np.bool_]:
        """Whether a pinned edge may serve a class: it has a level there, or no fence keeps it from a client of it."""
        found: npt.NDArray[np.bool_] = levels != layout.LEVEL_NEVER
        edges, weights = lookups.pool(self._arrays, policy)
        for at in np.flatnonzero(pin.members & (weights > 0)).tolist():
            fence = lookups.text(self._arrays, int(self._arrays["edge"]["fence"][edges[at]]))
            found[:, at] |= lookups.classes_within(self._arrays, policy, fence)[classes]
        return found

    def _put(self, block: Block, classes: Classes, rows: Rows, *, is_v6: bool) -> None:
        into = 2 * (block.first + classes) + is_v6
        for name in weighing.COLUMNS:
            getattr(self, name)[into] = getattr(rows, name)


def _parts(classes: Classes, width: int) -> Iterator[Classes]:
    """Some at a time, of which each takes ``width`` elements."""
    step = max(1, _BLOCK // max(1, width))
    return (classes[begin : begin + step] for begin in range(0, len(classes), step))


def _weighed(plan: PlannedPolicy, classes: Classes, pool: PoolState) -> Weighed:
    changing = pool.changing & (pool.supply.nominal > 0)
    return planning.weigh(plan, classes, pool.planned_micro, pool.living, changing)


def _alike(fours: PoolState, sixes: PoolState) -> bool:
    """Whether two families of a pool make the same rows."""
    return (
        np.array_equal(fours.verdict, sixes.verdict)
        and np.array_equal(fours.planned_micro, sixes.planned_micro)
        and all(np.array_equal(ours, theirs) for ours, theirs in zip(fours.supply, sixes.supply, strict=True))
    )
