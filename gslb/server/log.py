"""Logs: JSON lines on stderr, or a readable form on a terminal; what happens, never a line per query."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import time
from typing import Any

import structlog


class Lossy(io.TextIOBase):
    """Writes straight to the descriptor of a standard stream; what cannot be written (nobody reads, no space) is lost.

    Nothing is buffered, so that nothing is left over to fail later. ``stream`` is None where it was closed at start.
    """

    def __init__(self, stream: Any) -> None:
        self._fd = stream.fileno() if stream is not None else -1

    def write(self, text: str) -> int:
        """Never raises; the length of ``text``."""
        data = text.encode("utf-8", "backslashreplace")
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self._fd, data) :]
        return len(text)


def configure(level: str) -> None:
    """Set up `structlog` and the standard library's loggers (uvicorn, asyncio) to write the same lines to stderr."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: Any
    out: Any = Lossy(sys.stderr)
    if sys.stderr is not None and sys.stderr.isatty():
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        shared.pop()
    else:
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    number = getattr(logging, level.upper())
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


class Sparing:
    """Tells of a repeating trouble once per kind and interval, with the number of times it was not told."""

    def __init__(self, logger: Any, interval_s: float = 60.0, kinds: int = 64) -> None:
        self._logger = logger
        self._interval_s = interval_s
        self._kinds = kinds
        self._told: dict[str, tuple[float, int]] = {}

    def error(self, event: str, kind: str, *, exc_info: bool = False, **fields: object) -> bool:
        """Log ``event`` unless its kind was told within the interval; whether it was logged."""
        now = time.monotonic()
        if kind not in self._told and len(self._told) >= self._kinds:
            kind = "other"
        last, silent = self._told.get(kind, (-self._interval_s, 0))
        if now - last < self._interval_s:
            self._told[kind] = (last, silent + 1)
            return False
        self._told[kind] = (now, 0)
        with contextlib.suppress(OSError, ValueError):  # nobody reads the log: no reason to stop what told of it
            self._logger.error(event, kind=kind, not_told=silent, exc_info=exc_info, **fields)
        return True
