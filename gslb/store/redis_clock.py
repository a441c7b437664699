"""The store's clock as it is known here: its own answers, carried on by this machine's monotonic clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

SAMPLE_S: Final = 5.0
"""Seconds between two questions for the time."""
_DRIFT: Final = 0.0005  # by which two clocks run apart, at most, in seconds a second
_STEP_MS: Final = 1000  # a smaller correction backwards is waited for: the time stands meanwhile


def wall_ms() -> int:
    """This machine's clock, in ms since 1970."""
    return time.time_ns() // 1_000_000


class StoreClock:
    """What the store's clock says now. Before the first answer it is this machine's clock, ``local_ms``.

    Each answer says that the store's clock was so much at some moment between question and answer. Of two that can both
    be true the narrower one counts; one that contradicts what was known is a clock that was set, and counts at once.
    """

    def __init__(
        self, local_ms: Callable[[], int] = wall_ms, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._local_ms = local_ms
        self._monotonic_s = monotonic_s
        self._offset_s = 0.0  # the store's time less the monotonic clock's
        self._spread_s = 0.0  # by which that may be wrong, when it was found
        self._found_s: float | None = None
        self._asked_s = 0.0
        self._last_ms = 0

    @property
    def known(self) -> bool:
        """Whether the store ever told its time."""
        return self._found_s is not None

    @property
    def due(self) -> bool:
        """Whether it is time to ask again."""
        return self._found_s is None or self._monotonic_s() - self._asked_s >= SAMPLE_S

    def told(self, store_s: float, sent_s: float, received_s: float) -> None:
        """Take an answer: the store's time in seconds since 1970, and the monotonic time of question and answer."""
        offset_s, spread_s = store_s - (sent_s + received_s) / 2, (received_s - sent_s) / 2
        self._asked_s = received_s
        if self._found_s is not None:
            known_s = self._spread_s + _DRIFT * (received_s - self._found_s)
            if known_s < spread_s and abs(offset_s - self._offset_s) <= known_s + spread_s:
                return
        self._offset_s, self._spread_s, self._found_s = offset_s, spread_s, received_s

    def forget(self) -> None:
        """Take the next answer whatever was known: another machine may give it."""
        if self._found_s is not None:
            self._spread_s, self._asked_s = float("inf"), self._found_s - SAMPLE_S

    def ms(self) -> int:
        """The store's clock, in ms since 1970. It does not go back by less than a second."""
        if self._found_s is None:
            return self._local_ms()
        now_ms = int((self._monotonic_s() + self._offset_s) * 1000)
        if not self._last_ms - _STEP_MS < now_ms < self._last_ms:
            self._last_ms = now_ms
        return self._last_ms
