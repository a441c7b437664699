"""Prices of a flow, and what they prove: no flow is cheaper than the dual value of any prices.

Prices are differences of potentials on the graph of exchanges: what a Mbps more at a node costs until it is through the
network, where it may push other bits from edge to edge through groups that use both.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from gslb.plan.costs import BPS_PER_MBPS
from gslb.plan.problem import F64, I64
from gslb.plan.tree import Tree

_FAR: Final = 1 << 61


class Routes(NamedTuple):
    """Arcs from groups to edges, columns of one length; costs are whole numbers for the solver, else currency."""

    group: I64
    edge: I64
    cost: I64 | F64
    size_bps: I64


class Climb(NamedTuple):
    """Arcs from nodes of the tree to their parents, one for each linear piece; slopes are of one kind with costs."""

    node: I64
    size_bps: I64
    slope: I64 | F64


def potentials(tree: Tree, climb: Climb, climbed_bps: I64, routes: Routes, taken_bps: I64) -> I64:
    """What one unit more at each node costs until it is through the network: shortest ways by Bellman and Ford in the
    residual graph of a flow that is optimal for these whole costs."""
    up = np.full(tree.nodes, _FAR)  # what one more to the parent costs
    spare = climbed_bps < climb.size_bps
    np.minimum.at(up, climb.node[spare], climb.slope[spare].astype(np.int64))
    saved = np.full(tree.nodes, -_FAR)  # what one less saves
    used = climbed_bps > 0
    np.maximum.at(saved, climb.node[used], climb.slope[used].astype(np.int64))
    left, first, reached, step = _exchanges(tree, routes, taken_bps)
    reach = np.full(tree.nodes, _FAR)
    reach[-1] = 0
    while True:
        before = reach.copy()
        for begin, end in reversed(tree.levels()):
            way = up[begin:end] + np.minimum(reach[tree.parent[begin:end]], _FAR)
            reach[begin:end] = np.minimum(reach[begin:end], way)
        if len(left):
            reach[left] = np.minimum(reach[left], np.minimum.reduceat(step + reach[reached], first))
        for begin, end in tree.levels():
            carrying = np.flatnonzero(saved[begin:end] > -_FAR) + begin
            np.minimum.at(reach, tree.parent[carrying], reach[carrying] - saved[carrying])
        if np.array_equal(reach, before):
            return reach


def dual_value(
    tree: Tree, climb: Climb, arcs: Routes, stay_bps: I64, move: float, demand_bps: I64, price: F64
) -> float:
    """The least that groups and nodes can cost where load costs ``price`` at each node, in currency per month: a lower
    bound for every flow, by weak duality. ``arcs`` are sorted by group; the network's own cost is not in it.

    A group pays for each of its bits what its best move costs, less what staying saves where it is cheaper.
    """
    begin = np.flatnonzero(np.diff(arcs.group, prepend=-1))
    paid = arcs.cost + tree.down(price)[arcs.edge]
    moving = np.zeros(len(demand_bps))
    if len(begin):
        moving[arcs.group[begin]] = np.minimum.reduceat(paid, begin) + move
    groups = np.dot(moving, demand_bps.astype(np.float64))
    if move:
        groups -= np.dot(np.maximum(moving[arcs.group] - paid, 0.0), stay_bps.astype(np.float64))
    nodes = np.dot(np.maximum(price[climb.node] - climb.slope, 0.0), climb.size_bps.astype(np.float64))
    return float(groups - nodes) / BPS_PER_MBPS


def _exchanges(tree: Tree, routes: Routes, taken_bps: I64) -> tuple[I64, I64, I64, I64]:
    """The least that moving a unit costs from an edge to another: the edges left, where the exchanges of each begin,
    and the edge reached and the cost of each exchange."""
    cost = routes.cost.astype(np.int64)
    spare = np.flatnonzero(taken_bps < routes.size_bps)
    spare = spare[np.argsort(routes.group[spare], kind="stable")]
    counts = np.bincount(routes.group[spare], minlength=int(routes.group.max(initial=-1)) + 1)
    begin = np.cumsum(counts) - counts
    used = np.flatnonzero(taken_bps)
    often = counts[routes.group[used]]
    leaving = np.repeat(used, often)
    nth = np.arange(len(leaving)) - np.repeat(np.cumsum(often) - often, often)
    taking = spare[np.repeat(begin[routes.group[used]], often) + nth]
    apart = routes.edge[leaving] != routes.edge[taking]
    leaving, taking = leaving[apart], taking[apart]
    key = routes.edge[leaving] * tree.edges + routes.edge[taking]
    order = np.argsort(key, kind="stable")
    key, step = key[order], (cost[taking] - cost[leaving])[order]
    pairs = np.flatnonzero(np.diff(key, prepend=-1))
    least = np.minimum.reduceat(step, pairs) if len(pairs) else step
    left = key[pairs] // tree.edges
    first = np.flatnonzero(np.diff(left, prepend=-1))
    return left[first], first, key[pairs] % tree.edges, least
