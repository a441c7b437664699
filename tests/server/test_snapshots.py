"""Snapshots handed to real workers: swapped, steered by reports, refused when broken, counted on over deaths."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from gslbtest.asking import addresses, ask
from gslbtest.process import SOON_S

from gslb.errors import GslbError
from gslb.model.override import Override, Target
from gslb.model.plan import Plan, PlanRow
from gslb.model.report import DOWN, Report, StoreState
from gslb.server import cells, fleet, frames, listen, snapshots
from gslb.server.endpoint import Endpoint
from gslb.server.fleet import Fleet
from gslb.server.meta import RateLimit
from gslb.server.snapshots import Snapshots
from gslb.snapshot import compile as compiling
from gslb.snapshot import layout, planning, steering
from gslb.store import files
from gslb.store.memory import MemoryStore

IDENTITY = frames.Identity(b"test", b"gslb test", (bytes(16),), ("127.0.0.0/8",), 100)


def kept(state: Path, zones: Mapping[str, str], number: int) -> Path:
    """The catalog of some zones, in its file."""
    read = compiling.read({f"zones/{name}": text.encode() for name, text in zones.items()}, {}, ())
    arrays = compiling.build(read)
    assert arrays is not None, read.findings.errors
    return files.write_catalog(state, bytes((number,)) * 32, arrays)


class World:
    """Workers on a free port, with a store."""

    def __init__(self, workers: int, store: MemoryStore | None = None) -> None:
        opened = listen.open_all([Endpoint("127.0.0.1", 0)], workers, 1 << 20)
        self.port = opened.endpoints[0].port
        self.fleet = Fleet(opened, frames.Start(0, workers, "info", 100, 100, 10.0))
        self.store = store or MemoryStore()
        self.snapshots = Snapshots(self.fleet, self.store, lambda: IDENTITY)

    async def edge(self, subnet: str = "198.51.100.0/24") -> list[str]:
        """The addresses of the service for a client."""
        return addresses(await asyncio.to_thread(ask, self.port, "pull.live.example.", subnet=subnet, again_s=5))

    async def moves_to(self, address: str) -> None:
        """Ask until that is the answer."""
        async with asyncio.timeout(SOON_S):
            while await self.edge() != [address]:  # noqa: ASYNC110 what is waited for sets no event
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def started(workers: int = 2, store: MemoryStore | None = None) -> AsyncIterator[World]:
    world = World(workers, store)
    await world.fleet.start()
    try:
        yield world
    finally:
        await world.fleet.drain()


def without_workers(store: MemoryStore) -> Snapshots:
    """The snapshots of a server none of whose processes has begun."""
    opened = listen.Opened(((),), ())
    return Snapshots(Fleet(opened, frames.Start(0, 1, "info", 1, 1, 1.0)), store, lambda: IDENTITY)


async def test_reports_move_answers(tmp_path: Path, small: dict[str, str]) -> None:
    async with started(1) as world:
        await world.snapshots.steer()  # without a catalog: nothing
        assert world.snapshots.status.builds == 0
        await world.snapshots.take(kept(tmp_path, small, 1), None)
        following = asyncio.create_task(world.snapshots.run())
        assert await world.edge() == ["192.0.2.10"]
        await asyncio.sleep(0)
        for seq, health, expected in ((1, DOWN, "192.0.2.20"), (2, "up", "192.0.2.10")):
            await world.store.report(Report("sha", 1, seq, 0, health4=health, health6=health))
            await world.moves_to(expected)
        assert world.snapshots.status.reports == 1
        assert world.snapshots.status.builds >= 3  # more, as slow start goes on
        await world.store.close()
        await asyncio.wait_for(following, SOON_S)


async def test_a_fault_of_steering_is_told_and_the_next_change_is_tried(
    tmp_path: Path,
    small: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    until: Callable[[Callable[[], object]], Awaitable[None]],
) -> None:
    async with started(1) as world:
        await world.snapshots.take(kept(tmp_path, small, 1), None)
        following = asyncio.create_task(world.snapshots.run())
        await asyncio.sleep(0)
        original = steering.build

        def build(*arguments: object) -> object:
            monkeypatch.setattr(steering, "build", original)
            raise ZeroDivisionError

        monkeypatch.setattr(steering, "build", build)
        with structlog.testing.capture_logs() as logs:
            for seq in (1, 2):
                await world.store.report(Report("sha", 1, seq, 0, health4=DOWN, health6=DOWN))
                await until(lambda: logs)
            await world.moves_to("192.0.2.20")
        assert [log["event"] for log in logs] == ["steering met a fault of this program; the former stays"]
        following.cancel()


async def test_a_broken_catalog_is_refused_and_the_former_stays(tmp_path: Path, small: dict[str, str]) -> None:
    async with started() as world:
        first = kept(tmp_path, small, 1)
        await world.snapshots.take(first, None)
        torn = kept(tmp_path, small, 2)
        os.truncate(torn, 500)
        with pytest.raises(GslbError, match="set aside as"):
            await world.snapshots.take(torn, None)
        # What this process finds whole, the workers may not: they look for themselves.
        memory = os.memfd_create("test")
        os.write(memory, b"nonsense")
        with pytest.raises(GslbError, match=r"the workers refuse .*: snapshot: shorter than its header"):
            await world.fleet.swap(os.open(first, os.O_RDONLY), ["fra", "sha"], memory, IDENTITY, None)
        catalog = world.snapshots.catalog
        assert catalog is not None
        assert world.snapshots.steering is not None
        pieces = layout.pack(layout.STEERING_MAGIC, bytes(32), world.snapshots.steering.arrays)
        memory = os.memfd_create("test")
        os.write(memory, b"".join(pieces))
        with pytest.raises(GslbError, match="the steering is made for another catalog"):
            await world.fleet.swap(os.open(first, os.O_RDONLY), catalog.edge_ids, memory, IDENTITY, None)
        memory = os.memfd_create("test")
        os.write(memory, b"nonsense")
        with structlog.testing.capture_logs() as logs:
            await world.fleet.steer(memory)
        assert [log["event"] for log in logs] == ["a worker refuses a steering snapshot"] * 2
        with pytest.raises(GslbError, match="cannot be read: No such file"):
            await world.snapshots.take(tmp_path / "none.cat", None)
        for _ in range(8):
            assert await world.edge() == ["192.0.2.10"]


def opened(pid: int, folder: Path) -> list[str]:
    """The files of a folder behind a process's descriptors; each map has a descriptor of its own in Python."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(str(link.readlink()))
    return sorted(path for path in found if path.startswith(f"{folder}/"))


async def test_a_catalog_is_served_on_when_its_file_has_gone(
    tmp_path: Path, small: dict[str, str], until: Callable[[Callable[[], object]], Awaitable[None]]
) -> None:
    """A new worker has it, another identity goes with it, and it is closed when the next replaces it."""
    async with started(1) as world:
        first = kept(tmp_path, small, 1)
        await world.snapshots.take(first, None)
        first.unlink()
        slot = world.fleet.slots[0]
        os.kill(slot.pid, signal.SIGKILL)
        await until(lambda: slot.restarts and slot.listening)
        assert await world.edge() == ["192.0.2.10"]
        await world.snapshots.again()
        assert await world.edge() == ["192.0.2.10"]
        assert opened(slot.pid, tmp_path) == [f"{first} (deleted)"]
        assert opened(os.getpid(), tmp_path) == [f"{first} (deleted)"] * 2
        second = kept(tmp_path, small, 2)
        await world.snapshots.take(second, None)
        await until(lambda: opened(slot.pid, tmp_path) == [str(second)])
        assert opened(os.getpid(), tmp_path) == [str(second)] * 2


async def test_who_waits_for_an_answer_is_told_of_the_end(tmp_path: Path, small: dict[str, str]) -> None:
    """Whether the workers have not yet taken the catalog, or the end has come already."""
    async with started(2) as world:
        for slot in world.fleet.slots:
            os.kill(slot.pid, signal.SIGSTOP)
        taking = asyncio.create_task(world.snapshots.take(kept(tmp_path, small, 1), None))
        async with asyncio.timeout(SOON_S):
            while not all(slot.unanswered for slot in world.fleet.slots):  # noqa: ASYNC110 what is waited for sets no event
                await asyncio.sleep(0.005)
        draining = asyncio.create_task(world.fleet.drain())
        with pytest.raises(GslbError, match="the server is ending"):
            await asyncio.wait_for(taking, SOON_S)
        with pytest.raises(GslbError, match="the server is ending"):
            await asyncio.wait_for(world.snapshots.take(kept(tmp_path, small, 2), None), SOON_S)
        for slot in world.fleet.slots:
            os.kill(slot.pid, signal.SIGCONT)
        await draining


async def test_counters_follow_the_edge_over_catalogs(tmp_path: Path, small: dict[str, str]) -> None:
    """The row of an edge changes when another comes before it; its count does not go to that one."""
    async with started(1) as world:
        await world.snapshots.take(kept(tmp_path, small, 1), None)
        await world.edge()
        small["edges.yaml"] += (
            "  aaa:\n    pop: aaa\n    addresses: {v4: [192.0.2.5]}\n"
            "    location: {country: DE, region: HE, lat: 50, lon: 8}\n    capacity: 1Gbps\n"
        )
        small["live.yaml"] = small["live.yaml"].replace("fra: 100}", "fra: 100, aaa: 0}")
        await world.snapshots.take(kept(tmp_path, small, 2), None)
        await world.edge()
        await world.snapshots.again()
        await world.edge()
        slots = world.fleet.edge_slots
        counts = {edge: sum(each[cells.EDGES + slot] for each in world.fleet.counters) for edge, slot in slots.items()}
        assert counts == {"fra": 0, "sha": 3, "aaa": 0}


async def test_rate_limit_reaches_the_workers(tmp_path: Path, small: dict[str, str]) -> None:
    async with started(1) as world:
        await world.snapshots.take(kept(tmp_path, small, 1), RateLimit(1, 2, 15, ("192.0.2.0/24",)))
        for _ in range(5):
            assert (await asyncio.to_thread(ask, world.port, "no.live.example.")).rcode() == 3


async def test_a_worker_that_keeps_dying_is_tried_ever_more_rarely(
    tmp_path: Path, small: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "BACKOFF_S", (0.0, 0.01, 0.02))
    async with started(2) as world:
        await world.snapshots.take(kept(tmp_path, small, 1), None)
        slot = world.fleet.slots[0]
        with structlog.testing.capture_logs() as logs:
            for count in range(1, 5):
                os.kill(slot.pid, signal.SIGKILL)
                async with asyncio.timeout(SOON_S):
                    while slot.restarts < count or not slot.listening:
                        assert await world.edge() == ["192.0.2.10"]  # the other reads its sockets
                        await asyncio.sleep(0.01)
        assert [log["after_s"] for log in logs] == [0.0, 0.01, 0.02, 0.02]
        assert slot.read_by is None


async def test_a_system_without_processes_to_give(
    tmp_path: Path,
    small: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    until: Callable[[Callable[[], object]], Awaitable[None]],
) -> None:
    monkeypatch.setattr(fleet, "BACKOFF_S", (0.0, 0.01))
    async with started(1) as world:
        await world.snapshots.take(kept(tmp_path, small, 1), None)
        original = asyncio.create_subprocess_exec
        failures = [OSError(11, "Resource temporarily unavailable")] * 3

        async def spawn(*arguments: str, **options: object) -> asyncio.subprocess.Process:
            if failures:
                raise failures.pop()
            return await original(*arguments, **options)  # type: ignore[arg-type]  # as they came

        monkeypatch.setattr(asyncio, "create_subprocess_exec", spawn)
        with structlog.testing.capture_logs() as logs:
            os.kill(world.fleet.slots[0].pid, signal.SIGKILL)
            await until(lambda: not failures and world.fleet.answering)
        assert [log["event"] for log in logs].count("no worker can be started") == 3
        assert await world.edge() == ["192.0.2.10"]


async def test_a_worker_that_hangs_is_replaced(
    tmp_path: Path,
    small: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    until: Callable[[Callable[[], object]], Awaitable[None]],
) -> None:
    async with started(2) as world:
        await world.snapshots.take(kept(tmp_path, small, 1), None)
        monkeypatch.setattr(fleet, "ACK_S", 0.5)
        hung = world.fleet.slots[0].pid
        os.kill(hung, signal.SIGSTOP)
        small["live.yaml"] = small["live.yaml"].replace("sha: 100", "sha: 0")
        with structlog.testing.capture_logs() as logs:
            await world.snapshots.take(kept(tmp_path, small, 2), None)
            await until(lambda: world.fleet.answering == 2)
        assert ("worker does not respond and is killed", hung) in {(log["event"], log.get("pid")) for log in logs}
        for _ in range(8):
            assert await world.edge() == ["192.0.2.20"]


async def test_a_worker_that_does_not_end_is_killed(
    tmp_path: Path, small: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "EXIT_S", 0.5)
    async with started(1) as world:
        await world.snapshots.take(kept(tmp_path, small, 1), None)
        os.kill(world.fleet.slots[0].pid, signal.SIGSTOP)
        with structlog.testing.capture_logs() as logs:
            await world.fleet.drain()
        assert [log["event"] for log in logs] == ["worker did not end in time and is killed"]


async def test_more_edges_than_counters() -> None:
    opened = listen.Opened(((),), ())
    found = Fleet(opened, frames.Start(0, 1, "info", 1, 1, 1.0))
    for number in range(cells.EDGE_SLOTS - 1):
        assert found._slot_of(f"edge {number}") == number + 1
    assert found._slot_of("one more") == 0
    assert found._slot_of("edge 7") == 8


PLANNED = "services:\n  p: {pool: all, affinity: [any], dispatch: true}\n"


async def test_a_plan_is_looked_up_once_for_each_catalog(
    tmp_path: Path, small: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small["live.yaml"] = small["live.yaml"].replace("services:\n", PLANNED)
    plan = Plan("v7", hold_until_ms=1 << 50, rows=(PlanRow("p.live.example.", "CN", "", "", (("fra", 65535),)),))
    resolved: list[str] = []
    original = planning.resolve

    def resolve(arrays: Any, wanted: Plan) -> planning.Planned:
        resolved.append(wanted.version)
        return original(arrays, wanted)

    monkeypatch.setattr(planning, "resolve", resolve)
    async with started(1, MemoryStore(held=StoreState(plan=plan))) as world:
        await world.snapshots.take(kept(tmp_path, small, 1), None)
        for _ in range(3):
            await world.snapshots.steer()
        assert resolved == ["v7"]
        steered = world.snapshots.steering
        assert steered is not None
        assert (steered.note["plan"], steered.note["skipped"]) == ("v7", 0)
        answer = await asyncio.to_thread(ask, world.port, "p.live.example.", subnet="198.51.100.0/24")
        assert addresses(answer) == ["192.0.2.20"]
        await world.snapshots.take(kept(tmp_path, small, 2), None)
        assert resolved == ["v7", "v7"]


@pytest.mark.parametrize("turns", range(6))
async def test_an_end_that_comes_with_a_change_is_an_end(turns: int) -> None:
    """Whatever of a change has been taken note of when the server ends."""
    store = MemoryStore()
    following = asyncio.create_task(without_workers(store).run())
    for _ in range(10):
        await asyncio.sleep(0)
    await store.report(Report("sha", 1, 1, 0))
    for _ in range(turns):
        await asyncio.sleep(0)
    following.cancel()
    done, _ = await asyncio.wait((following,), timeout=SOON_S)
    await store.close()
    assert done == {following}
    assert following.cancelled()


async def test_what_begins_and_ends_by_the_clock(
    tmp_path: Path, small: dict[str, str], until: Callable[[Callable[[], object]], Awaitable[None]]
) -> None:
    """A drain is written before it begins; then nobody writes anything."""
    causes: list[tuple[str, int]] = []
    async with started(1) as world:
        world.snapshots._steered = lambda served, cause: causes.append((cause, served.now_ms))
        await world.snapshots.take(kept(tmp_path, small, 1), None)
        following = asyncio.create_task(world.snapshots.run())
        now_s = world.store.clock_ms // 1000
        drain = Override("d", "drain", Target(edge="sha"), now_s + 1, now_s + 3, author="me", reason="a test")
        assert (await world.store.override(drain)).accepted
        await world.moves_to("192.0.2.20")
        await world.moves_to("192.0.2.10")
        assert [cause for cause, _ in causes][:2] == ["catalog", "store"]
        assert ("time", (now_s + 1) * 1000) in causes
        assert all(now_ms % 1000 == 0 for _, now_ms in causes)
        await world.snapshots.again()
        await until(lambda: causes[-1][0] == "identity")
        following.cancel()


@pytest.mark.parametrize(
    ("fault", "event"),
    [
        (OSError(28, "No space left on device"), "what changed is not in the journal"),
        (KeyError("x"), "the journal met a fault of this program"),
    ],
)
async def test_a_journal_that_cannot_be_written_stops_nothing(
    tmp_path: Path, small: dict[str, str], fault: Exception, event: str
) -> None:
    def steered(served: object, cause: str) -> None:
        raise fault

    async with started(1) as world:
        world.snapshots._steered = steered
        with structlog.testing.capture_logs() as logs:
            await world.snapshots.take(kept(tmp_path, small, 1), None)
            await world.store.report(Report("sha", 1, 1, 0, health4=DOWN, health6=DOWN))
            await world.snapshots.steer()
        assert [log["event"] for log in logs] == [event]
        assert await world.edge() == ["192.0.2.20"]


async def test_a_store_that_fails_to_be_followed_is_followed_again(
    tmp_path: Path, small: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(MemoryStore):
        failed = False

        def changes(self) -> AsyncIterator[None]:
            if not self.failed:
                self.failed = True
                return self._broken()
            return super().changes()

        async def _broken(self) -> AsyncIterator[None]:
            yield
            raise RuntimeError("broken")

    monkeypatch.setattr(snapshots, "AGAIN_S", 0.05)
    async with started(1, Failing()) as world:
        await world.snapshots.take(kept(tmp_path, small, 1), None)
        with structlog.testing.capture_logs() as logs:
            following = asyncio.create_task(world.snapshots.run())
            await asyncio.sleep(0)
            await world.store.report(Report("sha", 1, 1, 0, health4=DOWN, health6=DOWN))
            await world.moves_to("192.0.2.20")
            await world.store.report(Report("sha", 1, 2, 0))
            await world.moves_to("192.0.2.10")
        assert [log["event"] for log in logs] == ["following the store met a fault of this program"]
        following.cancel()


async def test_the_clock_that_steers_is_cut_to_seconds_and_does_not_go_back_a_little() -> None:
    clock_ms = [10_999]
    found = without_workers(MemoryStore(lambda: clock_ms[0]))
    for now_ms, acted_ms in ((10_999, 10_000), (11_000, 11_000), (10_990, 11_000), (9_001, 11_000), (8_999, 8_000)):
        clock_ms[0] = now_ms
        assert found._now_ms() == acted_ms


async def test_steering_waits_for_no_late_worker_and_gives_it_the_newest(
    tmp_path: Path,
    small: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    until: Callable[[Callable[[], object]], Awaitable[None]],
) -> None:
    monkeypatch.setattr(fleet, "STEER_S", 0.05)
    async with started(2) as world:
        await world.snapshots.take(kept(tmp_path, small, 1), None)
        late, prompt = world.fleet.slots
        os.kill(late.pid, signal.SIGSTOP)
        for seq, health in ((1, DOWN), (2, "up"), (3, DOWN)):
            await world.store.report(Report("sha", 1, seq, 0, health4=health, health6=health))
            await world.snapshots.steer()
            await until(lambda: not prompt.unanswered)
        assert (late.owed, len(late.unanswered), prompt.owed) == (True, 1, False)
        os.kill(late.pid, signal.SIGCONT)
        await until(lambda: not late.owed and not late.unanswered)
        for _ in range(8):
            assert await world.edge() == ["192.0.2.20"]
        # One that never responds is killed, and its successor answers from the newest.
        monkeypatch.setattr(fleet, "ACK_S", 0.2)
        hung = late.pid
        os.kill(hung, signal.SIGSTOP)
        await world.store.report(Report("fra", 1, 1, 0, health4=DOWN))
        await world.store.report(Report("sha", 1, 4, 0))
        with structlog.testing.capture_logs() as logs:
            await world.snapshots.steer()
            await until(lambda: late.pid not in (0, hung) and world.fleet.answering == 2)
        assert "worker does not respond and is killed" in {log["event"] for log in logs}
        for _ in range(8):
            assert await world.edge() == ["192.0.2.10"]
