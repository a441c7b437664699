"""An agent in a time of its own: store and probes are as the test says, and time passes when the test says so."""

from __future__ import annotations

import asyncio
import dataclasses
import heapq
import random
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from gslb.agent.config import Config, Probe, Target
from gslb.agent.fields import Place
from gslb.agent.run import Agent, Timing
from gslb.errors import GslbError
from gslb.model.override import Override
from gslb.model.report import Report
from gslb.store.interface import Outcome, StoreError
from gslb.store.memory import MemoryStore
from gslbtest.process import SOON_S

BEGIN_S = 1_800_000_000
EDGE = "ber-1"


class Time:
    """A time that passes only when a test says so. Everything that waits for a moment runs at that moment."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    async def sleep(self, seconds: float) -> None:
        """Wait until the time has come."""
        self._count += 1
        until: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (self.now_s + seconds, self._count, until))
        await until

    async def to(self, moment_s: float) -> None:
        """Let time pass until a moment, and everything happen that is due by then."""
        await self.settle()
        while self._waiting and self._waiting[0][0] <= moment_s:
            self.now_s, _, until = heapq.heappop(self._waiting)
            if not until.done():
                until.set_result(None)
            await self.settle()
        self.now_s = moment_s

    async def settle(self) -> None:
        """Let everything run that can run at this moment."""
        for _ in range(40):
            await asyncio.sleep(0)

    def timing(self) -> Timing:
        """This time, for an agent."""
        return Timing(random.Random(7), lambda: self.now_s, lambda: BEGIN_S + self.now_s, self.sleep)

    def clock_ms(self) -> int:
        return round((BEGIN_S + self.now_s) * 1000)


class Log:
    """What was said: event and fields."""

    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.said.append((event, fields))

    warning = info

    def events(self) -> list[str]:
        return [event for event, _ in self.said]


class Weak:
    """A store that is there, gone, hangs, or refuses, as ``mood`` says."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.mood = "there"
        self.waiting = 0
        self.pushed: list[Report] = []
        self.closed = False

    @property
    def clock_ms(self) -> int:
        return self.store.clock_ms

    async def latest(self, edge: str) -> Report | None:
        await self._moody()
        return await self.store.latest(edge)

    async def report(self, report: Report) -> Outcome:
        await self._moody()
        if self.mood == "refuses":
            return Outcome(False, "too often")
        self.pushed.append(report)
        return await self.store.report(report)

    async def overrides(self) -> tuple[Override, ...]:
        return ()

    async def override(self, override: Override) -> Outcome:
        return Outcome(False)

    async def close(self) -> None:
        self.closed = True
        if self.mood == "hangs":
            await asyncio.sleep(3600)

    async def _moody(self) -> None:
        if self.mood == "gone":
            raise StoreError("nobody is there")
        if self.mood == "broken":
            raise ZeroDivisionError
        if self.mood == "unreadable":
            self.mood = "there"
            raise GslbError("report of edge 'ber-1': seq: is missing")
        if self.mood == "hangs":
            self.waiting += 1
            try:
                await asyncio.sleep(3600)
            finally:
                self.waiting -= 1


def tcp(port: int = 1, rise: int = 2, fall: int = 3, *, four: bool = True, six: bool = False) -> Probe:
    target = Target(socket.AF_UNSPEC, four, six)
    return Probe("tcp", Place(f"h:{port}", "h", port), (target,), interval_s=1.0, rise=rise, fall=fall)


class Scene:
    """An agent in a time of its own, with probes that say what the test says and counters that are files."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder = folder
        self.time = Time()
        self.log = Log()
        self.store = MemoryStore(clock_ms=self.time.clock_ms)
        self.weak = Weak(self.store)
        self.failing: set[int] = set()
        self.asked: list[float] = []
        self.stop = asyncio.Event()
        self.ready = 0
        self.config = config
        self.agent: Agent | None = None
        self.task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start the agent, again if it has ended."""
        self.stop = asyncio.Event()
        self.agent = Agent(
            self.config, self.weak, self.time.timing(), self.log, make=self.check, interfaces=self.folder
        )
        self.task = asyncio.create_task(self.agent.run(self.stop, self._ready))

    async def end(self) -> None:
        """Tell it to end, and wait."""
        self.stop.set()
        assert self.task is not None
        async with asyncio.timeout(SOON_S):
            await self.task

    def check(self, probe: Probe, target: Target) -> Callable[[], Awaitable[None]]:
        """What stands for a probe: it fails while its port is among ``failing``."""

        async def check() -> None:
            self.asked.append(self.time.now_s)
            if probe.place.port in self.failing:
                raise ConnectionRefusedError(111, "x")

        return check

    def sent(self, octets: int) -> None:
        """What the counter of the interface eth0 says."""
        where = self.folder / "eth0" / "statistics"
        where.mkdir(parents=True, exist_ok=True)
        (where / "tx_bytes").write_text(str(octets))

    async def held(self) -> Report:
        """The report that the store holds."""
        found = await self.store.latest(EDGE)
        assert found is not None
        return found

    async def health(self) -> tuple[str, str]:
        """What the store holds of IPv4 and of IPv6."""
        found = await self.held()
        return found.health4, found.health6

    async def somebody_says(self, **said: Any) -> None:
        """Another writer's report, upon what is held."""
        held = await self.held()
        assert (await self.store.report(dataclasses.replace(held, seq=held.seq + 1, **said))).accepted

    def _ready(self) -> None:
        self.ready += 1
