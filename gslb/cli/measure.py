"""``gslb measure``: from logs to demand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gslb.cli.daemon import configured, say, until_told
from gslb.cli.files import AsJson

if TYPE_CHECKING:  # imported by the verb that needs it
    from gslb.measure.settings import Settings

measure = typer.Typer(
    no_args_is_help=True,
    help="From logs and reports to demand; needs gslb\\[measure].",
)

Log = Annotated[Path | None, typer.Option(metavar="DIR", help="Where sources land; default: log")]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="The folder of tables; default: tables")]
Zones = Annotated[Path | None, typer.Option(metavar="DIR", help="What operators edit; default: zones")]
Data = Annotated[Path | None, typer.Option(metavar="DIR", help="What others say of addresses; default: data")]
Store = Annotated[
    str | None, typer.Option(metavar="URL", help="Take reports from here: redis://…, or http://ADDR:PORT")
]
State = Annotated[
    Path | None, typer.Option(metavar="DIR", help="For a store at http://: the state of its server, for the token")
]
Engine = Annotated[str | None, typer.Option(metavar="NAME", help="duckdb or spark; default: duckdb")]
Config = Annotated[
    Path | None, typer.Option(metavar="FILE", help="TOML file of settings; default: /etc/gslb/measure.toml")
]


@measure.command("run")
def run(
    log: Log = None,
    out: Out = None,
    zones: Zones = None,
    data: Data = None,
    store: Store = None,
    state: State = None,
    engine: Engine = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Look at this time and later alone")
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="TIME", help="Look at what is before this time alone")] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build all of that time again")] = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Take what landed, and build the tables that it changes. Exit 1 where a gate stops a table, a file is refused or
    something else fails.

    Every option with a value is also a variable GSLB_… and a key of the TOML file; a flag wins over both. Times are
    as 14:30 (UTC, the last one), -2h or 2026-11-24T14:30:00Z.
    """
    import time

    from gslb.cli import FAILURE
    from gslb.cli.show_measure import Bar, told
    from gslb.measure.process import Wanted, once

    flags = {
        "log": log, "out": out, "zones": zones, "data": data, "store": store, "state": state, "engine": engine
    }  # fmt: skip
    settings = _settings(flags, config)
    wanted = Wanted(_span(from_, to, time.time()), rebuild)
    with Bar(quiet=as_json) as bar:
        done = once(settings, wanted, time.time, bar.step)
    told(done, as_json=as_json)
    if not done.ok or any(intake.refused for intake in done.intake.values()):
        raise typer.Exit(FAILURE)


@measure.command("watch")
def watching(
    log: Log = None,
    out: Out = None,
    zones: Zones = None,
    data: Data = None,
    store: Store = None,
    state: State = None,
    engine: Engine = None,
    wait: Annotated[
        int | None, typer.Option(metavar="SECONDS", help="Wait for a bucket after it has ended; default: 20")
    ] = None,
    listen: Annotated[
        str | None, typer.Option(metavar="ADDR:PORT", help="Take delivery logs here, or none; default: none")
    ] = None,
    tokens: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Who may send them: lines of EDGE TOKEN, or * TOKEN")
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(metavar="ADDR:PORT", help="Tell them here, or none; default: 127.0.0.1:8055")
    ] = None,
    config: Config = None,
) -> None:
    """Do a run each minute, follow the store's reports and take delivery logs, until SIGTERM.

    Every option is also a variable GSLB_… (--wait: GSLB_WAIT_S) and a key of the TOML file; a flag wins over both.
    """
    import asyncio

    flags = {
        "log": log, "out": out, "zones": zones, "data": data, "store": store, "state": state, "engine": engine,
        "wait_s": wait, "listen": listen, "tokens": tokens, "metrics": metrics,
    }  # fmt: skip
    asyncio.run(_serve(_settings(flags, config)))


@measure.command("tidy")
def tidy(
    log: Log = None,
    out: Out = None,
    keep_bronze_days: Annotated[int | None, typer.Option(metavar="DAYS", help="Landed files; default: 3")] = None,
    keep_silver_days: Annotated[int | None, typer.Option(metavar="DAYS", help="Cleaned tables; default: 14")] = None,
    keep_gold_days: Annotated[int | None, typer.Option(metavar="DAYS", help="Gold tables; default: 90")] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Remove what is too old and what nothing names, and put small files together; a watch does so each hour."""
    import dataclasses
    import json
    import time

    from gslb.measure import process

    flags = {
        "log": log, "out": out, "keep_bronze_days": keep_bronze_days, "keep_silver_days": keep_silver_days,
        "keep_gold_days": keep_gold_days,
    }  # fmt: skip
    removed = dataclasses.asdict(process.tidy(_settings(flags, config), time.time()))
    print(json.dumps(removed) if as_json else "\n".join(f"{name:8} {count}" for name, count in removed.items()))


@measure.command("resolvers")
def resolvers(
    out: Out = None,
    hours: Annotated[int, typer.Option(metavar="N", min=1, max=24 * 90, help="Go by the newest N hours")] = 24,
    config: Config = None,
) -> None:
    """Print what was learned of resolvers, as data/resolvers.csv."""
    from gslb.measure.exporting import resolvers as text_of

    print(text_of(_settings({"out": out}, config), hours).decode(), end="")


@measure.command("quality")
def quality(
    out: Out = None,
    history: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Show the newest N verdicts, not only those that hold")
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """What the gates found of each table last. Exit 1 where one stops its table."""
    import json

    import msgspec

    from gslb.cli import FAILURE
    from gslb.cli.show_measure import verdict_lines
    from gslb.errors import GslbError
    from gslb.measure import quality as gates

    settings = _settings({"out": out}, config)
    found = gates.history(settings.out)
    if not found:
        raise GslbError(f"{settings.out}: nothing was judged yet: gslb measure run")
    newest = gates.newest(found)
    shown = newest if history is None else found[-history:]
    print(json.dumps(msgspec.to_builtins(shown)) if as_json else "\n".join(verdict_lines(shown)))
    if gates.stops(newest):
        raise typer.Exit(FAILURE)


async def _serve(settings: Settings) -> None:
    import structlog

    from gslb.measure.watch import watch
    from gslb.store.log import configure

    configure()
    await until_told(lambda stop: watch(settings, structlog.get_logger(), stop, say))


def _settings(flags: dict[str, Any], config: Path | None) -> Settings:
    import os

    from gslb.measure.settings import load

    return configured(lambda: load(flags, os.environ, config))


def _span(from_: str | None, to: str | None, now_s: float) -> range | None:
    """The seconds that are asked for; None: all."""
    from gslb.cli.units import past_ms
    from gslb.errors import UsageError

    found: dict[str, int] = {}
    for name, text in (("--from", from_), ("--to", to)):
        if text is not None:
            try:
                found[name] = past_ms(text, int(now_s * 1000)) // 1000
            except ValueError as error:
                raise UsageError(f"{name}: {error}") from None
    if not found:
        return None
    span = range(found.get("--from", 0), found.get("--to", 1 << 40))
    if not span:
        raise UsageError("--to: is not after --from")
    return span
