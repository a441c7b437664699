"""MaxMind DB files: places (City, Country, Enterprise) and networks (ISP, ASN), whoever made them.

The search tree is read as arrays (`tree`), and of each distinct record only what is wanted, once (`records`). Of IPv6,
networks longer than /64 are left out and warned of; ::/96 is IPv4.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import maxminddb
import maxminddb.reader
import numpy as np
import numpy.typing as npt

from gslb.errors import Findings, GslbError
from gslb.geo import tree
from gslb.geo.address import format_prefix
from gslb.geo.facts import NETWORK, PLACE, FactColumns, Facts
from gslb.geo.isps import MAX_ASN, IspNames
from gslb.geo.prefix import Prefixes
from gslb.geo.records import SCALAR, BrokenRecordError, Records
from gslb.model.geography import CONTINENT_OF
from gslb.model.view import View, ViewTable

_SEPARATOR = 16  # zero bytes between tree and data
_KINDS = {"City": PLACE, "Country": PLACE, "Enterprise": PLACE, "ISP": NETWORK, "ASN": NETWORK}
_COUNTRY = re.compile(r"[A-Z]{2}")
_MARKER = b"\xab\xcd\xefMaxMind.com"

Record = Mapping[bytes, Any]
U32 = npt.NDArray[np.uint32]


class _RefusedError(GslbError):
    """Why a file is not taken."""


def read(path: Path, isps: IspNames, findings: Findings, *, shown: str | None = None) -> Facts | None:
    """The facts of one file, of kind PLACE or NETWORK by its own metadata.

    A file that is missing, truncated, broken, or of another type is refused: None, and one error at ``path:0:0``.
    ``shown`` is the path that findings and facts name, where it is not ``path`` itself.
    """
    name = shown or str(path)
    try:
        facts, left_out = _read(path, name, isps)
    except _RefusedError as error:
        findings.error(name, 0, 0, str(error))
        return None
    except OSError as error:
        findings.error(name, 0, 0, f"cannot be read: {error.strerror or error}")
        return None
    if left_out:
        findings.warn(name, 0, 0, f"{left_out} IPv6 networks longer than /64 are left out")
    return facts


def kind_of(database_type: str) -> str | None:
    """PLACE, NETWORK or None, by the words of a database type: ``GeoIP2-City``, ``DBIP-ISP (compat=Enterprise)``."""
    compatible = re.search(r"compat=([^)]*)", database_type)
    words = re.split(r"[^A-Za-z0-9]+", compatible[1] if compatible else database_type)
    return next((_KINDS[word] for word in words if word in _KINDS), None)


def _read(path: Path, name: str, isps: IspNames) -> tuple[Facts, int]:
    content = path.read_bytes()  # once, so that a file that is replaced meanwhile is either the old or the new one
    metadata = _metadata(content)
    kind = kind_of(metadata.database_type)
    if kind is None:
        raise _RefusedError(f"database type {metadata.database_type!r} is none of {', '.join(_KINDS)}")
    end = metadata.node_count * metadata.record_size // 4 + _SEPARATOR
    limit = content.rindex(_MARKER)
    if end > limit or any(content[end - _SEPARATOR : end]):
        raise _RefusedError(f"broken: no data section behind a search tree of {metadata.node_count} nodes")
    raw = np.frombuffer(content, dtype=np.uint8, count=end - _SEPARATOR)
    try:
        v4, v6, left_out = tree.networks(raw, metadata.node_count, metadata.record_size, metadata.ip_version)
    except tree.BrokenTreeError as error:
        raise _RefusedError(f"broken: {error}") from error
    read_fact = _place if kind == PLACE else _network_of(isps)
    records = Records(content, end, limit, _PLACE if kind == PLACE else _NETWORK)
    table, rows4, rows6 = _facts(records, read_fact, v4, v6, metadata.node_count + _SEPARATOR)
    no_lines = np.zeros(0, dtype=np.uint32)
    facts = Facts(
        path=name,
        kind=kind,
        table=table,
        v4=Prefixes(v4.starts, v4.lens, rows4, no_lines),
        v6=Prefixes(v6.starts, v6.lens, rows6, no_lines),
    )
    return facts, left_out


def _metadata(content: bytes) -> maxminddb.reader.Metadata:
    try:
        with maxminddb.open_database(io.BytesIO(content), maxminddb.MODE_FD) as reader:  # the library's Python reader
            found = reader.metadata()
    except Exception as error:  # the library promises no closed list for what a broken file may cause
        reason = re.sub(r" \(<.*?>\)", "", str(error))  # what stands there for a path
        raise _RefusedError(f"not a whole MaxMind database: {reason}") from error
    numbers = found.node_count, found.record_size, found.ip_version
    sound = all(isinstance(number, int) for number in numbers) and isinstance(found.database_type, str)
    if not (sound and found.node_count > 0 and found.record_size in (24, 28, 32) and found.ip_version in (4, 6)):
        raise _RefusedError("broken metadata: {} nodes, records of {} bits, IPv{}".format(*numbers))
    return found


def _facts(
    records: Records, read_fact: Callable[[Record], View], v4: tree.Networks, v6: tree.Networks, first_value: int
) -> tuple[ViewTable, U32, U32]:
    """The facts, and the row of each network's fact; a network's value less ``first_value`` is its record's offset."""
    values, inverse = np.unique(np.concatenate((v4.values, v6.values)), return_inverse=True)
    columns = FactColumns()
    for place, value in enumerate(values.tolist()):
        try:
            columns.add_view(read_fact(records.read(value - first_value)))
        except BrokenRecordError as error:
            at = int(np.argmax(inverse == place))
            raise _RefusedError(f"broken: record of {_network_at(at, v4, v6)}: {error}") from error
    table, row_of = columns.table()
    rows = row_of[inverse]
    return table, rows[: len(v4.values)], rows[len(v4.values) :]


def _network_at(at: int, v4: tree.Networks, v6: tree.Networks) -> str:
    bits, found, row = (32, v4, at) if at < len(v4.values) else (64, v6, at - len(v4.values))
    return format_prefix(bits, int(found.starts[row]), int(found.lens[row]))


_PLACE: Record = {
    b"continent": {b"code": SCALAR},
    b"country": {b"iso_code": SCALAR},
    b"subdivisions": ({b"iso_code": SCALAR},),  # the largest comes first
    b"location": {b"latitude": SCALAR, b"longitude": SCALAR},
}
_NETWORK: Record = {b"isp": SCALAR, b"autonomous_system_number": SCALAR, b"autonomous_system_organization": SCALAR}


def _place(record: Record) -> View:
    """What City, Country and Enterprise records say of a place."""
    country = _text(record.get(b"country"), b"iso_code")
    location = record.get(b"location") or {}
    lat, lon = _degrees(location.get(b"latitude"), 90), _degrees(location.get(b"longitude"), 180)
    if lat is None or lon is None:
        lat = lon = None
    return View(
        country=country if _COUNTRY.fullmatch(country) else "",
        region=_text(record.get(b"subdivisions"), b"iso_code"),
        continent=CONTINENT_OF.get(country) or _text(record.get(b"continent"), b"code"),
        lat=lat,
        lon=lon,
    )


def _network_of(isps: IspNames) -> Callable[[Record], View]:
    """What ISP and ASN records say of a network: the ISP by its name, else by its AS number."""

    def network(record: Record) -> View:
        asn = record.get(b"autonomous_system_number")
        asn = asn if isinstance(asn, int) and 0 < asn <= MAX_ASN else 0
        text = _text(record, b"isp") or _text(record, b"autonomous_system_organization")
        return View(isp=isps.of_text(text) or isps.of_asn(asn), asn=asn)

    return network


def _text(record: Record | None, key: bytes) -> str:
    value = record.get(key) if record else None
    return value if isinstance(value, str) else ""


def _degrees(value: object, limit: float) -> float | None:
    if isinstance(value, float | int) and math.isfinite(value) and -limit <= value <= limit:
        return float(value)
    return None
