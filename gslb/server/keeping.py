"""The store's state kept on disk while the server runs, so that a start without the store answers as before."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from gslb.errors import GslbError
from gslb.model.plan import Plan
from gslb.model.report import Report, StoreState
from gslb.server.log import Sparing
from gslb.store import kept
from gslb.store.interface import Store

LEAST_S = 1.0
"""Between two savings."""
LOADS_S = 5.0
"""And where nothing but loads and times have changed."""


class Keeper:
    """Saves what the store holds. ``failed`` says why the last saving came to nothing, and is empty where it did not;
    ``saved_s`` is when something was saved last, in seconds since 1970."""

    def __init__(
        self, store: Store, state_dir: Path, held: StoreState, plan: Callable[[], Plan | None] | None = None
    ) -> None:
        """``held`` is what lies on disk already; ``plan`` gives the plan that was accepted last, which is kept in place
        of the store's."""
        self.failed = ""
        self.saved_s = 0.0
        self._store = store
        self._state_dir = state_dir
        self._saved = held
        self._plan = plan
        self._shown = (held, held.plan, held)
        self._tried = -LOADS_S
        self._writing: asyncio.Future[None] | None = None
        self._log = Sparing(structlog.get_logger("gslb.keeping"))

    async def run(self) -> None:
        """Save as things change, until cancelled."""
        while True:
            await asyncio.sleep(LEAST_S)
            state = await self._state()
            if self._is_saved(state):
                continue
            if time.monotonic() - self._tried >= LOADS_S or (
                not self.failed and await asyncio.to_thread(matters, self._saved, state)
            ):
                await self._save(state)

    async def end(self) -> None:
        """Save what there is now, if that is not done yet. To be called once `run` has ended."""
        if self._writing is not None:  # it goes on in its thread, whoever was cancelled: two must not write at once
            await asyncio.gather(self._writing, return_exceptions=True)
        state = await self._state()
        if not self._is_saved(state):
            await self._save(state)

    async def _state(self) -> StoreState:
        """What the store holds, with the plan that counts. One object for as long as neither changes."""
        state = await self._store.state()
        plan = self._plan() if self._plan is not None else state.plan
        if self._shown[0] is not state or self._shown[1] is not plan:
            shown = state
            if plan is not state.plan or state.plan_base is not None:
                shown = dataclasses.replace(state, plan=plan, plan_base=None)
            self._shown = state, plan, shown
        return self._shown[2]

    def _is_saved(self, state: StoreState) -> bool:
        """Where the store was not reached yet, its state is what was held: that of another version stays on disk."""
        if state is not self._saved and state == self._saved:
            self._saved = state
        return state is self._saved

    async def _save(self, state: StoreState) -> None:
        self._tried = time.monotonic()
        try:
            same = state.plan is not None and state.plan == self._saved.plan
            self._writing = asyncio.ensure_future(asyncio.to_thread(kept.save, self._state_dir, state, but_plan=same))
            await asyncio.shield(self._writing)
        except (GslbError, OSError) as error:
            self.failed = str(error)
            self._log.error("the state of the store could not be saved", "save", reason=str(error))
        except Exception as error:
            self.failed = f"{type(error).__name__}: {error}"
            self._log.error("saving the state met a fault of this program", "fault", exc_info=True)
        else:
            self.failed, self._saved, self.saved_s = "", state, time.time()


def matters(saved: StoreState, state: StoreState) -> bool:
    """Whether more than loads and times of reports differ."""
    if (saved.overrides, saved.plan, saved.gap_end_ms) != (state.overrides, state.plan, state.gap_end_ms):
        return True
    if saved.reports.keys() != state.reports.keys() or saved.seen.keys() != state.seen.keys():
        return True
    return any(_verdict(saved.reports[edge]) != _verdict(report) for edge, report in state.reports.items())


def _verdict(report: Report) -> tuple[Any, ...]:
    return report.health4, report.health6, report.since_ms, report.slow_since_ms, report.valid_ms, report.capacity_bps
