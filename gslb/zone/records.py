"""A zone's static records, from its YAML and the master files it includes, gathered into RRsets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from gslb.errors import Findings
from gslb.model.names import is_within, to_text
from gslb.zone import master, names, rdata
from gslb.zone.master import Record
from gslb.zone.models import ZoneModel
from gslb.zone.nodes import Keys, Text, quote
from gslb.zone.reading import Reading

MAX_RRSET_BYTES = 62000
"""A whole RRset must fit into one message over TCP, 65535 bytes. Beside it stand header and question (up to 271 bytes),
the CNAMEs that lead to it (8 of up to 267 bytes), and OPT with its options, for which about 1100 are left."""


@dataclass(slots=True)
class Gathered:
    """The records of one owner and type by their rdata, in their order; the TTL is that of the first."""

    first: Record
    by_rdata: dict[bytes, Record]

    @property
    def rdatas(self) -> tuple[bytes, ...]:
        """The rdata of each."""
        return tuple(self.by_rdata)


Content = dict[bytes, dict[int, Gathered]]
"""RRsets by owner and type."""


@dataclass(slots=True)
class Records:
    """All static records of a zone. ``partial``: faults may hide some; ``apex_partial``: of those of the apex."""

    rrsets: Content = field(default_factory=dict)
    partial: bool = False
    apex_partial: bool = False


def gather(
    reading: Reading[ZoneModel], origin: bytes, files: Mapping[str, bytes], findings: Findings
) -> tuple[Records, set[str]]:
    """The records of a zone named ``origin``, and the paths of the files it includes.

    ``files`` is content by path; included files lie beside the YAML or below it.
    """
    gathered = Records(partial=reading.faulty("records") or reading.faulty("include"))
    gathered.apex_partial = reading.faulty("records", "@") or reading.lost("records") or reading.faulty("include")
    faults_before = len(findings.errors)
    for record in _included(reading, origin, files, findings):
        _add(gathered.rrsets, record, origin, findings)
    if len(findings.errors) > faults_before:
        gathered.partial = gathered.apex_partial = True
    for record in _written(reading, origin, findings, gathered):
        _add(gathered.rrsets, record, origin, findings)
    for owner, types in gathered.rrsets.items():
        for kind, rrset in types.items():
            size = sum(12 + len(encoded) for encoded in rrset.by_rdata)
            if size > MAX_RRSET_BYTES:
                _at(rrset.first, f"{_shown(owner, kind)}: {size} bytes in all, at most {MAX_RRSET_BYTES}", findings)
    return gathered, set(_paths(reading))


def _paths(reading: Reading[ZoneModel]) -> list[str]:
    return [str(PurePosixPath(reading.document.path).parent / name) for name in reading.model.include]


def _included(
    reading: Reading[ZoneModel], origin: bytes, files: Mapping[str, bytes], findings: Findings
) -> Iterator[Record]:
    for name, path in zip(reading.model.include, _paths(reading), strict=True):
        place = (name.line, name.column) if isinstance(name, Text) else (0, 0)
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts:
            reason = f"include: {quote(name)} is not a file beside this one or in a folder below"
            findings.error(reading.document.path, *place, reason)
        elif name.endswith((".yaml", ".yml")):
            findings.error(reading.document.path, *place, f"include: {quote(name)} is YAML, not a master file")
        elif path not in files:
            findings.error(reading.document.path, *place, f"include: there is no file {quote(name)} beside this one")
        else:
            yield from master.read(path, files[path], origin, reading.model.ttl, findings)


def _written(reading: Reading[ZoneModel], origin: bytes, findings: Findings, gathered: Records) -> Iterator[Record]:
    path = reading.document.path
    section = reading.document.root.get("records")
    for owner_text, types in reading.model.records.items():
        assert isinstance(section, Keys)
        key = section.written[owner_text]
        try:
            owner = names.owner(key, origin)
        except ValueError as error:
            findings.error(path, key.line, key.column, f"records: {error}")
            owner = None
        for type_name, model in types.items():
            type_key = section[owner_text].written[type_name]
            before = len(findings.errors)
            lost = ("records", owner_text, type_name, "data") in reading.faults  # a placeholder stands there
            ttl_s = model.ttl if model.ttl is not None else reading.model.ttl
            yield from _rrset(path, owner, type_key, () if lost else model.data, origin, ttl_s, findings)
            if len(findings.errors) > before:
                gathered.partial = True
                gathered.apex_partial = gathered.apex_partial or owner == origin


def _rrset(
    path: str, owner: bytes | None, type_key: Text, data: Iterable[str], origin: bytes, ttl_s: int, findings: Findings
) -> Iterator[Record]:
    try:
        kind = rdata.rtype(type_key)
    except ValueError as error:
        findings.error(path, type_key.line, type_key.column, f"records: {error}")
        return
    for text in data:
        place = (text.line, text.column) if isinstance(text, Text) else (type_key.line, type_key.column)
        try:
            encoded = rdata.wire(kind, text, origin)
        except ValueError as error:
            findings.error(path, *place, f"{type_key}: {error}")
            continue
        if owner is not None:
            yield Record(path, *place, owner, kind, ttl_s, encoded, text)


def _add(into: Content, record: Record, origin: bytes, findings: Findings) -> None:
    if not is_within(record.owner, origin):
        reason = f"{quote(to_text(record.owner))} is outside the zone {quote(to_text(origin))}"
        _at(record, reason, findings)
        return
    types = into.setdefault(record.owner, {})
    rrset = types.get(record.rtype)
    if rrset is None:
        types[record.rtype] = Gathered(record, {record.rdata: record})
        return
    first = rrset.first
    if record.ttl_s != first.ttl_s:
        shown = _shown(record.owner, record.rtype)
        reason = (
            f"{shown}: TTL {record.ttl_s} differs from {first.ttl_s} on {_where(first, record)} (RFC 2181 section 5.2)"
        )
        _at(record, reason, findings)
    other = rrset.by_rdata.setdefault(record.rdata, record)
    if other is not record:
        reason = (
            f"{_shown(record.owner, record.rtype)}: {quote(record.text)} stands twice, first on {_where(other, record)}"
        )
        findings.warn(record.path, record.line, record.column, reason)


def _shown(owner: bytes, kind: int) -> str:
    return f"{rdata.type_text(kind)} of {quote(to_text(owner))}"


def _where(first: Record, seen_from: Record) -> str:
    return f"line {first.line}" if first.path == seen_from.path else f"{first.path}:{first.line}"


def _at(record: Record, reason: str, findings: Findings) -> None:
    findings.error(record.path, record.line, record.column, reason)
