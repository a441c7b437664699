"""What is served: a catalog and the steering that fits it, here for explanations and in the workers for answers.

Steering is made anew when the store changes, and at the moments when the same entries begin to mean something else: an
override begins, slow start goes on. Those follow the store's clock, cut to whole seconds, so that servers whose clocks
differ a little change their answers at the same ones. A first change is acted on at once; while changes go on there
are at most ten snapshots a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import fcntl
import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from gslb.errors import GslbError
from gslb.model.plan import Plan
from gslb.model.report import StoreState
from gslb.server import counting, frames
from gslb.server.counting import Counting, Refusals
from gslb.server.durations import STEERING_S, Durations
from gslb.server.fleet import Fleet
from gslb.server.live import Served
from gslb.server.log import Sparing
from gslb.server.meta import RateLimit
from gslb.server.status import SteeringStatus
from gslb.snapshot import layout
from gslb.snapshot import steering as making
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.steering import Steering
from gslb.store import files
from gslb.store.interface import Store

LEAST_S = 0.1
"""Between two steering snapshots: a storm of reports costs no more than ten a second."""
AGAIN_S = 1.0
"""After a fault of steering, and of following the store."""
LOOK_S = 5.0
"""The longest wait for a moment of the store's clock: what is known of that clock may change meanwhile."""
BACK_MS = 2000
"""The store's clock may seem to go back by so much, as it comes to be known better: then it stands still instead."""

Steered = Callable[[Served, str], None]
"""Told what is served now, and why it changed; called in a thread, one call at a time."""


class Snapshots:
    """The pair that is served. ``identity`` is asked at every swap, so that cookie secrets can change; ``held`` is the
    plan that counted when the server last ran, ``keep`` writes down, in a thread, one that is to count."""

    def __init__(
        self,
        fleet: Fleet,
        store: Store,
        identity: Callable[[], frames.Identity],
        steered: Steered | None = None,
        held: Plan | None = None,
        keep: Callable[[Plan], None] | None = None,
    ) -> None:
        self.served: Served | None = None
        self.taken_s = 0.0
        self.status = SteeringStatus()
        self.durations = Durations(STEERING_S)
        self._fleet = fleet
        self._store = store
        self._identity = identity
        self._steered = steered
        self._rate_limit: RateLimit | None = None
        self._lock = asyncio.Lock()
        self._acted_ms = 0
        self._due_ms: int | None = None
        self._made_of: StoreState | None = None
        self._counting = counting.held(held)
        self._keep = keep
        self._looking: asyncio.Task[None] | None = None
        self._changed = False
        self._wake = asyncio.Event()
        self._log: Any = structlog.get_logger("gslb.snapshots")
        self._sparing = Sparing(self._log)
        self.refusals = Refusals(self._log)

    @property
    def catalog(self) -> Catalog | None:
        """The catalog that answers, once there is one."""
        return self.served.catalog if self.served else None

    @property
    def steering(self) -> Steering | None:
        """The steering that answers with it."""
        return self.served.steering if self.served else None

    @property
    def plan(self) -> Plan | None:
        """The plan that was accepted last."""
        return self._counting.newest.plan if self._counting.newest is not None else None

    async def take(self, path: Path, rate_limit: RateLimit | None) -> None:
        """Have the catalog in ``path`` served. Raises `GslbError` where it cannot be, and then nothing has changed."""
        async with self._lock:
            catalog, fd = await asyncio.to_thread(_open, path)
            await self._serve(catalog, fd, rate_limit, "catalog")

    async def again(self) -> None:
        """Tell the workers once more, with the identity of now."""
        async with self._lock:
            if self.served is not None:
                await self._serve(self.served.catalog, os.dup(self._fleet.catalog), self._rate_limit, "identity")

    async def steer(self, cause: str = "store") -> None:
        """Make steering for the store's state of now, and have it used."""
        async with self._lock:
            if self.served is None:
                return
            self.served, fd = await self._make(self.served.catalog)
            await self._fleet.steer(fd)
            await self._tell(cause)

    async def run(self) -> None:
        """Steer when the store changes and when it is due, until cancelled or the store is closed."""
        following = asyncio.ensure_future(self._follow())
        following.add_done_callback(lambda _: self._note_change())
        begun_s = -LEAST_S
        try:
            while True:
                cause = await self._until_due()
                await asyncio.sleep(max(0.0, begun_s + LEAST_S - time.monotonic()))
                if following.done():
                    return
                begun_s = time.monotonic()
                self._changed = False
                try:
                    await self.steer(cause)
                except Exception:
                    self._due_ms = None
                    self._sparing.error(
                        "steering met a fault of this program; the former stays", "fault", exc_info=True
                    )
                    asyncio.get_running_loop().call_later(AGAIN_S, self._note_change)
        finally:
            tasks = [following, *([self._looking] if self._looking is not None else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self) -> None:
        """Note each change; what changed between the last snapshot and this call counts too."""
        while True:
            changes = self._store.changes()
            if self.served is not None and await self._store.state() != self._made_of:
                self._note_change()
            try:
                async for _ in changes:
                    self._note_change()
            except Exception:
                self._sparing.error("following the store met a fault of this program", "follow", exc_info=True)
                await asyncio.sleep(AGAIN_S)
            else:
                return

    def _note_change(self) -> None:
        self._changed = True
        self._wake.set()

    async def _until_due(self) -> str:
        """Wait for a change, or for the store's clock to come to where the same entries make other steering; which."""
        while not self._changed:
            self._note_refused()
            wait_s = LOOK_S
            if self._due_ms is not None:
                # The clock is cut to whole seconds: nothing differs before the next one.
                wait_s = (-(-self._due_ms // 1000) * 1000 - self._store.clock_ms) / 1000
                if wait_s <= 0:
                    return "time"
            self._wake.clear()
            # Not `asyncio.wait_for`: in Python 3.11 that loses a cancellation which comes together with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(wait_s, LOOK_S)):
                    await self._wake.wait()
        return "store"

    async def _serve(self, catalog: Catalog, fd: int, rate_limit: RateLimit | None, cause: str) -> None:
        try:
            served, memory = await self._make(catalog)
        except BaseException:
            os.close(fd)
            raise
        await self._fleet.swap(fd, catalog.edge_ids, memory, self._identity(), rate_limit)
        self.served, self.taken_s, self._rate_limit = served, time.time(), rate_limit
        await self._tell(cause)

    async def _make(self, catalog: Catalog) -> tuple[Served, int]:
        begun = time.monotonic()
        state = await self._store.state()
        now_ms = self._now_ms()
        await self._look(catalog, state, now_ms)
        self._note_refused()
        self._made_of = state
        state, arrays, self._due_ms = await asyncio.to_thread(
            _build, catalog, state, now_ms, self._counting, self.refusals.told()
        )
        self._wake.set()
        fd = _memory(layout.pack(layout.STEERING_MAGIC, catalog.generation, arrays))
        self.status.builds += 1
        self.status.seconds = time.monotonic() - begun
        self.status.made_ms = now_ms
        self.status.reports = len(state.reports)
        self.durations.add(self.status.seconds)
        return Served(catalog, Steering(arrays), state, now_ms), fd

    async def _look(self, catalog: Catalog, state: StoreState, now_ms: int) -> None:
        """Look at a plan that has come: beside, so that steering goes on meanwhile by the former, unless there is no
        former or the catalog is new."""
        if self._counting.is_for(catalog, state):
            return
        if self._looking is not None and not self._looking.done():
            if self._counting.catalog is catalog:
                return
            await asyncio.wait((self._looking,))
        before = self._counting
        if before.catalog is catalog:
            self._looking = asyncio.ensure_future(self._look_beside(before, catalog, state, now_ms))
        else:
            self._counting = await asyncio.to_thread(counting.looked_at, before, catalog, state, now_ms)

    async def _look_beside(self, before: Counting, catalog: Catalog, state: StoreState, now_ms: int) -> None:
        try:
            found = await asyncio.to_thread(counting.looked_at, before, catalog, state, now_ms)
            if self._keep is not None and found.newest is not None and found.newest is not before.newest:
                with contextlib.suppress(GslbError, OSError):  # told once it acts
                    await asyncio.to_thread(self._keep, found.newest.plan)
            self._counting = found
        except Exception:
            self._sparing.error("a plan met a fault of this program; the former holds", "plan", exc_info=True)
        else:
            self._note_change()

    def _note_refused(self) -> None:
        self.refusals.note(self._store.faults, self._counting.refused)

    async def _tell(self, cause: str) -> None:
        """What goes wrong with it stops no steering."""
        if self._steered is not None and self.served is not None:
            try:
                await asyncio.to_thread(self._steered, self.served, cause)
            except (GslbError, OSError) as error:
                self._sparing.error("what changed is not in the journal", "journal", reason=str(error))
            except Exception:
                self._sparing.error("the journal met a fault of this program", "journal fault", exc_info=True)

    def _now_ms(self) -> int:
        """The store's clock at its last whole second."""
        clock_ms = self._store.clock_ms // 1000 * 1000
        if not self._acted_ms - BACK_MS <= clock_ms < self._acted_ms:
            self._acted_ms = clock_ms
        return self._acted_ms


def _build(
    catalog: Catalog, state: StoreState, now_ms: int, counts: Counting, refused: str
) -> tuple[StoreState, dict[str, Any], int | None]:
    """The state with the plan that counts, the sections of steering, and when the same state makes others."""
    planned = counts.at(now_ms)
    state = dataclasses.replace(state, plan=planned.plan if planned is not None else None, plan_base=None)
    arrays = making.build(catalog.arrays, state, now_ms, planned, refused)
    due_ms = [each for each in (making.next_due_ms(catalog.arrays, state, now_ms), counts.due_ms(now_ms)) if each]
    return state, arrays, min(due_ms, default=None)


def _open(path: Path) -> tuple[Catalog, int]:
    """The catalog in a file of the state directory, verified, and the file's descriptor.

    The file is opened once: whatever becomes of its name, the workers get what is verified here. Raises `GslbError`; a
    torn file is set aside.
    """
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise GslbError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return Catalog(memoryview(mmap.mmap(fd, 0, prot=mmap.PROT_READ))), fd
    except Exception:
        os.close(fd)
        files.read_catalog(path, set_aside=True)  # says what is wrong with it
        raise


def _memory(pieces: Any) -> int:
    """A sealed memory file that holds ``pieces``; whoever has its descriptor can map and not change it."""
    fd = os.memfd_create("gslb-steering", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.writelines(pieces)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
    return fd
