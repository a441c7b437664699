"""The worker processes as the control process sees them: started, told what to answer from, replaced when they die.

A worker's sockets and counters belong to the control process. While a dead worker is being replaced a living one reads
its sockets, so what clients send is answered, and what it had counted stays counted. The
descriptors of what is served are kept here too: a new worker needs no file, which may have gone since.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
import structlog

from gslb.errors import GslbError
from gslb.server import cells, frames, ring
from gslb.server.child import child
from gslb.server.listen import Opened
from gslb.server.meta import RateLimit

ACK_S = 60.0
"""For how long a swap waits for a worker that neither takes it nor dies; then it is killed."""
STEER_S = 1.0
"""For how long new steering waits for a worker before the next may be made; the others are not to wait for it."""
EXIT_S = 10.0
"""For how long draining workers may take before they are killed."""
BACKOFF_S = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Before each further attempt to replace a worker that keeps dying."""
STEADY_S = 30.0
"""A worker that lived this long starts again at the first of `BACKOFF_S`."""


@dataclass(slots=True)
class Slot:
    """A worker's place. ``sockets`` and ``cells`` outlive its processes; ``deaths`` are those in quick succession."""

    index: int
    sockets: tuple[socket.socket, ...]
    counters: int
    cells: memoryview
    log: int
    channel: frames.Channel | None = None
    process: asyncio.subprocess.Process | None = None
    started: float = 0.0
    since_s: float = 0.0  # when its process started, Unix time
    listening: bool = False
    restarts: int = 0
    deaths: int = 0
    read_by: Slot | None = None  # who reads its sockets meanwhile
    unanswered: dict[int, asyncio.Future[str]] = field(default_factory=dict)
    owed: bool = False  # newer steering, once it has answered what it was told

    @property
    def pid(self) -> int:
        """The process that answers, 0 while there is none."""
        return self.process.pid if self.process is not None and self.channel is not None else 0

    def give_up(self) -> None:
        """Whoever waits for it to take a snapshot waits no longer."""
        for future in self.unanswered.values():
            future.set_result("")
        self.unanswered.clear()


class Recorder(Protocol):
    """Who is told what workers answer from next: number and descriptor of each snapshot; ``new``: the catalog is."""

    def decided(self, catalog: tuple[int, int], steering: tuple[int, int], *, new: bool) -> None: ...


class Fleet:
    """All workers of one server."""

    def __init__(self, opened: Opened, start: frames.Start, recorder: Recorder | None = None) -> None:
        """``start`` is the first frame to each worker but for its slot."""
        self._start = start
        self._recorder = recorder
        self._log: Any = structlog.get_logger("gslb.fleet")
        self._swap: frames.Swap | None = None
        self._catalog = -1
        self._steering = -1
        self._catalogs = 0
        self._steerings = 0
        self._seq = 0
        self._edge_slot: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False
        self._answering = asyncio.Event()
        self._opened = opened
        self._shared = len(opened.by_worker) > 1 and opened.by_worker[0] == opened.by_worker[1]
        self.slots: list[Slot] = []
        for index, sockets in enumerate(opened.by_worker):
            counters = cells.create()
            log = ring.create(start.query_log, cells.BLOCKS)
            self.slots.append(Slot(index, sockets, counters, cells.attach(counters), log))

    @property
    def edge_slots(self) -> dict[str, int]:
        """Edge id → the cell that counts its answers, behind `cells.EDGES`."""
        return self._edge_slot

    @property
    def counters(self) -> list[memoryview]:
        """Every block of cells that something counts in."""
        return [block for slot in self.slots for block in cells.blocks(slot.cells)]

    @property
    def sockets(self) -> set[socket.socket]:
        """Every socket queries come in on."""
        return self._opened.sockets()

    @property
    def catalog(self) -> int:
        """The descriptor of the catalog that is served, -1 before the first `swap`; it is closed by the next."""
        return self._catalog

    @property
    def answering(self) -> int:
        """Workers that answer."""
        return sum(slot.listening for slot in self.slots)

    async def start(self) -> None:
        """Start all processes; they wait for the first `swap`."""
        await asyncio.gather(*map(self._spawn, self.slots))

    async def swap(
        self,
        catalog: int,
        edge_ids: Sequence[str],
        steering: int,
        identity: frames.Identity,
        rate_limit: RateLimit | None,
    ) -> None:
        """Have all workers answer from ``catalog`` with ``steering``: descriptors, which become ours.

        Returns when each worker took them and one at least answers. Raises `GslbError` where one refuses them, and then
        those that took them are told what was served before; also when the workers are told to end meanwhile.
        """
        slots = b"".join(self._slot_of(edge).to_bytes(2, sys.byteorder) for edge in edge_ids)
        self._catalogs += 1
        former, self._swap = self._swap, frames.Swap(0, slots, identity, rate_limit, self._catalogs)
        former_fds = self._catalog, self._steering
        self._catalog, self._steering = catalog, steering
        self._decided(new=True)
        errors = await self._tell(self._swap)
        if errors:
            self._swap, (self._catalog, self._steering) = former, former_fds
            _close(catalog, steering)
            if former:
                self._decided(new=False)
                await self._tell(former)
            raise GslbError(f"the workers refuse the catalog: {'; '.join(errors)}")
        _close(*former_fds)
        await self._answering.wait()
        if self._draining:
            raise GslbError("the server is ending")

    async def steer(self, steering: int) -> None:
        """Have all workers answer with new steering for the catalog they have; the descriptor becomes ours.

        Returns when each worker took it, or after `STEER_S`: a worker that is late gets the newest once it is done with
        what it has, and is killed where it does not respond within `ACK_S`.
        """
        _close(self._steering)
        self._steering = steering
        if self._draining:
            return
        self._decided(new=False)
        told = [slot for slot in self.slots if slot.channel]
        for slot in told:
            slot.owed = bool(slot.unanswered)
        if tasks := [self._steer(slot) for slot in told if not slot.owed]:
            await asyncio.wait(tasks, timeout=STEER_S)

    def _decided(self, *, new: bool) -> None:
        """What workers are told next has a number of its own."""
        self._steerings += 1
        if self._recorder is not None and self._swap is not None:
            steering = self._steerings & 0xFFFF, self._steering
            self._recorder.decided((self._swap.catalog, self._catalog), steering, new=new)

    def _steer(self, slot: Slot) -> asyncio.Task[None]:
        slot.owed = False
        task = asyncio.ensure_future(self._steered(slot, self._ask(slot, frames.Steer(0))))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _steered(self, slot: Slot, future: asyncio.Future[str]) -> None:
        done, _ = await asyncio.wait((future,), timeout=ACK_S)
        if not done:
            self._kill(slot)
        elif error := future.result():
            self._log.error("a worker refuses a steering snapshot", worker=slot.index, reason=error)

    async def drain(self) -> None:
        """Have all workers answer what has come in and end."""
        self._draining = True
        self._answering.set()  # whoever waits for a worker to answer need not any more
        for task in self._tasks:
            task.cancel()
        for slot in self.slots:
            slot.give_up()
            if slot.channel:
                slot.channel.send(frames.Drain())
        # The workers hold the sockets too; from here on they close when the workers have emptied them.
        self._opened.close()
        processes = [slot.process for slot in self.slots if slot.process]
        waiting = [asyncio.ensure_future(process.wait()) for process in processes]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=EXIT_S)
            for process in processes:
                if late and process.returncode is None:
                    self._log.error("worker did not end in time and is killed", pid=process.pid)
                    process.kill()
            await asyncio.gather(*waiting)
        for slot in self.slots:
            if slot.channel:
                slot.channel.close()

    def _slot_of(self, edge: str) -> int:
        if edge not in self._edge_slot:
            full = len(self._edge_slot) >= cells.EDGE_SLOTS - 1
            self._edge_slot[edge] = 0 if full else len(self._edge_slot) + 1
        return self._edge_slot[edge]

    def _kill(self, slot: Slot) -> None:
        self._log.error("worker does not respond and is killed", worker=slot.index, pid=slot.pid)
        if slot.process and slot.pid:
            slot.process.kill()

    async def _tell(self, frame: frames.Swap) -> list[str]:
        """Tell all workers; the errors of those that refuse. One that does not respond is killed and replaced.

        Workers that are to end are told nothing more.
        """
        if self._draining:
            return []
        waiting = {self._ask(slot, frame): slot for slot in self.slots if slot.channel}
        if not waiting:
            return []
        done, late = await asyncio.wait(waiting, timeout=ACK_S)
        for future in late:
            self._kill(waiting[future])
        return sorted({future.result() for future in done} - {""})

    def _ask(self, slot: Slot, frame: frames.Swap | frames.Steer) -> asyncio.Future[str]:
        assert slot.channel is not None
        self._seq += 1
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        slot.unanswered[self._seq] = future
        fds = [self._catalog, self._steering] if isinstance(frame, frames.Swap) else [self._steering]
        slot.channel.send(msgspec.structs.replace(frame, seq=self._seq, steering=self._steerings & 0xFFFF), fds)
        return future

    async def _spawn(self, slot: Slot) -> None:
        start = msgspec.structs.replace(self._start, slot=slot.index)
        listen = frames.Listen(slot.index), [sock.fileno() for sock in slot.sockets]
        slot.started, slot.since_s = time.monotonic(), time.time()
        channel, slot.process = await child(
            "gslb.server.worker",
            [(start, [slot.counters, slot.log]), listen],
            lambda frame, _: self._frame(slot, frame),
            lambda: self._lost(slot),
        )
        # Only now, so that whoever tells all workers something tells this one after what stands above.
        slot.channel, slot.owed = channel, False
        if self._swap:
            self._ask(slot, self._swap)

    def _frame(self, slot: Slot, frame: frames.Frame) -> None:
        if isinstance(frame, frames.Done):
            if future := slot.unanswered.pop(frame.seq, None):
                future.set_result(frame.error)
            if not frame.error:
                self._answers(slot)
            if slot.owed and not slot.unanswered and not self._draining:
                self._steer(slot)

    def _answers(self, slot: Slot) -> None:
        """A worker took a snapshot: from now on it reads its own sockets."""
        slot.listening = True
        self._answering.set()
        if slot.read_by and slot.read_by.channel:
            slot.read_by.channel.send(frames.Unlisten(slot.index))
        slot.read_by = None
        self._cover()

    def _lost(self, slot: Slot) -> None:
        """A worker's end of the channel closed."""
        slot.channel, slot.listening = None, False
        slot.give_up()
        if self._draining:
            return
        if not self.answering:
            self._answering.clear()
        slot.restarts += 1
        self._cover()
        task = asyncio.ensure_future(self._replace(slot))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _cover(self) -> None:
        """Give the sockets of workers that died, and are not back yet, to one that answers."""
        reader = next((slot for slot in self.slots if slot.listening and slot.channel), None)
        if reader is None or reader.channel is None or self._shared or self._draining:
            return
        for slot in self.slots:
            if slot.restarts and not slot.listening and (slot.read_by is None or slot.read_by.channel is None):
                slot.read_by = reader
                reader.channel.send(frames.Listen(slot.index), [sock.fileno() for sock in slot.sockets])

    async def _replace(self, slot: Slot) -> None:
        code = await slot.process.wait() if slot.process else None
        slot.deaths = 0 if time.monotonic() - slot.started > STEADY_S else slot.deaths
        delay = self._backoff(slot)
        self._log.error("worker died and is replaced", worker=slot.index, exit_code=code, after_s=delay)
        while True:
            await asyncio.sleep(delay)
            try:
                await self._spawn(slot)
            except OSError as error:
                delay = self._backoff(slot)
                self._log.error("no worker can be started", worker=slot.index, reason=str(error), again_after_s=delay)
            else:
                return

    def _backoff(self, slot: Slot) -> float:
        """How long to wait before the next process of a slot."""
        delay = BACKOFF_S[min(slot.deaths, len(BACKOFF_S) - 1)]
        slot.deaths += 1
        return delay


def _close(*fds: int) -> None:
    """Close descriptors; -1 is none."""
    for fd in fds:
        if fd >= 0:
            os.close(fd)
