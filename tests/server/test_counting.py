"""Which plan counts: a poisoned one is refused and the former stays, through restarts, other files, an empty store."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import structlog.testing
import zstandard
from gslbtest.asking import addresses, ask
from gslbtest.process import SOON_S
from gslbtest.world import world

from gslb.errors import GslbError
from gslb.model.plan import ROLLBACK, Forced, Plan, PlanRow
from gslb.model.report import StoreState
from gslb.plan import published
from gslb.server import counting, frames, listen
from gslb.server.counting import Counting, Refusals, looked_at
from gslb.server.endpoint import Endpoint
from gslb.server.fleet import Fleet
from gslb.server.keeping import Keeper
from gslb.server.snapshots import Snapshots
from gslb.server.status import Live, RefusedPlan
from gslb.snapshot import acceptance, planning
from gslb.snapshot import compile as compiling
from gslb.snapshot.catalog import Catalog
from gslb.store import files, kept
from gslb.store.memory import MemoryStore

T = 1_795_530_600_000
HOUR_MS = 3_600_000
SERVICE = "p.live.example."
DISPATCHED = "services:\n  p: {pool: all, affinity: [any], dispatch: true}\n"


@pytest.fixture(autouse=True)
def dispatched(small: dict[str, str]) -> None:
    """sha is for clients in China alone."""
    small["live.yaml"] = small["live.yaml"].replace("services:\n", DISPATCHED)
    small["edges.yaml"] = small["edges.yaml"].replace("    pop: sha\n", "    pop: sha\n    fence: [CN]\n")


def plan(
    version: str, fra: int, base: str = "", at: int = T, view: str = "CN||", wait_ms: int = 0, forced: bool = False
) -> Plan:
    """So much of China, in percent, goes to Frankfurt, the rest to Shanghai."""
    weight = 65535 * fra // 100
    row = PlanRow(SERVICE, *view.split("|"), (("fra", weight), ("sha", 65535 - weight)))
    moves = (Forced("", ROLLBACK),) if forced else ()
    return Plan(version, base, at, at + wait_ms, at + HOUR_MS, (row,), forced=moves)


def catalog_of(small: dict[str, str]) -> Catalog:
    return world({f"zones/{name}": text for name, text in small.items() if name.endswith("yaml")}).catalog


def after(catalog: Catalog, *states: StoreState, held: Plan | None = None, now_ms: int = T) -> Counting:
    """What counts after the store held one after another."""
    found = counting.held(held)
    for state in states:
        if not found.is_for(catalog, state):
            found = looked_at(found, catalog, state, now_ms)
    return found


A, B = plan("a", 20), plan("b", 30, "a", T + 1)
MANY, OLD, FENCED = plan("m", 80, "a", T + 1), plan("o", 20, "a", T - 1000), plan("f", 20, "a", T + 1, "DE||")
N = plan("n", 80, "m", T + 2)
AHEAD = plan("x", 20, "", T + 20_000)


class Case(NamedTuple):
    """What the store held one after another, the version that counts, and what is refused, with its reason."""

    why: str
    states: list[StoreState]
    counts: str
    refused: tuple[str, str] | None = None
    held: Plan | None = None
    now_ms: int = T + 10


def store(now: Plan | None, base: Plan | None = None) -> StoreState:
    return StoreState(plan=now, plan_base=base)


CASES = [
    Case("nothing", [store(None)], ""),
    Case("the first", [store(A)], "a"),
    Case("the next", [store(A), store(B, A)], "b"),
    Case("one that moves too much", [store(A), store(MANY, A)], "a", ("m", "shift")),
    Case("unless it is forced", [store(A), store(plan("m", 80, "a", T + 1, forced=True), A)], "m"),
    Case("one that is older", [store(A), store(OLD, A)], "a", ("o", "older")),
    Case("one that is older than what was issued in the future", [store(AHEAD), store(B)], "b"),
    Case("a moment ahead is not the future", [store(AHEAD), store(B)], "x", ("b", "older"), now_ms=T + 10_000),
    Case("one that breaks a fence", [store(A), store(FENCED, A)], "a", ("f", "fence")),
    Case("the first one breaks a fence", [store(FENCED)], "", ("f", "fence")),
    Case("a good one follows", [store(A), store(MANY, A), store(plan("n", 30, "m", T + 2), MANY)], "n"),
    Case("built upon a refused one", [store(A), store(MANY, A), store(plan("n", 85, "m", T + 2), MANY)], "a",
         ("n", "shift")),
    Case("the third of three bad ones", [store(A), store(MANY, A), store(N, MANY), store(plan("q", 85, "n", T + 3), N)],
         "a", ("q", "shift")),
    Case("a good one after two bad ones",
         [store(A), store(MANY, A), store(N, MANY), store(plan("q", 25, "n", T + 3), N)], "q"),
    Case("one that was missed and would have been refused", [store(A), store(plan("n", 85, "m", T + 2), MANY)], "a",
         ("n", "shift")),
    Case("it is gone from the store", [store(A), store(None)], "a"),
    Case("a refused one is gone", [store(A), store(MANY, A), store(None)], "a"),
    Case("what counted before the restart", [store(MANY, A)], "a", ("m", "shift"), held=A),
    Case("the store is away at the start", [store(A)], "a", held=A),
    Case("what counted has faded: the base decides", [store(plan("n", 85, "k", T + 4_000_000), plan("k", 80, "j"))],
         "n", held=A, now_ms=T + HOUR_MS + 600_000),
    Case("it fades still", [store(plan("n", 85, "k", T + 4_000_000))], "a", ("n", "shift"), held=A,
         now_ms=T + HOUR_MS + 599_999),
    Case("the base comes to be known", [store(A), store(plan("n", 85, "k", T + 1)),
         store(plan("n", 85, "k", T + 1), plan("k", 80, "j"))], "n"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.why for case in CASES])
def test_which_counts(small: dict[str, str], case: Case) -> None:
    found = after(catalog_of(small), *case.states, held=case.held, now_ms=case.now_ms)
    assert (found.newest.plan.version if found.newest else "") == case.counts
    assert (found.refused and (found.refused.version, found.refused.reason)) == case.refused
    assert found.at(case.now_ms) is found.newest
    if found.newest is not None:
        assert set(found.newest.policies) == {int(found.catalog.services[0].policy)} if found.catalog else set()


def test_one_that_begins_later_leaves_the_former_in_force(small: dict[str, str]) -> None:
    catalog = catalog_of(small)
    later = plan("b", 30, "a", T + 1, wait_ms=5000)
    found = after(catalog, store(A), store(later, A))
    versions = [found.at(now_ms).plan.version for now_ms in (T + 1, T + 5000, T + 5001)]
    assert versions == ["a", "a", "b"]
    assert [found.due_ms(now_ms) for now_ms in (T + 1, T + 5001)] == [T + 5001, None]
    # The next comes before that has begun: what is in force stays so, until the last begins.
    last = looked_at(found, catalog, store(plan("c", 35, "b", T + 2, wait_ms=8000), later), T + 2)
    versions = [last.at(now_ms).plan.version for now_ms in (T + 5002, T + 8002)]
    assert versions == ["a", "c"]
    # Once it has begun, the former is forgotten.
    assert looked_at(found, catalog, store(later), T + 9000).former is None


def test_other_files(small: dict[str, str]) -> None:
    """What counts is not asked again, but for rows that cannot be used any more; what was refused is."""
    wide = catalog_of({**small, "edges.yaml": small["edges.yaml"].replace("    fence: [CN]\n", "")})
    narrow = catalog_of(small)
    former = after(wide, store(FENCED))
    assert (former.newest is not None, former.newest and former.newest.skipped) == (True, 0)
    found = looked_at(former, narrow, store(FENCED), T)
    assert found.refused is None
    assert found.newest is not None
    assert (found.newest.plan, found.newest.skipped) == (FENCED, 1)
    refused = after(narrow, store(FENCED))
    assert refused.refused is not None
    assert not refused.is_for(wide, store(FENCED))
    again = looked_at(refused, wide, store(FENCED), T)
    assert (again.refused, again.newest and again.newest.plan) == (None, FENCED)
    later = after(wide, store(A), store(plan("b", 30, "a", T + 1, wait_ms=5000), A))
    both = looked_at(later, narrow, StoreState(plan=later.seen), T)
    assert both.former is not None
    assert both.former is not later.former


def _packed(told: dict[str, Any]) -> tuple[bytes, str]:
    data = zstandard.compress(msgspec.json.encode(told))
    return data, hashlib.sha256(data).hexdigest()


def poisoned() -> list[tuple[str, str, bytes, str]]:
    """Why, its reason, and what stands in the store."""
    data, digest = published.write(A)
    told = msgspec.json.decode(zstandard.decompress(data, 1 << 20))
    light = {**told, "rows": [[*told["rows"][0][:4], [["fra", 65534]], []]]}
    return [
        ("another checksum", "checksum", data, "0" * 64),
        ("torn", "checksum", data[:-1], digest),
        ("no checksum", "checksum", data, "x"),
        ("not packed", "unreadable", b"{}", hashlib.sha256(b"{}").hexdigest()),
        ("weights that do not sum", "sums", *_packed(light)),
        ("another version", "unreadable", *_packed({**told, "format": 2})),
    ]


@pytest.mark.parametrize(("why", "reason", "data", "digest"), poisoned(), ids=[each[0] for each in poisoned()])
def test_what_the_store_cannot_read(why: str, reason: str, data: bytes, digest: str) -> None:
    with pytest.raises(published.PlanError) as raised:
        published.read(data, digest)
    key = "{gslb}:plan:v2"
    found = counting.unreadable({"{gslb}:report:x": "seq: is missing", key: raised.value.told})
    assert [(each.version, each.reason, each.text) for each in found] == [("v2", reason, raised.value.told)]


class Logged:
    """What was told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def warning(self, event: str, version: str, reason: str) -> None:
        self.lines.append((version, reason))


def test_each_refusal_counts_once() -> None:
    log = Logged()
    refusals = Refusals(log)
    many = RefusedPlan("v2", "shift", "it moves 60.0% of demand against v1; at most 30% may")
    bad = {"{gslb}:plan:v3": "sha256: is missing"}
    for faults, refused in (({}, None), ({}, many), ({}, many), (bad, many), (bad, None), ({}, many)):
        refusals.note(faults, refused)
    assert {reason: count for reason, count in refusals.counts.items() if count} == {"shift": 2, "checksum": 1}
    assert set(refusals.counts) == set(acceptance.REASONS)
    assert log.lines == [("v2", f"shift: {many.text}"), ("v3", "checksum: sha256: is missing"),
                         ("v2", f"shift: {many.text}")]  # fmt: skip
    assert refusals.told() == f"v2 refused: shift: {many.text}"
    assert counting.unreadable({"{gslb}:plan:a b": "'a b' is not the version of a plan"})[0].version == ""


TEXTS = [
    (Live(), "none"),
    (Live(plan="v7"), "v7"),
    (Live(plan="v7", plan_faded=0.5), "v7, fading: 50% local"),
    (Live(plan="v7", plan_refused=(RefusedPlan("v8", "older", "late"),)), "v7; refused v8: older: late"),
]


@pytest.mark.parametrize(("live", "text"), TEXTS)
def test_the_line_of_status(live: Live, text: str) -> None:
    assert live.plan_text == text


class Server:
    """A worker, and what steers it, with the embedded store whose clock a test sets."""

    def __init__(self, small: dict[str, str], state_dir: Path, held: StoreState | None = None) -> None:
        self.clock_ms = T
        opened = listen.open_all([Endpoint("127.0.0.1", 0)], 1, 1 << 20)
        self.port = opened.endpoints[0].port
        self.fleet = Fleet(opened, frames.Start(0, 1, "info", 100, 100, 10.0))
        self.store = MemoryStore(lambda: self.clock_ms, held=held)
        identity = frames.Identity(b"test", b"gslb test", (bytes(16),), ("127.0.0.0/8",), 100)
        self.kept: list[str] = []
        self.snapshots = Snapshots(
            self.fleet, self.store, lambda: identity, held=held.plan if held else None, keep=self.keep
        )
        self.keeper = Keeper(self.store, state_dir, held or StoreState(), lambda: self.snapshots.plan)
        read = compiling.read({f"zones/{name}": text.encode() for name, text in small.items()}, {}, ())
        arrays = compiling.build(read)
        assert arrays is not None, read.findings.errors
        self.catalog = files.write_catalog(state_dir, bytes(32), arrays)

    def keep(self, plan: Plan) -> None:
        """Called before a plan counts; the disk is full."""
        self.kept.append(plan.version)
        raise OSError(28, "No space left on device")

    def versions(self) -> tuple[str, str]:
        """The plan that counts, and the one that is refused."""
        plan = self.snapshots.plan
        return plan.version if plan else "", " ".join(each.version for each in self.snapshots.refusals.now)

    async def answers(self, edge: str) -> None:
        """Wait until the worker gives a client in China this address."""
        async with asyncio.timeout(SOON_S):
            while addresses(await asyncio.to_thread(ask, self.port, SERVICE, subnet="198.51.100.0/24")) != [edge]:
                pass


@contextlib.asynccontextmanager
async def running(small: dict[str, str], state_dir: Path, held: StoreState | None = None) -> AsyncIterator[Server]:
    server = Server(small, state_dir, held)
    await server.fleet.start()
    await server.snapshots.take(server.catalog, None)
    following = asyncio.create_task(server.snapshots.run())
    try:
        yield server
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await server.keeper.end()
        await server.fleet.drain()


async def test_a_poisoned_plan_is_refused_and_a_restart_keeps_the_former(
    tmp_path: Path, small: dict[str, str], until: Callable[[Callable[[], object]], Awaitable[None]]
) -> None:
    small["live.yaml"] = small["live.yaml"].replace("pool: all, affinity: [any]", "pool: all, affinity: [country]")
    first = plan("v1", 100)
    async with running(small, tmp_path) as server:
        with structlog.testing.capture_logs() as logs:
            assert (await server.store.publish(first)).accepted
            await until(lambda: server.versions() == ("v1", ""))
            server.clock_ms += 1000
            await until(lambda: server.snapshots.steering and server.snapshots.steering.note["plan"] == "v1")
            await server.answers("192.0.2.20")
            for at, bad in enumerate((plan("m", 0, "v1", T + 1), plan("f", 100, "m", T + 2, "DE||"),
                                      plan("o", 100, "f", T - 1000))):  # fmt: skip
                assert (await server.store.publish(bad)).accepted
                await until(lambda bad=bad: server.versions() == ("v1", bad.version))
                assert sum(server.snapshots.refusals.counts.values()) == at + 1
        assert [(log["version"], log["reason"].partition(":")[0]) for log in logs if "version" in log] == [
            ("m", "shift"), ("f", "fence"), ("o", "older")
        ]  # fmt: skip
        served = server.snapshots.served
        assert served is not None
        assert served.state.plan is first
        await server.answers("192.0.2.20")
    assert kept.load(tmp_path).plan == first
    async with running(small, tmp_path, kept.load(tmp_path)) as server:
        assert server.versions() == ("v1", "")
        await server.answers("192.0.2.20")
        assert (await server.store.publish(plan("n", 80, "v1", T + 3))).accepted
        await until(lambda: server.versions() == ("n", ""))
        server.clock_ms += 1000
        await until(lambda: server.snapshots.steering and server.snapshots.steering.note["plan"] == "n")


async def test_steering_goes_on_while_a_plan_is_looked_at(
    tmp_path: Path,
    small: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    until: Callable[[Callable[[], object]], Awaitable[None]],
) -> None:
    """And a fault of the program that it meets is told; the next plan is looked at."""
    waiting, original = asyncio.Event(), counting.looked_at
    loop = asyncio.get_running_loop()

    def looked(*arguments: Any) -> Counting:
        asyncio.run_coroutine_threadsafe(waiting.wait(), loop).result()
        if arguments[2].plan.version == "bad":
            raise ZeroDivisionError
        return original(*arguments)

    async with running(small, tmp_path) as server:
        monkeypatch.setattr(counting, "looked_at", looked)
        with structlog.testing.capture_logs() as logs:
            assert (await server.store.publish(plan("bad", 50))).accepted
            builds = server.snapshots.status.builds
            for _ in range(3):
                await server.snapshots.steer()
            assert server.snapshots.status.builds >= builds + 3
            waiting.set()
            await until(lambda: logs)
            assert (await server.store.publish(plan("good", 50, "bad"))).accepted
            await until(lambda: server.versions() == ("good", ""))
        assert server.kept == ["good"]
        assert logs[0]["event"] == "a plan met a fault of this program; the former holds"


async def test_the_fault_of_a_first_plan_is_the_caller_s(
    tmp_path: Path, small: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_: Any) -> planning.Planned:
        raise GslbError("no")

    server = Server(small, tmp_path, StoreState(plan=A))
    await server.fleet.start()
    try:
        with monkeypatch.context() as patched:
            patched.setattr(planning, "resolve", resolve)
            with pytest.raises(GslbError, match="no"):
                await server.snapshots.take(server.catalog, None)
        await server.snapshots.take(server.catalog, None)
        assert server.versions() == ("a", "")
    finally:
        await server.fleet.drain()
