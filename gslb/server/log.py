"""Logs: JSON lines on stderr, or a readable form on a terminal; what happens, never a line per query."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from typing import Any

import structlog


def configure(level: str) -> None:
    """Set up `structlog` and the standard library's loggers (uvicorn, asyncio) to write the same lines to stderr."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: Any
    if sys.stderr.isatty():
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        shared.pop()
    else:
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    number = getattr(logging, level.upper())
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
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
