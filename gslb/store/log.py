"""What a daemon beside the servers says: JSON lines on standard error, a readable form on a terminal."""

from __future__ import annotations

import sys

import structlog


def configure() -> None:
    """Set up `structlog` for this process."""
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if is_terminal else structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
