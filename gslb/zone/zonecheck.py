"""What must hold among the records and services of one zone: apex, CNAMEs, delegations, glue, targets."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gslb.errors import Findings
from gslb.model.names import ancestors, is_within, labels, to_text
from gslb.zone import rdata
from gslb.zone.master import Record
from gslb.zone.nodes import quote
from gslb.zone.records import Content, Gathered, Records
from gslb.zone.services import Named

CHAIN = 8
"""Links of a CNAME chain that are followed in one answer."""

_ADDRESSES = (rdata.A, rdata.AAAA)
_POINTING = {rdata.NS: "NS", rdata.MX: "MX", rdata.SRV: "SRV"}


@dataclass(frozen=True, slots=True)
class ZoneDraft:
    """A zone before its model is made. ``place`` is that of its ``zone`` key in ``path``."""

    path: str
    place: tuple[int, int]
    name: bytes
    records: Records
    services: Mapping[bytes, Named]

    @property
    def rrsets(self) -> Content:
        """The RRsets by owner and type."""
        return self.records.rrsets


def check_zone(zone: ZoneDraft, apexes: Mapping[bytes, str], findings: Findings) -> None:
    """Tell every fault of the zone; ``apexes`` are the names of all zones, with the path of each."""
    if rdata.NS not in zone.rrsets.get(zone.name, {}) and not zone.records.apex_partial:
        reason = f'zone {_text(zone.name)} has no NS record at its apex ("@")'
        findings.error(zone.path, *zone.place, reason)
    _services(zone, findings)
    _cnames(zone, findings)
    cuts = {owner for owner, types in zone.rrsets.items() if rdata.NS in types and owner != zone.name}
    glue = {target for cut in cuts for target in _targets(zone.rrsets[cut][rdata.NS])}
    below = {apex for apex in apexes if apex != zone.name and is_within(apex, zone.name)}
    for owner in zone.rrsets:
        _place(zone, owner, cuts, glue, below, apexes, findings)
    for name, service in zone.services.items():
        if (cut := _highest(name, cuts, zone.name)) is not None:
            reason = f"service {quote(service.key)} lies at or below the delegation {_text(cut)}"
            findings.error(zone.path, service.key.line, service.key.column, reason)
        elif (apex := _highest(name, below, zone.name)) is not None:
            reason = f"service {quote(service.key)} lies in the zone {_text(apex)} of {apexes[apex]}"
            findings.error(zone.path, service.key.line, service.key.column, reason)
    if not zone.records.partial:
        _pointers(zone, cuts, below, findings)


def check_targets(zones: Collection[ZoneDraft], findings: Findings) -> None:
    """What only all zones together show: pointers to a CNAME, circles and long chains of CNAMEs."""
    cnames: dict[bytes, Record] = {}
    for zone in zones:
        for owner, types in zone.rrsets.items():
            if rdata.CNAME in types:
                cnames.setdefault(owner, types[rdata.CNAME].first)
    for zone in zones:
        for types in zone.rrsets.values():
            for kind, name in _POINTING.items():
                for record in types[kind].by_rdata.values() if kind in types else ():
                    target = rdata.target(kind, record.rdata)
                    if target in cnames:
                        reason = f"{name}: {_text(target)} is a CNAME; a target must have addresses itself"
                        findings.warn(record.path, record.line, record.column, f"{reason} (RFC 2181 section 10.3)")
    _chains(cnames, findings)


def _services(zone: ZoneDraft, findings: Findings) -> None:
    for name, service in zone.services.items():
        key = service.key
        if not is_within(name, zone.name):
            reason = f"service {quote(key)} is outside the zone {_text(zone.name)}"
            findings.error(zone.path, key.line, key.column, reason)
        for kind in (rdata.A, rdata.AAAA, rdata.CNAME):
            if kind in zone.rrsets.get(name, {}):
                reason = f"service {quote(key)} shares its name with {rdata.type_text(kind)} records"
                findings.error(zone.path, key.line, key.column, reason)


def _cnames(zone: ZoneDraft, findings: Findings) -> None:
    for owner, types in zone.rrsets.items():
        if rdata.CNAME not in types:
            continue
        rrset = types[rdata.CNAME]
        for record in list(rrset.by_rdata.values())[1:]:
            _error(record, f"CNAME: {_text(owner)} has one on line {rrset.first.line} already", findings)
        others = sorted(rdata.type_text(kind) for kind in types if kind != rdata.CNAME)
        if owner == zone.name:
            others = sorted({*others, "SOA"})
        if others:
            _error(rrset.first, f"CNAME: {_text(owner)} has other data beside it: {', '.join(others)}", findings)


def _chains(cnames: Mapping[bytes, Record], findings: Findings) -> None:
    """Tell each circle once; warn once where a chain grows longer than is followed."""
    links: dict[bytes, int] = {}  # how many follow from each name; 0 within and before a circle
    for start in sorted(cnames):
        way: dict[bytes, None] = {}
        at = start
        while at in cnames and at not in links and at not in way:
            way[at] = None
            at = cnames[at].rdata.lower()
        if at in way:
            circle = list(way)[list(way).index(at) :]
            shown = " → ".join(to_text(name) for name in [*circle, at])
            _error(cnames[at], f"CNAME goes round in a circle: {shown}", findings)
            links.update(dict.fromkeys(way, 0))
            continue
        behind = links.get(at, 0) if at in cnames else 0
        endless = at in cnames and behind == 0
        for name in reversed(way):
            behind = 0 if endless else behind + 1
            links[name] = behind
            if behind == CHAIN + 1:
                first = cnames[name]
                reason = f"CNAME: {_text(name)} begins a chain of {behind}; only {CHAIN} are followed"
                findings.warn(first.path, first.line, first.column, reason)


def _place(
    zone: ZoneDraft,
    owner: bytes,
    cuts: set[bytes],
    glue: set[bytes],
    below: set[bytes],
    apexes: Mapping[bytes, str],
    findings: Findings,
) -> None:
    """Whether records may stand at ``owner``, seen from delegations and from zones below."""
    types = zone.rrsets[owner]
    if labels(owner)[:1] == (b"*",) and rdata.NS in types:
        _error(types[rdata.NS].first, f"NS: the wildcard {_text(owner)} cannot be delegated (RFC 4592)", findings)
    cut = _highest(owner, cuts, zone.name)
    apex = _highest(owner, below, zone.name)
    for kind, rrset in types.items():
        if kind == rdata.SOA and owner != zone.name:
            _error(rrset.first, f"SOA: {_text(owner)} is not the apex of this zone", findings)
        elif cut is not None:
            is_glue = kind in _ADDRESSES and owner in glue
            if owner == cut and kind not in (rdata.NS, rdata.DS) and not is_glue:
                reason = f"{rdata.type_text(kind)}: {_text(owner)} is delegated; only NS, DS and glue can stand there"
                _error(rrset.first, reason, findings)
            elif owner != cut and not is_glue:
                reason = (
                    f"{rdata.type_text(kind)}: {_text(owner)} lies below the delegation {_text(cut)} and is no glue"
                )
                _error(rrset.first, reason, findings)
        elif apex is not None:
            reason = f"{rdata.type_text(kind)}: {_text(owner)} lies in the zone {_text(apex)} of {apexes[apex]}"
            _error(rrset.first, reason, findings)
        elif kind == rdata.DS:
            _error(rrset.first, f"DS: {_text(owner)} is not a delegation; it has no NS", findings)


def _pointers(zone: ZoneDraft, cuts: set[bytes], below: set[bytes], findings: Findings) -> None:
    """Warn of targets in this zone that have no address: missing glue, misspelt names."""
    names = _names(zone)
    for owner, types in zone.rrsets.items():
        for kind in (*_POINTING, rdata.CNAME):
            for record in types[kind].by_rdata.values() if kind in types else ():
                target = rdata.target(kind, record.rdata)
                if target is None or target == b"\0" or not is_within(target, zone.name):
                    continue
                cut = _highest(target, cuts, zone.name)
                if cut is None and _highest(target, below, zone.name) is not None:
                    continue  # that zone's matter
                if cut is not None and not (kind == rdata.NS and is_within(target, owner)):
                    continue  # the delegated zone's matter, unless it is the glue of this very delegation
                if cut is not None and not _has(zone, target, _ADDRESSES):
                    reason = f"NS: {_text(target)} lies within the delegation and has no glue (A or AAAA)"
                elif cut is None and kind == rdata.CNAME and not _answers(zone, names, target, ()):
                    known = "has no records, only names below it," if target in names else "does not exist"
                    reason = f"CNAME: {_text(target)} {known} in this zone"
                elif (
                    cut is None
                    and kind != rdata.CNAME
                    and not _answers(zone, names, target, (*_ADDRESSES, rdata.CNAME))
                ):
                    reason = f"{_POINTING[kind]}: {_text(target)} has no address in this zone"
                else:
                    continue
                findings.warn(record.path, record.line, record.column, reason)


def _has(zone: ZoneDraft, name: bytes, kinds: Collection[int]) -> bool:
    types = zone.rrsets.get(name, {})
    return any(kind in types for kind in kinds) if kinds else bool(types)


def _names(zone: ZoneDraft) -> set[bytes]:
    """Every name that exists: owners, and the names above them, with or without records (RFC 4592 section 2.2.2)."""
    found = {zone.name}
    for owner in (*zone.rrsets, *zone.services):
        for name in ancestors(owner):
            if name in found:
                break
            found.add(name)
    return found


def _answers(zone: ZoneDraft, names: set[bytes], name: bytes, kinds: Collection[int]) -> bool:
    """Whether the name, or the wildcard that stands for it, is a service or has records (of one of ``kinds``)."""
    if name not in names:
        name = b"\x01*" + next(above for above in ancestors(name) if above in names)
    return name in zone.services or _has(zone, name, kinds)


def _highest(name: bytes, among: set[bytes], apex: bytes) -> bytes | None:
    """The one of ``among`` nearest to the apex that is ``name`` or above it, below the apex."""
    found = None
    if among:
        for each in ancestors(name):
            if each == apex:
                break
            if each in among:
                found = each
    return found


def _targets(rrset: Gathered) -> list[bytes]:
    return [target for each in rrset.rdatas if (target := rdata.target(rdata.NS, each)) is not None]


def _text(name: bytes | None) -> str:
    return quote(to_text(name or b"\0"))


def _error(record: Record, reason: str, findings: Findings) -> None:
    findings.error(record.path, record.line, record.column, reason)
