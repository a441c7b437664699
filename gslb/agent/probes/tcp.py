"""TCP: a connection is accepted."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def connected(
    host: str, port: int, family: int = socket.AF_UNSPEC
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection by an address of ``family``; closed whatever happens. Raises `OSError`."""
    reader, writer = await asyncio.open_connection(host, port, family=family)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()  # waits for nothing, as close() does where the other side reads nothing


async def check(host: str, port: int, *, family: int = socket.AF_UNSPEC) -> None:
    """Raises `OSError` where no connection comes about."""
    async with connected(host, port, family):
        pass
