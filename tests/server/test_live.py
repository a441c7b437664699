"""What is true this minute as tables: rows of edges and services, and shares against arithmetic by hand."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from gslbtest.world import World, world

from gslb.model.override import Override, Target
from gslb.model.plan import Plan, PlanRow
from gslb.model.report import DOWN, DRAIN, UP, Report, StoreState
from gslb.server.live import EdgeLive, Served, ServiceLive, Tables, known_space
from gslb.snapshot import steering
from gslb.snapshot.steering import Steering

GBPS = 10**9
NOW_S = 1_795_530_600
NOW_MS = NOW_S * 1000

EDGES = """\
edges:
  sha-1:
    pop: sha
    addresses: {v4: [192.0.2.10], v6: ["2001:db8::10"]}
    location: {country: CN, region: SH, lat: 31.2, lon: 121.5}
    capacity: 10Gbps
  sha-2:
    pop: sha
    addresses: {v4: [192.0.2.11], v6: ["2001:db8::11"]}
    location: {country: CN, region: SH, lat: 31.2, lon: 121.5}
    capacity: 10Gbps
  fra:
    pop: fra
    addresses: {v4: [192.0.2.20], v6: ["2001:db8::20"]}
    location: {country: DE, region: HE, lat: 50.1, lon: 8.7}
    capacity: 10Gbps
  six:
    pop: six
    addresses: {v6: ["2001:db8::30"]}
    location: {country: DE, region: HE, lat: 50.1, lon: 8.7}
  off:
    pop: off
    addresses: {v4: [192.0.2.40]}
    location: {country: DE, region: HE, lat: 50.1, lon: 8.7}
  home:
    pop: home
    addresses: {v4: [192.0.2.50]}
    location: {country: CN, region: SH, lat: 31.2, lon: 121.5}
    fence: [CN]
"""
ZONE = """\
zone: live.example.
soa: {mname: ns1, rname: hostmaster}
records:
  "@": {NS: [ns1]}
  ns1: {A: 192.0.2.53}
services:
  pull: {pool: all, ttl: 20, affinity: [country, any]}
  "*.pull": {like: pull}
  near: {pool: all, affinity: nearest}
  six: {pool: sixes, affinity: [any]}
  home: {pool: homes, affinity: [country, any]}
  planned: {pool: all, affinity: [country, any], dispatch: true}
pools:
  all: {sha-1: 100, sha-2: 50, fra: 100, off: 0}
  sixes: {six: 10}
  homes: {home: 1}
"""
# 3 of 4 known addresses are in China.
NETWORKS = "prefix,country\n100.0.0.0/24,CN\n100.0.1.0/24,CN\n100.0.2.0/24,CN\n100.0.3.0/24,DE\n10.0.0.0/8,US\n"


@pytest.fixture(scope="module")
def network() -> World:
    return world({"zones/edges.yaml": EDGES, "zones/live.yaml": ZONE, "zones/networks.csv": NETWORKS})


def report(edge: str, health4: str = UP, health6: str | None = None, **more: int) -> Report:
    return Report(edge, 1, 1, NOW_MS, health4=health4, health6=health6 or health4, **more)


def tables(
    network: World, reports: Iterable[Report] = (), overrides: Iterable[Override] = (), plan: Plan | None = None
) -> Tables:
    """The tables of a state; reports lie 250 ms back where they do not say otherwise."""
    held = {each.edge: each for each in reports}
    state = StoreState(
        now_ms=NOW_MS + 250,
        reports=held,
        seen={edge: each.received_ms for edge, each in held.items()},
        overrides={each.id: each for each in overrides},
        plan=plan,
    )
    steered = Steering(steering.build(network.catalog.arrays, state, NOW_MS))
    return Tables(Served(network.catalog, steered, state, NOW_MS), known_space(network.catalog))


def edges(found: Tables) -> dict[str, EdgeLive]:
    rows = found.edges()
    assert [each.edge for each in rows] == ["fra", "home", "off", "sha-1", "sha-2", "six"]
    return {each.edge: each for each in rows}


def services(found: Tables) -> dict[str, ServiceLive]:
    rows = found.services()
    assert [each.service for each in rows] == sorted(each.service for each in rows)
    return {each.service.removesuffix(".live.example."): each for each in rows}


def drain(name: str = "d", edge: str = "", pop: str = "", service: str = "", view: str = "") -> Override:
    return Override(name, "drain", Target(edge, pop, service, view), NOW_S - 600, NOW_S + 600, author="me", reason="x")


def shares(found: ServiceLive) -> dict[str, float]:
    return {level: round(part, 6) for level, part in found.level_shares}


# Shares of pull alone: its known space is 3/4 China, 1/4 Germany; weights 100 and 50 in China, 100 in Germany.
@pytest.mark.parametrize(
    ("reports", "overrides", "country", "sha_1", "sha_2", "fra", "fail_open", "no_edge"),
    [
        pytest.param([], [], 1, 1 / 2, 1 / 4, 1 / 4, 0, 0, id="all is well"),
        # China keeps a third of its weight; what is missing goes to the next level, which is Frankfurt.
        pytest.param([report("sha-1", DOWN)], [], 1 / 2, 0, 1 / 4, 3 / 4, 0, 0, id="an edge is down"),
        # Of 100 a half is left: 50 + 50 of 150, and a third leaks.
        pytest.param(
            [report("sha-1", load_bps=8_750_000_000, capacity_bps=10 * GBPS)],
            [],
            3 / 4 * 2 / 3 + 1 / 4, 1 / 4, 1 / 4, 1 / 2, 0, 0,
            id="an edge fills up",
        ),
        pytest.param([report("fra", DOWN)], [], 3 / 4, 2 / 3, 1 / 3, 0, 0, 0, id="Germany goes to China"),
        pytest.param(
            [report("sha-1", DOWN), report("sha-2", DOWN), report("fra", DOWN)],
            [],
            1, 1 / 2, 1 / 4, 1 / 4, 1, 0,
            id="all are down and fail open",
        ),
        pytest.param([], [drain(pop="sha")], 1 / 4, 0, 0, 1, 0, 0, id="a PoP is drained"),
        pytest.param([], [drain(pop="sha"), drain("e", "fra")], 0, 0, 0, 0, 0, 1, id="all is drained"),
        pytest.param(
            [report(edge, UP, DOWN) for edge in ("sha-1", "sha-2", "fra")], [], 1, 1 / 2, 1 / 4, 1 / 4, 1, 0,
            id="all IPv6 is down and fails open",
        ),
        pytest.param(
            [report("fra", UP, DRAIN)], [drain(pop="sha")], 1 / 4, 0, 0, 1, 0, 1, id="no IPv6 edge is left",
        ),
        pytest.param(
            [], [drain(edge="sha-1", service="pull.live.example.", view="CN||")], 1 / 2, 0, 1 / 4, 3 / 4, 0, 0,
            id="a drain of one service and view",
        ),
    ],
)  # fmt: skip
def test_shares(
    network: World,
    reports: list[Report],
    overrides: list[Override],
    country: float,
    sha_1: float,
    sha_2: float,
    fra: float,
    fail_open: float,
    no_edge: float,
) -> None:
    found = tables(network, reports, overrides)
    pull = services(found)["pull"]
    assert shares(pull) == pytest.approx({"country": country, "any": sha_1 + sha_2 + fra - country}, abs=1e-5)
    assert (pull.fail_open, pull.no_edge) == pytest.approx((fail_open, no_edge))
    spread = found._spread(next(row for row, each in enumerate(network.catalog.services) if _is_pull(network, each)))
    ids = network.catalog.edge_ids
    parts = dict(zip(ids, spread.edges.tolist(), strict=True))
    wanted = {"sha-1": sha_1, "sha-2": sha_2, "fra": fra}
    assert parts == pytest.approx(dict.fromkeys(ids, 0.0) | wanted, abs=1e-5)


def _is_pull(network: World, service: object) -> bool:
    return network.catalog.name_text(service.name).startswith(b"\4pull")  # type: ignore[attr-defined]  # a ServiceRow


def test_an_edges_share_is_the_mean_over_services(network: World) -> None:
    """What one of six services alone gives an edge is a sixth of its part there."""
    found = tables(network)
    rows, of = edges(found), services(found)
    assert rows["six"].share == pytest.approx(1 / len(of)), "all of one service's IPv6"
    assert rows["home"].share == pytest.approx(3 / 4 / len(of)), "Germans are fenced off"
    assert rows["off"].share == 0
    assert sum(each.share for each in rows.values()) == pytest.approx(1 - 1 / 4 / len(of))


def test_services(network: World) -> None:
    of = services(tables(network))
    assert list(of) == ["*.pull", "home", "near", "planned", "pull", "six"]
    assert (of["pull"].pool, of["pull"].affinity) == ("all", "country, any")
    assert shares(of["six"]) == {"any": 1.0}, "of IPv6, since the pool has no IPv4"
    assert shares(of["home"]) == {"country": 0.75, "any": 0.0}
    assert (of["home"].fail_open, of["home"].no_edge) == (0, 0), "those whom a fence keeps out are missed by nobody"
    assert sum(shares(of["near"]).values()) == 1
    assert all(level.startswith("nearest band ") for level in shares(of["near"]))
    assert {each.plan for each in of.values()} == {""}


def test_edges_as_they_report(network: World) -> None:
    rows = edges(
        tables(
            network,
            [
                report("sha-1", UP, DOWN, load_bps=9 * GBPS, capacity_bps=10 * GBPS, sessions=7),
                Report("sha-2", 1, 1, NOW_MS - 4_000),
                Report("fra", 1, 1, NOW_MS - 60_000),
                report("six", DRAIN),
            ],
            [drain("d1", pop="fra"), drain("d2", edge="sha-1", view="CN||"), drain("d3", edge="nowhere")],
        )
    )
    sha = rows["sha-1"]
    assert (sha.pop, sha.health_v4, sha.health_v6, sha.reported) == ("sha", "up", "down", True)
    assert (sha.age_s, sha.load_bps, sha.capacity_bps, sha.sessions) == (0.25, 9 * GBPS, 10 * GBPS, 7)
    assert (sha.headroom_milli, sha.ramp_milli, sha.weight) == (333, 1000, (100, 100))
    assert (sha.overrides, rows["fra"].overrides, rows["sha-2"].overrides) == (("d2",), ("d1",), ())
    assert (rows["sha-2"].health_v4, rows["sha-2"].age_s) == ("unknown", 4.25)
    assert (rows["fra"].health_v4, rows["fra"].health_v6, rows["fra"].ramp_milli) == ("drain", "drain", 0)
    assert (rows["six"].health_v4, rows["six"].health_v6) == ("", "drain")
    assert (rows["home"].reported, rows["home"].age_s, rows["home"].health_v4) == (False, None, "up")
    assert (rows["off"].weight, rows["six"].weight) == ((0, 0), (10, 10))


def test_a_report_that_vanished(network: World) -> None:
    state = StoreState(now_ms=NOW_MS, seen={"fra": NOW_MS - 4_000})
    steered = Steering(steering.build(network.catalog.arrays, state, NOW_MS))
    rows = edges(Tables(Served(network.catalog, steered, state, NOW_MS), known_space(network.catalog)))
    assert (rows["fra"].gone, rows["fra"].health_v4, rows["fra"].age_s) == (True, "unknown", 4.0)


def test_silent_together(network: World) -> None:
    """Both of Asia's edges that have a capacity, and a third that counts as their mean: held, not down."""
    rows = edges(tables(network, [Report(edge, 1, 1, NOW_MS - 60_000) for edge in ("sha-1", "sha-2", "home")]))
    assert {edge for edge, each in rows.items() if each.held} == {"sha-1", "sha-2", "home"}
    assert rows["sha-1"].health_v4 == "unknown"


def test_overrides_of_services(network: World) -> None:
    pin = Override("p", "pin", Target("", "", "pull.live.example.", "CN||"), NOW_S - 1, NOW_S + 9, edges=("fra",))
    ended = Override("old", "drain", Target(edge="fra"), NOW_S - 9, NOW_S, author="me", reason="x")
    found = tables(network, (), [drain("d1", pop="fra"), pin, ended])
    of = services(found)
    assert (of["pull"].overrides, of["near"].overrides, of["home"].overrides) == (("d1", "p"), ("d1",), ())
    assert shares(of["pull"]) == {"country": 0.75, "any": 0.25}, "nobody is pinned to a drained edge"
    assert edges(found)["fra"].overrides == ("d1", "p")


def test_a_pin(network: World) -> None:
    pin = Override("p", "pin", Target("", "", "pull.live.example.", "DE||"), NOW_S - 1, NOW_S + 9, edges=("sha-2",))
    found = tables(network, (), [pin])
    assert shares(services(found)["pull"]) == {"country": 0.75, "any": 0.0, "pin": 0.25}
    assert shares(services(found)["*.pull"]) == {"country": 1.0, "any": 0.0}


@pytest.mark.parametrize(
    "override",
    [
        drain("d", "sha-1", service="gone.live.example."),
        Override("p", "pin", Target(service="gone.live.example."), NOW_S - 1, NOW_S + 9, edges=("fra",)),
    ],
    ids=["drain", "pin"],
)
def test_an_override_of_a_service_that_is_not_served_does_nothing(network: World, override: Override) -> None:
    """It may be another server's, or one of zones that have changed since."""
    of = services(tables(network, (), [override]))
    assert {name: each.level_shares for name, each in of.items()} == {
        name: each.level_shares for name, each in services(tables(network)).items()
    }
    assert {each.overrides for each in of.values()} == {()}


def test_a_plan(network: World) -> None:
    row = PlanRow("planned.live.example.", "CN", "", "", (("fra", 65535),))
    plan = Plan("v7", effective_at_ms=NOW_MS - 1, hold_until_ms=NOW_MS + 60_000, rows=(row,))
    of = services(tables(network, plan=plan))
    assert shares(of["planned"]) == {"country": 0.25, "any": 0.0, "plan": 0.75}
    assert {name: each.plan for name, each in of.items() if each.plan} == {"planned": "v7"}


def test_without_known_clients_every_class_counts_alike() -> None:
    network = world({"zones/edges.yaml": EDGES, "zones/live.yaml": ZONE})
    (every,) = {round(float(space.sum()), 9) for space in known_space(network.catalog)}
    assert every == 1
    assert services(tables(network))["pull"].fail_open == 0


def test_a_catalog_without_services() -> None:
    zone = "zone: a.example.\nsoa: {mname: ns1, rname: h}\nrecords:\n  '@': {NS: [ns1]}\n  ns1: {A: 192.0.2.1}\n"
    network = world({"zones/edges.yaml": EDGES, "zones/a.yaml": zone})
    found = tables(network)
    assert found.services() == ()
    assert {each.share for each in edges(found).values()} == {0.0}
