"""Steering: what is true this minute as weights, one row for every class of every policy and family.

`build` is a pure function of a catalog and a store's state: servers that hold the same two make the same arrays, the
section ``made`` aside, which says when. It goes in two steps, so that an explanation can repeat the second: state of
the store → section ``edge_state`` → rows (`snapshot.weighing`). `Steering` is how answers read the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gslb.errors import GslbError
from gslb.health import state as health
from gslb.model.inventory import HealthRules
from gslb.model.report import Report, StoreState
from gslb.policy import headroom, spill
from gslb.snapshot import layout, weighing
from gslb.snapshot.layout import STEERING_WIDTH
from gslb.snapshot.weighing import PoolState

# Bits of `reported` in edge_state.
REPORTED: Final = 1  # the store knows the edge
REPORT_HELD: Final = 2  # silent together with much of its continent, and believed to live
REPORT_GONE: Final = 4  # its report has vanished from the store

Arrays = Mapping[str, npt.NDArray[Any]]

_COLUMNS: Final = ("edge", "level", "weight", "reciprocal", "count", "flags")
_BLOCK: Final = 1 << 16  # elements of class × edge worked on at a time: stays in the processor's cache
_NOBODY: Final = Report(edge="", epoch=0, seq=0, received_ms=0)


def build(catalog: Arrays, state: StoreState, now_ms: int) -> dict[str, npt.NDArray[Any]]:
    """The sections of a steering snapshot (`layout.STEERING_SECTIONS`) for a catalog's sections.

    Ages count against ``state.now_ms``, the store's time; ``now_ms`` is the builder's clock and goes into ``made``.
    """
    states = edge_state(catalog, state)
    table = _Table(2 * len(catalog["class_multi"]))
    for policy, row in enumerate(catalog["policy"]):
        fours, sixes = (pool_state(catalog, states, policy, is_v6=is_v6) for is_v6 in (False, True))
        table.fill(catalog, policy, fours, is_v6=False)
        if _alike(fours, sixes):
            table.copy(int(row["row"]), int(row["row"]) + int(row["classes"]))
        else:
            table.fill(catalog, policy, sixes, is_v6=True)
    return {
        "made": np.array([(now_ms, state.now_ms)], dtype=layout.MADE),
        "edge": table.edge.reshape(-1),
        "level": table.level.reshape(-1),
        "weight": table.weight.reshape(-1),
        "reciprocal": table.reciprocal.reshape(-1),
        "count": table.count,
        "flags": table.flags,
        "edge_state": states,
    }


def next_due_ms(catalog: Arrays, state: StoreState) -> int | None:
    """The store time after ``state.now_ms`` at which the same reports make other rows, or None: a report goes stale or
    down, or a transition is long enough ago. Until then a build changes ages and nothing else."""
    return health.next_border_ms(_edge_ids(catalog), state, _rules(catalog))


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

    def row(self, policy_class: int, is_v6: bool) -> Row:
        """The row of a class of a policy: ``policy.row`` + class."""
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


def edge_state(catalog: Arrays, state: StoreState) -> npt.NDArray[Any]:
    """The section edge_state: the verdict on every edge, its headroom, load and capacity at ``state.now_ms``.

    A report's own headroom counts where it gives one; else it follows from load and capacity, the worse of bits and
    sessions. An edge that never reported has all of it.
    """
    edges = catalog["edge"]
    ids = _edge_ids(catalog)
    continents = [_text(catalog, row) for row in edges["continent"].tolist()]
    inventory = edges["capacity_bps"].astype(np.int64)
    judged = health.judge(ids, continents, inventory.tolist(), state, _rules(catalog))
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
    capacity = headroom.capacity(inventory, reported)
    computed = np.minimum(
        headroom.headroom_milli(load, capacity),
        headroom.headroom_milli(sessions, edges["capacity_sessions"].astype(np.int64)),
    )
    found = np.zeros(len(ids), dtype=layout.EDGE_STATE)
    found["verdict4"] = np.where(edges["rr4_count"] > 0, judged.verdict4, layout.VERDICT_ABSENT)
    found["verdict6"] = np.where(edges["rr6_count"] > 0, judged.verdict6, layout.VERDICT_ABSENT)
    found["reported"] = judged.said * REPORTED | judged.held * REPORT_HELD | judged.gone * REPORT_GONE
    found["changing"] = judged.changing
    found["headroom_milli"] = np.where(own >= 0, np.minimum(own, headroom.FULL_MILLI), computed)
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
    load, capacity = here["load_bps"].astype(np.int64), here["capacity_bps"].astype(np.int64)
    load_known = (here["reported"] & (REPORTED | REPORT_GONE)) == REPORTED
    room_bps = np.minimum(capacity, headroom.MAX_BPS) * headroom.LOCAL.none_milli // headroom.FULL_MILLI - load
    spare_kbps = np.where(load_known & (capacity > 0), np.maximum(room_bps, 0) // 1000, spill.UNKNOWN)
    return PoolState(
        edges=edges.astype(np.uint16),
        supply=spill.Supply(
            nominal=np.where(verdict == layout.VERDICT_ABSENT, 0, weight * headroom.WEIGHT_SCALE),
            effective=headroom.effective(weight, np.where(living, here["headroom_milli"].astype(np.int64), 0)),
            spare_kbps=np.where(living, spare_kbps, 0),
            load_kbps=np.where(load_known, load // 1000, spill.UNKNOWN),
        ),
        verdict=verdict,
        changing=here["changing"] > 0,
    )


class _Table:
    """The rows of a steering snapshot in the making."""

    def __init__(self, rows: int) -> None:
        self.edge = np.zeros((rows, STEERING_WIDTH), dtype=np.uint16)
        self.level = np.zeros((rows, STEERING_WIDTH), dtype=np.uint8)
        self.weight = np.zeros((rows, STEERING_WIDTH), dtype=np.uint32)
        self.reciprocal = np.zeros((rows, STEERING_WIDTH), dtype=np.uint32)
        self.count = np.zeros(rows, dtype=np.uint8)
        self.flags = np.zeros(rows, dtype=np.uint8)

    def fill(self, catalog: Arrays, policy: int, pool: PoolState, *, is_v6: bool) -> None:
        """Write the rows of a policy's classes in one family."""
        row = catalog["policy"][policy]
        classes, edges = int(row["classes"]), int(row["edge_count"])
        levels = catalog["policy_level"][int(row["level"]) :][: classes * edges].reshape(classes, edges)
        step = max(1, _BLOCK // max(1, edges))
        for begin in range(0, len(levels), step):
            block = levels[begin : begin + step]
            rows = weighing.rows(block, pool, int(row["panic_milli"]), bool(row["flags"] & layout.SERVICE_CLOSED))
            at = 2 * (int(row["row"]) + begin) + is_v6
            into = slice(at, at + 2 * len(block), 2)
            for name in _COLUMNS:
                getattr(self, name)[into] = getattr(rows, name)

    def copy(self, begin: int, end: int) -> None:
        """Give the IPv6 rows of the classes from ``begin`` to ``end`` what their IPv4 rows have."""
        for name in _COLUMNS:
            column = getattr(self, name)
            column[2 * begin + 1 : 2 * end : 2] = column[2 * begin : 2 * end : 2]


def _alike(fours: PoolState, sixes: PoolState) -> bool:
    """Whether two families of a pool make the same rows."""
    return np.array_equal(fours.verdict, sixes.verdict) and all(
        np.array_equal(ours, theirs) for ours, theirs in zip(fours.supply, sixes.supply, strict=True)
    )


def _edge_ids(catalog: Arrays) -> list[str]:
    return [_text(catalog, row) for row in catalog["edge"]["id"].tolist()]


def _text(catalog: Arrays, row: int) -> str:
    begin, end = catalog["string_at"][row : row + 2].tolist()
    return catalog["string"][begin:end].tobytes().decode()


def _rules(catalog: Arrays) -> HealthRules:
    stale_s, hold_s, changing_s, silence_share, silence_edges = catalog["health"].tolist()
    return HealthRules(stale_s, hold_s, changing_s, silence_share, round(silence_edges))
