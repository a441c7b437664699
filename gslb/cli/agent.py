"""``gslb agent``: the daemon beside an edge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gslb.cli.daemon import configured, until_told
from gslb.store.interface import Writer

if TYPE_CHECKING:  # imported by the verb that needs it
    from gslb.agent.config import Config


def agent(
    edge: Annotated[str | None, typer.Option(metavar="ID", help="The edge, as zones/edges.yaml names it")] = None,
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Push here: redis://…, or http://ADDR:PORT of a server's admin port"),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="YAML file of the agent; default: /etc/gslb/agent.yaml"),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Probe and read once, print what is found, push nothing; exit 1 if not well"),
    ] = False,
) -> None:
    """Probe an edge, read its load, and push a report of it each second.

    --edge and --store win over GSLB_EDGE and GSLB_STORE, and these over the file.
    """
    import os

    from gslb.agent.config import DEFAULT_FILE, load

    path = config or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
    edge, store = edge or os.environ.get("GSLB_EDGE") or None, store or os.environ.get("GSLB_STORE") or None
    settings = configured(lambda: load(path, edge, store, os.environ))
    if dry_run:
        _try(settings)
        return

    import asyncio

    from gslb.store.opening import open_writer

    asyncio.run(_serve(settings, open_writer(settings.store, settings.token)))


async def _serve(config: Config, writer: Writer) -> None:
    import random

    import structlog

    from gslb.agent.log import configure
    from gslb.agent.run import Timing, serve

    configure()
    line = f"ready edge={config.edge} probes={len(config.probes)} interval={config.interval_s:g}s"
    timing = Timing(random.Random())
    await until_told(lambda stop: serve(config, writer, timing, structlog.get_logger(), stop, line))


def _try(config: Config) -> None:
    import asyncio
    import json

    from gslb.agent.trial import tried
    from gslb.cli import FAILURE

    found, is_well = asyncio.run(tried(config))
    print(json.dumps(found, indent=2, ensure_ascii=False))
    if not is_well:
        raise typer.Exit(FAILURE)
