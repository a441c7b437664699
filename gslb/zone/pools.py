"""Pools, and what pools, services and edges must know of each other."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from gslb.errors import Findings
from gslb.model.intent import Pool, Service
from gslb.model.inventory import Edge
from gslb.zone.models import EdgesModel, ZoneModel
from gslb.zone.nodes import Text, quote
from gslb.zone.reading import Reading
from gslb.zone.scalars import did_you_mean


@dataclass(frozen=True, slots=True)
class Placed:
    """A pool and where it is written; ``faulty``: part of it was left out."""

    pool: Pool
    path: str
    line: int
    column: int
    faulty: bool


def gather(
    readings: Sequence[Reading[ZoneModel]], inventory: Reading[EdgesModel] | None, findings: Findings
) -> dict[str, Placed]:
    """The pools of all zones by name; unknown edges, and a name that two files use, are told."""
    edges = set(inventory.written("edges")) if inventory is not None else set()
    sure = inventory is not None and not inventory.lost("edges")
    pools: dict[str, Placed] = {}
    for reading in readings:
        path = reading.document.path
        for name, weights in reading.model.pools.items():
            line, column = reading.document.key_place("pools", name)
            if name in pools:
                first = pools[name]
                reason = f"pool {quote(name)} stands in {first.path}:{first.line} already; names of pools are global"
                findings.error(path, line, column, reason)
                continue
            if not weights and not reading.faulty("pools", name):
                findings.error(path, line, column, f"pool {quote(name)} has no edges")
            for edge in weights:
                if sure and edge not in edges:
                    place = reading.document.key_place("pools", name, edge)
                    reason = f"pools: unknown edge {quote(edge)}{did_you_mean(edge, edges)}"
                    findings.error(path, *place, reason)
            members = tuple((str(edge), weight) for edge, weight in weights.items())
            pools[str(name)] = Placed(Pool(str(name), members), path, line, column, reading.faulty("pools", name))
    return pools


def check_references(readings: Sequence[Reading[ZoneModel]], findings: Findings) -> None:
    """Tell each ``pool`` of a service, or of ``defaults``, that names no pool of any zone."""
    if any(reading.lost("pools") for reading in readings):
        return
    known = {name for reading in readings for name in reading.written("pools")}
    for reading in readings:
        for model in (reading.model.defaults, *reading.model.services.values()):
            text = model.pool
            if isinstance(text, Text) and text not in known:
                reason = f"pool: unknown pool {quote(text)}{did_you_mean(text, sorted(known))}"
                findings.error(reading.document.path, text.line, text.column, reason)


def warn(
    readings: Sequence[Reading[ZoneModel]],
    pools: Mapping[str, Placed],
    edges: Sequence[Edge],
    services: Collection[Service],
    inventory: Reading[EdgesModel],
    findings: Findings,
) -> None:
    """What is sound but hardly meant: edges in no pool, pools that cannot answer a family or a country."""
    by_id = {edge.id: edge for edge in edges}
    used = {edge for each in readings for pool in each.written("pools") for edge in each.written("pools", pool)}
    for edge in edges:
        if edge.id not in used:
            place = inventory.document.key_place("edges", edge.id)
            findings.warn(inventory.document.path, *place, f"edge {quote(edge.id)} is in no pool")
    users: dict[str, list[Service]] = {}
    for service in services:
        users.setdefault(service.pool, []).append(service)
    for name, placed in pools.items():
        if name not in users:
            _warn(placed, "no service uses it", findings)
            continue
        members = [by_id[edge] for edge, weight in placed.pool.weights if weight and edge in by_id]
        if placed.faulty or any(inventory.faulty("edges", edge) for edge, _ in placed.pool.weights):
            continue
        if not members:
            if placed.pool.weights:  # else it is told as having no edges
                _warn(placed, "every weight is 0; it serves nobody", findings)
            continue
        fenced: dict[tuple[str, ...], list[str]] = {}
        for family, record, able, covered in (
            ("IPv4", "A", [e for e in members if e.v4], all(service.fallback_v4 for service in users[name])),
            ("IPv6", "AAAA", [e for e in members if e.v6], all(service.fallback_v6 for service in users[name])),
        ):
            if not able:
                _warn(placed, f"no edge has an {family} address; {record} queries get none", findings)
            elif all(edge.fence for edge in able) and not covered:
                countries = tuple(sorted({country for edge in able for country in edge.fence}))
                fenced.setdefault(countries, []).append(family)
        for countries, families in fenced.items():
            reason = (
                f"every edge is fenced; clients outside {', '.join(countries)} get no {' or '.join(families)} address"
            )
            _warn(placed, reason, findings)


def _warn(placed: Placed, reason: str, findings: Findings) -> None:
    findings.warn(placed.path, placed.line, placed.column, f"pool {quote(placed.pool.name)}: {reason}")
