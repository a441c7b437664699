"""What a store was told, read entry by entry: both kinds tell the same, and nothing that was forged counts."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import socket
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import redis
from gslbtest.clocked import BEGIN, KEY, Clock, drain, hook
from gslbtest.desk import TOKEN, Desk
from gslbtest.stores import RedisServer

from gslb.errors import GslbError
from gslb.model.report import DOWN, UP, Report
from gslb.store import admin_events, events
from gslb.store.events import Entry, Events, Page, Position, begun_anew, position
from gslb.store.interface import Outcome, StoreError
from gslb.store.memory import MemoryStore
from gslb.store.memory_events import MemoryEvents
from gslb.store.opening import open_events, open_writer
from gslb.store.serving import serve


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as found:
        yield found


@contextlib.asynccontextmanager
async def opened(url: str, token: str | None = None) -> AsyncIterator[Events]:
    found = open_events(url, token)
    try:
        yield found
    finally:
        await found.close()


STEPS_MS = (0, 0, 1, 200, 3001, 60_000, -900, -9_999, -20_000, -3_600_000)


@pytest.mark.parametrize("seed", range(3))
async def test_both_kinds_tell_the_same(server: RedisServer, seed: int) -> None:
    """After any history of writes and clocks; and whoever reads gets each entry once."""
    chance, clock = random.Random(seed), Clock()
    embedded = MemoryStore(clock)
    writer = open_writer(server.url)
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(contextlib.closing(redis.Redis(port=server.port)))
        client.flushall()
        hook(client)
        stack.callback(client.function_flush)
        at, written, read = Position(), 0, list[Entry]()
        async with opened(server.url) as stream:
            for turn in range(120):
                clock.now_ms += chance.choice(STEPS_MS)
                client.set(KEY, clock.now_ms)
                if chance.random() < 0.2:
                    order = drain(chance.choice("xy"), BEGIN // 1000 + 10_000 + turn)
                    outcomes = [await each.override(order) for each in (embedded, writer)]
                else:
                    report = Report(chance.choice("abc"), 1, turn, 0, turn, chance.choice((UP, DOWN)), load_bps=turn)
                    outcomes = [await each.report(report) for each in (embedded, writer)]
                assert outcomes == [Outcome(True), Outcome(True)]
                written += 1
                if chance.random() < 0.5:
                    limit = chance.choice((1, 2, 1000))
                    page, told = await stream.after(at, limit), await embedded.after(at, limit)
                    assert (list(page.entries), page.anew) == (list(told.entries), told.anew)
                    read += page.entries
                    at = page.entries[-1].position if page.entries else at
            for page in [await stream.after(at), await stream.after(Position())]:
                assert all(not entry.fault for entry in page.entries)
        assert len({entry.n for entry in read}) == len(read)
        assert all(entry.report is None or entry.report.received_ms == entry.ms for entry in read)
    await writer.close()


async def test_through_an_admin_port() -> None:
    desk = Desk(store=MemoryStore(Clock()))
    await desk.store.report(Report("fra-1", 1, 1, 0, 5, UP, DOWN, 7, 8, 500, 9, 10_000))
    await desk.store.report(Report("fra-1", 1, 2, 0))
    await desk.store.override(drain("x", BEGIN // 1000 + 1000))
    wanted = [
        Entry(BEGIN, 0, 1, "report", Report("fra-1", 1, 1, BEGIN, 5, UP, DOWN, 7, 8, 500, 9, 10_000)),
        Entry(BEGIN, 1, 2, "report", Report("fra-1", 1, 2, BEGIN)),
        Entry(BEGIN, 2, 3, "override"),
    ]
    stopped = asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        serving = asyncio.ensure_future(serve(desk.app, sock, stopped))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        async with opened(url, TOKEN) as found:
            assert await found.after(Position()) == Page(wanted)
            assert await found.after(Position(), 1) == Page(wanted[:1])
            assert await found.after(wanted[0].position, 5000) == Page(wanted[1:])
            assert await found.after(wanted[2].position) == Page([])
        async with opened(url, "wrong") as found:
            with pytest.raises(StoreError, match="refuses the token"):
                await found.after(Position())
        stopped.set()
        await serving
    async with opened(url, TOKEN) as found:
        with pytest.raises(StoreError, match=r"no server answers on 127\.0\.0\.1:"):
            await found.after(Position())


ASKED = [
    ("/v1/events?after=1", 400, "after: '1' is not the id of an entry, such as 1700000000000-0"),
    ("/v1/events?limit=0", 422, None),
    ("/v1/events?n=-1", 422, None),
]


@pytest.mark.parametrize(("path", "code", "detail"), ASKED)
async def test_what_an_admin_port_refuses(path: str, code: int, detail: str | None) -> None:
    said = await Desk().ask("GET", path)
    assert said.code == code
    assert detail in (None, said.json()["detail"])
    assert (await Desk().ask("GET", path, None)).code == 401


async def test_a_server_that_follows_redis_tells_none(server: RedisServer) -> None:
    from gslb.model.report import StoreState
    from gslb.store.opening import open_store

    store = open_store(server.url, StoreState())
    said = await Desk(store=store).ask("GET", "/v1/events")
    assert (said.code, said.json()["detail"]) == (
        409,
        "the store is not inside of this server: read the entries of the store itself",
    )
    await store.close()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "not a list of entries"),
        (b"[]", "not a list of entries"),
        (b'{"anew": false, "entries": [{"ms": 1}]}', "not a list of entries"),
        (
            b'{"anew": false, "entries": [{"ms": 1, "seq": 0, "n": 1, "kind": "report", "report": {"edge": "a"}}]}',
            "report of edge 'a': edge: is not known",
        ),
        (
            b'{"anew": false, "entries": [{"ms": 1, "seq": 0, "n": 1, "kind": "report",'
            b' "report": {"edge": "a", "epoch": 1}}]}',
            "report of edge 'a': seq: is missing",
        ),
    ],
)
def test_what_is_no_page(body: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        admin_events.read(body)


NOW_MS = int(time.time() * 1000)
FORGED = [
    # id (@: now), fields, what is wrong
    ("@-0", {"kind": "report", "edge": "a"}, "it has no running number"),
    ("@-0", {"n": "x", "kind": "plan"}, "it has no running number"),
    ("@-0", {"n": "7"}, "its kind '' is not known"),
    ("@-0", {"n": "7", "kind": "x" * 500}, "its kind '" + "x" * 40 + "' is not known"),
    (f"{NOW_MS + 3_600_000}-0", {"n": "7", "kind": "plan"}, "it lies ahead of the store's clock"),
    ("@-1000000000000000", {"n": "7", "kind": "plan"}, "it lies ahead of the store's clock"),
    (
        "@-0",
        {"n": "7", "kind": "report", "edge": "a", "epoch": "1", "seq": "2", "received_ms": "5"},
        "received_ms is not the time of the entry",
    ),
    (
        "@-0",
        {"n": "7", "kind": "report", "edge": "a b", "epoch": "1", "load_bps": "-1", "received_ms": "@"},
        "report of edge 'a b': the name is not letters, digits, dots, hyphens and underscores, at most 63;"
        " seq: is missing; load_bps: '-1' is not a decimal number from 0 to 1000000000000000",
    ),
    (
        "@-0",
        {"n": "7", "kind": "report", "edge": "fra-1", "epoch": "1", "seq": "9", "received_ms": "@"},
        "the store never took this report of edge 'fra-1'",
    ),
    ("@-0", {"n": "7", "kind": "report", "edge": "none", "epoch": "1", "seq": "9", "received_ms": "@"}, ""),
]


@pytest.mark.parametrize(("at", "fields", "fault"), FORGED, ids=range(len(FORGED)))
async def test_what_is_forged(server: RedisServer, at: str, fields: dict[str, str], fault: str) -> None:
    server.cli("FLUSHALL")
    writer = open_writer(server.url)
    assert (await writer.report(Report("fra-1", 1, 1, 0))).accepted
    async with opened(server.url) as found:
        (sound,) = (await found.after(Position())).entries
        assert sound.report is not None
        now = str(sound.ms + 1)
        flat = [text.replace("@", now) for pair in fields.items() for text in pair]
        server.cli("XADD", events.KINDS[0] and "{gslb}:events", at.replace("@", now), *flat)
        (entry,) = (await found.after(sound.position)).entries
        assert (entry.fault, entry.report is None) == (fault, bool(fault))
        assert (await writer.report(Report("fra-1", 1, 2, 0))).accepted
        page = await found.after(entry.position)
        # The functions do not write behind what lies far ahead: they begin the stream anew.
        assert page.anew == (entry.ms > sound.ms + 1_000_000)
        assert [each.report.seq for each in page.entries if each.report] == [2]
    await writer.close()


async def test_the_same_report_with_other_values_is_forged(server: RedisServer) -> None:
    """As is one that is newer than what was written later; one of which nothing is known any more counts."""
    server.cli("FLUSHALL")
    writer = open_writer(server.url)
    for seq in (1, 2, 3):
        assert (await writer.report(Report("fra-1", 1, seq, 0, load_bps=seq))).accepted
        await asyncio.sleep(0.002)  # each has a time of its own
    async with opened(server.url) as found:
        first, *_ = before = (await found.after(Position())).entries
        for key, value in (("load_bps", "4"), ("seq", "2")):
            server.cli("HSET", "{gslb}:report:fra-1", key, value)
            faults = [entry.fault for entry in (await found.after(Position())).entries]
            assert faults == ["", "", "the store never took this report of edge 'fra-1'"]
        server.cli("HSET", "{gslb}:report:fra-1", "received_ms", "0")
        assert [entry.fault for entry in (await found.after(Position())).entries] == ["", "", ""]
        server.cli("DEL", "{gslb}:report:fra-1")
        assert (await found.after(Position())).entries == before
        assert dataclasses.replace(first.report or Report("", 0, 0, 0), received_ms=0) == Report(
            "fra-1", 1, 1, 0, load_bps=1
        )
    await writer.close()


async def test_what_is_heavy_comes_one_by_one(server: RedisServer) -> None:
    server.cli("FLUSHALL")
    for at in (1, 2, 3):
        server.cli("-X", "BIG", "XADD", "{gslb}:events", f"{at}-0", "n", str(at), "junk", "BIG", given=bytes(3 << 20))
    async with opened(server.url) as found:
        assert [entry.ms for entry in (await found.after(Position())).entries] == [1, 2, 3]
        assert [entry.ms for entry in (await found.after(Position())).entries] == [1]
        assert [entry.ms for entry in (await found.after(Position(1, 0, 1))).entries] == [2, 3]


async def test_a_store_that_cannot_be_read(server: RedisServer) -> None:
    server.cli("FLUSHALL")
    server.cli("SET", "{gslb}:events", "x")
    async with opened(server.url) as found:
        with pytest.raises(StoreError, match="the key holds no stream"):
            await found.after(Position())
    server.cli("DEL", "{gslb}:events")
    async with opened(server.url.replace("//", "//nobody:secret@")) as found:
        with pytest.raises(StoreError) as raised:
            await found.after(Position())
    assert "secret" not in str(raised.value)


def entry(ms: int, n: int) -> Entry:
    return Entry(ms, 0, n, "plan")


BEGINNINGS = [
    # position, oldest, newest, clock, whether it was begun anew
    (Position(50_000, 0, 9), entry(1000, 2), entry(60_000, 12), 60_000, False),
    (Position(50_000, 0, 9), entry(1000, 2), entry(50_000, 9), 60_000, False),
    (Position(50_000, 0, 9), entry(55_000, 20), entry(60_000, 25), 60_000, False),  # those between are gone
    (Position(50_000, 0, 9), entry(40_000, 11), entry(60_000, 25), 60_000, True),
    (Position(50_000, 0, 0), entry(40_000, 11), entry(60_000, 25), 60_000, False),  # nothing is known of numbers
    (Position(50_000, 0, 9), entry(40_000, 11), entry(41_000, 12), 60_000, True),
    (Position(50_000, 0, 9), entry(1000, 2), entry(49_000, 8), 60_000, False),  # another server took over
    (Position(50_000, 0, 9), entry(1000, 1), entry(2_000, 2), 2_000, True),  # emptied, and the clock set back
]


@pytest.mark.parametrize(("after", "oldest", "newest", "clock_ms", "anew"), BEGINNINGS)
def test_whether_a_store_began_anew(after: Position, oldest: Entry, newest: Entry, clock_ms: int, anew: bool) -> None:
    assert begun_anew(after, oldest, newest, clock_ms) is anew


def test_the_embedded_store_keeps_the_newest() -> None:
    found = MemoryEvents(kept=3)
    assert found.after(Position(), 10, 0) == Page(())
    for at in range(5):
        found.add(100 + at // 2, "plan")
    assert found.after(Position(), 10, 0) == Page(
        [Entry(101, 0, 3, "plan"), Entry(101, 1, 4, "plan"), Entry(102, 0, 5, "plan")]
    )


URLS = [
    ("memory://", None, "the embedded store is inside of a server: read from its admin port, http://ADDR:PORT"),
    ("http://127.0.0.1:1", None, "reading from an admin port needs its token"),
    ("http://127.0.0.1:1", "a\nb", "the admin token is not printable ASCII characters"),
    ("http://127.0.0.1", "token", "'http://127.0.0.1': not the URL of an admin port, such as http://127.0.0.1:8053"),
    ("ftp://x", None, "the store cannot be opened: the URL of a store is memory://, redis://…, rediss://… or"),
]


@pytest.mark.parametrize(("url", "token", "reason"), URLS)
def test_urls(url: str, token: str | None, reason: str) -> None:
    with pytest.raises(GslbError) as raised:
        open_events(url, token)
    assert str(raised.value).startswith(reason)


@pytest.mark.parametrize("text", ["", "1", "1-", "-1", "1-x", "1-1-1", "1" * 21 + "-0", "١-٠"])
def test_what_is_no_id(text: str) -> None:
    assert position("12-3", 4) == (12, 3, 4)
    with pytest.raises(ValueError, match="is not the id of an entry"):
        position(text)
