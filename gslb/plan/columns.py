"""Sums over columns, by what their rows belong to."""

from __future__ import annotations

import numpy as np

from gslb.plan.problem import F64, I64


def summed(index: I64, values: F64, count: int) -> F64:
    """Of each of ``count`` owners, the sum of the values of its rows."""
    return np.bincount(index, values, count).astype(np.float64)


def parted(values: F64, totals: F64) -> F64:
    """``values`` / ``totals``, 0 where there is no total."""
    return np.divide(values, totals, out=np.zeros(len(values)), where=totals > 0)


def sum_before(owner: I64, values: F64) -> F64:
    """Of each row, the sum of the rows of the same owner before it; rows are sorted by owner."""
    total = np.cumsum(values) - values
    return total - total[np.searchsorted(owner, owner)]


def place_in(owner: I64) -> I64:
    """The place of each row among those of its owner, from 0; rows are sorted by owner."""
    return np.arange(len(owner)) - np.searchsorted(owner, owner)
