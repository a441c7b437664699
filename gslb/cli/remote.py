"""Verbs that ask a running server: ``apply``, ``explain``, ``status``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gslb.cli.serve import Config
from gslb.errors import GslbError

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

    code, body = Server(admin, state, config).post("/v1/apply", force="true" if force else "false")
    if code not in (200, 409, 422):
        raise GslbError(_detail(code, body))
    if as_json:
        print(body.decode())
    else:
        print("\n".join(reload_lines(msgspec.json.decode(body, type=ReloadStatus))))
    if code != 200:
        raise typer.Exit(FAILURE)


def explain(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A service's name")],
    subnet: Annotated[str, typer.Option(metavar="PREFIX", help="The client, as in dig +subnet")] = "",
    qtype: Annotated[Family, typer.Option("--type", help="The family asked for")] = Family.A,
    admin: Admin = None,
    state: State = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show why a client gets the edge it gets."""
    import msgspec

    from gslb.cli.client import Server

    code, body = Server(admin, state, config).get("/v1/explain", name=name, subnet=subnet, type=qtype.value)
    if code != 200:
        raise GslbError(_detail(code, body))
    print(body.decode() if as_json else "\n".join(msgspec.json.decode(body)["lines"]))


def status(
    live: Annotated[bool, typer.Option("--live", help="Only whether it runs: exit 0 or 1")] = False,
    ready: Annotated[bool, typer.Option("--ready", help="Only whether it answers: exit 0 or 1")] = False,
    admin: Admin = None,
    state: State = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show what the server serves, how its last reload went, and how its workers are."""
    import msgspec

    from gslb.cli import FAILURE
    from gslb.cli.client import Server

    server = Server(admin, state, config)
    if live or ready:
        code, body = server.get("/livez" if live and not ready else "/readyz", with_token=False)
        print(body.decode().strip())
        raise typer.Exit(0 if code == 200 else FAILURE)
    code, body = server.get("/v1/status")
    if code != 200:
        raise GslbError(_detail(code, body))
    if as_json:
        print(body.decode())
        return

    from gslb.cli.show import status_lines
    from gslb.server.status import Status

    print("\n".join(status_lines(msgspec.json.decode(body, type=Status))))


def _detail(code: int, body: bytes) -> str:
    """What the server says is wrong."""
    import json

    try:
        detail = json.loads(body)["detail"]
    except (ValueError, KeyError, TypeError):
        detail = body.decode("utf-8", "replace").strip()
    if isinstance(detail, list):  # FastAPI's own findings about a request
        detail = "; ".join(f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in detail)
    return str(detail) or f"HTTP {code}"
