"""Spill: how much of a class's traffic each affinity level takes, and the weights of edges that follow.

A level's *availability* is the effective weight of its edges over their nominal weight, at most 1. From the best level
down, each takes what is still to be placed, as far as its availability goes and, below the first level that has edges,
as far as its *room* goes: its spare bits over the load of the next better level that has edges. Room is without limit
where a load or a capacity is unknown, and where no level that is available has any. If all levels together take less
than everything, a draw, which looks only at ratios, normalises by itself.

Worked example, three levels of one class (rates in Gbps):

    level  nominal  effective  availability  spare  load   room          share
    0          160         40          0.25      0    36      –           0.25
    1          200        200          1.00     18    60  18 / 36 = 0.5   0.50
    2          100        100          1.00     95     5  95 / 60 = 1.6   0.25

Level 0 lost three quarters. Level 1 could take all of that, but has spare bits for only half of what level 0 carries;
the last quarter goes to level 2. Without loads and capacities level 1 would take 0.75 and level 2 nothing. If level 2
did not exist the shares 0.25 and 0.50 would be drawn as 1/3 and 2/3.

Sums are of integers below 2^53 kept in float64, exact in any order; all else is one IEEE 754 operation at a time. So
every machine computes the same weights.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

NEVER: Final = 255
MAX_WEIGHT: Final = (1 << 32) - 1
MAX_KBPS: Final = 1 << 36
UNKNOWN: Final = -1
"""A load or spare that nobody told."""
_NOTHING: Final = 2.0**-40  # what rounding may leave of 1 when shares that sum to 1 are taken from it

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]


class Supply(NamedTuple):
    """The edges of a pool as one family of addresses sees them, one element an edge.

    ``nominal`` is the operator weight × 2^16, 0 for an edge that takes no part (weight 0, no address of the family);
    ``effective`` what is left of it. ``spare_kbps`` is what the edge could carry in addition, 0 unless it lives;
    ``load_kbps`` what it carries. Either may be `UNKNOWN`.
    """

    nominal: I64
    effective: I64
    spare_kbps: I64
    load_kbps: I64


class Spilled(NamedTuple):
    """What `spill` found; rows are classes, columns the levels in use, best first.

    ``share`` sums to 1 or, where all levels together fall short, to less. ``available`` is the sum of the availability
    of all levels, at most 1, and -1 where no edge takes part.
    """

    levels: tuple[int, ...]
    nominal: F64
    effective: F64
    availability: F64
    room: F64
    share: F64
    available: F64


def spill(of_classes: U8, supply: Supply) -> Spilled:
    """Shares of levels; ``of_classes`` is uint8 of shape (classes, edges), 255 = never."""
    used = levels_in_use(of_classes)
    classes = len(of_classes)
    columns = _columns(supply)
    shape = (len(used), classes)
    nominal, effective, availability, room, share = (np.zeros(shape) for _ in range(5))
    remaining = np.ones(classes)
    available = np.zeros(classes)
    upper_load = np.full(classes, float(UNKNOWN))  # of the next better level that has edges, if there is one
    by_edge = np.ascontiguousarray(of_classes.T)
    for at, level in enumerate(used):
        nominal[at], effective[at], spare, load, spare_unknown, load_unknown = columns @ (by_edge == level)
        there = nominal[at] > 0
        availability[at] = np.minimum(1.0, effective[at] / np.where(there, nominal[at], 1.0))
        limited = (upper_load > 0) & (spare_unknown == 0)
        room[at] = np.where(limited, spare / np.where(limited, upper_load, 1.0), np.inf)
        share[at] = np.minimum(remaining, np.minimum(availability[at], room[at]))
        remaining = _less(remaining, share[at])
        available = available + availability[at]
        upper_load = np.where(there, np.where(load_unknown == 0, load, float(UNKNOWN)), upper_load)
    nominal, effective, availability, room, share = nominal.T, effective.T, availability.T, room.T, share.T
    taking_part = nominal.sum(axis=1) > 0
    available = np.where(taking_part, np.minimum(available, 1.0), -1.0)
    full = (available > 0) & (share.sum(axis=1) == 0)
    if full.any():
        share[full] = _without_rooms(availability[full])
    return Spilled(used, nominal, effective, availability, room, share, available)


def weights(of_classes: U8, effective: I64, spilled: Spilled) -> F64:
    """The weight of each edge for each class after spill, whole numbers of shape (classes, edges), 0 = not drawn.

    Inside a level, weights are in the ratio of the effective ones; levels are in the ratio of their shares. The scale
    is that of the level in use with the largest nominal weight, so that a class served by one level shows its
    effective weights as they are. Weights fit u32 and are at least 1 where the effective weight and the level's share
    are above 0.
    """
    shared = spilled.share > 0
    scale = np.where(shared, spilled.nominal, 0.0).max(axis=1, initial=0.0, keepdims=True)
    factor = spilled.share * scale / np.where(spilled.effective > 0, spilled.effective, 1.0)
    by_level = np.zeros((len(of_classes), len(spilled.levels) + 1))
    by_level[:, :-1] = factor
    by_row = np.arange(0, by_level.size, by_level.shape[1])[:, None]
    raw = by_level.reshape(-1).take(level_places(of_classes, spilled.levels) + by_row) * effective
    largest = raw.max(axis=1, initial=0.0, keepdims=True)
    if (largest > MAX_WEIGHT).any():
        raw = np.where(largest > MAX_WEIGHT, raw / np.where(largest > 0, largest, 1.0) * float(MAX_WEIGHT), raw)
    return np.where(raw > 0, np.maximum(np.rint(raw), 1.0), 0.0)


def levels_in_use(of_classes: U8) -> tuple[int, ...]:
    """The levels that occur, best first, without `NEVER`."""
    seen = np.zeros(256, dtype=np.bool_)
    seen[of_classes] = True
    seen[NEVER] = False
    return tuple(np.flatnonzero(seen).tolist())


def level_places(of_classes: U8, used: tuple[int, ...]) -> npt.NDArray[np.intp]:
    """Each element's place among the levels in use; one past the last for `NEVER`."""
    table = np.full(256, len(used), dtype=np.intp)
    table[list(used)] = np.arange(len(used))
    return table[of_classes]


def _less(remaining: F64, taken: F64) -> F64:
    left = remaining - taken
    return np.where(left < _NOTHING, 0.0, left)


def _without_rooms(availability: F64) -> F64:
    share = np.zeros_like(availability)
    remaining = np.ones(len(availability))
    for at in range(availability.shape[1]):
        share[:, at] = np.minimum(remaining, availability[:, at])
        remaining = _less(remaining, share[:, at])
    return share


def _columns(supply: Supply) -> F64:
    """What is summed over the edges of a level, shape (6, edges)."""
    spare_known, load_known = supply.spare_kbps >= 0, supply.load_kbps >= 0
    there = supply.nominal > 0
    return np.stack(
        [
            supply.nominal,
            supply.effective,
            np.where(there & spare_known, np.minimum(supply.spare_kbps, MAX_KBPS), 0),
            np.where(there & load_known, np.minimum(supply.load_kbps, MAX_KBPS), 0),
            there & ~spare_known,
            there & ~load_known,
        ]
    ).astype(np.float64)
