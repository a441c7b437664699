"""Scopes of different answers never overlap, whatever the nesting of facts; both families, IPv4 inside IPv6 too."""

from __future__ import annotations

import ipaddress
from itertools import combinations

import pytest
from gslbtest.network import EDGES, ISPS
from gslbtest.packets import asks, edns, subnet
from gslbtest.world import World, world
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.snapshot.layout import CLASS_PRIVATE

ZONE = """
zone: live.example.
soa: {mname: ns1, rname: hostmaster, serial: 1}
records: {"@": {NS: ns1.other.test.}}
services:
  near: {pool: all, affinity: nearest, ttl: 20}
  isp: {pool: all, affinity: [isp+region, isp+country, isp, country, any], ttl: 20, hash_len: {v4: 24, v6: 44}}
  one: {pool: fenced, affinity: [any], ttl: 20}
  told: {pool: all, affinity: [any], ttl: 20, dispatch: true}
pools:
  all: {ber-1: 100, ber-2: 50, par-1: 100, par-6: 100, nyc-1: 100}
  fenced: {nyc-1: 100}
"""
SERVICES = ("near", "isp", "one", "told")
FACTS = ("dtag,,DE,BE,52.5,13.4", ",7018,US,NY,40.7,-74.0", ",,FR,IDF,48.9,2.3", ",,US,,,", "dtag,,,,,")

# Nested around a few places, private and embedding blocks among them, so that facts meet each other's borders.
ANCHORS4 = ("9.255.255.255", "11.0.0.0", "127.255.255.255", "198.51.100.128", "198.51.101.0", "0.0.0.0", "192.168.0.1")
ANCHORS6 = ("2001:db8:1::", "2001:db8:1:8000::", "::", "64:ff9b::", "2002::", "2001::", "fc00::", "fe80::", "2001:1::")
INSIDE = ("::ffff:{}", "64:ff9b::{}")


@st.composite
def prefixes4(draw: st.DrawFn) -> str:
    anchor = int(ipaddress.IPv4Address(draw(st.sampled_from(ANCHORS4)))) ^ draw(
        st.sampled_from((0, 1, 1 << 7, 1 << 12))
    )
    return str(ipaddress.ip_network((anchor, draw(st.integers(1, 32))), strict=False))


@st.composite
def prefixes6(draw: st.DrawFn) -> str:
    anchor = int(ipaddress.IPv6Address(draw(st.sampled_from(ANCHORS6)))) ^ draw(st.sampled_from((0, 1 << 64, 1 << 81)))
    return str(ipaddress.ip_network((anchor, draw(st.integers(1, 64))), strict=False))


@st.composite
def clients6(draw: st.DrawFn) -> str:
    """IPv6 prefixes of any length, those that carry IPv4 among them."""
    four = ipaddress.IPv4Address(draw(st.sampled_from(ANCHORS4)))
    length = draw(st.integers(1, 128))
    address = draw(
        st.sampled_from(
            (
                int(ipaddress.IPv6Address(draw(st.sampled_from(ANCHORS6)))),
                int(ipaddress.IPv6Address(draw(st.sampled_from(INSIDE)).format(four))),
                (0x2002 << 112) | int(four) << 80,
                (0x20010000 << 96) | int(four) ^ 0xFFFFFFFF,
                draw(st.integers(0, 3)),
                0xFFFE00000000,
            )
        )
    )
    return str(ipaddress.ip_network((address, length), strict=False))


def table(rows: list[tuple[str, str]]) -> str:
    return "prefix,isp,asn,country,region,lat,lon\n" + "".join(f"{prefix},{fact}\n" for prefix, fact in rows)


facts = st.lists(
    st.tuples(prefixes4() | prefixes6(), st.sampled_from(FACTS)), max_size=12, unique_by=lambda row: row[0]
)


@pytest.mark.no_cover
@settings(max_examples=150, deadline=None)
@given(facts, st.lists(prefixes4() | clients6(), min_size=2, max_size=14, unique=True), st.sampled_from(SERVICES))
def test_answers_under_overlapping_scopes_are_equal(rows: list[tuple[str, str]], asked: list[str], name: str) -> None:
    net = world(
        {"zones/edges.yaml": EDGES, "zones/isps.yaml": ISPS, "zones/live.example.yaml": ZONE},
        {"data/isp/facts.csv": table(rows)},
    )
    answers = [answer(net, name, ipaddress.ip_network(client)) for client in asked]
    known = [(scope, reply) for scope, reply in answers if scope is not None]
    for (scope, reply), (other_scope, other_reply) in combinations(known, 2):
        if scope.version == other_scope.version and scope.overlaps(other_scope):
            assert (scope, reply) == (other_scope, other_reply)


def answer(
    net: World, name: str, client: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network | None, bytes]:
    """The prefix that an answer is for and its records; no prefix where the scope exceeds the source."""
    source = client.prefixlen
    family = 1 if client.version == 4 else 2
    option = subnet(family, source, client.network_address.packed[: (source + 7) // 8])
    query = edns(option, question=asks(bytes((len(name),)) + name.encode() + b"\x04live\x07example\0"))
    reply = net.ask(query)
    assert reply is not None
    end = len(reply) - len(option)
    assert reply[end : end + 7] == option[:7]
    assert reply[end + 8 :] == option[8:]
    scope = reply[end + 7]
    whole = 32 if family == 1 else 128
    assert 0 < scope <= whole
    if scope > source:
        return None, b""
    return client.supernet(new_prefix=scope), reply[: end - 11]  # without the rest of OPT, whose length differs


def test_private_class_is_no_class() -> None:
    """Policies number their classes far below the marks of special rows."""
    net = world({"zones/edges.yaml": EDGES, "zones/isps.yaml": ISPS, "zones/live.example.yaml": ZONE})
    assert max(policy.classes for policy in net.catalog.policies) < CLASS_PRIVATE // 2
