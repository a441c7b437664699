"""Measuring at work: one run, from settings to what was done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gslb.errors import GslbError
from gslb.measure import facts, follow, lineage, retention
from gslb.measure.done import Done
from gslb.measure.engine import Engine, open_engine
from gslb.measure.retention import Keep, Removed
from gslb.measure.runs import Order, Pipeline, Progress, alone
from gslb.measure.settings import Settings
from gslb.measure.silver import Facts
from gslb.store.opening import open_events
from gslb.store.settings import admin_token


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a single run is asked for: ``span`` in seconds since 1970, None: all; see `Order`."""

    span: range | None = None
    rebuild: bool = False


def once(settings: Settings, wanted: Wanted, now_s: Callable[[], float], progress: Progress = lambda *_: None) -> Done:
    """Take reports from the store, where one is named, and do one run. A store that cannot be reached is a fault of
    the run, and the rest goes on. Raises `GslbError` where nothing could be begun."""
    with alone(settings.out):
        pipeline = Pipeline(settings.out)
        fault = _followed(settings) if settings.store else ""
        with engine(settings) as opened:
            done = pipeline.run(order(settings, wanted, wait_s=0), opened, reader(settings), now_s(), progress)
        if fault:
            done.faults.insert(0, f"reports: {fault}")
        return done


def tidy(settings: Settings, now_s: float) -> Removed:
    """Let go of what is older than it is to be kept, put small files together, and remove what nothing names. Raises
    `GslbError`."""
    with alone(settings.out), engine(settings) as opened:
        pipeline = Pipeline(settings.out)
        return tidied(settings, pipeline, opened, lineage.claimed(settings.out, now_s), now_s)


def tidied(settings: Settings, pipeline: Pipeline, opened: Engine, run: str, now_s: float) -> Removed:
    """The same, of tables that are this process's already."""
    removed = Removed()
    keep = Keep(
        settings.keep_bronze_days,
        settings.keep_silver_days,
        settings.keep_gold_days,
        settings.keep_quarantine_days,
        settings.keep_lineage_days,
    )
    tables = {**pipeline.silver, **pipeline.gold}
    try:
        retention.forget(settings.log, pipeline.bronze, tables, keep, run, now_s, removed)
        retention.put_together(opened, tables, run, now_s, removed)
        retention.sweep(settings.out, pipeline.bronze, tables, keep, removed)
        retention.sweep_scratch(settings.scratch_path, removed)
    except OSError as error:
        raise GslbError(f"{error.filename or settings.out}: {error.strerror or error}") from None
    return removed


def order(settings: Settings, wanted: Wanted, wait_s: int) -> Order:
    """What a run is told."""
    return Order(settings.log, settings.out, wanted.span, wanted.rebuild, wait_s, settings.batch_rows)


def reader(settings: Settings) -> Callable[[Engine], Facts]:
    """What reads the files of zones and data."""
    return lambda engine: facts.read(settings.zones, settings.data, engine, settings.out / "facts")


@contextlib.contextmanager
def engine(settings: Settings) -> Iterator[Engine]:
    """The engine that is set."""
    opened = open_engine(settings.engine, settings.scratch_path, settings.memory_mb, settings.threads)
    try:
        yield opened
    finally:
        opened.close()


def _followed(settings: Settings) -> str:
    """Read the reports there are; why they could not be."""

    async def read() -> None:
        events = open_events(settings.store, token(settings))
        try:
            await follow.once(events, settings.log / "reports")
        finally:
            await events.close()

    try:
        asyncio.run(read())
    except GslbError as error:
        return str(error)
    except OSError as error:
        return f"{error.filename or settings.log}: {error.strerror or error}"
    return ""


def token(settings: Settings) -> str | None:
    """For a store behind an admin port. Raises `GslbError`."""
    return admin_token(settings.admin_token, settings.state) if settings.store.startswith("http://") else None
