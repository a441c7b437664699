"""The dispatcher at work: a round each ``round_s``, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from gslb.dispatch import page
from gslb.dispatch.keeping import Keeper
from gslb.dispatch.link import linked
from gslb.dispatch.metrics import Told
from gslb.dispatch.network import NetworkReader
from gslb.dispatch.rounds import FAILED, LEASE_MS, PUBLISHED, STANDBY, Done, Rounds, forced_bps
from gslb.dispatch.settings import Settings
from gslb.dispatch.solver import Solver, check_installed
from gslb.errors import GslbError
from gslb.store.interface import DISPATCH
from gslb.store.leases import Leasing
from gslb.store.page import serving


async def once(settings: Settings, *, dry: bool, at_ms: int | None = None, solver: Solver | None = None) -> Done:
    """One round, after which the lease is given back; ``dry`` and ``at_ms`` as `Rounds.one` has them. Raises
    `GslbError` where nothing can be begun."""
    async with _rounds(settings, solver, dry=dry) as rounds:
        done = await rounds.one(dry=dry, at_ms=at_ms)
        if not dry:
            _note(rounds.keeper, done)
        return done


async def serve(
    settings: Settings,
    logger: Any,
    stop: asyncio.Event,
    ready: Callable[[str], None] = lambda _: None,
    solver: Solver | None = None,
) -> None:
    """Round after round until ``stop`` is set; then the lease is given back, so that another takes over at once."""
    told = Told()
    async with _rounds(settings, solver) as rounds:
        leasing = rounds.leasing

        def now() -> Told:
            told.lease_held = leasing.leads
            return told

        with serving(settings.metrics, lambda path: page.reply(path, now())) as port:
            ready(f"ready dispatch holder={leasing.holder} metrics={port or 'none'}")
            former = ""
            while not stop.is_set():
                began_s = time.monotonic()
                done = await _until(stop, rounds.one())
                if done is None:
                    break
                if done.outcome == FAILED:  # another one may have what it takes
                    with contextlib.suppress(GslbError):
                        await leasing.drop()
                told.ended(done, time.time(), lease_held=leasing.leads)
                _say(logger, done, former)
                former = done.outcome
                if fault := _note(rounds.keeper, done) if done.outcome != STANDBY else "":
                    logger.warning("round not kept", reason=fault)
                wait_s = max(0.0, told.round_s - (time.monotonic() - began_s))
                if done.outcome == STANDBY and leasing.lease is not None:
                    wait_s = min(wait_s, leasing.lease.left_ms / 1000 + 0.05)  # it passes on as soon as it ends
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await stop.wait()


@contextlib.asynccontextmanager
async def _rounds(settings: Settings, solver: Solver | None, *, dry: bool = False) -> AsyncIterator[Rounds]:
    check_installed()
    solver = solver or Solver()
    async with linked(settings.store, settings.admin_token, settings.state, dry=dry) as link:
        if not dry:
            with contextlib.suppress(OSError):  # told once something is to be kept
                settings.state.mkdir(parents=True, exist_ok=True)
        leasing = Leasing(link.writer, DISPATCH, LEASE_MS)
        reader = NetworkReader(settings.zones, settings.data, settings.state if settings.state.is_dir() else None)
        rounds = Rounds(settings, link, solver, reader, Keeper(settings.state), leasing)
        renewing = asyncio.create_task(leasing.renew())
        try:
            yield rounds
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            solver.close()
            with contextlib.suppress(GslbError):
                await leasing.drop()


async def _until(stop: asyncio.Event, work: Any) -> Done | None:
    """What comes out of a round, None where it was stopped before it ended."""
    stopped, task = asyncio.create_task(stop.wait()), asyncio.create_task(work)
    await asyncio.wait((stopped, task), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if task.done():
        found: Done = task.result()
        return found
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return None


def _say(logger: Any, done: Done, former: str) -> None:
    for warning in done.warnings:
        logger.warning("passed over", reason=warning)
    if done.outcome == FAILED:
        logger.error("round failed, the last plan stays", reason=done.reason)
    elif done.outcome == PUBLISHED and done.made is not None:
        report = done.made.report
        logger.info(
            "published",
            version=done.made.plan.version,
            rows=len(done.made.plan.rows),
            demand_bps=report.demand_bps,
            moved_bps=report.moved_bps,
            forced_bps=forced_bps(done.made.plan),
            waiting_bps=report.waiting_bps,
            overload_bps=report.overload_bps,
        )
        for shortfall in report.shortfalls:
            logger.warning("a PoP could not be lost", reason=str(shortfall))
    elif done.outcome != former:
        logger.info(done.outcome, reason=done.reason)


def _note(keeper: Keeper, done: Done) -> str:
    """Keep a line of the round; why it could not be kept."""
    try:
        keeper.note(done.told(time.time_ns() // 1_000_000))
    except OSError as error:
        return str(error)
    return ""
