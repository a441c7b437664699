"""``gslb status``: what servers say of themselves, once or again and again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gslb.cli.remote import AsJson
from gslb.cli.serve import Config
from gslb.errors import GslbError

if TYPE_CHECKING:  # imported by the verb that needs it
    from gslb.cli.client import Server


def status(
    live: Annotated[bool, typer.Option("--live", help="Only whether it runs: exit 0 or 1")] = False,
    ready: Annotated[bool, typer.Option("--ready", help="Only whether it answers: exit 0 or 1")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Edges and services, again and again; q ends it")] = False,
    interval: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, max=3600, help="Between two looks")] = 1.0,
    frames: Annotated[int | None, typer.Option(metavar="N", min=1, help="End after so many looks")] = None,
    admins: Annotated[
        list[str] | None,
        typer.Option("--admin", metavar="ADDR:PORT", help="Its admin port; repeatable; default: 127.0.0.1:8053"),
    ] = None,
    states: Annotated[
        list[Path] | None,
        typer.Option("--state", metavar="DIR", help="Its state directory, or one for each --admin, in their order"),
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show what a server serves, how its store is, how its last reload went, and how its workers are.

    With --watch: its edges with health, load and share, and its services; of several servers the state of each.
    """
    from gslb.cli.client import TIMEOUT_S

    if watch:
        from gslb.cli.watch import REPLY_S
        from gslb.cli.watch import watch as look_on

        look_on(_servers(admins, states, config, REPLY_S), interval, frames, as_json=as_json)
        return
    if frames is not None:
        from gslb.errors import UsageError

        raise UsageError("--frames: they are those of --watch")
    servers = _servers(admins, states, config, TIMEOUT_S)
    if live or ready:
        _probe(servers, "/livez" if live and not ready else "/readyz")
        return
    _once(servers, as_json=as_json)


def _servers(admins: list[str] | None, states: list[Path] | None, config: Path | None, reply_s: float) -> list[Server]:
    """Raises `UsageError` where it is not clear which state directory is whose."""
    from gslb.cli.client import Server
    from gslb.errors import UsageError

    ports: list[str | None] = list(admins) if admins else [None]
    folders: list[Path | None] = list(states) if states else [None]
    if len(folders) == 1:
        folders *= len(ports)
    if len(folders) != len(ports):
        raise UsageError(f"--state: {len(folders)} of them for {len(ports)} servers; say one, or one for each --admin")
    return [Server(port, folder, config, reply_s) for port, folder in zip(ports, folders, strict=True)]


def _probe(servers: list[Server], path: str) -> None:
    from gslb.cli import FAILURE

    replies = [server.get(path, with_token=False) for server in servers]
    for reply in replies:
        print(reply.body.decode("utf-8", "replace").strip())
    raise typer.Exit(0 if all(reply.code == 200 for reply in replies) else FAILURE)


def _once(servers: list[Server], *, as_json: bool) -> None:
    """One after the other; one that does not answer is told at the end, and the others are shown all the same."""
    import msgspec

    from gslb.cli.show import status_lines
    from gslb.server.status import Status
    from gslb.store.admin_port import detail

    faults = []
    shown = False
    for server in servers:
        try:
            reply = server.get("/v1/status")
            if reply.code != 200:
                raise GslbError(detail(reply))
        except GslbError as error:
            faults.append(str(error))
            continue
        if as_json:
            print(reply.body.decode())
        else:
            told = status_lines(msgspec.json.decode(reply.body, type=Status))
            print("\n".join(["", *told] if shown else told))
        shown = True
    sys.stdout.flush()
    if faults:
        raise GslbError("\n".join(faults))
