"""Backups: where the share of a primary goes that dies, chosen so that any one PoP may be lost.

Servers give a dead primary's share to the first backup of its row that lives; where no backup lives, the primaries that
are left share it, and where those are less than half of the row, local policy decides. `check` reckons exactly that for
the loss of each PoP, with whatever is in it, against the capacity of edges and PoPs.

`choose` takes for each group the cheapest candidate in a PoP of none of its primaries that has room when those PoPs are
lost: the largest groups first, all groups at once, each that finds no room going on to its next candidate. For whom
there is room nowhere it takes the candidate with most. The second backup and further ones, for when the first is dead
too, come from other PoPs still, by cost; their room is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from gslb.plan.columns import place_in, sum_before, summed
from gslb.plan.problem import F64, I64, Mask, Sites
from gslb.plan.standing import Pairs

_CHUNKS: Final = 8
_GBPS: Final = 1e9


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What would not fit if a PoP were lost: ``moving_bps`` would leave it, ``over_bps`` of that is above the capacity
    of where it goes (``edges`` tells of each how much), and for ``local_bps`` local policy would have to decide."""

    pop: str
    moving_bps: int
    over_bps: int
    local_bps: int
    edges: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        told = [f"without {self.pop} {self.moving_bps / _GBPS:.1f} Gbps move"]
        if self.over_bps:
            named = ", ".join(f"{edge} {bps / _GBPS:.1f}" for edge, bps in self.edges)
            told.append(f"{self.over_bps / _GBPS:.1f} Gbps of it do not fit" + (f" ({named})" if named else ""))
        if self.local_bps:
            told.append(f"{self.local_bps / _GBPS:.1f} Gbps have no backup")
        return "; ".join(told)


@dataclass(frozen=True, slots=True)
class Planned:
    """What each pair carries, and which of them are primaries, also of groups that ask for nothing."""

    groups: int
    bps: F64
    primary: Mask


def choose(sites: Sites, pairs: Pairs, planned: Planned, count: int, rank: I64) -> I64:
    """``count`` backups of each group, shape (groups, count): positions of pairs, -1 none. ``sites`` have the
    capacities, in planned demand; ``rank`` of edges decides ties."""
    found = np.full((planned.groups, count), -1, np.int64)
    if count and len(pairs.edge):
        work = _Choice(sites, pairs, planned, rank)
        found[:, 0] = work.first()
        for at in range(1, count):
            found[:, at] = work.further(found[:, :at])
    return found


def check(sites: Sites, pairs: Pairs, planned: Planned, backups: I64) -> tuple[Shortfall, ...]:
    """The PoPs without which something would not fit, worst first."""
    groups, planned_bps = planned.groups, planned.bps
    loss = _losses(sites, pairs, planned)
    heir = np.full(len(loss.group), -1, np.int64)
    for column in backups.T[::-1]:
        of = column[loss.group]
        lives = (
            (of >= 0) & (sites.pop_of_edge[pairs.edge[of]] != loss.pop) if len(pairs.edge) else np.zeros(len(of), bool)
        )
        heir = np.where(lives, of, heir)
    pops, edges = len(sites.pops), len(sites.edges)
    extra = np.zeros((pops, edges))
    has = heir >= 0
    np.add.at(extra, (loss.pop[has], pairs.edge[heir[has]]), loss.bps[has])
    total = summed(pairs.group, planned_bps, groups)[loss.group]
    local = ~has & (2 * (total - loss.bps) < total)
    _spread(extra, sites, pairs, planned_bps, loss, np.flatnonzero(~has & ~local), total)
    load = summed(pairs.edge, planned_bps, edges)
    over = _over(load, extra, sites.edge_capacity_bps)
    in_pop = np.zeros((pops, pops))
    np.add.at(in_pop.T, sites.pop_of_edge, extra.T)
    edges_over = np.zeros((pops, pops))
    np.add.at(edges_over.T, sites.pop_of_edge, over.T)
    pops_over = _over(summed(sites.pop_of_edge, load, pops), in_pop, sites.pop_capacity_bps)
    short = np.maximum(edges_over, pops_over).sum(axis=1)
    moving, without = summed(loss.pop, loss.bps, pops), summed(loss.pop[local], loss.bps[local], pops)
    worst = [at for at in np.argsort(-(short + without), kind="stable").tolist() if short[at] + without[at] >= 1]
    return tuple(
        Shortfall(sites.pops[at], round(moving[at]), round(short[at]), round(without[at]), _named(sites, over[at]))
        for at in worst
    )


@dataclass(frozen=True, slots=True)
class _Losses:
    """What each group loses with each PoP; sorted by group, then by PoP."""

    group: I64
    pop: I64
    bps: F64


def _losses(sites: Sites, pairs: Pairs, planned: Planned) -> _Losses:
    used = np.flatnonzero(planned.primary)
    pops = max(len(sites.pops), 1)
    both, at = np.unique(pairs.group[used] * pops + sites.pop_of_edge[pairs.edge[used]], return_inverse=True)
    return _Losses(both // pops, both % pops, summed(at, planned.bps[used], len(both)))


def _spread(extra: F64, sites: Sites, pairs: Pairs, planned_bps: F64, loss: _Losses, rows: I64, total: F64) -> None:
    """Add to ``extra`` what has no heir and goes over the primaries that are left."""
    first = np.searchsorted(pairs.group, loss.group[rows])
    sizes = np.searchsorted(pairs.group, loss.group[rows], side="right") - first
    row = np.repeat(rows, sizes)
    at = np.repeat(first, sizes) + place_in(np.repeat(np.arange(len(rows)), sizes))
    lives = (sites.pop_of_edge[pairs.edge[at]] != loss.pop[row]) & (planned_bps[at] > 0)
    row, at = row[lives], at[lives]
    np.add.at(extra, (loss.pop[row], pairs.edge[at]), loss.bps[row] * planned_bps[at] / (total[row] - loss.bps[row]))


def _over(load: F64, extra: F64, capacity: I64) -> F64:
    """What of ``extra`` is above capacity, for each loss; what was above before does not count."""
    return np.clip(load + extra - capacity, 0, extra)


def _named(sites: Sites, over: F64) -> tuple[tuple[str, int], ...]:
    found = [(round(bps), sites.edges[at]) for at, bps in enumerate(over.tolist()) if bps >= 1]
    return tuple((edge, bps) for bps, edge in sorted(found, key=lambda each: (-each[0], each[1])))


class _Choice:
    """One choice for all groups. ``room`` is what edges and PoPs can take when each PoP is lost, shape (PoPs,
    nodes)."""

    def __init__(self, sites: Sites, pairs: Pairs, planned: Planned, rank: I64) -> None:
        self._pairs, self._groups, self._rank = pairs, planned.groups, rank
        self._pop = sites.pop_of_edge[pairs.edge]
        self._pops = len(sites.pops)
        self._free = ~planned.primary
        self._loss = _losses(sites, pairs, planned)
        self._of_group = np.searchsorted(self._loss.group, np.arange(planned.groups + 1))
        self._shares_pop = np.isin(pairs.group * self._pops + self._pop, self._loss.group * self._pops + self._loss.pop)
        load = summed(pairs.edge, planned.bps, len(sites.edges))
        node = np.concatenate([load, summed(sites.pop_of_edge, load, self._pops)])
        capacity = np.concatenate([sites.edge_capacity_bps, sites.pop_capacity_bps])
        self._room = np.repeat((capacity - node)[None, :], max(self._pops, 1), axis=0)
        self._nodes = np.stack([pairs.edge, len(sites.edges) + self._pop])

    def first(self) -> I64:
        """The first backup of each group."""
        options = self._options(self._shares_pop.astype(np.int64))
        begin = np.searchsorted(self._pairs.group[options], np.arange(self._groups + 1))
        chosen = np.full(self._groups, -1, np.int64)
        demand = summed(self._loss.group, self._loss.bps, self._groups)
        order = np.lexsort((np.arange(self._groups), -demand))
        last = waiting = order[begin[order] < begin[order + 1]]
        turn = begin.copy()
        while True:
            waiting = waiting[turn[waiting] < begin[waiting + 1]]
            waiting = waiting[~self._shares_pop[options[turn[waiting]]]]
            if not len(waiting):
                break
            taken = options[turn[waiting]]
            fits = self._take(waiting, taken)
            chosen[waiting[fits]] = taken[fits]
            waiting = waiting[~fits]
            turn[waiting] += 1
        last = last[chosen[last] < 0]
        for part in np.array_split(last, _CHUNKS):
            self._roomiest(part, options, begin, chosen)
        return chosen

    def further(self, before: I64) -> I64:
        """The next backup of each group after those ``before``, shape (groups, some)."""
        had = before[before >= 0]
        keys = self._pairs.group * self._pops + self._pop
        again = np.isin(keys, keys[had])
        free = self._free.copy()
        free[had] = False
        self._free = free
        options = self._options(2 * again + self._shares_pop)
        begin = np.searchsorted(self._pairs.group[options], np.arange(self._groups + 1))
        has = np.flatnonzero(begin[:-1] < begin[1:])
        found = np.full(self._groups, -1, np.int64)
        found[has] = options[begin[:-1][has]]
        return found

    def _options(self, penalty: I64) -> I64:
        """The pairs that may be backups, by group, penalty, cost and id."""
        at = np.flatnonzero(self._free)
        pairs = self._pairs
        return at[np.lexsort((self._rank[pairs.edge[at]], pairs.cost[at], penalty[at], pairs.group[at]))]

    def _entries(self, groups: I64, taken: I64) -> tuple[I64, I64, I64]:
        """The losses of some groups, in their order: which group of them, its pair, and the row of the loss."""
        sizes = self._of_group[groups + 1] - self._of_group[groups]
        which = np.repeat(np.arange(len(groups)), sizes)
        return which, taken[which], self._of_group[groups][which] + place_in(which)

    def _take(self, groups: I64, taken: I64) -> Mask:
        """Give each group, in order of importance, the pair it wants, if there is room; tell which got it."""
        which, pair, row = self._entries(groups, taken)
        lost, bps = self._loss.pop[row], self._loss.bps[row]
        fits = np.ones(len(groups), np.bool_)
        width = self._room.shape[1]
        for node in self._nodes:
            cell = lost * width + node[pair]
            order = np.lexsort((which, cell))
            room = self._room.reshape(-1)[cell[order]]
            full = sum_before(cell[order], bps[order]) + bps[order] > room
            fits[which[order][full]] = False
        self._give(pair, row, fits[which])
        return fits

    def _give(self, pair: I64, row: I64, given: Mask) -> None:
        for node in self._nodes:
            np.add.at(self._room, (self._loss.pop[row[given]], node[pair[given]]), -self._loss.bps[row[given]])

    def _roomiest(self, groups: I64, options: I64, begin: I64, chosen: I64) -> None:
        """Give each of some groups the option with most room, where it has losses."""
        sizes = begin[groups + 1] - begin[groups]
        of = np.repeat(np.arange(len(groups)), sizes)
        option = options[begin[groups][of] + place_in(of)]
        which, pair, row = self._entries(groups[of], option)
        room = np.full(len(of), np.inf)
        for node in self._nodes:
            np.minimum.at(room, which, self._room[self._loss.pop[row], node[pair]])
        order = np.lexsort((np.arange(len(of)), -room, self._shares_pop[option], of))
        best = order[np.searchsorted(of[order], np.arange(len(groups)))]
        chosen[groups] = option[best]
        which, pair, row = self._entries(groups, option[best])
        self._give(pair, row, np.ones(len(pair), np.bool_))
