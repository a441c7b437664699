"""Real resolvers in front of the sample: they learn scopes, answer within them from their cache, and not beyond."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from gslbtest import peers
from gslbtest.asking import addresses, ask
from gslbtest.proxy import Tap, tapped
from gslbtest.serving import Server

ZONES = ["live.example", "tv.example"]
Runner = Callable[[Path, list[str], int], AbstractContextManager[int]]
RESOLVERS: dict[str, Runner] = {"unbound": peers.unbound, "recursor": peers.recursor}


@pytest.fixture(scope="module", params=list(RESOLVERS))
def resolver(
    request: pytest.FixtureRequest, sample: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[int, Tap]]:
    """The resolver's port, and what it asks of the sample's server."""
    folder = tmp_path_factory.mktemp(request.param)
    with tapped(sample.port) as tap, RESOLVERS[request.param](folder, ZONES, tap.port) as port:
        yield port, tap


CLIENTS = [
    # client, name, type, the edges that are right for it
    ("198.51.100.0/28", "pull.live.example", "A", {"203.0.113.10", "203.0.113.11"}),
    ("198.51.100.16/28", "pull.live.example", "A", {"203.0.113.20"}),
    ("198.51.100.32/28", "pull.live.example", "A", {"203.0.113.30"}),
    ("198.51.100.160/28", "pull.live.example", "A", {"203.0.113.140"}),
    ("2001:db8:c001::/48", "pull.live.example", "AAAA", {"2001:db8:e010::10"}),
    ("2001:db8:c002::/48", "pull.live.example", "AAAA", {"2001:db8:e020::10"}),
    ("198.51.100.16/28", "www.tv.example", "A", {"203.0.113.20"}),
]


@pytest.mark.parametrize(("client", "name", "rtype", "edges"), CLIENTS)
def test_each_client_gets_its_own_edge(
    resolver: tuple[int, Tap], client: str, name: str, rtype: str, edges: set[str]
) -> None:
    port, _ = resolver
    assert set(addresses(ask(port, name, rtype, subnet=client, rd=True))) == edges


CACHED = [
    # first client, then one within its scope, and one beyond it; scopes are those of the sample's prefixes
    ("within.pull.live.example", "198.51.100.0/28", "198.51.100.5/32", "198.51.100.16/28"),
    ("exception.pull.live.example", "198.51.100.200/32", "198.51.100.200/32", "198.51.100.201/32"),
    ("six.pull.live.example", "2001:db8:c001::/48", "2001:db8:c001:5::/64", "2001:db8:c002::/48"),
]


@pytest.mark.parametrize(("name", "first", "within", "beyond"), CACHED)
def test_the_cache_holds_within_the_scope_and_not_beyond(
    resolver: tuple[int, Tap], name: str, first: str, within: str, beyond: str
) -> None:
    port, tap = resolver
    rtype = "AAAA" if ":" in first else "A"
    asked = f"{name}. {rtype}".lower()
    tap.clear()
    told = addresses(ask(port, name, rtype, subnet=first, rd=True))
    assert told
    assert tap.names().count(asked) == 1
    for _ in range(3):
        assert sorted(addresses(ask(port, name, rtype, subnet=within, rd=True))) == sorted(told)
    assert tap.names().count(asked) == 1, "an ask within the scope came from the cache"
    other = addresses(ask(port, name, rtype, subnet=beyond, rd=True))
    assert other
    assert tap.names().count(asked) == 2, "an ask beyond the scope did not"


def test_what_does_not_depend_on_location_is_asked_once(resolver: tuple[int, Tap]) -> None:
    port, tap = resolver
    tap.clear()
    for client in ("198.51.100.0/28", "198.51.100.128/28", "203.0.113.0/24"):
        assert addresses(ask(port, "mail.live.example", subnet=client, rd=True)) == ["192.0.2.25"]
    assert tap.names().count("mail.live.example. a") == 1


def test_two_hundred_clients_through_the_cache_get_what_the_server_gives(
    resolver: tuple[int, Tap], sample: Server
) -> None:
    """Whatever order clients come in, no answer leaks from one scope into another."""
    port, tap = resolver
    tap.clear()
    networks = [ipaddress.ip_network(text) for text in ("198.51.100.0/24", "192.0.2.128/25")]
    clients = [str(address) for network in networks for address in list(network)[::2]]
    for number, client in enumerate(clients * 2):
        subnet = f"{client}/32"
        through = sorted(addresses(ask(port, "carrier.live.example", subnet=subnet, rd=True)))
        assert through == sorted(addresses(ask(sample.port, "carrier.live.example", subnet=subnet))), (number, client)
    assert tap.names().count("carrier.live.example. a") < len(clients) / 2, "most came from the cache"
