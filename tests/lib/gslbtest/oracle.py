"""The dispatch problem written down a second time: as what each flow costs, and as a linear problem for HiGHS."""

from __future__ import annotations

import itertools

import numpy as np

from gslb.model.dispatch import DispatchRules
from gslb.plan.optimize import Solution, optimize
from gslb.plan.problem import F64, I64, NOWHERE, UNLIMITED, Arcs, Groups, Sites
from gslbtest.highs import Linear

MBPS = 1e6
Problem = tuple[Sites, Groups, Arcs, DispatchRules]


def solved(problem: Problem) -> Solution:
    """What our solver finds, by a clock that stands."""
    return optimize(*problem, lambda: 0.0)


def check(problem: Problem, found: Solution) -> None:
    """What holds of every solution: bits are conserved, none is where none may be, loads and costs are those of the
    flow."""
    sites, groups, arcs, _ = problem
    usable = np.ones(len(sites.edges), bool) if sites.usable is None else sites.usable
    summed = np.zeros(len(groups.keys), np.int64)
    np.add.at(summed, arcs.group, found.flow_bps)
    assert (summed + found.unserved_bps).tolist() == groups.demand_bps.tolist()
    assert found.flow_bps.min(initial=0) >= 0
    assert not found.flow_bps[~usable[arcs.edge]].any()
    for level, own in ((found.pops, sites.pop_of_edge), (found.edges, np.arange(len(sites.edges)))):
        load = np.zeros(len(level.load_bps), np.int64)
        np.add.at(load, own[arcs.edge], found.flow_bps)
        assert load.tolist() == level.load_bps.tolist()
    assert found.network.load_bps.tolist() == [found.flow_bps.sum()]
    (cost,) = costs_of(*problem, found.flow_bps[None])
    assert abs(found.objective - cost) <= 1e-9 * abs(cost) + 1e-6
    assert found.dual_bound <= found.objective + 1e-9 * abs(cost) + 1e-9


def nodes_above(sites: Sites, edge: int) -> list[int]:
    """The nodes that what an edge carries goes through: numbers of edges, then PoPs, then regions, then the network."""
    edges, pops, regions = len(sites.edges), len(sites.pops), len(sites.regions)
    pop = int(sites.pop_of_edge[edge])
    region = int(sites.region_of_pop[pop])
    inside = [] if region == NOWHERE else [edges + pops + region]
    return [edge, edges + pop, *inside, edges + pops + regions]


def column(sites: Sites, name: str) -> list[int]:
    """A property of all nodes, as ``capacity_bps``, in the same order."""
    found: list[int] = []
    for level, count in (("edge", sites.edges), ("pop", sites.pops), ("region", sites.regions)):
        part = getattr(sites, f"{level}_{name}")
        found += [0] * len(count) if part is None else part.tolist()
    return [*found, getattr(sites, f"network_{name}")]


def limits(sites: Sites, rules: DispatchRules) -> list[tuple[int, int, int]]:
    """Minimum, knee and hard limit of each node."""
    found = []
    for least, capacity, cut in zip(
        column(sites, "minimum_bps"), column(sites, "capacity_bps"), column(sites, "knee_cut_bps"), strict=True
    ):
        if capacity >= UNLIMITED:
            found.append((least, UNLIMITED, UNLIMITED))
        else:
            hard = int(rules.hard * capacity)
            found.append((least, min(max(int(rules.knee * capacity) - cut, 0), hard), hard))
    return found


def costs_of(sites: Sites, groups: Groups, arcs: Arcs, rules: DispatchRules, flows_bps: I64) -> F64:
    """What flows, shape (flows, arcs), cost in currency per month, by the words of docs/dispatch.md."""
    share = arcs.share
    had = np.bincount(arcs.group, share, len(groups.demand_bps)) > 0
    stays = np.floor(share * groups.demand_bps[arcs.group])
    moved = np.where(had[arcs.group], np.maximum(flows_bps - stays, 0), 0)
    total = (flows_bps * arcs.cost + moved * rules.churn).sum(axis=1)
    passes = [[] for _ in column(sites, "capacity_bps")]
    for arc, edge in enumerate(arcs.edge.tolist()):
        for node in nodes_above(sites, edge):
            passes[node].append(arc)
    for arcs_of, (least, knee, hard) in zip(passes, limits(sites, rules), strict=True):
        load = flows_bps[:, arcs_of].sum(axis=1)
        total += rules.shortfall * np.maximum(least - load, 0)
        total += rules.beta * np.maximum(np.minimum(load, hard) - knee, 0) + rules.overload * np.maximum(load - hard, 0)
    return total / MBPS


def whole_flows(sites: Sites, groups: Groups, arcs: Arcs) -> I64:
    """Every flow of whole Mbps on usable edges, shape (flows, arcs); demand is whole Mbps, every group has an edge."""
    usable = np.ones(len(sites.edges), bool) if sites.usable is None else sites.usable
    parts = []
    for group, demand in enumerate((groups.demand_bps // int(MBPS)).tolist()):
        mine = usable[arcs.edge[arcs.group == group]]
        parts.append([
            each for each in itertools.product(range(demand + 1), repeat=len(mine))
            if sum(each) == demand and not any(bit for bit, may in zip(each, mine, strict=True) if not may)
        ])  # fmt: skip
    found = [[bit for part in each for bit in part] for each in itertools.product(*parts)]
    return np.array(found, np.int64).reshape(len(found), len(arcs.edge)) * int(MBPS)


def linear(sites: Sites, groups: Groups, arcs: Arcs, rules: DispatchRules) -> Linear:
    """The same for HiGHS, in currency per month. Groups without a usable edge must not be among them."""
    usable = np.ones(len(sites.edges), bool) if sites.usable is None else sites.usable
    kept = np.flatnonzero(usable[arcs.edge])
    group, edge, count = arcs.group[kept], arcs.edge[kept], len(kept)
    demand = groups.demand_bps / MBPS
    stay = arcs.share[kept] * demand[group]
    had = (np.bincount(arcs.group, arcs.share, len(demand)) > 0)[group]
    parts = limits(sites, rules)
    nodes = [at for at, (least, knee, _) in enumerate(parts) if least or knee < UNLIMITED]
    place = {node: at for at, node in enumerate(nodes)}
    least, knee, hard = (np.array([parts[node][at] for node in nodes]) / MBPS for at in range(3))
    row_of, variable = [], []
    paths = [[place[node] for node in nodes_above(sites, at) if node in place] for at in range(len(sites.edges))]
    for at, each in enumerate(edge.tolist()):
        row_of += paths[each]
        variable += [at] * len(paths[each])
    through, of = np.array(row_of, np.int64), np.array(variable, np.int64)
    # Variables: moved bits of arcs, bits that stay, then of nodes what is above the knee, above hard, missing.
    moves, stays = np.arange(count), np.flatnonzero(stay > 0)
    staying = count + np.arange(len(stays))
    where = np.full(count, -1)
    where[stays] = staying
    first, width = count + len(stays), len(nodes)
    above, over, missing = (first + at * width + np.arange(width) for at in range(3))
    cost = np.concatenate([
        arcs.cost[kept] + rules.churn * had, arcs.cost[kept][stays],
        np.full(width, rules.beta), np.full(width, rules.overload - rules.beta), np.full(width, rules.shortfall),
    ])  # fmt: skip
    upper = np.concatenate([np.full(count, np.inf), stay[stays], np.full(3 * width, np.inf)])
    g, one = len(demand), np.ones
    rows = [(group, moves, one(count)), (group[stays], staying, one(len(stays)))]
    again = where[of] >= 0
    for at, (slack, sign) in enumerate(((above, -1.0), (over, -1.0), (missing, 1.0))):
        base = g + at * width
        rows.append((base + through, of, one(len(of))))
        rows.append((base + through[again], where[of[again]], one(int(again.sum()))))
        rows.append((base + np.arange(width), slack, np.full(width, sign)))
    low = np.concatenate([demand, np.full(2 * width, -np.inf), least])
    most = [np.where(limit < UNLIMITED / MBPS / 2, limit, np.inf) for limit in (knee, hard)]
    high = np.concatenate([demand, *most, np.full(width, np.inf)])
    return Linear(cost, upper, rows, low, high)
