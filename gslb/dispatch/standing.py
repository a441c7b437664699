"""What edges can take now: their capacity, less what operators and maintenance take away, and why others take nothing.

An edge is left alone where every family that it has addresses of is down, by the rules by which servers judge reports,
or is drained. What takes a part of its weight (a drain that has begun, a ramp, a slow start, a window of maintenance to
come) takes that part of its capacity. Orders that are limited to a service or to a view act by servers alone; only a
drain shuts the edge to those groups here too. A pin is no matter of plans: servers answer with its edges whatever a
plan says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gslb.dispatch.network import Network
from gslb.health import judge as health
from gslb.model.dispatch import NodeRules
from gslb.model.override import KIND_DRAIN, KIND_PIN, Override
from gslb.model.plan import DOWN, DRAIN
from gslb.model.report import StoreState
from gslb.plan.feedback import UNKNOWN
from gslb.plan.problem import F64, I64, NOWHERE, UNLIMITED, GroupKey, Mask, Sites
from gslb.plan.round import Live
from gslb.plan.schedule import maintenance_capacity
from gslb.policy import override as overriding


@dataclass(frozen=True, slots=True)
class Standing:
    """Sites with what is left of their capacity, and what is known of edges; ``usable`` says of each edge whether
    anything may go there."""

    sites: Sites
    live: Live
    usable: Mask


def standing(network: Network, state: StoreState, clock_ms: int) -> Standing:
    """How the edges are at ``clock_ms`` of the store's clock."""
    sites = sites_of(network)
    verdicts = _verdicts(network, state)
    judged = _judged(network, verdicts)
    factor = maintenance_capacity(network.intent.events, sites, clock_ms / 1000)
    factor = factor * _ordered(network, state, clock_ms // 1000)
    leaving = tuple(judged[at] or ("" if part > 0 else DRAIN) for at, part in enumerate(factor.tolist()))
    reports = [state.reports.get(edge.id) for edge in network.edges]
    for at, report in enumerate(reports):
        if report is not None:
            factor[at] *= (
                overriding.slow_start_milli(report.slow_since_ms, clock_ms // 1000, network.intent.health.slow_start_s)
                / 1000
            )
            if report.capacity_bps:
                sites.edge_capacity_bps[at] = min(sites.edge_capacity_bps[at], report.capacity_bps)
    usable = np.array([not why for why in leaving], dtype=np.bool_)
    capacity = np.where(
        sites.edge_capacity_bps >= UNLIMITED, UNLIMITED, sites.edge_capacity_bps.astype(np.float64) * factor
    ).astype(np.int64)
    capacity[~usable] = 0
    load = [
        report.load_bps if report is not None and known and (report.load_bps or report.capacity_bps) else UNKNOWN
        for report, known in zip(reports, _fresh(verdicts), strict=True)
    ]
    return Standing(
        replace(sites, edge_capacity_bps=capacity, usable=usable), Live(leaving, np.array(load, dtype=np.int64)), usable
    )


def sites_of(network: Network) -> Sites:
    """The tree of limits as the files have it. What is in no PoP's or region's rules has no limit there; an edge of
    unknown capacity has none either."""
    rules = network.rules
    pops = tuple(sorted({edge.pop for edge in network.edges}))
    regions = tuple(sorted(rules.regions))
    pop_at = {name: at for at, name in enumerate(pops)}
    region_of = {pop: at for at, name in enumerate(regions) for pop in rules.regions[name].pops}
    of_edges = [network.node(at) for at in range(len(network.edges))]
    of_pops = [rules.pops.get(pop, NodeRules()) for pop in pops]
    of_regions = [rules.regions[name].node for name in regions]
    inventory = [edge.capacity_bps or UNLIMITED for edge in network.edges]
    return Sites(
        edges=tuple(edge.id for edge in network.edges),
        pops=pops,
        regions=regions,
        pop_of_edge=_column(pop_at[edge.pop] for edge in network.edges),
        region_of_pop=_column(region_of.get(pop, NOWHERE) for pop in pops),
        edge_capacity_bps=_column(
            most if node.capacity_bps is None else min(most, node.capacity_bps)
            for node, most in zip(of_edges, inventory, strict=True)
        ),
        pop_capacity_bps=_limits(of_pops),
        region_capacity_bps=_limits(of_regions),
        network_capacity_bps=UNLIMITED if rules.network.capacity_bps is None else rules.network.capacity_bps,
        edge_minimum_bps=_column(node.minimum_bps for node in of_edges),
        pop_minimum_bps=_column(node.minimum_bps for node in of_pops),
        region_minimum_bps=_column(node.minimum_bps for node in of_regions),
        network_minimum_bps=rules.network.minimum_bps,
    )


def barred(
    network: Network, state: StoreState, clock_s: int, groups: Iterable[GroupKey]
) -> dict[GroupKey, frozenset[str]]:
    """The edges that drains for a service or a view shut to groups, at ``clock_s`` of the store's clock."""
    acting = [
        (each, frozenset(network.edges[at].id for at in _targets(network, each)))
        for each in state.overrides.values()
        if each.kind == KIND_DRAIN and _is_limited(each) and not _milli(network, each, clock_s)
    ]
    found = {}
    for key in groups if acting else ():
        edges = frozenset(edge for each, edges in acting if _is_meant(each, key) for edge in edges)
        if edges:
            found[key] = edges
    return found


def _fresh(found: health.Judged) -> Sequence[bool]:
    """Whether what an edge reported is its state now, and not one from before it fell silent."""
    best = np.minimum(found.verdict4, found.verdict6)
    return [bool(each) for each in (best != health.VERDICT_UNKNOWN) & found.said & ~found.gone & ~found.held]


def _judged(network: Network, found: health.Judged) -> list[str]:
    reasons = {health.VERDICT_DOWN: DOWN, health.VERDICT_DRAIN: DRAIN}
    told = []
    for at, edge in enumerate(network.edges):
        verdicts = [int(found.verdict4[at])] * bool(edge.v4) + [int(found.verdict6[at])] * bool(edge.v6)
        told.append(reasons.get(min(verdicts, default=health.VERDICT_UP), ""))
    return told


def _verdicts(network: Network, state: StoreState) -> health.Judged:
    return health.judge(
        [edge.id for edge in network.edges],
        [edge.location.continent for edge in network.edges],
        [edge.capacity_bps for edge in network.edges],
        state,
        network.intent.health,
    )


def _ordered(network: Network, state: StoreState, clock_s: int) -> F64:
    """The part that operators leave of each edge."""
    found = np.ones(len(network.edges))
    for each in state.overrides.values():
        if each.kind != KIND_PIN and not _is_limited(each):
            part = _milli(network, each, clock_s) / 1000
            for at in _targets(network, each):
                found[at] *= part
    return found


def _milli(network: Network, override: Override, clock_s: int) -> int:
    return overriding.factor_milli(override, clock_s, network.intent.health.slow_start_s)


def _is_limited(override: Override) -> bool:
    return bool(override.target.service or override.target.view.strip("|"))


def _targets(network: Network, override: Override) -> Iterator[int]:
    target = override.target
    for at, edge in enumerate(network.edges):
        if edge.id == target.edge or (target.pop and edge.pop == target.pop):
            yield at


def _is_meant(override: Override, key: GroupKey) -> bool:
    wanted = override.target.view.split("|") if override.target.view else []
    return override.target.service in ("", key.service) and all(
        not asked or asked == has for asked, has in zip(wanted, key[1:], strict=False)
    )


def _column(numbers: Iterable[int]) -> I64:
    return np.fromiter(numbers, dtype=np.int64)


def _limits(nodes: Iterable[NodeRules]) -> I64:
    return _column(UNLIMITED if node.capacity_bps is None else node.capacity_bps for node in nodes)
