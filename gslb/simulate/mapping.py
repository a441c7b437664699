"""How well clients of public resolvers are mapped, with Client Subnet and without, as PoPs grow in number.

A static comparison, without load: which edge such clients get, how far off it is and how long a round trip takes, and
what the best possible choice would have been. Beside it stand the figures that Akamai published of its own network
(Chen, Sitaraman, Torres: "End-User Mapping: Next Generation Request Routing for Content Delivery", SIGCOMM 2015).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from gslb.errors import ConfigError
from gslb.model.dispatch import DispatchRules
from gslb.model.geography import CONTINENT_OF
from gslb.model.intent import NEAREST
from gslb.model.rtt import Rtt, RttTable
from gslb.model.view import View, ViewTable
from gslb.plan.costs import route_costs
from gslb.policy import affinity
from gslb.simulate import geography, resolvers
from gslb.simulate.geography import Facts
from gslb.simulate.scenario import MappingRules, Scenario
from gslb.simulate.world import World, belonging, build

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

PLANNED, LOCAL, RESOLVER, IDEAL = "planned", "local policy", "by resolver", "ideal"
WAYS: Final = (PLANNED, LOCAL, RESOLVER, IDEAL)
"""Ways of mapping: a plan's row for the client's view where no capacity binds (its cheapest arc); the local policy
``nearest`` for the client's view; the same for the view of the resolver's address; the least round trip there is."""

AKAMAI_DISTANCE: Final = 8.0
"""How many times nearer edges were with Client Subnet."""
AKAMAI_P99_ECS: Final = -0.40
AKAMAI_P99_RESOLVER: Final = -0.15
"""By how much the 99th percentile of round trips fell from 20 to 160 PoPs: with Client Subnet, and at most without."""
MOST_EXCESS: Final = 0.02
"""How much longer than the ideal our mean round trip may be."""

_ESTIMATES: Final = 3  # a stream of random numbers beside those of gslb.simulate.world


@dataclass(frozen=True, slots=True)
class Mapped:
    """Clients mapped in one way: mean distance to their edge, round trips (mean and percentiles) with all that a viewer
    waits for, and the 99th percentile of the path alone, without the access line, as routers near viewers see it."""

    km: float
    rtt_ms: float
    p50_ms: float
    p99_ms: float
    path_p99_ms: float


@dataclass(frozen=True, slots=True)
class Step:
    """All ways with some number of PoPs; each is the mean over the worlds."""

    pops: int
    ways: dict[str, Mapped]

    @property
    def excess(self) -> float:
        """By which part the planned mean round trip is longer than the ideal one."""
        return self.ways[PLANNED].rtt_ms / self.ways[IDEAL].rtt_ms - 1.0

    @property
    def nearer(self) -> float:
        """How many times nearer edges are with Client Subnet than by resolver."""
        return self.ways[RESOLVER].km / max(1e-9, self.ways[PLANNED].km)


def compare(
    worlds: Sequence[World], counts: Sequence[int], rules: DispatchRules, estimate_log_sd: float
) -> tuple[Step, ...]:
    """The ways with the first ``counts`` PoPs of each world, the mean of ``worlds``.

    Servers go by round trips as they are measured of each network: the true ones with a log-normal error
    (``estimate_log_sd``). No viewer is in the network of a public resolver, so nothing is measured from there.
    """
    found = []
    for count in counts:
        parts = [_ways(world, count, rules, estimate_log_sd) for world in worlds]
        ways = {
            way: Mapped(*(float(np.mean([getattr(part[way], name) for part in parts])) for name in Mapped.__slots__))
            for way in WAYS
        }
        found.append(Step(count, ways))
    return tuple(found)


def of_scenario(scenario: Scenario, path: str, facts: Facts | None = None) -> tuple[Step, ...]:
    """The comparison that a scenario asks for, or the usual one; its worlds differ in their seeds alone.

    Raises `ConfigError` of the scenario at ``path`` where it has fewer metros than PoPs are asked for.
    """
    asked = scenario.mapping or MappingRules()
    rules = dataclasses.replace(scenario.world, pops=max(asked.pops))
    facts = facts or geography.shipped()
    try:
        worlds = [
            build(rules, facts, scenario.demand.mean_bps, scenario.seed + number) for number in range(asked.worlds)
        ]
    except ValueError as error:
        raise ConfigError(path, 0, 0, f"mapping: {error}") from error
    return compare(worlds, asked.pops, scenario.dispatch, asked.estimate_log_sd)


def change(steps: Sequence[Step], way: str) -> float:
    """By which part the 99th percentile of paths of one way changes from the first step to the last."""
    first, last = (step.ways[way].path_p99_ms for step in (steps[0], steps[-1]))
    return last / first - 1.0


def table(steps: Sequence[Step]) -> list[str]:
    """All figures, and Akamai's beside them, as lines of text."""
    lines = [f"{'PoPs':>4}  {'mapping':<12} {'km':>6} {'mean ms':>8} {'p50 ms':>7} {'p99 ms':>7} {'path p99 ms':>12}"]
    for step in steps:
        lines += [
            f"{step.pops:>4}  {way:<12} {row.km:>6.0f} {row.rtt_ms:>8.1f} {row.p50_ms:>7.1f} {row.p99_ms:>7.1f}"
            f" {row.path_p99_ms:>12.1f}"
            for way, row in step.ways.items()
        ]
    last = steps[-1]
    span = f"path p99 from {steps[0].pops} to {last.pops} PoPs"
    lines += [
        "",
        f"{'':<36} {'here':>8} {'Akamai':>8}",
        f"{'distance by resolver / with ECS':<36} {last.nearer:>7.1f}× {AKAMAI_DISTANCE:>7.1f}×",
        f"{span + ', ECS':<36} {change(steps, PLANNED):>8.0%} {AKAMAI_P99_ECS:>8.0%}",
        f"{span + ', resolver':<36} {change(steps, RESOLVER):>8.0%} {AKAMAI_P99_RESOLVER:>8.0%}",
        f"{'mean round trip over ideal, worst':<36} {max(step.excess for step in steps):>8.2%} {'':>8}",
    ]
    return lines


def _ways(world: World, count: int, rules: DispatchRules, estimate_log_sd: float) -> dict[str, Mapped]:
    """The ways for the clients of public resolvers, with the first PoPs of a world."""
    edges = np.flatnonzero(world.pop_of_edge < count)
    rows = np.flatnonzero(world.resolver_kind[world.client_resolver] == resolvers.PUBLIC)
    client, share = world.client_view[rows], world.client_share[rows] / world.client_share[rows].sum()
    seen = world.resolver_view[world.client_resolver[rows]]
    rtt_ms = world.rtt_ms[:, edges]
    estimate = _estimates(world, estimate_log_sd)[:, edges]
    nearest = _nearest(world, edges, estimate)
    chosen = {
        PLANNED: _planned(world, edges, estimate, rules)[client],
        LOCAL: nearest[client],
        RESOLVER: nearest[seen],
        IDEAL: _least(rtt_ms)[client],
    }
    at = np.array([(world.edges[edge].location.lat, world.edges[edge].location.lon) for edge in edges.tolist()])
    km = geography.distance_km(world.lat, world.lon, at[:, 0], at[:, 1])[client]
    path_ms = rtt_ms - world.access_ms[:, None]
    return {way: _mapped(chosen[way] * share[:, None], km, rtt_ms[client], path_ms[client]) for way in WAYS}


def _estimates(world: World, log_sd: float) -> F64:
    """Round trips as they are measured, (V, E), NaN of views without viewers. The error is of a PoP: it stands however
    many PoPs are looked at."""
    found = np.empty_like(world.rtt_ms)
    for pop in range(len(world.pops)):
        rng = np.random.default_rng((world.seed, _ESTIMATES, pop))
        mine = world.pop_of_edge == pop
        found[:, mine] = world.rtt_ms[:, mine] * np.exp(log_sd * rng.standard_normal(len(world.views)))[:, None]
    found[world.demand_share <= 0] = np.nan
    return found


def _nearest(world: World, edges: I64, estimate: F64) -> F64:
    """What part of each view's clients each edge gets by the local policy ``nearest`` while nothing is short: the
    edges of the first level, by capacity."""
    views = [
        View(each.country, each.region, each.isp, 0, CONTINENT_OF[each.country], float(lat), float(lon))
        for each, lat, lon in zip(world.views, world.lat, world.lon, strict=True)
    ]
    pool = [world.edges[edge] for edge in edges.tolist()]
    # Of a PoP's edges the last one's, which is inside every network: measurements are of PoPs.
    column = {edge.pop: at for at, edge in enumerate(pool)}
    table = RttTable(
        tuple(
            Rtt(view.country, view.region, view.isp, pop, float(estimate[at, edge]))
            for at, view in enumerate(views)
            if not np.isnan(estimate[at, 0])
            for pop, edge in column.items()
        )
    )
    levels = affinity.levels(ViewTable.of(views), pool, [1] * len(pool), (NEAREST,), table)[1:]
    capacity = np.array([float(edge.capacity_bps) for edge in pool])
    weight = np.where(levels == levels.min(axis=1, keepdims=True), capacity, 0.0)
    found: F64 = weight / weight.sum(axis=1, keepdims=True)
    return found


def _planned(world: World, edges: I64, estimate: F64, rules: DispatchRules) -> F64:
    """The cheapest arc of each view: what a plan gives it while no capacity binds."""
    in_isp, at_home = belonging(world.views, [world.edges[edge] for edge in edges.tolist()])
    cost = route_costs(rules, estimate, in_isp, at_home, np.full(estimate.shape, rules.price))
    return _least(np.where(np.isnan(cost), np.inf, cost))


def _least(values: F64) -> F64:
    """1 where a row has its least value (the first, if several), else 0."""
    found = np.zeros(values.shape)
    found[np.arange(len(values)), np.argmin(values, axis=1)] = 1.0
    return found


def _mapped(share: F64, km: F64, rtt_ms: F64, path_ms: F64) -> Mapped:
    """Figures of clients, of whom ``share`` (rows, edges) go to each edge."""
    used = share > 0
    weight = share[used]
    p50, p99 = _quantiles(rtt_ms[used], weight, (0.5, 0.99))
    (path,) = _quantiles(path_ms[used], weight, (0.99,))
    return Mapped(float(km[used] @ weight), float(rtt_ms[used] @ weight), p50, p99, path)


def _quantiles(values: F64, weight: F64, at: Sequence[float]) -> list[float]:
    """The least values that are not exceeded by parts ``at`` of the weight, which sums to 1."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    places = np.minimum(np.searchsorted(reached, np.array(at) * reached[-1]), len(order) - 1)
    return [float(value) for value in values[order][places]]
