"""Overrides on a small network: what each does to whom, at which second; what is wrong with one, and what it takes."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from gslbtest.world import RESOLVER, World, world

from gslb.answer.explain import Explanation, explain
from gslb.model.override import Override, Target
from gslb.model.report import Report, StoreState
from gslb.snapshot import emptied, overriding, steering
from gslb.wire.query import Ecs

T = 1_800_000_000
BERLIN, PARIS, TEXAS = "198.51.100.0/24", "198.52.0.0/16", "100.0.0.0/8"

ZONES = {
    "zones/edges.yaml": "health: {changing_s: 10, slow_start_s: 90}\nedges:\n"
    + "".join(
        f"  {edge}: {{pop: {edge[:3]}, addresses: {{{addresses}}}, capacity: 10Gbps, location: {place}{more}}}\n"
        for edge, addresses, place, more in (
            ("ber-1", 'v4: [203.0.113.1], v6: ["2001:db8:e::1"]', "{country: DE, lat: 52, lon: 13}", ""),
            ("ber-2", 'v4: [203.0.113.2], v6: ["2001:db8:e::2"]', "{country: DE, lat: 52, lon: 13}", ""),
            ("nyc-1", 'v4: [203.0.113.5], v6: ["2001:db8:e::5"]', "{country: US, lat: 41, lon: -74}", ", fence: [US]"),
            ("par-1", "v4: [203.0.113.3]", "{country: FR, lat: 49, lon: 2}", ""),
            ("par-2", 'v4: [203.0.113.4], v6: ["2001:db8:e::4"]', "{country: FR, lat: 49, lon: 2}", ""),
        )
    ),
    "zones/isps.yaml": "isps: {dtag: {asns: [3320]}, voda: {asns: [3209]}}\n",
    "zones/x.yaml": "zone: x.test.\nsoa: {mname: ns1, rname: h, serial: 1}\nrecords: {'@': {NS: ns1.other.test.}}\n"
    "services:\n"
    "  pull: {pool: all, ttl: 20, affinity: [country, continent]}\n"
    "  play: {pool: all, ttl: 60, affinity: [country, continent]}\n"
    "  solo: {pool: one, ttl: 20, affinity: [any]}\n"
    "pools:\n"
    "  all: {ber-1: 100, ber-2: 100, nyc-1: 100, par-1: 100, par-2: 100}\n"
    "  one: {ber-1: 100, par-1: 0}\n",
}
TABLES = {
    "data/isp/net.csv": "prefix,isp,country,region\n198.51.100.0/24,dtag,DE,BE\n198.51.101.0/24,voda,DE,BE\n"
    "198.52.0.0/16,,FR,IDF\n198.53.0.0/16,,IT,\n100.0.0.0/8,,US,TX\n"
}


@pytest.fixture(scope="module")
def net() -> World:
    return world(ZONES, TABLES)


def order(kind: str = "drain", name: str = "o", begin: int = 0, end: int = 3600, **more: Any) -> Override:
    """An override of ``ber-1`` from T on, for an hour, unless it says otherwise."""
    told: dict[str, Any] = {"target": Target(edge="ber-1"), "reason": "a test", **more}
    return Override(name, kind, from_s=T + begin, until_s=T + end, **told)


def told(
    net: World, orders: list[Override], client: str, service: str = "pull", after_s: int = 0, **state: Any
) -> Explanation:
    """What is said of a client ``after_s`` seconds after T."""
    reports = state.get("reports", {})
    held = StoreState(T * 1000, reports, {}, overrides={each.id: each for each in orders})
    steered = net.steered(held, (T + after_s) * 1000 + 999)
    network = ipaddress.ip_network(client)
    ecs = Ecs(1 if network.version == 4 else 2, network.prefixlen, network.network_address.packed, b"")
    name = b"".join(bytes((len(label),)) + label.encode() for label in (service, "x", "test")) + b"\0"
    return explain(steered.catalog, steered.steering, name, ecs, RESOLVER)


def shares(found: Explanation, family: str = "share_v4") -> dict[str, float]:
    return {each.edge: round(100 * getattr(each, family), 1) for each in found.candidates if getattr(each, family)}


HALF = {"ber-1": 50.0, "ber-2": 50.0}


class Act(NamedTuple):
    """Overrides, a second after T, a client and a service, and the shares in percent that follow."""

    why: str
    orders: list[Override]
    wanted: dict[str, float]
    after_s: int = 0
    client: str = BERLIN
    service: str = "pull"


VIEW = Target(edge="ber-1", view="DE||dtag")
SERVICE = Target(edge="ber-1", service="pull.x.test.")
PIN = Target(service="pull.x.test.", view="FR||")

ACTS = [
    Act("none", [], HALF),
    Act("a drain", [order()], {"ber-2": 50.0, "par-1": 25.0, "par-2": 25.0}),
    Act("a drain, later", [order()], {"ber-2": 50.0, "par-1": 25.0, "par-2": 25.0}, 3599),
    Act("a drain that is to come", [order(begin=1)], HALF),
    Act("a drain that ended: slow start", [order()], {"ber-1": 5.0, "ber-2": 50.0, "par-1": 22.5, "par-2": 22.5}, 3600),
    Act("half way through it", [order()], {"ber-1": 27.5, "ber-2": 50.0, "par-1": 11.2, "par-2": 11.2}, 3645),
    Act("and over", [order()], HALF, 3690),
    Act(
        "a drain over ten minutes",
        [order(over_s=600)],
        {"ber-1": 25.0, "ber-2": 50.0, "par-1": 12.5, "par-2": 12.5},
        300,
    ),
    Act("a ramp", [order("ramp", value_milli=500)], {"ber-1": 25.0, "ber-2": 50.0, "par-1": 12.5, "par-2": 12.5}),
    Act(
        "two multiply",
        [order("ramp", value_milli=500), order("ramp", "p", value_milli=400)],
        {"ber-1": 10.0, "ber-2": 50.0, "par-1": 20.0, "par-2": 20.0},
    ),
    Act("a PoP", [order(target=Target(pop="ber"))], {"par-1": 50.0, "par-2": 50.0}),
    Act("another PoP", [order(target=Target(pop="par"))], HALF),
    Act("called off before it began", [order(end=0)], HALF, 10),
    Act("of one view", [order(target=VIEW)], {"ber-2": 50.0, "par-1": 25.0, "par-2": 25.0}),
    Act(
        "of one view, and its class: the next ISP is treated alike",
        [order(target=VIEW)],
        {"ber-2": 50.0, "par-1": 25.0, "par-2": 25.0},
        client="198.51.101.0/24",
    ),
    Act("not of others", [order(target=VIEW)], {"par-1": 50.0, "par-2": 50.0}, client=PARIS),
    Act("of one service", [order(target=SERVICE)], {"ber-2": 50.0, "par-1": 25.0, "par-2": 25.0}),
    Act("not of the next", [order(target=SERVICE)], HALF, service="play"),
    Act(
        "everywhere, and less of one service",
        [order("ramp", value_milli=500), order("ramp", "p", target=SERVICE, value_milli=500)],
        {"ber-1": 12.5, "ber-2": 50.0, "par-1": 18.7, "par-2": 18.7},
    ),
    Act("a pin", [order("pin", target=PIN, edges=("ber-2",))], {"ber-2": 100.0}, client=PARIS),
    Act(
        "a pin of two",
        [order("pin", target=PIN, edges=("ber-2", "par-1"))],
        {"ber-2": 50.0, "par-1": 50.0},
        client=PARIS,
    ),
    Act("a pin, elsewhere", [order("pin", target=PIN, edges=("ber-2",))], HALF),
    Act(
        "a pin, for others",
        [order("pin", target=PIN, edges=("ber-2",))],
        {"par-1": 50.0, "par-2": 50.0},
        client=PARIS,
        service="play",
    ),
    Act("a pin, over", [order("pin", target=PIN, edges=("ber-2",))], {"par-1": 50.0, "par-2": 50.0}, 3600, PARIS),
    Act(
        "the pin that began last",
        [order("pin", "z", -9, target=PIN, edges=("ber-2",)), order("pin", target=PIN, edges=("ber-1",))],
        {"ber-1": 100.0},
        client=PARIS,
    ),
    Act(
        "a pin to a drained edge is none",
        [order("pin", target=PIN, edges=("ber-1",)), order("drain", "d")],
        {"par-1": 50.0, "par-2": 50.0},
        client=PARIS,
    ),
    Act(
        "no pin over a fence",
        [order("pin", target=PIN, edges=("nyc-1",))],
        {"par-1": 50.0, "par-2": 50.0},
        client=PARIS,
    ),
    Act(
        "a pin past the affinity list",
        [order("pin", target=Target(service="pull.x.test."), edges=("ber-1",))],
        {"ber-1": 100.0},
        client=TEXAS,
    ),
    Act("all its edges drained, a client's row is empty", [order(target=Target(pop="nyc"))], {}, client=TEXAS),
]


@pytest.mark.parametrize("act", ACTS, ids=[act.why for act in ACTS])
def test_what_they_do(net: World, act: Act) -> None:
    found = told(net, act.orders, act.client, act.service, act.after_s)
    assert shares(found) == act.wanted
    backwards = told(net, act.orders[::-1], act.client, act.service, act.after_s)
    assert backwards == found, "their order is their ids'"


def test_a_pin_without_an_address_of_the_family_leaves_it_alone(net: World) -> None:
    found = told(net, [order("pin", target=PIN, edges=("par-1",))], PARIS)
    assert (shares(found), shares(found, "share_v6")) == ({"par-1": 100.0}, {"par-2": 100.0})


def test_a_pin_to_dead_edges_is_none(net: World) -> None:
    dead = {"ber-2": Report("ber-2", 1, 1, T * 1000, health4="down", health6="down")}
    assert shares(told(net, [order("pin", target=PIN, edges=("ber-2",))], PARIS, reports=dead)) == {
        "par-1": 50.0,
        "par-2": 50.0,
    }


SHORT = [
    # overrides, seconds after T, whether TTLs are short; the longest TTL of a service is 60 s, changing_s 10
    ([order(begin=100)], 39, False),
    ([order(begin=100)], 40, True),
    ([order()], 9, True),
    ([order()], 10, False),
    ([order(over_s=600)], 609, True),
    ([order(over_s=600)], 610, False),
    ([order()], 3599, False),
    ([order()], 3600, True),
    ([order()], 3609, True),
    ([order()], 3610, False),
    ([order("pin", target=Target(service="pull.x.test."), edges=("ber-1",))], 3539, False),
    ([order("pin", target=Target(service="pull.x.test."), edges=("ber-1",))], 3540, True),
    ([order("pin", target=Target(service="pull.x.test."), edges=("ber-1",))], 3609, True),
    ([order("pin", target=Target(service="pull.x.test."), edges=("ber-1",))], 3610, False),
    ([order(target=SERVICE, begin=100)], 40, True),
    ([order(target=SERVICE, begin=100)], 39, False),
]


@pytest.mark.parametrize(("orders", "after_s", "short"), SHORT)
def test_short_ttls_around_a_change(net: World, orders: list[Override], after_s: int, short: bool) -> None:
    assert told(net, orders, BERLIN, after_s=after_s).answers[0].ttl_s == (5 if short else 20)


def test_slow_start(net: World) -> None:
    back = {"ber-1": Report("ber-1", 1, 1, T * 1000, slow_since_ms=T * 1000 - 9000)}
    found = told(net, [], BERLIN, reports=back)
    ber = next(each for each in found.candidates if each.edge == "ber-1")
    assert (ber.ramp_milli, round(ber.share_v4, 3)) == (190, 0.095)
    assert " ramp 19.0 %," in ber.line()


WELL = "v4 up, v6 up, headroom 100.0 %"
NEVER = "override o, never reported)"
ONE = "until 2027-01-15T09:00:00Z"
LINES = [
    ([order(author="ann")], BERLIN, "override o: drain of ber-1, " + ONE + ", by ann: a test"),
    (
        [order()],
        BERLIN,
        "not ber-1: drained by o (country, weight 100, v4 drained, v6 drained, headroom 100.0 %, ramp 0.0 %,"
        " override o, never reported)",
    ),
    (
        [order(target=VIEW)],
        BERLIN,
        f"not ber-1: drained by o (country, weight 100, {WELL}, ramp 0.0 %, override o, never reported)",
    ),
    ([order("ramp", value_milli=400)], BERLIN, "override o: ramp of ber-1, 40.0 % of weight left, " + ONE + ": a test"),
    (
        [order("ramp", value_milli=400)],
        BERLIN,
        f"edge ber-1: A 20.0%, AAAA 20.0% (country, weight 100, {WELL}, ramp 40.0 %, {NEVER}",
    ),
    ([order("pin", target=PIN, edges=("ber-1",))], PARIS, "override o: pin to ber-1, " + ONE + ": a test"),
    (
        [order("pin", target=PIN, edges=("ber-1",))],
        PARIS,
        "not par-1: o pins others (country, weight 100, v4 up, v6 none, headroom 100.0 %, never reported)",
    ),
]


def test_of_several_pins_the_one_that_acts_is_told(net: World) -> None:
    orders = [
        order("pin", name, begin, target=PIN, edges=("ber-1",)) for name, begin in (("a", 0), ("b", -9), ("c", 9))
    ]
    away = [line for line in told(net, orders, PARIS).lines() if line.startswith("not par-1")]
    assert away[0].startswith("not par-1: a pins others (")


def test_two_ramps_that_leave_nothing(net: World) -> None:
    orders = [order("ramp", name, target=SERVICE, value_milli=30) for name in "ab"]
    found = next(each for each in told(net, orders, BERLIN).candidates if each.edge == "ber-1")
    assert (found.excluded, found.ramp_milli) == ("overrides leave it no weight", 0)


def test_services_that_are_ordered_alike_share_rows(net: World) -> None:
    def rows(*orders: Override) -> tuple[list[int], int]:
        held = StoreState(T * 1000, overrides={each.id: each for each in orders})
        made = steering.build(net.catalog.arrays, held, T * 1000)
        return made["service_row"].tolist(), len(made["count"]) // 2

    pull, play = Target(edge="ber-1", service="pull.x.test."), Target(edge="ber-1", service="play.x.test.")
    home = net.catalog.arrays["policy"]["row"][net.catalog.arrays["service"]["policy"]].tolist()  # play, pull, solo
    classes = len(net.catalog.arrays["class_multi"])
    one = int(net.catalog.arrays["policy"]["classes"][0])
    assert rows() == ([], classes)
    assert rows(order(target=pull)) == ([home[0], classes, home[2]], classes + one)
    assert rows(order(target=pull), order("drain", "p", target=play)) == (home, classes)
    apart = rows(order(target=pull), order("ramp", "p", target=play, value_milli=500))
    assert apart == ([home[0], classes, home[2]], classes + one)
    pins = [order("pin", name, target=each, edges=("ber-2",)) for name, each in (("o", pull), ("p", play))]
    assert rows(*pins) == (home, classes)


@pytest.mark.parametrize(("orders", "client", "line"), LINES)
def test_explanations(net: World, orders: list[Override], client: str, line: str) -> None:
    assert line in list(told(net, orders, client).lines())


def test_others_are_not_told_of_it(net: World) -> None:
    assert not [line for line in told(net, [order(target=SERVICE)], BERLIN, "play").lines() if "override" in line]


DUE = [
    # overrides, reports, ms after T, the next moment at which anything differs, in s after T
    ([], {}, 0, None),
    ([order(begin=100)], {}, 0, 40),
    ([order(begin=100)], {}, 40_000, 100),
    ([order(begin=100, over_s=30)], {}, 100_500, 101),
    ([], {"ber-1": Report("ber-1", 1, 1, T * 1000, slow_since_ms=T * 1000 - 500)}, 0, 1),
    ([], {"ber-1": Report("ber-1", 1, 1, T * 1000, slow_since_ms=T * 1000 - 500)}, 88_999, 89),
    ([], {"ber-1": Report("ber-1", 1, 1, T * 1000, slow_since_ms=T * 1000 - 500)}, 89_000, None),
]


@pytest.mark.parametrize(("orders", "reports", "after_ms", "wanted"), DUE)
def test_when_it_is_due(
    net: World, orders: list[Override], reports: dict[str, Report], after_ms: int, wanted: int | None
) -> None:
    held = StoreState(T * 1000, reports, {}, overrides={each.id: each for each in orders})
    found = steering.next_due_ms(net.catalog.arrays, held, T * 1000 + after_ms)
    assert found == (None if wanted is None else (T + wanted) * 1000)


NOBODY = ": no client is known to be there"
FAULTS = [
    (order(), []),
    (order(target=Target(edge="ber-9")), [("target.edge", "'ber-9' is not in the inventory")]),
    (order(target=Target(pop="rio")), [("target.pop", "no edge of the inventory stands in 'rio'")]),
    (order(target=Target(pop="be")), [("target.pop", "no edge of the inventory stands in 'be'")]),
    (order(target=Target(edge="ber-1", view="BR||")), [("target.view", "'BR||'" + NOBODY)]),
    (order(target=Target(edge="ber-1", view="DE||nobody")), [("target.view", "'DE||nobody'" + NOBODY)]),
    (order(target=Target(edge="ber-1", service="ns1.x.test.")), [("target.service", "'ns1.x.test.' is no service")]),
    (
        order(target=Target(edge="ber-2", service="solo.x.test.")),
        [("target.edge", "'ber-2' is not in the pool of solo.x.test.")],
    ),
    (
        order("pin", target=Target(service="solo.x.test."), edges=("ber-1", "ber-2", "par-1", "sky-1")),
        [
            ("value", "edge 'ber-2' is not in the pool of solo.x.test."),
            ("value", "edge 'par-1' has weight 0 in the pool of solo.x.test."),
            ("value", "edge 'sky-1' is not in the inventory"),
        ],
    ),
    (
        order(target=Target(edge="no", view="XX||", service="..")),
        [
            ("target.edge", "'no' is not in the inventory"),
            ("target.view", "'XX||': no client is known to be there"),
            ("target.service", "'..' is no service"),
        ],
    ),
]


@pytest.mark.parametrize(("wanted", "faults"), FAULTS)
def test_faults(net: World, wanted: Override, faults: list[tuple[str, str]]) -> None:
    assert overriding.faults(net.catalog, wanted) == faults


EMPTIED = [
    # overrides that are held, edges that are down, the override that is wanted, what it would take
    ([], [], order(target=Target(edge="ber-2")), 0),
    ([], [], order(), 1),
    ([], [], order(target=Target(edge="ber-1", service="pull.x.test.")), 0),
    ([], [], order("ramp", value_milli=500), 0),
    ([], [], order("ramp", value_milli=100), 1),  # below panic
    ([], [], order(over_s=600), 1),
    ([], [], order(begin=1000, over_s=600), 1),
    ([], [], order("pin", target=PIN, edges=("par-1",)), 0),
    ([], ["ber-1"], order(), 0),  # it fails open as it is
    ([], ["par-1", "par-2"], order(target=Target(pop="ber")), 3),
    ([order("drain", "p", target=Target(pop="par"))], [], order(target=Target(edge="ber-2")), 0),
    ([order("drain", "p", target=Target(pop="par"))], [], order(target=Target(pop="ber")), 3),
    ([order("drain", "p", end=900, target=Target(pop="par"))], [], order(begin=1000, target=Target(pop="ber")), 1),
    ([order()], [], order(), 1),  # the same again, in place of itself
    ([], [], order(target=Target(pop="nyc")), 2),
]


@pytest.mark.parametrize(("held", "down", "wanted", "services"), EMPTIED)
def test_what_it_would_take(net: World, held: list[Override], down: list[str], wanted: Override, services: int) -> None:
    reports = {edge: Report(edge, 1, 1, T * 1000, health4="down", health6="down") for edge in down}
    state = StoreState(T * 1000, reports, {}, overrides={each.id: each for each in held})
    assert len(emptied.check(net.catalog, state, wanted, T * 1000)) == services


def test_how_that_is_told(net: World) -> None:
    found = emptied.check(net.catalog, StoreState(), order(), T * 1000)
    assert [each.service for each in found] == ["solo.x.test."]
    assert str(found[0]).startswith("solo.x.test. would have no healthy IPv4 and IPv6 edge for clients of ")
    texas = emptied.check(net.catalog, StoreState(), order(target=Target(pop="nyc")), T * 1000)
    assert [str(each) for each in texas] == [
        f"{name}.x.test. would have no healthy IPv4 and IPv6 edge for clients of US|TX|" for name in ("play", "pull")
    ]


TOO = ": the override would act there too"
CUTS = [
    (order(), []),
    (order(target=VIEW), [f"{name}.x.test. tells DE|BE|voda not from DE||dtag{TOO}" for name in ("play", "pull")]),
    (order(target=Target(edge="ber-1", view="DE||")), []),
    (order(target=Target(edge="ber-2", view="FR||")), []),
    (
        replace(order(target=VIEW), target=Target(pop="ber", view="DE||dtag", service="play.x.test.")),
        ["play.x.test. tells DE|BE|voda not from DE||dtag: the override would act there too"],
    ),
    (
        order("pin", target=Target(service="pull.x.test.", view="DE||voda"), edges=("par-1",)),
        ["pull.x.test. tells DE|BE|dtag not from DE||voda: the override would act there too"],
    ),
]


@pytest.mark.parametrize(("wanted", "cuts"), CUTS)
def test_views_that_are_part_of_a_class(net: World, wanted: Override, cuts: list[str]) -> None:
    found = [str(each) for each in emptied.cut_views(net.catalog, wanted) if not each.service.startswith("solo")]
    assert found == cuts
