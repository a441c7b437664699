"""How long what was asked tells of who is watching: those who came some slices ago, and are partly there still."""

from __future__ import annotations

from typing import Final

import ibis

from gslb.model import records
from gslb.tables.schemas import Table

_HALF_GONE_S: Final = 364.0  # of sessions of 10 min, log-sd 1: the median, and how steeply they end about it
_STEEP: Final = 1.7
_NEW: Final = 0.45  # of those who began in a slice so much is there in its mean


def lagged(rows: Table, span: tuple[int, int], lags: int) -> Table:
    """Each row once for each slice of ``span`` that it tells of, its own and those after it, ``lags`` in all, which
    ``slice_s`` becomes; with a ``weight`` that fades."""
    first_s, until_s = span
    count = min(lags, -(-(until_s - first_s) // records.SLICE_S))
    rows = rows.mutate(after_s=_steps(count))
    target_s = ibis.greatest(rows.slice_s, first_s).cast("int64") + rows.after_s
    rows = rows.mutate(target_s=target_s).mutate(lag_s=target_s - rows.slice_s)
    rows = rows.filter((rows.target_s < until_s) & (rows.lag_s < lags * records.SLICE_S))
    return _weighted(rows.drop("after_s")).mutate(slice_s="target_s").drop("target_s")


def faded(rows: Table, lags: int) -> Table:
    """Each row once for its own slice and each of those after it, ``lag_s`` later, with a ``weight`` that fades."""
    rows = _weighted(rows.mutate(lag_s=_steps(lags)))
    return rows.mutate(slice_s=rows.slice_s + rows.lag_s)


def been(rows: Table, lags: int) -> ibis.Value:
    """Which part of what those of ``lag_s`` before are going to watch in ``lags`` slices they have watched by now."""
    total, seen = 0.0, []
    for lag in range(lags):
        total += _weight(lag * records.SLICE_S)
        seen.append(total)
    return ibis.cases(*((rows.lag_s == lag * records.SLICE_S, each / total) for lag, each in enumerate(seen)), else_=0.0)


def _weight(lag_s: int) -> float:
    return _NEW if lag_s == 0 else 1.0 / (1.0 + (lag_s / _HALF_GONE_S) ** _STEEP)


def _steps(count: int) -> ibis.Value:
    return ibis.array([ibis.literal(lag * records.SLICE_S, "int64") for lag in range(count)]).unnest()


def _weighted(rows: Table) -> Table:
    """So many of those who came then are still there: a log-normal length, of which the log-logistic is next of kin.
    Who came in the same slice has watched for half of it in the mean. Whole numbers would be divided as decimals."""
    fading = 1.0 / (1.0 + (rows.lag_s.cast("float64") / _HALF_GONE_S) ** _STEEP)
    return rows.mutate(weight=ibis.ifelse(rows.lag_s == 0, _NEW, fading))
