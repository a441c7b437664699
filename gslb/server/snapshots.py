"""What is served: a catalog and the steering that fits it, here for explanations and in the workers for answers."""

from __future__ import annotations

import asyncio
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
from gslb.server.status import SteeringStatus
from gslb.snapshot import layout
from gslb.snapshot import steering as steering_snapshot
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.steering import Steering
from gslb.store.interface import Store

LEAST_S = 0.1
"""Between two steering snapshots, so that a storm of reports costs no more than ten a second."""
MOST_S = 1.0
"""How long at most until what time alone changes is looked at."""


class Snapshots:
    """The pair that is served. ``identity`` is asked at every swap, so that cookie secrets can change."""

    def __init__(self, fleet: Fleet, store: Store, identity: Callable[[], frames.Identity]) -> None:
        self.catalog: Catalog | None = None
        self.steering: Steering | None = None
        self.status = SteeringStatus()
        self._fleet = fleet
        self._store = store
        self._identity = identity
        self._lock = asyncio.Lock()
        self._log: Any = structlog.get_logger("gslb.snapshots")

    async def take(self, path: Path, rate_limit: frames.RateLimit | None) -> Catalog:
        """Have the catalog in ``path`` served. Raises `GslbError` where it cannot be, and then nothing has changed."""
        async with self._lock:
            catalog = await asyncio.to_thread(lambda: Catalog(_mapped(path)))
            steering, fd = await self._build(catalog)
            errors = await self._fleet.swap(str(path), catalog.edge_ids, fd, self._identity(), rate_limit)
            if errors:
                raise GslbError(f"the workers refuse {path.name}: {'; '.join(errors)}")
            self.catalog, self.steering = catalog, steering
            return catalog
