"""From shares to rows of a plan: whole weights that sum to `PLAN_SUM`, and what becomes of groups that fell silent.

**Weights** by largest remainder: each share × 65535 rounded down, and what is missing one each to the largest
remainders, ties to the edge whose id is first. So a share that did not change gives the weight that it was made of. At
most 16 edges, the heaviest; shares below 1 / 65535 vanish.

**Silent groups.** A row of the plan before whose group asks for nothing now stays as it is, with ``demand_bps`` 0: one
silent bucket must not throw viewers back to local policy and out of caches. It stays as long as its service is planned
for and each of its edges may serve some group of the same service and country; since fences go by country, a row that
stays breaks none. Where the demand of its country is told without regions (or ISPs) by now, a row of a region (or of an
ISP) goes: servers would find it before the one that demand moves.

What a row had in the plan before and does not stay (its service is renamed or not planned for any more, nobody of its
country asks) is told among the forced moves, off each of its edges: else servers would take it for demand that was
moved, and refuse this plan and each that follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from gslb.model.plan import MAX_EDGES, PLAN_SUM, REMOVED, Forced, PlanRow, row_keys
from gslb.plan.columns import parted, place_in, summed
from gslb.plan.problem import F64, I64, Groups, Sites
from gslb.plan.published import MAX_ROWS
from gslb.plan.standing import Pairs

MOST_ROWS: Final = MAX_ROWS // 2
"""Silent rows stay only while there are no more than so many rows in all: a plan's text is limited too."""
_FINE: Final = 1e-6
"""Remainders nearer than this are equal: floats that went the long way round."""


def ranks(edges: Sequence[str]) -> I64:
    """The place of each edge among the sorted ids: what ties go by."""
    rank = np.empty(len(edges), np.int64)
    rank[np.argsort(np.array(edges, dtype=np.str_), kind="stable")] = np.arange(len(edges))
    return rank


def weights(pairs: Pairs, amount: F64, groups: int, rank: I64) -> I64:
    """Whole weights of pairs in proportion to ``amount``: of each group they sum to `PLAN_SUM`, or to 0 where nothing
    of it is above 0. ``rank`` is of the edges."""
    tie = rank[pairs.edge]
    order = np.lexsort((tie, -amount, pairs.group))
    kept = np.zeros(len(amount), np.bool_)
    kept[order] = place_in(pairs.group[order]) < MAX_EDGES
    amount = np.where(kept, amount, 0.0)
    exact = parted(amount, summed(pairs.group, amount, groups)[pairs.group]) * PLAN_SUM
    whole = np.floor(exact + _FINE)
    missing = np.rint(summed(pairs.group, exact - whole, groups)).astype(np.int64)
    remainder = np.where(amount > 0, np.rint((exact - whole) / _FINE), -np.inf)
    order = np.lexsort((tie, -remainder, pairs.group))
    whole[order] += place_in(pairs.group[order]) < missing[pairs.group[order]]
    return whole.astype(np.int64)


def rows_of(sites: Sites, groups: Groups, pairs: Pairs, weight: I64, backups: I64, rank: I64) -> tuple[PlanRow, ...]:
    """The rows of groups that have weights, in the groups' order: primaries heaviest first, ties by id, and backups in
    order. ``backups``, shape (groups, backups), are positions of pairs, -1 none."""
    count = len(groups.keys)
    used = np.flatnonzero(weight)
    used = used[np.lexsort((rank[pairs.edge[used]], -weight[used], pairs.group[used]))]
    edge = np.array(sites.edges, dtype=np.object_)[pairs.edge]
    first = np.searchsorted(pairs.group[used], np.arange(count + 1)).tolist()
    primaries = list(zip(edge[used].tolist(), weight[used].tolist(), strict=True))
    costs = np.round(pairs.cost, 6)
    primary_costs = costs[used].tolist()
    named = np.where(backups >= 0, edge[backups], "") if len(edge) else np.full(backups.shape, "", np.object_)
    backup_costs = costs[backups].tolist() if len(costs) else []
    found = []
    for at, (key, demand, heirs) in enumerate(
        zip(groups.keys, groups.demand_bps.tolist(), named.tolist(), strict=True)
    ):
        begin, end = first[at], first[at + 1]
        if begin == end:
            continue
        names = tuple(name for name in heirs if name)
        cost = (*primary_costs[begin:end], *backup_costs[at][: len(names)])
        found.append(PlanRow(*key, tuple(primaries[begin:end]), names, demand, cost))
    return tuple(found)


def silent(
    before: Iterable[PlanRow], made: Sequence[PlanRow], sites: Sites, groups: Groups, pairs: Pairs
) -> tuple[list[PlanRow], list[Forced]]:
    """The rows of the plan ``before`` that stay without demand, as above, those with demand last time first where there
    would be more than `MOST_ROWS`; and what those that do not stay had on their edges."""
    spoken = {row[:4] for row in made} | set(groups.keys)
    left = [row for row in before if row[:4] not in spoken]
    if not left:
        return [], []
    left.sort(key=lambda row: row.demand_bps, reverse=True)
    room = max(MOST_ROWS - len(made), 0)
    allowed = _allowed(sites, groups, pairs)
    loud = _Loud(made)
    kept: list[PlanRow] = []
    gone: dict[str, int] = {}
    for row in left:
        may = allowed.get((row.service, row.country), frozenset())
        if len(kept) < room and all(edge in may for edge, _ in row.primaries) and not loud.replaces(row):
            kept.append(
                row._replace(backups=tuple(edge for edge in row.backups if edge in may), demand_bps=0, costs=())
            )
        elif row.demand_bps:
            for edge, weight in row.primaries:
                gone[edge] = gone.get(edge, 0) + row.demand_bps * weight
    return kept, [Forced(edge, REMOVED, bps // PLAN_SUM) for edge, bps in gone.items()]


class _Loud:
    """The rows that demand is told of."""

    def __init__(self, made: Iterable[PlanRow]) -> None:
        self._keys = {row[:4] for row in made if row.demand_bps}
        self._with_regions = {key[:2] for key in self._keys if key[2]}
        self._with_isps = {key[:2] for key in self._keys if key[3]}

    def replaces(self, row: PlanRow) -> bool:
        """Whether viewers of a row that had no demand are told of in a coarser one now. Where it had some in the plan
        before, it is left to the next."""
        service, country, region, isp = row[:4]
        finer = (region and row[:2] not in self._with_regions) or (isp and row[:2] not in self._with_isps)
        if not finer or row.demand_bps:
            return False
        coarser = {(service, *each) for each in row_keys(country, region, isp)} - {row[:4]}
        return not coarser.isdisjoint(self._keys)


def _allowed(sites: Sites, groups: Groups, pairs: Pairs) -> dict[tuple[str, str], frozenset[str]]:
    """The edges that may serve each service and country."""
    places: dict[tuple[str, str], int] = {}
    of_group = np.array([places.setdefault((key.service, key.country), len(places)) for key in groups.keys], np.int64)
    found: list[set[str]] = [set() for _ in places]
    both = np.unique(of_group[pairs.group] * len(sites.edges) + pairs.edge)
    for at, edge in zip((both // len(sites.edges)).tolist(), (both % len(sites.edges)).tolist(), strict=True):
        found[at].add(sites.edges[edge])
    return {key: frozenset(edges) for key, edges in zip(places, found, strict=True)}
