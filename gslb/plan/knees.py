"""Room for what fluctuates: how far the knee of each node is lowered.

A node's knee is lowered by p95 − mean of the demand that it has carried lately, with its groups where they stand now.
The demand of a node is summed first: peaks of groups that fall at different times need no room each, and a sum of their
percentiles would keep it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from gslb.plan.columns import summed
from gslb.plan.problem import F64, I64, NOWHERE, Sites
from gslb.plan.standing import Pairs

_PERCENTILE: Final = 95
_FEWEST: Final = 2


def knee_cuts(sites: Sites, history_bps: I64, pairs: Pairs, share: F64) -> Sites:
    """The sites with the cuts that ``history_bps``, shape (time, groups), asks for. ``share`` of each pair is the part
    of its group that stands there; a group that stands nowhere counts at its cheapest edge. Fewer than two buckets tell
    nothing."""
    if len(history_bps) < _FEWEST:
        return sites
    share = _somewhere(pairs, share, history_bps.shape[1])
    used = np.flatnonzero(share)
    group, edge, part = pairs.group[used], pairs.edge[used], share[used]
    edges = np.stack([summed(edge, part * bucket[group], len(sites.edges)) for bucket in history_bps])
    pops = _gathered(edges, sites.pop_of_edge, len(sites.pops))
    outside = len(sites.regions)
    region = np.where(sites.region_of_pop == NOWHERE, outside, sites.region_of_pop)
    regions = _gathered(pops, region, outside + 1)[:, :outside]
    return replace(
        sites,
        edge_knee_cut_bps=_cut(edges),
        pop_knee_cut_bps=_cut(pops),
        region_knee_cut_bps=_cut(regions),
        network_knee_cut_bps=int(_cut(edges.sum(axis=1, keepdims=True))[0]),
    )


def _somewhere(pairs: Pairs, share: F64, groups: int) -> F64:
    nowhere = summed(pairs.group, share, groups) <= 0
    order = np.lexsort((pairs.cost, pairs.group))
    at, first = np.unique(pairs.group[order], return_index=True)
    cheapest = order[first[nowhere[at]]]
    share = share.copy()
    share[cheapest] = 1.0
    return share


def _gathered(series: F64, owner: I64, count: int) -> F64:
    """Series of nodes, summed by what these are in."""
    return np.stack([summed(owner, bucket, count) for bucket in series])


def _cut(series: F64) -> I64:
    above: F64 = np.percentile(series, _PERCENTILE, axis=0) - series.mean(axis=0)
    return np.maximum(above, 0.0).astype(np.int64)
