"""MaxMind DB files: places (City, Country, Enterprise) and networks (ISP, ASN), whoever made them.

The search tree is read as arrays, and each distinct record is decoded once, by the library, through one of the
networks that point to it. Of IPv6, networks longer than /64 are left out and warned of; ::/96 is IPv4.
"""

from __future__ import annotations

import math
import os
import re
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import maxminddb
import maxminddb.reader
import numpy as np
import numpy.typing as npt

from gslb.errors import Findings, GslbError
from gslb.geo import tree
from gslb.geo.facts import NETWORK, PLACE, FactNumbers, Facts
from gslb.geo.isps import MAX_ASN, IspNames
from gslb.geo.prefix import Prefixes
from gslb.model.geography import CONTINENT_OF
from gslb.model.view import View

_SEPARATOR = 16  # zero bytes between tree and data
_KINDS = {"City": PLACE, "Country": PLACE, "Enterprise": PLACE, "ISP": NETWORK, "ASN": NETWORK}
_COUNTRY = re.compile(r"[A-Z]{2}")

Record = Mapping[str, Any]


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
    with path.open("rb") as file, _open(path) as reader:
        metadata = _metadata(reader)
        kind = kind_of(metadata.database_type)
        if kind is None:
            raise _RefusedError(f"database type {metadata.database_type!r} is none of {', '.join(_KINDS)}")
        v4, v6, left_out = _networks(file, metadata)
        rows4, rows6, numbers = _decode(reader, v4, v6, _place if kind == PLACE else _network_of(isps))
        ours, now = os.fstat(file.fileno()), path.stat()
        if (ours.st_ino, ours.st_size, ours.st_mtime_ns) != (now.st_ino, now.st_size, now.st_mtime_ns):
            raise _RefusedError("changed while it was read")
    no_lines = np.zeros(0, dtype=np.uint32)
    facts = Facts(
        path=name,
        kind=kind,
        table=numbers.table(),
        v4=Prefixes(v4.starts, v4.lens, rows4, no_lines),
        v6=Prefixes(v6.starts, v6.lens, rows6, no_lines),
    )
    return facts, left_out


def _open(path: Path) -> maxminddb.Reader:
    try:
        return maxminddb.open_database(path)
    except Exception as error:  # the library promises no closed list for what a broken file may cause
        reason = str(error).replace(f" ({path})", "")
        raise _RefusedError(f"not a whole MaxMind database: {reason}") from error


def _metadata(reader: maxminddb.Reader) -> maxminddb.reader.Metadata:
    try:
        found = reader.metadata()
    except Exception as error:  # as above
        raise _RefusedError(f"broken metadata: {error}") from error
    numbers = found.node_count, found.record_size, found.ip_version
    sound = all(isinstance(number, int) for number in numbers) and isinstance(found.database_type, str)
    if not (sound and found.node_count > 0 and found.record_size in (24, 28, 32) and found.ip_version in (4, 6)):
        raise _RefusedError("broken metadata: {} nodes, records of {} bits, IPv{}".format(*numbers))
    return found


def _networks(file: BinaryIO, metadata: maxminddb.reader.Metadata) -> tuple[tree.Networks, tree.Networks, int]:
    count = metadata.node_count
    end = count * metadata.record_size // 4
    size = os.fstat(file.fileno()).st_size
    raw = np.fromfile(file, dtype=np.uint8, count=min(end + _SEPARATOR, size))
    if len(raw) < end + _SEPARATOR or raw[end:].any():
        raise _RefusedError(f"broken: no data section behind a search tree of {count} nodes")
    try:
        v4, v6, left_out = tree.networks(raw[:end], count, metadata.record_size, metadata.ip_version)
    except tree.BrokenTreeError as error:
        raise _RefusedError(f"broken: {error}") from error
    for found in (v4, v6):
        offsets = found.values.astype(np.int64) - count
        if len(offsets) and (offsets.min() < _SEPARATOR or offsets.max() >= size - end):
            raise _RefusedError("broken: the search tree points outside the data section")
    return v4, v6, left_out


def _decode(
    reader: maxminddb.Reader, v4: tree.Networks, v6: tree.Networks, fact_of: Callable[[Record], View]
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], FactNumbers]:
    """The row of the fact of each network, and the facts."""
    values, first, inverse = np.unique(np.concatenate((v4.values, v6.values)), return_index=True, return_inverse=True)
    numbers = FactNumbers()
    rows = np.empty(len(values), dtype=np.uint32)
    count4 = len(v4.values)
    for place, row in enumerate(first.tolist()):
        if row < count4:
            address = socket.inet_ntop(socket.AF_INET, int(v4.starts[row]).to_bytes(4))
        else:
            address = socket.inet_ntop(socket.AF_INET6, (int(v6.starts[row - count4]) << 64).to_bytes(16))
        try:
            record = reader.get(address)
        except Exception as error:  # as above
            reason = str(error).removeprefix(f"Error while looking up data for {address}. ")
            raise _RefusedError(f"broken at {address}: {reason}") from error
        if not isinstance(record, dict):
            raise _RefusedError(f"broken at {address}: its record is not a map")
        rows[place] = numbers.number(fact_of(record))
    of_network = rows[inverse]
    return of_network[:count4], of_network[count4:], numbers


def _place(record: Record) -> View:
    """What City, Country and Enterprise records say of a place; the region is the largest subdivision."""
    country = _text(_map(record, "country"), "iso_code")
    subdivisions = record.get("subdivisions")
    region = subdivisions[0] if isinstance(subdivisions, list) and subdivisions else None
    location = _map(record, "location")
    lat, lon = _degrees(location, "latitude", 90), _degrees(location, "longitude", 180)
    if lat is None or lon is None:
        lat = lon = None
    return View(
        country=country if _COUNTRY.fullmatch(country) else "",
        region=_text(region, "iso_code") if isinstance(region, dict) else "",
        continent=CONTINENT_OF.get(country) or _text(_map(record, "continent"), "code"),
        lat=lat,
        lon=lon,
    )


def _network_of(isps: IspNames) -> Callable[[Record], View]:
    """What ISP and ASN records say of a network: the ISP by its name, else by its AS number."""

    def network(record: Record) -> View:
        asn = record.get("autonomous_system_number")
        asn = asn if isinstance(asn, int) and 0 < asn <= MAX_ASN else 0
        text = _text(record, "isp") or _text(record, "autonomous_system_organization")
        return View(isp=isps.of_text(text) or isps.of_asn(asn), asn=asn)

    return network


def _map(record: Record, key: str) -> Record:
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def _text(record: Record, key: str) -> str:
    value = record.get(key)
    return value if isinstance(value, str) else ""


def _degrees(record: Record, key: str, limit: float) -> float | None:
    value = record.get(key)
    if isinstance(value, float | int) and math.isfinite(value) and -limit <= value <= limit:
        return float(value)
    return None
