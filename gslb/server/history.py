"""What was answered from, at any time that the journal knows: written down while the server steers, and read back.

The journal lies in ``journal/`` of the state directory (`gslb.store.journal`), the plans that were in force in
``plans/``; catalogs are those of ``catalog/``. What each line tells, and how exactly, is said in
`gslb.server.transitions`. What changed while no server ran shows in the checkpoint of the next start alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gslb.errors import GslbError
from gslb.health.override import time_text
from gslb.model.plan import Plan
from gslb.model.report import StoreState
from gslb.server import transitions
from gslb.server.transitions import Entry, Moment
from gslb.snapshot import steering
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.steering import Steering
from gslb.store import files, journal, kept
from gslb.store.journal import Journal

JOURNAL: Final = "journal"


class History:
    """The journal of one server."""

    def __init__(self, state_dir: Path, clock_ms: Callable[[], int]) -> None:
        """``clock_ms`` is the store's clock, in ms since 1970, as the server knows it: lines carry its time."""
        self._state_dir = state_dir
        self._clock_ms = clock_ms
        self._journal = Journal(state_dir / JOURNAL)
        self._former: Moment | None = None
        self._catalog: Catalog | None = None
        self._plans: tuple[tuple[Plan, str], ...] = ()  # the two kept last, and the SHA-256 of what is kept of them

    def steered(
        self,
        catalog: Catalog,
        state: StoreState,
        states: npt.NDArray[Any],
        now_ms: int,
        cause: str,
        connected: bool = True,
    ) -> None:
        """Write down how what is answered from now on differs from what was before.

        ``states`` is the section edge_state made of ``state`` at ``now_ms`` of the store's clock; ``cause`` says why
        there is new steering, ``connected`` whether the store can be reached. Called in a thread, one call at a time.
        Raises ``OSError`` and `GslbError` where something cannot be written; the next call tells of it, as far as it
        is so still.
        """
        self._catalog = catalog
        sha256, trouble = self._kept_plan(state.plan)
        moment = Moment(
            generation=catalog.generation.hex(),
            edges=catalog.edge_ids,
            states=states,
            seats=catalog.arrays["edge"]["capacity_sessions"].astype(np.int64),
            stale_ms=_stale_ms(catalog),
            now_ms=now_ms,
            state_ms=state.now_ms,
            overrides=state.overrides,
            plan=state.plan.version if state.plan is not None else "",
            plan_sha256=sha256,
            connected=connected,
            gap=(state.gap_begin_ms, state.gap_end_ms),
        )
        self._write(moment, cause, state)
        if trouble is not None:
            raise trouble

    def keep(self, plan: Plan) -> None:
        """Keep a plan that is to come into force, so that `steered` finds it kept: a large one takes a second.

        May be called in another thread. Raises as `steered` does.
        """
        _, trouble = self._kept_plan(plan)
        if trouble is not None:
            self._plans = self._plans[1:]  # `steered` tries again, and tells
            raise trouble

    def at(self, at_ms: int) -> tuple[Catalog, Steering]:
        """What was answered from at ``at_ms`` of the store's clock; where no server ran then, by the one before.

        Raises `GslbError` where nobody knows: before the journal begins, in the future, where a line is torn, and where
        the catalog or the plan of then is kept no longer.
        """
        clock_ms = self._clock_ms()
        if at_ms > clock_ms:
            raise GslbError(f"{_shown(at_ms)} is in the future: the store's clock is at {_shown(clock_ms)}")
        past = transitions.replay(journal.until(self._state_dir / JOURNAL, at_ms))
        catalog = self._catalog_of(past.generation, at_ms)
        plan = self._plan_of(past.plan, past.plan_sha256)
        states = past.states(catalog.edge_ids, _stale_ms(catalog))
        state = StoreState(now_ms=past.state_ms, overrides=past.overrides, plan=plan)
        return catalog, Steering(steering.from_states(catalog.arrays, states, state, past.now_ms))

    def _write(self, moment: Moment, cause: str, state: StoreState) -> None:
        is_whole = False

        def checkpoint() -> Entry:
            nonlocal is_whole
            is_whole = True
            return {"kind": journal.CHECKPOINT, **transitions.checkpoint(moment)}

        if self._former is None:  # the journal asks for the checkpoint
            entries, told = [transitions.steered(moment, cause)], moment.states
        else:
            entries, told = transitions.between(self._former, moment, cause, state.reports)
            if self._former.generation != moment.generation:
                entries.append(checkpoint())
        if not entries:
            return

        if self._journal.append(self._clock_ms(), entries, checkpoint):
            self._former = moment if is_whole else moment._replace(states=told)

    def _kept_plan(self, plan: Plan | None) -> tuple[str, OSError | GslbError | None]:
        """The SHA-256 of what is kept of a plan, empty where it could not be, and why not: told once."""
        if plan is None:
            return "", None
        for kept_one, sha256 in self._plans:
            if kept_one is plan or kept_one == plan:
                return sha256, None
        sha256, trouble = "", None
        try:
            sha256 = kept.save_plan(self._state_dir, plan)
        except (OSError, GslbError) as error:
            trouble = error
        self._plans = ((plan, sha256), *self._plans[:1])
        return sha256, trouble

    def _catalog_of(self, generation: str, at_ms: int) -> Catalog:
        served = self._catalog
        if served is not None and served.generation.hex() == generation:
            return served
        path = files.catalog_path(self._state_dir, bytes.fromhex(generation))
        if not path.exists():
            raise GslbError(f"{path}: the catalog that was served at {_shown(at_ms)} is no longer kept")
        return Catalog(files.read_catalog(path), verify=False)

    def _plan_of(self, version: str, sha256: str) -> Plan | None:
        if not version:
            return None
        for held, its_sha256 in self._plans:
            if (held.version, its_sha256) == (version, sha256):
                return held
        if not sha256:
            raise GslbError(f"plan {version}, which was in the store then, could not be kept")
        return kept.load_plan(self._state_dir, version, sha256)


def _stale_ms(catalog: Catalog) -> int:
    return round(float(catalog.arrays["health"][0]) * 1000)


def _shown(time_ms: int) -> str:
    text, part_ms = time_text(time_ms // 1000), time_ms % 1000
    return f"{text[:-1]}.{part_ms:03}Z" if part_ms else text
