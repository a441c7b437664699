"""A worker process: reads its sockets and answers, with the snapshots the control process names.

Started as ``python -m gslb.server.worker FD``, FD being its end of the control channel. It ends when told to drain, or
when the control process is gone; signals are the control process's business.
"""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import mmap
import os
import resource
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

import structlog
import uvloop

from gslb.answer.engine import Engine
from gslb.answer.engine import Identity as EngineIdentity
from gslb.errors import GslbError
from gslb.server import cells, frames, ring
from gslb.server.limit import Limiter
from gslb.server.log import configure
from gslb.server.readers import Readers
from gslb.server.tcp import TcpServer
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.steering import Steering

if TYPE_CHECKING:
    from gslb.answer._fast.reply import Snapshot
    from gslb.server.native import CompiledLimiter


class Worker:
    """One worker on the running loop: `run` returns when it has drained."""

    def __init__(self, control: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._channel = frames.Channel(control, self._frame, self._drain_soon)
        self._work: asyncio.Queue[tuple[frames.Frame, list[int]] | None] = asyncio.Queue()
        self._start: frames.Start
        self._readers: Readers
        self._tcp: TcpServer
        self._listening: dict[int, list[int]] = {}
        self._waiting: list[tuple[int, list[int]]] = []
        self._catalog: Catalog | None = None
        self._swap: frames.Swap  # there once the catalog is
        self._snapshot: Snapshot | None = None
        self._limiter: Limiter | CompiledLimiter | None = None
        self._log: Any = structlog.get_logger("gslb.worker")

    async def run(self) -> None:
        """Do what the frames say, one after the other."""
        try:
            while (item := await self._work.get()) is not None:
                await self._handle(*item)
            await self._drain()
            self._channel.close()
        finally:
            if hasattr(self, "_readers"):
                self._readers.end()

    def _frame(self, frame: frames.Frame, fds: list[int]) -> None:
        if isinstance(frame, frames.Drain):
            self._drain_soon()
        else:
            self._work.put_nowait((frame, fds))

    def _drain_soon(self) -> None:
        self._work.put_nowait(None)

    async def _handle(self, frame: frames.Frame, fds: list[int]) -> None:
        if isinstance(frame, frames.Start):
            self._begin(frame, *fds)
        elif isinstance(frame, frames.Listen):
            self._waiting.append((frame.key, fds))
            if self._catalog is not None:
                await self._listen()
        elif isinstance(frame, frames.Unlisten):
            self._unlisten(frame.key)
        elif isinstance(frame, frames.Swap | frames.Steer):
            await self._swap_to(frame, fds)

    def _begin(self, start: frames.Start, counters: int, log: int) -> None:
        configure(start.log_level)
        structlog.contextvars.bind_contextvars(worker=start.slot)
        memory = cells.attach(counters)
        rings = ring.attach(log)
        os.close(counters)
        os.close(log)
        memory[cells.SCALAR["tcp_open"]] = 0  # a predecessor's connections died with it
        self._start = start
        self._readers = Readers(os.environ, memory, rings)
        self._tcp = TcpServer(self._readers.responder, start.tcp_connections, start.tcp_per_client, start.tcp_idle_s)

    async def _listen(self) -> None:
        while self._waiting:
            key, fds = self._waiting.pop()
            for fd in fds:
                sock = socket.socket(fileno=fd)
                if sock.type == socket.SOCK_DGRAM:
                    self._readers.read(self._loop, key, sock)
                else:
                    self._listening.setdefault(key, []).append(fd)
                    await self._tcp.listen(sock)

    def _unlisten(self, key: int) -> None:
        self._readers.close(key)
        for fd in self._listening.pop(key, []):
            self._tcp.unlisten(fd)

    async def _swap_to(self, frame: frames.Swap | frames.Steer, fds: list[int]) -> None:
        """Load in a thread, so that answering goes on; the checksum is computed without the interpreter's lock."""
        catalog: Catalog | None
        try:
            if isinstance(frame, frames.Swap):
                catalog = await asyncio.to_thread(_catalog, fds[0])
                swap, limiter = frame, self._limiter_for(frame)
            else:
                catalog, swap, limiter = self._catalog, self._swap, self._limiter
            engine = await asyncio.to_thread(_engine, catalog, fds[-1], swap.identity)
            snapshot = await asyncio.to_thread(self._readers.snapshot, engine, self._snapshot)
        except Exception as error:
            # Whatever is wrong with it, what was served before still is.
            self._log.error("snapshot refused", error=str(error), exc_info=not isinstance(error, GslbError | OSError))
            self._channel.send(frames.Done(frame.seq, str(error) or type(error).__name__))
            return
        finally:
            for fd in fds:
                os.close(fd)
        self._catalog, self._swap, self._limiter, self._snapshot = catalog, swap, limiter, snapshot
        self._readers.use(engine, snapshot, swap.edge_slots, limiter, swap.catalog, frame.steering)
        gc.freeze()  # what a catalog holds need not be gone through for garbage again and again
        self._channel.send(frames.Done(frame.seq))
        await self._listen()

    def _limiter_for(self, swap: frames.Swap) -> Limiter | CompiledLimiter | None:
        """The limiter that is there, where its rules stay: it remembers who is over the rate."""
        if self._catalog is not None and swap.rate_limit == self._swap.rate_limit:
            return self._limiter
        return self._readers.limiter(swap.rate_limit, self._start.workers)

    async def _drain(self) -> None:
        self._readers.drain()
        if self._catalog is not None:
            await self._tcp.drain()


def _catalog(fd: int) -> Catalog:
    return Catalog(memoryview(mmap.mmap(fd, 0, prot=mmap.PROT_READ)))


def _engine(catalog: Catalog | None, fd: int, who: frames.Identity) -> Engine:
    """The engine for a catalog and the steering behind a descriptor; raises `GslbError` where they do not fit."""
    steering = Steering(memoryview(mmap.mmap(fd, 0, prot=mmap.PROT_READ)))
    if catalog is None or steering.generation != catalog.generation:
        raise GslbError("the steering is made for another catalog")
    identity = EngineIdentity(
        server_id=who.server_id,
        version=who.version,
        cookie_secrets=who.cookie_secrets,
        debug_acl=tuple(ipaddress.ip_network(text) for text in who.debug_acl),
        keepalive_ds=who.keepalive_ds,
    )
    return Engine(catalog, steering, identity)


async def _run(fd: int) -> None:
    await Worker(socket.socket(fileno=fd)).run()


def main(argv: list[str]) -> None:
    """The process: never returns early for a signal that was meant for the whole group."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.set_inheritable(int(argv[0]), False)
    uvloop.run(_run(int(argv[0])))


if __name__ == "__main__":
    main(sys.argv[1:])
