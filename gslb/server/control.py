"""What the server says of itself and does when asked: behind the admin port, and for the ready line."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec

from gslb import __version__
from gslb.answer.explain import explain
from gslb.errors import GslbError
from gslb.model.names import to_text
from gslb.server import live
from gslb.server.drawn import Drawn
from gslb.server.endpoint import Endpoint
from gslb.server.events import Entries
from gslb.server.fleet import Fleet
from gslb.server.keeping import Keeper
from gslb.server.listen import Opened, drops
from gslb.server.overrides import Orders
from gslb.server.publishing import Publishing
from gslb.server.querylog.link import NOTHING, Link
from gslb.server.refusal import Refused
from gslb.server.reload import Reloader
from gslb.server.reports import Reports
from gslb.server.settings import Settings
from gslb.server.snapshots import Snapshots
from gslb.server.status import Live, ReloadStatus, Status, WorkerStatus
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.steering import Steering
from gslb.store.interface import Store
from gslb.wire.query import Ecs
from gslb.zone.names import owner

Found = TypeVar("Found")

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
        store: Store,
        keeper: Keeper,
        at: Callable[[int], tuple[Catalog, Steering]],
        query_log: Link | None = None,
    ) -> None:
        """``at`` gives what was answered from at a time, in ms since 1970; it raises `GslbError` where nobody knows."""
        self.draining = False
        self.reports = Reports(store, self._is_known)
        self.plans = Publishing(store)
        self.entries = Entries(store)
        self.orders = Orders(store, lambda: snapshots.catalog, lambda: snapshots.plan)
        self.drawn = Drawn(lambda: fleet.counters, lambda: fleet.edge_slots)
        self._settings = settings
        self._listen = tuple(map(str, opened.endpoints))
        self._transports = opened.transports
        self._admin = str(Endpoint(*admin.getsockname()[:2]))
        self._fleet = fleet
        self._snapshots = snapshots
        self._reloader = reloader
        self._store = store
        self._keeper = keeper
        self._at = at
        self._query_log = query_log
        self._known: tuple[Catalog, frozenset[str]] | None = None
        self._space: tuple[Catalog, list[live.F64]] | None = None
        self._tables: tuple[live.Served, live.Tables] | None = None
        self._computing = threading.Lock()
        self._started_s = time.time()
        self._drops: dict[Any, int] = {}
        self._reloads: set[asyncio.Task[ReloadStatus]] = set()
        # One thread of its own: however many ask, steering does not wait for them.
        self._asked = ThreadPoolExecutor(1, "asked")
        self._scraping: asyncio.Future[bytes] | None = None

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
            store=self._settings.shown_store,
            reload=self._reloader.status,
            steering=self._snapshots.status,
            live=self._live(),
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

    def _live(self) -> Live:
        served = self._snapshots.served
        plan, refusals = self._snapshots.plan, self._snapshots.refusals
        note = served.steering.note if served else {}
        return Live(
            connected=self._store.connected,
            age_s=self._store.age_s,
            now_ms=self._store.now_ms,
            clock_ms=self._store.clock_ms,
            faults=dict(self._store.faults),
            overrides=len(live.active(served.state.overrides.values(), served.now_ms)) if served else 0,
            plan=str(note.get("plan", "")),
            saved_s=self._keeper.saved_s,
            not_saved=self._keeper.failed,
            plan_age_s=time.time() - plan.issued_at_ms / 1000 if plan is not None else None,
            plan_faded=float(note.get("faded", 0.0)),
            plan_refused=refusals.now,
            plan_refusals=dict(refusals.counts),
        )

    @property
    def clock_ms(self) -> int:
        """The store's clock."""
        return self._store.clock_ms

    async def metrics(self) -> bytes:
        """The Prometheus exposition. Those who ask while it is made share it."""
        if self._scraping is None or self._scraping.done():
            self._scraping = asyncio.ensure_future(self._metrics())
        return await asyncio.shield(self._scraping)

    async def _metrics(self) -> bytes:
        from gslb.server.live_metrics import Moment
        from gslb.server.metrics import Scrape, exposition

        served, drawn = self._snapshots.served, self.drawn.shares()
        scrape = Scrape(
            status=self.status(),
            counters=self._fleet.counters,
            edge_slots=dict(self._fleet.edge_slots),
            drops=self.drops(),
            reloads=self._reloader.durations,
            steering=self._snapshots.durations,
            live=lambda: Moment(served, self._tables_of(served), drawn) if served else None,
            query_log=self._query_log.told() if self._query_log else NOTHING,
        )
        return await self._compute(lambda: exposition(scrape))

    async def edges(self) -> live.Edges:
        """Every edge as answers see it. Raises `Refused` before anything is served."""
        served = self._served()
        rows = await self._compute(lambda: self._tables_of(served).edges())
        return live.Edges(self.clock_ms, served.state.now_ms, self._store.connected, self._store.age_s, rows)

    async def services(self) -> live.Services:
        """Every service as answers see it. Raises `Refused` before anything is served."""
        served = self._served()
        rows = await self._compute(lambda: self._tables_of(served).services())
        return live.Services(self.clock_ms, served.state.now_ms, self._store.connected, self._store.age_s, rows)

    async def _compute(self, work: Callable[[], Found]) -> Found:
        return await asyncio.get_running_loop().run_in_executor(self._asked, work)

    def _served(self) -> live.Served:
        if self._snapshots.served is None:
            raise Refused(503, "nothing is served yet")
        return self._snapshots.served

    def _tables_of(self, served: live.Served) -> live.Tables:
        """Computed once for each steering; called in threads."""
        with self._computing:
            if self._space is None or self._space[0] is not served.catalog:
                self._space = served.catalog, live.known_space(served.catalog)
            if self._tables is None or self._tables[0] is not served:
                self._tables = served, live.Tables(served, self._space[1])
            return self._tables[1]

    def _is_known(self, edge: str) -> bool:
        """Whether the catalog that answers has such an edge."""
        catalog = self._snapshots.catalog
        if catalog is None:
            return False
        if self._known is None or self._known[0] is not catalog:
            self._known = catalog, frozenset(catalog.edge_ids)
        return edge in self._known[1]

    def drops(self) -> int:
        """Packets lost in full receive buffers since the start; the kernel counts in 32 bits, this does not wrap."""
        for sock in self._fleet.sockets:
            if sock.type == socket.SOCK_DGRAM:
                last = self._drops.get(sock, 0)
                self._drops[sock] = last + ((drops(sock) - last) & 0xFFFFFFFF)
        return sum(self._drops.values())

    async def explain(self, name: str, subnet: str, qtype: str, at_ms: int | None = None) -> object:
        """Why a client gets what it gets, or got at ``at_ms`` (ms since 1970), as data and as lines.

        Raises `Refused` for what cannot be asked (400), and where what was answered from then is not known (404).
        """
        try:
            lower = owner(name, b"\0")
            client = _ecs(subnet) if subnet else None
        except ValueError as error:
            raise Refused(400, str(error)) from None
        if at_ms is None:
            catalog, steering = self._served()[:2]
        else:
            try:
                catalog, steering = await self._compute(lambda: self._at(at_ms))
            except GslbError as error:
                raise Refused(404, str(error)) from None
        told = explain(catalog, steering, lower, client, _RESOLVER)
        told = msgspec.structs.replace(told, answers=[each for each in told.answers if each.qtype == qtype])
        return {**msgspec.to_builtins(told), "lines": list(told.lines())}

    async def reload(self, *, force: bool = False) -> ReloadStatus:
        """Read the files now. Raises `Refused` while the server ends."""
        if not self.draining:
            task = asyncio.ensure_future(self._reloader.reload(force=force))
            self._reloads.add(task)
            task.add_done_callback(self._reloads.discard)
            try:
                return await task
            except asyncio.CancelledError:
                if not self.draining:
                    raise
        raise Refused(503, "the server is ending")

    async def end(self) -> None:
        """The server ends: no more reloads, and those under way are given up."""
        self.draining = True
        tasks = tuple(self._reloads)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def close(self) -> None:
        """Nobody can ask any more."""
        self._asked.shutdown(wait=False, cancel_futures=True)

    def summary(self) -> str:
        """What is served, in a few words."""
        status = self.status()
        return f"{len(status.zones)} zones, {status.services} services, generation {status.generation[:16]}"

    def ready_line(self) -> str:
        """The one line that says that queries are answered, and where."""
        return f"ready {self.status().listening(', ')}, admin {self._admin}: {self.summary()}"


def _ecs(text: str) -> Ecs:
    """A client subnet as `dig +subnet=` takes it: an address, or a prefix whose bits beyond its length do not count.

    Raises `ValueError` with the reason.
    """
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is neither an address nor a prefix") from None
    return Ecs(1 if network.version == 4 else 2, network.prefixlen, network.network_address.packed, b"")
