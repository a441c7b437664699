"""What is served: a catalog and the steering that fits it, here for explanations and in the workers for answers."""

from __future__ import annotations

import asyncio
import fcntl
import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from gslb.errors import GslbError
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
        self._rate_limit: RateLimit | None = None
        self._lock = asyncio.Lock()
        self._log: Any = structlog.get_logger("gslb.snapshots")

    async def take(self, path: Path, rate_limit: RateLimit | None) -> None:
        """Have the catalog in ``path`` served. Raises `GslbError` where it cannot be, and then nothing has changed."""
        async with self._lock:
            catalog, fd = await asyncio.to_thread(_open, path)
            await self._serve(catalog, fd, rate_limit)

    async def again(self) -> None:
        """Tell the workers once more, with the identity of now."""
        async with self._lock:
            if self.catalog is not None:
                await self._serve(self.catalog, os.dup(self._fleet.catalog), self._rate_limit)

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

    async def _serve(self, catalog: Catalog, fd: int, rate_limit: RateLimit | None) -> None:
        try:
            steering, memory = await self._make(catalog)
        except BaseException:
            os.close(fd)
            raise
        await self._fleet.swap(fd, catalog.edge_ids, memory, self._identity(), rate_limit)
        self.catalog, self.steering, self.taken_s, self._rate_limit = catalog, steering, time.time(), rate_limit

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


def _open(path: Path) -> tuple[Catalog, int]:
    """The catalog in a file of the state directory, verified, and the file's descriptor.

    The file is opened once: whatever becomes of its name, the workers get what is verified here. Raises `GslbError`; a
    torn file is set aside.
    """
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise GslbError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return Catalog(memoryview(mmap.mmap(fd, 0, prot=mmap.PROT_READ))), fd
    except Exception:
        os.close(fd)
        files.read_catalog(path, set_aside=True)  # says what is wrong with it
        raise


def _memory(pieces: Any) -> int:
    """A sealed memory file that holds ``pieces``; whoever has its descriptor can map and not change it."""
    fd = os.memfd_create("gslb-steering", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.writelines(pieces)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
    return fd
