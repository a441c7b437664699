"""The query log's ring: what is written is read, in order and whole, by whichever path; what is lost is known."""

from __future__ import annotations

import ipaddress
import os
import threading
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from gslbtest import network
from gslbtest.packets import asks, edns, packet, rr, subnet
from gslbtest.query_rows import QUERIES, REFUSALS
from gslbtest.world import NOW_S, World, world

from gslb.answer import fast
from gslb.answer.engine import Trace
from gslb.server import cells, ring
from gslb.server.respond import Responder
from gslb.snapshot.layout import NONE32

COMPILED = fast.compiled(os.environ)[0] is not None
LIVE = b"\x04live\x07example\0"
PULL = b"\x04PuLl" + LIVE
Log = Callable[[list[tuple[bytes, bytes]], int], ring.Reader]
FIELDS = [name for name in ring.RECORD.names or () if name not in ("number", "time_us")]
V4, V6 = ipaddress.ip_address("198.51.100.77").packed, ipaddress.ip_address("2001:db8:1::53").packed


def new(sample: int = 1, slots: int = 16) -> memoryview:
    (made,) = ring.attach(ring.create(sample, 1, slots))
    return made


def put(writer: ring.Writer, number: int) -> None:
    """A record of which every field is the number's low bits."""
    writer.put(*(number & 0xFF,) * (1 + len(FIELDS)))


@pytest.mark.parametrize(
    ("steps", "read", "lost"),
    [
        # how many are written before each read, which each read gives, and how many are lost in all
        ([0], [[]], 0),
        ([1], [[1]], 0),
        ([3, 0, 2], [[1, 2, 3], [], [4, 5]], 0),
        ([15], [list(range(1, 16))], 0),
        ([15, 15, 15], [list(range(1, 16)), list(range(16, 31)), list(range(31, 46))], 0),
        ([16], [list(range(2, 17))], 1),  # the oldest may be overwritten as it is read
        ([17], [list(range(3, 18))], 2),
        ([100], [list(range(86, 101))], 85),
        ([5, 100, 1], [[1, 2, 3, 4, 5], list(range(91, 106)), [106]], 85),
    ],
)
def test_what_is_written_is_read(steps: list[int], read: list[list[int]], lost: int) -> None:
    memory = new()
    writer, reader = ring.Writer(memory), ring.Reader(memory)
    count, found = 0, []
    for step in steps:
        for _ in range(step):
            count += 1
            put(writer, count)
        records = reader.read()
        found.append(records["number"].tolist())
        assert records["time_us"].tolist() == [number & 0xFF for number in found[-1]]
        assert all((records[name] == records["time_us"]).all() for name in FIELDS)
    assert (found, reader.lost) == (read, lost)
    assert sum(steps) == sum(map(len, found)) + lost


def test_a_writer_goes_on_where_another_was_killed() -> None:
    memory = new()
    first = ring.Writer(memory)
    for number in (1, 2, 3):
        put(first, number)
    memory[ring.HEADER.size + 3 * 64 : ring.HEADER.size + 4 * 64] = bytes(8) + b"\xff" * 56  # the fourth half written
    reader = ring.Reader(memory)
    assert reader.read()["number"].tolist() == [1, 2, 3]
    second = ring.Writer(memory)
    put(second, 4)
    found = reader.read()
    assert (found["number"].tolist(), found["qname"].tolist(), reader.lost) == ([4], [4], 0)


def test_a_record_that_is_being_written_is_not_read() -> None:
    memory = new()
    put(ring.Writer(memory), 1)
    memory[ring.HEADER.size : ring.HEADER.size + 8] = bytes(8)
    reader = ring.Reader(memory)
    assert (reader.read()["number"].tolist(), reader.lost) == ([], 1)


@pytest.mark.parametrize(("at", "value"), [(0, b"X"), (8, b"\2"), (12, b"\x20")], ids=["magic", "version", "size"])
def test_what_is_no_ring_is_refused(at: int, value: bytes) -> None:
    memory = new()
    memory[at : at + len(value)] = value
    with pytest.raises(ValueError, match="not a query log of version 1"):
        ring.Reader(memory)


def test_rings_of_one_descriptor_are_apart() -> None:
    rings = ring.attach(ring.create(1, 3, 16))
    for number, each in enumerate(rings, 1):
        for _ in range(number):
            put(ring.Writer(each), number)
    assert [ring.Reader(each).read()["qname"].tolist() for each in rings] == [[1], [2, 2], [3, 3, 3]]


def test_reading_while_it_is_written() -> None:
    """No record that is read is torn, and every one is read or counted as lost."""
    memory = new(slots=64)
    writer, reader = ring.Writer(memory), ring.Reader(memory)
    total = 30_000
    thread = threading.Thread(target=lambda: [put(writer, number) for number in range(1, total + 1)])
    thread.start()
    seen, last = 0, 0
    while thread.is_alive() or seen + reader.lost < total:
        for record in reader.read():
            assert last < record["number"] <= total
            assert {int(record[name]) for name in FIELDS} == {int(record["number"]) & 0xFF}
            last, seen = record["number"], seen + 1
    thread.join()
    assert seen + reader.lost == total
    assert seen > 0


@pytest.fixture(scope="module")
def net() -> World:
    return world(network.ZONES, network.TABLES)


def by_responder(net: World, asked: list[tuple[bytes, bytes]], sample: int) -> ring.Reader:
    memory = new(sample, 4096)
    responder = Responder(memoryview(bytearray(cells.CELLS * 8)).cast("Q"), ring.Writer(memory))
    responder.use(net.engine, bytes(2 * len(net.catalog.edges)), None, 7, 9)
    for question, source in asked:
        responder.answer(question, source, now_s=NOW_S, tcp=False)
    return ring.Reader(memory)


def by_threads(net: World, asked: list[tuple[bytes, bytes]], sample: int) -> ring.Reader:
    from gslb.answer._fast.reply import Snapshot
    from gslb.server._replay import replay
    from gslb.server.native import Served, meters

    memory = new(sample, 4096)
    snapshot = Snapshot(net.catalog, net.steering, net.engine.identity)
    counted = meters(cells.attach(cells.create()), [memory], 0)
    served = Served(snapshot, bytes(2 * len(net.catalog.edges)), None, 7, 9)
    replay(served, counted, [each[0] for each in asked], [each[1] for each in asked], 1, metered_=True)
    return ring.Reader(memory)


@pytest.fixture(params=[by_responder, by_threads] if COMPILED else [by_responder], ids=lambda log: log.__name__)
def log(request: pytest.FixtureRequest, net: World) -> Log:
    made: Callable[..., ring.Reader] = request.param
    return lambda asked, sample: made(net, asked, sample)


def test_a_record(log: Log, net: World) -> None:
    """A client of the network's that asks for a service, and all that is to be known of it."""
    trace = Trace()
    question = edns(subnet(1, 24, bytes((198, 51, 100))), question=asks(PULL, 1))
    net.engine.reply(question, V6, now_s=NOW_S, draw=0, tcp=False, trace=trace)
    assert trace.client is not None
    (record,) = log([(question, V6)], 1).read()
    assert {name: int(record[name]) for name in FIELDS} == {
        "client": int(ipaddress.ip_address("198.51.100.0")),
        "resolver": int(ipaddress.ip_address("2001:db8:1::53")) >> 64,
        "service": trace.service,
        "class": trace.client.cls,
        "ttl_s": 20,
        "catalog": 7,
        "qname": zlib.crc32(PULL.lower()),
        "qtype": 1,
        "edge": trace.edge,
        "rcode": 0,
        "level": trace.level,
        "scope": trace.client.scope,
        "client_length": 24,
        "families": 2,
        "transport": 0,
        "steering": 9,
    }
    assert abs(int(record["time_us"]) - 1_795_000_000_000_000) < 10**17


@pytest.mark.parametrize(
    ("question", "source", "fields"),
    [
        (edns(question=asks(PULL, 1)), V4, {"families": 4, "scope": 0, "client_length": 32, "client": 0xC633644D}),
        (edns(question=asks(PULL, 28)), V6, {"families": 7, "client_length": 64, "client": 0x20010DB800010000}),
        (edns(subnet(2, 48, bytes.fromhex("20010db80001")), question=asks(PULL, 1)), V4, {"families": 1, "qtype": 1}),
        (edns(question=asks(b"\x04mail" + LIVE, 1)), V4, {"families": 0, "service": NONE32, "edge": 65535, "ttl_s": 0}),
        (edns(question=asks(b"\x04none" + LIVE, 1)), V4, {"rcode": 3, "service": NONE32, "scope": 0, "class": 0}),
        (edns(question=asks(b"\x06fenced" + LIVE, 1)), V4, {"rcode": 0, "edge": 65535, "ttl_s": 5}),
        (packet(asks(PULL, 252)), V4, {"rcode": 5, "qtype": 252, "qname": zlib.crc32(PULL.lower())}),
        (packet(asks(PULL, 1, 4)), V4, {"rcode": 5, "qname": zlib.crc32(PULL.lower())}),
        (packet(asks(PULL), rr(1, b"abcd")), V4, {"rcode": 1, "qname": 0, "qtype": 0}),
    ],
    ids=["no subnet", "no subnet, IPv6", "IPv6", "static", "absent", "no edge", "AXFR", "class HS", "refused"],
)
def test_fields(log: Log, question: bytes, source: bytes, fields: dict[str, int]) -> None:
    (record,) = log([(question, source)], 1).read()
    assert {name: int(record[name]) for name in fields} == fields


def test_what_gets_no_reply_is_not_written(log: Log) -> None:
    assert len(log([(b"", V4), (b"\0" * 11, V4), (edns(), V4)], 1).read()) == 1


def questions(count: int) -> list[tuple[bytes, bytes]]:
    """Resolvers, names and client subnets in all combinations, ``count`` of each."""
    return [
        (edns(subnet(1, 24, bytes((100, client, 7))), question=asks(name + LIVE, 1)), bytes((192, 0, 2, resolver)))
        for client in range(count)
        for resolver in range(count)
        for name in (b"\x04pull", b"\x04only", b"\x04mail", b"\x04none", b"\x01x\x04pull")
    ]


@pytest.mark.parametrize(("sample", "least", "most"), [(0, 0, 0), (1, 1280, 1280), (4, 200, 480), (100, 1, 40)])
def test_sampling_is_all_or_nothing(log: Log, sample: int, least: int, most: int) -> None:
    """Of one resolver, name and subnet cut to the scope every question is written, or none."""
    asked = questions(16)
    once, thrice = log(asked, sample).read(), log(asked * 3, sample).read()
    assert least <= len(once) <= most
    for name in ("qname", "resolver", "client", "scope", "service"):
        assert thrice[name].tolist() == once[name].tolist() * 3
    for record in once:
        cut = int(record["client"]) >> 32 - int(record["scope"]) if record["service"] != NONE32 else 0
        assert ring.sampled(sample, int(record["qname"]), int(record["resolver"]), cut)


def test_both_paths_write_the_same(net: World) -> None:
    rows = [row.packet for row in (*QUERIES, *REFUSALS)]
    asked = [(row, source) for row in rows for source in (V4, V6)] + questions(6)
    drawn = np.dtype([("edge", "<u2"), ("level", "u1")]).names
    assert drawn
    found = []
    for paths in (by_responder, by_threads if COMPILED else by_responder):
        kept = [each for each in asked if not COMPILED or not net.misses(*each)]
        records = paths(net, kept, 1).read()
        by_chance = records["families"] & 4 != 0
        for name in drawn:  # where no subnet came along the edge is drawn at random
            records[name][by_chance & (records["service"] != NONE32)] = 0
        found.append([{name: int(record[name]) for name in FIELDS} for record in records])
    assert len(found[0]) > 250
    assert found[0] == found[1]
