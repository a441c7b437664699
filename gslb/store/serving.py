"""An HTTP port whose connections are held to bounds: whoever is slow there, or many, must not take the descriptors and
the memory that the process needs for what it is there for.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import Iterator
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE_S = 30.0
"""For how long a client may take to ask, and then to read what it is given."""
MOST = 2048
"""Connections at once; half the descriptors that the process may have, where that is less."""


async def serve(app: Any, sock: socket.socket, stopped: asyncio.Event, limits: Limits | None = None) -> None:
    """Serve an ASGI application on a listening socket until ``stopped``."""
    made_by = cast("type[asyncio.Protocol]", limits or Limits())  # called like a class, and that is all
    config = uvicorn.Config(
        app, http=made_by, ws="none", log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=2
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[sock]))
    await stopped.wait()
    server.should_exit = True
    await task


class _Server(uvicorn.Server):
    """Leaves signals alone: they are the process's to handle."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Limits:
    """Makes uvicorn's connections, at most ``most`` at once."""

    def __init__(self, most: int | None = None, patience_s: float = PATIENCE_S) -> None:
        """Without ``most``, `MOST`."""
        self.patience_s = patience_s
        self._most = most or min(MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
        self._there: dict[Connection, None] = {}  # the first has waited for its client for longest

    def __call__(self, **given: Any) -> Connection:
        """What uvicorn calls for each connection."""
        return Connection(self, **given)

    def add(self, connection: Connection) -> bool:
        """Whether a new connection may stay; the one whose client has been idle for longest makes room for it."""
        if len(self._there) >= self._most:
            idle = next((each for each in self._there if not each.is_answering), None)
            if idle is None:
                return False
            self.remove(idle)
            idle.transport.abort()
        self._there[connection] = None
        return True

    def progress(self, connection: Connection) -> None:
        """It was answered: its client's time begins anew."""
        if connection in self._there:
            del self._there[connection]
            self._there[connection] = None

    def remove(self, connection: Connection) -> None:
        """Forget a connection."""
        self._there.pop(connection, None)


class Connection(H11Protocol):
    """One that is closed when its client is slow. What the server itself takes long for is waited for."""

    def __init__(self, limits: Limits, **given: Any) -> None:
        super().__init__(**given)
        self._limits = limits
        self._since_s = 0.0
        self._look: asyncio.TimerHandle | None = None

    @property
    def is_answering(self) -> bool:
        """Whether it is the server's turn: the request is whole, and its answer is not there yet."""
        cycle = self.cycle
        return cycle is not None and not (cycle.response_started or cycle.response_complete or cycle.more_body)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        if self._limits.add(self):
            self._since_s = self.loop.time()
            self._look = self.loop.call_later(self._limits.patience_s, self._look_again)
        else:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._limits.remove(self)
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._since_s = self.loop.time()
        self._limits.progress(self)
        super().on_response_complete()

    def _look_again(self) -> None:
        left_s = self._since_s + self._limits.patience_s - self.loop.time()
        if left_s <= 0 and not self.is_answering:
            self.transport.abort()
        else:
            self._look = self.loop.call_later(max(left_s, 1.0), self._look_again)
