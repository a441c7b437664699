"""Sessions: who comes when, for how long and with what rate; and the table of those that are watching.

Arrivals are a function of the seed and the second alone, so that every policy of a run has the same viewers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

LONGEST_S: Final = 4 * 3600
"""No session is longer."""
_PEAK_H: Final = 20.5
"""Local time of day at which most watch."""
_REFRESH_S: Final = 10
"""Seconds for which the pattern of arrivals stands."""
_FIRST, _STEP, _ORDERS, _UNEVEN = 0, 1, 2, 3  # streams of random numbers


@dataclass(frozen=True, slots=True)
class Flash:
    """Viewers that come all at once: from ``at_s`` on arrivals of ``rows`` (positions of `World.client_*`) rise to
    ``factor`` times within ``rise_s``, stay for ``hold_s`` and fall back in ``fall_s``; they watch ``stream``."""

    at_s: int
    factor: float
    rise_s: int
    hold_s: int
    fall_s: int
    rows: Mask
    stream: int = 0

    def extra(self, now_s: float) -> float:
        """By how many times the usual arrivals there are more."""
        since = now_s - self.at_s
        if since <= 0:
            return 0.0
        falling = 1.0 - max(0.0, since - self.rise_s - self.hold_s) / max(1, self.fall_s)
        return (self.factor - 1.0) * max(0.0, min(1.0, since / max(1, self.rise_s), falling))


@dataclass(frozen=True, slots=True)
class Habits:
    """How people watch. ``sessions`` is how many do at once, in the mean of a day (`share` sums to 1);
    ``mean_s`` and ``sigma`` are of the log-normal duration; ``rates_bps`` are equally likely; ``zipf`` is the exponent
    of popularity over ``streams``; ``peak_to_trough`` is of a day, 1 for none; ``start_h`` the UTC hour at second 0.
    ``uneven`` is the log-sd by which rates of streams differ, ``uneven_networks`` that of the networks that ``network``
    numbers.
    ``regional`` is the part of sessions that go by the popularity of their country, which is another order of the same
    streams; ``home`` numbers the country of each row."""

    sessions: float
    mean_s: float
    sigma: float
    rates_bps: Sequence[float]
    streams: int
    zipf: float
    peak_to_trough: float
    start_h: float
    flashes: Sequence[Flash] = ()
    regional: float = 0.0
    home: I64 | None = None
    uneven: float = 0.0
    uneven_networks: float = 0.0
    network: I64 | None = None

    @property
    def mean_bps(self) -> float:
        """The mean rate of a session."""
        return float(np.mean(self.rates_bps))


def popularity(streams: int, zipf: float) -> F64:
    """The part of all sessions that each stream has, the most popular first."""
    weight = 1.0 / np.arange(1, streams + 1) ** zipf
    found: F64 = weight / weight.sum()
    return found


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Sessions that begin. ``row`` is a position of `World.client_*`, ``part`` 0–1 tells its clients apart."""

    row: I64
    part: F64
    stream: I64
    rate_bps: F64
    end_s: I64

    def __len__(self) -> int:
        return len(self.row)


class Crowd:
    """All viewers of a world, second by second."""

    def __init__(self, habits: Habits, share: F64, utc_offset_h: F64, seed: int) -> None:
        """``share`` and ``utc_offset_h`` are of the rows of `World.client_*`."""
        self._habits = habits
        self._share, self._offset_h = share, utc_offset_h
        self._seed = seed
        self._streams = np.cumsum(popularity(habits.streams, habits.zipf))
        self._rates = np.array(habits.rates_bps)
        self._orders: I64 | None = None
        if habits.regional and habits.home is not None:
            rng = np.random.default_rng((seed, _ORDERS))
            countries = int(habits.home.max(initial=0)) + 1
            self._orders = np.array([rng.permutation(habits.streams) for _ in range(countries)], dtype=np.int64)
        self._of_stream = self._of_network = np.ones(0)
        if (habits.uneven or habits.uneven_networks) and habits.network is not None:
            rng = np.random.default_rng((seed, _UNEVEN))
            weights = (
                popularity(habits.streams, habits.zipf),
                np.bincount(habits.network, weights=share).astype(np.float64),
            )
            log_sds = (habits.uneven, habits.uneven_networks)
            both = zip(weights, log_sds, strict=True)
            self._of_stream, self._of_network = (_factors(weight, log_sd, rng) for weight, log_sd in both)
        self._mu = np.log(habits.mean_s) - habits.sigma**2 / 2
        self._stands_until_s = -1
        self._patterns: list[tuple[float, F64, int]] = []

    def watching(self) -> Arrivals:
        """Those who watch at second 0: a stationary crowd, of which each session is as far on as it may be.

        The duration of a session met at a random moment is biased by length: log-normal too, its logarithm larger by
        σ²; what is left of it is evenly spread.
        """
        rng = np.random.default_rng((self._seed, _FIRST))
        rate = self._habits.sessions * self._daily(0.0)
        count = rng.poisson(float(rate.sum()))
        met = np.exp(self._mu + self._habits.sigma**2 + self._habits.sigma * rng.standard_normal(count))
        return self._made(rng, 0, np.cumsum(rate), count, met * rng.random(count), -1)

    def arriving(self, now_s: int) -> Arrivals:
        """Those who begin in the second from ``now_s``."""
        if now_s >= self._stands_until_s:
            self._patterns = self._pattern(now_s)
            self._stands_until_s = (now_s // _REFRESH_S + 1) * _REFRESH_S
        rng = np.random.default_rng((self._seed, _STEP, now_s))
        parts = []
        for total, cumulative, stream in self._patterns:
            count = rng.poisson(total)
            lasting = np.exp(self._mu + self._habits.sigma * rng.standard_normal(count))
            parts.append(self._made(rng, now_s, cumulative, count, lasting, stream))
        if len(parts) == 1:
            return parts[0]
        columns = ("row", "part", "stream", "rate_bps", "end_s")
        return Arrivals(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))

    def _pattern(self, now_s: int) -> list[tuple[float, F64, int]]:
        """Arrivals a second, their cumulative weights over rows, and their stream (-1: by popularity)."""
        rate = self._habits.sessions / self._habits.mean_s * self._daily(now_s)
        found = [(float(rate.sum()), np.cumsum(rate), -1)]
        for flash in self._habits.flashes:
            if (extra := flash.extra(now_s + _REFRESH_S / 2)) > 0:
                more = np.where(flash.rows, rate * extra, 0.0)
                found.append((float(more.sum()), np.cumsum(more), flash.stream))
        return found

    def _daily(self, now_s: float) -> F64:
        """Each row's share at the time of day where it is; over a day its mean is the row's share."""
        ratio = self._habits.peak_to_trough
        swing = (ratio - 1.0) / (ratio + 1.0)
        local_h = self._habits.start_h + now_s / 3600 + self._offset_h
        found: F64 = self._share * (1.0 + swing * np.cos(2 * np.pi * (local_h - _PEAK_H) / 24))
        return found

    def _made(
        self, rng: np.random.Generator, now_s: int, cumulative: F64, count: int, lasting_s: F64, stream: int
    ) -> Arrivals:
        draws = rng.random((3, count))
        row = np.minimum(np.searchsorted(cumulative, draws[0] * cumulative[-1], side="right"), len(cumulative) - 1)
        streams = np.minimum(np.searchsorted(self._streams, draws[1], side="right"), self._habits.streams - 1)
        if self._orders is not None and self._habits.home is not None:
            own = self._orders[self._habits.home[row], streams]
            streams = np.where(rng.random(count) < self._habits.regional, own, streams)
        if stream >= 0:
            streams = np.full(count, stream)
        rate_bps = self._rates[rng.integers(0, len(self._rates), count)]
        if self._habits.network is not None and len(self._of_stream):
            rate_bps = np.rint(rate_bps * self._of_stream[streams] * self._of_network[self._habits.network[row]])
        return Arrivals(
            row=row,
            part=draws[2],
            stream=streams,
            rate_bps=rate_bps,
            end_s=now_s + 1 + np.minimum(lasting_s, LONGEST_S - 2).astype(np.int64),
        )


def _factors(weight: F64, log_sd: float, rng: np.random.Generator) -> F64:
    """Log-normal factors whose mean, by ``weight``, is 1."""
    drawn = np.exp(log_sd * rng.standard_normal(len(weight)))
    found: F64 = drawn * weight.sum() / (drawn @ weight)
    return found


class Asking(NamedTuple):
    """Sessions that look for an edge: the cache entry that they ask, the view in which they watch, when they end, and
    their rate."""

    cell: I64
    view: I64
    end_s: I64
    rate_bps: F64

    def take(self, at: npt.NDArray[Any]) -> Asking:
        """Some of them."""
        return Asking(*(column[at] for column in self))


class Watching:
    """The sessions that run on edges. A step costs in proportion to those that begin or end in it."""

    def __init__(self, edges: int) -> None:
        self._edges = edges
        self._ends = np.zeros((LONGEST_S, edges))
        self.load_bps = np.zeros(edges)
        self._count = 0
        self.cell = np.zeros(1024, dtype=np.int64)
        self.view = np.zeros(1024, dtype=np.int64)
        self.edge = np.zeros(1024, dtype=np.int64)
        self.end_s = np.zeros(1024, dtype=np.int64)
        self.rate_bps = np.zeros(1024)

    def end(self, now_s: int) -> None:
        """Sessions whose time is up leave."""
        ended = self._ends[now_s % LONGEST_S]
        self.load_bps -= ended
        ended[:] = 0.0

    def begin(self, asking: Asking, edge: I64) -> None:
        """Sessions begin, each on its edge; their ends are in the future."""
        need = self._count + len(edge)
        if need > len(self.cell):
            for name in _COLUMNS:
                column = getattr(self, name)
                setattr(self, name, np.concatenate([column, np.zeros(need, dtype=column.dtype)]))
        for name, values in zip(_COLUMNS, (*asking, edge), strict=True):
            getattr(self, name)[self._count : need] = values
        self._count = need
        self.load_bps += np.bincount(edge, weights=asking.rate_bps, minlength=self._edges)
        np.add.at(self._ends, (asking.end_s % LONGEST_S, edge), asking.rate_bps)

    def forget(self, now_s: int) -> int:
        """Forget the sessions that have ended; how many run. They are the first of each column from then on."""
        kept = np.flatnonzero(self.end_s[: self._count] > now_s)
        for name in _COLUMNS:
            column = getattr(self, name)
            column[: len(kept)] = column[kept]
        self._count = len(kept)
        return self._count

    def cut(self, now_s: int, edges: Mask) -> Asking:
        """Break off the sessions on some edges; they ask again for what is left of them."""
        count = self.forget(now_s)
        lost = np.flatnonzero(edges[self.edge[:count]])
        found = Asking(*(getattr(self, name)[lost].copy() for name in Asking._fields))
        edge = self.edge[lost]
        np.subtract.at(self._ends, (found.end_s % LONGEST_S, edge), found.rate_bps)
        self.load_bps -= np.bincount(edge, weights=found.rate_bps, minlength=self._edges)
        self.end_s[lost] = now_s
        self.forget(now_s)
        return found


_COLUMNS: Final = (*Asking._fields, "edge")
