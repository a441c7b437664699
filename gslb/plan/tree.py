"""The tree of limits as columns: edges, then PoPs, then regions, then the network, each with convex cost of its load.

What a node carries costs, in currency per month with loads in Mbps: ``shortfall`` × what is missing to its soft minimum
+ ``beta`` × what is above its knee + (``overload`` − ``beta``) × what is above its hard limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from gslb.plan.problem import F64, I64, NOWHERE, UNLIMITED, Sites

Number = TypeVar("Number", np.int64, np.float64)


@dataclass(frozen=True, slots=True)
class Slopes:
    """What a Mbps costs through a month: missing to a soft minimum, above the knee, above the hard limit."""

    shortfall: float
    beta: float
    overload: float


@dataclass(frozen=True, slots=True)
class Tree:
    """Nodes in the order edges, PoPs, regions, network; ``parent`` of the network is itself. A knee at or above the
    hard limit is none."""

    edges: int
    pops: int
    regions: int
    parent: I64
    capacity_bps: I64
    knee_bps: I64
    hard_bps: I64
    minimum_bps: I64

    @property
    def nodes(self) -> int:
        """How many there are; the network is the last."""
        return len(self.parent)

    def loads(self, edge_load_bps: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """What each node carries when edges carry this."""
        load = np.zeros(self.nodes, edge_load_bps.dtype)
        load[: self.edges] = edge_load_bps
        for first, end in self.levels():
            np.add.at(load, self.parent[first:end], load[first:end])
        return load

    def down(self, price: F64) -> F64:
        """Of each edge, the sum of a column over it, its PoP, its region and the network."""
        total = price.astype(np.float64, copy=True)
        for first, end in reversed(self.levels()):
            total[first:end] += total[self.parent[first:end]]
        return total[: self.edges]

    def levels(self) -> list[tuple[int, int]]:
        """First and end of edges, PoPs and regions; the network is not among them."""
        pops, regions = self.edges + self.pops, self.edges + self.pops + self.regions
        return [(0, self.edges), (self.edges, pops), (pops, regions)]


def tree_of(sites: Sites, knee: float, hard: float) -> Tree:
    """The tree of some sites: free up to ``knee`` × capacity − the node's cut, hard at ``hard`` × capacity."""
    edges, pops, regions = len(sites.edges), len(sites.pops), len(sites.regions)
    root = edges + pops + regions
    above = np.where(sites.region_of_pop == NOWHERE, root, edges + pops + sites.region_of_pop)
    parent = np.concatenate([edges + sites.pop_of_edge, above, np.full(regions + 1, root)])

    def column(edge: I64 | None, pop: I64 | None, region: I64 | None, network: int) -> I64:
        sizes = (edges, pops, regions)
        parts = [
            np.zeros(size, np.int64) if part is None else part
            for size, part in zip(sizes, (edge, pop, region), strict=True)
        ]
        return np.concatenate([*parts, np.array([network], np.int64)])

    capacity = column(
        sites.edge_capacity_bps, sites.pop_capacity_bps, sites.region_capacity_bps, sites.network_capacity_bps
    )
    cut = column(sites.edge_knee_cut_bps, sites.pop_knee_cut_bps, sites.region_knee_cut_bps, sites.network_knee_cut_bps)
    minimum = column(sites.edge_minimum_bps, sites.pop_minimum_bps, sites.region_minimum_bps, sites.network_minimum_bps)
    limited = capacity < UNLIMITED
    hard_bps = np.where(limited, _part(capacity, hard), UNLIMITED)
    knee_bps = np.where(limited, np.clip(_part(capacity, knee) - cut, 0, hard_bps), UNLIMITED)
    return Tree(edges, pops, regions, parent.astype(np.int64), capacity, knee_bps, hard_bps, minimum)


def segments(tree: Tree, slopes: Slopes) -> tuple[I64, I64, I64, F64]:
    """The convex costs as parallel arcs to the parent, cheapest first: node, where the piece begins and its size in
    bps, currency per Mbps·month.

    A minimum's segment costs −shortfall. The last of a node is unlimited. The network has none: what it carries is
    given.
    """
    count = tree.nodes - 1
    node = np.arange(count)
    ends = np.sort(np.stack([tree.minimum_bps[:count], tree.knee_bps[:count], tree.hard_bps[:count]]), axis=0)
    starts = np.concatenate([np.zeros((1, count), np.int64), ends])
    ends = np.concatenate([ends, np.full((1, count), UNLIMITED)])
    slope = (
        -slopes.shortfall * (starts < tree.minimum_bps[:count])
        + slopes.beta * (starts >= tree.knee_bps[:count])
        + (slopes.overload - slopes.beta) * (starts >= tree.hard_bps[:count])
    )
    size = ends - starts
    nodes = np.broadcast_to(node, size.shape)
    wanted = size > 0
    return nodes[wanted], starts[wanted], size[wanted], slope[wanted]


def _part(capacity: I64, share: float) -> I64:
    """A share of capacities, rounded down; 1 is all of it."""
    return capacity if share == 1 else np.floor(capacity * share).astype(np.int64)
