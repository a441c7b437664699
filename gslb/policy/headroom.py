"""Headroom: how much of its weight an edge keeps as it fills up, and the effective weights that come of it.

Headroom counts in thousandths: 1000 up to the lower end of a curve, 0 from its upper end, linear in between. The worse
of bits and sessions counts. What is unknown takes nothing away. One edge each step of the arrays; all arithmetic is
of integers.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

FULL_MILLI: Final = 1000
WEIGHT_SCALE: Final = 1 << 16
"""Effective weights are operator weights times this."""
MAX_BPS: Final = 1 << 50
"""Capacities above this, 1.1 Pbps, are taken for it."""
_EXACT_BPS: Final = 1 << 42  # above it, 256 bits a second are one unit, so that products stay below 2^63

I64 = npt.NDArray[np.int64]


class Curve(NamedTuple):
    """Where headroom begins to fall and where none is left, in thousandths of capacity."""

    full_milli: int
    none_milli: int


LOCAL: Final = Curve(800, 950)
"""Under local policy."""
PLANNED: Final = Curve(950, 1050)
"""Under a plan, which has reckoned with capacity already."""


def capacity(inventory: I64, reported: I64) -> I64:
    """The smaller of two capacities, elementwise, where a 0 says nothing; 0 where neither is known."""
    return np.where(inventory == 0, reported, np.where(reported == 0, inventory, np.minimum(inventory, reported)))


def headroom_milli(load: I64, capacity: I64, curve: Curve = LOCAL) -> I64:
    """Thousandths of weight left at ``load`` of ``capacity`` (bits a second or sessions), rounded down.

    A capacity of 0 is unknown and leaves all. At 875 of 1000, half way from 80 % to 95 %: 500.
    """
    size = np.clip(capacity, 1, MAX_BPS)
    used = np.clip(load, 0, 2 * size)  # twice the capacity is past every curve
    coarser = np.where(size > _EXACT_BPS, 8, 0)
    size, used = size >> coarser, used >> coarser
    left = size * curve.none_milli - used * FULL_MILLI
    milli = left * FULL_MILLI // (size * (curve.none_milli - curve.full_milli))
    return np.where(capacity <= 0, FULL_MILLI, np.clip(milli, 0, FULL_MILLI))


def left_milli(load_bps: int, capacity_bps: int, curve: Curve = LOCAL) -> int:
    """`headroom_milli` of one edge."""
    return int(headroom_milli(np.array([load_bps], dtype=np.int64), np.array([capacity_bps], dtype=np.int64), curve)[0])


def effective(weight: I64, headroom: I64, ramp_milli: I64 | int = FULL_MILLI) -> I64:
    """Effective weights: operator weight × 2^16 × headroom × ramp, at least 1 where all three are above 0.

    ``weight`` is 0–65535, the others 0–1000. Of 0 (dead, drained, full) the caller makes headroom 0.
    """
    scaled = weight * WEIGHT_SCALE * headroom // FULL_MILLI * ramp_milli // FULL_MILLI
    return np.where((weight > 0) & (headroom > 0) & (ramp_milli > 0), np.maximum(scaled, 1), 0)
