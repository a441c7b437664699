"""A checked draft → `gslb.model.intent.Zone`: the SOA record, its serial, and everything in a fixed order."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping

from gslb.errors import Findings
from gslb.model.intent import RRset, Service, Zone
from gslb.zone import names, rdata
from gslb.zone.models import ZoneModel
from gslb.zone.nodes import Text, quote
from gslb.zone.reading import Reading
from gslb.zone.zonecheck import ZoneDraft

_TIMES = struct.Struct("!IIIII")


def make(reading: Reading[ZoneModel], draft: ZoneDraft, services: Mapping[bytes, Service], findings: Findings) -> Zone:
    """The zone; what is wrong about its SOA is told. RRsets are sorted by owner and type, services by name."""
    ordered = tuple(services[name] for name in sorted(services))
    rrsets = tuple(
        RRset(owner, kind, types[kind].first.ttl_s, types[kind].rdatas)
        for owner, types in sorted(draft.rrsets.items())
        for kind in sorted(types)
        if (owner, kind) != (draft.name, rdata.SOA)
    )
    soa = _soa(reading, draft, rrsets, ordered, findings)
    negative_ttl_s = int.from_bytes(soa.rdatas[0][-4:], "big")
    return Zone(draft.name, draft.path, soa, negative_ttl_s, rrsets, ordered)


def serial_of(name: bytes, soa: tuple[object, ...], rrsets: tuple[RRset, ...], services: tuple[Service, ...]) -> int:
    """A serial from the content of a zone, 1 to 2^32 - 1: equal where the content is; it does not count upwards."""
    text = repr((name, soa, [(r.owner, r.rtype, r.ttl_s, sorted(r.rdatas)) for r in rrsets], services))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") or 1


def _soa(
    reading: Reading[ZoneModel],
    draft: ZoneDraft,
    rrsets: tuple[RRset, ...],
    services: tuple[Service, ...],
    findings: Findings,
) -> RRset:
    written = draft.rrsets.get(draft.name, {}).get(rdata.SOA)
    if written is not None:
        for record in list(written.by_rdata.values())[1:]:
            reason = f"SOA: the zone has one on line {written.first.line} already"
            findings.error(record.path, record.line, record.column, reason)
        if "soa" in reading.document.root:
            reason = "SOA: the zone has one under soa: already"
            findings.error(written.first.path, written.first.line, written.first.column, reason)
        return RRset(draft.name, rdata.SOA, written.first.ttl_s, written.rdatas[:1])
    model = reading.model.soa
    mname = _name("mname", model.mname, _first_ns(rrsets, draft.name), draft, findings)
    rname = _name("rname", model.rname, names.wire("hostmaster", draft.name), draft, findings)
    times = (model.refresh, model.retry, model.expire, model.negative_ttl)
    serial = model.serial
    if serial is None:
        serial = serial_of(draft.name, (mname, rname, times), rrsets, services)
    ttl_s = model.ttl if model.ttl is not None else reading.model.ttl
    return RRset(draft.name, rdata.SOA, ttl_s, (mname + rname + _TIMES.pack(serial, *times),))


def _first_ns(rrsets: tuple[RRset, ...], apex: bytes) -> bytes:
    found = next((rrset.rdatas[0] for rrset in rrsets if rrset.owner == apex and rrset.rtype == rdata.NS), None)
    return found if found is not None else apex


def _name(key: str, text: str | None, otherwise: bytes, draft: ZoneDraft, findings: Findings) -> bytes:
    if text is None:
        return otherwise
    reason = ""
    if "@" in text and text != "@":
        local, _, host = text.partition("@")
        local = local.replace(".", "\\.")
        reason = f'{quote(text)} is a mail address; as a name it is "{local}.{host}."'
    else:
        try:
            return names.wire(text, draft.name)
        except ValueError as error:
            reason = str(error)
    if isinstance(text, Text):
        findings.error(draft.path, text.line, text.column, f"{key}: {reason}")
    return otherwise
