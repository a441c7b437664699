"""Limits on what one round moves: from where viewers stand towards where they should be, a little at a time.

The unit is a *leaving*: bits of one group that go off one edge, in the proportions in which the group's other edges
gain. Three kinds, in this order:

1. **Forced**: what stands on a pair only since its own edge may not be used (`gslb.plan.standing`) goes to its aim at
   once. A group that stands nowhere starts at its aim: nobody has been sent anywhere, so there is nothing to be moved.
2. **Relief**: while an edge, PoP or region is above its cap, leavings off it go ahead, those that save most first,
   until it is not. It may be above by today's demand, or by what was forced upon it. This ends: a node that is above
   its cap and above its load by the aim has leavings left, and each of them goes once.
3. **Unforced**: the rest, those that save most per bit first, up to ``move_share`` of all demand, less what the first
   two moved: a round in which much has to move is no time for what has not. Groups below ``small_group_bps`` move whole
   or stay. What would lift a node above its cap, and above where it is by now, is left
   out, those that save least first; what that leaves of the budget goes to the next.

What a leaving saves counts the price of full edges (`Solution.edge_price`), so that making room for others is worth
what the room is worth. Before the third kind, **the deadband**: of a group that neither of the first two touched,
shares that would change by less than it stay, and the other changes give way in proportion so that the row still sums
to 1.

The cap of a node is ``hard`` × capacity, in planned demand. All columns, no loop over groups.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from gslb.model.dispatch import DispatchRules
from gslb.plan.columns import parted, sum_before, summed
from gslb.plan.problem import F64, I64, UNLIMITED, Mask
from gslb.plan.tree import Tree

_RELIEFS: Final = 200
_EXACT_RELIEFS: Final = 20
_PASSES: Final = 4
_CUTS: Final = 60
_EXACT_CUTS: Final = 4
_STUCK: Final = 0.01
_EVEN: Final = 1e-9
_ROUNDED: Final = 1e-4
"""Loads above a cap by less than this part of it are on it: the first in floats, the second since weights are whole."""


@dataclass(frozen=True, slots=True)
class Moves:
    """What may move: columns of pairs sorted by group. ``stands_bps`` is where viewers are (0 of a group that stands
    nowhere), ``free_bps`` what of that nothing holds, ``aim_bps`` where they should be, ``price`` what a Mbps costs
    there at the margin, per month. ``demand_bps`` is of the groups."""

    group: I64
    edge: I64
    stands_bps: F64
    free_bps: F64
    aim_bps: F64
    price: F64
    demand_bps: I64


@dataclass(frozen=True, slots=True)
class Limited:
    """Where they go this round; ``waiting_bps`` would still like to. ``relief_bps`` left each edge to relieve
    something. ``forced_bps`` counts what was free and what relieved, ``moved_bps`` the rest."""

    flow_bps: F64
    moved_bps: int
    forced_bps: int
    waiting_bps: int
    relief_bps: I64


def limited(moves: Moves, tree: Tree, rules: DispatchRules) -> Limited:
    """Move what may be moved in one round. ``tree`` has the limits, in planned demand."""
    whole = _begun(moves)
    busy = summed(moves.group, np.maximum(whole.stands_bps - whole.aim_bps, 0.0), len(moves.demand_bps)) > 0
    kept = busy[moves.group]
    still = summed(moves.edge[~kept], whole.stands_bps[~kept], tree.edges)
    most = rules.move_share * float(moves.demand_bps.sum())
    work = _Work(_only(whole, busy, kept), tree, still)
    small = moves.demand_bps[busy] < min(rules.small_group_bps, most)
    freed = work.free()
    relief = work.relieve(small)
    work.settle(rules.deadband)
    budget = max(most - freed - float(relief.sum()), 0.0)
    moved = 0.0
    for _ in range(_PASSES):
        moved += work.unforced(budget - moved, small)
        if moved >= budget * (1 - _EVEN):
            break
    flow = whole.stands_bps.copy()
    flow[kept] = work.flow()
    off = np.rint(summed(moves.edge[kept], relief, tree.edges)).astype(np.int64)
    forced = freed + float(relief.sum())
    return Limited(flow, round(moved), round(forced), round(work.waiting()), off)


def unlimited(moves: Moves, tree: Tree) -> Limited:
    """Move everything at once."""
    work = _Work(_begun(moves), tree, np.zeros(tree.edges))
    freed = work.free()
    moved = work.take(work.rest())
    return Limited(work.flow(), round(moved), round(freed), 0, np.zeros(tree.edges, np.int64))


def _begun(moves: Moves) -> Moves:
    """The same with groups that stand nowhere at their aims."""
    stood = summed(moves.group, moves.stands_bps, len(moves.demand_bps)) > 0
    return replace(moves, stands_bps=np.where(stood[moves.group], moves.stands_bps, moves.aim_bps))


def _only(moves: Moves, groups: Mask, kept: Mask) -> Moves:
    """The moves of some groups, numbered anew; ``kept`` are their pairs."""
    number = np.cumsum(groups) - 1
    return Moves(
        number[moves.group[kept]],
        moves.edge[kept],
        moves.stands_bps[kept],
        moves.free_bps[kept],
        moves.aim_bps[kept],
        moves.price[kept],
        moves.demand_bps[groups],
    )


class _Work:
    """One round's moves. ``out`` and ``into`` are what each pair loses and gains by the aim, ``done`` what of ``out``
    has left; a group's gains come in as its losses leave."""

    def __init__(self, moves: Moves, tree: Tree, still_bps: F64) -> None:
        self._moves, self._tree, self._still = moves, tree, still_bps
        self._group, self._groups = moves.group, len(moves.demand_bps)
        self._stands = stands = moves.stands_bps
        self.out = np.maximum(stands - moves.aim_bps, 0.0)
        into = np.maximum(moves.aim_bps - stands, 0.0)
        gained, lost = self._by_group(into), self._by_group(self.out)
        self._mix = parted(into, gained[self._group])
        self.out *= parted(np.minimum(gained, lost), lost)[self._group]
        self.done = np.zeros(len(into))
        edge = np.arange(tree.edges)
        pop = tree.parent[edge]
        self._nodes = np.stack([edge, pop, tree.parent[pop]])  # of each edge: itself, its PoP, and what that is in
        self._cap = np.where(tree.hard_bps < UNLIMITED, tree.hard_bps, np.inf).astype(np.float64)
        self._cap[-1] = np.inf  # whatever moves, the network carries the same
        self._touched = np.zeros(self._groups, np.bool_)
        self._blocked = np.zeros(self._groups, np.bool_)  # found no room in the pass before

    def _by_group(self, column: F64) -> F64:
        return summed(self._group, column, self._groups)

    def rest(self) -> F64:
        """What has not left yet."""
        return np.maximum(self.out - self.done, 0.0)

    def waiting(self) -> float:
        """What would still like to leave."""
        return float(self.rest().sum())

    def flow(self, more: F64 | None = None) -> F64:
        """Where everyone is; with ``more`` leaving."""
        left = self.done if more is None else self.done + more
        return self._stands - left + self._mix * self._by_group(left)[self._group]

    def free(self) -> float:
        """Let leave what nothing holds; how much it is."""
        return self.take(np.minimum(self._moves.free_bps, self.out))

    def take(self, leaving: F64) -> float:
        """Let these leave; how much it is."""
        self.done = self.done + leaving
        self._touched |= self._by_group(leaving) > 0
        return float(leaving.sum())

    def _load(self, more: F64 | None = None) -> F64:
        """What each node carries; with ``more`` leaving."""
        return self._tree.loads(self._still + summed(self._moves.edge, self.flow(more), self._tree.edges))

    def _saves(self) -> F64:
        """What a Mbps saves that leaves each pair."""
        price = self._moves.price
        return price - self._by_group(self._mix * price)[self._group]

    def relieve(self, small: Mask) -> F64:
        """Let leave what relieves nodes above their caps, and what that puts above theirs; what left each pair."""
        relief = np.zeros(len(self.out))
        saves = self._saves()
        for turn in range(_RELIEFS):
            # Chains that feed each other come down to their caps ever more slowly: in the end leavings go whole
            whole = small | (turn >= _EXACT_RELIEFS)
            load = self._load()
            over = load > self._cap * (1 + _ROUNDED) + 1
            leaving = np.zeros(len(self.out))
            for node in self._nodes:
                if over[node].any():
                    leaving = np.maximum(leaving, self._off(node[self._moves.edge], over, load, saves, whole))
            if self.take(leaving) <= 0:
                break
            relief += leaving
        return relief

    def _off(self, node: I64, over: Mask, load: F64, saves: F64, whole: Mask) -> F64:
        """What must leave pairs so that nodes of one kind come down to their caps; ``node`` is of each pair."""
        leaves = np.zeros(len(node))
        rest = self.rest()
        at = np.flatnonzero(over[node] & (rest > 0))
        if not len(at):
            return leaves
        inside = over[node]  # what leaves for another edge of the same node does not relieve it
        of_both, both = np.unique(self._group[inside] * len(over) + node[inside], return_inverse=True)
        stays = np.zeros(len(node))
        stays[inside] = summed(both, self._mix[inside], len(of_both))[both]
        relieves = rest[at] * np.clip(1 - stays[at], 0, 1)
        kept = relieves > 0
        at, relieves = at[kept], relieves[kept]
        order = np.lexsort((at, -saves[at], node[at]))
        at, relieves = at[order], relieves[order]
        wanted = (load - self._cap)[node[at]]
        part = np.clip((wanted - sum_before(node[at], relieves)) / relieves, 0, 1)
        part[(part > 0) & whole[self._group[at]]] = 1
        leaves[at] = rest[at] * part
        return leaves

    def settle(self, deadband: float) -> None:
        """Apply the deadband to groups of which nothing has left."""
        demand = np.maximum(self._moves.demand_bps, 1)[self._group].astype(np.float64)
        change = self._mix * self._by_group(self.out)[self._group] - self.out
        free = ~self._touched[self._group]
        settled = np.where(free, change, 0.0)
        for _ in range(1 + int(np.bincount(self._group, minlength=1).max())):
            little = (np.abs(settled) < deadband * demand) & (settled != 0)
            if not little.any():
                break
            settled[little] = 0.0
            gain, loss = self._by_group(np.maximum(settled, 0)), self._by_group(np.maximum(-settled, 0))
            both = np.minimum(gain, loss)
            for side, total in ((settled > 0, gain), (settled < 0, loss)):
                scale = parted(both, total)[self._group]
                settled = np.where(side, settled * scale, settled)
        gain = self._by_group(np.maximum(settled, 0))[self._group]
        mix = parted(np.maximum(settled, 0), gain)
        self._mix = np.where(free, mix, self._mix)
        self.out = np.where(free, np.maximum(-settled, 0), self.out)

    def unforced(self, budget: float, small: Mask) -> float:
        """Let leave what saves most, up to ``budget``, and no node above its cap; how much it is."""
        rest, saves = self.rest(), self._saves()
        total = self._by_group(rest)
        mean = parted(self._by_group(rest * saves), total)
        whole = small[self._group]
        rank = np.where(whole, mean[self._group], saves)
        at = np.flatnonzero((rest > 0) & ~self._blocked[self._group])
        at = at[np.lexsort((at, self._group[at], -rank[at]))]
        leaving = np.zeros(len(rest))
        leaving[at] = np.clip(budget - (np.cumsum(rest[at]) - rest[at]), 0, rest[at])
        torn = small & (self._by_group(leaving) < total * (1 - _EVEN))
        leaving[torn[self._group]] = 0.0
        blocked = np.zeros(self._groups, np.bool_)
        load = self._load()
        limit = np.maximum(self._cap, load) * (1 + _EVEN) + 1
        for turn in range(_CUTS):
            excess = self._load(leaving) - limit
            over = excess > 0
            if not over.any():
                break
            keep = np.ones(self._groups)
            going = self._by_group(leaving)
            each_saves = parted(self._by_group(leaving * saves), going)
            for node in self._nodes:
                if over[node].any():
                    self._cut(keep, node[self._moves.edge], excess, leaving, going, each_saves)
            cut = keep < 1
            keep[cut & (small | (turn >= _EXACT_CUTS))] = 0.0
            leaving *= keep[self._group]
            blocked |= cut
        else:
            leaving = np.zeros(len(rest))
        moved = self.take(leaving)
        # Where much moved there may be room again
        self._blocked = (self._blocked | blocked) if moved <= _STUCK * budget else np.zeros(self._groups, np.bool_)
        return moved

    def _cut(self, keep: F64, node: I64, excess: F64, leaving: F64, total: F64, mean: F64) -> None:
        """Lower ``keep``, the part of each group's leavings that may go, so that nodes of one kind are not exceeded.
        ``total`` of each group leaves, and saves ``mean`` per Mbps."""
        inside = (excess[node] > 0) & (total > 0)[self._group]
        group, of = self._group[inside], node[inside]
        both, at = np.unique(group * len(excess) + of, return_inverse=True)
        gained = summed(at, (self._mix * total[self._group] - leaving)[inside], len(both))
        gains = gained > 0
        group, of, gained = both[gains] // len(excess), both[gains] % len(excess), gained[gains]
        order = np.lexsort((group, mean[group], of))
        group, of, gained = group[order], of[order], gained[order]
        cut = np.clip((excess[of] - sum_before(of, gained)) / gained, 0, 1)
        np.minimum.at(keep, group, 1 - cut)
