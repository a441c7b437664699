"""What it costs to serve a group from an edge: currency per Mbps carried through a month."""

from __future__ import annotations

import numpy as np

from gslb.model.dispatch import DispatchRules
from gslb.plan.problem import F64, Mask

BPS_PER_MBPS = 1e6


def route_costs(rules: DispatchRules, rtt_ms: F64, in_isp: Mask, at_home: Mask, price: F64) -> F64:
    """α · rtt_ms + mismatch + price of each arc; all columns have the length of the arcs.

    ``in_isp`` where the edge is in the viewers' network, ``at_home`` where it is in their country; ``price`` is the
    edge's, currency per Mbps·month.
    """
    mismatch = np.where(in_isp, 0.0, np.where(at_home, rules.mismatch_home, rules.mismatch_abroad))
    return rules.alpha * rtt_ms + mismatch + price
