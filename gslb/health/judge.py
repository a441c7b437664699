"""What a report is still worth: the rules of aging that every server applies alike.

Ages count against store time, the time of the newest entry in the store, never against a server's own clock: servers
that read the same store agree, and while a store cannot be reached all ages stand still. A time in which nobody wrote
anything ages nobody either: when reports count as heard, `StoreState.heard_ms` tells.

Up to ``stale_s`` a report counts. From then on the edge is unknown and treated as its last state for ``hold_s``; after
that it is down. An edge told to be down or drained stays so for as long as it is silent: nothing revives it but a
report. An edge that never reported is up. A report that vanished from the store leaves an edge that is silent since it
was last seen, and its last state, no longer known, is taken to be up.

**Silence hold.** Where edges with more than ``silence_share`` of a continent's capacity, and at least ``silence_edges``
of them, fall silent within ``stale_s`` of each other, it is the way to the store that broke and not they: they stay
unknown, and served, until they report again. Edges that had said down or drain are not among the silent. Edges whose
capacity is not known count as the mean of the continent's others; where none is known, edges are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from gslb.model.inventory import HealthRules
from gslb.model.report import DOWN, DRAIN, UP, Report, StoreState

# Verdicts on one family of an edge, best first, as the snapshot's layout numbers them (layout.VERDICT_*).
VERDICT_UP: Final = 0
VERDICT_UNKNOWN: Final = 1
VERDICT_DOWN: Final = 2
VERDICT_DRAIN: Final = 3

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_SAID: Final = {UP: VERDICT_UP, DOWN: VERDICT_DOWN, DRAIN: VERDICT_DRAIN}
_FAR_MS: Final = 1 << 62
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Judged:
    """Arrays with one element an edge, in the order asked.

    ``said`` is True where the store knows the edge, ``held`` where it is silent and believed all the same, ``gone``
    where its report has vanished. ``changing`` is True within ``changing_s`` of a transition and while the edge is
    unknown. ``age_ms`` and ``since_ms`` are 0 where nothing is known; times are store time.
    """

    verdict4: U8
    verdict6: U8
    said: Mask
    held: Mask
    gone: Mask
    changing: Mask
    age_ms: I64
    since_ms: I64


class _Heard(NamedTuple):
    """What the store says of each edge: `_FAR_MS` and `VERDICT_UP` where it says nothing."""

    said: Mask
    gone: Mask
    received_ms: I64
    since_ms: I64
    stale_at_ms: I64  # the last moment at which the report counts
    down_at_ms: I64  # the last moment at which it is held
    last4: U8
    last6: U8


def judge(
    edges: Sequence[str],
    continents: Sequence[str],
    capacities_bps: Sequence[int],
    state: StoreState,
    rules: HealthRules,
) -> Judged:
    """The verdict on each edge at ``state.now_ms``; capacities are those of the inventory, 0 = unknown."""
    now = state.now_ms
    heard = _heard(edges, state, rules)
    silent = heard.said & (now > heard.stale_at_ms)
    missed = silent & ((heard.last4 == VERDICT_UP) | (heard.last6 == VERDICT_UP))
    together = _together(missed, heard.stale_at_ms, continents, capacities_bps, rules)
    over = silent & (now > heard.down_at_ms)

    def verdict(last: U8) -> U8:
        lost = np.where(over & ~together, VERDICT_DOWN, np.where(silent, VERDICT_UNKNOWN, VERDICT_UP))
        return np.where(last == VERDICT_UP, lost, last).astype(np.uint8)

    fell_ms = np.where(over & missed & ~together, heard.down_at_ms, 0)
    latest = np.maximum(heard.since_ms, fell_ms)
    return Judged(
        verdict4=verdict(heard.last4),
        verdict6=verdict(heard.last6),
        said=heard.said,
        held=together,
        gone=heard.gone,
        changing=((latest > 0) & (now - latest < _ms(rules.changing_s))) | (missed & (together | ~over)),
        age_ms=np.where(heard.said, now - heard.received_ms, 0),
        since_ms=latest,
    )


def _heard(edges: Sequence[str], state: StoreState, rules: HealthRules) -> _Heard:
    count = len(edges)
    received, since, stale_at, down_at = (np.zeros(count, dtype=np.int64) for _ in range(4))
    said, gone = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
    last4, last6 = np.full(count, VERDICT_UP, dtype=np.uint8), np.full(count, VERDICT_UP, dtype=np.uint8)
    received[:] = stale_at[:] = down_at[:] = _FAR_MS
    stale_ms, hold_ms = _ms(rules.stale_s), _ms(rules.hold_s)
    for at, report, vanished in _known(edges, state):
        heard_ms = state.heard_ms(report.received_ms)
        valid_ms = report.valid_ms or stale_ms + hold_ms
        said[at], gone[at] = True, vanished
        # A writer's clock may run ahead; nothing changed later than it was told.
        received[at], since[at] = heard_ms, min(report.since_ms, heard_ms)
        stale_at[at] = heard_ms + max(valid_ms - hold_ms, min(stale_ms, valid_ms))
        down_at[at] = heard_ms + valid_ms
        last4[at], last6[at] = _SAID[report.health4], _SAID[report.health6]
    return _Heard(said, gone, received, since, stale_at, down_at, last4, last6)


def _known(edges: Sequence[str], state: StoreState) -> Iterator[tuple[int, Report, bool]]:
    """The report of each edge that ever reported, and whether it has vanished: then it says nothing but when."""
    for at, edge in enumerate(edges):
        report = state.reports.get(edge)
        if report is not None:
            yield at, report, False
        elif edge in state.seen:
            yield at, Report(edge=edge, epoch=0, seq=0, received_ms=state.seen[edge]), True


def _together(
    missed: Mask, silent_since: I64, continents: Sequence[str], capacities_bps: Sequence[int], rules: HealthRules
) -> Mask:
    """Which of the silent edges fell silent with so many others of their continent that they are not believed dead."""
    found = np.zeros(len(missed), dtype=np.bool_)
    if missed.sum() < rules.silence_edges:
        return found
    capacity = np.array(capacities_bps, dtype=np.int64)
    of_continent = np.array(continents, dtype=np.str_)
    for continent in sorted({continents[at] for at in np.flatnonzero(missed).tolist()}):
        members = np.flatnonzero(of_continent == continent)
        size = capacity[members]
        known = np.count_nonzero(size)
        size[size == 0] = size.sum() // known if known else 1
        quiet = missed[members]
        order = np.argsort(silent_since[members][quiet], kind="stable")
        group, sizes = members[quiet][order], size[quiet][order]
        times = silent_since[group]
        ends = np.searchsorted(times, times + _ms(rules.stale_s), side="right")
        enough = round(rules.silence_share * _MILLION) * int(size.sum())
        for begin, end in enumerate(ends.tolist()):
            if end - begin >= rules.silence_edges and int(sizes[begin:end].sum()) * _MILLION > enough:
                found[group[begin:end]] = True
    return found


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
