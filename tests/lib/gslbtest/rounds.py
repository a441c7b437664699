"""Rounds of dispatch to try: small ones by hand, larger ones by a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gslb.model.dispatch import DispatchRules
from gslb.model.plan import PLAN_SUM, Plan
from gslb.plan.problem import NOWHERE, UNLIMITED, GroupKey, Groups, Sites
from gslb.plan.round import Candidates, Live, Made, Round, plan_round

MBPS = 1_000_000
NOW_MS = 1_000_000_000
SERVICE = "pull.live.example."
RULES = DispatchRules(churn=0.4)
"""Costs that the worked examples of rounds are reckoned with."""


def no_clock() -> float:
    """A clock that stands."""
    return 0.0


def sites_of(edges: Mapping[str, tuple[str, int]]) -> Sites:
    """Edges, each with its PoP and capacity in Mbps."""
    pops = tuple(sorted({pop for pop, _ in edges.values()}))
    return Sites(
        tuple(edges),
        pops,
        (),
        np.array([pops.index(pop) for pop, _ in edges.values()], dtype=np.int64),
        np.full(len(pops), NOWHERE, np.int64),
        np.array([mbps * MBPS for _, mbps in edges.values()], dtype=np.int64),
        np.full(len(pops), UNLIMITED, np.int64),
        np.zeros(0, np.int64),
    )


def round_of(
    edges: Mapping[str, tuple[str, int]],
    groups: Mapping[str, tuple[float, Mapping[str, float]]],
    before: Plan | None = None,
    rules: DispatchRules | None = None,
    *,
    leaving: Mapping[str, str] | None = None,
    load: Mapping[str, float] | None = None,
    version: str = "v1",
    country: str = "CN",
) -> Round:
    """A round: edges as `sites_of`, and groups by their ISP with demand in Mbps and the cost of each candidate."""
    sites = sites_of(edges)
    leaving, load = leaving or {}, load or {}
    may = np.array([edge not in leaving for edge in edges], dtype=np.bool_)
    group, edge, cost = [], [], []
    for at, (_, candidates) in enumerate(groups.values()):
        for name, each in candidates.items():
            group.append(at)
            edge.append(sites.edges.index(name))
            cost.append(each)
    return Round(
        version=version,
        now_ms=NOW_MS if before is None else before.issued_at_ms + 60_000,
        sites=replace(sites, usable=may, edge_capacity_bps=np.where(may, sites.edge_capacity_bps, 0)),
        live=Live(
            tuple(leaving.get(name, "") for name in edges),
            np.array([round(load[name] * MBPS) if name in load else -1 for name in edges], dtype=np.int64),
        ),
        groups=Groups(
            tuple(GroupKey(SERVICE, country, "", isp) for isp in groups),
            np.array([round(mbps * MBPS) for mbps, _ in groups.values()], dtype=np.int64),
        ),
        candidates=Candidates(np.array(group, np.int64), np.array(edge, np.int64), np.array(cost, np.float64)),
        rules=rules or RULES,
        before=before,
        inputs={},
        ttl_s=20,
        history_bps=None,
    )


def made_of(*args: Any, **more: Any) -> Made:
    """The outcome of `round_of`."""
    return plan_round(round_of(*args, **more), no_clock)


def shares(plan: Plan, isp: str) -> dict[str, float]:
    """What a row gives each edge, to three digits."""
    (row,) = [row for row in plan.rows if row.isp == isp]
    return {edge: round(weight / PLAN_SUM, 3) for edge, weight in row.primaries}


def loads(plan: Plan, edges: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """What a plan gives edges, in bps."""
    at = {edge: place for place, edge in enumerate(edges)}
    found = np.zeros(len(edges))
    for row in plan.rows:
        for edge, weight in row.primaries:
            found[at[edge]] += weight / PLAN_SUM * row.demand_bps
    return found


def moved(before: Plan, after: Plan) -> float:
    """The part of demand that stands elsewhere."""
    old = {row[:4]: dict(row.primaries) for row in before.rows}
    total = changed = 0.0
    for row in after.rows:
        was, is_now = old.get(row[:4], dict(row.primaries)), dict(row.primaries)
        change = sum(abs(is_now.get(edge, 0) - was.get(edge, 0)) for edge in was.keys() | is_now.keys())
        changed += change / 2 / PLAN_SUM * row.demand_bps
        total += row.demand_bps
    return changed / total


def grown(seed: int, groups: int = 120, pops: int = 6, per_pop: int = 3, use: float = 0.7) -> Round:
    """A first round of some size: groups near some PoPs and far from others, capacity a little unlike the demand."""
    rng = np.random.default_rng(seed)
    edges = {f"e{pop}{each}": (f"p{pop}", 1000) for pop in range(pops) for each in range(per_pop)}
    sites = sites_of(edges)
    distance = np.hypot(*(rng.random((groups, 2))[:, None, :] - rng.random((pops, 2))[None, :, :]).transpose(2, 0, 1))
    cost = distance[:, sites.pop_of_edge] * 4 + rng.random((groups, len(edges))) * 0.5
    demand = (np.minimum(rng.pareto(1.2, groups) + 0.1, 30) * 20 * MBPS).astype(np.int64)
    near = np.sort(np.argsort(cost, axis=1)[:, :8], axis=1)
    carried = np.bincount(cost.argmin(axis=1), demand, len(edges)) + demand.sum() / len(edges) / 2
    capacity = carried * np.exp(rng.normal(0, 0.2, len(edges)))
    capacity *= demand.sum() / use / capacity.sum()
    return Round(
        version="v1",
        now_ms=NOW_MS,
        sites=replace(sites, edge_capacity_bps=capacity.astype(np.int64)),
        live=Live(("",) * len(edges), np.full(len(edges), -1, np.int64)),
        groups=Groups(tuple(GroupKey(SERVICE, "CN", "", f"AS{at + 1}") for at in range(groups)), demand),
        candidates=Candidates(
            np.repeat(np.arange(groups), 8), near.reshape(-1), np.take_along_axis(cost, near, 1).reshape(-1)
        ),
        rules=RULES,
        before=None,
        inputs={},
        ttl_s=20,
        history_bps=None,
    )


def following(given: Round, made: Made, **changes: Any) -> Round:
    """The round after, with some things changed."""
    number = int(given.version[1:]) + 1
    return replace(given, version=f"v{number}", before=made.plan, now_ms=given.now_ms + 60_000, **changes)
