"""Minimum-cost flow on arrays: the only file that knows the solver, ortools' cost-scaling push-relabel.

A. V. Goldberg, An efficient implementation of a scaling minimum-cost flow algorithm, Journal of Algorithms 22 (1997).
"""

from __future__ import annotations

import numpy as np

from gslb.errors import GslbError
from gslb.plan.problem import I64

try:
    from ortools.graph.python.min_cost_flow import SimpleMinCostFlow
except ImportError:  # plans are shown, explained, frozen and rolled back without it
    SimpleMinCostFlow = None

LARGEST_COST = 1 << 58
"""No unit cost times number of nodes should be above this: the solver scales costs by as much, and its potentials are
sums of some of them."""
LARGEST_FLOW = 1 << 61
"""No sum of capacities into a node, or out of it, may reach twice this."""


class FlowError(GslbError):
    """The solver gave nothing; the text says why."""


def cheapest_flow(tail: I64, head: I64, capacity: I64, cost: I64, supply: I64) -> I64:
    """The flow over each arc, in the units of ``supply`` (of each node; they sum to 0), at the least Σ cost × flow.

    All arcs are columns of one length. Whole numbers in, whole numbers out. `FlowError` where supplies cannot be met or
    numbers are too large, or ortools is not installed.
    """
    if SimpleMinCostFlow is None:
        raise FlowError("ortools cannot be imported: install gslb[dispatch]")
    solver = SimpleMinCostFlow()
    arcs = solver.add_arcs_with_capacity_and_unit_cost(tail, head, capacity, cost)
    solver.set_nodes_supplies(np.arange(len(supply)), supply)
    status = solver.solve()
    if status != solver.OPTIMAL:
        raise FlowError(f"the solver gives no flow: {status.name}")
    return np.asarray(solver.flows(arcs), dtype=np.int64)
