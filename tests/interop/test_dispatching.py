"""A dispatcher, a real Redis and two servers: plans reach answers, and what is wrong with one never does.

The tests share the servers, and come in this order: a server takes no plan that was issued before the one it goes by.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import redis
import zstandard
from gslbtest import ring
from gslbtest.process import SOON_S, command, running
from gslbtest.serving import Server, serving, write_files
from gslbtest.stores import RedisServer

from gslb.model.plan import PLAN_SUM, Forced, Plan, PlanRow
from gslb.plan import published
from gslb.store.interface import Writer
from gslb.store.opening import open_writer

pytestmark = pytest.mark.asyncio(loop_scope="module")

PREFIXES = 10_000
"""Distinct /24s that each split group is asked for."""
DISPATCH = "round_s: 10\nsolve_limit_s: 10\n"
BUCKET_S = 300
HOUR_MS = 3_600_000
TAG = "{gslb}:"


@dataclass(slots=True)
class Net:
    """Redis, two servers that follow it, a writer, and the folder with what a dispatcher reads."""

    folder: Path
    redis: RedisServer
    servers: tuple[Server, Server]
    writer: Writer

    def dispatcher(self, name: str) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        """A running ``gslb dispatch`` with a state directory of its own."""
        line = [command("gslb"), "dispatch", "--zones", str(self.folder / "zones"), "--data", str(self.folder / "data")]
        line += ["--state", str(self.folder / name), "--store", self.redis.url, "--metrics", "none"]
        return running(line, self.folder / f"{name}.log")

    async def current(self) -> str:
        """The version that counts in the store; empty where none does."""
        return (await self.writer.plan_versions() or ("",))[0]

    async def both(self, what: str, until: Callable[[str], bool]) -> None:
        """Wait until the metrics of both servers satisfy a condition."""
        for server in self.servers:
            end = time.monotonic() + SOON_S
            while not until(found := await asyncio.to_thread(metrics, server)):
                plans = [line for line in found.splitlines() if line.startswith("gslb_plan")]
                assert time.monotonic() < end, f"never: {what}\n" + "\n".join(plans)
                await asyncio.sleep(0.2)

    async def go_by(self, version: str) -> None:
        """Wait until both servers go by a plan."""
        await self.both(f"plan {version}", lambda text: f'gslb_plan_info{{version="{version}"}} 1.0' in text)

    async def get(self, at: int, edge: str) -> None:
        """Wait until a place's viewers all get one edge, of both servers."""
        for server in self.servers:
            end = time.monotonic() + SOON_S
            while (found := set(await asyncio.to_thread(ring.drawn, server.port, at, 200))) != {edge}:
                assert time.monotonic() < end, found
                await asyncio.sleep(0.2)

    async def drawn(self, at: int, weights: dict[str, float]) -> list[str]:
        """What a place's viewers get from the first server, once it is drawn from these weights; the other server's
        answers, of which a part is asked for, are the same."""
        one, two = self.servers
        end = time.monotonic() + SOON_S
        while True:
            found = await asyncio.to_thread(ring.drawn, one.port, at, PREFIXES)
            again = await asyncio.to_thread(ring.drawn, two.port, at, PREFIXES // 20)
            fault = _not_drawn_from(weights, found)
            if not fault and again == found[: len(again)]:
                return found
            assert time.monotonic() < end, fault or "the servers differ"
            await asyncio.sleep(0.2)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Net]:
    folder = tmp_path_factory.mktemp("net")
    now = datetime.now(UTC)
    first = now.replace(second=0, microsecond=0) - timedelta(minutes=now.minute % 5 + 15)
    times = [(first + timedelta(seconds=BUCKET_S * at)).strftime("%Y-%m-%dT%H:%M:%SZ") for at in range(3)]
    zones = write_files(folder / "zones", {**ring.zones(), "dispatch.yaml": DISPATCH})
    data = write_files(folder / "data", {"rtt.csv": ring.rtt(), "demand.csv": ring.demand(times)})
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(RedisServer(folder / "redis"))
        told: dict[str, Any] = {"zones": zones, "data": data, "arguments": ["--store", store.url]}
        one, two = (stack.enter_context(serving(folder / name, **told)) for name in ("one", "two"))
        writer = open_writer(store.url)
        try:
            yield Net(folder, store, (one, two), writer)
        finally:
            await writer.close()


async def test_a_plan_that_nobody_renews_passes_into_local_policy(net: Net) -> None:
    """By the clock of the store, which both servers share: each ten seconds give a sixtieth of the viewers back."""
    near, far = ring.edge(0), ring.edge(2)
    row = PlanRow(ring.SERVICE, "US", ring.region(0), "isp", ((near, 32768), (far, 32767)))
    former: list[str] = []
    for number, since_s in enumerate((-60, 5, 65, 305, 585, 605)):
        now_ms = net.writer.clock_ms
        issued_ms = now_ms - 2 * HOUR_MS + number
        plan = Plan(f"p{number}", await net.current(), issued_ms, issued_ms, now_ms - 1000 * since_s, (row,))
        assert (await net.writer.publish(plan)).accepted
        await net.go_by(plan.version)
        await net.both("its share", lambda text, want=since_s: _faded(text) == pytest.approx(_step(want), abs=1e-6))
        there = _step(since_s)
        found = await net.drawn(0, {near: 0.5 + there / 2, far: 0.5 - there / 2})
        if former:
            assert all(now == near for was, now in zip(former, found, strict=True) if was == near), "nobody moved away"
        former = found


async def test_plans_reach_answers_and_another_dispatcher_takes_over(net: Net) -> None:
    with net.dispatcher("first") as first:
        plan = await _newer(net, await net.current())
        split = [row for row in plan.rows if sum(weight > 0 for _, weight in row.primaries) > 1]
        assert len(split) >= 20
        with net.dispatcher("second"):
            await net.go_by(plan.version)
            first.kill()
            for row in split:
                await net.drawn(int(row.region[1:]), dict(row.primaries))
            follower = await _newer(net, await net.current())
            assert first.poll() is not None
            await net.go_by(follower.version)
    assert "standby" in (net.folder / "second.log").read_text()


async def test_a_poisoned_plan_is_refused_and_the_one_before_stays(net: Net) -> None:
    now_ms = net.writer.clock_ms
    good = Plan("good", await net.current(), now_ms, now_ms, now_ms + HOUR_MS, _rows(1))
    by_hand = (Forced("", "rollback"),)
    assert (await net.writer.publish(replace(good, forced=by_hand))).accepted
    await net.get(1, ring.edge(2))
    poison: list[tuple[str, str, Callable[[Plan], tuple[bytes, str]]]] = [
        ("checksum", "checksum", lambda plan: (published.write(plan)[0], "0" * 64)),
        ("sums", "sums", lambda plan: _changed(plan, lambda told: told["rows"][5][4][0].__setitem__(1, 65534))),
        ("unreadable", "unreadable", lambda plan: _sealed(b"no plan at all")),
        ("nan", "unreadable", lambda plan: _changed(plan, lambda told: told.update(issued_at_ms=float("nan")))),
        (
            "older",
            "older",
            lambda plan: published.write(replace(plan, issued_at_ms=now_ms - 1, effective_at_ms=now_ms)),
        ),
        ("fence", "fence", lambda plan: published.write(replace(plan, rows=_rows(1, {3: ring.FENCED})))),
        ("shift", "shift", lambda plan: published.write(replace(plan, rows=_rows(2)))),
    ]
    with redis.Redis(port=net.redis.port) as client:
        for version, reason, make in poison:
            base = await net.current()
            plan = replace(good, version=version, base=base, issued_at_ms=now_ms + 1, effective_at_ms=now_ms + 1)
            data, sha256 = make(plan)
            client.fcall("gslb_plan", 1, f"{TAG}plan:{version}", "2", data, sha256, base, "")
            assert await net.current() == version
            told = re.compile(rf'^gslb_plan_refused_info{{reason="{reason}",version="{version}"}} 1\.0$', re.MULTILINE)
            await net.both(f"{version} is refused", lambda text, told=told: told.search(text) is not None)
            await net.go_by("good")
            await net.get(1, ring.edge(2))
    partly = replace(good, version="partly", base=await net.current(), rows=_rows(1, {1: "nowhere"}))
    partly = replace(partly, issued_at_ms=now_ms + 2, effective_at_ms=now_ms + 2)
    assert (await net.writer.publish(partly)).accepted
    await net.go_by("partly")
    await net.both("one row left out", lambda text: "\ngslb_plan_rows_skipped 1.0" in text)
    await net.get(1, ring.edge(1))  # by local policy
    await net.get(3, ring.edge(4))  # as planned
    moved = replace(partly, version="moved", base="partly", rows=_rows(2), forced=by_hand)
    assert (await net.writer.publish(moved)).accepted
    await net.get(3, ring.edge(5))


def metrics(server: Server) -> str:
    """What a server tells Prometheus."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.admin}/metrics", timeout=SOON_S) as reply:
        return str(reply.read().decode())


async def _newer(net: Net, than: str) -> Plan:
    """The plan that counts, once it is another one."""
    end = time.monotonic() + SOON_S
    while (plan := await net.writer.plan()) is None or plan.version == than:
        assert time.monotonic() < end, "\n".join(path.read_text() for path in net.folder.glob("*.log"))
        await asyncio.sleep(0.2)
    return plan


def _rows(step: int, instead: dict[int, str] | None = None) -> tuple[PlanRow, ...]:
    """Each place's viewers to the edge ``step`` places on, of some to another edge."""
    found = []
    for at in range(ring.PLACES):
        edge = (instead or {}).get(at, ring.edge((at + step) % ring.PLACES))
        found.append(PlanRow(ring.SERVICE, "US", ring.region(at), "isp", ((edge, PLAN_SUM),), (), 10**9))
    return tuple(found)


def _not_drawn_from(weights: dict[str, float], found: list[str]) -> str:
    """Empty where the counts may have been drawn from the weights: no edge without weight, and Pearson's χ² below what
    one in a million honest draws exceeds (its mean is the number of free counts, its variance twice that)."""
    counts = Counter(found)
    whole = sum(weights.values())
    expected = {edge: weight / whole * len(found) for edge, weight in weights.items() if weight > 0}
    if not counts.keys() <= expected.keys():
        return f"{counts} has edges that {expected} has not"
    chi2 = sum((counts[edge] - wanted) ** 2 / wanted for edge, wanted in expected.items())
    free = len(expected) - 1
    return "" if chi2 <= 12 * free + 12 * (free > 0) else f"{counts} is not drawn from {expected}"


def _step(since_s: int) -> float:
    """The part of a plan that has faded."""
    return min(max(since_s // 10, 0), 60) / 60


def _faded(text: str) -> float:
    found = re.search(r"^gslb_plan_faded_ratio (\S+)$", text, re.MULTILINE)
    assert found
    return float(found[1])


def _changed(plan: Plan, change: Callable[[dict[str, Any]], object]) -> tuple[bytes, str]:
    """A plan's text after a change that `published.write` would refuse."""
    told = json.loads(zstandard.ZstdDecompressor().stream_reader(published.write(plan)[0]).read())
    change(told)
    return _sealed(json.dumps(told).encode())


def _sealed(text: bytes) -> tuple[bytes, str]:
    data = zstandard.ZstdCompressor().compress(text)
    return data, hashlib.sha256(data).hexdigest()
