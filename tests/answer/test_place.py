"""Where a prefix is for one geometry: rows, longer facts that never decide, private blocks, IPv4 inside IPv6."""

from __future__ import annotations

import ipaddress

import pytest
from gslbtest.network import EDGES, ISPS
from gslbtest.world import World, world

from gslb.answer.client import place, resolver_prefix
from gslb.snapshot.layout import CLASS_PRIVATE

ZONE = """
zone: x.test.
soa: {mname: ns1, rname: h, serial: 1}
records: {"@": {NS: ns1.other.test.}}
services: {x: {pool: all, affinity: [country, any]}}
pools: {all: {ber-1: 1, par-1: 1, nyc-1: 1}}
"""
FACTS = """prefix,country
20.0.0.0/8,DE
20.1.0.0/16,FR
20.1.2.0/24,US
20.1.2.128/32,DE
8.0.0.0/6,US
2001:db8::/32,DE
2001:db8:1::/48,FR
2002:1401::/32,US
::/0,FR
10.9.0.0/16,US
"""


@pytest.fixture(scope="module")
def net() -> World:
    resolvers = "resolver_prefix,client_prefix,share\n192.0.2.0/24,20.1.2.0/24,1\n2001:db8:f::/48,20.0.0.0/8,1\n"
    return world(
        {"zones/edges.yaml": EDGES, "zones/isps.yaml": ISPS, "zones/x.yaml": ZONE},
        {"data/isp/f.csv": FACTS, "data/resolvers.csv": resolvers},
    )


def country(net: World, cls: int) -> str:
    """The country that a class is of: that of the edge on its first level."""
    if cls == CLASS_PRIVATE:
        return "private"
    policy = net.catalog.policies[0]
    at = policy.level + cls * policy.edge_count
    levels = net.catalog.arrays["policy_level"][at : at + policy.edge_count].tolist()
    return ("DE", "US", "FR")[levels.index(0)] if 0 in levels else "?"


@pytest.mark.parametrize(
    ("prefix", "expected", "row_len", "offset"),
    [
        ("20.7.0.0/16", "DE", 14, 0),
        ("20.1.7.0/24", "FR", 22, 0),
        ("20.1.2.0/24", "US", 25, 0),
        ("20.1.2.128/32", "DE", 32, 0),
        ("20.1.2.129/32", "US", 32, 0),
        ("20.1.2.130/32", "US", 31, 0),
        # shorter than their rows: only facts that are no longer decide
        ("20.1.0.0/16", "FR", 23, 0),
        ("20.1.2.0/23", "FR", 25, 0),
        ("20.0.0.0/8", "DE", 16, 0),
        ("0.0.0.0/1", "?", 5, 0),
        # private
        ("10.0.0.0/8", "private", 8, 0),
        ("10.9.1.0/24", "private", 8, 0),
        ("10.0.0.0/7", "US", 8, 0),
        ("11.0.0.0/8", "US", 8, 0),
        ("100.64.1.0/24", "private", 10, 0),
        ("::1/128", "private", 128, 0),
        ("::2/128", "FR", 127, 0),
        ("::/128", "FR", 128, 0),
        ("fd00::/8", "private", 7, 0),
        ("fe80::/64", "private", 10, 0),
        ("fc00::/6", "FR", 7, 0),
        # IPv6
        ("2001:db8:2::/48", "DE", 47, 0),
        ("2001:db8:1::/48", "FR", 48, 0),
        ("2001:db8:1:2::/64", "FR", 48, 0),
        ("2001:db8::/32", "DE", 48, 0),
        # IPv4 inside
        ("::ffff:20.1.2.0/120", "US", 25, 96),
        ("::ffff:20.1.2.0/119", "FR", 25, 96),
        ("::ffff:0:0/96", "FR", 5, 96),
        ("::ffff:10.0.0.0/104", "private", 8, 96),
        ("64:ff9b::1401:200/120", "US", 25, 96),
        ("64:ff9b::/96", "FR", 5, 96),
        ("64:ff9b::1:0:0/128", "FR", 96, 0),
        ("2002:1401:200::/40", "US", 25, 16),
        ("2002:1401::/32", "FR", 23, 16),
        ("2002::/16", "FR", 5, 16),
        ("2001::/32", "FR", 3, 96),
        (f"{ipaddress.IPv6Address((0x20010000 << 96) | (0x14010200 ^ 0xFFFFFFFF))}/128", "US", 25, 96),
    ],
)
def test_place(net: World, prefix: str, expected: str, row_len: int, offset: int) -> None:
    at = ipaddress.ip_network(prefix)
    found = place(net.catalog, 0, at.network_address.packed, at.prefixlen)
    assert (country(net, found.cls), found.row_len, found.offset) == (expected, row_len, offset)


@pytest.mark.parametrize(
    ("resolver", "prefix"),
    [
        ("192.0.2.7", (4, 0x14010200, 24)),
        ("::ffff:192.0.2.7", (4, 0x14010200, 24)),
        ("192.0.3.7", (4, 0xC0000307, 32)),
        ("2001:db8:f::1", (4, 0x14000000, 8)),
        ("2001:db8:e::1", (6, 0x20010DB8000E0000, 64)),
        ("127.0.0.1", (4, 0x7F000001, 32)),
    ],
)
def test_resolver(net: World, resolver: str, prefix: tuple[int, int, int]) -> None:
    assert resolver_prefix(net.catalog, ipaddress.ip_address(resolver).packed) == prefix
