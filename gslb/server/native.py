"""UDP on native threads: the compiled path answers without the interpreter, and leaves the rest to the event loop.

Importing this module needs the compiled extensions; `gslb.server.readers` does without where they are not there.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Sequence

from gslb.server._limit import CompiledLimiter
from gslb.server._meter import Meters, Served
from gslb.server._udp import WAKE, UdpThread
from gslb.server.respond import Responder
from gslb.server.udp import BATCH, is_wildcard

__all__ = ["CompiledLimiter", "NativeUdp", "Served", "meters"]

_WAKE_AGAIN_S = 0.001


def meters(counters: memoryview, rings: Sequence[memoryview], block: int) -> Meters:
    """Where the thread with a block of counters counts and logs."""
    return Meters(counters, block, rings[block])


class NativeUdp:
    """A socket, the thread that reads it, and this end of the queue of what the compiled path misses."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        responder: Responder,
        counted: Meters,
        served: Served,
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._responder = responder
        self._misses = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        v6 = sock.family == socket.AF_INET6
        self._native = UdpThread(sock.fileno(), v6, is_wildcard(sock), counted, served, self._misses)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._body, name="gslb-udp", daemon=True)
        self._thread.start()
        loop.add_reader(self._misses, self._missed)

    def use(self, served: Served) -> None:
        """Answer from ``served`` from now on; nothing reads what was served before when this returns."""
        self._native.use(served)

    def finish(self) -> None:
        """Have the thread answer what has come in and read no more; `drain` waits for it."""
        self._native.stop(drain=True)

    def drain(self, until: float) -> None:
        """Answer what has come in, at most to a time of `time.monotonic`, and read no more."""
        self.finish()
        self._end(until)

    def close(self) -> None:
        """Stop, and close this process's hold on the socket."""
        self._end(0.0)
        if self._misses >= 0:
            self._loop.remove_reader(self._misses)
            os.close(self._misses)
            self._misses = -1
            self._sock.close()

    def _body(self) -> None:
        self._native.run()
        self._left.wait()  # a thread that is signalled must be there

    def _end(self, until: float) -> None:
        """Wait for the thread to read no more; the queue is emptied then."""
        while not self._native.ended:
            if time.monotonic() >= until:
                self._native.stop()
            signal.pthread_kill(self._thread.ident or 0, WAKE)
            if not self._some():  # or the queue is full before the socket is empty
                time.sleep(_WAKE_AGAIN_S)
        self._left.set()
        self._thread.join()
        while self._some():
            pass

    def _missed(self) -> None:
        """The thread has left something: answer up to `BATCH`, then others have their turn."""
        os.eventfd_read(self._misses)
        if self._some():
            os.eventfd_write(self._misses, 1)

    def _some(self) -> bool:
        """Answer up to `BATCH` of the queue; whether it may hold more."""
        now_s = int(time.time())
        for _ in range(BATCH):
            missed = self._native.missed()
            if missed is None:
                return False
            try:
                self._native.reply(self._responder.answer(*missed, now_s=now_s, tcp=False))
            except OSError:
                self._responder.count("send_errors")
        return True
