"""The simulated world: of rules and a seed, the same each time, with shares, paths and capacities as the rules say."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from gslb.errors import Findings
from gslb.model.demand import Demand
from gslb.model.inventory import ANY_ISP
from gslb.model.rtt import Rtt, RttTable
from gslb.simulate import geography, outside, world
from gslb.simulate.outside import Outside, Site
from gslb.simulate.resolvers import FAR, LOCAL, NEAR, PUBLIC, ResolverRules
from gslb.simulate.rtt import RttRules
from gslb.simulate.world import World, WorldRules

FACTS = geography.shipped()
T = 10**12
STILL = RttRules(log_sd=0.0)


def build(seed: int = 1, given: Outside | None = None, **rules: Any) -> World:
    return world.build(WorldRules(**{"metros": 30, "pops": 8, **rules}), FACTS, T, seed, given)


def alike(one: World, other: World) -> bool:
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in dataclasses.fields(World)]
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)


def test_the_shipped_facts() -> None:
    assert len(FACTS.metros) > 200
    assert len({metro.code for metro in FACTS.metros}) == len(FACTS.metros)
    assert {metro.country for metro in FACTS.metros} == set(FACTS.networks)
    for networks in FACTS.networks.values():
        assert sum(network.share for network in networks) == pytest.approx(1)
    assert [network.isp for network in FACTS.networks["NG"]] == ["ng-cell-1", "ng-cell-2"]


FAULTY = [
    # metros, isps, what is told
    ("TOK,Tokyo,JP,95,1,1", "", "m:2:14: lat: '95' is not a number from -90 to 90"),
    ("TOK,Tokyo,JP,x,1,1", "", "m:2:14: lat: 'x' is not a number from -90 to 90"),
    ("TOK,Tokyo,JP,nan,1,1", "", "m:2:14: lat: 'nan' is not a number from -90 to 90"),
    ("tok,Tokyo,JP,5,1,1", "", "m:2:1: code: 'tok' is not three capital letters or digits"),
    ("TOK,Tokyo,JP,5,1,1\nTOK,Tokyo,JP,5,1,1", "", "m:3:1: code: 'TOK' stands twice"),
    ("TOK,Tokyo,XX,5,1,1", "", "m:2:11: country: 'XX' is not an ISO 3166-1 country"),
    ("", "XX,a,fixed,1", "i:2:1: country: 'XX' is not an ISO 3166-1 country"),
    ("", "JP,a,wire,1", "i:2:6: access: 'wire' is not fixed or mobile"),
    ("", "JP,a,fixed,2", "i:2:12: share: '2' is not a number from 0 to 1"),
]


@pytest.mark.parametrize(("metros", "isps", "told"), FAULTY, ids=[row[2] for row in FAULTY])
def test_faults_of_facts(metros: str, isps: str, told: str) -> None:
    findings = Findings()
    heads = ",".join(geography.METRO_COLUMNS), ",".join(geography.ISP_COLUMNS)
    texts = [f"{head}\n{rows}\n".encode() for head, rows in zip(heads, (metros, isps), strict=True)]
    geography.read(texts[0], texts[1], findings, ("m", "i"))
    assert [str(error) for error in findings.errors] == [told]


DISTANCES = [
    # place, place, km
    ((0, 0), (0, 90), 6371 * np.pi / 2),
    ((90, 0), (-90, 0), 6371 * np.pi),
    ((51.51, -0.13), (40.71, -74.01), 5570),
    ((10, 179), (10, -179), 219),
]


@pytest.mark.parametrize(("one", "other", "km"), DISTANCES)
def test_distances(one: tuple[float, float], other: tuple[float, float], km: float) -> None:
    found = geography.distance_km(*(np.array([float(value)]) for value in (*one, *other)))
    assert found[0, 0] == pytest.approx(km, rel=2e-3)


def test_the_same_rules_and_seed_make_the_same_world() -> None:
    assert alike(build(), build())
    assert not alike(build(), build(seed=2))


def test_shares_and_keys() -> None:
    made = build()
    assert made.demand_share.sum() == pytest.approx(1)
    assert made.client_share.sum() == pytest.approx(1)
    by_view = np.bincount(made.client_view, weights=made.client_share, minlength=len(made.views))
    assert by_view == pytest.approx(made.demand_share)
    assert len({(view.country, view.region, view.isp) for view in made.views}) == len(made.views)
    assert len({tuple(row) for row in np.column_stack([made.client_resolver, made.client_view])}) == len(
        made.client_view
    )
    assert set(made.resolver_kind.tolist()) == {LOCAL, FAR, PUBLIC, NEAR}
    assert {made.views[at].isp for at in made.resolver_view[made.resolver_kind == PUBLIC]} == {"public-1", "public-2"}
    assert not made.sends_ecs[made.resolver_kind != PUBLIC].any()
    assert (made.demand_share[[view.isp.startswith("public") for view in made.views]] == 0).all()


def test_more_pops_are_the_same_world_otherwise() -> None:
    for placement in (world.GREEDY, world.RANDOM):
        small, large = (build(pops=pops, edges_per_pop=1, placement=placement) for pops in (5, 12))
        assert large.pops[:5] == small.pops
        assert np.array_equal(large.rtt_ms[:, :5], small.rtt_ms)
        assert np.array_equal(large.client_share, small.client_share)


def test_pops_stand_where_they_help_most() -> None:
    sites = world.place(WorldRules(pops=6), world.metros_of(WorldRules(), FACTS), 1)
    assert [site.pop for site in sites] == ["ckg", "nyc", "cai", "sao", "del", "sel"]


def test_round_trips_are_path_access_and_mismatch() -> None:
    made = build(rtt=STILL, edges_per_pop=2)
    sites = np.array([(edge.location.lat, edge.location.lon) for edge in made.edges])
    km = geography.distance_km(made.lat, made.lon, sites[:, 0], sites[:, 1])
    for at, view in enumerate(made.views):
        for column, edge in enumerate(made.edges):
            inside = view.isp in edge.isps or ANY_ISP in edge.isps
            foreign = 0 if inside else 15 if view.country == edge.location.country else 60
            wanted = 14.8 + 17.3 * km[at, column] / 1000 + (35 if view.mobile else 8) + foreign
            assert made.rtt_ms[at, column] == pytest.approx(wanted)


def test_edges_and_capacities() -> None:
    made = build(edges_per_pop=3, capacity_ratio=2.0)
    capacity = np.array([edge.capacity_bps for edge in made.edges])
    assert capacity.sum() == pytest.approx(2 * T, rel=0.02)
    assert all(bps % 10**9 == 0 for bps in capacity[capacity >= 10**10].tolist())
    for pop in range(len(made.pops)):
        mine = [made.edges[at] for at in np.flatnonzero(made.pop_of_edge == pop)]
        assert [edge.id for edge in mine] == [f"{made.pops[pop]}-{number}" for number in range(1, len(mine) + 1)]
        assert mine[-1].isps == (ANY_ISP,)
        assert all(len(edge.isps) == 1 and edge.isps != (ANY_ISP,) for edge in mine[:-1])
    poor = world.build(WorldRules(metros=3, pops=3), FACTS, 5000.0, 1)
    assert all(edge.capacity_bps > 0 for edge in poor.edges)


def test_hours_follow_the_sun() -> None:
    made = build()
    offsets = {view.metro: hours for view, hours in zip(made.views, made.utc_offset_h.tolist(), strict=True)}
    assert (offsets["Tokyo"], offsets["New York"], offsets["Sao Paulo"]) == (9, -5, -3)


IMPOSSIBLE = [
    ({"countries": ("AQ",)}, "no metro is left"),
    ({"metros": 4}, "8 PoPs are asked for, and there are 4 metros"),
    ({"resolvers": ResolverRules(public=0.5, local=0.6)}, "more than all demand"),
]


@pytest.mark.parametrize(("rules", "told"), IMPOSSIBLE, ids=[row[1] for row in IMPOSSIBLE])
def test_worlds_that_cannot_be(rules: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        build(**rules)


def test_sites_that_are_given() -> None:
    sites = (Site("one", "FR", "PAR", 48.8, 2.3, 7 * 10**9), Site("two", "IS", "", 64.1, -21.9))
    made = build(given=Outside(sites=sites), edges_per_pop=2)
    assert made.pops == ("one", "two")
    assert [(edge.pop, edge.location.country, edge.isps) for edge in made.edges] == [
        ("one", "FR", ("fr-home-1",)),
        ("one", "FR", (ANY_ISP,)),
        ("two", "IS", (ANY_ISP,)),  # no network of that country is known
    ]
    assert sum(edge.capacity_bps for edge in made.edges if edge.pop == "one") == pytest.approx(7 * 10**9, rel=0.01)


def test_round_trips_that_are_given() -> None:
    pop = build().pops[0]
    table = RttTable(
        (
            Rtt("JP", "", "", pop, 11.0),
            Rtt("JP", "TYO", "", pop, 12.0),
            Rtt("JP", "", "jp-home-1", pop, 13.0),
            Rtt("JP", "TYO", "jp-home-2", pop, 14.0),
            Rtt("JP", "", "", "elsewhere", 1.0),
        )
    )
    plain, made = build(), build(given=Outside(rtt=table))
    wanted = {("TYO", "jp-home-1"): 13, ("TYO", "jp-home-2"): 14, ("TYO", "jp-cell-1"): 12, ("OSA", "jp-home-2"): 11}
    mine = made.pop_of_edge == 0
    for at, view in enumerate(made.views):
        if (view.region, view.isp) in wanted:
            assert (made.rtt_ms[at, mine] == wanted[view.region, view.isp]).all()
        elif view.country != "JP":
            assert np.array_equal(made.rtt_ms[at], plain.rtt_ms[at])
    assert np.array_equal(made.rtt_ms[:, ~mine], plain.rtt_ms[:, ~mine])


def test_paths_take_the_distribution_of_a_sample() -> None:
    paths = np.array([[30.0, 10.0], [40.0, 20.0]])
    assert outside.spread_like(paths, np.array([0.0, 100.0])).tolist() == [[62.5, 12.5], [87.5, 37.5]]
    made = build(given=Outside(paths_ms=np.array([5.0, 5.0])), edges_per_pop=1)
    assert made.rtt_ms == pytest.approx(np.repeat(5.0 + made.access_ms[:, None], len(made.edges), axis=1))


def test_demand_that_is_given() -> None:
    def row(country: str, region: str, isp: str, demand_bps: int, time_s: int = 0) -> Demand:
        return Demand(time_s, "a.", country, region, isp, demand_bps)

    rows = (
        row("JP", "TYO", "jp-home-1", 30),
        row("JP", "TYO", "jp-home-1", 10, 300),
        row("JP", "13", "jp-home-2", 20),  # a region that the world has not: all of that network there
        row("US", "NYC", "comcast", 40),  # a network that it has not
        row("AQ", "", "", 1000),
    )
    made = build(given=Outside(demand=rows))
    share: dict[tuple[str, str], float] = {}
    for view, part in zip(made.views, made.demand_share.tolist(), strict=True):
        for key in ((view.region, view.isp), ("", view.isp), (view.region, "")):
            share[key] = share.get(key, 0.0) + part
    assert share["TYO", "jp-home-1"] == pytest.approx(0.4)
    assert share["", "jp-home-2"] == pytest.approx(0.2)
    assert share["TYO", "jp-home-2"] > share["OSA", "jp-home-2"] > 0
    assert share["NYC", ""] == pytest.approx(0.4)
    assert made.client_share.sum() == pytest.approx(1)
    with pytest.raises(ValueError, match="none of the demand"):
        build(given=Outside(demand=(row("AQ", "", "", 1),)))
