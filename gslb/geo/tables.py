"""The CSV tables: networks, resolvers, round-trip times and demand. Text in, facts and located errors out.

Every value is checked, and every fault told as ``path:line:column: column: value …``, all of a file at once. An empty
value is an unknown one; a column that is not there is empty throughout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from itertools import repeat
from operator import itemgetter
from typing import TypeVar

import numpy as np

from gslb.errors import Findings
from gslb.geo import bulk, special, values
from gslb.geo.address import format_prefix, parse_prefix
from gslb.geo.facts import TABLE, FactColumns, Facts, PrefixList
from gslb.geo.isps import MAX_ASN, IspNames
from gslb.geo.resolvers import ResolverShare
from gslb.geo.sheet import Sheet
from gslb.model.demand import Demand
from gslb.model.geography import CONTINENT_OF
from gslb.model.rtt import Rtt, RttTable

T = TypeVar("T")

NETWORK_COLUMNS = ("prefix", "isp", "asn", "country", "region", "lat", "lon")
RESOLVER_COLUMNS = ("resolver_prefix", "client_prefix", "share")
RTT_COLUMNS = ("country", "region", "isp", "pop", "rtt_ms")
DEMAND_COLUMNS = ("time", "service", "country", "region", "isp", "demand_bps")
MAX_RTT_MS = 10_000

_REMEMBERED = 1 << 17  # rows' facts: enough for tables that repeat theirs, little memory for those that do not


def read_networks(path: str, text: bytes, isps: IspNames, findings: Findings) -> Facts:
    """`networks.csv` or a table of `data/isp/`: columns `NETWORK_COLUMNS`, of which only ``prefix`` must be there.

    A prefix given twice is an error where its facts differ, and counts once where they do not. What has no error is
    returned whatever else was found.
    """
    sheet = Sheet(path, text, NETWORK_COLUMNS, ("prefix",), findings)
    facts = _FactReader(sheet, isps)
    lists = {32: PrefixList(32), 64: PrefixList(64)}
    for first_line, block in sheet.blocks():
        _read_block(sheet, facts, lists, first_line, block)
    table, row_of = facts.columns.table()
    v4, again4 = lists[32].sorted(row_of)
    v6, again6 = lists[64].sorted(row_of)
    for again in again4 + again6:
        prefix = format_prefix(again.bits, again.start, again.length)
        sheet.fault(again.line, "prefix", f"'{prefix}' has other facts on line {again.first_line}")
    sheet.finish()
    return Facts(path=path, kind=TABLE, table=table, v4=v4, v6=v6)


def read_resolvers(path: str, text: bytes, findings: Findings) -> list[ResolverShare]:
    """`resolvers.csv`: which client prefixes stand behind a resolver, and the share, 0 to 1, each has of its viewers.

    A client prefix that lies in a private block is an error: it would name nobody.
    """
    sheet = Sheet(path, text, RESOLVER_COLUMNS, RESOLVER_COLUMNS, findings)
    found: dict[tuple[tuple[int, int, int], tuple[int, int, int]], tuple[ResolverShare, int]] = {}
    for line, fields in sheet.rows():
        row = _Row(sheet, line, fields)
        resolver = row.read("resolver_prefix", parse_prefix)
        client = row.read("client_prefix", _client_prefix)
        share = row.read("share", _share)
        if resolver is None or client is None or share is None:
            continue
        first, first_line = found.setdefault((resolver, client), (ResolverShare(resolver, client, share), line))
        if first.share != share:
            both = f"{fields[sheet.index('client_prefix')]!r} has another share on line {first_line}"
            sheet.fault(line, "client_prefix", both)
    sheet.finish()
    return [share for share, _ in found.values()]


def read_rtt(
    path: str, text: bytes, isps: IspNames, findings: Findings, pops: Collection[str] | None = None
) -> RttTable:
    """`rtt.csv`; with ``pops`` given, a row for a PoP that is not among them is warned of."""
    sheet = Sheet(path, text, RTT_COLUMNS, ("country", "pop", "rtt_ms"), findings)
    found: dict[tuple[str, str, str, str], tuple[Rtt, int]] = {}
    for line, fields in sheet.rows():
        row = _Row(sheet, line, fields)
        country, region, isp = row.viewers(isps)
        if country == "":
            sheet.fault(line, "country", "is empty; a row needs one")
            country = None
        pop = row.read("pop", _pop)
        rtt_ms = row.read("rtt_ms", _rtt_ms)
        if country is None or region is None or isp is None or pop is None or rtt_ms is None:
            continue
        if pops is not None and pop not in pops:
            sheet.warn(line, "pop", f"{pop!r} is no PoP of an edge")
        first, first_line = found.setdefault(
            (country, region, isp, pop), (Rtt(country, region, isp, pop, rtt_ms), line)
        )
        if first.rtt_ms != rtt_ms:
            sheet.fault(line, "rtt_ms", f"{fields[sheet.index('rtt_ms')]!r} is another value than on line {first_line}")
    sheet.finish()
    return RttTable(tuple(rtt for rtt, _ in found.values()))


def read_demand(path: str, text: bytes, isps: IspNames, findings: Findings) -> list[Demand]:
    """`demand.csv`, in its order; rows of one key and time are kept apart. Other columns are passed over."""
    sheet = Sheet(path, text, DEMAND_COLUMNS, ("time", "service", "demand_bps"), findings, others=True)
    found = []
    for line, fields in sheet.rows():
        row = _Row(sheet, line, fields)
        time_s = row.read("time", values.time_s)
        service = row.read("service", values.service)
        country, region, isp = row.viewers(isps)
        demand_bps = row.read("demand_bps", values.demand_bps)
        if time_s is None or service is None or country is None or region is None or isp is None:
            continue
        if demand_bps is not None:
            found.append(Demand(time_s, service, country, region, isp, demand_bps))
    sheet.finish()
    return found


class _Row:
    """The values of one row, read column by column; what cannot be read is told and comes out as None."""

    def __init__(self, sheet: Sheet, line: int, fields: list[str]) -> None:
        self._sheet = sheet
        self._line = line
        self._fields = fields

    def read(self, column: str, convert: Callable[[str], T]) -> T | None:
        try:
            return convert(self._fields[self._sheet.index(column)])
        except ValueError as error:
            self._sheet.fault(self._line, column, str(error))
            return None

    def viewers(self, isps: IspNames) -> tuple[str | None, str | None, str | None]:
        """Country, region and ISP, empty where the row does not tell them apart."""
        return (
            self.read("country", values.country),
            self.read("region", values.region),
            self.read("isp", lambda text: isps.read(text)[0] if text else ""),
        )


def _read_block(sheet: Sheet, facts: _FactReader, lists: dict[int, PrefixList], first_line: int, block: bytes) -> None:
    """Lines of `read_networks`. What stands behind a plain prefix is looked up by its bytes, all else read field by
    field."""
    lines = bulk.read(block)
    if sheet.index("prefix") != 0:
        lines.lens[:] = bulk.NO_PREFIX
    rests = [block[begin:end] for begin, end in zip(lines.rests.tolist(), lines.ends.tolist(), strict=True)]
    numbers = np.fromiter(map(facts.known.get, rests, repeat(-1)), dtype=np.int64, count=len(rests))
    bits = np.full(len(rests), 32, dtype=np.uint8)
    for at in np.flatnonzero((lines.lens == bulk.NO_PREFIX) | (numbers < 0)).tolist():
        line = first_line + at
        plain = lines.lens[at] != bulk.NO_PREFIX
        fields = sheet.fields(line, block[lines.begins[at] : lines.ends[at]].decode())
        if fields is None:
            lines.lens[at] = bulk.NO_PREFIX
            continue
        numbers[at] = facts.read(line, fields, rests[at] if plain else None)
        if not plain:
            try:
                bits[at], lines.starts[at], lines.lens[at] = parse_prefix(fields[sheet.index("prefix")])
            except ValueError as error:
                sheet.fault(line, "prefix", str(error))
    for family, found in lists.items():
        rows = np.flatnonzero((lines.lens != bulk.NO_PREFIX) & (bits == family))
        found.add(lines.starts[rows], lines.lens[rows], numbers[rows], first_line + rows)


class _FactReader:
    """The facts of a table's rows. What comes again, as most of it does, is looked up and not read again."""

    def __init__(self, sheet: Sheet, isps: IspNames) -> None:
        self.columns = FactColumns()
        self._sheet = sheet
        self._isps = isps
        self._values = itemgetter(*(sheet.index(column) for column in NETWORK_COLUMNS[1:]))
        self.known: dict[bytes | tuple[str, ...], int] = {}
        """Facts by what stands behind a plain prefix, and by their values elsewhere; none that are at fault."""
        self._networks: dict[tuple[str, str], tuple[int, int]] = {}
        self._places: dict[tuple[str, str], tuple[int, int, int]] = {}

    def read(self, line: int, fields: list[str], rest: bytes | None) -> int:
        """The number of a row's fact; a value that cannot be read is told and taken for unknown.

        It is known by ``rest`` from now on, or by its values where that is None.
        """
        values = self._values(fields)
        key = values if rest is None else rest
        number = self.known.get(key)
        if number is None:
            before = self._sheet.faults
            number = self._add(line, fields, *values)
            if self._sheet.faults == before and len(self.known) < _REMEMBERED:
                self.known[key] = number
        return number

    def _add(
        self, line: int, fields: list[str], isp_text: str, asn_text: str, country: str, region: str, lat: str, lon: str
    ) -> int:
        named, where = (isp_text, asn_text), (country, region)
        isp, asn = self._networks.get(named) or self._network(line, fields, named)
        place = self._places.get(where) or self._place(line, fields, where)
        coordinates = self._coordinates(line, fields, lat, lon) if lat or lon else (math.nan, math.nan)
        return self.columns.add(*place, isp, asn, *coordinates)

    def _network(self, line: int, fields: list[str], named: tuple[str, str]) -> tuple[int, int]:
        row = _Row(self._sheet, line, fields)
        isp = row.read("isp", lambda text: self._isps.read(text) if text else ("", 0))
        asn = row.read("asn", lambda text: _asn(text) if text else 0)
        if isp is None or asn is None:
            return 0, 0
        asn = asn or isp[1]
        found = self.columns.text(isp[0] or self._isps.of_asn(asn)), asn
        self._networks[named] = found
        return found

    def _place(self, line: int, fields: list[str], where: tuple[str, str]) -> tuple[int, int, int]:
        row = _Row(self._sheet, line, fields)
        country, region = row.read("country", values.country), row.read("region", values.region)
        if region and country == "":
            self._sheet.fault(line, "region", f"{region!r} stands without country")
            region = None
        if country is None or region is None:
            return 0, 0, 0
        text = self.columns.text
        found = text(country), text(region), text(CONTINENT_OF.get(country, ""))
        self._places[where] = found
        return found

    def _coordinates(self, line: int, fields: list[str], lat: str, lon: str) -> tuple[float, float]:
        try:
            if lat and lon:
                return _lat(lat), _lon(lon)
        except ValueError:
            row = _Row(self._sheet, line, fields)
            row.read("lat", _lat)
            row.read("lon", _lon)
        else:
            column, text, other = ("lat", lat, "lon") if lat else ("lon", lon, "lat")
            self._sheet.fault(line, column, f"{text!r} stands without {other}")
        return math.nan, math.nan


def _lat(text: str) -> float:
    return values.number(text, -90, 90)


def _lon(text: str) -> float:
    return values.number(text, -180, 180)


def _asn(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and 1 <= int(text) <= MAX_ASN):
        raise ValueError(f"{text!r} is not a number from 1 to {MAX_ASN}")
    return int(text)


def _client_prefix(text: str) -> tuple[int, int, int]:
    bits, start, length = parse_prefix(text)
    packed = start.to_bytes(4) if bits == 32 else (start << 64).to_bytes(16)
    if special.private_length(packed, length):
        raise ValueError(f"{text!r} is private and names nobody")
    return bits, start, length


def _share(text: str) -> float:
    return values.number(text, 0, 1)


def _rtt_ms(text: str) -> float:
    rtt_ms = values.number(text, 0, MAX_RTT_MS)
    if rtt_ms == 0:
        raise ValueError(f"{text!r} is not above 0")
    return rtt_ms


def _pop(text: str) -> str:
    if not text:
        raise ValueError("is empty")
    return text
