"""Many reports for some time: none is lost, and a reader keeps up."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from gslbtest.stores import RedisServer, becomes, following

from gslb.model.report import Report
from gslb.store.interface import Store
from gslb.store.opening import open_writer

REPORTS_PER_S = 2000
SECONDS = 30
EDGES = 1000
WRITERS = 4
LATE_S = 5.0
"""Much more than ever seen; who does not keep up is later and later."""


@pytest.mark.soak
async def test_two_thousand_reports_a_second(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as server:
        async with following(server.url) as store:
            watching = asyncio.ensure_future(_watch(store))
            late = await asyncio.gather(*(_write(server.url, number) for number in range(WRITERS)))
            last = SECONDS * REPORTS_PER_S // EDGES
            begun_s = time.monotonic()
            await becomes(
                store,
                lambda state: len(state.reports) == EDGES and all(each.seq == last for each in state.reports.values()),
            )
            behind_s = time.monotonic() - begun_s
            watching.cancel()
            (ended,) = await asyncio.gather(watching, return_exceptions=True)
            assert isinstance(ended, asyncio.CancelledError), ended
            assert server.cli("GET", "{gslb}:events:n") == str(SECONDS * REPORTS_PER_S)
            assert (store.connected, store.faults) == (True, {})
            assert (await store.state()).gap_begin_ms == 0, "at no time nobody wrote"
            assert behind_s < LATE_S
            assert max(late) < LATE_S, "as many a second as wanted were written"


async def _write(url: str, number: int) -> float:
    """A part of the reports, at even distances; gives how late the last one was, in seconds."""
    writer = open_writer(url)
    begun_s = time.monotonic()
    mine = range(number, EDGES, WRITERS)
    try:
        for count in range(SECONDS * REPORTS_PER_S // WRITERS):
            seq, at = divmod(count, len(mine))
            due_s = begun_s + count * WRITERS / REPORTS_PER_S
            if (wait_s := due_s - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            report = Report(f"edge-{mine[at]}", 1, seq + 1, 0, load_bps=count, capacity_bps=10**10)
            assert await writer.report(report) == (True, "")
    finally:
        await writer.close()
    return time.monotonic() - due_s


async def _watch(store: Store) -> None:
    """Read as a server does, ten times a second."""
    async for _ in store.changes():
        assert store.connected
        await store.state()
        await asyncio.sleep(0.1)
