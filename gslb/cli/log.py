"""``gslb log``: what was asked and answered, from the query log that servers write."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # imported by the verb that needs it
    from gslb.store.querylog import Wanted

log = typer.Typer(
    no_args_is_help=True,
    help="Show the query log that `gslb serve --query-log-dir` writes; needs gslb\\[log].",
)

Folder = Annotated[
    Path,
    typer.Option("--log", metavar="DIR", envvar=["GSLB_LOG", "GSLB_QUERY_LOG_DIR"], help="Where it is"),
]
Service = Annotated[list[str] | None, typer.Option(metavar="NAME", help="Of this service; repeatable, as are the next")]
Edge = Annotated[list[str] | None, typer.Option(metavar="EDGE", help="Answered with this edge first")]
View = Annotated[list[str] | None, typer.Option(metavar="VIEW", help="country|region|isp, empty parts: any; CN||")]
Client = Annotated[str | None, typer.Option(metavar="NET", help="From client subnets within this network")]
Resolver = Annotated[str | None, typer.Option(metavar="NET", help="From resolvers within this network")]
Rcode = Annotated[list[str] | None, typer.Option(metavar="RCODE", help="NXDOMAIN, or its number")]
Qtype = Annotated[list[str] | None, typer.Option(metavar="TYPE", help="AAAA, or its number")]
Server = Annotated[list[str] | None, typer.Option(metavar="ID", help="Written by this server")]
Plan = Annotated[list[str] | None, typer.Option(metavar="VERSION", help="Decided by this plan; '' for none")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, an object a line")]

LOOK_S = 1.0
"""Between two looks for new segments."""


@log.command("tail")
def tail(
    folder: Folder = Path("log"),
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written next")] = False,
    count: Annotated[int, typer.Option("-n", metavar="N", min=0, max=100_000, help="The last so many records")] = 10,
    service: Service = None,
    edge: Edge = None,
    view: View = None,
    client: Client = None,
    resolver: Resolver = None,
    rcode: Rcode = None,
    qtype: Qtype = None,
    server: Server = None,
    plan: Plan = None,
    as_json: AsJson = False,
) -> None:
    """Show the last records that were written; a server writes them some seconds after it answered."""
    import contextlib
    import sys

    from gslb.cli.show_log import show, wanted
    from gslb.store import querylog

    asked = wanted(service, edge, view, client, resolver, rcode, qtype, server, plan)
    names = querylog.names(folder)
    for row in querylog.last(folder, count, asked, names):
        show(row, as_json=as_json)
    seen = set(names)
    with contextlib.suppress(KeyboardInterrupt):
        while follow:
            sys.stdout.flush()  # a pipe keeps lines back
            time.sleep(LOOK_S)
            names = querylog.names(folder)
            new = {name: written for name, written in names.items() if name not in seen}
            _all(folder, new, asked, as_json=as_json)
            seen = set(names)


@log.command("query")
def query(
    folder: Folder = Path("log"),
    from_: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Records of this time and later; default: all")
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="TIME", help="Records before this time; default: all")] = None,
    service: Service = None,
    edge: Edge = None,
    view: View = None,
    client: Client = None,
    resolver: Resolver = None,
    rcode: Rcode = None,
    qtype: Qtype = None,
    server: Server = None,
    plan: Plan = None,
    as_json: AsJson = False,
) -> None:
    """Show the records of a span of time, segment by segment. Times are as 14:30 (UTC, the last one), -10m or
    2026-11-24T14:30:00Z."""
    from gslb.cli.show_log import time_us, wanted
    from gslb.store import querylog

    asked = wanted(service, edge, view, client, resolver, rcode, qtype, server, plan)
    clock_ms = time.time_ns() // 1_000_000
    asked = asked._replace(
        from_us=time_us("--from", from_, clock_ms, asked.from_us),
        until_us=time_us("--to", to, clock_ms, asked.until_us),
    )
    _all(folder, querylog.names(folder), asked, as_json=as_json)


def _all(folder: Path, names: Mapping[str, int], asked: Wanted, *, as_json: bool) -> None:
    from gslb.cli.show_log import show
    from gslb.store import querylog

    for segment in querylog.segments(folder, names, asked.from_us, asked.until_us):
        for rows in querylog.rows(segment, asked):
            for row in rows:
                show(row, as_json=as_json)
