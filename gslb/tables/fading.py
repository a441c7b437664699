"""How long what was asked tells of who is watching: those who came some slices ago, and are partly there still."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

import ibis

from gslb.model import records
from gslb.tables.schemas import Table

_HALF_GONE_S: Final = 364.0  # of sessions of 10 min, log-sd 1: the median, and how steeply they end about it
_STEEP: Final = 1.7
_NEW: Final = 0.35  # of those who began in a slice so much is there in its mean


def lagged(rows: Table, span: tuple[int, int], lags: int) -> Table:
    """Each row once for each slice of ``span`` that it tells of, its own and those after it, ``lags`` in all, which
    ``slice_s`` becomes, ``lag_s`` later; with a ``weight`` that fades."""
    first_s, until_s = span
    count = min(lags, -(-(until_s - first_s) // records.SLICE_S))
    rows = rows.mutate(after_s=_steps(count))
    target_s = ibis.greatest(rows.slice_s, first_s).cast("int64") + rows.after_s
    rows = rows.mutate(target_s=target_s).mutate(lag_s=target_s - rows.slice_s)
    rows = rows.filter((rows.target_s < until_s) & (rows.lag_s < lags * records.SLICE_S))
    return rows.mutate(slice_s="target_s", weight=_by_lag(rows, _weights(lags))).drop("after_s", "target_s")


def faded(rows: Table, lags: int) -> Table:
    """Each row once for its own slice and each of those after it, ``lag_s`` later, with a ``weight`` that fades."""
    rows = rows.mutate(lag_s=_steps(lags))
    return rows.mutate(slice_s=rows.slice_s + rows.lag_s, weight=_by_lag(rows, _weights(lags)))


def been(rows: Table, lags: int) -> ibis.Value:
    """Which part of what those of ``lag_s`` before watch in ``lags`` slices they have watched by now."""
    weights = _weights(lags)
    return _by_lag(rows, [seen / sum(weights) for seen in accumulate(weights)])


def _weights(lags: int) -> list[float]:
    """How many of those who came are there in each slice: a log-normal length, of which the log-logistic is next of
    kin. Who came in the same slice has watched for a part of it in the mean."""
    return [_NEW, *(1.0 / (1.0 + (lag * records.SLICE_S / _HALF_GONE_S) ** _STEEP) for lag in range(1, lags))]


def _by_lag(rows: Table, values: Sequence[float]) -> ibis.Value:
    of_lag = ((rows.lag_s == lag * records.SLICE_S, value) for lag, value in enumerate(values))
    return ibis.cases(*of_lag, else_=0.0)


def _steps(count: int) -> ibis.Value:
    return ibis.array([ibis.literal(lag * records.SLICE_S, "int64") for lag in range(count)]).unnest()
