"""The process that writes the query log: reads the workers' rings, and writes segments of what they hold.

Started as ``python -m gslb.server.querylog.process FD``, FD being its end of the control channel. The rings are read on
the event loop, every `POLL_S`, into a buffer; what is due is written by a thread, so that a slow disk delays nothing
else. It ends when told to drain, or when the control process is gone, once what is there is written.
"""

from __future__ import annotations

import asyncio
import math
import mmap
import os
import signal
import socket
import sys
import time
from typing import Any, Final

import numpy as np
import structlog
import uvloop

from gslb.errors import GslbError
from gslb.server import cells, frames, ring
from gslb.server.log import configure
from gslb.server.querylog.board import Board
from gslb.server.querylog.landing import Count, Lander
from gslb.server.querylog.rows import Decision, Known
from gslb.snapshot.steering import Steering

POLL_S: Final = 0.05
"""Between two looks at the rings: a ring of 16,384 records holds what 300,000 questions a second leave in that time."""
COUNT_S: Final = 60.0
"""Between two rows of counters at most."""
AGAIN_S: Final = (1.0, 2.0, 5.0)
"""After a write that failed, and after further ones."""
CATALOGS: Final = 3
"""The newest catalogs, which stay though no record that waits speaks of them."""
ATTEMPTS: Final = 3
"""What the process dies of writing so often is given up."""
LAST_S: Final = 3.0
"""How long the workers of a control process that is gone may still answer."""


class Writer:
    """The process on the running loop: `run` returns when all is written that can be."""

    def __init__(self, control: socket.socket) -> None:
        self._channel = frames.Channel(control, self._frame, self._orphaned)
        self._log: Any = structlog.get_logger("gslb.querylog")
        self._until = math.inf
        self._board: Board
        self._start: frames.Record
        self._lander: Lander
        self._queries: list[Any] = []
        self._readers: list[ring.Reader] = []
        self._known: dict[int, Known] = {}
        self._current = 0
        self._writing: asyncio.Task[None] | None = None
        self._opened = self._counted = self._again = time.monotonic()
        self._failures = 0
        self._lost_before = 0

    async def run(self) -> None:
        """Read, and write what is due, until it ends."""
        while time.monotonic() < self._until:
            if self._readers:
                self._read()
                self._write_due()
            await asyncio.sleep(POLL_S)
        if self._readers:
            self._read()
            await self._finish()
        self._channel.close()

    def _frame(self, frame: frames.Frame, fds: list[int]) -> None:
        if isinstance(frame, frames.Record):
            self._begin(frame, fds)
        elif isinstance(frame, frames.Decided):
            self._decided(frame, fds)
        elif isinstance(frame, frames.Drain):
            self._until = 0.0
        for fd in fds:
            os.close(fd)

    def _orphaned(self) -> None:
        self._until = min(self._until, time.monotonic() + LAST_S)

    def _begin(self, start: frames.Record, fds: list[int]) -> None:
        configure(start.log_level)
        half = (len(fds) - 1) // 2
        rings = [each for fd in fds[1 + half :] for each in ring.attach(fd)]
        self._board = Board(fds[0], len(rings))
        blocks = [block for fd in fds[1 : 1 + half] for block in cells.blocks(cells.attach(fd))]
        self._queries = [np.frombuffer(block, np.uint64)[cells.REPLIES : cells.OUTCOME] for block in blocks]
        self._readers = [ring.Reader(each, after) for each, after in zip(rings, self._board.positions, strict=True)]
        self._start = start
        self._lander = Lander(start, self._readers[0].sample)
        self._lost_before = self._board["lost_disk"]
        try:
            self._lander.clear()
        except OSError as error:
            self._log.warning("the query log's folder cannot be read", folder=start.folder, reason=error.strerror)

    def _decided(self, frame: frames.Decided, fds: list[int]) -> None:
        error = ""
        if frame.new:
            self._read()  # what there is may speak of catalogs that are forgotten now
        try:
            if frame.new:
                self._known[frame.catalog] = Known(_mapped(fds[0]))
            if frame.steering >= 0 and frame.catalog in self._known:
                decision = Decision.of(Steering(_mapped(fds[-1]), verify=False))
                self._known[frame.catalog].decided(frame.steering, decision)
        except Exception as fault:
            error = str(fault) or repr(fault)
            ours = not isinstance(fault, GslbError | OSError)
            self._log.error("the query log cannot tell what is answered from", reason=error, exc_info=ours)
        self._current = frame.catalog if frame.seq else self._current
        if frame.new:
            self._forget()
        if frame.seq:
            self._channel.send(frames.Done(frame.seq, error))

    def _read(self) -> None:
        """Take what the rings hold."""
        found = []
        for at, reader in enumerate(self._readers):
            before, last = reader.lost, reader.last
            records = reader.read()
            if reader.last != last:
                found.append((at, reader.last, records, reader.lost - before))
        if not found:
            return
        board = self._board
        if not board.held(board["active"]):
            self._opened = time.monotonic()
        was = board["active"]
        with board.change() as change:
            for each in found:
                change.read(*each)
        if board["active"] != was:
            self._opened = time.monotonic()

    def _write_due(self, *, all_of_it: bool = False) -> None:
        """Start writing what is due, unless something is being written, or failed a moment ago."""
        now = time.monotonic()
        board = self._board
        if (self._writing is not None and not self._writing.done()) or (now < self._again and not all_of_it):
            return
        held = board.held(board["active"])
        if held and (held >= board.room or now - self._opened >= self._start.seconds or all_of_it):
            with board.change() as change:
                change.seal()
        if board.held(1 - board["active"]):
            self._writing = asyncio.ensure_future(self._write(1 - board["active"]))
        elif now - self._counted >= COUNT_S:
            self._writing = asyncio.ensure_future(self._count())

    async def _write(self, buffer: int) -> None:
        board = self._board
        if board["attempts"] >= ATTEMPTS:
            self._log.error("records of the query log are given up", records=board.held(buffer))
            self._give_up(buffer)
            return
        with board.change() as change:
            change.add("attempts")
        told = Count(time.time_ns() // 1000, self._answered(), 0, board.lost)
        known = dict(self._known)
        records = board.records(buffer)
        try:
            landed = await asyncio.to_thread(self._lander.segment, records, known)
        except OSError as error:
            self._failed(error)
            return
        except Exception:
            self._log.error("the query log met a fault of this program", records=len(records), exc_info=True)
            self._give_up(buffer)
            return
        with board.change() as change:
            change.add("logged", landed.rows)
            change.add("lost_catalog", landed.unknown)
            change.add("segments")
            change.add("bytes", landed.size)
            change.add("removed", landed.removed)
            change[f"held{buffer}"] = 0
        self._worked()
        await self._count(told._replace(logged=board["logged"], lost=told.lost + landed.unknown))

    async def _count(self, told: Count | None = None) -> None:
        board = self._board
        if told is None:
            told = Count(time.time_ns() // 1000, self._answered(), board["logged"], board.lost)
        with board.change() as change:
            change.add("counts")
        try:
            removed = await asyncio.to_thread(self._lander.count, board["counts"], told)
        except OSError as error:
            self._failed(error)
            return
        with board.change() as change:
            change.add("removed", removed)
        self._counted = time.monotonic()
        self._worked()

    def _answered(self) -> int:
        """Replies of all workers since the boot."""
        return sum(int(block.reshape(2, -1)[:, : cells.RCODE_DROPPED].sum()) for block in self._queries)

    def _forget(self) -> None:
        """Catalogs that no record speaks of any more; what is answered from, and the newest, stay."""
        waiting = [self._board.records(buffer)["catalog"] for buffer in (0, 1) if self._board.held(buffer)]
        oldest = min((int(numbers.min()) for numbers in waiting), default=max(self._known, default=0))
        for number in sorted(self._known)[:-CATALOGS]:
            if number < oldest and number != self._current:
                del self._known[number]

    def _failed(self, error: OSError) -> None:
        """The disk would not have it: again in a while, and told once."""
        self._again = time.monotonic() + AGAIN_S[min(self._failures, len(AGAIN_S) - 1)]
        self._failures += 1
        with self._board.change() as change:
            change.add("failures")
            change["failing"] = 1
            change["attempts"] = 0
        if self._failures == 1:
            reason = error.strerror or str(error)
            self._log.error("the query log cannot be written", folder=self._start.folder, reason=reason)

    def _worked(self) -> None:
        if not self._board["failing"]:
            return
        lost = self._board["lost_disk"] - self._lost_before
        self._lost_before += lost
        self._failures = 0
        with self._board.change() as change:
            change["failing"] = 0
        self._log.warning("the query log is written again", lost=lost)

    def _give_up(self, buffer: int) -> None:
        with self._board.change() as change:
            change.add("lost_fault", change[f"held{buffer}"])
            change[f"held{buffer}"] = 0

    async def _finish(self) -> None:
        """Write what is there; what the disk does not take now is lost, though it failed for long before."""
        board, failures = self._board, self._failures
        for _ in range(4):
            if self._writing is not None:
                await asyncio.gather(self._writing, return_exceptions=True)
            if self._failures > failures or not board.held(0) + board.held(1):
                break
            self._write_due(all_of_it=True)
        if left := board.held(0) + board.held(1):
            with board.change() as change:
                change.add("lost_disk", left)
                change["held0"] = change["held1"] = 0
            self._log.error("the end of the query log is lost", records=left)


def _mapped(fd: int) -> memoryview:
    return memoryview(mmap.mmap(fd, 0, prot=mmap.PROT_READ))


async def _run(fd: int) -> None:
    await Writer(socket.socket(fileno=fd)).run()


def main(argv: list[str]) -> None:
    """The process: never ends early for a signal that was meant for the whole group."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.set_inheritable(int(argv[0]), False)
    uvloop.run(_run(int(argv[0])))


if __name__ == "__main__":
    main(sys.argv[1:])
