"""How long something took, counted into buckets: what a Prometheus histogram is made of."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

STEERING_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Upper ends of the buckets for a steering rebuild."""
RELOAD_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""And for a reading of the files, with the build that may follow."""


class Durations:
    """Counts by bucket, and the sum of all."""

    def __init__(self, ends_s: Sequence[float]) -> None:
        """``ends_s`` are the buckets' upper ends, ascending; one more takes what is longer than all."""
        self.sum_s = 0.0
        self._ends_s = tuple(ends_s)
        self._counts = [0] * (len(self._ends_s) + 1)

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(self._ends_s, seconds)] += 1
        self.sum_s += seconds

    def buckets(self) -> Iterator[tuple[str, float]]:
        """Upper end as Prometheus writes it → how many took at most that long."""
        return zip((*map(str, self._ends_s), "+Inf"), map(float, accumulate(self._counts)), strict=True)
