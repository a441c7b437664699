"""Which client prefix stands for a resolver."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

import numpy as np
import pytest

from gslb.errors import Findings
from gslb.geo.facts import Facts
from gslb.geo.layers import Layers
from gslb.geo.resolvers import NOBODY, Resolvers, build
from gslb.geo.tables import read_resolvers
from gslb.geo.view import Geography, merge
from gslb.snapshot import layout


@pytest.fixture
def geography(table: Callable[..., Facts]) -> Geography:
    networks = table(
        "networks.csv",
        "198.51.100.0/28,unicom,,CN,SH,,",
        "198.51.100.16/28,unicom,,CN,SH,31.2,121.5",  # the same view key, another view
        "198.51.100.32/28,chinanet,,CN,SH,,",
        "198.51.100.64/26,unicom,,CN,BJ,,",
        "2001:db8::/32,chinanet,,CN,SH,,",
    )
    return merge(Layers(networks), Findings())


def resolvers(geography: Geography, *rows: str) -> Resolvers:
    findings = Findings()
    text = "\n".join(("resolver_prefix,client_prefix,share", *rows))
    shares = read_resolvers("resolvers.csv", text.encode(), findings)
    findings.raise_if_any()
    return build(shares, geography)


def client_of(found: Resolvers, resolver: str) -> str | None:
    address = ipaddress.ip_address(resolver)
    if address.version == 4:
        starts, rows, key = found.starts4, found.rows4, np.uint32(int(address))
    else:
        starts, rows, key = found.starts6, found.rows6, np.uint64(int(address) >> 64)
    row = rows[np.searchsorted(starts, key, side="right") - 1]
    if row == NOBODY:
        return None
    family, start, length = found.clients[row]
    network = ipaddress.ip_network((start.to_bytes(4) if family == 4 else (start << 64).to_bytes(16), length))
    return str(network)


@pytest.mark.parametrize(
    ("rows", "client"),
    [
        (["192.0.2.1/32,198.51.100.0/28,1"], "198.51.100.0/28"),
        (["192.0.2.0/24,198.51.100.0/28,1"], "198.51.100.0/28"),
        (["192.0.3.0/24,198.51.100.0/28,1"], None),
        # the largest share of one view
        (["192.0.2.1/32,198.51.100.0/28,0.4", "192.0.2.1/32,198.51.100.32/28,0.6"], "198.51.100.32/28"),
        # two prefixes of one view key outweigh a larger one; of them the larger stands for all
        (
            [
                "192.0.2.1/32,198.51.100.32/28,0.4",
                "192.0.2.1/32,198.51.100.0/28,0.25",
                "192.0.2.1/32,198.51.100.16/28,0.35",
            ],
            "198.51.100.16/28",
        ),
        # the key tells regions apart
        (
            [
                "192.0.2.1/32,198.51.100.32/28,0.4",
                "192.0.2.1/32,198.51.100.0/28,0.3",
                "192.0.2.1/32,198.51.100.64/28,0.3",
            ],
            "198.51.100.32/28",
        ),
        # ties: the first in the file, among views and among prefixes
        (["192.0.2.1/32,198.51.100.32/28,0.5", "192.0.2.1/32,198.51.100.0/28,0.5"], "198.51.100.32/28"),
        (["192.0.2.1/32,198.51.100.16/28,0.5", "192.0.2.1/32,198.51.100.0/28,0.5"], "198.51.100.16/28"),
        (["192.0.2.1/32,198.51.100.0/28,0"], "198.51.100.0/28"),
        # nested resolvers: the longest decides, whatever the order
        (["192.0.2.0/24,198.51.100.0/28,1", "192.0.2.1/32,198.51.100.32/28,1"], "198.51.100.32/28"),
        (["192.0.2.1/32,198.51.100.32/28,1", "192.0.0.0/16,198.51.100.0/28,1"], "198.51.100.32/28"),
        # families mix; IPv4 behind 6to4 is looked up, and stands in the answer, as such
        (["192.0.2.1/32,2001:db8::/48,0.6", "192.0.2.1/32,198.51.100.0/28,0.4"], "2001:db8::/48"),
        (
            [
                "192.0.2.1/32,2001:db8::/48,0.4",
                "192.0.2.1/32,2002:c633:6420::/44,0.2",
                "192.0.2.1/32,198.51.100.0/28,0.5",
            ],
            "2001:db8::/48",
        ),
        (["192.0.2.1/32,2002:c633:6420::/44,1"], "198.51.100.32/28"),
        (["192.0.2.1/32,2002:c633:6420:7::/64,1"], "198.51.100.32/32"),
        (["192.0.2.1/32,2002:c600::/24,1"], "198.0.0.0/8"),
        (["192.0.2.1/32,2002::/16,1"], "2002::/16"),
    ],
)
def test_client_of_a_resolver(rows: list[str], client: str | None, geography: Geography) -> None:
    assert client_of(resolvers(geography, *rows), "192.0.2.1") == client


def test_intervals_and_clients(geography: Geography) -> None:
    found = resolvers(
        geography,
        "192.0.2.0/24,198.51.100.0/28,1",
        "192.0.2.64/26,198.51.100.0/28,1",
        "2001:db8:53::/48,198.51.100.0/28,1",
        "192.0.3.0/24,2001:db8::/32,1",
    )
    assert found.clients == ((4, 0xC6336400, 28), (6, 0x20010DB800000000, 32))
    assert found.starts4.tolist() == [0, 0xC0000200, 0xC0000300, 0xC0000400]
    assert found.rows4.tolist() == [NOBODY, 0, 1, NOBODY]
    assert found.rows6.tolist() == [NOBODY, 0, NOBODY]
    assert client_of(found, "2001:db8:53::1") == "198.51.100.0/28"
    assert (found.starts4.dtype, found.starts6.dtype, found.rows4.dtype) == (np.uint32, np.uint64, np.uint32)


def test_a_client_in_two_forms_is_one(geography: Geography) -> None:
    found = resolvers(geography, "192.0.2.0/24,198.51.100.32/28,1", "192.0.3.0/24,2002:c633:6420::/44,1")
    assert found.clients == ((4, 0xC6336420, 28),)


def test_no_resolvers(geography: Geography) -> None:
    found = resolvers(geography)
    assert (found.starts4.tolist(), found.rows4.tolist(), found.clients) == ([0], [NOBODY], ())
    assert (found.starts6.tolist(), found.rows6.tolist()) == ([0], [NOBODY])


def test_nobody_is_the_snapshots() -> None:
    assert NOBODY == layout.NONE32
