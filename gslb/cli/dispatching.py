"""``gslb dispatch`` itself: the daemon, or one round."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gslb.cli.daemon import configured, say, until_told
from gslb.cli.files import AsJson
from gslb.cli.units import AT_HELP

if TYPE_CHECKING:  # imported by the verb that needs it
    from gslb.dispatch.settings import Settings


def dispatch(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Do one round; exit 1 where no plan was published")] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Make one plan and show it: take no lease, publish nothing; needs no store"),
    ] = False,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help=f"With --dry-run: plan as if it were then, {AT_HELP}; default: now"),
    ] = None,
    zones: Annotated[Path | None, typer.Option(metavar="DIR", help="What operators edit; default: zones")] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="What others say of addresses; default: data")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Plans and rounds are kept here; default: /var/lib/gslb-dispatch")
    ] = None,
    store: Annotated[
        str | None, typer.Option(metavar="URL", help="Publish here: redis://…, or http://ADDR:PORT of an admin port")
    ] = None,
    demand: Annotated[
        Path | None, typer.Option(metavar="PATH", help="CSV, Parquet or folder; default: demand.csv of the data")
    ] = None,
    demand_live: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The same in buckets of 60 s; default: none")
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(metavar="ADDR:PORT", help="Tell them here, or none; default: 127.0.0.1:8054")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file of settings; default: /etc/gslb/dispatch.toml")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --once or --dry-run: write the plan here, for `gslb plan show FILE`"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Publish a plan each round, from demand, capacity and cost. Needs gslb\\[dispatch].

    Every option with a value is also a variable GSLB_… and a key of the TOML file; a flag wins over both.
    """
    if context.invoked_subcommand is not None:
        return
    import os

    from gslb.dispatch.settings import load

    flags = {
        "zones": zones,
        "data": data,
        "state": state,
        "store": store,
        "demand": demand,
        "demand_live": demand_live,
        "metrics": metrics,
    }
    at_ms = _at_ms(at, dry=dry_run)
    settings = configured(lambda: load(flags, os.environ, config))
    if once or dry_run:
        _once(settings, out, dry=dry_run, at_ms=at_ms, as_json=as_json)
        return
    import asyncio

    asyncio.run(_serve(settings))


def _at_ms(text: str | None, *, dry: bool) -> int | None:
    import time

    from gslb.cli.units import past_ms
    from gslb.errors import UsageError

    if text is None:
        return None
    if not dry:
        raise UsageError("--at: only a --dry-run may be of another time")
    try:
        return past_ms(text, time.time_ns() // 1_000_000)
    except ValueError as error:
        raise UsageError(f"--at: {error}") from None


def _once(settings: Settings, out: Path | None, *, dry: bool, at_ms: int | None, as_json: bool) -> None:
    import asyncio
    import json
    import sys

    from gslb.cli import FAILURE
    from gslb.cli.show_plan import round_lines
    from gslb.dispatch.keeping import text_of
    from gslb.dispatch.process import once
    from gslb.dispatch.round_data import as_data
    from gslb.dispatch.rounds import DRY, PUBLISHED
    from gslb.errors import GslbError
    from gslb.store.atomic import write_atomic

    done = asyncio.run(once(settings, dry=dry, at_ms=at_ms))
    if out is not None and done.made is not None:
        try:
            write_atomic(out, [text_of(done.made.plan).encode(), b"\n"])
        except OSError as error:
            raise GslbError(f"{out}: {error.strerror}") from None
    for warning in done.warnings:
        print(f"gslb: warning: {warning}", file=sys.stderr)
    if as_json:
        print(json.dumps(as_data(done)))
    elif done.made is not None:
        print("\n".join(round_lines(as_data(done))))
    if done.reason:
        for line in done.reason.splitlines():
            print(f"gslb: {done.outcome}: {line}", file=sys.stderr)
    if done.outcome not in (DRY, PUBLISHED):
        raise typer.Exit(FAILURE)


async def _serve(settings: Settings) -> None:
    import structlog

    from gslb.dispatch.process import serve
    from gslb.store.log import configure

    configure()
    await until_told(lambda stop: serve(settings, structlog.get_logger(), stop, say))
