"""Native UDP threads on real sockets: addresses, batches, sizes, misses, swaps and ends. Nothing sent gets lost."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import mmap
import os
import random
import socket
import threading
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from gslbtest import network
from gslbtest.counting import counted
from gslbtest.packets import asks, edns, option, packet, subnet
from gslbtest.readers import Desk, asked, bound, client, numbered, replies
from gslbtest.world import NOW_S, World, world

from gslb.answer._fast.reply import Snapshot
from gslb.answer.engine import Engine
from gslb.model.report import DOWN, Report, StoreState
from gslb.server import cells, ring
from gslb.server._replay import replay
from gslb.server.limit import Limiter
from gslb.server.native import CompiledLimiter, Served, meters
from gslb.server.respond import Responder
from gslb.snapshot import layout, steering
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.steering import Steering

Until = Callable[[Callable[[], object]], Awaitable[None]]

FAST = edns(subnet(1, 24, b"\xc6\x33\x64"))
CH = asks(b"\x07version\x04bind\0", 16, 3)
MISS = edns(subnet(1, 24, b"\xc6\x33\x64"), question=CH)
LARGE = option(65001, bytes(64_900))


@pytest.fixture(scope="module")
def net() -> World:
    return world(network.ZONES, network.TABLES)


@pytest.fixture(scope="module")
def later(net: World) -> World:
    """The same network with an edge down."""
    state = StoreState(9000, {"ber-1": Report("ber-1", 1, 1, 9000, health4=DOWN, health6=DOWN)}, {"ber-1": 9000})
    made = net.steered(state, 9000)
    assert reply(made, FAST) != reply(net, FAST)
    return made


@pytest.fixture
async def desk(net: World) -> AsyncIterator[Desk]:
    made = Desk(net)
    yield made
    made.readers.end()
    assert not native_threads()


def native_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "gslb-udp"]


def reply(net: World, asked: bytes, source: str = "127.0.0.1") -> bytes:
    found = net.ask(asked, socket.inet_pton(socket.AF_INET6 if ":" in source else socket.AF_INET, source), now_s=NOW_S)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("host", "both", "to", "source"),
    [
        ("127.0.0.1", False, "127.0.0.1", "127.0.0.1"),
        ("127.0.0.3", False, "127.0.0.3", "127.0.0.9"),
        ("0.0.0.0", False, "127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", False, "127.0.0.2", "127.0.0.1"),
        ("0.0.0.0", False, "127.255.3.4", "127.0.0.2"),
        ("::1", False, "::1", "::1"),
        ("::", False, "::1", "::1"),
        ("::", True, "::1", "::1"),
        ("::", True, "127.0.0.1", "127.0.0.1"),
        ("::", True, "127.0.0.7", "127.0.0.8"),
    ],
)
async def test_answers_leave_from_the_address_asked(
    desk: Desk, net: World, host: str, both: bool, to: str, source: str
) -> None:
    """Those of the thread and those of the engine; a peer of the other family counts as what it is."""
    sock = bound(host, both=both)
    desk.read(sock)
    assert len(native_threads()) == 1
    packets = [FAST, MISS] * 3
    found = await asked(source, packets, (to, sock.getsockname()[1]))
    assert found == [(reply(net, each, source), to) for each in packets]
    family = "ipv6" if ":" in source else "ipv4"
    assert desk.counts() == {
        f"udp {family} A": 3, f"udp {family} TXT": 3, "udp NOERROR": 6, "service": 3, "debug": 3, "edge slot 1": 3,
        "fast": 3, "missed class_ch": 3,
    }  # fmt: skip


@pytest.mark.parametrize("count", [1, 31, 32, 33, 64, 1000])
async def test_what_waits_is_answered_in_batches(desk: Desk, net: World, count: int) -> None:
    sock = bound("127.0.0.1")
    wanted = {number: FAST if number % 5 else MISS for number in range(count)}
    with client("127.0.0.1") as ours:
        for number, each in wanted.items():
            ours.sendto(numbered(each, number), sock.getsockname())
        desk.read(sock)
        found = {int.from_bytes(data[:2]): data for data, _ in await replies(ours, count)}
    assert found == {number: numbered(reply(net, each), number) for number, each in wanted.items()}


@pytest.mark.parametrize("question", [FAST, MISS], ids=["fast", "miss"])
async def test_the_largest_packets(desk: Desk, net: World, question: bytes) -> None:
    sock = bound("127.0.0.1")
    desk.read(sock)
    kind = asks() if question is FAST else CH
    large = edns(LARGE, subnet(1, 24, b"\xc6\x33\x64"), question=kind)
    assert len(large) > 64_900
    found = await asked("127.0.0.1", [large] * 40, sock.getsockname())
    assert found == [(reply(net, question), "127.0.0.1")] * 40


@pytest.mark.parametrize("nothing", [b"", b"\0", FAST[:11], numbered(FAST, 7)[:2] + b"\x80" + FAST[3:]])
async def test_what_no_reply_is_due_to(desk: Desk, nothing: bytes) -> None:
    sock = bound("127.0.0.1")
    desk.read(sock)
    with client("127.0.0.1") as ours:
        for _ in range(100):
            ours.sendto(nothing, sock.getsockname())
        ours.sendto(FAST, sock.getsockname())
        assert (await replies(ours, 1))[0][0][:2] == FAST[:2]
    counts = desk.counts()
    assert (counts["udp dropped"], counts["fast"], counts["udp NOERROR"]) == (100, 101, 1)


async def test_the_queue_is_bounded_and_never_blocks(desk: Desk, net: World) -> None:
    """While the event loop does something else what it is to answer waits, up to a MiB; all else is answered."""
    sock = bound("127.0.0.1")
    desk.read(sock)
    large = edns(LARGE, question=CH)
    missed = cells.MISS + cells.MISSED.index("class_ch")
    with client("127.0.0.1") as ours:
        for number in range(40):  # nothing is awaited here, so the loop is not free
            ours.sendto(numbered(large, number), sock.getsockname())
            ours.sendto(numbered(FAST, 1000 + number), sock.getsockname())
            assert ours.recv(2000) == numbered(reply(net, FAST), 1000 + number)
        assert sum(block[missed] for block in cells.blocks(desk.memory)) == 40
        dropped = desk.counts()["missed_dropped"]
        assert 40 - dropped == (1 << 20) // (len(large) + 112)
        found = await replies(ours, 40 - dropped)
    assert [data for data, _ in found] == [numbered(reply(net, edns(question=CH)), n) for n in range(len(found))]
    assert await asked("127.0.0.1", [MISS], sock.getsockname()) == [(reply(net, MISS), "127.0.0.1")]


@pytest.mark.parametrize("seed", range(3))
async def test_the_queue_keeps_order_and_content(desk: Desk, seed: int) -> None:
    """Records of any size, round and round its memory."""
    sock = bound("127.0.0.1")
    desk.read(sock)
    rng = random.Random(seed)
    with client("127.0.0.1") as ours:
        for _ in range(30):
            sizes = [rng.choice((0, rng.randrange(64), rng.randrange(4096), rng.randrange(64_000))) for _ in range(12)]
            for number, size in enumerate(sizes):
                ours.sendto(numbered(edns(option(65001, rng.randbytes(size)), question=CH), number), sock.getsockname())
            found = await replies(ours, len(sizes))
            assert [int.from_bytes(data[:2]) for data, _ in found] == list(range(len(sizes)))
    assert "missed_dropped" not in desk.counts()


@pytest.mark.parametrize("question", [FAST, MISS], ids=["fast", "miss"])
async def test_a_drain_answers_what_has_come_in(desk: Desk, question: bytes) -> None:
    sock = bound("127.0.0.1")
    with client("127.0.0.1") as ours:
        for number in range(1500):
            ours.sendto(numbered(question, number), sock.getsockname())
        desk.read(sock)
        desk.readers.drain()
        assert not native_threads()
        assert sock.fileno() == -1
        found = await replies(ours, 1500)
    assert {int.from_bytes(data[:2]) for data, _ in found} == set(range(1500))


async def test_a_drain_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under load that does not end, too, at each of the sockets."""
    monkeypatch.setattr("gslb.server.readers.DRAIN_S", 0.05)
    sockets = [bound("127.0.0.1") for _ in range(cells.THREADS + 1)]
    addresses = [sock.getsockname() for sock in sockets]
    for sock in sockets:
        desk.read(sock)
    with pouring(addresses):
        desk.readers.drain()
    assert not native_threads()


@contextlib.contextmanager
def pouring(addresses: list[tuple[str, int]]) -> Iterator[None]:
    """A thread that sends and sends."""
    stop = threading.Event()

    def pour() -> None:
        with client("127.0.0.1") as ours:
            while not stop.is_set():
                for to in addresses:
                    with contextlib.suppress(OSError):
                        ours.sendto(FAST, to)

    thread = threading.Thread(target=pour)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


async def test_a_socket_is_left_to_another_worker(desk: Desk, net: World) -> None:
    """Two workers read one socket; one leaves it, and nothing that comes in meanwhile is lost."""
    other = Desk(net)
    sock = bound("127.0.0.1")
    desk.read(sock, key=1)
    other.read(sock.dup(), key=1)
    to = sock.getsockname()
    with client("127.0.0.1") as ours:
        for number in range(600):
            ours.sendto(numbered(FAST if number % 9 else MISS, number), to)
            if number == 300:
                desk.readers.close(1)
        found = await replies(ours, 600)
    assert {int.from_bytes(data[:2]) for data, _ in found} == set(range(600))
    assert len(native_threads()) == 1
    before = desk.counts()
    assert await asked("127.0.0.1", [FAST, MISS], to) == [(reply(net, each), "127.0.0.1") for each in (FAST, MISS)]
    assert desk.counts() == before
    other.readers.end()


async def test_more_sockets_than_threads(desk: Desk, net: World) -> None:
    """What no thread is left for the event loop reads; a thread that ended makes room for another."""
    sockets = [bound("127.0.0.1") for _ in range(cells.THREADS + 3)]
    addresses = [sock.getsockname() for sock in sockets]
    for key, sock in enumerate(sockets):
        desk.read(sock, key)
    assert len(native_threads()) == cells.THREADS
    for to in addresses:
        assert await asked("127.0.0.1", [FAST, MISS], to) == [(reply(net, each), "127.0.0.1") for each in (FAST, MISS)]
    assert desk.counts()["fast"] == cells.THREADS
    assert desk.counts()["service"] == len(sockets)
    desk.readers.close(0)
    another = bound("127.0.0.1")
    desk.read(another)
    assert len(native_threads()) == cells.THREADS
    await asked("127.0.0.1", [FAST], another.getsockname())
    assert desk.counts()["fast"] == cells.THREADS + 1


async def test_a_socket_that_does_not_wait_is_read_too(desk: Desk, net: World) -> None:
    """As a service manager may hand one over, or another holder of it make it."""
    sock = bound("127.0.0.1")
    sock.setblocking(False)
    desk.read(sock)
    await asyncio.sleep(0.05)  # the thread finds nothing to read
    found = await asked("127.0.0.1", [FAST, MISS] * 20, sock.getsockname())
    assert found == [(reply(net, each), "127.0.0.1") for each in [FAST, MISS] * 20]
    assert "receive_errors" not in desk.counts()


async def test_system_calls_that_fail_are_counted(desk: Desk, net: World, until: Until) -> None:
    """And what comes in after that is answered."""
    sock = bound("127.0.0.1")
    desk.read(sock)
    to, fd, kept = sock.getsockname(), sock.fileno(), sock.dup()
    with client("127.0.0.1") as ours:
        with contextlib.suppress(OSError):  # it is not connected, but is shut down all the same
            kept.shutdown(socket.SHUT_WR)
        for each in (FAST, MISS):
            ours.sendto(each, to)
        await until(lambda: desk.counts().get("send_errors") == 2)
    reading, writing = os.pipe()
    os.dup2(reading, fd)  # no socket, where the thread reads
    with client("127.0.0.1") as ours:
        ours.sendto(FAST, to)  # ends the read that is under way
    await until(lambda: desk.counts().get("receive_errors", 0) > 2)
    with bound("127.0.0.1") as another:
        to = another.getsockname()
        os.dup2(another.fileno(), fd)
    assert await asked("127.0.0.1", [FAST, MISS], to) == [(reply(net, each), "127.0.0.1") for each in (FAST, MISS)]
    kept.close()
    os.close(reading)
    os.close(writing)


@pytest.fixture(scope="module")
def other() -> World:
    """Another catalog: one zone, one service, one geometry; the name that is asked is there too."""
    edges = network.EDGES[: network.EDGES.index("  ber-2:")]
    zone = "zone: live.example.\nsoa: {mname: ns1, rname: hostmaster}\nrecords: {'@': {NS: [ns1.other.test.]}}\n"
    zone += "services:\n  pull: {pool: one, ttl: 7, affinity: [any]}\npools:\n  one: {ber-1: 1}\n"
    return world({"zones/edges.yaml": edges, "zones/isps.yaml": network.ISPS, "zones/live.example.yaml": zone})


async def test_swaps_while_answering(desk: Desk, net: World, later: World, other: World) -> None:
    """Every reply is by the old or the new snapshots, and nothing is lost; once `use` returns none is by the old."""
    sock = bound("127.0.0.1")
    desk.read(sock)
    worlds = (net, later, other)
    assert len({reply(each, FAST) for each in worlds}) == 3
    assert (len(net.catalog.arrays["geometry"]), len(other.catalog.arrays["geometry"])) == (3, 1)
    seen: set[bytes] = set()
    done = threading.Event()

    def ask() -> None:
        number = 0
        with client("127.0.0.1") as ours:
            while not done.is_set():
                wanted = {(number + each) % 65536 for each in range(20)}
                for each in wanted:
                    ours.sendto(numbered(FAST, each), sock.getsockname())
                found = [ours.recv(2000) for _ in wanted]
                assert {int.from_bytes(each[:2]) for each in found} == wanted
                seen.update(each[2:] for each in found)
                number += 20

    asking = asyncio.ensure_future(asyncio.to_thread(ask))
    rng = random.Random(1)
    with client("127.0.0.1") as ours:
        for turn in range(300):
            current = rng.choice(worlds)
            desk.use(current, turn)
            ours.sendto(FAST, sock.getsockname())
            assert ours.recv(2000) == reply(current, FAST)
            await asyncio.sleep(0)
    done.set()
    await asking
    assert seen == {reply(each, FAST)[2:] for each in worlds}


@pytest.mark.parametrize("slip", [0, 1, 3])
def test_limits_count_as_on_the_reference_path(net: World, slip: int) -> None:
    """At a rate that nothing is within, each kind of error, positive answers, an address that is allowed, cookies."""
    rules = (0.001, slip, 15, ["198.51.100.0/24"])
    live = b"\x04live\x07example\0"
    kinds = [
        edns(question=asks(b"\x04none" + live)),
        edns(question=asks(b"\x05other\x04test\0")),
        edns(question=asks(b"\x04only" + live)),
        edns(question=asks(b"\x03www" + live, 16)),
        edns(option(10, b"clientck"), question=asks(b"\x04none" + live)),
        edns(version=1),
        packet(asks(), b"rest"),
        packet(asks(), flags=0x2800),
    ]
    sources = [
        bytes((192, 0, 2, 1)),
        bytes((198, 51, 100, 9)),
        bytes((127, 0, 0, 1)),
        bytes.fromhex("20010db8") + bytes(12),
    ]
    asked = [(kind, source) for kind in kinds for source in sources] * 7
    compiled, reference = (cells.attach(cells.create()) for _ in range(2))
    slots = b"".join((row + 1).to_bytes(2, "little") for row in range(len(net.catalog.edges)))
    snapshot = Snapshot(net.catalog, net.steering, net.engine.identity)
    counting = meters(compiled, ring.attach(ring.create(0, 1, 16)), 0)
    served = Served(snapshot, slots, CompiledLimiter(*rules), 1, 1)
    replay(served, counting, [each[0] for each in asked], [each[1] for each in asked], 1, metered_=True)
    responder = Responder(cells.blocks(reference)[0])
    responder.use(net.engine, slots, Limiter(*rules))
    for question, source in asked:
        responder.answer(question, source, now_s=NOW_S, tcp=False)
    found, wanted = counted(compiled), counted(reference)
    assert found.pop("fast") == len(asked)
    assert found == wanted
    assert found["limit counted"] == 7 * 2 * 2
    assert found["limit dropped"] > 0 or slip == 1


@pytest.mark.parametrize("slip", [0, 2])
def test_many_threads_share_a_limiter(net: World, slip: int) -> None:
    """Without a lock nothing is torn: each message is counted, and what passes is what was earned, or little more."""
    threads, rounds, rate = 4, 2000, 100
    memory = cells.attach(cells.create())
    rings = ring.attach(ring.create(0, cells.BLOCKS, 16))
    limiter = CompiledLimiter(rate, slip, 15, [])
    served = Served(Snapshot(net.catalog, net.steering, net.engine.identity), bytes(64), limiter, 1, 1)
    absent = [edns(question=asks(b"\x04none\x04live\x07example\0"))] * 5
    sources = [bytes((192, 0, 2, 1)), *(bytes((10, 0, number, 1)) for number in range(4))]

    def hammer(block: int) -> None:
        replay(served, meters(memory, rings, block), absent, sources, rounds, metered_=True)

    running = [threading.Thread(target=hammer, args=(block,)) for block in range(threads)]
    began_s = time.monotonic()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    earned = len(sources) * rate * (2 + time.monotonic() - began_s)
    counts = counted(memory)
    assert counts["udp ipv4 A"] == counts["fast"] == threads * rounds * len(sources)
    assert counts["udp NXDOMAIN"] + counts["udp dropped"] == counts["fast"]
    assert counts["udp dropped"] == counts["limit dropped"]
    passed = counts["udp NXDOMAIN"] - counts.get("limit slipped", 0)
    assert len(sources) * rate <= passed <= earned + threads * len(sources)
    assert ("limit slipped" in counts) is (slip > 0)


def in_memory(net: World, catalog: Catalog) -> tuple[World, weakref.ref[mmap.mmap]]:
    """The world again over steering that lies in memory of its own, and whether that is there still."""
    arrays = steering.build(catalog.arrays, StoreState(), 0)
    packed = b"".join(layout.pack(layout.STEERING_MAGIC, catalog.generation, arrays))
    memory = mmap.mmap(-1, len(packed))
    memory[:] = packed
    made = Steering(memoryview(memory))
    return World(catalog, made, Engine(catalog, made, net.engine.identity)), weakref.ref(memory)


async def test_memory_goes_after_the_last_reader(desk: Desk, net: World) -> None:
    sock = bound("127.0.0.1")
    desk.read(sock)
    kept = []
    for _ in range(5):
        made, memory = in_memory(net, net.catalog)
        desk.use(made)
        kept.append(memory)
        del made, memory
        await asked("127.0.0.1", [FAST, MISS], sock.getsockname())
        gc.collect()
        assert [each() is not None for each in kept] == [False] * (len(kept) - 1) + [True]
