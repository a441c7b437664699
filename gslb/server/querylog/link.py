"""The process that writes the query log, as the control process sees it: started, told what is answered from, replaced
when it dies.

What it must not lose with its life, and the catalogs that waiting records speak of, are kept here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import structlog

from gslb.server import cells, frames
from gslb.server.child import child
from gslb.server.fleet import BACKOFF_S, STEADY_S, Slot
from gslb.server.querylog import board
from gslb.server.settings import Settings

CATALOGS: Final = 3
"""Catalogs that are kept for a successor: the newest, and what waiting records may speak of."""
AHEAD: Final = 32
"""Steering snapshots that it may be told of before it says that it took the first."""
STUCK_S: Final = 60.0
"""For how long it may say nothing while it is told of steering; then it is killed."""
END_S: Final = 10.0
"""How long its end may take."""


class Told(NamedTuple):
    """What the query log comes to since the start, for metrics; ``waiting`` are records that are not written yet."""

    records: int
    lost: dict[str, int]
    segments: int
    size: int
    removed: int
    failures: int
    failing: bool
    waiting: int
    restarts: int


NOTHING: Final = Told(0, dict.fromkeys(board.LOST, 0), 0, 0, 0, 0, False, 0, 0)
"""Without a query log."""


class Link:
    """The process, from its first start to its end. ``start`` is its first frame; with it `begin` must be called."""

    def __init__(self, start: frames.Record) -> None:
        self._start = start
        self._log: Any = structlog.get_logger("gslb.querylog")
        self._slots: Sequence[Slot] = ()
        self._fd = -1
        self._board: board.Board | None = None
        self._channel: frames.Channel | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._catalogs: dict[int, int] = {}
        self._current: tuple[int, int, int] | None = None  # catalog, steering, descriptor of the latter
        self._unanswered = 0
        self._owed = False
        self._heard_s = self._started_s = 0.0
        self._deaths = self._restarts = 0
        self._ending = False
        self._replacing: asyncio.Task[None] | None = None

    @classmethod
    def by(cls, settings: Settings) -> Link | None:
        """For a server with these settings; None where no query log is to be written."""
        if settings.query_log_dir is None:
            return None
        return cls(
            frames.Record(
                server_id=settings.server_id,
                boot_id=secrets.token_hex(8),
                folder=str(settings.query_log_dir.absolute()),
                log_level=settings.log_level,
                rows=settings.query_log_rows,
                seconds=settings.query_log_s,
                most_bytes=settings.query_log_bytes,
                free_bytes=settings.query_log_free,
            )
        )

    @property
    def pid(self) -> int:
        """The process that writes, 0 while there is none."""
        return self._process.pid if self._process is not None and self._channel is not None else 0

    async def begin(self, slots: Sequence[Slot]) -> None:
        """Start it for the workers of these slots. Where it cannot be started that is told, and tried again."""
        self._slots = slots
        rings = len(slots) * cells.BLOCKS
        self._fd = board.create(rings, self._start.rows)
        self._board = board.Board(self._fd, rings)
        try:
            await self._spawn()
        except OSError as error:
            self._log.error("the query log cannot be started", reason=str(error))
            self._lost()

    def decided(self, catalog: tuple[int, int], steering: tuple[int, int], *, new: bool) -> None:
        """What workers are told next: number and descriptor of each, which stays the caller's."""
        number = catalog[0]
        try:
            if new := new or number not in self._catalogs:
                self._catalogs[number] = os.dup(catalog[1])
            former, self._current = self._current, (number, steering[0], os.dup(steering[1]))
        except OSError as error:
            if new and number in self._catalogs:
                os.close(self._catalogs.pop(number))
            self._untold(error)
            return
        if former is not None:
            os.close(former[2])
        for old in sorted(self._catalogs)[:-CATALOGS]:
            if old != number:  # a newer one may have been refused
                os.close(self._catalogs.pop(old))
        if self._channel is None:
            return
        if self._unanswered and time.monotonic() - self._heard_s > STUCK_S:
            self._kill()
        elif new or self._unanswered < AHEAD:
            self._tell(new=new)
        else:
            self._owed = True

    def told(self) -> Told:
        """What it comes to."""
        found = self._board
        if found is None:
            return NOTHING
        return Told(
            found["logged"],
            {why: found["lost_" + why] for why in board.LOST},
            found["segments"],
            found["bytes"],
            found["removed"],
            found["failures"],
            bool(found["failing"]),
            found.held(0) + found.held(1),
            self._restarts,
        )

    async def end(self) -> None:
        """Have it write what is there, once the workers have ended, and end."""
        self._ending = True
        if self._replacing is not None:
            self._replacing.cancel()
            await asyncio.gather(self._replacing, return_exceptions=True)
        if self._channel is None and self._board is not None:  # what waits is to be written all the same
            with contextlib.suppress(OSError):
                await self._spawn()
        if self._channel is not None:
            self._channel.send(frames.Drain())
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(END_S):
                    await self._process.wait()
            if self._process.returncode is None:
                self._kill()
                await self._process.wait()
        if self._channel is not None:
            self._channel.close()

    async def _spawn(self) -> None:
        counters, rings = [slot.counters for slot in self._slots], [slot.log for slot in self._slots]
        self._channel, self._process = await child(
            "gslb.server.querylog.process",
            [(self._start, [self._fd, *counters, *rings])],
            lambda frame, _: self._frame(frame),
            self._lost,
        )
        self._started_s = self._heard_s = time.monotonic()
        self._unanswered, self._owed = 0, False
        current = self._current[0] if self._current is not None else -1
        for number, fd in self._catalogs.items():
            if number != current:
                self._send(frames.Decided(0, number, -1, True), [fd])
        if self._current is not None:
            self._tell(new=True)

    def _tell(self, *, new: bool) -> None:
        """Tell it of what is answered from now."""
        assert self._channel is not None
        assert self._current is not None
        catalog, steering, fd = self._current
        if not self._unanswered:
            self._heard_s = time.monotonic()
        self._unanswered += 1
        self._owed = False
        fds = [self._catalogs[catalog], fd] if new else [fd]
        self._send(frames.Decided(1, catalog, steering, new), fds)

    def _send(self, frame: frames.Decided, fds: list[int]) -> None:
        assert self._channel is not None
        try:
            self._channel.send(frame, fds)
        except OSError as error:  # no descriptor is left, perhaps: those who answer go on all the same
            self._untold(error)

    def _untold(self, error: OSError) -> None:
        self._log.error("the query log is not told what is answered from", reason=error.strerror or str(error))

    def _frame(self, frame: frames.Frame) -> None:
        if isinstance(frame, frames.Done) and frame.seq:
            self._heard_s = time.monotonic()
            self._unanswered -= 1
            if self._owed:
                self._tell(new=False)

    def _lost(self) -> None:
        """Its end of the channel closed."""
        self._channel = None
        if not self._ending:
            self._restarts += 1
            self._replacing = asyncio.ensure_future(self._replace())

    async def _replace(self) -> None:
        code = await self._process.wait() if self._process is not None else None
        self._deaths = 0 if time.monotonic() - self._started_s > STEADY_S else self._deaths
        while True:
            delay = BACKOFF_S[min(self._deaths, len(BACKOFF_S) - 1)]
            self._deaths += 1
            self._log.error("the query log's process died and is replaced", exit_code=code, after_s=delay)
            await asyncio.sleep(delay)
            with contextlib.suppress(OSError):
                await self._spawn()
                return

    def _kill(self) -> None:
        self._log.error("the query log's process does not respond and is killed", pid=self.pid)
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
