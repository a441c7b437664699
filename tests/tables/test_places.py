"""Prefixes joined with places: what servers find, for any prefix and any tables."""

from __future__ import annotations

import ipaddress
import random
from typing import Any

from gslbtest.tables import filled, ordered, run

from gslb.errors import Findings
from gslb.geo.isps import IspNames
from gslb.geo.layers import Layers
from gslb.geo.tables import read_networks
from gslb.geo.view import Geography, locate, merge
from gslb.measure import facts
from gslb.measure.arrow import Texts
from gslb.measure.engine import Engine
from gslb.model import records
from gslb.tables.places import located

CLIENT = {"client_family": records.WHOLE, "client_net": records.WHOLE, "client_len": records.WHOLE}
COLUMNS = {"at": records.WHOLE, **CLIENT}

COUNTRIES = ("CN", "DE", "FR", "US", "")
LENGTHS = {4: (0, 1, 8, 9, 12, 16, 20, 23, 24, 25, 28, 32), 6: (0, 1, 2, 16, 20, 32, 40, 47, 48, 56, 63, 64)}
ROOTS = {4: (0x0A000000, 0x0A0A0000, 0xC0000200, 0xFFFFFF00), 6: (0x20010DB8 << 32, 0x2002 << 48, 0xFE80 << 48, 0)}


def rows_of(geography: Geography) -> list[dict[str, Any]]:
    """`PLACES` as rows."""
    columns = {
        name: [column.texts[code] for code in column.codes] if isinstance(column, Texts) else column.tolist()
        for name, column in facts.places(geography).items()
    }
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def signed(family: int, start: int) -> int:
    return start - (1 << 64) if family == 6 and start >> 63 else start


def prefix(rng: random.Random, family: int) -> tuple[int, int, int]:
    """A prefix near others."""
    bits = 32 if family == 4 else 64
    length = rng.choice(LENGTHS[family])
    start = rng.choice(ROOTS[family]) ^ rng.getrandbits(rng.choice((4, 8, 12, bits - 16)))
    return family, start >> (bits - length) << (bits - length), length


def packed(family: int, start: int) -> bytes:
    return start.to_bytes(4) if family == 4 else (start << 64).to_bytes(16)


def table(rng: random.Random, count: int) -> bytes:
    """A table of nested prefixes of few places, coordinates among them that make other views of the same key."""
    found: dict[tuple[int, int, int], str] = {}
    for _ in range(count):
        country = rng.choice(COUNTRIES)
        region = rng.choice(("A", "B", "")) if country else ""
        coordinates = rng.choice(("1,2", "3,4", ","))
        found[prefix(rng, rng.choice((4, 6)))] = f"{rng.choice(('AS1', 'AS2', ''))},,{country},{region},{coordinates}"
    lines = [
        f"{ipaddress.ip_address(packed(family, start))}/{length},{rest}"
        for (family, start, length), rest in found.items()
    ]
    return "\n".join(["prefix,isp,asn,country,region,lat,lon", *lines]).encode()


def test_any_prefix_is_where_servers_take_it_to_be(engine: Engine) -> None:
    rng = random.Random(3)
    findings = Findings()
    isps = IspNames(())
    networks = read_networks("networks.csv", table(rng, 150), isps, findings)
    isp = read_networks("isp.csv", table(rng, 80), isps, findings)
    findings.raise_if_any()
    layers = Layers(networks, [isp])
    clients = list({prefix(rng, rng.choice((4, 6))): None for _ in range(1500)})
    rows = [
        {"at": at, "client_family": family, "client_net": signed(family, start), "client_len": length}
        for at, (family, start, length) in enumerate(clients)
    ]
    expected = []
    for row, (family, start, length) in zip(rows, clients, strict=True):
        view = locate(layers, packed(family, start), length).view
        expected.append(row | {"country": view.country, "region": view.region, "isp": view.isp})
    places = rows_of(merge(layers, findings))
    found = run(located, [(rows, COLUMNS), (places, records.PLACES)], engine)
    assert found == ordered(expected)
    assert len({(row["country"], row["region"], row["isp"]) for row in found}) > 10


def test_rows_stay_as_they_are_and_the_unplaced_are_nowhere(engine: Engine) -> None:
    places = filled(records.PLACES, {"family": 4, "net": 0x0A000000, "len": 8, "country": "DE"})
    client = {"client_family": 4, "client_net": 0x0A010000, "client_len": 16}
    nobody = {"client_family": 0, "client_net": 0, "client_len": 0}
    wider = {"client_family": 4, "client_net": 0x0A000000, "client_len": 7}
    rows = filled(COLUMNS, client, client, nobody, wider, {**client, "client_family": 6})
    found = run(located, [(rows, COLUMNS), (places, records.PLACES)], engine)
    inside = client | {"country": "DE", "region": "", "isp": ""}
    expected = [inside, inside, *(row | {"country": "", "region": "", "isp": ""} for row in rows[2:])]
    assert found == ordered([{"at": 0} | row for row in expected])


def test_without_places_all_are_nowhere(engine: Engine) -> None:
    rows = filled(COLUMNS, {"client_family": 4, "client_net": 0x0A010000, "client_len": 16})
    (found,) = run(located, [(rows, COLUMNS), ([], records.PLACES)], engine)
    assert (found["country"], found["region"], found["isp"]) == ("", "", "")


def test_only_what_tells_more_is_a_place() -> None:
    text = b"""prefix,isp,asn,country,region,lat,lon
10.0.0.0/8,,,DE,,1,2
10.1.0.0/16,,,DE,,3,4
10.1.2.0/24,,,FR,,,
10.1.3.0/24,,,DE,,,
11.0.0.0/9,AS1,,,,,
11.128.0.0/9,AS2,,,,,
8000::/1,,,US,,,
"""
    findings = Findings()
    geography = merge(Layers(read_networks("networks.csv", text, IspNames(()), findings)), findings)
    found = [(row["family"], row["net"], row["len"], row["country"], row["isp"]) for row in rows_of(geography)]
    assert found == [
        (4, 0x0A000000, 8, "DE", ""),
        (4, 0x0B000000, 9, "", "AS1"),
        (4, 0x0B800000, 9, "", "AS2"),
        (4, 0x0A010200, 24, "FR", ""),
        (6, -(1 << 63), 1, "US", ""),
    ]
