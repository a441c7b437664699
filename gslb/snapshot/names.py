"""From zones to the catalog's names: who exists, what each holds, where authority ends."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from gslb.model.intent import RRset, Service, Zone
from gslb.model.names import ancestors, is_within, labels, parent
from gslb.snapshot import layout
from gslb.wire import codes, message

_ADDRESS_TYPES = (codes.A, codes.AAAA)
BRIEF_TTL_S = 5
"""TTL of "no edge to give", the one negative answer that may heal by itself within seconds."""


class Blob:
    """The catalog's store of encoded records; equal runs of bytes are kept once."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._seen: dict[bytes, int] = {}

    def put(self, data: bytes) -> int:
        """Where ``data`` lies."""
        at = self._seen.get(data)
        if at is None:
            at = self._seen[data] = len(self._bytes)
            self._bytes += data
        return at

    def array(self) -> npt.NDArray[np.uint8]:
        """All of it."""
        return np.frombuffer(bytes(self._bytes), dtype=np.uint8)


@dataclass(slots=True)
class _Name:
    """One owner while the table is made; ``rrsets`` only what this server is the authority for (NS and DS at a cut)."""

    zone: int
    flags: int = 0
    rrsets: dict[int, RRset] = field(default_factory=dict)
    service: int = layout.NONE32
    parent_side: _Name | None = None
    row: int = 0


def build(zones: tuple[Zone, ...], service_rows: Mapping[bytes, int], blob: Blob) -> dict[str, npt.NDArray[Any]]:
    """The sections name, name_bytes, name_slot, rrset, glue and zone; records go into ``blob``.

    ``service_rows`` gives the row of each service by its name. Zones may lie within each other; names are distinct.
    """
    names: dict[bytes, _Name] = {}
    apexes = {zone.name for zone in zones}
    for number, zone in enumerate(zones):
        _collect(number, zone, apexes, names, service_rows)
    ordered = sorted(names, key=lambda name: (names[name].zone, labels(name)[::-1]))
    rows: list[tuple[bytes, _Name]] = [(name, names[name]) for name in ordered]
    rows += [(name, entry.parent_side) for name, entry in rows if entry.parent_side is not None]
    for row, (_, entry) in enumerate(rows):
        entry.row = row

    name_bytes = Blob()
    table = np.zeros(len(rows), dtype=layout.NAME)
    rrsets: list[tuple[int, int, int, int, int, int]] = []
    glue: list[tuple[int, int, int, int, int]] = []
    addresses = [_addresses(zone) for zone in zones]
    for row, (name, entry) in enumerate(rows):
        wildcard = names.get(b"\x01*" + name)
        table[row] = (
            name_bytes.put(name),
            entry.zone,
            len(name),
            entry.flags,
            len(rrsets),
            len(entry.rrsets),
            0,
            entry.service,
            wildcard.row if wildcard is not None and wildcard.zone == entry.zone else layout.NONE32,
            entry.parent_side.row if entry.parent_side is not None else layout.NONE32,
        )
        for rtype, rrset in sorted(entry.rrsets.items()):
            data = encode(rrset)
            first = len(glue)
            if rtype == codes.NS and entry.flags & layout.NAME_CUT:
                glue += _glue(rrset, addresses[entry.zone], name_bytes, blob)
            rrsets.append((rtype, len(rrset.rdatas), blob.put(data), len(data), first, len(glue) - first))

    return {
        "name": table,
        "name_bytes": name_bytes.array(),
        "name_slot": _slots([(name, names[name].row) for name in ordered]),
        "rrset": np.array(rrsets, dtype=layout.RRSET),
        "glue": np.array(glue, dtype=layout.GLUE),
        "zone": np.array([_zone(zone, names[zone.name].row, blob) for zone in zones], dtype=layout.ZONE),
    }


def encode(rrset: RRset) -> bytes:
    """The records of a set in the stored form, one after the other."""
    return b"".join(message.rr(rrset.rtype, rrset.ttl_s, rdata) for rdata in rrset.rdatas)


def slot_of(name: bytes, mask: int) -> int:
    """Where the search for a lower-case wire name begins; on a clash it goes on to the next slot."""
    return zlib.crc32(name) & mask


def _collect(
    number: int, zone: Zone, apexes: set[bytes], names: dict[bytes, _Name], service_rows: Mapping[bytes, int]
) -> None:
    """Add a zone's authoritative names to ``names``: cuts end it, and so does another zone of ours below it."""
    owners: dict[bytes, dict[int, RRset]] = {zone.name: {codes.SOA: zone.soa}}
    for rrset in zone.rrsets:
        owners.setdefault(rrset.owner, {})[rrset.rtype] = rrset
    services: dict[bytes, Service] = {service.name: service for service in zone.services}
    cuts = {owner for owner, held in owners.items() if codes.NS in held and owner != zone.name}
    inner = {apex for apex in apexes if apex != zone.name and is_within(apex, zone.name)}
    ends = cuts | inner

    def at_or_above(name: bytes) -> bytes | None:
        """The topmost end of authority that ``name`` lies at or below."""
        found = None
        for ancestor in ancestors(name):
            if ancestor == zone.name:
                break
            if ancestor in ends:
                found = ancestor
        return found

    def place(name: bytes, entry: _Name) -> None:
        if name in inner:
            _inner_apex(names, name).parent_side = entry
        else:
            names[name] = _merged(names.get(name), entry)

    for owner in owners.keys() | services.keys() | inner:
        end = at_or_above(owner)
        if end is not None and end != owner:
            continue
        held = owners.get(owner, {})
        entry = _Name(zone=number, rrsets=dict(held))
        if owner == zone.name:
            entry.flags |= layout.NAME_APEX
        elif owner in ends:
            entry.rrsets = {rtype: rrset for rtype, rrset in held.items() if rtype in (codes.NS, codes.DS)}
            entry.flags |= layout.NAME_CUT if owner in cuts else 0
        elif codes.CNAME in held:
            entry.flags |= layout.NAME_CNAME
        if owner in services and owner not in ends:
            entry.service = service_rows[owner]
        place(owner, entry)
        above = owner
        while above != zone.name:
            above = parent(above)
            if above not in owners and above not in services:
                names.setdefault(above, _Name(zone=number))


def _inner_apex(names: dict[bytes, _Name], name: bytes) -> _Name:
    """The entry of an apex that lies within another zone, made ahead of its own zone's turn if need be."""
    return names.setdefault(name, _Name(zone=-1))


def _merged(old: _Name | None, new: _Name) -> _Name:
    """``new``, keeping the parent's side that was noted before its zone's turn came."""
    if old is not None:
        new.parent_side = old.parent_side
    return new


def _addresses(zone: Zone) -> dict[bytes, list[RRset]]:
    """Every address set of a zone by owner, those below cuts included: what glue is made of."""
    found: dict[bytes, list[RRset]] = {}
    for rrset in zone.rrsets:
        if rrset.rtype in _ADDRESS_TYPES:
            found.setdefault(rrset.owner, []).append(rrset)
    return found


def _glue(
    ns: RRset, addresses: Mapping[bytes, list[RRset]], name_bytes: Blob, blob: Blob
) -> Iterable[tuple[int, int, int, int, int]]:
    for target in ns.rdatas:
        for rrset in sorted(addresses.get(target.lower(), ()), key=lambda each: each.rtype):
            data = encode(rrset)
            yield name_bytes.put(target), len(target), blob.put(data), len(data), len(rrset.rdatas)


def _zone(zone: Zone, apex: int, blob: Blob) -> tuple[int, int, int, int]:
    rdata = zone.soa.rdatas[0]
    negative = message.negative_soa(zone.soa.ttl_s, zone.negative_ttl_s, rdata)
    brief = message.negative_soa(zone.soa.ttl_s, min(zone.negative_ttl_s, BRIEF_TTL_S), rdata)
    return apex, blob.put(negative), len(negative), blob.put(brief)


def _slots(names: list[tuple[bytes, int]]) -> npt.NDArray[np.uint32]:
    """The open-addressing table, at most a quarter full: nearly every search ends where it begins."""
    size = 8
    while size < 4 * len(names):
        size *= 2
    slots = [0] * size
    for name, row in names:
        at = slot_of(name, size - 1)
        while slots[at]:
            at = (at + 1) & (size - 1)
        slots[at] = row + 1
    return np.array(slots, dtype=np.uint32)
