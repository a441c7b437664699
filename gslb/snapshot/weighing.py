"""Rows of steering: the levels of some classes and the state of their pool → edges with weights, for the draw.

A row holds the edges that a class may get, in level order and inside a level in the pool's order, with their weights
after spill (`policy.spill`), or with those that a pin or a plan orders. Its flags: ROW_FAIL_OPEN where the availability
of all levels together is below the policy's ``panic``, or is nothing; ROW_CHANGING where an edge of the levels down to
the last one in use, or of any level if the row is empty, had a transition a moment ago (`planning` tells which count
under a plan); ROW_PINNED; ROW_PLANNED, also while the plan fades.

**Failing open** a row ignores headroom and room: it is made of the living edges by nominal weight, level by level as
ever; where none lives, of the unknown ones; where none is unknown, of those that are down. Drained edges, weight 0 and
fenced-off edges never come back, and of a closed policy neither do those that are down: its row is empty then.

**More than 16 edges**: levels that fit are kept whole; of the level at which the row runs over the heaviest edges stay
(of equal ones, the earlier in the pool), with their weights raised so that the level keeps its share; what would come
after it is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from gslb.policy import draw, spill
from gslb.snapshot.layout import (
    LEVEL_NEVER,
    ROW_CHANGING,
    ROW_FAIL_OPEN,
    ROW_PINNED,
    ROW_PLANNED,
    STEERING_WIDTH,
    VERDICT_ABSENT,
    VERDICT_DOWN,
    VERDICT_DRAIN,
    VERDICT_UNKNOWN,
    VERDICT_UP,
)

U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_MILLI: Final = 1000.0
# What sorts the edges of a row, from the last bit on: column, position in the pool, level (a byte, and one more).
_COLUMN_BITS: Final = 6
_PLACE_BITS: Final = 16
_NOWHERE: Final = (1 << (32 - _COLUMN_BITS)) - 1


class PoolState(NamedTuple):
    """The edges of a pool as one family of addresses sees them now, one element an edge, in the pool's order.

    ``edges`` are edge rows; ``verdict`` is layout.VERDICT_*; ``changing`` is True soon after a transition.
    ``planned_micro`` is how many millionths of a plan's weight are left, 0 for one that does not live.
    """

    edges: U16
    supply: spill.Supply
    verdict: U8
    changing: Mask
    planned_micro: I64

    def take(self, kept: npt.NDArray[np.intp]) -> PoolState:
        """Some of the edges."""
        return PoolState(
            self.edges[kept],
            spill.Supply(*(column[kept] for column in self.supply)),
            self.verdict[kept],
            self.changing[kept],
            self.planned_micro[kept],
        )

    def less(self, factor_milli: I64, changing: Mask) -> PoolState:
        """The same with ``factor_milli`` thousandths of weight left of each edge; of 0 it is drained."""
        supply = self.supply
        scaled = np.maximum(supply.effective * factor_milli // 1000, 1)
        drained = (factor_milli == 0) & (self.verdict != VERDICT_ABSENT)
        return PoolState(
            self.edges,
            supply._replace(
                effective=np.where((supply.effective > 0) & (factor_milli > 0), scaled, 0),
                spare_kbps=np.where(drained, 0, supply.spare_kbps),
            ),
            np.where(drained, VERDICT_DRAIN, self.verdict).astype(np.uint8),
            self.changing | changing,
            self.planned_micro * factor_milli // 1000,
        )

    @property
    def living(self) -> Mask:
        """Which edges take part and are up, or silent and believed."""
        found: Mask = (self.supply.nominal > 0) & (self.verdict <= VERDICT_UNKNOWN)
        return found


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of `layout.STEERING_SECTIONS`: five columns of shape (classes, 16), zero past ``count``, and two a row."""

    edge: U16
    level: U8
    weight: U32
    reciprocal: U32
    count: U8
    flags: U8

    def take(self, at: npt.NDArray[np.intp]) -> Rows:
        """Some of the rows."""
        return Rows(*(getattr(self, name)[at] for name in COLUMNS))

    def put(self, at: npt.NDArray[np.intp], others: Rows) -> None:
        """Replace the rows ``at`` by others."""
        for name in COLUMNS:
            getattr(self, name)[at] = getattr(others, name)


COLUMNS: Final = ("edge", "level", "weight", "reciprocal", "count", "flags")
"""The fields of `Rows`, as sections are named."""


def rows(of_classes: U8, pool: PoolState, panic_milli: int, closed: bool) -> Rows:
    """One row for each class; ``of_classes`` has their levels, uint8 of shape (classes, edges), 255 = never."""
    taking_part = np.flatnonzero(pool.supply.nominal > 0)
    if len(taking_part) < of_classes.shape[1]:
        of_classes = of_classes[:, taking_part]
        pool = pool.take(taking_part)
    spilled = spill.spill(of_classes, pool.supply)
    weight = spill.weights(of_classes, pool.supply.effective, spilled)
    panic = (spilled.available == 0) | ((spilled.available > 0) & (spilled.available < panic_milli / _MILLI))
    if panic.any():
        weight[panic] = _opened(of_classes[panic], pool, VERDICT_UNKNOWN if closed else VERDICT_DOWN)
    found = _drawn(of_classes, pool.edges, weight, spilled.levels)
    changing = _changing(of_classes, pool.changing, found.level, found.count)
    found.flags[:] = np.where(panic, ROW_FAIL_OPEN, 0) | np.where(changing, ROW_CHANGING, 0)
    return found


def pinned(members: Mask, allowed: Mask, pool: PoolState) -> tuple[Rows, Mask]:
    """Rows of classes that a pin means, made of its ``members`` alone, and in which of them one of these lives.

    ``allowed`` tells, in shape (classes, edges), whether the edge may serve the class at all. Health, headroom and
    ramps count as ever; where they leave nothing, nominal weight counts.
    """
    levels = np.where(allowed & members & (pool.supply.nominal > 0), 0, LEVEL_NEVER).astype(np.uint8)
    found = rows(levels, pool, 0, closed=True)
    alive: Mask = ((levels == 0) & pool.living).any(axis=1)
    found.flags[:] |= ROW_PINNED
    return found, alive


def planned(at: I64, weight: I64, pool: PoolState) -> Rows:
    """Rows of classes whose weights a plan gives, of its edges by their positions in the pool; at most 16 of a row are
    above 0. They are of one level."""
    found = _listed(np.zeros_like(at), at, weight, pool.edges)
    found.flags[:] = ROW_PLANNED
    return found


def blended(at: I64, weight: I64, local: Rows, pool: PoolState, part: int, parts: int) -> Rows:
    """Rows of classes whose plan fades: of the weights that it gives (as of `planned`), and of the rows of local policy
    for the same classes, which has ``part`` / ``parts`` of each.

    Both are brought to the same sum. Edges of the plan come first, at level 0; others one level below that of local
    policy. Of more than 16 edges the heaviest stay (of equal ones, the earlier in the pool). Where local policy has no
    edge, the plan keeps all. Flags are those of both.
    """
    at_of = np.zeros(int(pool.edges.max(initial=0)) + 1, dtype=np.int64)
    at_of[pool.edges] = np.arange(len(pool.edges))
    places, weights = at_of[local.edge], local.weight.astype(np.int64)
    both = (at[:, :, None] == places[:, None, :]) & (weight[:, :, None] > 0) & (weights[:, None, :] > 0)
    shared = (both * weights[:, None, :]).sum(axis=2)  # what local policy gives edges of the plan
    ours = np.concatenate([weight, np.zeros_like(weights)], axis=1).astype(np.float64)
    theirs = np.concatenate([shared, np.where(both.any(axis=1), 0, weights)], axis=1).astype(np.float64)
    our_sum, their_sum = (np.maximum(each.sum(axis=1, keepdims=True), 1.0) for each in (ours, theirs))
    mixed = ours * ((parts - part) * spill.MAX_WEIGHT) / our_sum + theirs * (part * spill.MAX_WEIGHT) / their_sum
    there = (ours > 0) | (theirs > 0)
    given = np.where(there, np.clip(np.rint(mixed / parts), 1.0, spill.MAX_WEIGHT), 0.0).astype(np.int64)
    levels = np.concatenate([np.zeros_like(at), local.level.astype(np.int64) + 1], axis=1)
    at = np.concatenate([at, places], axis=1)
    found = _listed(levels, at, _sixteen(at, given), pool.edges)
    found.flags[:] = ROW_PLANNED | local.flags
    return found


def _listed(level: I64, at: I64, weight: I64, edges: U16) -> Rows:
    """Rows of the edges with weight, at most 16 in each, by level and position in the pool; their flags are 0."""
    count = np.count_nonzero(weight, axis=1)
    longest = int(count.max(initial=0))
    # One number an edge, by which it sorts: level and position, or none, then its column.
    keys = np.where(weight > 0, level << _PLACE_BITS | at, _NOWHERE).astype(np.uint32) << _COLUMN_BITS
    keys |= np.arange(at.shape[1], dtype=np.uint32)
    keys.sort(axis=1)
    first = keys[:, :longest]
    place, column = first >> _COLUMN_BITS, first & ((1 << _COLUMN_BITS) - 1)
    filled = place != _NOWHERE
    kept = np.where(filled, np.take_along_axis(weight, column.astype(np.intp), axis=1), 0)
    shape = (len(at), STEERING_WIDTH)
    found = Rows(
        np.zeros(shape, dtype=np.uint16),
        np.zeros(shape, dtype=np.uint8),
        np.zeros(shape, dtype=np.uint32),
        np.zeros(shape, dtype=np.uint32),
        count.astype(np.uint8),
        np.zeros(len(at), dtype=np.uint8),
    )
    found.edge[:, :longest] = np.where(filled, edges[np.where(filled, place & ((1 << _PLACE_BITS) - 1), 0)], 0)
    found.level[:, :longest] = np.where(filled, place >> _PLACE_BITS, 0)
    found.weight[:, :longest] = kept
    found.reciprocal[:, :longest] = draw.reciprocals(kept)
    return found


def _drawn(of_classes: U8, edges: U16, weight: F64, used: tuple[int, ...]) -> Rows:
    """Rows of some weights, ready to be drawn from; their flags are 0."""
    edge, level, kept, count = _ordered(of_classes, edges, weight, used)
    reciprocal = np.zeros_like(kept)
    longest = int(count.max(initial=0))
    reciprocal[:, :longest] = draw.reciprocals(kept[:, :longest])
    return Rows(edge, level, kept, reciprocal, count, np.zeros(len(kept), dtype=np.uint8))


def _opened(of_classes: U8, pool: PoolState, worst: int) -> F64:
    """Weights of classes that fail open: of each class, those of its edges that have the best verdict in it, none where
    that is worse than ``worst``."""
    found = np.zeros(of_classes.shape)
    pending = np.ones(len(of_classes), dtype=np.bool_)
    nobody_knows = np.full(len(pool.edges), spill.UNKNOWN, dtype=np.int64)
    for verdict in range(VERDICT_UP, worst + 1):
        candidates = pool.verdict == verdict
        now = pending & (of_classes[:, candidates] != LEVEL_NEVER).any(axis=1)
        if now.any():
            supply = pool.supply._replace(
                effective=np.where(candidates, pool.supply.nominal, 0), spare_kbps=nobody_knows, load_kbps=nobody_knows
            )
            found[now] = spill.weights(of_classes[now], supply.effective, spill.spill(of_classes[now], supply))
            pending &= ~now
    return found


def _ordered(of_classes: U8, edges: U16, weight: F64, used: tuple[int, ...]) -> tuple[U16, U8, U32, U8]:
    """Edge, level and weight of each row's edges in their order, and how many they are."""
    classes, width = of_classes.shape
    count = np.count_nonzero(weight, axis=1)
    places = spill.level_places(of_classes, used)
    over = count > STEERING_WIDTH
    if over.any():
        weight[over] = _heaviest(places[over], weight[over])
        count = np.minimum(count, STEERING_WIDTH)
    found = (
        np.zeros((classes, STEERING_WIDTH), dtype=np.uint16),
        np.zeros((classes, STEERING_WIDTH), dtype=np.uint8),
        np.zeros((classes, STEERING_WIDTH), dtype=np.uint32),
        count.astype(np.uint8),
    )
    longest = int(count.max(initial=0))
    if not longest:
        return found
    # One number an edge, by which it sorts: level, then pool order; those left out go last.
    small = np.uint16 if (len(used) + 1) * width < 0xFFFF else np.uint32
    left_out = np.iinfo(small).max
    keys = (places * width + np.arange(width)).astype(small)
    keys[weight == 0] = left_out
    keys.sort(axis=1)
    first = keys[:, :longest]
    filled = first != left_out
    level, at = np.divmod(np.where(filled, first, 0).astype(small), small(width))
    by_row = np.arange(0, classes * width, width)[:, None]
    found[0][:, :longest] = edges[at] * filled
    found[1][:, :longest] = np.array(used, dtype=np.uint8)[level] * filled
    found[2][:, :longest] = weight.reshape(-1).take(at + by_row) * filled
    return found


def _heaviest(places: npt.NDArray[np.intp], weight: F64) -> F64:
    """Weights of rows with more than 16 edges, with only 16 left above 0."""
    width = weight.shape[1]
    at = np.broadcast_to(np.arange(width), weight.shape)
    order = np.lexsort((at, -weight, np.where(weight > 0, places, width)), axis=1)[:, :STEERING_WIDTH]
    kept = np.zeros(weight.shape, dtype=np.bool_)
    np.put_along_axis(kept, order, True, axis=1)
    last = np.take_along_axis(places, order[:, -1:], axis=1)
    in_last = (places == last) & (weight > 0)
    all_sum = np.where(in_last, weight, 0.0).sum(axis=1, keepdims=True)
    kept_sum = np.where(in_last & kept, weight, 0.0).sum(axis=1, keepdims=True)
    raised = np.where(kept, np.where(in_last, np.rint(weight * (all_sum / kept_sum)), weight), 0.0)
    largest = raised.max(axis=1, keepdims=True)
    if (largest > spill.MAX_WEIGHT).any():
        shrunk = np.rint(raised / largest * float(spill.MAX_WEIGHT))
        raised = np.where(largest > spill.MAX_WEIGHT, np.where(kept, np.maximum(shrunk, 1.0), 0.0), raised)
    return raised


def _sixteen(at: I64, weight: I64) -> I64:
    """Weights of edges by their positions in the pool, with the heaviest 16 of each row left."""
    if (over := np.flatnonzero(np.count_nonzero(weight, axis=1) > STEERING_WIDTH)).size:
        order = np.lexsort((at[over], -weight[over]), axis=1)
        weight[over[:, None], order[:, STEERING_WIDTH:]] = 0
    return weight


def _changing(of_classes: U8, changing: Mask, level: U8, count: U8) -> Mask:
    """Which classes had a transition among the edges that could be in their row."""
    if not changing.any():
        return np.zeros(len(of_classes), dtype=np.bool_)
    best = of_classes[:, changing].min(axis=1)
    last = np.where(count > 0, level.max(axis=1), LEVEL_NEVER - 1)
    found: Mask = best <= last
    return found
