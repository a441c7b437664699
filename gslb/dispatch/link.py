"""The store as a dispatcher needs it: its state, read whole, and a place to publish.

A store in Redis is followed. Through a server's admin port, which is the way into the embedded store, the reports are
asked for one by one in each round. For a round that publishes nothing there need be no store: then nothing was ever
reported, ordered or planned.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gslb.errors import GslbError
from gslb.model.report import Report, StoreState
from gslb.store.interface import Store, StoreError, Writer
from gslb.store.opening import MEMORY, begin, open_store, open_writer
from gslb.store.settings import admin_token

CONNECT_S: Final = 10.0
_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class Link:
    """``writer`` publishes; ``store`` is None behind an admin port."""

    writer: Writer
    store: Store | None

    async def state(self, edges: Sequence[str]) -> StoreState:
        """What is true now of ``edges``. Raises `StoreError` where it cannot be had."""
        if self.store is not None:
            await self._connected(self.store)
            return await self.store.state()
        limit = asyncio.Semaphore(_AT_ONCE)

        async def latest(edge: str) -> Report | None:
            async with limit:
                return await self.writer.latest(edge)

        overrides = await self.writer.overrides()
        found = await asyncio.gather(*map(latest, edges))
        reports = {report.edge: report for report in found if report is not None}
        return StoreState(
            now_ms=max((report.received_ms for report in reports.values()), default=0),
            reports=reports,
            seen={edge: report.received_ms for edge, report in reports.items()},
            overrides={each.id: each for each in overrides},
        )

    async def _connected(self, store: Store) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_S):
                changes = store.changes()
                while not store.connected:
                    await anext(changes)
        if not store.connected:
            raise StoreError("the store cannot be reached")


@contextlib.asynccontextmanager
async def linked(url: str, token: str, state: Path, *, dry: bool = False) -> AsyncIterator[Link]:
    """A link to the store at ``url``, ``http://ADDR:PORT`` for an admin port: ``token`` is its token, empty: what
    stands in ``state``/admin.token. ``memory://`` is an empty store if ``dry``. Raises `GslbError` where it cannot be
    one."""
    if url.startswith("http://"):
        writer = open_writer(url, admin_token(token, state))
        link = Link(writer, None)
    else:
        if url == MEMORY and not dry:
            raise GslbError(
                "no store to publish to: --store redis://…, or for the embedded store the admin port of its server,"
                " --store http://ADDR:PORT; --dry-run needs none"
            )
        store = open_store(url, StoreState())
        await begin(store)
        writer = store
        link = Link(store, store)
    try:
        yield link
    finally:
        await writer.close()
