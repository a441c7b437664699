"""A UDP proxy that keeps what passes through it, so that a test can count what a cache really asked."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator

import dns.message


class Tap:
    """What passed: the queries, in order, as bytes."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.queries: list[bytes] = []

    def names(self) -> list[str]:
        """Each query as ``name type``, lower-case, in order."""
        read = [dns.message.from_wire(query, ignore_trailing=True) for query in self.queries]
        return [f"{each.question[0].name} {each.question[0].rdtype.name}".lower() for each in read]

    def clear(self) -> None:
        """Forget what passed so far."""
        self.queries.clear()


@contextlib.contextmanager
def tapped(upstream: int, host: str = "127.0.0.1") -> Iterator[Tap]:
    """A proxy before ``upstream`` on the same host; each client keeps a socket of its own to it."""
    front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    front.bind((host, 0))
    tap = Tap(int(front.getsockname()[1]))
    wake, stop = socket.socketpair()
    thread = threading.Thread(target=_pump, args=(front, wake, (host, upstream), tap), daemon=True)
    thread.start()
    try:
        yield tap
    finally:
        stop.send(b"\0")
        thread.join()
        for each in (front, wake, stop):
            each.close()


def _pump(front: socket.socket, wake: socket.socket, upstream: tuple[str, int], tap: Tap) -> None:
    backs: dict[tuple[str, int], socket.socket] = {}
    with selectors.DefaultSelector() as ready:
        ready.register(front, selectors.EVENT_READ)
        ready.register(wake, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fileobj is wake:
                    for back in backs.values():
                        back.close()
                    return
                if key.fileobj is front:
                    query, client = front.recvfrom(65535)
                    tap.queries.append(query)
                    if client not in backs:
                        backs[client] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                        backs[client].connect(upstream)
                        ready.register(backs[client], selectors.EVENT_READ, client)
                    backs[client].send(query)
                else:
                    with contextlib.suppress(ConnectionRefusedError):
                        front.sendto(key.fileobj.recv(65535), key.data)
