"""Instances of the dispatch problem of any size, by a seed: for tests, and for the benchmark."""

from __future__ import annotations

from typing import Final

import numpy as np

from gslb.model.dispatch import DispatchRules
from gslb.plan.problem import F64, I64, UNLIMITED, Arcs, GroupKey, Groups, Sites

MBPS: Final = 1_000_000
PLACES: Final = "places"
SCATTERED: Final = "scattered"
KINDS: Final = (PLACES, SCATTERED)
_CITIES: Final = 300
_EDGES_OF_A_POP: Final = 5
_REGIONS: Final = 8
_ISPS: Final = 12
_CHUNK: Final = 1000
_LARGEST: Final = 300.0
_JUST_BELOW: Final = 0.999


def instance(
    kind: str, groups: int, edges: int, candidates: int, load: float = 0.85, seed: int = 1
) -> tuple[Sites, Groups, Arcs]:
    """An instance whose edges together have demand / ``load``; PoPs 95 % of their edges, regions 97 % of their PoPs.

    `PLACES`: viewers in cities, edges in PoPs, costs by distance, ISP and the edge's price, the nearest are candidates;
    capacity was built where demand is, give or take. `SCATTERED`: candidates and costs (1 to 10) by chance. Demand is
    heavy-tailed (Pareto 1.2, at most 300 × the mean).
    """
    rng = np.random.default_rng(seed)
    pops = max(1, edges // _EDGES_OF_A_POP)
    pop = np.arange(edges) % pops
    near, cost = (_places if kind == PLACES else _scattered)(rng, groups, pop, candidates)
    demand = _demand(rng, groups)
    even = np.bincount(near.ravel(), np.repeat(demand / candidates, candidates), edges)
    best = np.bincount(near[np.arange(groups), cost.argmin(axis=1)], demand, edges)
    capacity = (0.6 * even + 0.4 * best + 1) * rng.lognormal(0, 0.2, edges)
    capacity = (capacity * demand.sum() / load / capacity.sum()).astype(np.int64)
    pop_capacity = (0.95 * np.bincount(pop, capacity, pops)).astype(np.int64)
    region = np.arange(pops) % _REGIONS
    sites = Sites(
        tuple(f"e{at}" for at in range(edges)),
        tuple(f"p{at}" for at in range(pops)),
        tuple(f"r{at}" for at in range(_REGIONS)),
        pop.astype(np.int64),
        region.astype(np.int64),
        capacity,
        pop_capacity,
        (0.97 * np.bincount(region, pop_capacity, _REGIONS)).astype(np.int64),
    )
    keys = tuple(GroupKey("live.example.", "", "", f"AS{at}") for at in range(groups))
    arcs = groups * candidates
    group = np.repeat(np.arange(groups), candidates)
    return sites, Groups(keys, demand), Arcs(group, near.ravel().astype(np.int64), cost.ravel(), np.zeros(arcs))


def tiny(seed: int) -> tuple[Sites, Groups, Arcs, DispatchRules]:
    """An instance of whole Mbps in every number, so small that each flow can be looked at, with every kind of term in
    its price: knees, hard limits, soft minima, churn; edges that may not be used; limits that nothing can keep."""
    rng = np.random.default_rng(seed)
    edges, pops, regions = int(rng.integers(2, 5)), int(rng.integers(1, 4)), int(rng.integers(0, 3))
    usable = rng.random(edges) < 0.8
    usable[rng.integers(edges)] = True

    def limits(count: int, most: int) -> I64:
        whole = 2 * rng.integers(0, most, count) * MBPS
        return np.where(rng.random(count) < 0.2, UNLIMITED, whole).astype(np.int64)

    def some(count: int, most: int) -> I64 | None:
        return None if rng.random() < 0.4 else rng.integers(0, most, count) * MBPS

    sites = Sites(
        tuple(f"e{at}" for at in range(edges)),
        tuple(f"p{at}" for at in range(pops)),
        tuple(f"r{at}" for at in range(regions)),
        rng.integers(0, pops, edges),
        rng.integers(-1, regions, pops),
        limits(edges, 4),
        limits(pops, 5),
        limits(regions, 6),
        int(limits(1, 7)[0]),
        usable,
        some(edges, 2),
        some(pops, 2),
        some(regions, 2),
        int(rng.integers(0, 2)) * MBPS,
        some(edges, 3),
        some(pops, 4),
        some(regions, 4),
        int(rng.integers(0, 9)) * MBPS,
    )
    demand = rng.integers(0, 5, int(rng.integers(1, 4)))
    group, edge, share = [], [], []
    for at, mbps in enumerate(demand.tolist()):
        mine = np.unique(np.append(rng.choice(edges, 2), rng.choice(np.flatnonzero(usable))))
        before = rng.multinomial(max(mbps, 1), np.full(len(mine), 1 / len(mine))) / max(mbps, 1)
        group += [at] * len(mine)
        edge += mine.tolist()
        share += (before * (rng.random() < 0.7)).tolist()
    rules = DispatchRules(
        knee=0.5, hard=1.0, beta=float(rng.uniform(0, 3)), overload=50.0,
        shortfall=float(rng.choice([0.0, 0.5, 4.0])), churn=float(rng.choice([0.0, 0.5, 3.0])),
    )  # fmt: skip
    keys = tuple(GroupKey("live.example.", "", "", f"AS{at}") for at in range(len(demand)))
    arcs = Arcs(np.array(group), np.array(edge), rng.uniform(0, 5, len(group)), np.array(share))
    return sites, Groups(keys, demand * MBPS), arcs, rules


def _demand(rng: np.random.Generator, groups: int) -> I64:
    demand = (rng.pareto(1.2, groups) + 1) * 1e6
    while demand.max() > _LARGEST * demand.mean():
        demand = np.minimum(demand, _LARGEST * demand.mean() * _JUST_BELOW)
    return demand.astype(np.int64)


def _places(rng: np.random.Generator, groups: int, pop: I64, candidates: int) -> tuple[I64, F64]:
    edges = len(pop)
    pop_at = rng.uniform(0, 1, (pop.max() + 1, 2))
    city_at = pop_at[rng.integers(0, len(pop_at), _CITIES)] + rng.normal(0, 0.03, (_CITIES, 2))
    weight = np.arange(1, _CITIES + 1) ** -0.8
    group_at = city_at[rng.choice(_CITIES, groups, p=weight / weight.sum())] + rng.normal(0, 0.01, (groups, 2))
    isp_of_edge, isp = rng.integers(0, _ISPS, edges), rng.integers(0, _ISPS, groups)
    near, rtt_ms = np.empty((groups, candidates), np.int64), np.empty((groups, candidates))
    for first in range(0, groups, _CHUNK):
        of = slice(first, first + _CHUNK)
        far = np.sqrt(((group_at[of, None] - pop_at[pop][None]) ** 2).sum(axis=-1))
        rtt = 8 + far * 200 * np.exp(rng.normal(0, 0.2, far.shape)) + 15 * (isp[of, None] != isp_of_edge[None])
        near[of] = np.argpartition(rtt, candidates - 1, axis=1)[:, :candidates]
        rtt_ms[of] = np.take_along_axis(rtt, near[of], axis=1)
    return near, 0.02 * rtt_ms + rng.lognormal(0, 0.3, edges)[near]


def _scattered(rng: np.random.Generator, groups: int, pop: I64, candidates: int) -> tuple[I64, F64]:
    near = np.empty((groups, candidates), np.int64)
    for first in range(0, groups, _CHUNK):
        chance = rng.random((min(_CHUNK, groups - first), len(pop)))
        near[first : first + _CHUNK] = np.argpartition(chance, candidates - 1, axis=1)[:, :candidates]
    return near, rng.uniform(1, 10, (groups, candidates))
