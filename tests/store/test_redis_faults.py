"""A real Redis that dies, stands still, forgets or is taken over: the last state holds, ages stand still, and what was
missed is read again. What matters is where things end; how fast is measured elsewhere."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gslbtest.process import SOON_S, program, running
from gslbtest.stores import RedisServer, becomes, following, replicated, seen_by, sentinel, until, wait_for

from gslb.model.override import KIND_DRAIN, Override, Target
from gslb.model.report import DOWN, Report, StoreState
from gslb.store import redis as connecting
from gslb.store import redis_follow, redis_library
from gslb.store import redis_reading as reading
from gslb.store.interface import Store, StoreError
from gslb.store.opening import open_writer


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    """A Redis of a test's own, which is asked often."""
    monkeypatch.setattr(redis_follow, "BLOCK_S", 0.05)
    with RedisServer(tmp_path / "redis") as found:
        yield found


def said(edge: str, seq: int, health: str = "up") -> Report:
    return Report(edge, 1, seq, 0, health4=health, health6=health)


async def written(url: str, *reports: Report) -> None:
    """By somebody else."""
    writer = open_writer(url)
    try:
        for report in reports:
            assert await writer.report(report) == (True, "")
    finally:
        await writer.close()


def order(name: str) -> Override:
    now_s = int(time.time())
    return Override(name, KIND_DRAIN, Target(pop="fra"), now_s, now_s + 600, author="ana", reason="works")


async def held_still(store: Store, before: StoreState) -> None:
    """While Redis is away: nothing changes but the age."""
    assert not store.connected
    first_s = store.age_s
    assert await store.state() is before
    await until(lambda: store.age_s > first_s > 0)
    assert store.now_ms == before.now_ms
    assert await store.state() is before
    with pytest.raises(StoreError, match=r"^redis://127\.0\.0\.1:\d+: "):
        await store.report(said("a", 99))


# Away, and back.


async def test_a_restart_without_memory(server: RedisServer) -> None:
    async with following(server.url) as store:
        assert (await store.report(said("a", 1))).accepted
        await seen_by(store, said("a", 1))
        before = await store.state()
        changes = store.changes()
        server.kill()
        await until(lambda: not store.connected)
        await asyncio.wait_for(anext(changes), SOON_S)
        assert list(store.faults) == [store_name(server)]
        await held_still(store, before)
        clock_ms = store.clock_ms
        server.start()
        await until(lambda: store.connected)
        await asyncio.wait_for(anext(changes), SOON_S)
        assert (store.age_s, store.faults) == (0.0, {})
        assert store.clock_ms >= clock_ms
        state = await store.state()
        assert (state.reports, state.seen) == ({}, before.seen), "silent, and not as if it had never reported"
        # The function library is gone too, and a writer brings it back.
        assert (await store.report(said("a", 1))).accepted
        await seen_by(store, said("a", 1))


async def test_a_restart_with_memory(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always") as server:
        async with following(server.url) as store:
            writer = open_writer(server.url)
            assert (await writer.report(said("a", 1))).accepted
            assert (await writer.override(order("works"))).accepted
            before = await becomes(store, lambda state: bool(state.overrides))
            server.kill()
            await until(lambda: not store.connected)
            await held_still(store, before)
            server.start()
            await until(lambda: store.connected)
            assert await store.state() == before
            assert (await writer.report(said("a", 2))).accepted, "the same writer goes on"
            assert (await seen_by(store, said("a", 2))).seq == 2
            await writer.close()


def store_name(server: RedisServer) -> str:
    return f"redis://127.0.0.1:{server.port}"


async def test_a_script_that_does_not_end(tmp_path: Path) -> None:
    """Redis answers, and yet only that it has no time."""
    with RedisServer(tmp_path / "redis", "--busy-reply-threshold", "50") as server:
        await written(server.url, said("a", 1))
        async with following(server.url) as store:
            before = await store.state()
            line = [program("redis-cli"), "-p", str(server.port), "EVAL", "while true do end", "0"]
            with running(line, tmp_path / "script.log"):
                await until(lambda: not store.connected)
                await until(lambda: "BUSY" in str(store.faults))
                await held_still(store, before)
                server.cli("SCRIPT", "KILL")
            await until(lambda: store.connected)
            assert store.faults == {}


PAUSE_MS = 4000


def _stopped(server: RedisServer) -> Callable[[], None]:
    server.stop()
    return server.cont


def _paused(server: RedisServer) -> Callable[[], None]:
    server.cli("CLIENT", "PAUSE", str(PAUSE_MS), "ALL")
    return lambda: None  # it ends by itself, and nothing else ends it


@pytest.mark.parametrize("still", [_stopped, _paused], ids=["SIGSTOP", "CLIENT PAUSE"])
async def test_standing_still(server: RedisServer, still: Callable[[RedisServer], Callable[[], None]]) -> None:
    await written(server.url, said("a", 1), said("b", 1))
    async with following(server.url) as store:
        before = await store.state()
        go_on = await asyncio.to_thread(still, server)
        await until(lambda: not store.connected)
        assert store.faults == {store_name(server): f"{store_name(server)}: no answer in time"}
        await held_still(store, before)
        await asyncio.to_thread(go_on)
        await until(lambda: store.connected)
        await written(server.url, said("b", 2))
        await seen_by(store, said("b", 2))
        assert store.faults == {}


async def test_a_cold_start_without_redis(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis")  # not started
    report = dataclasses.replace(said("a", 7), received_ms=1_700_000_000_000)
    held = StoreState(now_ms=1_700_000_000_000, reports={"a": report}, seen={"a": 1_700_000_000_000})
    async with following(server.url, held, wait=False) as store:
        await until(lambda: bool(store.faults))
        assert await store.state() == held
        assert (store.connected, store.now_ms) == (False, held.now_ms)
        assert abs(store.clock_ms - time.time() * 1000) < 1000, "its own clock meanwhile"
        with server:
            await until(lambda: store.connected)
            assert await store.state() == dataclasses.replace(held, reports={})


# Forgetting.


async def test_everything_is_deleted(server: RedisServer) -> None:
    await written(server.url, said("a", 1), said("b", 1))
    async with following(server.url) as store:
        await store.override(order("works"))
        before = await becomes(store, lambda state: bool(state.overrides))
        server.cli("FLUSHALL")
        state = await becomes(store, lambda state: not state.reports)
        assert state == dataclasses.replace(before, reports={}, overrides={}, gap_begin_ms=0, gap_end_ms=0)
        await written(server.url, said("b", 1))
        state = await becomes(store, lambda state: bool(state.reports))
        assert (list(state.reports), sorted(state.seen)) == (["b"], ["a", "b"])
        assert state.heard_ms(state.seen["a"]) == state.now_ms, "all begins anew: nobody has been silent before"


async def test_a_report_is_deleted_or_expires(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_follow, "FULL_READ_S", 0.05)
    await written(server.url, said("a", 1), said("b", 1), said("c", 1))
    async with following(server.url) as store:
        before = await store.state()
        server.cli("DEL", "{gslb}:report:a")
        server.cli("PEXPIRE", "{gslb}:report:b", "1")
        state = await becomes(store, lambda state: len(state.reports) == 1)
        assert (list(state.reports), state.seen) == (["c"], before.seen)
        assert state.now_ms == before.now_ms


async def test_an_override_is_deleted(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_follow, "FULL_READ_S", 0.05)
    async with following(server.url) as store:
        await store.override(order("works"))
        await becomes(store, lambda state: list(state.overrides) == ["works"])
        server.cli("DEL", "{gslb}:override:works")
        await becomes(store, lambda state: not state.overrides)


@pytest.mark.parametrize("apart_s", [0.0, 0.3], ids=["at once", "after a while"])
async def test_entries_that_were_lost_make_everything_be_read(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, apart_s: float
) -> None:
    """Redis keeps so few that a reader misses most; between two full reads for it there is some time."""
    monkeypatch.setattr(redis_follow, "_FULL_READS_APART_S", apart_s)
    await written(server.url, *(said(f"e{at}", 1) for at in range(50)))
    async with following(server.url) as store:
        assert len((await store.state()).reports) == 50
        # As one transaction: a reader sees the last two entries alone.
        calls = [f"FCALL gslb_report 1 {{gslb}}:report:e{at} 1 epoch 1 seq 2" for at in range(50)]
        server.cli(given="\n".join(["MULTI", *calls, "XTRIM {gslb}:events MAXLEN 2", "EXEC", ""]).encode())
        state = await becomes(store, lambda state: all(report.seq == 2 for report in state.reports.values()))
        assert len(state.reports) == 50


@pytest.mark.no_cover
async def test_nothing_goes_back_while_everything_is_read(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What entries tell meanwhile is newer than what the full read met before."""
    monkeypatch.setattr(redis_follow, "FULL_READ_S", 0.0)
    monkeypatch.setattr(redis_follow, "_SLICE_S", 0.0)
    edges = [f"e{at}" for at in range(1200)]
    await written(server.url, *(said(edge, 1) for edge in edges))
    async with following(server.url) as store:
        seq, now_ms = dict.fromkeys(edges, 1), 0
        for turn in range(2, 8):
            await written(server.url, *(said(edge, turn) for edge in edges[:: 2 * turn]))
            state = await store.state()
            assert state.now_ms >= now_ms
            assert all(state.reports[edge].seq >= seq[edge] for edge in edges)
            seq, now_ms = {edge: state.reports[edge].seq for edge in edges}, state.now_ms
        await seen_by(store, said(edges[0], 7))
        assert store.faults == {}


async def test_a_stream_that_was_emptied(server: RedisServer) -> None:
    """Nothing tells of what was written but the counter."""
    await written(server.url, said("a", 1))
    async with following(server.url) as store:
        call = "FCALL gslb_report 1 {gslb}:report:a 1 epoch 1 seq 2"
        server.cli(given=f"MULTI\n{call}\nDEL {{gslb}}:events\nEXEC\n".encode())
        await seen_by(store, said("a", 2))


@pytest.mark.parametrize(
    "emptied", [("DEL", "{gslb}:events"), ("XTRIM", "{gslb}:events", "MAXLEN", "0")], ids=["deleted", "cut"]
)
async def test_who_finds_the_stream_emptied_agrees_with_who_read_it(
    server: RedisServer, emptied: tuple[str, ...]
) -> None:
    """The other keys tell store time too."""
    await written(server.url, said("a", 1), said("b", 1))
    async with following(server.url) as old:
        server.cli(*emptied)
        async with following(server.url) as new:
            assert await new.state() == await old.state()
            await written(server.url, said("a", 2))
            for store in (old, new):
                await seen_by(store, said("a", 2))
            assert await new.state() == await old.state()


async def test_a_gap_stays_that_is_told_while_everything_is_read(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The full read met the one before it."""
    code = redis_library.text().replace(b"local GAP_MS = 3000", b"local GAP_MS = 0")
    code = code.replace(b"local VALID_MS = 10000", b"local VALID_MS = -1")  # no gap joins the one before it
    server.cli("-x", "FUNCTION", "LOAD", "REPLACE", given=code)
    for seq in (1, 2):
        await written(server.url, said("a", seq))
    monkeypatch.setattr(redis_follow, "_SLICE_S", 0.0)
    scan = reading.scan

    async def scanned(*arguments: Any) -> AsyncIterator[list[str]]:
        first = True
        async for keys in scan(*arguments):
            if first and redis_follow.FULL_READ_S == 0.0:
                monkeypatch.setattr(redis_follow, "FULL_READ_S", 30.0)
                await asyncio.sleep(0.005)
                server.cli("FCALL", "gslb_report", "1", "{gslb}:report:b", "1", "epoch", "1", "seq", "1")
            first = False
            yield keys

    monkeypatch.setattr(reading, "scan", scanned)
    async with following(server.url) as store:
        before = await store.state()
        monkeypatch.setattr(redis_follow, "FULL_READ_S", 0.0)
        await seen_by(store, said("b", 1))
        await until(lambda: redis_follow.FULL_READ_S > 0)
        await asyncio.sleep(0.2)  # longer than the rest of the full read takes
        state = await store.state()
        assert (state.gap_begin_ms, state.gap_end_ms) == (before.now_ms, state.now_ms)


async def test_following_goes_on_after_a_fault_of_this_program(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with following(server.url) as store:
        whole = reading.gap

        async def faulty(_: reading.Many) -> reading.Gap | reading.Fault:
            raise RuntimeError("never thought of")

        monkeypatch.setattr(reading, "gap", faulty)
        await written(server.url, said("a", 1))
        await until(lambda: not store.connected)
        assert "never thought of" in store.faults[store_name(server)]
        monkeypatch.setattr(reading, "gap", whole)
        await seen_by(store, said("a", 1))
        assert store.connected


# Another primary.


async def test_a_failover(tmp_path: Path) -> None:
    with replicated(tmp_path) as ((primary, replica), url):
        writer = open_writer(url)
        assert (await writer.report(said("a", 1))).accepted
        assert (await writer.override(order("works"))).accepted
        async with following(url) as store:
            before = await becomes(store, lambda state: bool(state.overrides))
            count = "{gslb}:events:n"
            await asyncio.to_thread(wait_for, lambda: replica.says("GET", count) == primary.cli("GET", count))
            primary.stop()
            await until(lambda: not store.connected)
            assert await store.state() is before
            await until(lambda: store.connected)
            assert await store.state() == before
            await asyncio.to_thread(wait_for, replica.is_primary)
            with pytest.raises(StoreError, match="no answer in time"):
                await writer.report(said("a", 2))  # its connection still leads to the old one
            assert (await writer.report(said("a", 2, DOWN))).accepted
            assert (await seen_by(store, said("a", 2))).health4 == DOWN
            # The old one comes back and takes itself for the primary still, as the Sentinels do not.
            primary.cont()
            await written(url, said("a", 3))
            await seen_by(store, said("a", 3))
            assert store.faults == {}
        await writer.close()


SENTINELS = [
    # what the URL says, and the reason
    ("redis+sentinel://127.0.0.1:{port}/other", r"127\.0\.0\.1:{port} knows no 'other'"),
    ("redis+sentinel://127.0.0.1:1,127.0.0.1:{port}/other", r"(.*; )?127\.0\.0\.1:{port} knows no 'other'"),
    ("redis+sentinel://127.0.0.1:1/gslb", "Error 111 connecting to 127.0.0.1:1"),
]


async def test_sentinels_that_know_nothing(tmp_path: Path, server: RedisServer) -> None:
    with sentinel(tmp_path / "sentinel", server) as watching:
        for url, reason in SENTINELS:
            url, reason = url.format(port=watching.port), reason.format(port=watching.port)
            writer = open_writer(url)
            with pytest.raises(StoreError, match=rf"^{re.escape(url)}: no Sentinel names the primary: {reason}"):
                await writer.latest("a")
            await writer.close()


async def test_one_sentinel_of_several_is_enough(tmp_path: Path, server: RedisServer) -> None:
    with sentinel(tmp_path / "sentinel", server) as watching:
        await written(f"redis+sentinel://127.0.0.1:1,127.0.0.1:{watching.port},127.0.0.1:2/gslb", said("a", 1))
        assert server.cli("HGET", "{gslb}:report:a", "seq") == "1"


async def test_sentinels_that_name_a_replica(tmp_path: Path, server: RedisServer) -> None:
    """As they do for a moment after a failover."""
    replica = RedisServer(tmp_path / "two", "--replicaof", "127.0.0.1", str(server.port))
    with replica, sentinel(tmp_path / "sentinel", replica) as watching:
        writer = open_writer(f"redis+sentinel://127.0.0.1:{watching.port}/gslb")
        with pytest.raises(StoreError, match=rf"127\.0\.0\.1:{replica.port}, which the Sentinels name, is not"):
            await writer.latest("a")
        await writer.close()


async def test_a_replica_is_no_primary(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "one") as one:
        of = ["--replicaof", "127.0.0.1", str(one.port)]
        with RedisServer(tmp_path / "two", *of) as two:
            await asyncio.to_thread(wait_for, lambda: "master_link_status:up" in two.cli("INFO", "replication"))
            await written(one.url, said("a", 1))
            await asyncio.to_thread(wait_for, lambda: two.cli("EXISTS", "{gslb}:report:a") == "1")
            async with following(two.url) as store:  # to read it is good enough
                assert list((await store.state()).reports) == ["a"]
                with pytest.raises(StoreError, match=r": \{gslb\}:report:a: READONLY "):
                    await store.report(said("a", 2))


# What is no Redis.


async def test_something_else_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "ANSWER_S", 0.2)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        async with following(f"redis://127.0.0.1:{port}", wait=False) as store:
            await until(lambda: bool(store.faults))
            assert not store.connected
            (fault,) = store.faults.values()
            assert fault.startswith(f"redis://127.0.0.1:{port}: Protocol error")


@pytest.mark.parametrize(
    "answers",
    [b"*0\r\n" * 50, b":5\r\n" * 50, b"*2\r\n$1\r\na\r\n$1\r\nb\r\n" * 50, b"$-1\r\n" * 50, b"+OK\r\n" * 50],
    ids=["lists", "numbers", "pairs", "nothing", "words"],
)
async def test_answers_that_no_redis_gives(answers: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            writer.write(answers)
            await writer.drain()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        async with following(f"redis://127.0.0.1:{port}", wait=False) as store:
            await until(lambda: bool(store.faults))
            assert not store.connected
            assert "an answer that is not understood" in store.faults[f"redis://127.0.0.1:{port}"]
