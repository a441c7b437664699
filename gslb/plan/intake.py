"""Whether demand may be believed: gates on what was measured, before anything is planned with it. Pure.

What a row shows by itself (a missing column, NaN, a negative number) the reader tells. Here is what only time and the
table as a whole show. Every fault is told; what follows from them — that the last plan is kept — is the caller's.
Streams that are scheduled may come and go: what they were to ask for is no leap, nor gone when they are over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from gslb.model.events import Stream
from gslb.plan.forecast import RECENT
from gslb.plan.history import History
from gslb.plan.problem import F64, I64, GroupKey, Mask
from gslb.plan.schedule import during, seen_by

TIMES: Final = 500
"""So many times what was asked for lately is a fault of units (bits for kilobits), which makes 1000; half of it leaves
room for demand that fell meanwhile."""
HEAVY_BPS: Final = 1_000_000_000
HEAVY_SHARE: Final = 0.01
"""A group is looked at only if it asks for one of these: as a rate, or as a part of all. Small ones may well leap."""
GONE: Final = 20
"""All demand falling to a part of this of what it was is taken for a fault of measuring."""
SKEW_S: Final = 60
"""How far clocks may differ before a bucket counts as a future one."""
_REFERENCE: Final = 12
_MOST: Final = 20


class Fault(NamedTuple):
    """Why demand is refused. ``time_s`` and ``key`` say which bucket and group show it, where one does."""

    reason: str
    time_s: int | None = None
    key: GroupKey | None = None


def gate(history: History, now_s: float, late_s: float, streams: Sequence[Stream] = ()) -> tuple[Fault, ...]:
    """What is wrong with a table of demand at ``now_s``; nothing: it may be planned with.

    ``late_s`` is how long ago the newest bucket may have ended. Buckets that have not ended (`ended`) must have been
    taken off, but for those of the future, which are faults.
    """
    if not len(history.times_s):
        return (Fault("there is no demand in it: not one bucket"),)
    faults = [*_future(history, now_s)]
    if not faults:
        faults += _late(history, now_s, late_s)
    rows = history.last(history.bucket_s * _REFERENCE)
    faults += _gone(history, rows, streams)
    faults += _units(history, rows, streams)
    return tuple(faults)


def agree(live: History, history: History, streams: Sequence[Stream] = ()) -> tuple[Fault, ...]:
    """What is wrong with live demand beside the table of longer buckets, both of which have passed `gate`."""
    if not len(live.times_s) or not len(history.times_s):
        return ()
    now, before = float(live.total_bps[-1]), float(history.total_bps[-1])
    coming, going = (float(_scheduled(each, streams)[-1]) for each in (live, history))
    if before and now > TIMES * before + GONE * coming:
        return (Fault(f"all live demand, {rate(now)}, is {now / before:.0f} × that of the buckets before"),)
    if now * GONE < before - going:
        return (Fault(f"all live demand, {rate(now)}, is less than 1/{GONE} of that of the buckets before"),)
    return ()


def ended(history: History, now_s: float) -> History:
    """The table without buckets that have not ended, but for the difference of clocks, of which no more than a quarter
    of a bucket is allowed for; those that lie in the future stay, for `gate` to tell."""
    skew_s = min(SKEW_S, history.bucket_s // 4)
    kept = (history.times_s + history.bucket_s <= now_s + skew_s) | (history.times_s > now_s + SKEW_S)
    return History(history.times_s[kept], history.keys, history.demand_bps[kept], history.bucket_s)


def rate(bps: float) -> str:
    """A rate as people read it, in three digits."""
    for unit, size in (("Tbps", 1e12), ("Gbps", 1e9), ("Mbps", 1e6), ("kbps", 1e3)):
        if bps >= size:
            return f"{bps / size:.3g} {unit}"
    return f"{bps:.0f} bps"


def instant(time_s: float) -> str:
    """A time as tables have it."""
    return f"{np.datetime64(int(time_s), 's')}Z"


def _future(history: History, now_s: float) -> Iterator[Fault]:
    for time_s in history.times_s[history.times_s > now_s + SKEW_S].tolist()[:_MOST]:
        yield Fault(f"the bucket of {instant(time_s)} lies in the future: now it is {instant(now_s)}", time_s)


def _late(history: History, now_s: float, late_s: float) -> Iterator[Fault]:
    newest = int(history.times_s[-1])
    age_s = now_s - newest - history.bucket_s
    if age_s > late_s:
        reason = (
            f"late: the newest bucket, of {instant(newest)}, ended {age_s:.0f} s ago; at most {late_s:.0f} s are taken"
        )
        yield Fault(reason, newest)


def _scheduled(history: History, streams: Sequence[Stream]) -> F64:
    """What streams were to ask for in each bucket, (T,)."""
    found = np.zeros(len(history.times_s))
    for stream in streams:
        found[_within(history, stream)] += stream.demand_bps
    return found


def _within(history: History, stream: Stream) -> Mask:
    """In which buckets a stream was to have demand, (T,)."""
    within = [during(stream, time_s, time_s + history.bucket_s) for time_s in history.times_s.tolist()]
    return np.array(within, dtype=np.bool_)


def _gone(history: History, rows: I64, streams: Sequence[Stream]) -> Iterator[Fault]:
    total = history.total_bps[rows]
    if not total.any():
        yield Fault("there is no demand in it: all of the recent buckets are zero")
        return
    lasting = np.maximum(total - _scheduled(history, streams)[rows], 0.0)
    usual = float(np.median(lasting[:-1])) if len(total) > 1 else 0.0
    if total[-1] * GONE < usual:
        reason = f"all demand, {rate(total[-1])}, is less than 1/{GONE} of what it was, {rate(usual)}"
        yield Fault(reason, int(history.times_s[-1]))


def _units(history: History, rows: I64, streams: Sequence[Stream]) -> Iterator[Fault]:
    """Rates of a wrong unit: of all demand, else of single groups, in the buckets that a level is made of."""
    total = history.total_bps[rows]
    usual_total = _usual(total[:, None])[0]
    checked = range(max(0, len(rows) - RECENT), len(rows))
    scheduled = _scheduled(history, streams)[rows]
    for at in checked:
        if usual_total > 0 and total[at] > TIMES * usual_total + GONE * scheduled[at]:
            reason = (
                f"all demand, {rate(total[at])}, is {total[at] / usual_total:.0f} × what it was, {rate(usual_total)}"
            )
            yield Fault(reason, int(history.times_s[rows[at]]))
    demand = history.demand_bps[rows]
    usual = _usual(demand)
    longer = _median_above_zero(history.demand_bps)
    reference = np.where(usual > 0, usual, longer)
    heavy = (demand >= HEAVY_BPS) | (demand >= HEAVY_SHARE * max(usual_total, 1.0))
    wrong = heavy & (reference > 0) & (demand > TIMES * reference)
    wrong |= (demand > GONE * usual_total) & (usual_total > 0) & (reference <= 0)
    leaps = np.flatnonzero(wrong[checked.start :].any(axis=0))
    expected = np.zeros((len(rows), len(leaps)))
    for stream in streams:
        seen = np.array([_is_for(stream, history.keys[column]) for column in leaps.tolist()], dtype=np.bool_)
        expected += stream.demand_bps * np.outer(_within(history, stream)[rows], seen)
    wrong[:, leaps] &= demand[:, leaps] > TIMES * reference[leaps] + GONE * expected
    told = 0
    for at in checked:
        for column in np.flatnonzero(wrong[at]).tolist():
            told += 1
            if told > _MOST:
                continue
            key, bps, was = history.keys[column], int(demand[at, column]), float(reference[column])
            beside = f"{bps / was:.0f} × what it was, {rate(was)}" if was > 0 else f"more than {GONE} × all demand"
            yield Fault(f"{named(key)}: {rate(bps)} is {beside}", int(history.times_s[rows[at]]), key)
    if told > _MOST:
        yield Fault(f"{told - _MOST} more groups are out of all proportion")


def _is_for(stream: Stream, key: GroupKey) -> bool:
    return stream.service == key.service and seen_by(stream, key)


def named(key: GroupKey) -> str:
    """A group as people read it."""
    return f"{key.service} {key.country}|{key.region}|{key.isp}"


def _usual(demand: I64 | F64) -> F64:
    """The median of each column but for its largest value, which is the one in question; (G,). One row alone: 0."""
    if len(demand) < 2:
        return np.zeros(demand.shape[1])
    found = np.median(np.sort(demand, axis=0)[:-1], axis=0)
    return np.asarray(found, dtype=np.float64)


def _median_above_zero(demand: I64) -> F64:
    """The median of each column's values above zero, but for the largest; 0 where there are none; (G,)."""
    ordered = np.sort(demand, axis=0)
    count = (ordered > 0).sum(axis=0) - 1
    at = len(ordered) - 1 - (count + 1) // 2
    picked = ordered[np.clip(at, 0, len(ordered) - 1), np.arange(ordered.shape[1])]
    return np.where(count > 0, picked, 0).astype(np.float64)
