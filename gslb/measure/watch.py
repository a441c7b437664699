"""Measuring as a daemon: a run each minute, delivery logs over its port, reports out of the store.

One process at a time has the lease `MEASURE` in the store and measures; others stand by. Without a store there is no
lease, and the lock of the tables alone keeps two apart. Runs are done in a thread, so that the port goes on to answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, Final

from gslb.errors import GslbError
from gslb.measure import follow, metrics, port, process, quality
from gslb.measure.done import Done
from gslb.measure.metrics import FAILED, OK, STANDBY, Told
from gslb.measure.process import Wanted
from gslb.measure.receiving import Receiver
from gslb.measure.runs import Pipeline, alone
from gslb.measure.settings import Settings
from gslb.measure.tokens import Tokens
from gslb.store.leases import Leasing
from gslb.store.opening import open_events, open_writer
from gslb.store.page import NOT_FOUND, TEXT, serving

MEASURE: Final = "measure"
"""The lease without which none of several watching processes measures."""
LEASE_MS: Final = 20_000
EVERY_S: Final = 60
TIDY_S: Final = 3600
"""How often what is old goes."""


async def watch(
    settings: Settings,
    logger: Any,
    stop: asyncio.Event,
    ready: Callable[[str], None] = lambda _: None,
    *,
    clock_s: Callable[[], float] = time.time,
    every_s: int = EVERY_S,
) -> None:
    """Run ``wait_s`` after each whole minute until ``stop`` is set; a run on its way is finished. Raises `GslbError`
    where nothing can be begun."""
    watching = _Watch(settings, logger, clock_s)
    async with contextlib.AsyncExitStack() as stack:
        page = serving(settings.metrics, watching.reply)
        metrics_port = stack.enter_context(page)
        delivery_port = await stack.enter_async_context(watching.receiving())
        await stack.enter_async_context(watching.leasing())
        ready(f"ready measure metrics={metrics_port or 'none'} delivery={delivery_port or 'none'}")
        while not stop.is_set():
            await watching.turn()
            wait_s = min(every_s - (clock_s() - settings.wait_s) % every_s, watching.others_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await stop.wait()


class _Watch:
    def __init__(self, settings: Settings, logger: Any, clock_s: Callable[[], float]) -> None:
        self.told = Told()
        self._settings = settings
        self._logger = logger
        self._clock_s = clock_s
        self._lease: Leasing | None = None
        self._following: asyncio.Task[None] | None = None
        self._tidied_s = 0.0
        self._built_until_s = 0
        self._former = ""
        self._outcome = ""

    @property
    def others_s(self) -> float:
        """For how long another process has the lease at least; without end where there is none."""
        lease = self._lease.lease if self._lease is not None else None
        return math.inf if lease is None or lease.token else lease.left_ms / 1000 + 0.05

    def reply(self, path: str) -> tuple[int, str, bytes]:
        """One page."""
        match path:
            case "/metrics":
                return 200, metrics.CONTENT_TYPE, self._exposition()
            case "/livez":
                return 200, TEXT, b"ok\n"
            case "/readyz":
                reason = self._unready()
                return (503, TEXT, f"{reason}\n".encode()) if reason else (200, TEXT, f"{self._outcome}\n".encode())
        return NOT_FOUND

    @contextlib.asynccontextmanager
    async def receiving(self) -> AsyncIterator[int]:
        """Serve the port for delivery logs meanwhile; its number, 0 where there is to be none."""
        settings = self._settings
        if settings.listen is None:
            yield 0
            return
        if settings.tokens is None:
            raise GslbError("--listen needs --tokens: a file that says who may send delivery logs")
        receiver = Receiver(settings.log / "delivery", Tokens(settings.tokens, time.monotonic), self._clock_s)
        self.told.received = receiver.received
        app = port.build_app(receiver, self._exposition, self._unready)
        sock = _listening(settings.listen)
        stopped = asyncio.Event()
        task = asyncio.create_task(port.serve(app, sock, stopped))
        try:
            yield sock.getsockname()[1]
        finally:
            stopped.set()
            await asyncio.gather(task, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def leasing(self) -> AsyncIterator[None]:
        """Have the lease renewed meanwhile, and given back in the end."""
        settings = self._settings
        if not settings.store:
            yield
            return
        writer = open_writer(settings.store, process.token(settings))
        self._lease = Leasing(writer, MEASURE, LEASE_MS)
        renewing = asyncio.create_task(self._lease.renew())
        try:
            yield
        finally:
            for task in filter(None, (renewing, self._following)):
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            with contextlib.suppress(GslbError):
                await self._lease.drop()
            await writer.close()

    async def turn(self) -> None:
        """One run, where it is this process's turn. Raises nothing: the next may go well."""
        try:
            if reason := await self._standby():
                self._end(STANDBY, reason)
                self.told.runs[STANDBY] += 1
                return
            done = await asyncio.to_thread(self._run)
        except GslbError as error:
            self._fail(str(error))
        except OSError as error:
            self._fail(f"{error.filename or self._settings.out}: {error.strerror or error}")
        except Exception as error:
            self._fail(f"a fault of this program: {type(error).__name__}: {error}")
        else:
            self.told.ended(done, self._clock_s())
            self._say(done)

    async def _standby(self) -> str:
        """Who measures instead; empty: this process is to. A store that cannot be reached keeps nobody from it who had
        the lease: the lock of the tables still holds others off. Raises `GslbError` for who had not."""
        if self._lease is None:
            return ""
        try:
            lease = await self._lease.take()
        except GslbError as error:
            self.told.lease_held = self._lease.leads
            if not self._lease.leads:
                raise
            self._logger.warning("the store fails", reason=str(error))
            return ""
        self.told.lease_held = self._lease.leads
        if not lease.token:
            if self._following is not None:
                self._following.cancel()
                self._following = None
            return f"{lease.holder} has the lease for {lease.left_ms / 1000:.0f} s more"
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._follow())
        return ""

    async def _follow(self) -> None:
        """Take reports out of the store, until cancelled."""
        settings = self._settings
        former = ""

        def told(followed: follow.Followed, fault: str) -> None:
            nonlocal former
            self.told.followed = followed.counts
            if fault and fault != former:
                self._logger.warning("reports fail", reason=fault)
            former = fault

        events = open_events(settings.store, process.token(settings))
        try:
            await follow.follow(events, settings.log / "reports", told=told)
        except GslbError as error:
            self._logger.error("reports are not followed", reason=str(error))
        finally:
            await events.close()

    def _run(self) -> Done:
        """In a thread."""
        settings, now_s = self._settings, self._clock_s()
        with alone(settings.out), process.engine(settings) as engine:
            pipeline = Pipeline(settings.out)
            order = process.order(settings, Wanted(), settings.wait_s)
            until_s = order.until_s(now_s, 300)
            order = replace(order, hours=until_s != self._built_until_s)
            done = pipeline.run(order, engine, process.reader(settings), now_s)
            if done.ok:
                self._built_until_s = until_s
            if now_s - self._tidied_s >= TIDY_S:
                self._tidied_s = now_s
                process.tidied(settings, pipeline, engine, done.run, now_s)
        tables = {**pipeline.silver, **pipeline.gold}
        self.told.table_bytes = {
            name: sum(piece.bytes for piece in table.current.pieces) for name, table in tables.items()
        }
        levels = [verdict.level for verdict in quality.newest(quality.history(settings.out))]
        self.told.levels = {level: levels.count(level) for level in quality.LEVELS}
        return done

    def _say(self, done: Done) -> None:
        reasons = [*done.faults, *(f"{each.table}: {each.gate}: {each.text}" for each in quality.stops(done.verdicts))]
        for source, intake in done.intake.items():
            for name, reason in intake.refused:
                self._logger.warning("file refused", source=source, file=name, reason=reason)
        if reasons:
            self._end(FAILED, "; ".join(reasons))
        else:
            self._end(OK, "")

    def _fail(self, reason: str) -> None:
        self.told.runs[FAILED] += 1
        self._end(FAILED, reason)

    def _end(self, outcome: str, reason: str) -> None:
        """Tell what became of a turn, where it is another thing than before."""
        said = f"{outcome}: {reason}"
        if said != self._former:
            say = self._logger.error if outcome == FAILED else self._logger.info
            say(f"run {outcome}", **({"reason": reason} if reason else {}))
        self._former, self._outcome = said, outcome
        self.told.fault = reason if outcome == FAILED else ""

    def _exposition(self) -> bytes:
        return metrics.exposition(self.told, self._clock_s())

    def _unready(self) -> str:
        if not self._outcome:
            return "no run has ended yet"
        return f"the last run failed: {self.told.fault}" if self.told.fault else ""


def _listening(where: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(where)
        sock.listen(128)
    except OSError as error:
        sock.close()
        raise GslbError(f"{where[0]} port {where[1]}: delivery logs cannot be taken there: {error.strerror}") from None
    sock.setblocking(False)
    return sock
