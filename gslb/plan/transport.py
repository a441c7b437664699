"""Groups spread over edges under a tree of limits at the least cost: one minimum-cost flow, and the proof of it.

A group's bits go over its arcs; an arc's first ``stay_bps`` cost ``cost``, what is above costs ``move`` more (0: all
the same). What edges carry goes up the tree, whose nodes cost by their load (`gslb.plan.tree`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from gslb.plan.bound import Climb, Routes, dual_value, potentials
from gslb.plan.flow import LARGEST_COST, LARGEST_FLOW, FlowError, cheapest_flow
from gslb.plan.problem import F64, I64
from gslb.plan.tree import Slopes, Tree, segments

RESOLUTION: Final = 5e-6
"""Costs are solved in whole steps of this part of what a Mbps costs at the least; a flow is that close to the best."""
_LEAST_TYPICAL: Final = 1e-3
"""Where groups have arcs that cost nothing, steps are of this part of what other arcs cost."""
_MARGIN: Final = 8
"""By more steps than that roundings never add up on one way through the tree."""
_FIRST_OVERLOAD: Final = 4.0
"""Overload is first tried at a price of this many times the most that a detour costs: the solver's time grows with the
ratio of costs. If nothing is overloaded so, nothing is at a higher price either."""


@dataclass(frozen=True, slots=True)
class Transport:
    """``first`` is where each group's arcs begin in the columns ``edge``, ``cost`` and ``stay_bps``, and their number
    as last element; every group with demand has an arc, Σ ``stay_bps`` of a group is at most its demand."""

    tree: Tree
    slopes: Slopes
    demand_bps: I64
    first: I64
    edge: I64
    cost: F64
    stay_bps: I64
    move: float


@dataclass(frozen=True, slots=True)
class Spread:
    """What the solver found: bits per second of each arc; the price of each node of the tree (what a Mbps more over it
    costs); what no spread can cost less than, in currency per month (the network's own cost is not in it, and a soft
    minimum that is reached counts as a gain); and when the columns stood, by the clock."""

    flow_bps: I64
    price: F64
    dual_bound: float
    built_s: float


def spread(problem: Transport, clock: Callable[[], float]) -> Spread:
    """Solve it. `FlowError` where numbers are too large for the solver."""
    tree, slopes = problem.tree, problem.slopes
    if not np.isfinite(problem.cost).all():
        raise FlowError("the cost of an arc is not a number")
    often = np.dot(np.diff(problem.first), problem.demand_bps.astype(np.float64))
    if often >= LARGEST_FLOW:
        raise FlowError(f"demand, counted once for each arc, is {often:.3g} bps; the most is {LARGEST_FLOW:.3g}")
    routes = _routes(problem)
    low = _FIRST_OVERLOAD * (_detour(problem) + slopes.beta + slopes.shortfall + problem.move)
    built_s = clock()
    tried = min(low, slopes.overload)
    flow_bps, price = _solved(problem, routes, replace(slopes, overload=tried))
    if tried < slopes.overload and _overloads(problem, flow_bps):
        flow_bps, price = _solved(problem, routes, slopes)
    arcs = len(problem.edge)
    plain = Routes(routes.group[:arcs], problem.edge, problem.cost, problem.demand_bps[routes.group[:arcs]])
    bound = dual_value(tree, _climb(problem, slopes), plain, problem.stay_bps, problem.move, problem.demand_bps, price)
    return Spread(flow_bps, price, bound, built_s)


def _solved(problem: Transport, routes: Routes, slopes: Slopes) -> tuple[I64, F64]:
    """One minimum-cost flow, in which groups and nodes have an arc for each linear piece of their cost; and prices."""
    tree = problem.tree
    climb = _climb(problem, slopes)
    least, most = _least(problem), _most_extra(problem, slopes)
    unit = _unit(problem, least, most)
    extra = np.minimum(routes.cost - least[routes.group], most + _MARGIN * unit)
    routes = routes._replace(cost=_whole(extra / unit))
    climb = climb._replace(slope=_whole(climb.slope / unit))
    supply = np.concatenate([np.zeros(tree.nodes, np.int64), problem.demand_bps])
    supply[tree.nodes - 1] = -problem.demand_bps.sum()
    flow = cheapest_flow(
        np.concatenate([routes.group + tree.nodes, climb.node]),
        np.concatenate([routes.edge, tree.parent[climb.node]]),
        np.concatenate([routes.size_bps, climb.size_bps]),
        np.concatenate([routes.cost, climb.slope]),
        supply,
    )
    taken, climbed = flow[: len(routes.edge)], flow[len(routes.edge) :]
    reach = potentials(tree, climb, climbed, routes, taken)
    arcs = len(problem.edge)
    flow_bps = taken[:arcs].copy()
    if len(taken) > arcs:
        flow_bps[np.flatnonzero(problem.stay_bps)] += taken[arcs:]
    return flow_bps, ((reach - reach[tree.parent]) * unit).astype(np.float64)


def _routes(problem: Transport) -> Routes:
    """Every arc at the cost of moving, and behind them those where something stays."""
    group = np.repeat(np.arange(len(problem.demand_bps)), np.diff(problem.first))
    stays = np.flatnonzero(problem.stay_bps) if problem.move else np.zeros(0, np.int64)
    return Routes(
        np.concatenate([group, group[stays]]),
        np.concatenate([problem.edge, problem.edge[stays]]),
        np.concatenate([problem.cost + problem.move, problem.cost[stays]]),
        np.concatenate([problem.demand_bps[group], problem.stay_bps[stays]]),
    )


def _climb(problem: Transport, slopes: Slopes) -> Climb:
    """The pieces of nodes' costs up to one bit more than can reach a node: its last piece is never full."""
    node, start, size, slope = segments(problem.tree, slopes)
    size = np.minimum(size, _reach(problem)[node] + 1 - start)
    wanted = size > 0
    return Climb(node[wanted], size[wanted], slope[wanted])


def _reach(problem: Transport) -> I64:
    """The most that each node can carry: all demand of groups with an arc to it."""
    tree = problem.tree
    edges = np.zeros(tree.edges, np.int64)
    np.add.at(edges, problem.edge, np.repeat(problem.demand_bps, np.diff(problem.first)))
    return np.minimum(tree.loads(edges), int(problem.demand_bps.sum()))


def _overloads(problem: Transport, flow_bps: I64) -> bool:
    tree = problem.tree
    load = np.zeros(tree.edges, np.int64)
    np.add.at(load, problem.edge, flow_bps)
    return bool(np.any((tree.loads(load) > tree.hard_bps)[:-1]))


def _least(problem: Transport) -> F64:
    """Of each group what its cheapest arc costs; 0 where it has none."""
    least = np.zeros(len(problem.demand_bps))
    has = np.diff(problem.first) > 0
    if has.any():
        least[has] = np.minimum.reduceat(problem.cost, problem.first[:-1][has])
    return least


def _detour(problem: Transport) -> float:
    """The most that one arc of a group costs more than another."""
    return float((problem.cost - np.repeat(_least(problem), np.diff(problem.first))).max(initial=0.0))


def _most_extra(problem: Transport, slopes: Slopes) -> float:
    """An arc that costs more than this above its group's cheapest is never used: what it spares in the tree, all levels
    together, is less. The solver is given no higher costs, since its numbers have an end."""
    levels = len(problem.tree.levels())
    return 2 * problem.move + levels * (slopes.overload + slopes.shortfall)


def _unit(problem: Transport, least: F64, most: float) -> float:
    """How much one step of the solver's whole costs is: by what a Mbps costs at the least, in the mean and for half of
    demand, whichever is less; and so that ``most`` has not too many."""
    weights = problem.demand_bps.astype(np.float64)
    cheap = np.abs(least)
    order = np.argsort(cheap)
    below = np.cumsum(weights[order])
    typical = 0.0
    if len(below) and below[-1]:
        half = cheap[order[np.searchsorted(below, below[-1] / 2)]]
        typical = min(float(half), float(np.average(cheap, weights=weights)))
    if not typical:
        costs = np.abs(problem.cost[problem.cost != 0])
        typical = _LEAST_TYPICAL * float(np.median(costs)) if len(costs) else most
    nodes = problem.tree.nodes + len(weights) + 1
    return max(typical * RESOLUTION, most * nodes / LARGEST_COST) or 1.0


def _whole(steps: F64) -> I64:
    return np.rint(steps).astype(np.int64)
