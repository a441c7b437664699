"""What will be asked for in the next round: the level now × the shape of the same time yesterday and a week ago.

Seasonal-naive (Hyndman & Athanasopoulos, *Forecasting*, 5.2), scaled by the level that is measured. With y(t) the
demand of a group, S a season (a day, a week) and t the middle of the next round:

    from history:   f_S = y(t − S) · Σ w·y(recent) / Σ w·y(recent − S), or after a leap y(newest) for each y(recent)
    from live:      f_S = level · y(t − S) / y(now − S)
    f = the mean of f_S over the seasons that are known; the level itself where none is

Values of a season are smoothed over three buckets and taken in between them in a straight line. A time at which a
stream of the service was scheduled is no season for it.

**Scheduled streams** are a floor: f = max(f, base + stream), where base is what would be asked for without the stream.
As long as nothing measured lies within the stream, base is f: its demand comes on top. From then on f holds (a part
of) the stream, and base is the last bucket before its service's streams began, the one of now and those for the same
viewers right before it; where that is no longer recent, the same time in the seasons, unscaled; 0 where none is known.
So a stream counts at least once from its beginning, and not twice when it is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from gslb.model.events import Events, Stream
from gslb.plan.history import SEASONS_S, WINDOW_S, History
from gslb.plan.problem import F64, I64, GroupKey, Groups, Mask
from gslb.plan.schedule import during, seen_together, spread, stream_part

Words = npt.NDArray[np.object_]

# What a group's forecast is made of.
LAST: Final = "last"
SEASON: Final = "season"
LIVE: Final = "live"
LIVE_SEASON: Final = "live and season"
STREAM: Final = "stream"

RECENT: Final = 6
"""Buckets of which the level is made, the newest first; each weighs `FADE` times the one after it."""
FADE: Final = 0.7
LEAP: Final = 0.25
"""Where the newest bucket is farther from that level than this part of it, it is the level: a crowd is no noise."""
LIVE_RECENT: Final = 3
"""The same of live demand."""
LIVE_FADE: Final = 0.5
MAX_RATIO: Final = 8.0
"""Where the level is more than so many times that of a season before, or less than this part of it, something else is
going on: that season tells nothing of the group."""
MAX_SHAPE: Final = 2.0
"""Nor demand to change more than so many times between the newest live bucket and the next round."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Demand of the next round.

    ``demand_bps`` (G,) at ``at_s`` by group of ``keys``, sorted; ``window_bps`` (W, G) is what was measured of them in
    the recent buckets, oldest first: what fluctuates there is what room must be kept for. ``measured_bps`` (G,) is the
    newest bucket that there is, live or not: what the load of edges is made of by now. ``made_of`` (G,) says of what
    each forecast was made, one of the words above.
    """

    at_s: float
    keys: tuple[GroupKey, ...]
    demand_bps: I64
    window_bps: I64
    measured_bps: I64
    made_of: tuple[str, ...]

    @property
    def groups(self) -> Groups:
        """As the optimisation takes them."""
        return Groups(self.keys, self.demand_bps)

    def counts(self) -> dict[str, int]:
        """How many groups are made of what."""
        return {word: self.made_of.count(word) for word in dict.fromkeys(self.made_of)}


def forecast(history: History, live: History | None, events: Events, now_s: float, round_s: float = 60.0) -> Forecast:
    """Demand in the middle of the next round, now_s + 1.5 × round_s.

    Both tables have passed `gslb.plan.intake`; ``live`` None is not there, or too old. Groups for which nothing is
    expected and nothing was asked recently are left out.
    """
    at_s = now_s + 1.5 * round_s
    keys = _keys(history, live)
    known = _Seasons(history, keys, events.streams)
    level, level_at_s = _level(history, live, keys)
    expected, from_season = known.forecast(at_s, level, level_at_s, live is not None)
    plain, seasonal = (LIVE, LIVE_SEASON) if live is not None else (LAST, SEASON)
    made_of = _words([seasonal if each else plain for each in from_season.tolist()])
    newest = live if live is not None else history
    newest_s = _measured_until(newest)
    keys, expected, made_of = _with_streams(keys, expected, made_of, known, events.streams, at_s, newest_s)
    demand = np.rint(expected).astype(np.int64)
    window = history.aligned(keys)[history.last(WINDOW_S)]
    measured = newest.aligned(keys)[-1:].sum(axis=0)
    kept = np.flatnonzero((demand > 0) | window.any(axis=0))
    return Forecast(
        at_s,
        tuple(keys[at] for at in kept.tolist()),
        demand[kept],
        window[:, kept],
        measured[kept],
        tuple(str(word) for word in made_of[kept]),
    )


def _keys(history: History, live: History | None) -> list[GroupKey]:
    return sorted(set(history.keys) | set(live.keys if live is not None else ()))


def _measured_until(table: History) -> float:
    return float(table.times_s[-1] + table.bucket_s) if len(table.times_s) else float("-inf")


def _level(history: History, live: History | None, keys: Sequence[GroupKey]) -> tuple[F64, float]:
    """The level to scale shapes with, (G,), and the time that it is of: of live demand, else the newest bucket."""
    table, most, fade = (live, LIVE_RECENT, LIVE_FADE) if live is not None else (history, 1, 1.0)
    rows = table.last(table.bucket_s * most)
    if not len(rows):
        return np.zeros(len(keys)), 0.0
    weights = fade ** np.arange(len(rows) - 1, -1, -1)
    weights /= weights.sum()
    level = np.asarray(weights @ table.aligned(keys)[rows], dtype=np.float64)
    return level, float(weights @ table.times_s[rows]) + table.bucket_s / 2


class _Seasons:
    """What the same time of earlier seasons says."""

    def __init__(self, history: History, keys: Sequence[GroupKey], streams: Sequence[Stream]) -> None:
        self._history = history
        self._demand = history.aligned(keys).astype(np.float64)
        self._keys = keys
        self._streams = streams
        self._smooth = _smoothed(self._demand, history.times_s, history.bucket_s)

    @property
    def bucket_s(self) -> int:
        """The length of a bucket."""
        return self._history.bucket_s

    def forecast(self, at_s: float, level: F64, level_at_s: float, is_live: bool) -> tuple[F64, Mask]:
        """Demand at ``at_s``, (G,), and where a season had a part in it; elsewhere it is the level."""
        whole, count = np.zeros(len(level)), np.zeros(len(level))
        for season_s in SEASONS_S:
            ratio, usable = self._change(season_s, at_s, level_at_s) if is_live else self._scaled(season_s, at_s)
            whole += np.where(usable, ratio * level if is_live else ratio, 0.0)
            count += usable
        return np.where(count > 0, whole / np.maximum(count, 1), level), count > 0

    def base(self, at_s: float) -> F64:
        """The mean of the seasons at ``at_s`` as they are, 0 where none is known."""
        whole, count = np.zeros(len(self._keys)), np.zeros(len(self._keys))
        for season_s in SEASONS_S:
            value = self._at(at_s - season_s)
            if value is not None:
                usable = self._free(at_s - season_s, at_s - season_s)
                whole += np.where(usable, value, 0.0)
                count += usable
        found: F64 = whole / np.maximum(count, 1)
        return found

    def before(self, from_s: float) -> F64 | None:
        """The bucket that ended last up to ``from_s``, (G,), if it is among the recent ones; else None."""
        history = self._history
        at = int(np.searchsorted(history.times_s + history.bucket_s, from_s, side="right")) - 1
        if at < 0 or history.times_s[at] <= history.times_s[-1] - WINDOW_S:
            return None
        found: F64 = self._demand[at]
        return found

    def _change(self, season_s: int, at_s: float, level_at_s: float) -> tuple[F64, Mask]:
        """By how much demand changed a season ago between the two times."""
        after, before = self._at(at_s - season_s), self._at(level_at_s - season_s)
        if after is None or before is None:
            return self._nothing()
        usable = (before > 0) & self._free(level_at_s - season_s, at_s - season_s)
        ratio = np.clip(after / np.where(before > 0, before, 1.0), 1 / MAX_SHAPE, MAX_SHAPE)
        return ratio, usable

    def _scaled(self, season_s: int, at_s: float) -> tuple[F64, Mask]:
        """Demand of a season ago, scaled by how the recent level compares with that of then."""
        history = self._history
        after = self._at(at_s - season_s)
        recent = history.last(history.bucket_s * RECENT)
        then = history.rows_of(history.times_s[recent] - season_s)
        weights = FADE ** np.arange(len(recent) - 1, -1, -1)
        both = then >= 0
        if after is None or 2 * both.sum() < len(recent):
            return self._nothing()
        now_level = weights[both] @ self._demand[recent[both]]
        newest = weights[both].sum() * self._demand[recent[-1]]
        now_level = np.where(np.abs(newest - now_level) > LEAP * now_level, newest, now_level)
        then_level = weights[both] @ self._demand[then[both]]
        first_s = float(history.times_s[recent[0]])
        ratio = now_level / np.where(then_level > 0, then_level, 1.0)
        alike = (ratio >= 1 / MAX_RATIO) & (ratio <= MAX_RATIO) | (now_level <= 0)  # of what stopped nothing is left
        return after * ratio, alike & (then_level > 0) & self._free(first_s - season_s, at_s - season_s)

    def _nothing(self) -> tuple[F64, Mask]:
        return np.zeros(len(self._keys)), np.zeros(len(self._keys), dtype=np.bool_)

    def _at(self, at_s: float) -> F64 | None:
        """Smoothed demand at a time (G,), between the middles of two buckets that follow each other; None: unknown."""
        times_s, bucket_s = self._history.times_s, self._history.bucket_s
        if not len(times_s):
            return None
        middle = times_s + bucket_s / 2
        right = int(np.searchsorted(middle, at_s))
        if 0 < right < len(middle) and middle[right] - middle[right - 1] <= 2 * bucket_s:
            part = (at_s - middle[right - 1]) / (middle[right] - middle[right - 1])
            between: F64 = (1 - part) * self._smooth[right - 1] + part * self._smooth[right]
            return between
        for near in (right - 1, right):
            if 0 <= near < len(middle) and abs(middle[near] - at_s) <= bucket_s / 2:
                found: F64 = self._smooth[near]
                return found
        return None

    def _free(self, from_s: float, until_s: float) -> Mask:
        """Which groups' services had no scheduled stream then."""
        busy = {stream.service for stream in self._streams if during(stream, from_s, until_s + 1)}
        return np.array([key.service not in busy for key in self._keys], dtype=np.bool_)


def _smoothed(demand: F64, times_s: I64, bucket_s: int) -> F64:
    """The mean of each bucket and of those right beside it."""
    whole, count = demand.copy(), np.ones(len(times_s))
    beside = np.flatnonzero(np.diff(times_s) == bucket_s)
    whole[beside] += demand[beside + 1]
    whole[beside + 1] += demand[beside]
    count[beside] += 1
    count[beside + 1] += 1
    smoothed: F64 = whole / count[:, None]
    return smoothed


def _with_streams(
    keys: list[GroupKey],
    expected: F64,
    made_of: Words,
    known: _Seasons,
    streams: Sequence[Stream],
    at_s: float,
    measured_until_s: float,
) -> tuple[list[GroupKey], F64, Words]:
    """The forecast with every stream of ``at_s`` counted in."""
    now = [stream for stream in streams if stream_part(stream, at_s) > 0]
    if not now:
        return keys, expected, made_of
    plain = dict(zip(keys, expected.tolist(), strict=True))
    made = dict(zip(keys, made_of.tolist(), strict=True))
    for service in sorted({stream.service for stream in now}):
        mine = [stream for stream in now if stream.service == service]
        base = plain
        began_s = _began_s(mine, streams, known.bucket_s)
        if measured_until_s > began_s:
            values = known.before(began_s)
            base = dict(zip(keys, (values if values is not None else known.base(at_s)).tolist(), strict=True))
        added: dict[GroupKey, float] = {}
        for stream in mine:
            for key, bps in spread(stream, stream.demand_bps * stream_part(stream, at_s), plain).items():
                added[key] = added.get(key, 0.0) + bps
        for key, floor in {key: base.get(key, 0.0) + bps for key, bps in added.items()}.items():
            if floor > plain.get(key, 0.0):
                plain[key], made[key] = floor, STREAM
    ordered = sorted(plain)
    return ordered, np.array([plain[key] for key in ordered]), _words([made[key] for key in ordered])


def _began_s(now: Sequence[Stream], streams: Sequence[Stream], bucket_s: int) -> float:
    """When the streams of ``now``, all of one service, began, or those for the same viewers of which the last bucket
    before that has some demand."""
    began_s = float(min(stream.from_s for stream in now))
    mine = [stream for stream in streams if stream.service == now[0].service]
    for stream in sorted(mine, key=lambda stream: -(stream.until_s + stream.ramp_s)):
        if during(stream, began_s - bucket_s, began_s) and any(seen_together(stream, each) for each in now):
            began_s = min(began_s, float(stream.from_s))
    return began_s


def _words(words: Sequence[str]) -> Words:
    made = np.empty(len(words), dtype=np.object_)
    made[:] = words
    return made
