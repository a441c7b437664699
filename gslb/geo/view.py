"""Merging layers: what is known of every client, for a snapshot, and of one, for a person.

Across layers, best first (see `Layers`), the fields merge in groups:

    network    ISP and AS number together, from the best layer that knows either
    country    from the best layer that knows it
    region     from the best layer that knows it and whose country is the merged one or unknown
    lat, lon   likewise, together
    continent  that of the country; where it has none, a database's own code, found as region is
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gslb.errors import Findings
from gslb.geo import special
from gslb.geo.facts import Facts, distinct, longest_match
from gslb.geo.layers import Layers, common_strings, stack
from gslb.geo.prefix import Addresses, Nested, flatten, runs
from gslb.model.geography import CONTINENT_OF
from gslb.model.view import View, ViewTable

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Located:
    """Who is where in one family: intervals of one node each, and the nodes, parents before children.

    Node 0 is the whole space. A node is a prefix whose view differs from its parent's; ``node_view`` is a row of the
    view table. What is known of a prefix is the view of the deepest node over its first address that is no longer
    than the prefix: longer facts never decide.
    """

    starts: Addresses
    nodes: U32
    node_len: U8
    node_parent: U32
    node_view: U32

    def view_of(self, address: int, source: int) -> int:
        """The view of one prefix: its first address (u32, or the upper 64 bits of an IPv6 one) and its length."""
        return int(self.views_of(np.array([address], dtype=self.starts.dtype), np.array([source]))[0])

    def views_of(self, addresses: Addresses, sources: npt.NDArray[Any]) -> U32:
        """The views of many prefixes, shape (n,)."""
        nodes = self.nodes[np.searchsorted(self.starts, addresses, side="right") - 1]
        while (longer := self.node_len[nodes] > sources).any():
            nodes = np.where(longer, self.node_parent[nodes], nodes)
        return self.node_view[nodes]


@dataclass(frozen=True, slots=True)
class Geography:
    """What is known of every client. Equal files give equal arrays."""

    views: ViewTable
    v4: Located
    v6: Located

    def family(self, bits: int) -> Located:
        """The table of IPv4 (32) or IPv6 (64)."""
        return self.v4 if bits == 32 else self.v6


@dataclass(frozen=True, slots=True)
class Word:
    """What one layer says of a client: its longest prefix that covers it, and where that stands (line 0: nowhere)."""

    layer: str
    path: str
    line: int
    prefix: tuple[int, int, int]
    fact: View


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a client is: the prefix looked up (32 or 64 bits, first address, length), who says what, and the outcome.

    ``private_length`` is the length of the private block that the client is in, 0 outside any: servers locate such a
    client by its resolver.
    """

    prefix: tuple[int, int, int]
    private_length: int
    words: tuple[Word, ...]
    view: View


def merge(layers: Layers, findings: Findings) -> Geography:
    """Merge all files; ties between files of one layer are warned of."""
    stacked = [stack(files, findings) for _, files in layers.files()]
    nested4 = flatten([layer.v4 for layer in stacked], 32)
    nested6 = flatten([layer.v6 for layer in stacked], 64)
    facts = [np.concatenate(pair) for pair in zip(nested4.facts, nested6.facts, strict=True)]
    count4 = len(nested4.node_len)
    if facts:
        first, of_node = distinct(facts)
        views, of_distinct = _merge([layer.table for layer in stacked], [column[first] for column in facts])
        node_view = of_distinct[of_node]
    else:
        views, node_view = ViewTable.of([]), np.zeros(2, dtype=np.uint32)
    return Geography(views, _collapse(nested4, node_view[:count4]), _collapse(nested6, node_view[count4:]))


def locate(layers: Layers, packed: bytes, source: int) -> Whereabouts:
    """What each layer says of the prefix ``packed``/``source`` (4 or 16 bytes), silent ones left out; and all merged.

    An IPv4 address inside an IPv6 one is looked up where the prefix reaches into it; of other IPv6 addresses the
    upper 64 bits.
    """
    bits, start, length = prefix = _looked_up(packed, source)
    words = []
    for name, files in layers.files():
        best: tuple[int, Facts, int] | None = None
        for facts in files:
            row = longest_match(facts.family(bits), start, length, bits)
            if row is not None and (best is None or facts.family(bits).lens[row] > best[0]):
                best = int(facts.family(bits).lens[row]), facts, row
        if best is not None:
            words.append(_word(name, *best[1:], bits))
    ones = [np.ones(1, dtype=np.uint32) for _ in words]
    view = View()
    if words:
        views, of_one = _merge([ViewTable.of([word.fact]) for word in words], ones)
        view = views.view(int(of_one[0]))
    return Whereabouts(prefix, special.private_length(packed, source), tuple(words), view)


def _looked_up(packed: bytes, source: int) -> tuple[int, int, int]:
    if len(packed) == 16:
        inner = special.embedded(packed)
        if inner is None or source <= inner[1]:
            length = min(source, 64)
            return 64, int.from_bytes(packed[:8]) >> (64 - length) << (64 - length), length
        address, source = inner[0], min(source - inner[1], 32)
    else:
        address = int.from_bytes(packed)
    return 32, address >> (32 - source) << (32 - source), source


def _word(layer: str, facts: Facts, row: int, bits: int) -> Word:
    prefixes = facts.family(bits)
    prefix = bits, int(prefixes.starts[row]), int(prefixes.lens[row])
    line = int(prefixes.lines[row]) if len(prefixes.lines) else 0
    return Word(layer, facts.path, line, prefix, facts.table.view(int(prefixes.facts[row])))


def _merge(tables: Sequence[ViewTable], rows: Sequence[U32]) -> tuple[ViewTable, U32]:
    """The merged views of combinations of facts, and the view of each combination.

    ``rows[k]`` holds, per combination, a row of ``tables[k]``, 0 where that layer is silent.
    """
    strings, maps = common_strings(tables)
    rows = [np.concatenate((np.zeros(1, dtype=np.uint32), column)) for column in rows]  # row 0: all silent, unknown
    picked = [_Picked(table, texts, column) for table, texts, column in zip(tables, maps, rows, strict=True)]
    nothing = np.zeros(len(rows[0]), dtype=np.uint32)
    country, region, continent, isp, asn = (nothing.copy() for _ in range(5))
    lat, lon = np.full(len(nothing), np.nan), np.full(len(nothing), np.nan)
    for layer in picked:
        take = (isp == 0) & (asn == 0)
        isp[take], asn[take] = layer.isp[take], layer.asn[take]
        take = country == 0
        country[take] = layer.country[take]
    for layer in picked:
        fits = (layer.country == country) | (layer.country == 0)
        take = fits & (region == 0) & (country != 0)
        region[take] = layer.region[take]
        take = fits & np.isnan(lat)
        lat[take], lon[take] = layer.lat[take], layer.lon[take]
        take = fits & (continent == 0)
        continent[take] = layer.continent[take]
    strings, continent = _settle_continents(strings, country, continent)
    first, of_row = distinct([country, region, isp, asn, continent, lat, lon])
    order = np.argsort(first, kind="stable")  # by first appearance, so that the unknown view is row 0
    rank = np.empty(len(order), dtype=np.uint32)
    rank[order] = np.arange(len(order), dtype=np.uint32)
    keep = first[order]
    views = _compact(strings, country[keep], region[keep], isp[keep], continent[keep], asn[keep], lat[keep], lon[keep])
    return views, rank[of_row][1:]


class _Picked:
    """The columns of one layer's facts, one row per combination, texts as rows of the common strings."""

    __slots__ = ("asn", "continent", "country", "isp", "lat", "lon", "region")

    def __init__(self, table: ViewTable, texts: U32, rows: U32) -> None:
        self.country = texts[table.country][rows]
        self.region = texts[table.region][rows]
        self.isp = texts[table.isp][rows]
        self.continent = texts[table.continent][rows]
        self.asn = table.asn[rows]
        self.lat = table.lat[rows]
        self.lon = table.lon[rows]


def _settle_continents(strings: tuple[str, ...], country: U32, continent: U32) -> tuple[tuple[str, ...], U32]:
    """The continent of each country where it is known, else the one found; and the strings with those continents."""
    found = {text: row for row, text in enumerate(strings)}
    by_country = np.zeros(len(strings), dtype=np.uint32)
    for row, text in enumerate(strings):
        if text in CONTINENT_OF:
            by_country[row] = found.setdefault(CONTINENT_OF[text], len(found))
    settled = by_country[country]
    return tuple(found), np.where(settled, settled, continent)


def _compact(
    strings: tuple[str, ...], country: U32, region: U32, isp: U32, continent: U32, asn: U32, lat: F64, lon: F64
) -> ViewTable:
    """A table that holds only the texts it uses, in their alphabet's order."""
    used = sorted({strings[row] for row in np.unique(np.concatenate((country, region, isp, continent))).tolist()})
    place = {text: row for row, text in enumerate(used)}
    texts = np.array([place.get(text, 0) for text in strings], dtype=np.uint32)
    return ViewTable(tuple(used), texts[country], texts[region], texts[isp], texts[continent], asn, lat, lon)


def _collapse(nested: Nested, view: U32) -> Located:
    """Leave out nodes that know what their parent knows: they decide nothing."""
    parent = nested.node_parent
    keep = view != view[parent]
    keep[0] = True
    stands_for = np.where(keep, np.arange(len(view), dtype=np.uint32), parent)
    while not keep[stands_for].all():
        stands_for = stands_for[stands_for]
    number = (np.cumsum(keep) - 1).astype(np.uint32)
    of_node = number[stands_for]
    starts, nodes = runs(nested.starts, of_node[nested.nodes])
    return Located(starts, nodes, nested.node_len[keep], of_node[parent[keep]], view[keep])
