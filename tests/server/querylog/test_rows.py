"""Records of rings → rows of the log: what each field comes to, and that views and edges are those of the answers."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from gslbtest import network
from gslbtest.logged import T_US, ring_records
from gslbtest.packets import asks, edns, subnet
from gslbtest.query_rows import QUERIES, REFUSALS
from gslbtest.world import NOW_S, World, world

from gslb.answer.explain import explain
from gslb.geo import special
from gslb.model import records
from gslb.model.names import to_text
from gslb.model.plan import PLAN_SUM, Plan, PlanRow
from gslb.model.report import StoreState
from gslb.server import cells, ring
from gslb.server.querylog import rows
from gslb.server.querylog.rows import Decision, Known, Texts
from gslb.server.respond import Responder
from gslb.snapshot import layout, steering
from gslb.snapshot.steering import Steering
from gslb.wire.query import Ecs

LIVE = b"\x04live\x07example\0"
PULL = b"\x04pull" + LIVE
CUT4, CUT6 = 0xC6336400, 0x20010DB8_00010000
SIGNED = 1 << 64


@pytest.fixture(scope="module")
def net() -> World:
    return world(network.ZONES, network.TABLES)


@pytest.fixture(scope="module")
def known(net: World) -> Known:
    return of(net)


def of(net: World) -> Known:
    packed = b"".join(layout.pack(layout.CATALOG_MAGIC, net.catalog.generation, net.catalog.arrays))
    found = Known(memoryview(packed))
    found.decided(1, Decision.of(net.steering))
    return found


def told(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Columns as rows."""
    assert list(found) == list(records.QUERIES) or set(found) == set(records.QUERIES)
    plain = {
        name: [column.distinct[code] for code in column.codes] if isinstance(column, Texts) else column.tolist()
        for name, column in found.items()
    }
    return [dict(zip(plain, values, strict=True)) for values in zip(*plain.values(), strict=True)]


def row(known: Known, catalog: int = 3, **fields: int) -> dict[str, Any]:
    """The row of one record."""
    found = rows.columned(ring_records([{"catalog": 3, **fields}]), {catalog: known}, "ns1", "b00t", 10)
    (only,) = told(found.columns)
    assert (found.rows, found.unknown) == (1, 0)
    return only


def service(net: World, name: bytes) -> int:
    return net.catalog.names[net.catalog.find(name)].service


def test_a_record(net: World, known: Known) -> None:
    edge = net.catalog.edge_ids.index("ber-1")
    found = row(
        known, number=77, time_us=T_US + 5, client=CUT4, client_length=24, resolver=0xC0000263, edge=edge, level=2,
        service=service(net, PULL), ttl_s=20, qname=0xFFFFFFFF, qtype=28, scope=22, steering=1,
    )  # fmt: skip
    assert found == {
        "time": T_US + 5, "server": "ns1", "boot_id": "b00t", "seq": 77, "service": "pull.live.example.",
        "qname_crc": 0xFFFFFFFF, "view": "DE|BE|dtag", "client_family": 4, "client_net": CUT4, "client_len": 22,
        "resolver_family": 4, "resolver_net": 0xC0000200, "resolver_len": 24, "qtype": 28, "rcode": 0, "level": 2,
        "scope": 22, "edge": "ber-1", "ttl_s": 20, "plan": "", "weight": 10,
    }  # fmt: skip


def test_without_a_service_what_lies_in_the_slot_means_nothing(known: Known) -> None:
    found = row(known, number=1, client=CUT4, client_length=24, level=3, scope=24, ttl_s=9, families=1, rcode=3)
    nothing = {"service": "", "edge": "", "view": "", "plan": "", "level": -1, "scope": 0, "ttl_s": 0,
               "client_family": 0, "client_net": 0, "client_len": 0, "rcode": 3}  # fmt: skip
    assert {name: found[name] for name in nothing} == nothing


NETWORKS = [
    # families, client, its length, scope, → family, net, length
    (0, CUT4, 24, 24, 4, CUT4, 24),
    (0, CUT4 | 0x80, 32, 32, 4, CUT4, 24),  # never more than /24
    (0, CUT4, 24, 20, 4, 0xC6336000, 20),
    (0, CUT4, 20, 24, 4, 0xC6336000, 20),  # no more than was said
    (0, CUT4, 24, 0, 4, 0, 0),  # an answer for everybody
    (0, 0xFFFFFF00, 24, 1, 4, 0x80000000, 1),
    (16, CUT4, 24, 116, 4, 0xC6336000, 20),  # IPv4 within IPv6: the scope counts on that
    (16, CUT4, 32, 128, 4, CUT4, 24),
    (16, CUT4, 24, 96, 4, 0, 0),
    (8, CUT4, 24, 36, 4, 0xC6336000, 20),
    (8, CUT4, 24, 24, 4, 0xC6000000, 8),
    (1, CUT6, 48, 48, 6, CUT6, 48),
    (1, CUT6 | 0xFFFF, 64, 64, 6, CUT6 | 0xFF00, 56),
    (1, CUT6, 56, 0, 6, 0, 0),
    (1, 0xFD00 << 48, 56, 8, 6, (0xFD << 56) - SIGNED, 8),
    (4, 0xC0000263, 32, 0, 0, 0, 0),  # the client is the resolver
    (5, CUT6, 64, 20, 0, 0, 0),
]


@pytest.mark.parametrize(("families", "client", "length", "scope", "family", "net_", "cut"), NETWORKS)
def test_clients_are_cut(
    net: World, known: Known, families: int, client: int, length: int, scope: int, family: int, net_: int, cut: int
) -> None:
    found = row(known, service=service(net, PULL), families=families, client=client, client_length=length, scope=scope)
    assert (found["client_family"], found["client_net"], found["client_len"]) == (family, net_, cut)
    assert found["scope"] == scope


@pytest.mark.parametrize(
    ("families", "resolver", "found"),
    [
        (0, 0xC00002FF, (4, 0xC0000200, 24)),
        (2, CUT6 | 0xABCD, (6, CUT6 | 0xAB00, 56)),
        (2, 0xFD00 << 48, (6, (0xFD00 << 48) - SIGNED, 56)),
    ],
)
def test_resolvers_are_cut(known: Known, families: int, resolver: int, found: tuple[int, int, int]) -> None:
    had = row(known, families=families, resolver=resolver)
    assert (had["resolver_family"], had["resolver_net"], had["resolver_len"]) == found


def test_rows_say_what_explanations_say(net: World, known: Known) -> None:
    """Real questions, by client and by resolver: service, view and edge are those that the engine tells of."""
    (memory,) = ring.attach(ring.create(1, 1, 4096))
    responder = Responder(memoryview(bytearray(cells.CELLS * 8)).cast("Q"), ring.Writer(memory))
    responder.use(net.engine, bytes(2 * len(net.catalog.edges)), None, 3, 1)
    clients = [
        ipaddress.ip_network(text)
        for text in ("198.51.100.0/24", "198.51.100.128/32", "198.51.7.0/24", "100.9.0.0/16", "8.0.0.0/8",
                     "2001:db8:1::/48", "2001:db8:2:3::/64", "2001:db8::/32", "10.1.2.0/24", "::ffff:198.51.100.0/120",
                     "2002:c633:6400::/40")
    ]  # fmt: skip
    names = [b"\x04pull", b"\x04only", b"\x01x\x04pull", b"\x06fenced", b"\x03six"]
    sources = [bytes((192, 0, 2, 200)), bytes((198, 51, 100, 7)), ipaddress.ip_address("2001:db8:1::53").packed]
    asked = []
    for name in names:
        for source in sources:
            for client in [None, *clients]:
                packed = b"" if client is None else client.network_address.packed
                ecs = None if client is None else Ecs(1 if client.version == 4 else 2, client.prefixlen, packed, b"")
                option = [] if client is None else [subnet(ecs.family, ecs.source, packed[: -(-ecs.source // 8)])]
                question = edns(*option, question=asks(name + LIVE, 1))
                responder.answer(question, source, now_s=NOW_S, tcp=False)
                asked.append((name + LIVE, ecs, source))
    found = told(rows.columned(ring.Reader(memory).read(), {3: known}, "ns1", "b", 1).columns)
    assert len(found) == len(asked)
    views = set()
    for had, (name, ecs, source) in zip(found, asked, strict=True):
        why = explain(net.catalog, net.steering, name, ecs, source)
        assert (had["service"], had["view"], had["scope"]) == (why.service, why.view, why.scope), why
        (answer,) = (each for each in why.answers if each.qtype == "A")
        assert had["edge"] in answer.edges or (not had["edge"] and not answer.edges) or "chance" in why.drawn_by
        views.add(had["view"])
        if had["client_family"]:
            assert ecs is not None
            inner = special.embedded(ecs.address)
            offset = inner[1] if inner else 0
            assert had["client_len"] <= had["scope"] - offset
    assert len(views) > 5


def test_both_families_of_questions_at_once(net: World, known: Known) -> None:
    """A batch is no other than its records one by one."""
    (memory,) = ring.attach(ring.create(1, 1, 4096))
    responder = Responder(memoryview(bytearray(cells.CELLS * 8)).cast("Q"), ring.Writer(memory))
    responder.use(net.engine, bytes(2 * len(net.catalog.edges)), None, 3, 1)
    for each in (*QUERIES, *REFUSALS):
        responder.answer(each.packet, bytes((192, 0, 2, 1)), now_s=NOW_S, tcp=False)
    batch = ring.Reader(memory).read()
    together = told(rows.columned(batch, {3: known}, "ns1", "b", 1).columns)
    alone = [told(rows.columned(batch[at : at + 1], {3: known}, "ns1", "b", 1).columns)[0] for at in range(len(batch))]
    assert len(batch) > 100
    assert together == alone


def test_catalogs_are_told_apart(net: World, known: Known) -> None:
    """The same rows mean other names in another catalog; of one that is gone they mean nothing, and are left out."""
    zone = network.ZONES["zones/live.example.yaml"].replace("zone: live.example.", "zone: other.example.")
    zones = {name: text for name, text in network.ZONES.items() if name != "zones/child.yaml"}
    other = of(world(zones | {"zones/live.example.yaml": zone}, network.TABLES))
    numbered = [(7, 3), (8, 4), (9, 9), (10, 3)]
    batch = ring_records([{"service": 0, "edge": 0, "number": seq, "catalog": of} for seq, of in numbered])
    batch = np.concatenate([batch, ring_records([{"number": 11, "catalog": 9}])])  # no service: needs no catalog
    found = rows.columned(batch, {3: known, 4: other}, "ns1", "b", 1)
    had = told(found.columns)
    assert (found.rows, found.unknown) == (4, 1)
    assert [each["seq"] for each in had] == [7, 8, 10, 11]
    first = to_text(net.catalog.name_text(net.catalog.services[0].name))
    assert [each["service"] for each in had] == [first, had[1]["service"], first, ""]
    assert had[1]["service"].endswith("other.example.")


def by_plan(net: World, version: str) -> Decision:
    """What a plan for Berlin decides; everybody else is steered by local policy."""
    row = PlanRow("pull.live.example.", "DE", "BE", "dtag", (("ber-2", PLAN_SUM),))
    plan = Plan(version, effective_at_ms=1000, hold_until_ms=10_000_000, rows=(row,))
    found = Decision.of(Steering(steering.build(net.catalog.arrays, StoreState(plan=plan), 3000)))
    assert found.plan == version
    return found


@pytest.fixture(scope="module")
def dispatched() -> World:
    zone = network.ZONES["zones/live.example.yaml"].replace("pull: {pool: all,", "pull: {pool: all, dispatch: true,")
    return world({**network.ZONES, "zones/live.example.yaml": zone}, network.TABLES)


def test_the_plan_is_the_one_that_decided(dispatched: World) -> None:
    """By the number of the steering, and only where the plan has a row."""
    net = dispatched
    catalog = of(net)
    catalog.decided(2, by_plan(net, "p2"))
    for number in (3, 65535):
        catalog.decided(number, by_plan(net, "p3"))
    policy = net.catalog.policies[net.catalog.services[service(net, PULL)].policy]
    berlin = net.catalog.class_of(policy.geometry, 4, CUT4, 24)
    paris = net.catalog.class_of(policy.geometry, 6, 0x20010DB8_00020000, 48)
    edge = net.catalog.edge_ids.index("ber-2")
    asked = [
        # steering, class, edge, → plan
        (1, berlin, edge, ""),
        (2, berlin, edge, "p2"),
        (2, paris, edge, ""),
        (3, berlin, edge, "p3"),
        (65535, berlin, edge, "p3"),
        (3, berlin, rows.NO_EDGE, ""),
        (77, berlin, edge, "p3"),  # nobody told of it: as the one before
        (60000, berlin, edge, ""),  # not known any more: older than the oldest
        (3, 0xFFFFFF, edge, ""),  # no such class: no fault
    ]
    batch = ring_records(
        [
            {"service": service(net, PULL), "steering": number, "class": cls, "edge": edge, "catalog": 3, "qtype": 1}
            for number, cls, edge, _ in asked
        ]
    )
    found = told(rows.columned(batch, {3: catalog}, "ns1", "b", 1).columns)
    assert [each["plan"] for each in found] == [plan for *_, plan in asked]


def test_few_decisions_are_remembered(dispatched: World, monkeypatch: pytest.MonkeyPatch) -> None:
    net = dispatched
    monkeypatch.setattr(rows, "STEERINGS", 3)
    catalog = of(net)
    first = catalog.decision(1)
    for number in range(2, 10):
        catalog.decided(number, by_plan(net, f"p{number // 4}"))
    assert catalog.decision(9) is catalog.decision(8)  # they say the same
    assert catalog.decision(7) is not catalog.decision(8)
    assert catalog.decision(1) is catalog.decision(7) is not first
    catalog.decided(1, by_plan(net, "again"))  # numbers begin anew
    assert catalog.decision(1) is not None
    assert catalog.decision(1).plan == "again"


def test_no_records(known: Known) -> None:
    assert rows.columned(ring_records([]), {3: known}, "ns1", "b", 1)[1:] == (0, 0)
