"""Merging layers: the rules as a table, and every address against a plain reading of them."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import radix
from gslbtest.examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.errors import Findings
from gslb.geo.facts import NETWORK, PLACE, TABLE, FactColumns, Facts, PrefixList
from gslb.geo.layers import MAX_TIES, Layers
from gslb.geo.view import Geography, locate, merge
from gslb.model.geography import CONTINENT_OF
from gslb.model.view import View

Rows = Sequence[tuple[str, View]]


def facts_of(path: str, kind: str, rows: Rows) -> Facts:
    columns, lists = FactColumns(), {4: PrefixList(32), 6: PrefixList(64)}
    for number, (text, fact) in enumerate(rows):
        network = ipaddress.ip_network(text)
        start = int(network.network_address) >> (0 if network.version == 4 else 64)
        columns.add_view(fact)
        lists[network.version].add([start], [network.prefixlen], [number], [number + 2])
    table, row_of = columns.table()
    return Facts(path, kind, table, lists[4].sorted(row_of)[0], lists[6].sorted(row_of)[0])


def layers_of(networks: Rows = (), isp: Rows = (), place: Rows = (), asn: Rows = ()) -> Layers:
    return Layers(
        facts_of("networks.csv", TABLE, networks) if networks else None,
        [facts_of("isp.csv", TABLE, isp)] if isp else [],
        [facts_of("place.mmdb", PLACE, place)] if place else [],
        [facts_of("asn.mmdb", NETWORK, asn)] if asn else [],
    )


def merged(layers: Layers) -> tuple[Geography, list[str]]:
    findings = Findings()
    geography = merge(layers, findings)
    assert findings.errors == []
    return geography, [str(warning) for warning in findings.warnings]


def view_at(geography: Geography, text: str) -> View:
    network = ipaddress.ip_network(text)
    bits = 32 if network.version == 4 else 64
    start = int(network.network_address) >> (0 if bits == 32 else 64)
    return geography.views.view(geography.family(bits).view_of(start, network.prefixlen))


EVERYWHERE = "0.0.0.0/0"
SHANGHAI = View(country="CN", region="SH", continent="AS", lat=31.2, lon=121.5)
GERMANY = View(country="DE", continent="EU")


@pytest.mark.parametrize(
    ("networks", "isp", "place", "asn", "view"),
    [
        # nothing, and one layer alone
        (None, None, None, None, View()),
        (View(), None, None, None, View()),
        (None, None, SHANGHAI, None, SHANGHAI),
        (None, None, None, View(isp="unicom", asn=4837), View(isp="unicom", asn=4837)),
        # an ISP table that knows only the ISP keeps the city's place
        (None, View(isp="unicom"), SHANGHAI, None, SHANGHAI._replace(isp="unicom")),
        # ISP and AS number go together
        (None, View(isp="unicom"), None, View(isp="chinanet", asn=4134), View(isp="unicom")),
        (None, View(), None, View(isp="chinanet", asn=4134), View(isp="chinanet", asn=4134)),
        (View(isp="AS1", asn=1), View(isp="unicom"), None, View(isp="x", asn=2), View(isp="AS1", asn=1)),
        # the country of the best layer that knows one
        (GERMANY, None, SHANGHAI, None, GERMANY),
        (View(isp="unicom"), GERMANY, SHANGHAI, None, GERMANY._replace(isp="unicom")),
        # the region and the coordinates only of that country
        (View(country="CN", continent="AS"), None, SHANGHAI, None, SHANGHAI),
        (
            View(country="DE", continent="EU", region="SH"),
            None,
            SHANGHAI,
            None,
            View(country="DE", continent="EU", region="SH"),
        ),
        (View(region="BJ"), None, SHANGHAI, None, SHANGHAI._replace(region="BJ")),
        (View(lat=1.0, lon=2.0), None, SHANGHAI, None, SHANGHAI._replace(lat=1.0, lon=2.0)),
        (
            View(country="CN", continent="AS", lat=1.0, lon=2.0),
            View(region="BJ"),
            SHANGHAI,
            None,
            SHANGHAI._replace(lat=1.0, lon=2.0, region="BJ"),
        ),
        # a region without any country says nothing, coordinates do
        (View(region="SH"), None, None, None, View()),
        (View(lat=1.0, lon=2.0), None, None, None, View(lat=1.0, lon=2.0)),
        # continent: the country's, else a database's own
        (None, None, View(continent="EU"), None, View(continent="EU")),
        (None, View(isp="unicom"), View(continent="EU"), None, View(isp="unicom", continent="EU")),
        (View(country="CN", continent="AS"), None, View(continent="EU"), None, View(country="CN", continent="AS")),
        (None, None, View(country="ZZ", continent="EU"), None, View(country="ZZ", continent="EU")),
        (GERMANY, None, View(country="ZZ", continent="AS"), None, GERMANY),
        (None, None, View(country="CN", continent="EU"), None, View(country="CN", continent="AS")),
        # zero is a coordinate and a number of neither sign
        (View(lat=0.0, lon=-0.0), None, SHANGHAI, None, SHANGHAI._replace(lat=0.0, lon=0.0)),
    ],
)
def test_rules(networks: View | None, isp: View | None, place: View | None, asn: View | None, view: View) -> None:
    layers = layers_of(*([(EVERYWHERE, fact)] if fact else [] for fact in (networks, isp, place, asn)))
    geography, _ = merged(layers)
    assert view_at(geography, "192.0.2.1/32") == view
    assert view_at(geography, EVERYWHERE) == view
    assert view_at(geography, "2001:db8::/64") == View()
    assert locate(layers, bytes(4), 32).view == view


def test_longest_match_is_within_a_layer_and_fields_merge_across() -> None:
    """A longer row that knows only the ISP hides its file's shorter one, and not the next layer."""
    layers = layers_of(
        networks=[("192.0.0.0/16", GERMANY), ("192.0.2.0/24", View(isp="unicom"))], place=[("192.0.0.0/8", SHANGHAI)]
    )
    geography, _ = merged(layers)
    assert view_at(geography, "192.0.1.0/24") == GERMANY
    assert view_at(geography, "192.0.2.0/24") == SHANGHAI._replace(isp="unicom")
    assert view_at(geography, "192.0.2.0/23") == GERMANY  # longer facts never decide
    assert view_at(geography, "192.0.0.0/15") == SHANGHAI


def test_facts_that_change_nothing_leave_no_trace() -> None:
    rows = [("10.0.0.0/8", GERMANY), ("10.1.0.0/16", GERMANY), ("10.1.2.0/24", SHANGHAI), ("10.1.2.128/25", SHANGHAI)]
    located = merged(layers_of(place=rows))[0].v4
    assert located.node_len.tolist() == [0, 8, 24]
    assert located.node_parent.tolist() == [0, 0, 1]
    assert len(located.starts) == 5
    assert located.starts.dtype == np.uint32


def test_no_files_at_all() -> None:
    geography, _ = merged(Layers())
    assert len(geography.views) == 1
    for located in (geography.v4, geography.v6):
        assert (located.starts.tolist(), located.nodes.tolist()) == ([0], [0])
        assert (located.node_len.tolist(), located.node_view.tolist()) == ([0], [0])
    assert locate(Layers(), bytes(16), 128).view == View()


FACTS = [
    View(),
    View(isp="unicom"),
    View(isp="AS1", asn=1),
    View(country="CN", continent="AS"),
    SHANGHAI,
    SHANGHAI._replace(isp="chinanet", asn=4134),
    View(country="DE", region="SH", continent="EU", lat=54.3, lon=10.1),
    View(region="BJ"),
    View(lat=5.0, lon=6.0),
    View(continent="EU"),
    View(country="ZZ", continent="AF", region="1"),
]


def plain_merge(facts: Sequence[View | None]) -> View:
    """The rules of design.md section 3.2, one client at a time."""
    known = [fact for fact in facts if fact is not None]
    network = next((fact for fact in known if fact.isp or fact.asn), View())
    country = next((fact.country for fact in known if fact.country), "")
    fits = [fact for fact in known if fact.country in ("", country)]
    spot = next((fact for fact in fits if fact.lat is not None), View())
    return View(
        country=country,
        region=next((fact.region for fact in fits if fact.region), "") if country else "",
        isp=network.isp,
        asn=network.asn,
        continent=CONTINENT_OF.get(country) or next((fact.continent for fact in fits if fact.continent), ""),
        lat=spot.lat,
        lon=spot.lon,
    )


class Oracle:
    """Four layers as py-radix trees."""

    def __init__(self, layers: Sequence[Rows]) -> None:
        self.trees = []
        for rows in layers:
            tree = radix.Radix()
            for text, fact in rows:
                tree.add(text).data.setdefault("fact", fact)
            self.trees.append(tree)

    def view(self, text: str) -> View:
        network = ipaddress.ip_network(text)
        found = [
            tree.search_best(packed=network.network_address.packed, masklen=network.prefixlen) for tree in self.trees
        ]
        return plain_merge([node.data["fact"] if node else None for node in found])


def prefix_text(family: int, anchor: int, flip: int, length: int) -> str:
    width, bits = (32, 32) if family == 4 else (128, 64)
    length = min(length, bits)
    number = (anchor & ((1 << bits) - 1)) ^ (1 << flip % bits)
    kept = number >> (bits - length) << (bits - length) << (width - bits)
    network = ipaddress.ip_network((kept.to_bytes(width // 8), length))
    return str(network)


prefix_texts = st.builds(
    prefix_text,
    st.sampled_from([4, 6]),
    st.sampled_from([0, (1 << 64) - 1, 0x20010DB8C0000201, 0xC0000201]),
    st.integers(0, 63),
    st.integers(0, 64),
)
layer_rows = st.dictionaries(prefix_texts, st.sampled_from(FACTS), max_size=10).map(lambda rows: list(rows.items()))


@pytest.mark.no_cover
@settings(max_examples=examples(400), deadline=None, derandomize=True)
@given(st.tuples(layer_rows, layer_rows, layer_rows, layer_rows), st.lists(prefix_texts, max_size=10))
def test_every_prefix_gets_what_the_rules_say(rows: tuple[Rows, Rows, Rows, Rows], probes: list[str]) -> None:
    layers = layers_of(*rows)
    geography, _ = merged(layers)
    oracle = Oracle(rows)
    for text in [*probes, *(text for layer in rows for text, _ in layer)]:
        view = oracle.view(text)
        assert view_at(geography, text) == view
        network = ipaddress.ip_network(text)
        if not text.startswith(("2002:", "::", "2001:0:", "64:ff9b:")):
            assert locate(layers, network.network_address.packed, network.prefixlen).view == view
    for located in (geography.v4, geography.v6):
        children = np.arange(1, len(located.node_len))
        assert (located.node_view[children] != located.node_view[located.node_parent[children]]).all()
        assert (located.nodes[1:] != located.nodes[:-1]).all()


def random_rows(rng: random.Random, count: int) -> Rows:
    rows = {}
    while len(rows) < count:
        family = rng.choice([4, 6])
        anchor = rng.choice([0x01000000 + rng.getrandbits(20), 0x2001000000000000 + (rng.getrandbits(24) << 24)])
        rows[prefix_text(family, anchor, rng.randint(0, 63), rng.randint(4, 64))] = rng.choice(FACTS)
    return list(rows.items())


def test_thousands_of_prefixes_agree_with_radix() -> None:
    rng = random.Random(5)
    rows = [random_rows(rng, count) for count in (50, 400, 3000, 2000)]
    geography, _ = merged(layers_of(*rows))
    oracle = Oracle(rows)
    for text, _ in random_rows(rng, 3000):
        assert view_at(geography, text) == oracle.view(text)


def arrays_of(geography: Geography) -> list[bytes]:
    columns = [
        getattr(geography.views, name) for name in ("country", "region", "isp", "continent", "asn", "lat", "lon")
    ]
    for located in (geography.v4, geography.v6):
        columns += [located.starts, located.nodes, located.node_len, located.node_parent, located.node_view]
    return [repr(geography.views.strings).encode(), *(column.tobytes() for column in columns)]


def test_equal_files_give_equal_arrays() -> None:
    rng = random.Random(6)
    rows = [random_rows(rng, count) for count in (20, 200, 500, 300)]
    more = facts_of("isp2.csv", TABLE, random_rows(rng, 100))
    layers = layers_of(*rows)
    first = arrays_of(merged(layers._replace(isp_tables=[*layers.isp_tables, more]))[0])
    again = arrays_of(merged(layers_of(*rows)._replace(isp_tables=[more, *layers.isp_tables]))[0])
    assert first == again


def test_the_order_of_rows_moves_nothing() -> None:
    rng = random.Random(7)
    rows = [random_rows(rng, count) for count in (20, 200, 500, 300)]
    first = merged(layers_of(*rows))[0]
    other = merged(layers_of(*(rng.sample(list(layer), len(layer)) for layer in rows)))[0]
    for bits in (32, 64):
        one, two = first.family(bits), other.family(bits)
        for name in ("starts", "nodes", "node_len", "node_parent"):
            assert getattr(one, name).tolist() == getattr(two, name).tolist()
        views = [first.views.view(row) for row in one.node_view.tolist()]
        assert views == [other.views.view(row) for row in two.node_view.tolist()]


# Several files of one layer.


@pytest.fixture
def two_tables(table: Callable[..., Facts]) -> list[Facts]:
    return [
        table("data/isp/b.csv", "192.0.2.0/24,unicom,,,,,", "192.0.0.0/16,unicom,,,,,", "2001:db8::/32,unicom,,,,,"),
        table(
            "data/isp/a.csv", "192.0.2.0/24,chinanet,,,,,", "192.0.2.128/25,unicom,,,,,", "2001:db8::/32,unicom,,,,,"
        ),
    ]


def test_across_files_the_longest_match_wins_then_the_first_name(two_tables: list[Facts]) -> None:
    layers = Layers(isp_tables=two_tables)
    geography, warnings = merged(layers)
    assert warnings == [
        "data/isp/b.csv:2:1: prefix: '192.0.2.0/24' has other facts in data/isp/a.csv, which wins",
    ]
    assert view_at(geography, "192.0.2.0/25").isp == "chinanet"
    assert view_at(geography, "192.0.2.128/25").isp == "unicom"
    assert view_at(geography, "192.0.3.0/24").isp == "unicom"
    words = locate(layers, ipaddress.ip_address("192.0.2.1").packed, 32).words
    assert [(word.layer, word.path, word.line, word.fact.isp) for word in words] == [
        ("isp", "data/isp/a.csv", 2, "chinanet")
    ]


def test_equal_facts_tie_silently_and_unknown_coordinates_are_equal(table: Callable[..., Facts]) -> None:
    rows = ("192.0.2.0/24,unicom,,CN,SH,,", "198.51.100.0/24,,,,,1.5,2.5")
    assert merged(Layers(isp_tables=[table("a.csv", *rows), table("b.csv", *rows)]))[1] == []


def test_many_ties_are_counted(table: Callable[..., Facts]) -> None:
    rows = [f"10.{number}.0.0/16" for number in range(MAX_TIES + 5)]
    first = table("a.csv", *(f"{row},unicom,,,,," for row in rows), "2001:db8::/32,unicom,,,,,")
    second = table("b.csv", *(f"{row},chinanet,,,,," for row in reversed(rows)), "2001:db8::/32,chinanet,,,,,")
    warnings = merged(Layers(isp_tables=[first, second]))[1]
    assert warnings[0] == f"b.csv:2:1: prefix: '10.{MAX_TIES + 4}.0.0/16' has other facts in a.csv, which wins"
    assert len(warnings) == MAX_TIES + 2
    assert warnings[MAX_TIES] == "b.csv:0:0: 5 more IPv4 prefixes have other facts in a.csv, which wins"
    assert warnings[-1] == f"b.csv:{MAX_TIES + 7}:1: prefix: '2001:db8::/32' has other facts in a.csv, which wins"


def test_ties_of_databases_are_counted_and_three_files_told_apart() -> None:
    paths = ["c.mmdb", "a.mmdb", "b.mmdb"]
    facts = {"a.mmdb": SHANGHAI, "b.mmdb": GERMANY, "c.mmdb": View(country="FR", continent="EU")}
    extra = {"a.mmdb": [], "b.mmdb": [("198.51.100.0/24", GERMANY)], "c.mmdb": [("198.51.100.0/24", SHANGHAI)]}
    files = [facts_of(path, PLACE, [("192.0.2.0/24", facts[path]), *extra[path]]) for path in paths]
    geography, warnings = merged(Layers(places=files))
    assert warnings == [
        "b.mmdb:0:0: 1 IPv4 prefixes have other facts in a.mmdb, which wins",
        "c.mmdb:0:0: 1 IPv4 prefixes have other facts in a.mmdb, which wins",
        "c.mmdb:0:0: 1 IPv4 prefixes have other facts in b.mmdb, which wins",
    ]
    assert view_at(geography, "192.0.2.0/24") == SHANGHAI
    assert view_at(geography, "198.51.100.0/24") == GERMANY


@pytest.mark.parametrize(
    ("address", "source", "prefix", "private", "isp"),
    [
        ("192.0.2.1", 32, (32, 0xC0000201, 32), 0, "unicom"),
        ("192.0.2.1", 24, (32, 0xC0000200, 24), 0, "unicom"),
        ("192.0.2.1", 16, (32, 0xC0000000, 16), 0, ""),
        ("::ffff:192.0.2.1", 128, (32, 0xC0000201, 32), 0, "unicom"),
        ("::ffff:192.0.2.1", 120, (32, 0xC0000200, 24), 0, "unicom"),
        ("::ffff:192.0.2.1", 96, (64, 0, 64), 0, ""),
        ("2002:c000:201::1", 64, (32, 0xC0000201, 32), 0, "unicom"),
        ("2002:c000:201::1", 40, (32, 0xC0000200, 24), 0, "unicom"),
        ("2002:c000:201::1", 16, (64, 0x2002000000000000, 16), 0, ""),
        ("64:ff9b::192.0.2.1", 128, (32, 0xC0000201, 32), 0, "unicom"),
        ("2001:0:4136:e378:8000:63bf:3fff:fdfe", 128, (32, 0xC0000201, 32), 0, "unicom"),
        ("2001:db8::1", 128, (64, 0x20010DB800000000, 64), 0, "chinanet"),
        ("2001:db8::1", 32, (64, 0x20010DB800000000, 32), 0, "chinanet"),
        ("10.0.0.1", 32, (32, 0x0A000001, 32), 8, "office"),
        ("fd00::1", 128, (64, 0xFD00000000000000, 64), 7, ""),
    ],
)
def test_locate(address: str, source: int, prefix: tuple[int, int, int], private: int, isp: str) -> None:
    rows = [
        ("192.0.2.0/24", View(isp="unicom")),
        ("2001:db8::/32", View(isp="chinanet")),
        ("10.0.0.0/8", View(isp="office")),
    ]
    found = locate(layers_of(isp=rows), ipaddress.ip_address(address).packed, source)
    assert (found.prefix, found.private_length, found.view.isp) == (prefix, private, isp)


def test_locate_tells_each_layers_word() -> None:
    layers = layers_of(
        networks=[("192.0.2.0/25", View(isp="unicom"))],
        place=[("192.0.0.0/8", SHANGHAI), ("192.0.0.0/16", GERMANY)],
        asn=[("198.51.100.0/24", View(isp="AS1", asn=1))],
    )
    found = locate(layers, ipaddress.ip_address("192.0.2.1").packed, 32)
    assert [(word.layer, word.path, word.line, word.prefix, word.fact) for word in found.words] == [
        ("networks", "networks.csv", 2, (32, 0xC0000200, 25), View(isp="unicom")),
        ("place", "place.mmdb", 3, (32, 0xC0000000, 16), GERMANY),
    ]
    assert found.view == GERMANY._replace(isp="unicom")
