"""The words of the optimisation: sites in a tree of limits, groups of viewers, and the arcs between them.

Everything is columns of equal length; edges, PoPs, regions, groups are positions in their tuples. Rates are whole bits
per second, costs are currency per Mbps·month.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

UNLIMITED: Final = (1 << 62) - 1
"""The capacity of what has no limit."""
NOWHERE: Final = -1
"""The region of a PoP that is in none."""


class GroupKey(NamedTuple):
    """Viewers that are planned for together: service (text, lower case, final dot), and their view's key."""

    service: str
    country: str
    region: str
    isp: str


@dataclass(frozen=True, slots=True)
class Sites:
    """What can serve: a tree of edges, PoPs, regions and the network.

    ``capacity_bps`` of edges is what is left for answers now: of a dead or drained edge 0. ``usable`` tells which edges
    may be given anything. ``knee_cut_bps`` lowers the knee of each node (p95 − mean of the demand that it carries),
    ``minimum_bps`` are soft minima. ``network_*`` are of the root.
    """

    edges: tuple[str, ...]
    pops: tuple[str, ...]
    regions: tuple[str, ...]
    pop_of_edge: I64
    region_of_pop: I64  # NOWHERE where it is in none
    edge_capacity_bps: I64
    pop_capacity_bps: I64
    region_capacity_bps: I64
    network_capacity_bps: int = UNLIMITED
    usable: Mask | None = None  # None: all
    edge_knee_cut_bps: I64 | None = None  # None: zeros, as below
    pop_knee_cut_bps: I64 | None = None
    region_knee_cut_bps: I64 | None = None
    network_knee_cut_bps: int = 0
    edge_minimum_bps: I64 | None = None
    pop_minimum_bps: I64 | None = None
    region_minimum_bps: I64 | None = None
    network_minimum_bps: int = 0


@dataclass(frozen=True, slots=True)
class Groups:
    """Viewers and what they ask for now."""

    keys: tuple[GroupKey, ...]
    demand_bps: I64


@dataclass(frozen=True, slots=True)
class Arcs:
    """Which edges may serve which groups, and at what cost; sorted by group, each pair at most once. A fence is an arc
    that is not there. ``share`` is the part of the group's demand that the plan before gave the edge: of each group
    they sum to 1, to less where that gave some to edges without an arc now, to 0 where there was none."""

    group: I64
    edge: I64
    cost: F64
    share: F64
