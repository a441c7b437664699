"""Steering: what is true this minute as weights, one row for every class of every policy and family.

`build` is a pure function of a catalog and a store's state: servers that hold the same two make the same arrays, the
section ``made`` aside, which says when. It goes in two steps, so that an explanation can repeat the second: state of
the store → section ``edge_state`` → rows (`snapshot.weighing`). `Steering` is how answers read the result.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gslb.errors import GslbError
from gslb.health import judge as health
from gslb.model.inventory import HealthRules
from gslb.model.report import Report, StoreState
from gslb.policy import headroom, override, spill
from gslb.snapshot import filling, layout, lookups, planning
from gslb.snapshot.filling import Table
from gslb.snapshot.layout import STEERING_WIDTH
from gslb.snapshot.overriding import Acting
from gslb.snapshot.planning import Planned
from gslb.snapshot.weighing import PoolState

# Bits of `reported` in edge_state.
REPORTED: Final = 1  # the store knows the edge
REPORT_HELD: Final = 2  # silent together with much of its continent, and believed to live
REPORT_GONE: Final = 4  # its report has vanished from the store

Arrays = Mapping[str, npt.NDArray[Any]]

_CURVES: Final = (headroom.LOCAL, headroom.PLANNED)
_NOBODY: Final = Report(edge="", epoch=0, seq=0, received_ms=0)


def build(
    catalog: Arrays, state: StoreState, now_ms: int, planned: Planned | None = None, refused: str = ""
) -> dict[str, npt.NDArray[Any]]:
    """The sections of a steering snapshot (`layout.STEERING_SECTIONS`) for a catalog's sections.

    Ages count against ``state.now_ms``, the time of the store's newest entry; ``now_ms`` is the store's clock, by which
    overrides, slow start and plans go. ``planned`` is ``state.plan``, resolved for this catalog, for those who keep it;
    ``refused`` says, for explanations, which newer plan may not count, and why.
    """
    return from_states(catalog, edge_state(catalog, state, now_ms), state, now_ms, planned, refused)


def from_states(
    catalog: Arrays,
    states: npt.NDArray[Any],
    state: StoreState,
    now_ms: int,
    planned: Planned | None = None,
    refused: str = "",
) -> dict[str, npt.NDArray[Any]]:
    """The second step of `build`: ``states`` is the section edge_state, as it was or would be.

    Of ``state`` only ``now_ms``, ``overrides`` and ``plan`` are looked at.
    """
    if planned is None and state.plan is not None:
        planned = planning.resolve(catalog, state.plan)
    acting = Acting(catalog, state.overrides.values(), now_ms, _rules(catalog))
    faded = planning.faded(planned.plan, now_ms) if planned is not None else planning.STEPS
    plans = planned.policies if planned is not None and faded < planning.STEPS else {}
    plotted = filling.plot(catalog, acting, plans)
    table = Table(catalog, plotted.classes, faded)
    for block in plotted.blocks:
        table.fill(block, *(pool_state(catalog, states, block.policy, is_v6=is_v6) for is_v6 in (False, True)))
    note = {
        "plan": planned.plan.version if planned is not None and faded < planning.STEPS else "",
        "faded": faded / planning.STEPS if planned is not None else 0.0,
        "skipped": planned.skipped if planned is not None else 0,
        "inactive": _inactive(planned, now_ms, faded),
        "refused": refused,
        "overrides": acting.note(),
    }
    text = json.dumps(note, ensure_ascii=False).encode() + b"\n" + (planned.told if planned is not None else b"")
    return {
        "made": np.array([(now_ms, state.now_ms)], dtype=layout.MADE),
        **table.sections(),
        "service_row": plotted.service_row,
        "edge_state": states,
        "note": np.frombuffer(text, dtype=np.uint8),
    }


def _inactive(planned: Planned | None, now_ms: int, faded: int) -> str:
    """Of a plan that gives no weights now, which and why."""
    if planned is None or faded < planning.STEPS:
        return ""
    return f"{planned.plan.version} {'has ended' if now_ms >= planned.plan.hold_until_ms else 'has not begun'}"


def next_due_ms(catalog: Arrays, state: StoreState, now_ms: int) -> int | None:
    """The time of the store's clock after ``now_ms`` at which the same state makes other rows, or None: an override
    begins or ends or goes on, an edge's slow start goes on, a plan comes into force or fades.

    What follows from the ages of reports moves with the store's entries alone.
    """
    rules, clock_s = _rules(catalog), now_ms // 1000
    found = []
    overrides = state.overrides.values()
    if (border_s := Acting(catalog, overrides, now_ms, rules).due_s(overrides)) is not None:
        found.append(border_s * 1000)
    if any(
        report.slow_since_ms and clock_s - report.slow_since_ms // 1000 < rules.slow_start_s
        for report in state.reports.values()
    ):
        found.append((clock_s + 1) * 1000)
    if state.plan is not None and (step_ms := planning.next_step_ms(state.plan, now_ms)) is not None:
        found.append(step_ms)
    return min(found, default=None)


@dataclass(slots=True)
class Row:
    """One row, cut to its edges. ``edges`` are edge rows; ``flags`` are layout.ROW_*.

    Not frozen: one is made for every answer, and freezing would cost more than all the rest of it.
    """

    count: int
    edges: list[int]
    levels: list[int]
    weights: list[int]
    reciprocals: list[int]
    flags: int


class Steering:
    """A steering snapshot that lies in a buffer, or the arrays that `build` made."""

    def __init__(self, source: memoryview | Arrays, *, verify: bool = True) -> None:
        """Raises `GslbError` where a buffer is not a whole steering snapshot of this layout.

        ``generation`` is the catalog's that it fits, empty for arrays.
        """
        self.generation = b""
        if isinstance(source, Mapping):
            self.arrays = dict(source)
        else:
            self.generation, self.arrays = layout.unpack(layout.STEERING_MAGIC, source, verify=verify)
        if not len(self.arrays["count"]) * STEERING_WIDTH == len(self.arrays["edge"]) == len(self.arrays["weight"]):
            raise GslbError("steering: its sections do not fit each other")
        self.made_ms, self.state_ms = (int(each) for each in self.arrays["made"][0])
        self._edge: memoryview = self.arrays["edge"].data
        self._level: memoryview = self.arrays["level"].data
        self._weight: memoryview = self.arrays["weight"].data
        self._reciprocal: memoryview = self.arrays["reciprocal"].data
        self._count: memoryview = self.arrays["count"].data
        self._flags: memoryview = self.arrays["flags"].data
        self._service_row: list[int] = self.arrays["service_row"].tolist()

    def first(self, service: int, policy_row: int) -> int:
        """The row of the first class of a service (a row of its own table), whose policy's is ``policy_row``."""
        return self._service_row[service] if self._service_row else policy_row

    @cached_property
    def note(self) -> Mapping[str, Any]:
        """What it was made with, for explanations: ``plan``, the version in use or empty; ``faded``, the part of it
        that has passed into local policy; ``inactive``, which plan gives no weights now and why; ``refused``, which may
        not count and why; ``skipped``, how many of its rows cannot be used; ``overrides`` that act or are near, as
        `overriding.Acting.note` has them."""
        found: Mapping[str, Any] = json.loads(self.arrays["note"].tobytes().partition(b"\n")[0] or b"{}")
        return found

    @property
    def told(self) -> bytes:
        """What is told of its plan, for `snapshot.telling`."""
        return self.arrays["note"].tobytes().partition(b"\n")[2]

    def row(self, policy_class: int, is_v6: bool) -> Row:
        """A class's row: `first` + class."""
        row = 2 * policy_class + is_v6
        count = self._count[row]
        begin = row * STEERING_WIDTH
        end = begin + count
        return Row(
            count,
            self._edge[begin:end].tolist(),
            self._level[begin:end].tolist(),
            self._weight[begin:end].tolist(),
            self._reciprocal[begin:end].tolist(),
            self._flags[row],
        )


def edge_state(catalog: Arrays, state: StoreState, now_ms: int) -> npt.NDArray[Any]:
    """The section edge_state: the verdict on every edge, its headroom, load and capacity at ``state.now_ms``, and the
    ramp it has at ``now_ms`` of the store's clock.

    A report's own headroom counts for bits where it gives one; else it follows from load and capacity. Sessions are
    looked at besides; the worse counts. An edge that never reported has all of it. An edge that an override drains
    everywhere counts as drained.
    """
    edges = catalog["edge"]
    ids = lookups.edge_ids(catalog)
    rules = _rules(catalog)
    continents = [lookups.text(catalog, row) for row in edges["continent"].tolist()]
    inventory = edges["capacity_bps"].astype(np.int64)
    judged = health.judge(ids, continents, inventory.tolist(), state, rules)
    reports = [state.reports.get(edge, _NOBODY) for edge in ids]
    load, reported, sessions, own = (
        np.array(column, dtype=np.int64).reshape(len(ids))
        for column in (
            [report.load_bps for report in reports],
            [report.capacity_bps for report in reports],
            [report.sessions for report in reports],
            [report.headroom_milli for report in reports],
        )
    )
    capacity, seats = headroom.capacity(inventory, reported), edges["capacity_sessions"].astype(np.int64)
    of_bits, of_bits_planned = (headroom.headroom_milli(load, capacity, curve) for curve in _CURVES)
    of_sessions, of_sessions_planned = (headroom.headroom_milli(sessions, seats, curve) for curve in _CURVES)
    of_bits = np.where(own >= 0, np.minimum(own, headroom.FULL_MILLI), of_bits)
    factor, changing = Acting(catalog, state.overrides.values(), now_ms, rules).everywhere()
    clock_s = now_ms // 1000
    slow = [override.slow_start_milli(report.slow_since_ms, clock_s, rules.slow_start_s) for report in reports]
    ramp = np.array(slow, dtype=np.int64).reshape(len(ids)) * factor // headroom.FULL_MILLI
    found = np.zeros(len(ids), dtype=layout.EDGE_STATE)
    for family, verdict in (("4", judged.verdict4), ("6", judged.verdict6)):
        drained = np.where(factor == 0, layout.VERDICT_DRAIN, verdict)
        found["verdict" + family] = np.where(edges[f"rr{family}_count"] > 0, drained, layout.VERDICT_ABSENT)
    found["reported"] = judged.said * REPORTED | judged.held * REPORT_HELD | judged.gone * REPORT_GONE
    found["changing"] = judged.changing | changing
    found["headroom_milli"] = np.minimum(of_bits, of_sessions)
    found["planned_milli"] = np.minimum(of_bits_planned, of_sessions_planned)
    found["ramp_milli"] = ramp
    found["age_ms"], found["since_ms"] = judged.age_ms, judged.since_ms
    found["load_bps"], found["capacity_bps"], found["sessions"] = load, capacity, sessions
    return found


def pool_state(catalog: Arrays, states: npt.NDArray[Any], policy: int, *, is_v6: bool) -> PoolState:
    """What a policy's pool has to give in one family; ``states`` is the section edge_state."""
    first, count = int(catalog["policy"]["edge"][policy]), int(catalog["policy"]["edge_count"][policy])
    edges = catalog["policy_edge"][first : first + count]
    weight = catalog["policy_weight"][first : first + count].astype(np.int64)
    here = states[edges]
    verdict = here["verdict6" if is_v6 else "verdict4"].astype(np.uint8)
    living = verdict <= layout.VERDICT_UNKNOWN
    ramp = here["ramp_milli"].astype(np.int64)
    load, capacity = here["load_bps"].astype(np.int64), here["capacity_bps"].astype(np.int64)
    load_known = (here["reported"] & (REPORTED | REPORT_GONE)) == REPORTED
    room_bps = np.minimum(capacity, headroom.MAX_BPS) * headroom.LOCAL.none_milli // headroom.FULL_MILLI - load
    spare_kbps = np.where(load_known & (capacity > 0), np.maximum(room_bps, 0) // 1000, spill.UNKNOWN)
    return PoolState(
        edges=edges.astype(np.uint16),
        supply=spill.Supply(
            nominal=np.where(verdict == layout.VERDICT_ABSENT, 0, weight * headroom.WEIGHT_SCALE),
            effective=headroom.effective(weight, np.where(living, here["headroom_milli"].astype(np.int64), 0), ramp),
            spare_kbps=np.where(living, spare_kbps, 0),
            load_kbps=np.where(load_known, load // 1000, spill.UNKNOWN),
        ),
        verdict=verdict,
        changing=here["changing"] > 0,
        planned_micro=np.where(living, here["planned_milli"].astype(np.int64) * ramp, 0),
    )


def _rules(catalog: Arrays) -> HealthRules:
    stale_s, hold_s, changing_s, silence_share, silence_edges, slow_start_s = catalog["health"].tolist()
    return HealthRules(stale_s, hold_s, changing_s, silence_share, round(silence_edges), round(slow_start_s))
