"""What reads a worker's UDP sockets: native threads where the compiled path can be used, else the event loop."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import structlog

from gslb.answer import fast
from gslb.answer.engine import Engine
from gslb.server import cells, ring
from gslb.server.limit import Limiter
from gslb.server.meta import RateLimit
from gslb.server.respond import Responder
from gslb.server.udp import UdpSocket

if TYPE_CHECKING:
    from gslb.answer._fast.reply import Snapshot
    from gslb.server.native import CompiledLimiter, NativeUdp, Served

DRAIN_S = 2.0
"""For how long the sockets that a worker leaves are emptied, all of them together."""


class Readers:
    """All UDP sockets of one worker, by the key that the control process gave them."""

    def __init__(self, environment: Mapping[str, str], counters: memoryview, rings: list[memoryview]) -> None:
        """``counters`` and ``rings`` are the worker's: a block and a ring for each thread.

        The first of both is the event loop's.
        """
        self._counters = counters
        self._rings = rings
        self.responder = Responder(cells.blocks(counters)[0], ring.Writer(rings[0]))
        self._compiled, why = fast.compiled(environment)
        self._native: Any = None
        if self._compiled is not None:
            try:
                from gslb.server import native
            except (ImportError, TypeError, ValueError) as error:  # absent, or modules of different versions
                why = f"not compiled: {error}"
            else:
                self._native = native
        if self._native is None:
            structlog.get_logger("gslb.worker").info("UDP is answered on the reference path", reason=why)
        self._served: Served | None = None
        self._by_key: dict[int, list[UdpSocket | NativeUdp]] = {}
        self._threads: dict[int, NativeUdp] = {}

    def limiter(self, rules: RateLimit | None, workers: int) -> Limiter | CompiledLimiter | None:
        """A limiter by some rules for this worker out of ``workers``."""
        if rules is None:
            return None
        kind = self._native.CompiledLimiter if self._native else Limiter
        made: Limiter | CompiledLimiter = kind(rules.per_second, rules.slip, rules.window_s, rules.allow, workers)
        return made

    def snapshot(self, engine: Engine, former: Snapshot | None) -> Snapshot | None:
        """What threads need of an engine; made in any thread, with what ``former`` made of the same catalog."""
        if self._native is None or self._compiled is None:
            return None
        return self._compiled(engine.catalog, engine.steering, engine.identity, former)

    def use(
        self,
        engine: Engine,
        snapshot: Snapshot | None,
        edge_slots: bytes,
        limiter: Limiter | CompiledLimiter | None,
        catalog: int,
        steering: int,
    ) -> None:
        """Answer from these from now on; ``catalog`` and ``steering`` are their numbers in the query log."""
        self.responder.use(engine, edge_slots, limiter, catalog, steering)
        if snapshot is not None:
            self._served = self._native.Served(snapshot, edge_slots, limiter, catalog, steering)
            for each in self._threads.values():
                each.use(self._served)

    def read(self, loop: asyncio.AbstractEventLoop, key: int, sock: socket.socket) -> None:
        """Answer what comes in on a socket; something must be in use."""
        block = next((each for each in range(1, cells.BLOCKS) if each not in self._threads), 0)
        reader: UdpSocket | NativeUdp
        if self._served is not None and block:
            meters = self._native.meters(self._counters, self._rings, block)
            native: NativeUdp = self._native.NativeUdp(loop, sock, self.responder, meters, self._served)
            self._threads[block] = native
            reader = native
        else:
            reader = UdpSocket(loop, sock, self.responder)
        self._by_key.setdefault(key, []).append(reader)

    def close(self, key: int) -> None:
        """Leave the sockets of a key to others."""
        for each in self._by_key.pop(key, []):
            self._close(each)

    def drain(self) -> None:
        """Answer what has come in, for `DRAIN_S` at most, and close all."""
        until = time.monotonic() + DRAIN_S
        for thread in self._threads.values():
            thread.finish()  # so that they empty their sockets side by side
        for key in list(self._by_key):
            for each in self._by_key.pop(key):
                each.drain(until)
                self._close(each)

    def end(self) -> None:
        """Close all at once; threads must not outlive what they read."""
        for key in list(self._by_key):
            self.close(key)

    def _close(self, reader: UdpSocket | NativeUdp) -> None:
        reader.close()
        self._threads = {block: thread for block, thread in self._threads.items() if thread is not reader}
