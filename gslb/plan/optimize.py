"""Which edge should serve whom: the production form of the problem, solved as one minimum-cost flow.

Groups go to edges at a cost per Mbps·month (`gslb.plan.costs`); what edges, PoPs, regions and the network carry costs
nothing to the knee, ``beta`` more to the hard limit, ``overload`` more above; a soft minimum that is missed costs
``shortfall``; what stays where it was costs ``churn`` / 2 less than its arc and what moves ``churn`` / 2 more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gslb.model.dispatch import DispatchRules
from gslb.plan.costs import BPS_PER_MBPS
from gslb.plan.problem import F64, I64, UNLIMITED, Arcs, Groups, Sites
from gslb.plan.transport import Transport, spread
from gslb.plan.tree import Slopes, Tree, tree_of


@dataclass(frozen=True, slots=True)
class Level:
    """Columns of edges, PoPs, regions, or of the network alone: load, what of it is above the hard limit, the price
    that a Mbps more over the node costs, and what a Mbps more of its capacity would save (both currency per
    Mbps·month)."""

    load_bps: I64
    overload_bps: I64
    price: F64
    worth: F64


@dataclass(frozen=True, slots=True)
class Parts:
    """What a solution costs, in currency per month: routes, loads above knees, above hard limits, soft minima missed,
    and bits that moved. ``churn`` counts a moved bit at the full churn price and a stayed one at none, which is the
    same as half each but for a constant."""

    routes: float
    knee: float
    overload: float
    shortfall: float
    churn: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.routes + self.knee + self.overload + self.shortfall + self.churn


@dataclass(frozen=True, slots=True)
class Solution:
    """What the solver found. ``flow_bps`` is of the arcs, 0 where the edge is not usable; each group's sum is its
    demand exactly, or 0 where no arc of it is usable: that is in ``unserved_bps``. No solution costs less than
    ``dual_bound`` (currency per month, as `Parts.total`; a float's last digits aside). ``edge_price`` is what a Mbps
    more at an edge costs through all levels: a group's bits are where cost + churn + ``edge_price`` is least."""

    flow_bps: I64
    unserved_bps: I64
    edges: Level
    pops: Level
    regions: Level
    network: Level
    edge_price: F64
    moved_bps: int
    parts: Parts
    dual_bound: float
    build_s: float
    solve_s: float

    @property
    def objective(self) -> float:
        """What it costs in currency per month, all parts."""
        return self.parts.total


def optimize(sites: Sites, groups: Groups, arcs: Arcs, rules: DispatchRules, clock: Callable[[], float]) -> Solution:
    """Solve it: `gslb.plan.flow.FlowError` where numbers are too large for the solver.

    ``clock`` tells seconds for ``build_s`` and ``solve_s``.
    """
    begun = clock()
    count = len(groups.demand_bps)
    usable = np.ones(len(sites.edges), np.bool_) if sites.usable is None else sites.usable
    kept = np.flatnonzero(usable[arcs.edge])
    group = arcs.group[kept]
    first = np.searchsorted(group, np.arange(count + 1)).astype(np.int64)
    served = np.where(np.diff(first) > 0, groups.demand_bps, 0)
    stay = stays(arcs, groups.demand_bps)[kept]
    slopes = Slopes(rules.shortfall, rules.beta, max(rules.overload, rules.beta))
    tree = tree_of(sites, rules.knee, rules.hard)
    cost = arcs.cost[kept]
    found = spread(Transport(tree, slopes, served, first, arcs.edge[kept], cost, stay, rules.churn), clock)
    solved = clock()
    flow = np.zeros(len(arcs.edge), np.int64)
    flow[kept] = found.flow_bps
    load = np.zeros(len(sites.edges), np.int64)
    np.add.at(load, arcs.edge, flow)
    had = np.zeros(count, np.bool_)
    had[arcs.group[arcs.share > 0]] = True
    moved = int(np.maximum(found.flow_bps - stay, 0)[had[group]].sum())
    loads = tree.loads(load)
    new = int(served[~had].sum())
    parts = _parts(tree, slopes, loads, float(np.dot(found.flow_bps, cost)), rules.churn * moved)
    own = _network_cost(tree, slopes, loads)
    bound = found.dual_bound + own - rules.churn * new / BPS_PER_MBPS
    levels = _levels(tree, rules, loads, found.price)
    return Solution(
        flow, groups.demand_bps - served, *levels, edge_price=tree.down(found.price), moved_bps=moved, parts=parts,
        dual_bound=bound, build_s=found.built_s - begun, solve_s=solved - found.built_s,
    )  # fmt: skip


def stays(arcs: Arcs, demand_bps: I64) -> I64:
    """Of each arc, the bits that stay where they were: share × today's demand, rounded down; never more than all."""
    share = np.maximum(arcs.share, 0.0)
    total = np.bincount(arcs.group, share, len(demand_bps))[arcs.group]
    stay = np.floor(share / np.maximum(total, 1.0) * demand_bps[arcs.group]).astype(np.int64)
    over = np.zeros(len(demand_bps), np.int64)
    np.add.at(over, arcs.group, stay)
    above = np.maximum(over - demand_bps, 0)[arcs.group]  # a float's last digits
    left: I64 = np.maximum(stay - above, 0)
    return left


def _parts(tree: Tree, slopes: Slopes, loads: I64, routes: float, churn: float) -> Parts:
    def above(limit: I64) -> float:
        return float(np.maximum(loads - limit, 0).sum(dtype=np.float64)) / BPS_PER_MBPS

    over = above(tree.hard_bps)
    missing = float(np.maximum(tree.minimum_bps - loads, 0).sum(dtype=np.float64)) / BPS_PER_MBPS
    return Parts(
        routes / BPS_PER_MBPS,
        slopes.beta * (above(tree.knee_bps) - over),
        slopes.overload * over,
        slopes.shortfall * missing,
        churn / BPS_PER_MBPS,
    )


def _network_cost(tree: Tree, slopes: Slopes, loads: I64) -> float:
    """What the network's own limits cost: given by demand, and so no matter of the solver's. The solver counts what a
    soft minimum saves, not what is missing: all minima are added here."""
    root = slice(tree.nodes - 1, tree.nodes)
    limits = (tree.capacity_bps[root], tree.knee_bps[root], tree.hard_bps[root], tree.minimum_bps[root])
    alone = Tree(0, 0, 0, np.zeros(1, np.int64), *limits)
    minima = slopes.shortfall * float(tree.minimum_bps[:-1].sum(dtype=np.float64)) / BPS_PER_MBPS
    return _parts(alone, slopes, loads[root], 0.0, 0.0).total + minima


def _levels(tree: Tree, rules: DispatchRules, loads: I64, price: F64) -> tuple[Level, Level, Level, Level]:
    over = np.maximum(loads - tree.hard_bps, 0)
    price = price.copy()
    above = loads[-1] >= np.array([tree.knee_bps[-1], tree.hard_bps[-1]])
    price[-1] = rules.overload if above[1] else rules.beta if above[0] else 0.0
    worth = np.where(
        tree.capacity_bps < UNLIMITED,
        rules.knee * np.clip(price, 0, rules.beta) + rules.hard * np.maximum(price - rules.beta, 0),
        0.0,
    )
    cuts = [*tree.levels(), (tree.nodes - 1, tree.nodes)]
    one, two, three, four = (Level(loads[a:b], over[a:b], price[a:b], worth[a:b]) for a, b in cuts)
    return one, two, three, four
