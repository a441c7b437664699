"""What is asked of an edge, one module a protocol. A probe that fails raises `ProbeError` with what was wrong."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from gslb.errors import GslbError

Check: TypeAlias = Callable[[], Awaitable[None]]
"""One run of a probe: returns where it succeeds, raises `ProbeError`, `OSError` or `TimeoutError` where not."""


class ProbeError(GslbError):
    """What was asked answers otherwise than it should."""


def told(error: BaseException) -> str:
    """What went wrong, in a few words."""
    if isinstance(error, GslbError):
        return str(error)
    if isinstance(error, asyncio.IncompleteReadError | ConnectionResetError):
        return "the connection was closed"
    if isinstance(error, socket.gaierror):
        return str(error.strerror).lower()
    if isinstance(error, OSError) and (number := error.errno or 0) in errno.errorcode:
        return os.strerror(number).lower()
    text = getattr(error, "strerror", None) or str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


async def run(check: Check, timeout_s: float) -> str:
    """Run a probe once: empty where it succeeds, else the reason. Whatever it does, it ends by its time."""
    try:
        async with asyncio.timeout(timeout_s) as limit:
            await check()
    except Exception as error:  # the fault of what answers, or one of ours: the daemon goes on, and says so
        return f"no answer within {timeout_s:g} s" if limit.expired() else told(error)
    return ""
