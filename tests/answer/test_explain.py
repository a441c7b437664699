"""Explanations word by word, and that they tell of the engine's own answers."""

from __future__ import annotations

import ipaddress

import msgspec
import pytest
from gslbtest.packets import asks, edns, packet, subnet
from gslbtest.reading import read
from gslbtest.world import RESOLVER, World, world

from gslb.answer.explain import explain
from gslb.model.report import Report, StoreState
from gslb.wire.query import Ecs

BERLIN = "198.51.100.0/24"
LOOPBACK = bytes((127, 0, 0, 1))
NEW = "v4 up, v6 up, headroom 100.0 %, never reported"


def name(text: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode() for label in text.split(".")) + b"\0"


def ecs(prefix: str | None) -> Ecs | None:
    if prefix is None:
        return None
    network = ipaddress.ip_network(prefix)
    return Ecs(1 if network.version == 4 else 2, network.prefixlen, network.network_address.packed, b"")


def told(net: World, text: str, prefix: str | None) -> list[str]:
    return list(explain(net.catalog, net.steering, name(text), ecs(prefix), RESOLVER).lines())


ROWS = [
    (
        "pull.live.example",
        BERLIN,
        [
            "name pull.live.example. is steered, in zone live.example.",
            "service pull.live.example., pool all, affinity isp+country, country, continent, any",
            "client 198.51.100.0/24, asked by resolver 192.0.2.200",
            "view DE|BE|dtag EU",
            "class 2, scope /25, drawn by name and client /20, plan none",
            "A ber-1, TTL 20",
            "AAAA ber-1, TTL 20",
            f"edge ber-1: A 100.0%, AAAA 100.0% (isp+country, weight 100, {NEW})",
            f"not ber-2: not needed: upper levels suffice (country, weight 50, {NEW})",
            "not par-1: not needed: upper levels suffice"
            " (continent, weight 100, v4 up, v6 none, headroom 100.0 %, never reported)",
            "not par-6: not needed: upper levels suffice"
            " (continent, weight 100, v4 none, v6 up, headroom 100.0 %, never reported)",
            f"not nyc-1: fenced to US (none, weight 100, {NEW})",
            "catalog abababababababab, state of 0 ms",
        ],
    ),
    (
        "x.pull.live.example",
        "100.0.0.0/8",
        [
            "name x.pull.live.example. is steered, in zone live.example., by *.pull.live.example.",
            "service *.pull.live.example., pool all, affinity isp+country, country, continent, any",
            "client 100.0.0.0/8, asked by resolver 192.0.2.200",
            "view US|NY|AS7018 AS7018 NA",
        ],
    ),
    (
        "far.live.example",
        None,
        [
            "name far.live.example. is an alias of www.live.example., which is an alias of pull.live.example.,"
            " which is steered, in zone live.example.",
            "service pull.live.example., pool all, affinity isp+country, country, continent, any",
            "client by resolver 192.0.2.200, no client subnet",
            "view DE|BE|dtag EU",
            "class 2, scope /0, drawn by chance, query by query, plan none",
        ],
    ),
    (
        "fenced-fb.live.example",
        "0.0.0.0/0",
        [
            "name fenced-fb.live.example. is steered, in zone live.example.",
            "service fenced-fb.live.example., pool usa, affinity any",
            "client by resolver 192.0.2.200, client subnet withheld",
            "view DE|BE|dtag EU",
            "class 0, scope /0, drawn by chance, query by query, plan none",
            "A fallback, TTL 5",
            "AAAA fallback, TTL 5",
            f"not nyc-1: fenced to US (none, weight 1, {NEW})",
        ],
    ),
    (
        "mail.live.example",
        BERLIN,
        ["name mail.live.example. is static: every client gets the same, in zone live.example."],
    ),
    ("zz.live.example", BERLIN, ["name zz.live.example. is absent from zone live.example."]),
    (
        "x.del.live.example",
        BERLIN,
        ["name x.del.live.example. is delegated at del.live.example. from zone live.example."],
    ),
    ("else.test", BERLIN, ["name else.test. is in no zone here"]),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "prefix", "expected"), ROWS, ids=[row[0] for row in ROWS])
def test_lines(net: World, asked: str, prefix: str | None, expected: list[str]) -> None:
    assert told(net, asked, prefix)[: len(expected)] == expected


def state(**reports: Report) -> StoreState:
    return StoreState(100_500, reports, {edge: report.received_ms for edge, report in reports.items()})


def report(edge: str, **fields: int | str) -> Report:
    return Report(edge=edge, epoch=1, seq=1, **{"received_ms": 100_000, **fields})


STATES = [
    ("drained", report("ber-1", health4="drain", health6="drain"), "not ber-1: drained ("),
    ("down", report("ber-1", health4="down", health6="down"), "not ber-1: down ("),
    ("full", report("ber-1", load_bps=10**10), "not ber-1: no headroom ("),
    ("its age", report("ber-1"), "edge ber-1: A 100.0%, AAAA 100.0% (isp+country, weight 100, v4 up, v6 up,"
                                 " headroom 100.0 %, report 0.5 s old)"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "of_edge", "expected"), STATES, ids=[row[0] for row in STATES])
def test_reasons_by_state(net: World, what: str, of_edge: Report, expected: str) -> None:
    steered = net.steered(state(**{"ber-1": of_edge}), 100_500)
    lines = [line for line in told(steered, "pull.live.example", BERLIN) if " ber-1: " in line]
    assert len(lines) == 1
    assert lines[0].startswith(expected)


CROWD = {
    "zones/edges.yaml": "edges:\n" + "".join(
        f"  e{number:02d}: {{pop: p, addresses: {{v4: [203.0.113.{number}]}}, capacity: 1Gbps,"
        f" location: {{country: DE, lat: 50, lon: 9}}}}\n"
        for number in range(1, 20)
    ),
    "zones/x.yaml": "zone: x.test.\nsoa: {mname: ns1, rname: h, serial: 1}\nrecords: {'@': {NS: ns1.other.test.}}\n"
    "services:\n"
    "  crowd: {pool: crowd, affinity: [any]}\n"
    "  few: {pool: few, affinity: [any], spread: 2}\n"
    "  two: {pool: two, affinity: [any]}\n"
    "  shut: {pool: two, affinity: [any], on_all_down: closed}\n"
    "pools:\n"
    "  crowd: {" + ", ".join(f"e{number:02d}: {100 - number}" for number in range(1, 20)) + "}\n"
    "  few: {e01: 1, e02: 1, e03: 1}\n"
    "  two: {e01: 1, e02: 1}\n",
}  # fmt: skip
DEAD = {"e01": report("e01", health4="down"), "e02": report("e02", health4="down")}
STALE = {"e01": report("e01", load_bps=10**10), "e02": report("e02", load_bps=10**10, received_ms=95_000)}


@pytest.mark.parametrize(
    ("service", "reports", "lines"),
    [
        ("crowd", {}, [f"not e{n}: a row holds 16 edges, and heavier ones of its level fill it" for n in (17, 18, 19)]),
        ("few", {}, ["not e02: spread: the name keeps 2 others of its level"]),
        ("two", STALE, ["not e02: failing open: edges that report come first"]),
        ("two", DEAD, ["A e02, TTL 5, failing open"]),
        ("shut", DEAD, ["A NODATA, TTL 5", "not e01: down", "not e02: down"]),
    ],
    ids=["more than 16", "spread", "failing open", "all dead", "closed"],
)
def test_reasons_by_the_others(service: str, reports: dict[str, Report], lines: list[str]) -> None:
    steered = world(CROWD).steered(state(**reports), 100_500)
    told_lines = list(
        explain(steered.catalog, steered.steering, name(f"{service}.x.test"), ecs("198.51.100.0/24"), RESOLVER).lines()
    )
    for line in lines:
        assert any(each.split(" (")[0] == line for each in told_lines), (line, told_lines)


def test_over_dns_for_loopback(net: World) -> None:
    reply = net.ask(edns(subnet(1, 24, b"\xc6\x33\x64"), question=asks(name("pull.live.example"), 16, 3)), LOOPBACK)
    assert reply is not None
    lines = read(reply)
    assert lines[0] == "NOERROR qr aa rd"
    texts = [line.split(' TXT "', 1)[1].rstrip('"') for line in lines if line.startswith("an ")]
    assert texts == [line.replace("192.0.2.200", "127.0.0.1") for line in told(net, "pull.live.example", BERLIN)]


def test_over_dns_mapped_loopback_may_ask(net: World) -> None:
    query = packet(asks(name("mail.live.example"), 16, 3))
    reply = net.ask(query, bytes(10) + b"\xff\xff" + LOOPBACK)
    assert reply is not None
    assert read(reply)[0] == "NOERROR qr aa rd"


def test_over_dns_outside_our_zones_is_refused(net: World) -> None:
    reply = net.ask(packet(asks(name("else.test"), 16, 3)), LOOPBACK)
    assert reply is not None
    assert read(reply)[0] == "REFUSED qr rd"


@pytest.mark.parametrize("prefix", ["198.51.100.0/24", "198.51.7.0/24", "100.9.0.0/16", "2001:db8:2::/48", "1.0.0.0/8"])
@pytest.mark.parametrize("service", ["pull", "x.pull", "only", "fenced", "six", "paris", "both"])
def test_tells_what_the_engine_answers(net: World, service: str, prefix: str) -> None:
    """For clients with a subnet the edges named are those whose addresses are answered."""
    asked = ecs(prefix)
    assert asked is not None
    of_name = explain(net.catalog, net.steering, name(f"{service}.live.example"), asked, RESOLVER)
    edges = {edge: row for row, edge in enumerate(net.catalog.edge_ids)}
    for answer, qtype, size in zip(of_name.answers, (1, 28), (16, 28), strict=True):
        option = subnet(asked.family, asked.source, asked.address[: (asked.source + 7) // 8])
        reply = net.ask(edns(option, question=asks(name(f"{service}.live.example"), qtype)))
        assert reply is not None
        rows = [net.catalog.edges[edges[edge]] for edge in answer.edges]
        blobs = [(row.rr4, row.rr4_count) if qtype == 1 else (row.rr6, row.rr6_count) for row in rows]
        data = [
            bytes(net.catalog.blob[at + number * size + 12 : at + (number + 1) * size])
            for at, count in blobs
            for number in range(min(count, 4))
        ]
        for each in data:
            assert each in reply
        assert int.from_bytes(reply[6:8]) == len(data)


def test_as_json(net: World) -> None:
    """The same for machines: every field, nothing lost."""
    whole = explain(net.catalog, net.steering, name("pull.live.example"), ecs(BERLIN), RESOLVER)
    found = msgspec.json.decode(msgspec.json.encode(whole))
    assert found["cls"] == 2
    assert [each["edge"] for each in found["candidates"]] == ["ber-1", "ber-2", "par-1", "par-6", "nyc-1"]
