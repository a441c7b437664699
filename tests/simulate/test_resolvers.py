"""Who asks by which resolver: the parts of demand are exact, and each resolver is as far off as its kind says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gslb.simulate import geography, resolvers, world
from gslb.simulate.resolvers import FAR, FAR_KM, LOCAL, NEAR, PUBLIC, Places, ResolverRules
from gslb.simulate.world import World, WorldRules

FACTS = geography.shipped()


def build(rules: ResolverRules, seed: int = 1) -> World:
    return world.build(WorldRules(metros=80, pops=4, resolvers=rules), FACTS, 1e12, seed)


RULES = [
    ResolverRules(),
    ResolverRules(public=0.3),
    ResolverRules(public=0.3, ecs=1.0, detour=0.0),
    ResolverRules(public=0.08, ecs=0.0, detour=1.0),
    ResolverRules(public=0.0, local=1.0, far=0.0),
    ResolverRules(public=1.0, local=0.0, far=0.0, sites=1),
]


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_parts_of_demand(rules: ResolverRules) -> None:
    made = build(rules)
    kind = made.resolver_kind[made.client_resolver]
    parts = {each: made.client_share[kind == each].sum() for each in (LOCAL, FAR, PUBLIC, NEAR)}
    left = 1 - rules.local - rules.far - rules.public
    assert parts == pytest.approx({LOCAL: rules.local, FAR: rules.far, PUBLIC: rules.public, NEAR: left})
    assert made.client_share[made.sends_ecs[made.client_resolver]].sum() == pytest.approx(rules.public * rules.ecs)
    assert (made.client_share > 0).all()


def test_distances_by_kind() -> None:
    made = build(ResolverRules(public=0.2))
    at = made.resolver_view[made.client_resolver]
    kind = made.resolver_kind[made.client_resolver]
    km = geography.distance_km(made.lat, made.lon, made.lat, made.lon)[made.client_view, at]
    assert (at == made.client_view)[kind == LOCAL].all()
    assert (km[kind == FAR] > FAR_KM).all()
    near = made.client_share[(kind == NEAR) & (km > 0) & (km <= FAR_KM)].sum() / made.client_share[kind == NEAR].sum()
    assert near > 0.9  # the rest has no other city so near
    order = np.argsort(km[kind == PUBLIC])
    reached = np.cumsum(made.client_share[kind == PUBLIC][order]) / 0.2
    median_km = km[kind == PUBLIC][order][np.searchsorted(reached, 0.5)]
    assert 1000 < median_km < 2500
    pairs = zip(made.client_view[kind == NEAR], at[kind == NEAR], strict=True)
    own = [made.views[client].isp == made.views[resolver].isp for client, resolver in pairs]
    assert np.mean(own) > 0.5


def test_detours_lead_elsewhere() -> None:
    straight, wrong = (build(ResolverRules(public=1, local=0, far=0, detour=part)) for part in (0.0, 1.0))
    for made, nearest in ((straight, True), (wrong, False)):
        sites = np.flatnonzero([view.isp == "public-1" for view in made.views])
        km = geography.distance_km(made.lat, made.lon, made.lat[sites], made.lon[sites])
        at = made.resolver_view[made.client_resolver]
        own = geography.distance_km(made.lat, made.lon, made.lat, made.lon)[made.client_view, at]
        hit = own <= km[made.client_view].min(axis=1) + 1e-6
        assert hit.all() if nearest else not hit.any()


@pytest.mark.parametrize("ecs", [(True,), (False,), (True, True, False)])
def test_providers_share_their_part_evenly(ecs: tuple[bool, ...]) -> None:
    km = np.array([[0.0, 50.0, 99.0], [50.0, 0.0, 99.0], [99.0, 99.0, 0.0]])
    places = Places(km, np.zeros(3, dtype=np.int64), np.arange(3), np.array([0.5, 0.5, 0.0]))
    rules = ResolverRules(public=0.6, local=0.4, far=0.0, ecs=0.5, detour=0.5)
    site = np.array([2])
    made = resolvers.assign(rules, places, [site] * len(ecs), ecs, np.random.default_rng(1))
    public = made.kind == PUBLIC
    assert made.sends_ecs[public].sum() == sum(ecs)
    share = np.bincount(made.client_resolver, weights=made.client_share)
    assert share[public].sum() == pytest.approx(0.6)
    part = 0.6 if len(set(ecs)) == 1 else 0.3
    assert share[made.sends_ecs].sum() == pytest.approx(part if any(ecs) else 0)


def test_one_city_has_nowhere_else_to_go() -> None:
    alone = Places(np.zeros((1, 1)), np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64), np.ones(1))
    made = resolvers.assign(dataclasses.replace(ResolverRules(), public=0.0), alone, [], [], np.random.default_rng(1))
    assert set(made.view.tolist()) == {0}
    assert made.client_share.sum() == pytest.approx(1)
