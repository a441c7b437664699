"""What the agent says: JSON lines on standard error, and of a trouble that lasts a line now and then."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import structlog

REMIND_S: Final = 60.0


class _Lossy(io.TextIOBase):
    """What cannot be written (nobody reads, no space) is lost, and stops nobody."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            os.write(2, text.encode("utf-8", "backslashreplace"))
        return len(text)


def configure() -> None:
    """Set up `structlog` for this process: JSON lines, or a readable form on a terminal."""
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    out: Any = _Lossy()
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if is_terminal else structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        logger_factory=structlog.WriteLoggerFactory(out),
    )


class Troubles:
    """Tells of a trouble when it begins, when its reason changes or `REMIND_S` passed, and when it is over."""

    def __init__(self, logger: Any, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._monotonic_s = monotonic_s
        self._told: dict[str, tuple[str, float, float]] = {}  # what → reason, since when, when told last

    def note(self, what: str, reason: str) -> None:
        """``what`` is in trouble, or well where ``reason`` is empty."""
        now_s = self._monotonic_s()
        if not reason:
            if what in self._told:
                self._logger.info(f"{what} is well again", after_s=round(now_s - self._told.pop(what)[1], 1))
            return
        before, since_s, told_s = self._told.get(what, ("", now_s, 0.0))
        if not before or now_s - told_s >= REMIND_S or (reason != before and now_s - told_s >= 1.0):
            self._logger.warning(f"{what} fails", reason=reason, for_s=round(now_s - since_s, 1))
            told_s = now_s
        self._told[what] = (reason, since_s, told_s)
