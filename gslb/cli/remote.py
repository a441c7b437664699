"""Verbs that ask a running server: ``apply``, ``explain``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gslb.cli.serve import Config
from gslb.errors import GslbError

if TYPE_CHECKING:  # imported by the verb that needs it
    from gslb.cli.client import Server

Admin = Annotated[
    str | None, typer.Option("--admin", metavar="ADDR:PORT", help="Its admin port; default: 127.0.0.1:8053")
]
State = Annotated[
    Path | None, typer.Option("--state", metavar="DIR", help="Its state directory; default: /var/lib/gslb")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON")]


class Family(StrEnum):
    """The types that are steered."""

    A = "A"
    AAAA = "AAAA"


def apply(
    force: Annotated[bool, typer.Option("--force", help="Take a change that is over max_change")] = False,
    admin: Admin = None,
    state: State = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Have the server read its files now; --force lets a held change through."""
    import msgspec

    from gslb.cli import FAILURE
    from gslb.cli.client import Server
    from gslb.cli.show import reload_lines
    from gslb.server.status import ReloadStatus
    from gslb.store.admin_port import detail

    reply = Server(admin, state, config).post("/v1/apply", force="true" if force else "false")
    if reply.code not in (200, 409, 422):
        raise GslbError(detail(reply))
    if as_json:
        print(reply.body.decode())
    else:
        print("\n".join(reload_lines(msgspec.json.decode(reply.body, type=ReloadStatus))))
    if reply.code != 200:
        raise typer.Exit(FAILURE)


def explain(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A service's name")],
    subnet: Annotated[str, typer.Option(metavar="PREFIX", help="The client, as in dig +subnet")] = "",
    qtype: Annotated[Family, typer.Option("--type", help="The family asked for")] = Family.A,
    at: Annotated[
        str, typer.Option(metavar="TIME", help="What was answered then: 14:30 (UTC), -10m or 2026-11-24T14:30:00Z")
    ] = "",
    admin: Admin = None,
    state: State = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show why a client gets the edge it gets, or with --at why it got one."""
    import msgspec

    from gslb.cli.client import Server
    from gslb.store.admin_port import detail

    server = Server(admin, state, config)
    query = {"name": name, "subnet": subnet, "type": qtype.value}
    if at:
        query["at"] = _instant(server, at)
    reply = server.get("/v1/explain", query)
    if reply.code != 200:
        raise GslbError(detail(reply))
    print(reply.body.decode() if as_json else "\n".join(msgspec.json.decode(reply.body)["lines"]))


def _instant(server: Server, text: str) -> str:
    """RFC 3339 of a time as it was typed. Raises `UsageError`."""
    import time

    from gslb.cli.units import is_relative, past_ms, rfc3339
    from gslb.errors import UsageError

    try:
        found_ms = past_ms(text, time.time_ns() // 1_000_000)
    except ValueError as error:
        raise UsageError(f"--at: {error}") from None
    if is_relative(text) and (clock_ms := server.get("/v1/status").clock_ms) is not None:
        found_ms = past_ms(text, clock_ms)
    return rfc3339(found_ms)
