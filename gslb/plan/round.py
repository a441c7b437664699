"""One whole round of dispatch, as a function: what is known goes in, the next plan and a report come out.

Where viewers stand by the plan before (`gslb.plan.standing`) → what load tells of edges (`gslb.plan.feedback`) → what
they can take of planned demand → who should go where (`gslb.plan.optimize`) → what of that moves now
(`gslb.plan.limit`) → weights and backups (`gslb.plan.rows`, `gslb.plan.backups`). Nothing in here reads a clock but to
tell how long the solver took, and equal input gives an equal plan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from gslb.model.dispatch import DispatchRules
from gslb.model.plan import PLAN_SUM, RELIEF, BindingCap, Forced, Plan, PlanInput, PlannedEdge
from gslb.plan import backups, feedback, limit, rows, standing
from gslb.plan.columns import parted, summed
from gslb.plan.feedback import Learnt
from gslb.plan.knees import knee_cuts
from gslb.plan.optimize import Level, Solution, optimize
from gslb.plan.problem import F64, I64, NOWHERE, UNLIMITED, Arcs, Groups, Mask, Sites
from gslb.plan.standing import Pairs, Standing
from gslb.plan.tree import tree_of

HOLD_MS: Final = 3_600_000
"""How long a plan counts after it was issued, if none follows."""
SESSION_S: Final = 600.0
"""How long viewers stay in the mean, where the caller knows nothing better."""
_LEAST_WORTH: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Live:
    """What is known of edges now, positions as `Sites.edges`: why nothing may stay there ("" it may, else DOWN, DRAIN
    or REMOVED of `gslb.model.plan`), and the load measured, -1 unknown."""

    leaving: tuple[str, ...]
    load_bps: I64


@dataclass(frozen=True, slots=True)
class Candidates:
    """Which edges may serve which groups, at what cost per Mbps·month: columns of equal length, sorted by group, each
    pair at most once. A fence is a pair that is not there."""

    group: I64
    edge: I64
    cost: F64


@dataclass(frozen=True, slots=True)
class Round:
    """What a round goes by.

    ``before`` is the plan that counts now. ``ttl_s`` is the longest TTL of the services, ``session_s`` how long a
    viewer stays in the mean: what moved arrives after about that time. ``history_bps`` is recent demand, shape (time,
    groups), for room that fluctuation needs; None is not known. ``measured_bps`` is what groups ask for at the time of
    the loads in ``live``, None: what is planned for. Without ``limited`` everything moves at once. The plan counts from
    ``effective_at_ms``, None: from ``now_ms``.
    """

    version: str
    now_ms: int
    sites: Sites
    live: Live
    groups: Groups
    candidates: Candidates
    rules: DispatchRules
    before: Plan | None
    inputs: Mapping[str, PlanInput]
    ttl_s: int
    history_bps: I64 | None
    measured_bps: I64 | None = None
    limited: bool = True
    session_s: float = SESSION_S
    effective_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a round did, in bits per second of planned demand.

    ``moved_bps`` had not to be, ``forced_bps`` had; ``waiting_bps`` is for later rounds. ``overload_bps`` is what edges
    carry above their hard limits by this plan. ``shortfalls`` are the PoPs that could not be lost. ``surprise`` is, of
    each edge, the load measured less what the plan before projected, as part of capacity (NaN unknown), and
    ``surprise_total`` its absolute value in the mean weighted by capacity.
    """

    demand_bps: int
    moved_bps: int
    forced_bps: int
    waiting_bps: int
    overload_bps: int
    unserved_bps: int
    shortfalls: tuple[backups.Shortfall, ...]
    surprise: F64
    surprise_total: float


@dataclass(frozen=True, slots=True)
class Made:
    """A round's plan, what the solver found, and a report."""

    plan: Plan
    solution: Solution
    report: Report


def plan_round(given: Round, clock: Callable[[], float]) -> Made:
    """Make the next plan. ``clock`` tells seconds, for how long building and solving took.

    Raises `gslb.plan.flow.FlowError` where numbers are too large for the solver.
    """
    sites, groups, rules = given.sites, given.groups, given.rules
    leaving = standing.leaving_of(sites, given.live.leaving)
    stays = np.array([not why for why in leaving], dtype=np.bool_)
    pairs = standing.usable_pairs(given.candidates.group, given.candidates.edge, given.candidates.cost, stays)
    stood = _stood(given, leaving, pairs)
    stands = stood.share * groups.demand_bps[pairs.group]
    asked_bps = groups.demand_bps if given.measured_bps is None else given.measured_bps
    carried = summed(pairs.edge, stood.share * asked_bps[pairs.group], len(sites.edges))
    known, surprise = _learnt(given, ~stays, carried)
    room = _room(sites, known, summed(pairs.edge, stands, len(sites.edges)), stays)
    if given.history_bps is not None:
        room = knee_cuts(room, given.history_bps, pairs, stood.share)
    solution = optimize(room, groups, Arcs(pairs.group, pairs.edge, pairs.cost, stood.share), rules, clock)
    price = pairs.cost + solution.edge_price[pairs.edge]
    aim = solution.flow_bps.astype(np.float64)
    free = stood.free * groups.demand_bps[pairs.group]
    moves = limit.Moves(pairs.group, pairs.edge, stands, free, aim, price, groups.demand_bps)
    tree = tree_of(room, rules.knee, rules.hard)
    went = limit.limited(moves, tree, rules) if given.limited else limit.unlimited(moves, tree)

    rank = rows.ranks(sites.edges)
    asks = (groups.demand_bps > 0)[pairs.group]
    weight = rows.weights(pairs, np.where(asks, went.flow_bps, stood.share), len(groups.keys), rank)
    planned = backups.Planned(len(groups.keys), weight / PLAN_SUM * groups.demand_bps[pairs.group], weight > 0)
    heirs = backups.choose(room, pairs, planned, rules.backups, rank)
    made = rows.rows_of(sites, groups, pairs, weight, heirs, rank)
    kept, gone = rows.silent(given.before.rows if given.before else (), made, sites, groups, pairs)

    flow = summed(pairs.edge, planned.bps, len(sites.edges))
    stood_flow = summed(pairs.edge, np.where(_stands_somewhere(stood, pairs), stands, planned.bps), len(sites.edges))
    known = known.moved(stood_flow, flow).without(~stays)
    relief = [
        Forced(sites.edges[at], RELIEF, int(went.relief_bps[at])) for at in np.flatnonzero(went.relief_bps > 0).tolist()
    ]
    plan = Plan(
        version=given.version,
        base=given.before.version if given.before else "",
        issued_at_ms=given.now_ms,
        effective_at_ms=given.now_ms if given.effective_at_ms is None else given.effective_at_ms,
        hold_until_ms=given.now_ms + HOLD_MS,
        rows=(*made, *kept),
        inputs=dict(given.inputs),
        forced=_summed([*stood.forced, *gone, *relief]),
        edges=_projected(given, known, flow),
        caps=_caps(sites, solution),
    )
    over = known.factor * flow + known.background_bps - sites.edge_capacity_bps * rules.hard
    report = Report(
        demand_bps=int(groups.demand_bps.sum()),
        moved_bps=went.moved_bps,
        forced_bps=went.forced_bps,
        waiting_bps=went.waiting_bps,
        overload_bps=round(float(np.maximum(over, 0)[flow > 0].sum())),
        unserved_bps=int(solution.unserved_bps.sum()),
        shortfalls=backups.check(room, pairs, planned, heirs),
        surprise=surprise[0],
        surprise_total=surprise[1],
    )
    return Made(plan, solution, report)


def _summed(forced: Sequence[Forced]) -> tuple[Forced, ...]:
    """One of each edge and reason, sorted."""
    found: dict[tuple[str, str], int] = {}
    for edge, reason, bps in forced:
        found[edge, reason] = found.get((edge, reason), 0) + bps
    return tuple(sorted(Forced(*each, bps) for each, bps in found.items()))


def _stood(given: Round, leaving: tuple[str, ...], pairs: Pairs) -> Standing:
    if given.before is not None:
        return standing.stand(given.before, given.sites, leaving, given.groups, pairs)
    nothing = np.zeros(len(pairs.edge))
    return Standing(nothing, nothing, np.full(len(given.groups.keys), -1, np.int64), ())


def _stands_somewhere(stood: Standing, pairs: Pairs) -> Mask:
    found: Mask = summed(pairs.group, stood.share, len(stood.row))[pairs.group] > 0
    return found


def _learnt(given: Round, silent: Mask, flow_bps: F64) -> tuple[Learnt, tuple[F64, float]]:
    """What is known of edges after this round's load, and by how much the load differed from what was projected."""
    sites, plan = given.sites, given.before
    if plan is None:
        return Learnt.nothing(len(sites.edges)), (np.full(len(sites.edges), np.nan), 0.0)
    planned = [plan.edges.get(edge) for edge in sites.edges]
    told = np.array([each is not None for each in planned], dtype=np.bool_)
    projected, background, milli = (
        np.array(column, dtype=np.int64) for column in zip(*(each or PlannedEdge(0) for each in planned), strict=True)
    )
    factor = np.clip(milli / 1000, feedback.LEAST, feedback.MOST)
    late = np.where(told & ~silent, (projected - background) / factor - _flow(plan, sites), 0.0)
    since_s = (given.now_ms - plan.issued_at_ms) / 1000
    known = Learnt(factor, background.astype(np.float64), late).passed(since_s - given.rules.round_s, _lag_s(given))
    step = feedback.gain(given.rules.round_s, given.ttl_s)
    load = np.where(told, given.live.load_bps, feedback.UNKNOWN)
    surprise = feedback.surprise(projected, load, sites.edge_capacity_bps, silent)
    return feedback.learn(known, flow_bps, given.live.load_bps, sites.edge_capacity_bps, silent, step), surprise


def _lag_s(given: Round) -> float:
    return given.ttl_s + given.session_s


def _flow(plan: Plan, sites: Sites) -> F64:
    """What a plan gives each edge by the demand that it was made for."""
    at = {edge: at for at, edge in enumerate(sites.edges)}
    elsewhere = len(sites.edges)
    entries = [
        (at.get(edge, elsewhere), weight * row.demand_bps) for row in plan.rows for edge, weight in row.primaries
    ]
    if not entries:
        return np.zeros(elsewhere)
    edge, bps = zip(*entries, strict=True)
    return summed(np.array(edge), np.array(bps, dtype=np.float64) / PLAN_SUM, elsewhere + 1)[:elsewhere]


def _room(sites: Sites, known: Learnt, flow_bps: F64, usable: Mask) -> Sites:
    """The same sites with limits and soft minima in planned demand: less the background, and divided by the factor,
    which of PoPs, regions and the network is that of their edges, weighted by what they carry."""
    pops, regions = len(sites.pops), len(sites.regions)
    region = np.where(sites.region_of_pop == NOWHERE, regions, sites.region_of_pop)

    def in_pops(column: F64) -> F64:
        return summed(sites.pop_of_edge, column, pops)

    def in_regions(column: F64) -> F64:
        return summed(region, column, regions + 1)[:regions]

    carried = flow_bps + 1
    weighed = carried * known.factor
    by_edge = (known.background_bps, known.factor)
    by_pop = (in_pops(known.background_bps), _mean(in_pops(weighed), in_pops(carried)))
    by_region = (
        in_regions(in_pops(known.background_bps)),
        _mean(in_regions(in_pops(weighed)), in_regions(in_pops(carried))),
    )
    whole = (known.background_bps.sum(keepdims=True), np.array([weighed.sum() / carried.sum()]))

    def minimum(column: I64 | None, of: tuple[F64, F64]) -> I64 | None:
        return None if column is None else _planned(column, *of)

    return replace(
        sites,
        usable=usable,
        edge_capacity_bps=_planned(sites.edge_capacity_bps, *by_edge),
        pop_capacity_bps=_planned(sites.pop_capacity_bps, *by_pop),
        region_capacity_bps=_planned(sites.region_capacity_bps, *by_region),
        network_capacity_bps=int(_planned(np.array([sites.network_capacity_bps]), *whole)[0]),
        edge_minimum_bps=minimum(sites.edge_minimum_bps, by_edge),
        pop_minimum_bps=minimum(sites.pop_minimum_bps, by_pop),
        region_minimum_bps=minimum(sites.region_minimum_bps, by_region),
        network_minimum_bps=int(_planned(np.array([sites.network_minimum_bps]), *whole)[0]),
    )


def _mean(weighed: F64, carried: F64) -> F64:
    return np.where(carried > 0, parted(weighed, carried), 1.0)


def _planned(limit_bps: I64, background_bps: F64, factor: F64) -> I64:
    """A limit in planned demand; one that is none stays none."""
    left = np.maximum(limit_bps - background_bps, 0.0) / factor
    return np.where(limit_bps >= UNLIMITED, UNLIMITED, np.minimum(left, float(UNLIMITED // 2))).astype(np.int64)


def _projected(given: Round, known: Learnt, flow_bps: F64) -> dict[str, PlannedEdge]:
    """What the plan expects of edges a round from now."""
    load = known.passed(given.rules.round_s, _lag_s(given)).load(flow_bps)
    columns = (load, known.background_bps, known.factor * 1000)
    numbers = zip(*(np.rint(column).astype(np.int64).tolist() for column in columns), strict=True)
    return {edge: PlannedEdge(*each) for edge, each in zip(given.sites.edges, numbers, strict=True)}


def _caps(sites: Sites, solution: Solution) -> tuple[BindingCap, ...]:
    """The limits that hold something back, dearest first; what may carry nothing at all is no limit but a loss."""
    levels: tuple[tuple[str, tuple[str, ...], I64, Level], ...] = (
        ("edge", sites.edges, sites.edge_capacity_bps, solution.edges),
        ("pop", sites.pops, sites.pop_capacity_bps, solution.pops),
        ("region", sites.regions, sites.region_capacity_bps, solution.regions),
        ("network", ("network",), np.array([sites.network_capacity_bps]), solution.network),
    )
    found = [
        BindingCap(kind, names[at], int(capacity[at]), round(float(level.worth[at]), 6))
        for kind, names, capacity, level in levels
        for at in np.flatnonzero((level.worth > _LEAST_WORTH) & (capacity > 0)).tolist()
    ]
    return tuple(sorted(found, key=lambda cap: (-cap.price, cap.kind, cap.name)))
