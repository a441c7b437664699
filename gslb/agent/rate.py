"""Counters that only grow, made into rates."""

from __future__ import annotations

from collections import deque


class Rate:
    """The rate of a counter over the last ``over_s`` seconds of readings.

    A counter that went back has wrapped or begun anew; how far it came nobody knows, so the readings before it are
    forgotten and there is no rate until the next.
    """

    def __init__(self, over_s: float) -> None:
        self._over_s = over_s
        self._readings: deque[tuple[float, float]] = deque()

    def note(self, value: float, now_s: float) -> float | None:
        """Take a reading in; the rate a second, None where this reading is the first."""
        readings = self._readings
        if readings and (value < readings[-1][1] or now_s <= readings[-1][0]):
            readings.clear()
        readings.append((now_s, value))
        # The oldest reading kept is the newest of those that are as old as over_s.
        while len(readings) > 2 and readings[1][0] <= now_s - self._over_s:
            readings.popleft()
        if len(readings) < 2:
            return None
        begin_s, begin = readings[0]
        return (value - begin) / (now_s - begin_s)
