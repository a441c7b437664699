"""Records of the query log as people ask for them, and as they are shown."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import typer

from gslb.cli.units import past_ms
from gslb.geo.address import format_prefix
from gslb.server.cells import QTYPES, RCODES
from gslb.store.querylog import Wanted

_BITS: Final = {4: 32, 6: 64}
_MASK: Final = (1 << 64) - 1


def wanted(
    service: Sequence[str] | None,
    edge: Sequence[str] | None,
    view: Sequence[str] | None,
    client: str | None,
    resolver: str | None,
    rcode: Sequence[str] | None,
    qtype: Sequence[str] | None,
    server: Sequence[str] | None,
    plan: Sequence[str] | None,
) -> Wanted:
    """What the flags ask for. Raises `typer.BadParameter`."""
    equal: dict[str, Sequence[Any]] = {}
    if service:
        equal["service"] = [_name(each) for each in service]
    for column, values in (("edge", edge), ("server", server), ("plan", plan)):
        if values:
            equal[column] = list(values)
    if rcode:
        equal["rcode"] = [_number("--rcode", each, RCODES) for each in rcode]
    if qtype:
        equal["qtype"] = [_number("--qtype", each, QTYPES) for each in qtype]
    for pattern in view or ():
        if pattern.count("|") > 2:
            raise typer.BadParameter(f"--view: {pattern!r} is not country|region|isp")
    networks = {"client": client, "resolver": resolver}
    within = {name: _network(f"--{name}", text) for name, text in networks.items() if text is not None}
    return Wanted(equal=equal, within=within, views=list(view or ()))


def time_us(flag: str, text: str | None, clock_ms: int, otherwise: int) -> int:
    """A time that a flag gives, in µs since 1970. Raises `typer.BadParameter`."""
    if text is None:
        return otherwise
    try:
        return 1000 * past_ms(text, clock_ms)
    except ValueError as error:
        raise typer.BadParameter(f"{flag}: {error}") from None


def show(row: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a record, a line."""
    if as_json:
        print(json.dumps(as_data(row), ensure_ascii=False))
    else:
        print(line(row))


def as_data(row: Mapping[str, Any]) -> dict[str, Any]:
    """A record with its time and networks as texts, an absent network as null."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        side, _, part = name.rpartition("_")
        if side not in ("client", "resolver"):
            found[name] = _time_text(value) if isinstance(value, datetime) else value
        elif part == "family":
            found[side] = _network_text(row, side)
    return found


def line(row: Mapping[str, Any]) -> str:
    """A record for people: when, who, what, and why."""
    rcode = RCODES.get(row["rcode"], f"RCODE{row['rcode']}")
    qtype = QTYPES.get(row["qtype"], f"TYPE{row['qtype']}")
    parts = [_time_text(row["time"]), row["server"], str(row["seq"]), row["service"] or "-", qtype, rcode]
    if row["edge"]:
        parts += [row["edge"], f"level {row['level']}"]
    if row["service"]:
        client = _network_text(row, "client")
        parts += [f"ttl {row['ttl_s']}", f"client {client} scope /{row['scope']}" if client else "no client"]
        parts.append(f"view {row['view']}")
    parts.append(f"resolver {_network_text(row, 'resolver')}")
    parts += [f"plan {row['plan']}"] if row["plan"] else []
    parts += [f"stands for {row['weight']}"] if row["weight"] != 1 else []
    return " ".join(parts)


def _network_text(row: Mapping[str, Any], side: str) -> str | None:
    family = row[f"{side}_family"]
    if not family:
        return None
    return format_prefix(_BITS[family], row[f"{side}_net"] & _MASK, row[f"{side}_len"])


def _time_text(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S.%f}Z"


def _name(text: str) -> str:
    """A service as the log has it."""
    return text.lower() if text.endswith(".") or not text else f"{text.lower()}."


def _number(flag: str, text: str, names: Mapping[int, str]) -> int:
    if text.isascii() and text.isdigit() and int(text) <= 0xFFFF:
        return int(text)
    for number, name in names.items():
        if name == text.upper():
            return number
    raise typer.BadParameter(f"{flag}: {text!r} is neither a number nor one of {', '.join(names.values())}")


def _network(flag: str, text: str) -> tuple[int, int, int]:
    """Family, net as the log has it, length. Raises `typer.BadParameter`."""
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise typer.BadParameter(f"{flag}: {text!r} is neither an address nor a prefix") from None
    if found.version == 4:
        return 4, int(found.network_address), found.prefixlen
    net = int(found.network_address) >> 64
    return 6, net - (1 << 64 if net >> 63 else 0), min(found.prefixlen, 64)
