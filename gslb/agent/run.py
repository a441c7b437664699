"""The agent at work: every probe and source in its own rhythm, and a push a second, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from gslb.agent import probes
from gslb.agent.config import Config, Probe, Source, Target
from gslb.agent.log import Troubles
from gslb.agent.probes.making import made
from gslb.agent.pushing import Pusher
from gslb.agent.sources import INTERFACES, Reader, SourceError, load_reader, sessions_reader
from gslb.agent.standing import Standing, family_up
from gslb.health.state import Measurement
from gslb.model.report import DOWN, DRAIN, Report
from gslb.store.interface import Writer

JITTER: Final = 0.1
"""Each interval is longer or shorter by up to this share of it, so that agents do not keep step."""


class Timing(NamedTuple):
    """What tells and passes the time, and draws the jitter."""

    chance: random.Random
    monotonic_s: Callable[[], float] = time.monotonic
    wall_s: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Watched(NamedTuple):
    """One target of a probe, what runs it, and how it stands."""

    probe: Probe
    target: Target
    check: probes.Check
    standing: Standing

    @property
    def name(self) -> str:
        """``http http://127.0.0.1/health (IPv4)``."""
        families = " and ".join(
            name for name, counts in (("IPv4", self.target.four), ("IPv6", self.target.six)) if counts
        )
        return f"{self.probe} ({families})"


Make: TypeAlias = Callable[[Probe, Target], probes.Check]


def watched(config: Config, make: Make = made) -> tuple[Watched, ...]:
    """Every target of every probe, of which nothing is known yet."""
    return tuple(
        Watched(probe, target, make(probe, target), Standing(probe.rise, probe.fall))
        for probe in config.probes
        for target in probe.targets
    )


class Agent:
    """One edge's agent. `run` is to be called once. ``interfaces`` is where the counters of interfaces stand."""

    def __init__(
        self,
        config: Config,
        writer: Writer,
        timing: Timing,
        logger: Any,
        *,
        make: Make = made,
        interfaces: Path = INTERFACES,
    ) -> None:
        self._config = config
        self._timing = timing
        self._logger = logger
        self._troubles = Troubles(logger, timing.monotonic_s)
        self._interfaces = interfaces
        self._watched = watched(config, make)
        self._pusher = Pusher(config, writer, int(timing.wall_s()), self._adopt)
        self._load_bps: int | None = None
        self._sessions: int | None = None
        self._decided = asyncio.Event()
        self._pushing = asyncio.Lock()

    async def run(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Probe, read and push until ``stop`` is set. ``ready`` is called when pushing begins."""
        config = self._config
        async with asyncio.TaskGroup() as group:
            await self._safely(self._pusher.begin)
            tasks = [group.create_task(self._watch(each)) for each in self._watched]
            if config.load is not None:
                reader = load_reader(config.load, self._timing.monotonic_s, self._interfaces)
                tasks.append(group.create_task(self._read("load", config.load, reader, self._take_load)))
            if config.sessions is not None:
                reader = sessions_reader(config.sessions)
                tasks.append(group.create_task(self._read("sessions", config.sessions, reader, self._take_sessions)))
            tasks.append(group.create_task(self._push_on(ready)))
            await stop.wait()
            async with self._pushing:  # what is being pushed is pushed to its end
                for task in tasks:
                    task.cancel()
        if config.down_at_end:
            await self._safely(self._pusher.say_down)

    def measured(self) -> Measurement:
        """What is known now. What the file does not name is said to be unknown; what could not be read stays."""
        config = self._config
        load_bps = self._load_bps if config.load is not None else 0
        return Measurement(
            probe4=family_up(each.standing for each in self._watched if each.target.four),
            probe6=family_up(each.standing for each in self._watched if each.target.six),
            load_bps=load_bps,
            # Without a load it would look as if all of it were free.
            capacity_bps=config.capacity_bps if load_bps is not None else None,
            sessions=self._sessions if config.sessions is not None else 0,
            valid_ms=config.valid_ms,
        )

    async def _watch(self, each: Watched) -> None:
        async def probe() -> None:
            reason = await probes.run(each.check, each.probe.timeout_s)
            if each.standing.note(not reason):
                self._told(each, reason)
            if all(other.standing.up is not None for other in self._watched):
                self._decided.set()

        await self._every(each.probe.interval_s, probe)

    def _told(self, each: Watched, reason: str) -> None:
        if reason:
            self._logger.warning("probe down", probe=each.name, reason=reason)
        else:
            self._logger.info("probe up", probe=each.name)

    async def _read(self, what: str, source: Source, reader: Reader, take: Callable[[int], None]) -> None:
        async def read() -> None:
            reason = ""
            try:
                value = await reader()
            except SourceError as error:
                reason = str(error)
            else:
                if value is not None:
                    take(value)
            self._troubles.note(what, reason)

        await self._every(source.interval_s, read)

    def _take_load(self, bps: int) -> None:
        self._load_bps = bps

    def _take_sessions(self, count: int) -> None:
        self._sessions = count

    async def _push_on(self, ready: Callable[[], None]) -> None:
        await self._first_outcomes()
        ready()
        await self._every(self._config.interval_s, lambda: self._safely(self._push))

    async def _first_outcomes(self) -> None:
        """Until each probe has had one, or an interval has passed."""
        if self._watched:
            ways = (self._decided.wait(), self._timing.sleep(self._config.interval_s))
            tasks = [asyncio.ensure_future(way) for way in ways]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()

    async def _push(self) -> None:
        before = self._pusher.report
        after = await self._pusher.push(self.measured)
        if before is None or (before.health4, before.health6) != (after.health4, after.health6):
            self._logger.info("edge is", health4=after.health4, health6=after.health6)

    async def _safely(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do something with the store. A failure is told; one that takes too long is given up, and the next may be
        better."""
        timeout_s = self._config.timeout_s
        reason = ""
        async with self._pushing:
            try:
                async with asyncio.timeout(timeout_s) as limit:
                    await work()
            except Exception as error:  # the daemon outlives whatever becomes of the store
                reason = f"no answer within {timeout_s:g} s" if limit.expired() else probes.told(error)
        self._troubles.note("store", reason)

    def _adopt(self, held: Report) -> None:
        """What another writer said is taken for what the probes said, until they say otherwise often enough."""
        for each in self._watched:
            healths = {held.health4} if each.target.four else set()
            healths |= {held.health6} if each.target.six else set()
            if DOWN in healths:
                each.standing.seed(False)
            elif DRAIN not in healths:
                each.standing.seed(True)

    async def _every(self, interval_s: float, work: Callable[[], Awaitable[None]]) -> None:
        """Again and again, never twice at a time."""
        timing = self._timing
        while True:
            begun_s = timing.monotonic_s()
            await work()
            wait_s = interval_s * timing.chance.uniform(1 - JITTER, 1 + JITTER)
            await timing.sleep(max(begun_s + wait_s - timing.monotonic_s(), 0.0))


async def serve(config: Config, writer: Writer, timing: Timing, logger: Any, stop: asyncio.Event, line: str) -> None:
    """Run an agent until ``stop`` is set; ``line`` is printed when pushing begins."""

    def ready() -> None:
        with contextlib.suppress(OSError):
            print(line, flush=True)

    try:
        await Agent(config, writer, timing, logger).run(stop, ready)
    finally:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(config.timeout_s):
                await writer.close()
