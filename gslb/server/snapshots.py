"""What is served: a catalog and the steering that fits it, here for explanations and in the workers for answers."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from gslb.server import frames
from gslb.server.fleet import Fleet
from gslb.server.meta import RateLimit
from gslb.server.status import SteeringStatus
from gslb.snapshot import layout
from gslb.snapshot import steering as making
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.steering import Steering
from gslb.store import files
from gslb.store.interface import Store

LEAST_S = 0.1
"""Between two steering snapshots: a storm of reports costs no more than ten a second."""


class Snapshots:
    """The pair that is served. ``identity`` is asked at every swap, so that cookie secrets can change."""

    def __init__(self, fleet: Fleet, store: Store, identity: Callable[[], frames.Identity]) -> None:
        self.catalog: Catalog | None = None
        self.steering: Steering | None = None
        self.taken_s = 0.0
        self.status = SteeringStatus()
        self._fleet = fleet
        self._store = store
        self._identity = identity
        self._path = Path()
        self._rate_limit: RateLimit | None = None
        self._lock = asyncio.Lock()
        self._log: Any = structlog.get_logger("gslb.snapshots")

    async def take(self, path: Path, rate_limit: RateLimit | None) -> None:
        """Have the catalog in ``path`` served. Raises `GslbError` where it cannot be, and then nothing has changed."""
        async with self._lock:
            catalog = await asyncio.to_thread(lambda: Catalog(files.read_catalog(path), verify=False))
            steering, fd = await self._make(catalog)
            await self._fleet.swap(str(path), catalog.edge_ids, fd, self._identity(), rate_limit)
            self.catalog, self.steering, self.taken_s = catalog, steering, time.time()
            self._path, self._rate_limit = path, rate_limit

    async def again(self) -> None:
        """Tell the workers once more, with the identity of now."""
        if self.catalog is not None:
            await self.take(self._path, self._rate_limit)

    async def steer(self) -> None:
        """Make steering for the store's state of now, and have it used."""
        async with self._lock:
            if self.catalog is None:
                return
            self.steering, fd = await self._make(self.catalog)
            await self._fleet.steer(fd)

    async def run(self) -> None:
        """Steer when the store changes, until cancelled. Store time moves with its entries, so nothing else matters."""
        async for _ in self._store.changes():
            try:
                await self.steer()
            except Exception:
                self._log.exception("steering met a fault of this program; the former stays")
            await asyncio.sleep(LEAST_S)

    async def _make(self, catalog: Catalog) -> tuple[Steering, int]:
        begun = time.monotonic()
        state = await self._store.state()
        now_ms = time.time_ns() // 1_000_000
        arrays = await asyncio.to_thread(making.build, catalog.arrays, state, now_ms)
        fd = _memory(layout.pack(layout.STEERING_MAGIC, catalog.generation, arrays))
        self.status.builds += 1
        self.status.seconds = time.monotonic() - begun
        self.status.made_ms = now_ms
        self.status.reports = len(state.reports)
        return Steering(arrays), fd


def _memory(pieces: Any) -> int:
    """A sealed memory file that holds ``pieces``; whoever has its descriptor can map and not change it."""
    fd = os.memfd_create("gslb-steering", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.writelines(pieces)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
    return fd
