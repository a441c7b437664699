"""edges.yaml and isps.yaml as read → what operators own: edges, ISPs, and the rules that hold for all edges."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gslb.errors import Findings
from gslb.model.geography import CONTINENT_OF
from gslb.model.inventory import ANY_ISP, Edge, HealthRules, Isp, Location, RateLimit
from gslb.zone.models import EdgeModel, EdgesModel, IspsModel
from gslb.zone.nodes import Text, quote
from gslb.zone.reading import Reading
from gslb.zone.scalars import did_you_mean

MAX_EDGES = 65535


@dataclass(frozen=True, slots=True)
class IspBook:
    """The ISPs by name, and which of them claims an AS number. ``known`` is False where isps.yaml could not be read."""

    isps: tuple[Isp, ...]
    names: frozenset[str]
    by_asn: Mapping[int, str]
    known: bool


def isp_book(reading: Reading[IspsModel] | None, findings: Findings) -> IspBook:
    """The ISPs of isps.yaml, sorted by name; no file is no ISPs."""
    if reading is None:
        return IspBook((), frozenset(), {}, True)
    path = reading.document.path
    by_asn: dict[int, str] = {}
    by_text: dict[str, str] = {}
    isps = []
    for name, model in reading.model.isps.items():
        place = reading.document.key_place("isps", name)
        if name == ANY_ISP or re.fullmatch(r"[Aa][Ss]\d+", name):
            findings.error(path, *place, f"{quote(name)} cannot name an ISP: it means something by itself")
        if not model.asns and not model.names and not reading.faulty("isps", name):
            findings.error(path, *place, f"ISP {quote(name)} has neither asns nor names")
        for index, asn in enumerate(model.asns):
            if by_asn.setdefault(asn, name) != name:
                place = reading.document.place("isps", name, "asns", index)
                findings.error(path, *place, f"asns: AS{asn} belongs to ISP {quote(by_asn[asn])} already")
        for text in model.names:
            if by_text.setdefault(text.lower(), name) != name:
                at = (text.line, text.column) if isinstance(text, Text) else place
                findings.error(path, *at, f"names: {quote(text)} belongs to ISP {quote(by_text[text.lower()])} already")
        isps.append(Isp(str(name), model.asns, tuple(str(text) for text in model.names)))
    isps.sort(key=lambda isp: isp.name)
    names = frozenset(str(name) for name in reading.written("isps"))
    return IspBook(tuple(isps), names, by_asn, not reading.document.broken)


def edges(reading: Reading[EdgesModel], book: IspBook, findings: Findings) -> tuple[Edge, ...]:
    """The edges, sorted by name. An AS number that an ISP of isps.yaml claims becomes that ISP's name."""
    path = reading.document.path
    made = []
    owners: dict[bytes, str] = {}
    for name, model in reading.model.edges.items():
        place = reading.document.key_place("edges", name)
        addresses = model.addresses.v4 + model.addresses.v6
        if not addresses and not reading.faulty("edges", name, "addresses"):
            findings.error(path, *place, f"edge {quote(name)} has no address: v4, v6 or both are required")
        for address in addresses:
            if owners.setdefault(address, name) != name:
                findings.warn(path, *place, f"edge {quote(name)} shares an address with edge {quote(owners[address])}")
        made.append(_edge(str(name), model, _isps(path, model, book, findings)))
    if len(made) > MAX_EDGES:
        findings.error(path, *reading.document.key_place("edges"), f"{len(made)} edges; at most {MAX_EDGES} fit")
    return tuple(sorted(made, key=lambda edge: edge.id))


def health_rules(model: EdgesModel) -> HealthRules:
    """The rules under ``health:``."""
    rules = model.health
    return HealthRules(
        stale_s=rules.stale_s,
        hold_s=rules.hold_s,
        changing_s=rules.changing_s,
        silence_share=rules.silence_share,
        silence_edges=rules.silence_edges,
        slow_start_s=rules.slow_start_s,
    )


def rate_limit(model: EdgesModel) -> RateLimit | None:
    """The rules under ``rrl:``; None where there are none."""
    rules = model.rrl
    return RateLimit(rules.per_second, rules.slip, rules.window_s, rules.allow) if rules is not None else None


def _edge(name: str, model: EdgeModel, isps: tuple[str, ...]) -> Edge:
    place = model.location
    location = Location("", "", 0.0, 0.0, "")  # of an edge whose location is faulty
    if place is not None:
        location = Location(place.country, place.region, place.lat, place.lon, CONTINENT_OF[place.country])
    capacity = model.capacity
    return Edge(
        id=name,
        pop=str(model.pop),
        v4=model.addresses.v4,
        v6=model.addresses.v6,
        location=location,
        isps=isps,
        capacity_bps=(capacity.bps if capacity is not None else None) or 0,
        capacity_sessions=capacity.sessions if capacity is not None else None,
        fence=model.fence,
    )


def _isps(path: str, model: EdgeModel, book: IspBook, findings: Findings) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for text in model.isps:
        name = str(text)
        if re.fullmatch(r"AS\d+", name):
            name = book.by_asn.get(int(name[2:]), name)
        elif name != ANY_ISP and name not in book.names and book.known and isinstance(text, Text):
            hint = did_you_mean(name, sorted(book.names)) or "; ISPs are names of isps.yaml, AS<number>, or any"
            findings.error(path, text.line, text.column, f"isps: unknown ISP {quote(name)}{hint}")
        found[name] = None
    return tuple(found)
