"""What the server says of itself and does when asked: behind the admin port, and for the ready line."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import time
from typing import Any

import msgspec

from gslb import __version__
from gslb.answer.explain import explain
from gslb.errors import GslbError
from gslb.model.names import to_text
from gslb.server.fleet import Fleet
from gslb.server.listen import Opened, drops
from gslb.server.reload import Reloader
from gslb.server.settings import Endpoint, Settings
from gslb.server.snapshots import Snapshots
from gslb.server.status import ReloadStatus, Status, WorkerStatus
from gslb.wire.query import Ecs
from gslb.zone.names import owner

_RESOLVER = bytes((127, 0, 0, 1))
"""Who asks where no client subnet is given."""


class Control:
    """The running server as `gslb.server.admin` needs it."""

    def __init__(
        self,
        settings: Settings,
        opened: Opened,
        admin: socket.socket,
        fleet: Fleet,
        snapshots: Snapshots,
        reloader: Reloader,
    ) -> None:
        self.draining = False
        self._settings = settings
        self._listen = tuple(map(str, opened.endpoints))
        self._transports = opened.transports
        self._admin = str(Endpoint(*admin.getsockname()[:2]))
        self._fleet = fleet
        self._snapshots = snapshots
        self._reloader = reloader
        self._started_s = time.time()
        self._drops: dict[Any, int] = {}
        self._reloads: set[asyncio.Task[ReloadStatus]] = set()
        self._metrics: Any = None

    def status(self) -> Status:
        """What the server says of itself."""
        catalog = self._snapshots.catalog
        found = Status(
            version=__version__,
            server_id=self._settings.server_id,
            pid=os.getpid(),
            started_s=self._started_s,
            ready=catalog is not None and self._fleet.answering > 0 and not self.draining,
            listen=self._listen,
            transports=self._transports,
            admin=self._admin,
            store=self._settings.store,
            reload=self._reloader.status,
            steering=self._snapshots.status,
            workers=tuple(
                WorkerStatus(slot.pid, slot.listening, slot.restarts, slot.since_s) for slot in self._fleet.slots
            ),
        )
        if catalog is not None:
            found.generation = catalog.generation.hex()
            found.applied_s = self._snapshots.taken_s
            found.zones = tuple(sorted(to_text(catalog.name_text(zone.apex)) for zone in catalog.zones))
            found.services = len(catalog.services)
            found.edges = len(catalog.edges)
        return found

    def metrics(self) -> bytes:
        """The Prometheus exposition."""
        if self._metrics is None:
            from gslb.server.metrics import Metrics

            self._metrics = Metrics(
                self.status,
                lambda: [slot.cells for slot in self._fleet.slots],
                lambda: self._fleet.edge_slots,
                self.drops,
            )
        found: bytes = self._metrics.text()
        return found

    def drops(self) -> int:
        """Packets lost in full receive buffers since the start; the kernel counts in 32 bits, this does not wrap."""
        for sock in self._fleet.sockets:
            if sock.type == socket.SOCK_DGRAM:
                last = self._drops.get(sock, 0)
                self._drops[sock] = last + ((drops(sock) - last) & 0xFFFFFFFF)
        return sum(self._drops.values())

    def explain(self, name: str, subnet: str, qtype: str) -> object:
        """Why a client gets what it gets, as data and as lines; raises `GslbError` for what cannot be asked."""
        catalog, steering = self._snapshots.catalog, self._snapshots.steering
        if catalog is None or steering is None:
            raise GslbError("nothing is served yet")
        try:
            lower = owner(name, b"\0")
        except ValueError as error:
            raise GslbError(str(error)) from None
        told = explain(catalog, steering, lower, _ecs(subnet) if subnet else None, _RESOLVER)
        told = msgspec.structs.replace(told, answers=[each for each in told.answers if each.qtype == qtype])
        return {**msgspec.to_builtins(told), "lines": list(told.lines())}

    async def reload(self, *, force: bool = False) -> ReloadStatus:
        """Read the files now. While the server ends, an HTTP 503 says so instead."""
        if not self.draining:
            task = asyncio.ensure_future(self._reloader.reload(force=force))
            self._reloads.add(task)
            task.add_done_callback(self._reloads.discard)
            try:
                return await task
            except asyncio.CancelledError:
                if not self.draining:
                    raise
        from fastapi import HTTPException  # who asks has it loaded; the start does without

        raise HTTPException(503, "the server is ending")

    async def end(self) -> None:
        """The server ends: no more reloads, and those under way are given up."""
        self.draining = True
        tasks = tuple(self._reloads)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def summary(self) -> str:
        """What is served, in a few words."""
        status = self.status()
        return f"{len(status.zones)} zones, {status.services} services, generation {status.generation[:16]}"

    def ready_line(self) -> str:
        """The one line that says that queries are answered, and where."""
        return f"ready {self.status().listening(', ')}, admin {self._admin}: {self.summary()}"


def _ecs(text: str) -> Ecs:
    """A client subnet as `dig +subnet=` takes it: an address, or a prefix whose bits beyond its length do not count."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise GslbError(f"{text!r} is neither an address nor a prefix") from None
    return Ecs(1 if network.version == 4 else 2, network.prefixlen, network.network_address.packed, b"")
