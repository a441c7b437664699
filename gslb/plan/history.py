"""Demand as it was measured: a dense table of buckets by groups, made of rows; and what of it a forecast looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gslb.plan.problem import F64, I64, GroupKey, Mask

DAY_S: Final = 86_400
WEEK_S: Final = 7 * DAY_S
SEASONS_S: Final = (DAY_S, WEEK_S)
"""After which demand is taken to repeat its shape."""
WINDOW_S: Final = 7200
"""How long demand counts as recent: what fluctuates within it is what room is kept for."""
_AHEAD_S: Final = 3600
"""How far past the newest bucket's time of a season before a forecast may look."""


@dataclass(frozen=True, slots=True)
class History:
    """Mean demand of groups in buckets of ``bucket_s`` seconds.

    ``times_s`` (T,) are the starts of the buckets that are known, ascending, in seconds since 1970; a bucket that is
    not there is unknown, and not zero. ``keys`` (G,) are sorted. ``demand_bps`` is (T, G), whole bits per second.
    """

    times_s: I64
    keys: tuple[GroupKey, ...]
    demand_bps: I64
    bucket_s: int

    @property
    def total_bps(self) -> F64:
        """Demand of all groups, by bucket (T,)."""
        return np.asarray(self.demand_bps.sum(axis=1, dtype=np.float64))

    def last(self, span_s: int) -> I64:
        """The rows of the buckets within ``span_s`` up to the end of the newest one, oldest first."""
        if not len(self.times_s):
            return np.zeros(0, dtype=np.int64)
        return np.flatnonzero(self.times_s > self.times_s[-1] - span_s).astype(np.int64)

    def rows_of(self, times_s: I64) -> I64:
        """The row of each time, −1 where that bucket is not known."""
        if not len(self.times_s):
            return np.full(len(times_s), -1, dtype=np.int64)
        at = np.searchsorted(self.times_s, times_s)
        at = np.minimum(at, len(self.times_s) - 1)
        return np.where(self.times_s[at] == times_s, at, -1).astype(np.int64)

    def aligned(self, keys: Sequence[GroupKey]) -> I64:
        """``demand_bps`` with the columns of ``keys``, zeros for those that are not here."""
        place = {key: at for at, key in enumerate(self.keys)}
        columns = np.array([place.get(key, -1) for key in keys], dtype=np.int64)
        found = np.zeros((len(self.times_s), len(keys)), dtype=np.int64)
        here = columns >= 0
        found[:, here] = self.demand_bps[:, columns[here]]
        return found


def dense(
    times_s: I64, group: I64, demand_bps: I64, keys: Sequence[GroupKey], buckets_s: I64, bucket_s: int
) -> History:
    """The table of rows: ``times_s``, ``group`` (a position in ``keys``) and ``demand_bps`` are columns of one length.

    ``buckets_s`` are the buckets to keep; rows of others are left out. Rows of one cell are added up, and so are keys
    that are equal.
    """
    buckets = np.unique(buckets_s)
    names = tuple(sorted(set(keys)))
    place = {key: at for at, key in enumerate(names)}
    column_of = np.array([place[key] for key in keys], dtype=np.int64)
    table = np.zeros((len(buckets), len(names)), dtype=np.int64)
    if len(times_s) and len(buckets):
        row = np.minimum(np.searchsorted(buckets, times_s), len(buckets) - 1)
        kept = buckets[row] == times_s
        np.add.at(table, (row[kept], column_of[group[kept]]), demand_bps[kept])
    return History(buckets, names, table, bucket_s)


def spans(newest_s: int) -> tuple[tuple[int, int], ...]:
    """Where the starts of the buckets lie that a forecast can look at, both ends included, where ``newest_s`` is the
    newest one: the recent ones, and those around the same time of each season before."""
    seasons = [
        (newest_s - season_s - WINDOW_S, min(newest_s, newest_s - season_s + _AHEAD_S)) for season_s in SEASONS_S
    ]
    return ((newest_s - WINDOW_S, newest_s), *seasons)


def needed(buckets_s: I64) -> Mask:
    """Which of these buckets a forecast can look at."""
    kept = np.zeros(len(buckets_s), dtype=np.bool_)
    for first_s, last_s in spans(int(buckets_s.max())) if len(buckets_s) else ():
        kept |= (buckets_s >= first_s) & (buckets_s <= last_s)
    return kept
