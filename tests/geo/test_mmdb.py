"""MaxMind DB files: MaxMind's own test databases, files made to order, and broken ones."""

from __future__ import annotations

import ipaddress
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import maxminddb
import numpy as np
import pytest
from mmdb_writer import Encoder, MmdbF32, MmdbI32, MmdbU16, MmdbU32, MmdbU64, MmdbU128

from gslb.errors import Findings
from gslb.geo import mmdb
from gslb.geo.facts import NETWORK, PLACE, Facts
from gslb.geo.isps import IspNames
from gslb.geo.layers import Layers
from gslb.geo.view import Geography, merge
from gslb.model.geography import CONTINENT_OF
from gslb.model.view import View


def read(path: Path, isps: IspNames) -> tuple[Facts | None, list[str], list[str]]:
    """Facts, errors and warnings of a file shown as x.mmdb."""
    findings = Findings()
    facts = mmdb.read(path, isps, findings, shown="x.mmdb")
    return facts, [str(error) for error in findings.errors], [str(warning) for warning in findings.warnings]


def view_at(geography: Geography, address: str | ipaddress.IPv6Address | ipaddress.IPv4Address) -> View:
    found = ipaddress.ip_address(address)
    bits, start = (32, int(found)) if found.version == 4 else (64, int(found) >> 64)
    return geography.views.view(geography.family(bits).view_of(start, bits))


def geography_of(facts: Facts) -> Geography:
    layers = Layers(places=[facts]) if facts.kind == PLACE else Layers(asns=[facts])
    return merge(layers, Findings())


# MaxMind's test databases and the JSON they are made from.


def place_of(record: Mapping[str, Any]) -> View:
    country = record.get("country", {}).get("iso_code", "")
    location = record.get("location", {})
    return View(
        country=country,
        region=record.get("subdivisions", [{}])[0].get("iso_code", "") if country else "",
        continent=CONTINENT_OF.get(country) or record.get("continent", {}).get("code", ""),
        lat=location.get("latitude"),
        lon=location.get("longitude"),
    )


def network_of(record: Mapping[str, Any]) -> View:
    asn = record.get("autonomous_system_number", 0)
    return View(isp=f"AS{asn}" if asn else "", asn=asn)


def sources(path: Path) -> dict[ipaddress.IPv6Network, dict[str, Any]]:
    """The networks of a JSON source in the tree's own terms: IPv4 below ::/96."""
    found = {}
    for entry in json.loads(path.read_text()):
        for text, record in entry.items():
            network = ipaddress.ip_network(text)
            if network.version == 4:
                network = ipaddress.IPv6Network((int(network.network_address), 96 + network.prefixlen))
            found[network] = record
    return found


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("GeoIP2-City-Test", "GeoIP2-City-Test", place_of),
        ("GeoIP2-ISP-Test", "GeoIP2-ISP-Test", network_of),
        ("GeoLite2-ASN-Test", "GeoLite2-ASN-Test", network_of),
    ],
)
def test_every_network_of_the_sources_is_located(
    name: str, source: str, expected: Callable[[Mapping[str, Any]], View], shared: Path
) -> None:
    folder = shared / "data" / "maxmind-test"
    facts, errors, warnings = read(folder / f"{name}.mmdb", IspNames(()))
    assert (errors, warnings) == ([], [])
    assert facts is not None
    geography = geography_of(facts)
    networks = sources(folder / f"{source}.json")
    by_length = sorted(networks, key=lambda network: -network.prefixlen)
    checked = 0
    for network in networks:
        for address in (network[0], network[-1]):
            record = next(networks[each] for each in by_length if address in each)
            plain = int(address) >> 32 == 0
            assert view_at(geography, ipaddress.IPv4Address(int(address)) if plain else address) == expected(record), (
                network
            )
            checked += 1
    assert checked == 2 * len(networks) > 400


@pytest.mark.parametrize(
    ("name", "kind", "warnings"),
    [
        ("GeoIP2-City-Test", PLACE, []),
        ("GeoLite2-City-Test", PLACE, []),
        ("GeoIP2-Country-Test", PLACE, ["x.mmdb:0:0: 65 IPv6 networks longer than /64 are left out"]),
        ("GeoIP2-ISP-Test", NETWORK, []),
        ("GeoLite2-ASN-Test", NETWORK, []),
    ],
)
def test_every_network_of_the_databases_is_there(name: str, kind: str, warnings: list[str], shared: Path) -> None:
    """Against the library's own walk over the tree."""
    path = shared / "data" / "maxmind-test" / f"{name}.mmdb"
    facts, errors, told = read(path, IspNames(()))
    assert facts is not None
    assert (facts.kind, errors, told) == (kind, [], warnings)
    expected = place_of if kind == PLACE else network_of
    assert networks_of(facts) == walked(path, expected)


def walked(path: Path, expected: Callable[[Mapping[str, Any]], View]) -> dict[str, View]:
    with maxminddb.open_database(path) as reader:
        networks = [(ipaddress.ip_network(network), record) for network, record in reader]
    return {
        str(network): expected(record)
        for network, record in networks
        if network.version == 4 or network.prefixlen <= 64
    }


def networks_of(facts: Facts) -> dict[str, View]:
    found = {}
    for family, width in ((facts.v4, 32), (facts.v6, 128)):
        for start, length, row in zip(family.starts.tolist(), family.lens.tolist(), family.facts.tolist(), strict=True):
            packed = start.to_bytes(4) if width == 32 else (start << 64).to_bytes(16)
            found[str(ipaddress.ip_network((packed, length)))] = facts.table.view(row)
    return found


TREE_TOO_LONG = "Error opening database file. The search tree extends past the end of the file."


@pytest.mark.parametrize(
    ("name", "swap", "error"),
    [
        (
            "GeoIP2-City-Test-Broken-Double-Format",
            None,
            "broken: record of 2.125.160.216/29: a value of type 3 and 5 bytes",
        ),
        (
            "GeoIP2-City-Test-Invalid-Node-Count",
            None,
            f"not a whole MaxMind database: {TREE_TOO_LONG}",
        ),
        (
            "MaxMind-DB-test-broken-search-tree-24",
            None,
            "database type 'Test' is none of City, Country, Enterprise, ISP, ASN",
        ),
        (
            "MaxMind-DB-test-broken-search-tree-24",
            (b"DTest", b"DCity"),
            "broken: the search tree leads to one node in two ways",
        ),
        (
            "MaxMind-DB-no-ipv4-search-tree",
            None,
            "database type 'MaxMind DB No IPv4 Search Tree' is none of City, Country, Enterprise, ISP, ASN",
        ),
        (
            "MaxMind-DB-no-ipv4-search-tree",
            (b"No IPv4 Search Tree", b"No IPv4-Search City"),
            "broken: record of 0.0.0.0/0: it is not a map",
        ),
    ],
)
def test_maxminds_broken_databases(
    name: str, swap: tuple[bytes, bytes] | None, error: str, shared: Path, tmp_path: Path
) -> None:
    """Those of an unknown type are tried under a known one, too."""
    content = (shared / "data" / "maxmind-test" / f"{name}.mmdb").read_bytes()
    path = tmp_path / "x.mmdb"
    path.write_bytes(content.replace(*swap) if swap else content)
    facts, errors, warnings = read(path, IspNames(()))
    assert (facts, warnings, len(errors)) == (None, [], 1)
    assert errors == [f"x.mmdb:0:0: {error}"]


# Files made to order.


@pytest.mark.parametrize(
    ("database_type", "kind"),
    [
        ("GeoIP2-City", PLACE),
        ("GeoLite2-City", PLACE),
        ("GeoIP2-City-North-America", PLACE),
        ("GeoIP2-Precision-Enterprise", PLACE),
        ("GeoLite2-Country", PLACE),
        ("DBIP-City-Lite", PLACE),
        ("DBIP-Location-ISP (compat=Enterprise)", PLACE),
        ("GeoIP2-ISP", NETWORK),
        ("GeoLite2-ASN", NETWORK),
        ("DBIP-ASN-Lite (compat=GeoLite2-ASN)", NETWORK),
        ("GeoIP2-Anonymous-IP", None),
        ("GeoIP2-Domain", None),
        ("GeoIP2-Connection-Type", None),
        ("Velocity", None),
        ("", None),
    ],
)
def test_kinds(database_type: str, kind: str | None) -> None:
    assert mmdb.kind_of(database_type) == kind


@pytest.mark.parametrize("record_size", [24, 28, 32])
@pytest.mark.parametrize("ip_version", [4, 6])
def test_random_trees_agree_with_the_library(
    record_size: int, ip_version: int, mmdb_writer: Any, tmp_path: Path
) -> None:
    rng = random.Random(record_size + ip_version)
    writer = mmdb_writer(ip_version=ip_version, record_size=record_size)
    countries = sorted(CONTINENT_OF)
    taken: list[Any] = []
    while len(taken) < 400:
        if ip_version == 4 or rng.random() < 0.5:
            length = rng.randint(3, 32)
            network: Any = ipaddress.IPv4Network((rng.getrandbits(32) >> (32 - length) << (32 - length), length))
        else:
            length = rng.randint(8, 70)
            network = ipaddress.IPv6Network((rng.getrandbits(128) | 1 << 127, length), strict=False)
        if not any(network.overlaps(other) for other in taken if other.version == network.version):
            taken.append(network)
            writer.add(str(network), {"country": {"iso_code": rng.choice(countries)}})
    path = tmp_path / "x.mmdb"
    path.write_bytes(writer.bytes())
    facts, errors, warnings = read(path, IspNames(()))
    assert facts is not None
    long = sum(network.version == 6 and network.prefixlen > 64 for network in taken)
    assert errors == []
    assert warnings == ([f"x.mmdb:0:0: {long} IPv6 networks longer than /64 are left out"] if long else [])
    assert networks_of(facts) == walked(path, place_of)
    assert len(networks_of(facts)) == 400 - long


def write(writer: Any, tmp_path: Path) -> Path:
    path = tmp_path / "x.mmdb"
    path.write_bytes(writer.bytes())
    return path


def test_aliases_of_ipv4_are_passed_over(mmdb_writer: Any, tmp_path: Path) -> None:
    writer = mmdb_writer()
    writer.add("192.0.2.0/24", {"country": {"iso_code": "DE"}})
    writer.add("2001:db8::/32", {"country": {"iso_code": "FR"}})
    for alias in ("2002::/16", "2001::/32", "::ffff:0:0/96", "64:ff9b::/96"):
        writer.link(alias, writer.node("::/96"))
    facts, errors, warnings = read(write(writer, tmp_path), IspNames(()))
    assert facts is not None
    assert (errors, warnings) == ([], [])
    assert {network: view.country for network, view in networks_of(facts).items()} == {
        "192.0.2.0/24": "DE",
        "2001:db8::/32": "FR",
    }


@pytest.mark.parametrize(
    ("prefix", "v4", "v6", "left_out"),
    [
        ("::/0", ["0.0.0.0/0"], ["::/1", "8000::/1"], 0),
        ("::/1", ["0.0.0.0/0"], ["::/1"], 0),
        ("::/64", ["0.0.0.0/0"], ["::/64"], 0),
        ("::/80", ["0.0.0.0/0"], [], 0),
        ("::/96", ["0.0.0.0/0"], [], 0),
        ("::/97", ["0.0.0.0/1"], [], 0),
        ("8000::/1", [], ["8000::/1"], 0),
        ("::1:0:0:0/80", [], [], 1),
        ("2001:db8::/65", [], [], 1),
        ("2001:db8::1/128", [], [], 1),
    ],
)
def test_wide_and_long_networks(
    prefix: str, v4: list[str], v6: list[str], left_out: int, mmdb_writer: Any, tmp_path: Path
) -> None:
    writer = mmdb_writer()
    for half in ("::/1", "8000::/1") if prefix == "::/0" else (prefix,):
        writer.add(half, {"country": {"iso_code": "DE"}})
    facts, _, warnings = read(write(writer, tmp_path), IspNames(()))
    assert facts is not None
    assert sorted(networks_of(facts)) == sorted(v4 + v6)
    assert warnings == ([f"x.mmdb:0:0: {left_out} IPv6 networks longer than /64 are left out"] if left_out else [])


@pytest.mark.parametrize("ip_version", [4, 6])
def test_a_database_without_networks(ip_version: int, mmdb_writer: Any, tmp_path: Path) -> None:
    path = write(mmdb_writer(ip_version=ip_version), tmp_path)
    facts, errors, _ = read(path, IspNames(()))
    assert facts is not None
    assert (networks_of(facts), errors) == ({}, [])


@pytest.mark.parametrize(
    ("record", "view"),
    [
        ({}, View()),
        ({"country": {"iso_code": "NO"}}, View(country="NO", continent="EU")),
        (
            {"country": {"iso_code": "GB"}, "subdivisions": [{"iso_code": "ENG"}, {"iso_code": "WBK"}]},
            View(country="GB", region="ENG", continent="EU"),
        ),
        ({"country": {"iso_code": "GB"}, "subdivisions": []}, View(country="GB", continent="EU")),
        ({"country": {"iso_code": "GB"}, "subdivisions": ["x"]}, View(country="GB", continent="EU")),
        ({"continent": {"code": "EU"}}, View(continent="EU")),
        ({"continent": {"code": "EU"}, "country": {"iso_code": "CN"}}, View(country="CN", continent="AS")),
        ({"registered_country": {"iso_code": "US"}}, View()),
        ({"country": {"iso_code": "ZZ"}, "continent": {"code": "EU"}}, View(country="ZZ", continent="EU")),
        ({"country": {"iso_code": "de"}}, View()),
        ({"country": {"iso_code": 7}, "continent": "EU", "location": [1]}, View()),
        ({"location": {"latitude": 51.5, "longitude": -0.5}}, View(lat=51.5, lon=-0.5)),
        ({"location": {"latitude": 51.5}}, View()),
        ({"location": {"latitude": 91.0, "longitude": 0.0}}, View()),
        ({"location": {"latitude": float("nan"), "longitude": 0.0}}, View()),
        ({"location": {"latitude": "51", "longitude": 0.0}}, View()),
        ({"traits": {"autonomous_system_number": 4134, "isp": "China Telecom"}}, View()),
    ],
)
def test_places(record: dict[str, Any], view: View, mmdb_writer: Any, tmp_path: Path) -> None:
    writer = mmdb_writer("GeoIP2-Enterprise")
    writer.add("192.0.2.0/24", record)
    facts, errors, _ = read(write(writer, tmp_path), IspNames(()))
    assert errors == []
    assert facts is not None
    assert networks_of(facts) == {"192.0.2.0/24": view}


@pytest.mark.parametrize(
    ("record", "view"),
    [
        ({}, View()),
        ({"autonomous_system_number": 4134}, View(isp="chinanet", asn=4134)),
        ({"autonomous_system_number": 1221, "isp": "Telstra Internet"}, View(isp="AS1221", asn=1221)),
        ({"isp": "Telstra Internet"}, View()),  # a text alone that isps.yaml does not know
        ({"isp": "CHINA TELECOM"}, View(isp="chinanet")),
        ({"autonomous_system_number": 4837, "isp": "China Telecom"}, View(isp="chinanet", asn=4837)),
        (
            {
                "autonomous_system_number": 4538,
                "autonomous_system_organization": "China Education and Research Network",
            },
            View(isp="cernet", asn=4538),
        ),
        (
            {"autonomous_system_number": 4538, "autonomous_system_organization": "CHINANET", "isp": "x"},
            View(isp="AS4538", asn=4538),
        ),
        ({"autonomous_system_number": 0}, View()),
        ({"autonomous_system_number": "4134"}, View()),
        ({"autonomous_system_number": 4294967296}, View()),
    ],
)
def test_networks(record: dict[str, Any], view: View, isps: IspNames, mmdb_writer: Any, tmp_path: Path) -> None:
    writer = mmdb_writer("GeoIP2-ISP")
    writer.add("192.0.2.0/24", record)
    facts, errors, _ = read(write(writer, tmp_path), isps)
    assert errors == []
    assert facts is not None
    assert networks_of(facts) == {"192.0.2.0/24": view}


# Files broken to order: one clear error each, and never a crash, a hang or unbounded memory.


@pytest.mark.parametrize("ip_version", [4, 6])
@pytest.mark.parametrize("target", ["0.0.0.0/0", "128.0.0.0/1", "128.0.0.0/20"])
def test_cycles(ip_version: int, target: str, mmdb_writer: Any, tmp_path: Path) -> None:
    writer = mmdb_writer(ip_version=ip_version)
    writer.add("128.0.0.0/24", {})
    root = writer.root if ip_version == 4 else writer.node("::/96")
    node = root if target == "0.0.0.0/0" else writer.node(target)
    writer.link("128.0.1.0/24", node)
    assert read(write(writer, tmp_path), IspNames(()))[:2] == (
        None,
        ["x.mmdb:0:0: broken: the search tree leads to one node in two ways"],
    )


def test_a_tree_that_folds_onto_itself_is_refused_at_once(mmdb_database: Any, mmdb_writer: Any, tmp_path: Path) -> None:
    """Each node leads twice to the next: 2**127 networks, had they to be counted."""
    records = np.repeat(np.arange(1, 129, dtype=np.uint32)[:, None], 2, axis=1)
    path = tmp_path / "x.mmdb"
    path.write_bytes(mmdb_database(records, b"\xe0", mmdb_writer().metadata))
    assert read(path, IspNames(()))[1] == ["x.mmdb:0:0: broken: the search tree leads to one node in two ways"]


@pytest.mark.parametrize(("ip_version", "prefix"), [(4, "192.0.2.1/32"), (6, "192.0.2.1/32"), (6, "2001:db8::1/128")])
def test_a_tree_deeper_than_addresses(ip_version: int, prefix: str, mmdb_writer: Any, tmp_path: Path) -> None:
    writer = mmdb_writer(ip_version=ip_version)
    writer.link(prefix, [None, None])
    assert read(write(writer, tmp_path), IspNames(()))[1] == [
        "x.mmdb:0:0: broken: the search tree is deeper than an address has bits"
    ]


@pytest.mark.parametrize("offset", [-1, -16, 10_000])
def test_a_tree_that_points_outside_the_data(offset: int, mmdb_writer: Any, tmp_path: Path) -> None:
    writer = mmdb_writer()
    writer.add("198.51.100.0/24", {})
    writer.link("192.0.2.0/24", offset)
    errors = read(write(writer, tmp_path), IspNames(()))[1]
    # 16 bytes before the data section is no network at all: the value of an empty record
    expected = [] if offset == -16 else ["x.mmdb:0:0: broken: record of 192.0.2.0/24: it is outside the data section"]
    assert errors == expected


def test_records_that_are_no_maps(mmdb_writer: Any, tmp_path: Path) -> None:
    writer = mmdb_writer()
    writer.add("192.0.2.0/24", ["DE"])
    writer.add("2001:db8::/32", {})
    errors = read(write(writer, tmp_path), IspNames(()))[1]
    assert errors == ["x.mmdb:0:0: broken: record of 192.0.2.0/24: it is not a map"]


def entry(key: bytes, value: bytes) -> bytes:
    """A map of one short text key."""
    return b"\xe1" + bytes([0x40 + len(key)]) + key + value


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x38\x00\x00\x00\x00", "a pointer points to a pointer"),  # itself
        (b"\x38\x00\x00\x00\x05\x41a", "it is not a map"),
        (b"\x41a", "it is not a map"),
        (b"\x00\x04", "it is not a map"),
        (entry(b"a", b"\x38\x7f\xff\xff\xff"), "a pointer leads out of the data section"),
        (entry(b"country", b"\x38\x00\x00\x00\xff"), "a pointer leads out of the data section"),
        (b"\xff\xff\xff\xff", "data is cut off"),  # a map of 16 million entries
        (b"\xff\xff\xff\xff\x41a\xc0", "data is cut off"),
        (entry(b"a", b"\x5f\xff\xff\xff"), "data is cut off"),  # a text of 16 MB
        (entry(b"country", b"\x5f\xff\xff\xff"), "data is cut off"),
        (entry(b"location", entry(b"latitude", b"\x68\x00")), "data is cut off"),
        (entry(b"location", entry(b"latitude", b"\x68\x00\x00\x00\x00")), "data is cut off"),
        (b"\xe1\x42a", "data is cut off"),
        (b"\xe1\x00", "data is cut off"),
        (b"\xe1\x68AAAAAAAA\x41a", "the key of a map is not a text"),  # a number for a key
        (b"\xe1\x38\x00\x00\x00\x00", "the key of a map is not a text"),  # itself for a key
        (entry(b"country", entry(b"iso_code", b"\x42\xff\xff")), "a text is not UTF-8"),
        (entry(b"country", entry(b"iso_code", b"\x00\xf0")), "a value of type 247 and 0 bytes"),
        (entry(b"country", entry(b"iso_code", b"\xa3abc")), "a value of type 5 and 3 bytes"),
        (entry(b"country", entry(b"iso_code", b"\x05\x01abcde")), "a value of type 8 and 5 bytes"),
        (entry(b"country", entry(b"iso_code", b"\x02\x07")), "a value of type 14 and 2 bytes"),
        (entry(b"country", entry(b"iso_code", b"\x61a")), "a value of type 3 and 1 bytes"),
        (entry(b"country", entry(b"iso_code", b"\x01\x08a")), "a value of type 15 and 1 bytes"),
    ],
)
def test_broken_records(data: bytes, reason: str, mmdb_writer: Any, tmp_path: Path) -> None:
    writer = mmdb_writer()
    writer.link("192.0.2.0/24", 0)
    writer.encoder.data_list.append(data)
    facts, errors, _ = read(write(writer, tmp_path), IspNames(()))
    assert (facts, errors) == (None, [f"x.mmdb:0:0: broken: record of 192.0.2.0/24: {reason}"])


def test_unfolding_and_cyclic_records_cost_nothing(
    mmdb_writer: Any, pointer: Callable[[int], bytes], tmp_path: Path
) -> None:
    """Thirty arrays of two, each pointing twice to the next, and at the end the record itself."""
    for key in (b"a", b"country", b"subdivisions"):
        writer = mmdb_writer()
        writer.link("192.0.2.0/24", 0)
        data = entry(key, b"")
        for _ in range(30):
            data += b"\x02\x04" + pointer(len(data) + 12) * 2
        writer.encoder.data_list.append(data + b"\x01\x04" + pointer(0))
        facts, errors, _ = read(write(writer, tmp_path), IspNames(()))
        assert errors == []
        assert facts is not None
        assert networks_of(facts) == {"192.0.2.0/24": View()}


def test_records_that_lie_over_one_another_are_refused(mmdb_writer: Any, tmp_path: Path) -> None:
    """Each record runs to the end of the data: read one by one they would cost the square of the file's size."""
    writer = mmdb_writer()
    for number in range(2000):
        writer.link(f"10.{number >> 8}.{number & 255}.0/24", number * 5)
    writer.encoder.data_list.append(b"\xe1\x41a\x01\x04" * 2000 + b"\xc0")
    errors = read(write(writer, tmp_path), IspNames(()))[1]
    assert len(errors) == 1
    assert errors[0].endswith(": records lie over one another")


def test_every_type_of_value(mmdb_writer: Any, tmp_path: Path) -> None:
    """What is not wanted is stepped over, whatever its type and size."""
    values = {
        "text": "x" * 40, "long": "x" * 400, "longer": "x" * 70_000, "bytes": b"\0" * 30, "yes": True, "no": False,
        "u16": MmdbU16(7), "u32": MmdbU32(7), "u64": MmdbU64(7), "u128": MmdbU128(1 << 100), "i32": MmdbI32(-7),
        "float": MmdbF32(1.5), "double": 1.5, "list": [1, [2, {"a": [3]}], "4"], "map": {"a": {"b": {"c": [True]}}},
        "wide": {f"key {number}": number for number in range(40)},
    }  # fmt: skip
    writer = mmdb_writer()
    place = {"country": {**values, "iso_code": "DE"}, "location": {"latitude": MmdbF32(1.5), "longitude": MmdbI32(-7)}}
    writer.add("192.0.2.0/24", {**values, **place})
    for number, (key, value) in enumerate(values.items()):
        writer.add(
            f"198.51.100.{number}/32", {"country": {"iso_code": value}, "continent": value, "subdivisions": value}
        )
        writer.add(f"203.0.113.{number}/32", {"location": {"latitude": value, "longitude": 0.0}, key: value})
    facts, errors, _ = read(write(writer, tmp_path), IspNames(()))
    assert errors == []
    assert facts is not None
    found = networks_of(facts)
    assert found["192.0.2.0/24"] == View(country="DE", continent="EU", lat=1.5, lon=-7.0)
    lats = [found[f"203.0.113.{number}/32"].lat for number in range(len(values))]
    assert lats == [None, None, None, None, 1.0, 0.0, 7.0, 7.0, 7.0, None, -7.0, 1.5, 1.5, None, None, None]


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 4096, b"\xab\xcd\xefMaxMind.com", b"prefix,isp\n"])
def test_files_that_are_no_database(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.mmdb"
    path.write_bytes(content)
    facts, errors, _ = read(path, IspNames(()))
    assert (facts, len(errors)) == (None, 1)
    assert errors[0].startswith("x.mmdb:0:0: not a whole MaxMind database: ")
    assert str(tmp_path) not in errors[0]


def test_every_truncation_is_refused_or_changes_nothing(mmdb_writer: Any, tmp_path: Path) -> None:
    writer = mmdb_writer()
    writer.add("192.0.2.0/24", {"country": {"iso_code": "DE"}})
    content = writer.bytes()
    path = tmp_path / "x.mmdb"
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        facts, errors, _ = read(path, IspNames(()))
        assert (facts, len(errors)) == (None, 1)


@pytest.mark.no_cover
def test_flipped_bytes_never_raise(mmdb_writer: Any, tmp_path: Path) -> None:
    writer = mmdb_writer(record_size=24)
    for number in range(30):
        writer.add(f"192.0.{number}.0/24", {"country": {"iso_code": "DE"}, "location": {"latitude": float(number)}})
    content = writer.bytes()
    path = tmp_path / "x.mmdb"
    rng = random.Random(9)
    outcomes = set()
    for _ in range(1500):
        changed = bytearray(content)
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        path.write_bytes(changed)
        facts, errors, _ = read(path, IspNames(()))
        assert (facts is None) == (len(errors) == 1)
        outcomes.add(facts is None)
    assert outcomes == {True, False}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({}, ""),
        ({"record_size": 26}, "not a whole MaxMind database: Unknown record size: 26"),
        ({"ip_version": 5}, "broken metadata: 97 nodes, records of 28 bits, IPv5"),
        ({"node_count": 0}, "broken metadata: 0 nodes, records of 28 bits, IPv6"),
        ({"node_count": 96}, "broken: no data section behind a search tree of 96 nodes"),
        ({"node_count": 98}, "broken: no data section behind a search tree of 98 nodes"),
        ({"node_count": 1_000_000}, f"not a whole MaxMind database: {TREE_TOO_LONG}"),
        ({"database_type": "Test"}, "database type 'Test' is none of City, Country, Enterprise, ISP, ASN"),
    ],
)
def test_broken_metadata(change: dict[str, Any], error: str, mmdb_writer: Any, tmp_path: Path) -> None:
    writer = mmdb_writer()
    writer.add("128.0.0.0/1", {})
    content = writer.bytes()
    end = content.rindex(b"MaxMind.com") + len(b"MaxMind.com")
    metadata = {"node_count": 97, **writer.metadata, **change}
    path = tmp_path / "x.mmdb"
    path.write_bytes(content[:end] + Encoder(cache=False).encode_meta(metadata))
    facts, errors, _ = read(path, IspNames(()))
    assert (facts is None) == (error != "")
    assert errors == ([f"x.mmdb:0:0: {error}"] if error else [])


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert read(tmp_path / "none.mmdb", IspNames(()))[1] == ["x.mmdb:0:0: cannot be read: No such file or directory"]
    assert read(tmp_path, IspNames(()))[1] == ["x.mmdb:0:0: cannot be read: Is a directory"]
