"""The simulated world: viewers in networks of cities, edges in PoPs, round trips between them, and resolvers.

`build` makes all of it of rules, facts and a seed; the same three make the same world. Parts that do not depend on one
another draw from streams of their own, so that a world with more PoPs is the same world otherwise, and its first PoPs
are those of the smaller one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from gslb.model.geography import CONTINENT_OF
from gslb.model.inventory import ANY_ISP, Edge, Location
from gslb.simulate import geography, outside, resolvers, rtt
from gslb.simulate.geography import Facts, Metro, Network
from gslb.simulate.outside import Outside, Site, ViewPlace
from gslb.simulate.resolvers import Places, ResolverRules
from gslb.simulate.rtt import RttRules

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

PUBLIC_ISPS: Final = (("public-1", True), ("public-2", False))
"""The networks of public resolvers, and whether they send Client Subnet."""
GREEDY, RANDOM = "greedy", "random"
_EVEN_PART: Final = 0.2
"""Of all capacity: spread evenly; the rest goes where demand is nearest."""
_GBPS: Final = 10**9
_PATHS, _RESOLVERS, _SITES = 0, 1, 2  # streams of random numbers


@dataclass(frozen=True, slots=True)
class WorldRules:
    """What the world is made of: the ``metros`` most populous (of ``countries``, empty: all), ``pops`` PoPs of
    ``edges_per_pop`` edges each. Of several edges the last is in every network, the others each in one of the
    country's, largest first; a single one is in every network.

    ``placement`` "greedy" puts each PoP where it shortens the way of most viewers, "random" where people happen to
    live. ``capacity_ratio`` is all capacity over mean demand.
    """

    metros: int = 120
    countries: tuple[str, ...] = ()
    pops: int = 40
    edges_per_pop: int = 2
    placement: str = GREEDY
    capacity_ratio: float = 2.2
    rtt: RttRules = field(default_factory=RttRules)
    resolvers: ResolverRules = field(default_factory=ResolverRules)


@dataclass(frozen=True, slots=True)
class World:
    """Columns of V views, E edges, R resolvers and C pairs of view and resolver; ``*_share`` are parts of all demand in
    the mean of a day and sum to 1; ``resolver_kind`` is one of `resolvers.LOCAL`, `FAR`, `PUBLIC`, `NEAR`;
    ``resolver_view`` is what the server sees of one that sends no Client Subnet."""

    views: tuple[ViewPlace, ...]
    lat: F64
    lon: F64
    demand_share: F64
    utc_offset_h: F64
    access_ms: F64
    edges: tuple[Edge, ...]
    pops: tuple[str, ...]
    pop_of_edge: I64
    rtt_ms: F64  # (V, E)
    resolver_view: I64
    resolver_kind: I64
    sends_ecs: Mask
    client_resolver: I64
    client_view: I64
    client_share: F64
    seed: int


def build(rules: WorldRules, facts: Facts, mean_bps: float, seed: int, given: Outside | None = None) -> World:
    """The world of some rules, whose viewers ask for ``mean_bps`` in the mean of a day; ``given`` counts before rules.

    Raises ValueError where the rules leave no metro or ask for more PoPs than there are metros, and where nothing of
    the demand that is given is in this world.
    """
    given = given or Outside()
    metros = metros_of(rules, facts)
    if not metros:
        raise ValueError("no metro is left in the countries that are asked for")
    sites = given.sites or place(rules, metros, seed)
    views, metro_of_view, share = _views(rules, metros, facts)
    if given.demand is not None:
        share = outside.demand_shares(given.demand, views, share)
    lat, lon = _column(metros, "lat")[metro_of_view], _column(metros, "lon")[metro_of_view]
    mobile = np.array([view.mobile for view in views], dtype=np.bool_)
    access = rtt.access_ms(rules.rtt, mobile)
    edges, pop_of_edge = _edges(rules, facts, sites, _capacities(rules, lat, lon, share, sites, mean_bps))
    in_isp, at_home = belonging(views, edges)
    paths = _paths(rules.rtt, lat, lon, sites, seed)
    if given.paths_ms is not None:
        paths = outside.spread_like(paths, given.paths_ms)
    rtt_ms = paths[:, pop_of_edge] + access[:, None] + rtt.mismatch_ms(rules.rtt, in_isp, at_home)
    if given.rtt is not None:
        # Measured by viewers: access and foreign networks are in it.
        measured = outside.measured_ms(given.rtt, views, [site.pop for site in sites])[:, pop_of_edge]
        rtt_ms = np.where(np.isnan(measured), rtt_ms, measured)
    public = [
        np.array([at for at, view in enumerate(views) if view.isp == isp], dtype=np.int64) for isp, _ in PUBLIC_ISPS
    ]
    isps = {isp: number for number, isp in enumerate(sorted({view.isp for view in views}))}
    found = resolvers.assign(
        rules.resolvers,
        Places(
            km=geography.distance_km(lat, lon, lat, lon),
            network=np.array([isps[view.isp] for view in views], dtype=np.int64),
            metro=metro_of_view,
            demand_share=share,
        ),
        public,
        [sends for _, sends in PUBLIC_ISPS],
        np.random.default_rng((seed, _RESOLVERS)),
    )
    return World(
        views=views,
        lat=lat,
        lon=lon,
        demand_share=share,
        utc_offset_h=np.round(lon / 15.0),
        access_ms=access,
        edges=edges,
        pops=tuple(site.pop for site in sites),
        pop_of_edge=pop_of_edge,
        rtt_ms=rtt_ms,
        resolver_view=found.view,
        resolver_kind=found.kind,
        sends_ecs=found.sends_ecs,
        client_resolver=found.client_resolver,
        client_view=found.client_view,
        client_share=found.client_share,
        seed=seed,
    )


def metros_of(rules: WorldRules, facts: Facts) -> tuple[Metro, ...]:
    """The metros of a world, most populous first."""
    wanted = [metro for metro in facts.metros if not rules.countries or metro.country in rules.countries]
    return tuple(wanted[: rules.metros])


def place(rules: WorldRules, metros: Sequence[Metro], seed: int) -> tuple[Site, ...]:
    """Where the PoPs of some rules stand, in the order in which they are added; named like their metros."""
    if rules.pops > len(metros):
        raise ValueError(f"{rules.pops} PoPs are asked for, and there are {len(metros)} metros to put them into")
    people = _column(metros, "population")
    if rules.placement == RANDOM:
        # Weighted sampling without replacement (Efraimidis and Spirakis): by exponential times over weights.
        order = np.argsort(np.random.default_rng((seed, _SITES)).exponential(size=len(metros)) / people)
    else:
        order = _greedy(_column(metros, "lat"), _column(metros, "lon"), people, rules.pops)
    chosen = [metros[at] for at in order[: rules.pops].tolist()]
    return tuple(Site(metro.code.lower(), metro.country, metro.code, metro.lat, metro.lon) for metro in chosen)


def _greedy(lat: F64, lon: F64, people: F64, count: int) -> I64:
    # Roots: what counts is to be near many, not to be in the middle of all.
    km = np.sqrt(geography.distance_km(lat, lon, lat, lon))
    way = np.full(len(lat), 200.0)
    found: list[int] = []
    for _ in range(count):
        left = people @ np.minimum(way[:, None], km)
        left[found] = np.inf
        found.append(int(np.argmin(left)))
        way = np.minimum(way, km[:, found[-1]])
    return np.array(found, dtype=np.int64)


def _views(rules: WorldRules, metros: Sequence[Metro], facts: Facts) -> tuple[tuple[ViewPlace, ...], I64, F64]:
    """Views, the metro of each, and its part of demand; those of public resolvers' sites come last."""
    people = _column(metros, "population")
    views, metro_of, share = [], [], []
    for at, metro in enumerate(metros):
        for network in facts.networks[metro.country]:
            views.append(_view(metro, network))
            metro_of.append(at)
            share.append(people[at] / people.sum() * network.share)
    for isp, _ in PUBLIC_ISPS:
        for at, metro in enumerate(metros[: rules.resolvers.sites]):
            views.append(_view(metro, Network(isp, False, 0.0)))
            metro_of.append(at)
            share.append(0.0)
    parts = np.array(share)
    return tuple(views), np.array(metro_of, dtype=np.int64), parts / parts.sum()


def _view(metro: Metro, network: Network) -> ViewPlace:
    name = f"{metro.name} {network.isp}"
    return ViewPlace(name, metro.name, metro.country, metro.code, network.isp, network.mobile)


def _paths(rules: RttRules, lat: F64, lon: F64, sites: Sequence[Site], seed: int) -> F64:
    """Paths from views to PoPs, shape (views, PoPs), without access and mismatch.

    Each PoP draws from a stream that its name chooses, so that it has the same paths wherever it comes in the list.
    """
    km = geography.distance_km(lat, lon, _column(sites, "lat"), _column(sites, "lon"))
    found = np.empty_like(km)
    for at, site in enumerate(sites):
        rng = np.random.default_rng((seed, _PATHS, int.from_bytes(site.pop.encode())))
        found[:, at] = rtt.paths_ms(rules, km[:, at], rng)
    return found


def _capacities(rules: WorldRules, lat: F64, lon: F64, share: F64, sites: Sequence[Site], mean_bps: float) -> F64:
    """The capacity of each PoP: as given, else by the demand that is nearest to it."""
    nearest = np.argmin(geography.distance_km(lat, lon, _column(sites, "lat"), _column(sites, "lon")), axis=1)
    near = np.bincount(nearest, weights=share, minlength=len(sites))
    part = (1.0 - _EVEN_PART) * near + _EVEN_PART / len(sites)
    given = np.array([float(site.capacity_bps) for site in sites])
    return np.where(given > 0, given, part * mean_bps * rules.capacity_ratio)


def _edges(rules: WorldRules, facts: Facts, sites: Sequence[Site], capacity_bps: F64) -> tuple[tuple[Edge, ...], I64]:
    """The edges of each PoP: inside single networks by their share, the last inside all; and the PoP of each."""
    edges, pop_of = [], []
    for at, site in enumerate(sites):
        networks = facts.networks.get(site.country, ())[: rules.edges_per_pop - 1]
        # The one in every network is as large as all others together, so that each viewer finds room.
        parts = [network.share for network in networks]
        parts = [part / sum(parts) / 2 for part in parts] + [0.5 if parts else 1.0]
        isps = [(network.isp,) for network in networks] + [(ANY_ISP,)]
        place = Location(site.country, site.region, site.lat, site.lon, CONTINENT_OF[site.country])
        for number, (part, names) in enumerate(zip(parts, isps, strict=True), 1):
            capacity = _rounded(part * float(capacity_bps[at]))
            edges.append(Edge(f"{site.pop}-{number}", site.pop, (), (), place, names, capacity))
            pop_of.append(at)
    return tuple(edges), np.array(pop_of, dtype=np.int64)


def _rounded(bps: float) -> int:
    """A capacity as one would buy it: whole Gbps, or whole parts of ten thousand where it is less than ten."""
    step = _GBPS if bps >= 10 * _GBPS else max(1, int(bps / 10_000))
    return max(1, round(bps / step)) * step


def belonging(views: Sequence[ViewPlace], edges: Sequence[Edge]) -> tuple[Mask, Mask]:
    """Which edges are inside the network of which views, and which in their country; each (V, E)."""
    in_isp = np.array(
        [[ANY_ISP in edge.isps or view.isp in edge.isps for edge in edges] for view in views], dtype=np.bool_
    )
    at_home = np.array([[view.country == edge.location.country for edge in edges] for view in views], dtype=np.bool_)
    return in_isp, at_home


def _column(rows: Sequence[Metro] | Sequence[Site], name: str) -> F64:
    return np.array([float(getattr(row, name)) for row in rows])
