"""Swaps under load, as a program for tools that watch memory: ``python -m gslbtest.swapping SECONDS``.

Ten times a second the readers of a worker get new snapshots, which lie in memory of their own; what was served before
is let go at once. Meanwhile a client asks and asks at two sockets, and another process floods a third, so that its
thread is always in the middle of a batch. Prints what was sent, received, swapped, and answered in all.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from dataclasses import replace

from gslb.answer.engine import Engine
from gslb.model.report import DOWN, Report, StoreState
from gslb.snapshot import layout, steering
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.steering import Steering
from gslbtest import network
from gslbtest.packets import asks, edns, packet, subnet
from gslbtest.readers import Desk, bound, client, numbered
from gslbtest.world import World, world

EVERY_S = 0.1
WINDOW = 16
LIVE = b"\x04live\x07example\0"
ASKED = [
    edns(subnet(1, 24, b"\xc6\x33\x64")),
    edns(subnet(2, 48, bytes.fromhex("20010db80002")), question=asks(b"\x04both" + LIVE, 28)),
    edns(question=asks(b"\x04pull" + LIVE)),
    edns(question=asks(b"\x03www" + LIVE)),
    packet(asks(b"\x04none" + LIVE)),
    edns(question=asks(b"\x01x\x04wild" + LIVE, 16)),
    edns(question=asks(b"\x03del" + LIVE)),
    edns(question=asks(b"\x07version\x04bind\0", 16, 3)),
    packet(asks(), b"rest"),
]


class Snapshots:
    """The same network again and again, each time from new memory."""

    def __init__(self) -> None:
        self._net = world(network.ZONES, network.TABLES)
        down = Report("ber-1", 1, 1, 9000, health4=DOWN, health6=DOWN)
        states = StoreState(), StoreState(9000, {"ber-1": down}, {"ber-1": 9000})
        self._steering = [steering.build(self._net.catalog.arrays, state, 9000) for state in states]

    def next(self, turn: int) -> World:
        """New steering, every second time with an edge down; every fifth time a new catalog too."""
        net = self._net
        if turn % 5 == 0:
            packed = layout.pack(layout.CATALOG_MAGIC, net.catalog.generation, net.catalog.arrays)
            catalog = Catalog(memoryview(b"".join(packed)))
            self._net = net = replace(net, catalog=catalog)
        arrays = self._steering[turn % 2]
        steered = Steering(memoryview(b"".join(layout.pack(layout.STEERING_MAGIC, net.catalog.generation, arrays))))
        return World(net.catalog, steered, Engine(net.catalog, steered, net.engine.identity))


POUR = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.connect(("127.0.0.1", int(sys.argv[1])))
    packets = [bytes.fromhex(text) for text in sys.argv[2:]]
    while True:
        for packet in packets:
            try:
                sock.send(packet)
            except OSError:
                pass
"""
"""What floods: it looks at no reply."""


async def main(seconds: float) -> dict[str, int]:
    """Swap for some seconds; how many messages were sent and answered, and how many swaps there were."""
    snapshots = Snapshots()
    desk = Desk(snapshots.next(0), {}, sample=1)
    sockets = [bound("127.0.0.1") for _ in range(3)]
    *to, flooded = [sock.getsockname() for sock in sockets]
    for sock in sockets:
        desk.read(sock)
    done = threading.Event()
    counts = {"sent": 0, "received": 0, "swaps": 0}

    def ask() -> None:
        with client("127.0.0.1") as ours:
            while not done.is_set():
                for each in range(WINDOW):
                    number = counts["sent"] % 65536
                    ours.sendto(numbered(ASKED[number % len(ASKED)], number), to[each % 2])
                    counts["sent"] += 1
                for _ in range(WINDOW):
                    counts["received"] += bool(ours.recv(65535))

    line = [sys.executable, "-c", POUR, str(flooded[1]), *(packet.hex() for packet in ASKED[:6])]
    with subprocess.Popen(line) as pouring:  # noqa: ASYNC220 a moment of waiting does no harm here
        asking = asyncio.ensure_future(asyncio.to_thread(ask))
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            counts["swaps"] += 1
            desk.use(snapshots.next(counts["swaps"]), counts["swaps"])
            await asyncio.sleep(EVERY_S)
        pouring.terminate()
        done.set()
        await asking
    desk.readers.drain()
    counts["answered"] = sum(value for name, value in desk.counts().items() if name.startswith("udp ipv4"))
    return counts


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(float(sys.argv[1])))))
