"""Measuring as a daemon: a run when it is time, what it tells, its port, and who measures of several."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gslbtest import landed
from gslbtest.landed import BEGIN_S
from gslbtest.process import SOON_S
from gslbtest.stores import RedisServer, until

from gslb.errors import GslbError
from gslb.measure import process
from gslb.measure.settings import Settings
from gslb.measure.watch import MEASURE, watch
from gslb.model.report import Report
from gslb.store.opening import open_writer

pytestmark = pytest.mark.usefixtures("plain_demand")
TOKEN = "token-of-all-0123456789"


class Clock:
    """The time, as tests have it."""

    def __init__(self) -> None:
        self.now_s = BEGIN_S + 301.0

    def __call__(self) -> float:
        return self.now_s


class Watching:
    """A daemon in this process, and what it said."""

    def __init__(self, settings: Settings, clock: Clock, every_s: int = 1) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.ready: dict[str, str] = {}
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(
            watch(settings, self, self._stop, self._is_ready, clock_s=clock, every_s=every_s)
        )

    def _is_ready(self, line: str) -> None:
        words = line.split()
        assert words[:2] == ["ready", "measure"]
        self.ready = dict(word.split("=") for word in words[2:])

    def note(self, event: str, **more: Any) -> None:
        self.said.append((event, more))

    info = warning = error = note

    def events(self) -> list[str]:
        """What was said, without what else."""
        return [event for event, _ in self.said]

    async def get(self, page: str) -> tuple[int, str]:
        """A page of its metrics."""
        await until(lambda: bool(self.ready))
        return await asyncio.to_thread(_got, f"http://127.0.0.1:{self.ready['metrics']}/{page}")

    async def metric(self, name: str) -> float:
        """The value of a metric."""
        lines = (await self.get("metrics"))[1].splitlines()
        return next(
            (float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"gslb_measure_{name} ")), -1.0
        )

    async def becomes(self, name: str, wanted: float) -> None:
        """Wait until a metric has a value."""
        async with asyncio.timeout(SOON_S):
            while True:
                if await self.metric(name) == wanted:
                    return
                await asyncio.sleep(0.05)

    async def end(self) -> None:
        """Stop it, and wait until it has ended."""
        self._stop.set()
        await self._task


def _got(url: str, body: bytes | None = None) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "text/csv"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@contextlib.asynccontextmanager
async def watching(settings: Settings, clock: Clock) -> AsyncIterator[Watching]:
    found = Watching(settings, clock)
    try:
        yield found
    finally:
        await found.end()


@pytest.fixture(autouse=True)
def _facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "reader", lambda _: landed.facts)


def _settings(folder: Path, **more: Any) -> Settings:
    local = ("127.0.0.1", 0)
    return Settings(log=folder / "log", out=folder / "tables", metrics=local, memory_mb=512, wait_s=0, **more)


async def test_a_run_when_it_is_time_and_what_is_sent_in(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"* {TOKEN}\n")
    settings = _settings(tmp_path, listen=("127.0.0.1", 0), tokens=tmp_path / "tokens")
    landed.land(tmp_path / "log", BEGIN_S, BEGIN_S + 300, sources="qr")
    clock = Clock()
    async with watching(settings, clock) as daemon:
        assert (await daemon.get("readyz"))[0] in (200, 503)
        await daemon.becomes('runs_total{outcome="ok"}', 1)
        assert (await daemon.get("readyz")) == (200, "ok\n")
        assert (await daemon.get("livez")) == (200, "ok\n")
        assert (await daemon.get("other"))[0] == 404
        assert await daemon.metric('age_seconds{table="demand"}') == 1
        assert await daemon.metric('rows_total{source="queries"}') == 240
        assert await daemon.metric('gates{level="stop"}') == 0
        assert await daemon.metric('table_bytes{table="demand"}') > 1000
        body = "\n".join(["minute,edge,service,client_prefix,bytes,sessions_started", *_lines()]).encode()
        url = f"http://127.0.0.1:{daemon.ready['delivery']}"
        assert (await asyncio.to_thread(_got, f"{url}/v1/delivery", body))[0] == 200
        assert await asyncio.to_thread(_got, f"{url}/readyz") == (200, "ready\n")
        (tmp_path / "log" / "queries" / "torn.parquet").write_bytes(b"PAR1")
        clock.now_s += 60
        await daemon.becomes('rows_total{source="deliveries"}', len(_lines()))
        assert await daemon.metric('age_seconds{table="demand"}') == 61
        assert await daemon.metric('refused_files_total{source="queries"}') == 1
        assert await daemon.metric('delivery_replies_total{code="200"}') == 1
    assert "file refused" in daemon.events()
    assert daemon.events().count("run ok") == 1


def _lines() -> list[str]:
    return landed.delivery_lines(BEGIN_S, BEGIN_S + 300)


async def test_what_fails_is_told_and_the_next_run_may_go_well(tmp_path: Path) -> None:
    (tmp_path / "tables").write_text("not a folder")
    async with watching(_settings(tmp_path), Clock()) as daemon:
        await until(lambda: "run failed" in daemon.events())
        code, text = await daemon.get("readyz")
        assert (code, text) == (503, f"the last run failed: {tmp_path / 'tables'}: cannot be used: File exists\n")
        (tmp_path / "tables").unlink()
        await until(lambda: "run ok" in daemon.events())
        assert await daemon.metric("last_success_timestamp_seconds") == BEGIN_S + 301


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"listen": ("127.0.0.1", 0)}, "--listen needs --tokens"),
        ({"listen": ("192.0.2.1", 0), "tokens": Path(__file__)}, "no token|expected is one token"),
        ({"store": "http://127.0.0.1:1"}, "the admin token cannot be read"),
    ],
)
async def test_what_cannot_be_begun_is_told(tmp_path: Path, more: dict[str, Any], told: str) -> None:
    with pytest.raises(GslbError, match=told):
        await watch(_settings(tmp_path, state=tmp_path, **more), None, asyncio.Event())


async def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"* {TOKEN}\n")
    with pytest.raises(GslbError, match=r"192\.0\.2\.1 port 1: delivery logs cannot be taken there: "):
        await watch(_settings(tmp_path, listen=("192.0.2.1", 1), tokens=tmp_path / "tokens"), None, asyncio.Event())


async def test_one_of_several_measures_and_follows_the_reports(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as server:
        writer = open_writer(server.url)
        settings = _settings(tmp_path, store=server.url)
        clock = Clock()
        async with watching(settings, clock) as first:
            await first.becomes("lease_held", 1)
            await writer.report(Report("a", 1, 1, 0, load_bps=5, capacity_bps=10, headroom_milli=1000))
            async with watching(settings, clock) as second:
                await until(lambda: "run standby" in second.events())
                assert await second.metric("lease_held") == 0
                assert (await second.get("readyz")) == (200, "standby\n")
                await until(lambda: "run ok" in first.events())
                assert (tmp_path / "log" / "reports" / ".lock").is_file()
                await first.end()
                await second.becomes("lease_held", 1)
                await until(lambda: "run ok" in second.events())
                server.kill()
                await until(lambda: "the store fails" in second.events())
                assert (await second.get("readyz")) == (200, "ok\n")
                async with watching(settings, clock) as third:
                    await until(lambda: "run failed" in third.events())
        with contextlib.suppress(GslbError):
            await writer.close()
    assert MEASURE == "measure"
