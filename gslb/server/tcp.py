"""TCP as RFC 7766 asks for it: pipelining, idle connections closed, every client held to its share.

All limits hold in one worker. Replies leave in the order of the questions; a client that does not read them is not read
from, and one that makes no progress within the idle time is closed, however slowly it drips.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import cast

from gslb.server.listen import packed
from gslb.server.respond import Responder

BATCH = 32
"""Queries of one connection answered before others have their turn."""
WRITE_HIGH = 64 * 1024
"""Unsent bytes of replies at which a connection's questions wait."""
SHORTEST = 12
"""A message header; a frame below it is no DNS and ends the connection."""
GRACE_S = 5.0
"""For how long a draining server waits for half-received questions and unsent replies."""
SILENT_S = 1.0
"""For how long it waits for the first question of a connection just made."""


class Framer:
    """Cuts a byte stream into messages (RFC 1035 section 4.2.2); no sockets here."""

    __slots__ = ("_data", "broken")

    def __init__(self) -> None:
        self._data = bytearray()
        self.broken = False

    def feed(self, data: bytes) -> None:
        """Add what was read; after a broken frame nothing can be told apart any more, and all is thrown away."""
        if not self.broken:
            self._data += data

    def give_up(self) -> None:
        """What comes is no DNS: throw away what is here and what follows."""
        self.broken = True
        self._data.clear()

    def next(self) -> bytes | None:
        """The next whole message, or None; `broken` is set by a frame too short to be one."""
        if self.broken or len(self._data) < 2:
            return None
        length = int.from_bytes(self._data[:2])
        if length < SHORTEST:
            self.give_up()
            return None
        if len(self._data) < 2 + length:
            return None
        message = bytes(self._data[2 : 2 + length])
        del self._data[: 2 + length]
        return message

    @property
    def has_whole(self) -> bool:
        """Whether `next` has something to say."""
        if self.broken or len(self._data) < 2:
            return False
        length = int.from_bytes(self._data[:2])
        return length < SHORTEST or len(self._data) >= 2 + length

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left, not even part of a message."""
        return not self._data


class TcpServer:
    """The TCP side of one worker: its listening sockets, its connections and their limits."""

    def __init__(self, responder: Responder, connections: int, per_client: int, idle_s: float) -> None:
        self.responder = responder
        self.idle_s = idle_s
        self._limit = connections
        self._per_client = per_client
        self._loop = asyncio.get_running_loop()
        self._servers: dict[int, asyncio.Server] = {}
        # Ordered by last progress: the first has been idle for longest.
        self._connections: dict[Connection, float] = {}
        self._clients: dict[bytes, int] = {}
        self._sweeper = self._loop.call_later(self._interval(), self._sweep)

    async def listen(self, sock: socket.socket) -> None:
        """Accept on ``sock``, which is this server's to close."""
        fd = sock.fileno()
        self._servers[fd] = await self._loop.create_server(lambda: Connection(self), sock=sock)

    def unlisten(self, fd: int) -> None:
        """Accept no more on a socket given to `listen`."""
        if server := self._servers.pop(fd, None):
            server.close()

    async def drain(self) -> None:
        """Take the connections that wait, answer what is under way, close; at most `GRACE_S`."""
        await asyncio.sleep(0.05)  # the loop accepts what the kernel has queued before the sockets close
        for fd in list(self._servers):
            self.unlisten(fd)
        begun = time.monotonic()
        while self._connections and (waited := time.monotonic() - begun) < GRACE_S:
            for connection in list(self._connections):
                connection.finish(patient=waited < SILENT_S)
            await asyncio.sleep(0.02)
        self._sweeper.cancel()
        for connection in list(self._connections):
            connection.abort()

    def add(self, connection: Connection) -> bool:
        """Whether a new connection may stay; the one idle for longest makes room for it."""
        self.responder.count("tcp_accepted")
        if self._clients.get(connection.source, 0) >= self._per_client:
            self.responder.count("tcp_refused_client")
            return False
        if len(self._connections) >= self._limit:
            self.responder.count("tcp_evicted")
            next(iter(self._connections)).abort()
        self._clients[connection.source] = self._clients.get(connection.source, 0) + 1
        self._connections[connection] = time.monotonic()
        self.responder.count("tcp_open")
        return True

    def progress(self, connection: Connection) -> None:
        """A whole message was answered."""
        if self._connections.pop(connection, None) is not None:
            self._connections[connection] = time.monotonic()

    def remove(self, connection: Connection) -> None:
        """Forget a connection."""
        if self._connections.pop(connection, None) is None:
            return
        self.responder.count("tcp_open", -1)
        left = self._clients[connection.source] - 1
        if left:
            self._clients[connection.source] = left
        else:
            del self._clients[connection.source]

    def _interval(self) -> float:
        return min(1.0, self.idle_s / 4)

    def _sweep(self) -> None:
        oldest = time.monotonic() - self.idle_s
        for connection, since in list(self._connections.items()):
            if since > oldest:
                break
            self.responder.count("tcp_idle_closed")
            connection.expire()
        self._sweeper = self._loop.call_later(self._interval(), self._sweep)


class Connection(asyncio.Protocol):
    """One client's connection. Reading stops while its replies wait or its questions queue."""

    def __init__(self, server: TcpServer) -> None:
        self._server = server
        self._framer = Framer()
        self._transport: asyncio.Transport
        self.source = b""
        self._write_blocked = False
        self._again: asyncio.Handle | None = None
        self._ended = False  # the client will send no more
        self._asked = False  # at least one question came
        self._parted = False  # we will send no more

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        if not peer:  # gone before it was accepted
            self._transport.abort()
            return
        self.source = packed(peer[0])
        if not self._server.add(self):
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=WRITE_HIGH)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._again:
            self._again.cancel()
        self._server.remove(self)

    def data_received(self, data: bytes) -> None:
        self._framer.feed(data)
        if self._again is None:
            self._work()

    def eof_received(self) -> bool:
        self._ended = True
        if self._again is None:
            self._work()
        return True  # what was asked is answered before we close

    def pause_writing(self) -> None:
        self._write_blocked = True

    def resume_writing(self) -> None:
        self._write_blocked = False
        if self._again is None:
            self._work()

    def finish(self, *, patient: bool) -> None:
        """The server drains: close where nothing is under way; with ``patient``, a first question is waited for."""
        if self._again is None and self._framer.is_empty and not self._write_blocked and (self._asked or not patient):
            self._transport.close()

    def expire(self) -> None:
        """No progress for the idle time: close, or abort where replies wait that nobody reads."""
        if self._transport.get_write_buffer_size():
            self.abort()
        else:
            self._transport.close()
            self._server.remove(self)

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()
        self._server.remove(self)

    def _work(self) -> None:
        self._again = None
        if self._transport.is_closing():
            return
        server, framer = self._server, self._framer
        now_s = int(time.time())
        done = 0
        while done < BATCH and not self._write_blocked and (message := framer.next()) is not None:
            done += 1
            reply = server.responder.answer(message, self.source, now_s=now_s, tcp=True)
            if reply is None:
                framer.give_up()  # not a question: who sends such things has lost the thread
                break
            self._transport.write(len(reply).to_bytes(2) + reply)
        if done:
            self._asked = True
            server.progress(self)
        if framer.broken:
            self._say_goodbye()
        elif framer.has_whole:
            self._transport.pause_reading()
            if not self._write_blocked:
                self._again = asyncio.get_running_loop().call_soon(self._work)
        elif self._ended:
            self._transport.close()
        elif not self._write_blocked:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _say_goodbye(self) -> None:
        """Send what is due and then the end; closing outright while the client still sends would reset it all."""
        if self._ended:
            self._transport.close()
        elif not self._parted:
            self._transport.resume_reading()
            self._transport.write_eof()
        if not self._parted:
            self._parted = True
            self._server.responder.count("tcp_bad_frames")
