"""A worker's UDP readers in the test's own process, over a small network, with counters and query log to look into."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gslb.answer.fast import OFF_SWITCH
from gslb.server import cells, listen, ring
from gslb.server.meta import RateLimit
from gslb.server.readers import Readers
from gslbtest.counting import counted
from gslbtest.process import SOON_S
from gslbtest.world import World

if TYPE_CHECKING:
    from gslb.answer._fast.reply import Snapshot

REFERENCE = {OFF_SWITCH: "1"}
"""The environment of the reference path."""


class Desk:
    """Readers that answer from a world, which `use` changes; edge row n is counted in slot n + 1."""

    def __init__(
        self,
        net: World,
        environment: Mapping[str, str] | None = None,
        *,
        sample: int = 0,
        slots: int = 1024,
        rules: RateLimit | None = None,
    ) -> None:
        self.memory = cells.attach(cells.create())
        self.rings = ring.attach(ring.create(sample, cells.BLOCKS, slots))
        self.readers = Readers(os.environ if environment is None else environment, self.memory, self.rings)
        self.limiter = self.readers.limiter(rules, 1)
        self._snapshot: Snapshot | None = None
        self.use(net)

    def use(self, net: World, catalog: int = 1) -> None:
        """Answer from another world from now on."""
        slots = b"".join((row + 1).to_bytes(2, "little") for row in range(len(net.catalog.edges)))
        self._snapshot = self.readers.snapshot(net.engine, self._snapshot)
        self.readers.use(net.engine, self._snapshot, slots, self.limiter, catalog, 0)

    def read(self, sock: socket.socket, key: int = 0) -> None:
        """Answer what comes in on a socket, on the running loop; it is the readers' from now on."""
        self.readers.read(asyncio.get_running_loop(), key, sock)

    def counts(self) -> dict[str, int]:
        """Every counter that is not 0, by what it means."""
        return counted(self.memory)


def bound(host: str, port: int = 0, *, both: bool = False) -> socket.socket:
    """A UDP socket as the server has them; ``both``: an IPv6 one that IPv4 comes in on too, as service managers make
    them."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
    sock.bind((host, port))
    listen.prepare(sock, 4 << 20)
    return sock


@contextmanager
def client(host: str) -> Iterator[socket.socket]:
    """A client's socket at an address, which waits for `SOON_S` at most."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind((host, 0))
        sock.settimeout(SOON_S)
        yield sock


def numbered(packet: bytes, number: int) -> bytes:
    """A message with another id."""
    return number.to_bytes(2) + packet[2:]


async def replies(sock: socket.socket, count: int) -> list[tuple[bytes, str]]:
    """So many replies, each with the address it came from; the loop goes on meanwhile."""

    def take() -> list[tuple[bytes, str]]:
        return [(data, peer[0]) for data, peer in (sock.recvfrom(65535) for _ in range(count))]

    return await asyncio.to_thread(take)


async def asked(host: str, packets: Sequence[bytes], to: tuple[str, int]) -> list[tuple[bytes, str]]:
    """Send packets from an address, one after the other's reply; the replies."""

    def ask() -> list[tuple[bytes, str]]:
        found = []
        with client(host) as sock:
            for packet in packets:
                sock.sendto(packet, to)
                data, peer = sock.recvfrom(65535)
                found.append((data, peer[0]))
        return found

    return await asyncio.to_thread(ask)
