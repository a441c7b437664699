"""What somebody wrote into Redis by hand, by mistake or in malice: told with its key and field, and what was good there
before still counts."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from gslbtest.stores import RedisServer, becomes, following, seen_by, until

from gslb.model.override import KIND_DRAIN, Override, Target
from gslb.model.report import DRAIN, Report
from gslb.store import redis_follow
from gslb.store.interface import Store

A, B = "{gslb}:report:a", "{gslb}:report:b"
WORKS = "{gslb}:override:works"
EVENTS, COUNT, SEEN, GAP = "{gslb}:events", "{gslb}:events:n", "{gslb}:seen", "{gslb}:gap"
HUGE = 5_000_000


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as found:
        yield found


@pytest.fixture
def server(shared: RedisServer, monkeypatch: pytest.MonkeyPatch) -> RedisServer:
    """An empty Redis, of which everything is read again after a moment."""
    monkeypatch.setattr(redis_follow, "FULL_READ_S", 0.05)
    monkeypatch.setattr(redis_follow, "BLOCK_S", 0.02)
    shared.cli("FLUSHALL")
    return shared


GOOD = Report("a", 1, 1, 0, load_bps=7)
NOW_S = int(time.time())
ORDER = Override("works", KIND_DRAIN, Target(pop="fra"), NOW_S, NOW_S + 86_400, author="ana", reason="works")


@contextlib.asynccontextmanager
async def good(server: RedisServer) -> AsyncIterator[Store]:
    """A store with a report of edge a and an override, both read."""
    async with following(server.url) as store:
        assert (await store.report(GOOD)).accepted
        assert (await store.override(ORDER)).accepted
        await becomes(store, lambda state: bool(state.reports) and bool(state.overrides))
        yield store


NUMBER = "is not a decimal number from 0 to"
REPORTS: list[tuple[list[tuple[str | bytes, ...]], str]] = [
    # what is done by hand to the report of edge a, and the fault
    ([("DEL", A), ("SET", A, "x")], "the key holds no hash"),
    ([("DEL", A), ("LPUSH", A, "x")], "the key holds no hash"),
    ([("DEL", A), ("XADD", A, "*", "epoch", "1")], "the key holds no hash"),
    ([("DEL", A), ("SETRANGE", A, str(HUGE), "x")], "the key holds no hash"),
    ([("HDEL", A, "seq")], "seq: is missing"),
    ([("DEL", A), ("HSET", A, "load_bps", "5")], "epoch: is missing; seq: is missing"),
    ([("DEL", A), ("HSET", A, "received_ms", "5")], "epoch: is missing; seq: is missing"),
    ([("HSET", A, "seq", "-1")], f"seq: '-1' {NUMBER} 9223372036854775807"),
    ([("HSET", A, "seq", "1.5")], f"seq: '1.5' {NUMBER} 9223372036854775807"),
    ([("HSET", A, "epoch", "")], f"epoch: '' {NUMBER} 9223372036854775807"),
    ([("HSET", A, "epoch", "9223372036854775808")], f"epoch: '9223372036854775808' {NUMBER} 9223372036854775807"),
    ([("HSET", A, "load_bps", "NaN")], f"load_bps: 'NaN' {NUMBER} 1000000000000000"),
    ([("HSET", A, "load_bps", "1e9")], f"load_bps: '1e9' {NUMBER} 1000000000000000"),
    ([("HSET", A, "load_bps", " 1")], f"load_bps: ' 1' {NUMBER} 1000000000000000"),
    ([("HSET", A, "load_bps", "1000000000000001")], f"load_bps: '1000000000000001' {NUMBER} 1000000000000000"),
    ([("HSET", A, "sessions", "٣".encode())], f"sessions: '٣' {NUMBER} 9223372036854775807"),
    ([("HSET", A, "headroom_milli", b"\xff\xfe")], f"headroom_milli: '\\\\xff\\\\xfe' {NUMBER} 1000"),
    ([("HSET", A, "headroom_milli", "infinity")], f"headroom_milli: 'infinity' {NUMBER} 1000"),
    ([("HSET", A, "health4", "UP")], "health4: 'UP' is not one of up, down, drain"),
    ([("HSET", A, "health6", b"\x00")], "health6: '\\x00' is not one of up, down, drain"),
    ([("HSET", A, "received_ms", "yesterday")], "received_ms: is not a time in ms since 1970"),
    ([("HSET", A, "received_ms", "99999999999999999999")], "received_ms: is not a time in ms since 1970"),
    (
        [("HSET", A, "seq", "x", "health4", "y", "load_bps", "z")],
        f"seq: 'x' {NUMBER} 9223372036854775807; load_bps: 'z' {NUMBER} 1000000000000000;"
        " health4: 'y' is not one of up, down, drain",
    ),
    ([("HSET", A, "load_bps", "9" * HUGE)], f"load_bps: is {HUGE} bytes long, at most 64 are read"),
]


@pytest.mark.parametrize(("by_hand", "fault"), REPORTS, ids=[row[1][:40] for row in REPORTS])
async def test_a_report_that_cannot_be_read(
    server: RedisServer, by_hand: list[tuple[str | bytes, ...]], fault: str
) -> None:
    async with good(server) as store:
        before = await store.state()
        for command in by_hand:
            run(server, *command)
        await until(lambda: bool(store.faults))
        assert store.faults == {A: fault}
        assert (await store.state()).reports == before.reports, "the last good one stays"
        assert (await store.report(Report("b", 1, 1, 0))).accepted
        await seen_by(store, Report("b", 1, 1, 0))
        assert store.connected
        assert store.faults == {A: fault}
        assert await store.latest("a") is None
        assert (await store.report(Report("a", 5, 1, 0, load_bps=8))).accepted, "the edge itself sets it right"
        assert (await seen_by(store, Report("a", 5, 1, 0))).load_bps == 8
        assert store.faults == {}


def run(server: RedisServer, *command: str | bytes) -> None:
    """The last argument goes through standard input: it may be long, and of any bytes."""
    *most, last = command
    server.cli("-x", *most, given=last if isinstance(last, bytes) else last.encode())


async def test_what_is_written_by_hand_and_right(server: RedisServer) -> None:
    async with good(server) as store:
        server.cli("HSET", A, "seq", "2", "health4", DRAIN, "note", "more than we know", "x" * 100, "y" * 100_000)
        found = await seen_by(store, Report("a", 1, 2, 0))
        assert (found.health4, found.load_bps, store.faults) == (DRAIN, 7, {})
        server.cli("HSET", B, "epoch", "0", "seq", "0")
        state = await becomes(store, lambda state: "b" in state.reports)
        assert state.reports["b"] == Report("b", 0, 0, state.now_ms), "of a moment that nobody told: as good as now"


async def test_names_that_are_none(server: RedisServer) -> None:
    async with good(server) as store:
        for name in (b"", b"a b", b"\xff\xfe", b"x" * 64, b"-a", b"a\n", b"../a", b"a:b"):
            server.cli("-x", "HSET", b"{gslb}:report:" + name, "epoch", "1", "seq", given=b"1")
            server.cli("-x", "SET", b"{gslb}:override:" + name, given=b"{}")
            server.cli("HSET", SEEN, name, "5")
        server.cli("HSET", B, "epoch", "1", "seq", "1")
        state = await becomes(store, lambda state: "b" in state.reports)
        assert (sorted(state.reports), sorted(state.seen), list(state.overrides)) == (["a", "b"], ["a", "b"], ["works"])
        assert store.faults == {}
        assert [each.id for each in await store.overrides()] == ["works"]


OVERRIDES: list[tuple[list[tuple[str | bytes, ...]], str]] = [
    ([("DEL", WORKS), ("HSET", WORKS, "a", "b")], "the key holds no text"),
    ([("SET", WORKS, "{")], "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    ([("SET", WORKS, b"\xff")], "not JSON: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ([("SET", WORKS, "[1]")], "a list is not a mapping"),
    ([("SET", WORKS, "x" * HUGE)], "the text has more than 16384 characters"),
    ([("SET", WORKS, "[" * 16_000)], "not JSON: nested too deep"),
    (
        [("SET", WORKS, '{"id": "works", "kind": "pin", "target": {"service": "a.", "view": "XX||"}, "from": 1,'
          ' "until": 2, "value": ["e"], "reason": "r"}')],
        "target.view: 'XX||' is not country|region|isp, such as CN|SH|chinanet, CN|| or ||AS4134; a region needs its"
        " country",
    ),
    (
        [("SET", WORKS, '{"id": "other", "kind": "drain", "target": {"pop": "a"}, "from": 1, "until": 2,'
          ' "reason": "r"}')],
        "id: 'other' is not that of the key",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("by_hand", "fault"), OVERRIDES, ids=[row[1][:40] for row in OVERRIDES])
async def test_an_override_that_cannot_be_read(
    server: RedisServer, by_hand: list[tuple[str | bytes, ...]], fault: str
) -> None:
    async with good(server) as store:
        for command in by_hand:
            run(server, *command)
        await until(lambda: bool(store.faults))
        assert store.faults == {WORKS: fault}
        assert (await store.state()).overrides == {"works": ORDER}, "the last good one stays"
        assert await store.overrides() == ()
        assert (await store.override(ORDER)).accepted
        await until(lambda: not store.faults)


REST: list[tuple[list[tuple[str | bytes, ...]], dict[str, str]]] = [
    # what is done by hand, and all that is told of it
    ([("DEL", EVENTS), ("SET", EVENTS, "x")], {EVENTS: "the key holds no stream"}),
    ([("DEL", COUNT), ("LPUSH", COUNT, "x")], {COUNT: "the key holds no number"}),
    ([("SET", COUNT, "x")], {COUNT: "the key holds no number"}),
    ([("SETRANGE", COUNT, str(HUGE), "x")], {COUNT: "the key holds no number"}),
    ([("DEL", SEEN), ("SET", SEEN, "x")], {SEEN: "the key holds no hash"}),
    ([("DEL", GAP), ("SET", GAP, "x")], {GAP: "the key holds no hash"}),
    ([("HSET", GAP, "end_ms", "-5")], {GAP: "begin_ms and end_ms are not two times in ms since 1970"}),
    ([("HSET", GAP, "end_ms", "9" * HUGE)], {GAP: "begin_ms and end_ms are not two times in ms since 1970"}),
    ([("HDEL", GAP, "begin_ms")], {GAP: "begin_ms and end_ms are not two times in ms since 1970"}),
    ([("HSET", GAP, "end_ms", "4000000000000")], {GAP: "end_ms: 4000000000000 lies ahead of the store's clock"}),
    ([("LPUSH", "{gslb}:plan:current", "x")], {"{gslb}:plan:current": "the key holds no text"}),
    ([("SET", "{gslb}:plan:current", "v1")], {"{gslb}:plan:v1": "sha256: is missing"}),
    ([("SET", "{gslb}:plan:current", "a b")], {"{gslb}:plan:a b": "'a b' is not the version of a plan"}),
    (
        [("SET", "{gslb}:plan:v1", "x"), ("SET", "{gslb}:plan:current", "v1")],
        {"{gslb}:plan:v1": "the key holds no hash"},
    ),
    (
        [("HSET", "{gslb}:plan:v1", "sha256", "x" * 64), ("SET", "{gslb}:plan:current", "v1")],
        {"{gslb}:plan:v1": "sha256: is not 64 hexadecimal digits"},
    ),
    (
        [("HSET", "{gslb}:plan:v1", "sha256", "a" * HUGE), ("SET", "{gslb}:plan:current", "v1")],
        {"{gslb}:plan:v1": "sha256: is not 64 hexadecimal digits"},
    ),
    (
        [("HSET", "{gslb}:plan:v1", "sha256", "a" * 64), ("SET", "{gslb}:plan:current", "v1")],
        {"{gslb}:plan:v1": "data: is not 1 to 16777216 bytes"},
    ),
    (
        [
            ("HSET", "{gslb}:plan:v1", "sha256", "a" * 64),
            ("HSET", "{gslb}:plan:v1", "data", "x" * (16_777_217)),
            ("SET", "{gslb}:plan:current", "v1"),
        ],
        {"{gslb}:plan:v1": "data: is not 1 to 16777216 bytes"},
    ),
]


@pytest.mark.parametrize(("by_hand", "told"), REST, ids=[" ".join(map(str, row[0][-1]))[:40] for row in REST])
async def test_other_keys_that_cannot_be_read(
    server: RedisServer, by_hand: list[tuple[str | bytes, ...]], told: dict[str, str]
) -> None:
    async with good(server) as store:
        before = await store.state()
        for command in by_hand:
            run(server, *command)
        await until(lambda: bool(store.faults))
        assert store.faults == told
        assert store.connected
        state = await store.state()
        assert (state.reports, state.overrides, state.seen) == (before.reports, before.overrides, before.seen)
        assert (state.gap_begin_ms, state.gap_end_ms, state.now_ms) == (
            before.gap_begin_ms,
            before.gap_end_ms,
            before.now_ms,
        )
        server.cli("HSET", A, "seq", "2")
        await seen_by(store, Report("a", 1, 2, 0))
        server.cli("DEL", *told, "{gslb}:plan:current", "{gslb}:plan:v1")
        await until(lambda: not store.faults)


OURS = [
    # what somebody leaves under a key that the functions keep for themselves
    [("SET", EVENTS, "x")],
    [("DEL", SEEN), ("SET", SEEN, "x")],
    [("DEL", GAP), ("RPUSH", GAP, "x")],
    [("SET", COUNT, "x")],
    [("SET", COUNT, "9223372036854775807")],
    [("DEL", COUNT), ("RPUSH", COUNT, "x")],
    [("XADD", EVENTS, "18446744073709551615-18446744073709551615", "x", "y")],
]


@pytest.mark.parametrize("by_hand", OURS, ids=lambda commands: " ".join(commands[-1][:2]))
async def test_what_stands_in_the_way_of_writing_gives_way(server: RedisServer, by_hand: list[tuple[str, ...]]) -> None:
    async with good(server) as store:
        for command in by_hand:
            server.cli(*command)
        assert (await store.report(Report("a", 1, 2, 0))).accepted
        await seen_by(store, Report("a", 1, 2, 0))
        await until(lambda: not store.faults)


def test_no_entry_fits_after_a_forged_one(server: RedisServer) -> None:
    """A few seconds ahead of the clock, and the last of its millisecond."""
    server.cli("DEL", EVENTS)
    ahead_ms = (int(server.cli("TIME").split()[0]) + 8) * 1000
    server.cli("XADD", EVENTS, f"{ahead_ms}-18446744073709551615", "x", "y")
    answer = server.cli("FCALL", "gslb_report", "1", "{gslb}:report:z", "1", "epoch", "1", "seq", "1").split()
    assert answer[0] == "1"
    assert int(answer[1].split("-")[0]) < ahead_ms


ENTRIES = [
    # entries that somebody forged
    ("*", "kind", "report", "edge", "a", "epoch", "9", "seq", "9", "health4", "down"),
    ("*", "n", "1", "kind", "report", "edge", "a"),
    ("*", "n", "99999999", "kind", "report", "edge", "nobody"),
    ("*", "n", "x", "kind", "override", "id", "nobody", "json", "{}"),
    ("*", "n", "-1", "kind", "plan", "version", "nobody"),
    ("*", "kind", "report", "edge", "../../a"),
    ("*", "x", "y"),
    ("9000000000000-0", "n", "1", "kind", "report", "edge", "a"),
    ("18446744073709551615-18446744073709551614", "n", "1"),
]


@pytest.mark.parametrize("entry", ENTRIES, ids=["-".join(entry)[:40] for entry in ENTRIES])
async def test_forged_entries_say_nothing(server: RedisServer, entry: tuple[str, ...]) -> None:
    """What counts is what stands under the keys; and what comes after is not missed."""
    async with good(server) as store:
        before = await store.state()
        server.cli("XADD", EVENTS, *entry)
        server.cli("HSET", B, "epoch", "1", "seq", "1")
        state = await becomes(store, lambda state: "b" in state.reports)
        assert (state.reports["a"], state.overrides) == (before.reports["a"], before.overrides)
        assert state.now_ms <= store.clock_ms + redis_follow.AHEAD_MS
        assert (await store.report(Report("a", 1, 2, 0, load_bps=8))).accepted
        found = await seen_by(store, Report("a", 1, 2, 0))
        assert found.load_bps == 8
        assert (await store.state()).heard_ms(found.received_ms) <= store.clock_ms + redis_follow.AHEAD_MS
        assert store.faults == {}


async def test_entries_of_some_size_are_told(server: RedisServer) -> None:
    async with good(server) as store:
        server.cli("-x", "XADD", EVENTS, "*", "kind", given=b"x" * HUGE)
        await until(lambda: bool(store.faults) or store.now_ms == 0)
        assert list(store.faults) == [EVENTS]
        assert (await store.report(Report("a", 1, 2, 0))).accepted
        await seen_by(store, Report("a", 1, 2, 0))
        await until(lambda: not store.faults)


async def test_many_faults_are_counted(server: RedisServer) -> None:
    async with good(server) as store:
        server.cli(given=b"".join(b"HSET {gslb}:report:e%d epoch x\n" % at for at in range(230)))
        await until(lambda: len(store.faults) > 200)
        await until(lambda: store.faults.get("…") == "30 more")
        assert len(store.faults) == 201
