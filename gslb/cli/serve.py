"""``gslb serve``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from gslb.cli.daemon import configured

Config = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="TOML file of settings; default: /etc/gslb/gslb.toml")
]


def serve(
    zones: Annotated[Path | None, typer.Option(metavar="DIR", help="What operators edit; default: zones")] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="What others say of addresses; default: data")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="What this server keeps; default: /var/lib/gslb")
    ] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDR:PORT", help="Answer here, UDP and TCP; repeatable; default: 127.0.0.1:5300"),
    ] = None,
    admin: Annotated[str | None, typer.Option(metavar="ADDR:PORT", help="Admin port; default: 127.0.0.1:8053")] = None,
    store: Annotated[str | None, typer.Option(metavar="URL", help="Live state; default: memory://")] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", help="Processes that answer; default: 1")] = None,
    server_id: Annotated[
        str | None, typer.Option(metavar="TEXT", help="NSID and id.server; default: the host's name")
    ] = None,
    debug_acl: Annotated[
        list[str] | None,
        typer.Option(metavar="NET", help="Who may ask for explanations; repeatable; default: loopback"),
    ] = None,
    cookie_secret_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Cookie secrets, 32 hex digits a line, the current one first")
    ] = None,
    query_log_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the query log here, in Parquet; needs gslb\\[log]")
    ] = None,
    config: Config = None,
) -> None:
    """Answer queries: UDP and TCP on every --listen, reloading on change and on SIGHUP.

    Every option is also a variable GSLB_… and a key of the TOML file; a flag wins over both.
    """
    from gslb.server.settings import load

    flags = {
        "zones": zones,
        "data": data,
        "state": state,
        "listen": listen,
        "admin": admin,
        "store": store,
        "workers": workers,
        "server_id": server_id,
        "debug_acl": debug_acl,
        "cookie_secret_file": cookie_secret_file,
        "query_log_dir": query_log_dir,
    }
    settings, _ = configured(lambda: load(flags, os.environ, config))

    from gslb.server.serve import run

    raise typer.Exit(run(settings))
