"""Where viewers stand before a round: a plan's rows on the arcs of today, and what can't stay where it was.

A row's share on an edge that its group may not use any more has moved already, by the servers' own rule: a dead
primary's share is with the first backup of the row that can be used, or, where there is none, spread over the primaries
that are left. That is where it stands now, and it is *free*: no limit holds it there.

A group without a row of its own stands where the coarser row has it that servers look up for it. A group that no row
speaks for stands nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gslb.model.plan import DRAIN, FENCE, PLAN_SUM, REMOVED, Forced, Plan, row_keys
from gslb.plan.columns import parted, summed
from gslb.plan.problem import F64, I64, GroupKey, Groups, Mask, Sites

_Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Which edges may serve which groups now: columns of equal length, sorted by group and then by edge."""

    group: I64
    edge: I64
    cost: F64


@dataclass(frozen=True, slots=True)
class Standing:
    """``share`` of each pair is the part of its group's demand that is there, ``free`` what of that came from elsewhere
    since the plan; of each group ``share`` sums to 1, or to 0 where it stands nowhere. ``row`` is the position of the
    row that speaks for the group, -1 none. ``forced`` tells what had to leave each edge, and why."""

    share: F64
    free: F64
    row: I64
    forced: tuple[Forced, ...]


def usable_pairs(group: I64, edge: I64, cost: F64, usable: Mask) -> Pairs:
    """The candidates with edges that may be used, in order."""
    kept = np.flatnonzero(usable[edge])
    kept = kept[np.lexsort((edge[kept], group[kept]))]
    return Pairs(group[kept], edge[kept], cost[kept])


def stand(plan: Plan, sites: Sites, leaving: Sequence[str], groups: Groups, pairs: Pairs) -> Standing:
    """Put a plan's rows on today's pairs. ``leaving`` tells of each edge why nothing may stay there, empty: it may."""
    rows: dict[_Key, int] = {row[:4]: at for at, row in enumerate(plan.rows)}
    of_group = np.array([_row_of(key, rows) for key in groups.keys], dtype=np.int64)
    had = np.flatnonzero(of_group >= 0)
    names: dict[str, int] = {name: at for at, name in enumerate(sites.edges)}
    spoken = [plan.rows[at] for at in of_group[had].tolist()]
    primaries = _entries(had, [[edge for edge, _ in row.primaries] for row in spoken], names)
    weight = np.array([each for row in spoken for _, each in row.primaries], dtype=np.float64) / PLAN_SUM
    backups = _entries(had, [row.backups for row in spoken], names)
    count, edges = len(groups.keys), max(len(names), 1)
    keys = pairs.group * edges + pairs.edge
    at, there = _places(keys, primaries, edges, len(sites.edges))
    share = summed(at[there], weight[there], len(keys))
    lost = summed(primaries.group[~there], weight[~there], count)
    inherited, left_over = _inherited(keys, backups, edges, len(sites.edges), lost)
    remaining = summed(pairs.group, share, count)
    grow = parted(left_over, remaining)
    free = inherited + share * grow[pairs.group]
    share = share + free
    total = summed(pairs.group, share, count)[pairs.group]
    share, free = (parted(each, total) for each in (share, free))
    gone = weight * groups.demand_bps[primaries.group]
    forced = _forced(primaries.edge[~there], gone[~there], list(names), len(sites.edges), leaving)
    return Standing(share, free, of_group, forced)


def _row_of(key: GroupKey, rows: Mapping[_Key, int]) -> int:
    service, *view = key
    return next((rows[(service, *each)] for each in row_keys(*view) if (service, *each) in rows), -1)


@dataclass(frozen=True, slots=True)
class _Entries:
    """Edges that rows name, in order; an edge that is not among the sites has a position past theirs."""

    group: I64
    edge: I64


def _entries(group: I64, named: Sequence[Sequence[str]], names: dict[str, int]) -> _Entries:
    sizes = np.array([len(each) for each in named], dtype=np.int64)
    edge = [names.setdefault(name, len(names)) for each in named for name in each]
    return _Entries(np.repeat(group, sizes), np.array(edge, dtype=np.int64))


def _places(keys: I64, entries: _Entries, edges: int, known: int) -> tuple[I64, Mask]:
    """Of each entry the position of its pair, and whether there is one."""
    if not len(keys):
        return np.zeros(len(entries.edge), np.int64), np.zeros(len(entries.edge), np.bool_)
    wanted = entries.group * edges + entries.edge
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return at, (entries.edge < known) & (keys[at] == wanted)


def _inherited(keys: I64, backups: _Entries, edges: int, known: int, lost: F64) -> tuple[F64, F64]:
    """What each pair inherits as the first backup that can be used, and what of each group nobody inherits."""
    at, there = _places(keys, backups, edges, known)
    heirs, first = np.unique(backups.group[there], return_index=True)
    given = summed(at[there][first], lost[heirs], len(keys))
    rest = lost.copy()
    rest[heirs] = 0.0
    return given, rest


def _forced(edge: I64, bps: F64, names: Sequence[str], known: int, leaving: Sequence[str]) -> tuple[Forced, ...]:
    """What had to leave, by edge. A pair of a living edge that is not there any more counts as fenced, whether it is a
    fence or the group has better candidates."""
    total = summed(edge, bps, len(names))
    found = []
    for at in np.unique(edge).tolist():
        reason = REMOVED if at >= known else leaving[at] or FENCE
        found.append(Forced(names[at], reason, round(float(total[at]))))
    return tuple(sorted(found))


def leaving_of(sites: Sites, leaving: Sequence[str]) -> tuple[str, ...]:
    """Why nothing may stay on each edge: ``leaving``, and drain where an edge is not usable for no reason given."""
    usable = np.ones(len(sites.edges), np.bool_) if sites.usable is None else sites.usable
    return tuple(why or ("" if may else DRAIN) for why, may in zip(leaving, usable.tolist(), strict=True))
