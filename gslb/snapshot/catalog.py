"""The catalog: names, policies and who is where, as flat arrays. Here it is built from its parts, and read."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gslb.geo.resolvers import Resolvers
from gslb.geo.view import Geography
from gslb.model.intent import Intent, Service
from gslb.model.names import labels
from gslb.model.rtt import RttTable
from gslb.model.view import View
from gslb.policy.draw import edge_hash
from gslb.snapshot import layout, names, places
from gslb.snapshot.prefix_rows import PrefixRows
from gslb.snapshot.rows import EdgeRow, GeometryRow, GlueRow, NameRow, PolicyRow, RRsetRow, ServiceRow, ZoneRow
from gslb.wire import codes, message


@dataclass(frozen=True, slots=True)
class Draft:
    """A catalog to be written: its sections, but for those that ``rows`` makes part by part."""

    sections: dict[str, npt.NDArray[Any]]
    rows: PrefixRows

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All sections, for `layout.pack`."""
        return self.sections | self.rows.arrays()


def build(intent: Intent, geography: Geography, resolvers: Resolvers, rtt: RttTable) -> Draft:
    """A catalog of these; equal input gives equal sections.

    Raises `GslbError` when the services need more than `places.MAX_GEOMETRIES` geometries.
    """
    strings = _strings(intent, geography)
    string = {text: row for row, text in enumerate(strings)}
    blob = names.Blob()
    numbered = places.policies(intent)
    services = [service for zone in intent.zones for service in zone.services]
    service_rows = {service.name: row for row, service in enumerate(services)}
    sections = names.build(intent.zones, service_rows, blob)
    row_of_name = _rows_of(sections, [service.name for service in services])
    texts = [text.encode() for text in strings]
    located, rows = places.build(intent, numbered, geography, rtt, string)
    sections |= {
        "string": np.frombuffer(b"".join(texts), dtype=np.uint8),
        "string_at": np.cumsum([0, *map(len, texts)], dtype=np.uint32),
        "edge": _edges(intent, blob, string),
        "service": _table(
            [_service(each, row_of_name[each.name], numbered, blob) for each in services], layout.SERVICE
        ),
        **located,
        "resolver4_start": resolvers.starts4,
        "resolver4_row": resolvers.rows4,
        "resolver6_start": resolvers.starts6,
        "resolver6_row": resolvers.rows6,
        "resolver_client": np.array(
            [(address, length, family, 0, 0) for family, address, length in resolvers.clients],
            dtype=layout.RESOLVER_CLIENT,
        ),
        "health": np.array(
            [
                intent.health.stale_s,
                intent.health.hold_s,
                intent.health.changing_s,
                intent.health.silence_share,
                intent.health.silence_edges,
                intent.health.slow_start_s,
            ],
            dtype=np.float32,
        ),
    }
    sections["blob"] = blob.array()
    return Draft(sections, rows)


class Catalog:
    """A catalog that lies in ``buffer`` (bytes or a map of its file), with the look-ups that answers are made of.

    Small tables are read into tuples once, large ones stay where they lie and are searched through memoryviews.
    """

    def __init__(self, buffer: memoryview, *, verify: bool = True) -> None:
        """Raises `GslbError` where the buffer is not a whole catalog of this layout."""
        self.generation, arrays = layout.unpack(layout.CATALOG_MAGIC, buffer, verify=verify)
        self.arrays = arrays
        at = arrays["string_at"].tolist()
        raw = arrays["string"].tobytes()
        self.strings = [raw[at[row] : at[row + 1]].decode() for row in range(len(at) - 1)]
        self.blob: memoryview = arrays["blob"].data
        self._slots: memoryview = arrays["name_slot"].data
        self._mask = len(arrays["name_slot"]) - 1
        self._name_bytes = arrays["name_bytes"].tobytes()
        self.names = [NameRow._make(row) for row in arrays["name"].tolist()]
        self.rrsets = [RRsetRow._make(row) for row in arrays["rrset"].tolist()]
        self.glue = [GlueRow._make(row) for row in arrays["glue"].tolist()]
        self.zones = [ZoneRow._make(row) for row in arrays["zone"].tolist()]
        self.edges = [EdgeRow._make(row) for row in arrays["edge"].tolist()]
        self.edge_hashes: list[int] = arrays["edge"]["hash"].tolist()
        self.edge_ids = [self.strings[row] for row in arrays["edge"]["id"].tolist()]
        self.services = [ServiceRow._make(row) for row in arrays["service"].tolist()]
        self.policies = [PolicyRow._make(row) for row in arrays["policy"].tolist()]
        self.geometries = [GeometryRow._make(row) for row in arrays["geometry"].tolist()]
        self.class_multi: memoryview = arrays["class_multi"].data
        self.deepest = max((len(labels(self.name_text(row))) for row in range(len(self.names))), default=0)
        (
            self._row_start,
            self._row_len,
            self._row_class,
            self._base_start,
            self._base_node,
            self._node_len,
            self._node_parent,
            self._node_view,
            self._resolver_start,
            self._resolver_row,
        ) = (
            {family: arrays[f"{table}{family}_{column}"].data for family in (4, 6)}
            for table, column in (
                ("row", "start"),
                ("row", "len"),
                ("row", "class"),
                ("base", "start"),
                ("base", "node"),
                ("node", "len"),
                ("node", "parent"),
                ("node", "view"),
                ("resolver", "start"),
                ("resolver", "row"),
            )
        )
        self._view_class: memoryview = arrays["view_class"].data
        self._resolver_client: list[tuple[int, ...]] = arrays["resolver_client"].tolist()

    def name_text(self, row: int) -> bytes:
        """The wire name of a row of the name table."""
        name = self.names[row]
        return self._name_bytes[name.text : name.text + name.length]

    def name_bytes(self, at: int, length: int) -> bytes:
        """Bytes of the name store, for glue owners."""
        return self._name_bytes[at : at + length]

    def find(self, name: bytes) -> int:
        """The row of a lower-case wire name, or -1."""
        slots, mask = self._slots, self._mask
        at = names.slot_of(name, mask)
        while row := slots[at]:
            found = self.names[row - 1]
            if found.length == len(name) and self._name_bytes.startswith(name, found.text):
                return row - 1
            at = (at + 1) & mask
        return -1

    def closest(self, name: bytes) -> int:
        """The row of the longest name of ours that ``name`` lies below, or -1 outside all zones.

        Names deeper than any of ours are cut down first, so that a name of 127 labels costs no more than a short one.
        """
        at, begins = 0, []
        while name[at]:
            at += 1 + name[at]
            begins.append(at)
        for begin in begins[max(0, len(begins) - 1 - self.deepest) :]:
            row = self.find(name[begin:])
            if row >= 0:
                return row
        return -1

    def row(self, geometry: int, family: int, address: int) -> tuple[int, int]:
        """Class and length of the prefix row that holds ``address`` (u32, or the upper 64 bits of an IPv6 address)."""
        if family == 4:
            begin, count = self.geometries[geometry][:2]
        else:
            begin, count = self.geometries[geometry][2:4]
        at = bisect_right(self._row_start[family], address, begin, begin + count) - 1
        return self._row_class[family][at], self._row_len[family][at]

    def view_of(self, family: int, address: int, length: int) -> int:
        """The view of a prefix: the longest fact that covers it; facts longer than it never decide."""
        node = self._base_node[family][bisect_right(self._base_start[family], address) - 1]
        node_len, node_parent = self._node_len[family], self._node_parent[family]
        while node_len[node] > length:
            node = node_parent[node]
        found: int = self._node_view[family][node]
        return found

    def class_of(self, geometry: int, family: int, address: int, length: int) -> int:
        """The class of a prefix by its own view, whatever its row says."""
        found: int = self._view_class[self.geometries[geometry].view + self.view_of(family, address, length)]
        return found

    def resolver_client(self, family: int, address: int) -> tuple[int, int, int] | None:
        """The client prefix (family, address, length) that stands for a resolver, where `data/resolvers.csv` tells."""
        starts = self._resolver_start[family]
        at = bisect_right(starts, address) - 1
        if at < 0 or (row := self._resolver_row[family][at]) == layout.NONE32:
            return None
        client, length, family_of_client = self._resolver_client[row][:3]
        return family_of_client, client, length

    def view(self, row: int) -> View:
        """A view, for people."""
        country, region, isp, continent, asn, lat, lon = self.arrays["view"][row].tolist()
        text = self.strings
        return View(
            text[country],
            text[region],
            text[isp],
            asn,
            text[continent],
            None if np.isnan(lat) else round(lat, 4),
            None if np.isnan(lon) else round(lon, 4),
        )


def _strings(intent: Intent, geography: Geography) -> list[str]:
    """Every text of the catalog once, in a fixed order; row 0 is the empty text."""
    found: dict[str, None] = {"": None}
    for edge in intent.edges:
        found |= dict.fromkeys((edge.id, edge.pop, edge.location.country, edge.location.region))
        found |= dict.fromkeys((edge.location.continent, " ".join(edge.fence), " ".join(edge.isps)))
    for pool in intent.pools:
        found[pool.name] = None
    for key in places.policies(intent):
        found[places.affinity_text(key.affinity)] = None
    found |= dict.fromkeys(geography.views.strings)
    return list(found)


def _edges(intent: Intent, blob: names.Blob, string: dict[str, int]) -> npt.NDArray[Any]:
    rows = [
        (
            edge_hash(edge.id),
            string[edge.id],
            string[edge.pop],
            edge.capacity_bps,
            edge.capacity_sessions or 0,
            *_addresses(edge.v4, codes.A, blob),
            *_addresses(edge.v6, codes.AAAA, blob),
            string[edge.location.country],
            string[edge.location.region],
            string[edge.location.continent],
            string[" ".join(edge.fence)],
            string[" ".join(edge.isps)],
            0,
        )
        for edge in intent.edges
    ]
    return np.array(rows, dtype=layout.EDGE)


def _table(rows: list[tuple[int | float, ...]], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Rows of a type that has zeros behind its fields."""
    found = np.zeros(len(rows), dtype=dtype)
    found[:] = rows
    return found


def _service(
    service: Service, name_row: int, numbered: dict[places.PolicyKey, int], blob: names.Blob
) -> tuple[int | float, ...]:
    flags = layout.SERVICE_CLOSED if service.on_all_down == "closed" else 0
    flags |= layout.SERVICE_DISPATCH if service.dispatch else 0
    return (
        name_row,
        numbered[places.policy_key(service)],
        service.ttl_s,
        min(service.ttl_s, service.changing_ttl_s),
        *_addresses(service.fallback_v4, codes.A, blob),
        *_addresses(service.fallback_v6, codes.AAAA, blob),
        service.answers,
        service.spread,
        service.max_records,
        service.hash_len_v4,
        service.hash_len_v6,
        flags,
        0,
        service.max_change,
    )


def _addresses(packed: Iterable[bytes], rtype: int, blob: names.Blob) -> tuple[int, int]:
    """Where the records of some addresses lie, TTL 0, and how many they are."""
    records = [message.rr(rtype, 0, address) for address in packed]
    return (blob.put(b"".join(records)) if records else 0), len(records)


def _rows_of(sections: dict[str, npt.NDArray[Any]], wanted: Iterable[bytes]) -> dict[bytes, int]:
    raw = sections["name_bytes"].tobytes()
    by_service = {
        raw[text : text + length]: row
        for row, (text, _, length) in enumerate(sections["name"][["text", "zone", "length"]].tolist())
        if sections["name"]["service"][row] != layout.NONE32
    }
    return {name: by_service[name] for name in wanted}
