"""``gslb push``: one report of an edge from a script or by hand."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gslb.cli.remote import Admin, AsJson, State
from gslb.cli.serve import Config
from gslb.cli.units import rate_text
from gslb.errors import GslbError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gslb.health.state import Measurement
    from gslb.model.report import Report
    from gslb.store.interface import Outcome, Writer


class Health(StrEnum):
    """The verdicts on an edge or one of its families."""

    up = "up"
    down = "down"
    drain = "drain"


def push(
    edge: Annotated[str, typer.Argument(metavar="EDGE", help="The edge that is meant")],
    health: Annotated[
        Health | None, typer.Option("--health", help="A verdict on both families, obeyed at once")
    ] = None,
    health4: Annotated[Health | None, typer.Option("--health4", help="On IPv4 alone")] = None,
    health6: Annotated[Health | None, typer.Option("--health6", help="On IPv6 alone")] = None,
    load: Annotated[str | None, typer.Option(metavar="RATE", help="What it serves now, such as 3.1Gbps; or 0")] = None,
    capacity: Annotated[
        str | None, typer.Option(metavar="RATE", help="What it could serve; 0: as zones/edges.yaml says")
    ] = None,
    sessions: Annotated[str | None, typer.Option(metavar="N", help="Viewers at this moment")] = None,
    valid_for: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="How long it is to be believed, such as 60s; 0: stale_s + hold_s, the default"
        ),
    ] = None,
    store: Annotated[
        str | None, typer.Option(metavar="URL", help="Write to this store; default: the settings'")
    ] = None,
    admin: Admin = None,
    state: State = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Push a report of an edge: its health, load and capacity. What is not said stays as it was pushed last.

    It is written to a store, or where there is none to a server's admin port, by its report or its admin token.
    """
    import asyncio
    import json

    from gslb.health.report import mapping

    verdicts = {"health": health, "health4": health4, "health6": health6}
    texts = {"load": load, "capacity": capacity, "sessions": sessions, "valid-for": valid_for}
    measurement = _measurement(edge, verdicts, texts)
    url, token = _where(store, admin, state, config)
    report, outcome = asyncio.run(_pushed(url, token, edge, measurement))
    if not outcome.accepted:
        raise GslbError(outcome.reason)
    print(json.dumps(mapping(report)) if as_json else _line(report))


async def _pushed(url: str, token: str | None, edge: str, measurement: Measurement) -> tuple[Report, Outcome]:
    from gslb.store.opening import open_writer
    from gslb.store.pushing import push as push_once

    writer: Writer = open_writer(url, token)
    try:
        return await push_once(writer, edge, measurement)
    finally:
        await writer.close()


def _measurement(edge: str, verdicts: dict[str, Health | None], texts: dict[str, str | None]) -> Measurement:
    """What the options say. Raises `UsageError` with everything that is wrong with them."""
    import json

    from gslb.errors import UsageError
    from gslb.health.report import ReportError, read_json
    from gslb.health.state import Measurement
    from gslb.zone.nodes import Text
    from gslb.zone.scalars import rate, seconds, whole

    readers: dict[str, tuple[str, Callable[[Text], int]]] = {
        "load": ("load_bps", lambda text: 0 if text == "0" else rate(text)),
        "capacity": ("capacity_bps", lambda text: 0 if text == "0" else rate(text)),
        "sessions": ("sessions", whole(0, 2**53)),
        "valid-for": ("valid_ms", lambda text: 1000 * seconds(text)),
    }
    told: dict[str, object] = {key: verdict.value for key, verdict in verdicts.items() if verdict is not None}
    faults = []
    for option, text in texts.items():
        key, reader = readers[option]
        if text is not None:
            try:
                told[key] = reader(Text(text))
            except ValueError as error:
                faults.append(f"--{option}: {error}")
    if not told and not faults:
        faults.append(
            f"nothing is said of it; say at least one of {', '.join(f'--{each}' for each in verdicts | texts)}"
        )
    try:
        found = read_json(edge, json.dumps(told or {"sessions": 0}))
    except ReportError as error:
        options = {key: f"--{option}: " for option, (key, _) in readers.items()}
        faults += [f"{options.get(key, '')}{reason}" for key, reason in error.faults]
    if faults:
        raise UsageError("\n".join(faults))
    assert isinstance(found, Measurement)
    return found


def _where(store: str | None, admin: str | None, state: Path | None, config: Path | None) -> tuple[str, str | None]:
    """The URL to write to, and the token where it is an admin port's."""
    import os

    from gslb.cli.client import given_token
    from gslb.errors import UsageError
    from gslb.server.settings import load

    if store and admin:
        raise UsageError("--store and --admin: it is written to the one or to the other")
    settings, _ = load({"store": store, "admin": admin, "state": state}, os.environ, config)
    if not admin and not settings.store.startswith("memory:"):
        return settings.store, None
    if store:
        raise UsageError("--store: the embedded store is inside of a server; name its port by --admin")
    return f"http://{settings.admin}", given_token() or _token(settings.state)


def _token(state: Path) -> str:
    """The token for reports, which is good for nothing else, or the admin token, whichever may be read here."""
    reasons = []
    for name in ("report.token", "admin.token"):
        try:
            return (state / name).read_text("ascii").strip()
        except OSError as error:
            reasons.append(f"{state / name}: {error.strerror}")
        except UnicodeDecodeError:
            reasons.append(f"{state / name} holds other than ASCII characters")
    raise GslbError(f"no token can be read: {'; '.join(reasons)}; name --state, or set GSLB_ADMIN_TOKEN")


def _line(report: Report) -> str:
    """``fra-1: IPv4 up, IPv6 up, load 3.1 Gbps of 40 Gbps, headroom 100%, 12 sessions (epoch 0, seq 3)``."""
    parts = [f"IPv4 {report.health4}", f"IPv6 {report.health6}", f"load {rate_text(report.load_bps)}"]
    if report.capacity_bps:
        parts[-1] += f" of {rate_text(report.capacity_bps)}"
    if report.headroom_milli >= 0:
        parts.append(f"headroom {report.headroom_milli / 10:g}%")
    if report.sessions:
        parts.append(f"{report.sessions} sessions")
    if report.valid_ms:
        parts.append(f"valid for {report.valid_ms / 1000:g} s")
    return f"{report.edge}: {', '.join(parts)} (epoch {report.epoch}, seq {report.seq})"
