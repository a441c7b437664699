"""Published plans as rows: which row a class finds, what death and load make of it, and which rows cannot be used."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from gslbtest.world import RESOLVER, World, world
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.answer.explain import Explanation, explain
from gslb.model.override import Override, Target
from gslb.model.plan import PLAN_SUM, BindingCap, Plan, PlanRow
from gslb.model.report import Report, StoreState
from gslb.policy import draw, spill
from gslb.snapshot import filling, layout, planning, steering, weighing
from gslb.snapshot.resolved import PlannedPolicy
from gslb.wire.query import Ecs

T = 1_800_000_000_000
BERLIN, VODA, PARIS, ROME = "198.51.100.0/24", "198.51.101.0/24", "198.52.0.0/16", "198.53.0.0/16"
EDGES = [("ber", "DE"), ("fra", "DE"), ("nyc", "US"), ("par", "FR"), ("zrh", "CH"), ("osl", "NO")]
ZONES = {
    "zones/edges.yaml": "edges:\n"
    + "".join(
        f"  {edge}: {{pop: {edge}, addresses: {{v4: [203.0.113.{host}], v6: ['2001:db8::{host}']}}, capacity: 10Gbps,"
        f" location: {{country: {country}, lat: 50, lon: {host}}}{', fence: [US]' * (edge == 'nyc')}}}\n"
        for host, (edge, country) in enumerate(EDGES, 1)
    ),
    "zones/isps.yaml": "isps: {dtag: {asns: [3320]}, voda: {asns: [3209]}}\n",
    "zones/x.yaml": "zone: x.test.\nsoa: {mname: ns1, rname: h, serial: 1}\nrecords: {'@': {NS: ns1.other.test.}}\n"
    "services:\n"
    "  live: {pool: all, affinity: [country, continent], dispatch: true}\n"
    "  twin: {pool: all, affinity: [country, continent], dispatch: true}\n"
    "  local: {pool: all, affinity: [country, continent]}\n"
    "pools:\n  all: {ber: 100, fra: 100, nyc: 100, par: 100, zrh: 0}\n",
}
TABLES = {
    "data/isp/net.csv": "prefix,isp,country,region\n198.51.100.0/24,dtag,DE,BE\n198.51.101.0/24,voda,DE,BE\n"
    "198.52.0.0/16,,FR,IDF\n198.53.0.0/16,,IT,\n"
}


@pytest.fixture(scope="module")
def net() -> World:
    return world(ZONES, TABLES)


def row(view: str, backups: tuple[str, ...] = (), service: str = "live.x.test.", **primaries: int) -> PlanRow:
    """Primaries by percent; the last takes what is left of the sum."""
    weights = [round(PLAN_SUM * percent / 100) for percent in primaries.values()]
    weights[-1] += PLAN_SUM - sum(weights)
    return PlanRow(service, *view.split("|"), tuple(zip(primaries, weights, strict=True)), backups)


def plan(*rows: PlanRow, **times: int) -> Plan:
    return Plan("v7", "", T, **{"effective_at_ms": T, "hold_until_ms": T + 3_600_000, **times}, rows=rows)


def told(net: World, published: Plan, client: str, service: str = "live", now_ms: int = T, **more: Any) -> Explanation:
    network = ipaddress.ip_network(client)
    steered = net.steered(StoreState(T, more.pop("reports", {}), plan=published, **more), now_ms)
    ecs = Ecs(1 if network.version == 4 else 2, network.prefixlen, network.network_address.packed, b"")
    name = b"".join(bytes((len(label),)) + label.encode() for label in (service, "x", "test")) + b"\0"
    return explain(steered.catalog, steered.steering, name, ecs, RESOLVER)


def shares(found: Explanation) -> dict[str, float]:
    return {each.edge: round(100 * each.share_v4, 1) for each in found.candidates if each.share_v4}


def said(edge: str, **more: Any) -> Report:
    return Report(edge, 1, 1, T, **{"capacity_bps": 10**10, **more})


def down(edge: str) -> Report:
    return said(edge, health4="down", health6="down")


WIDE = row("DE||", ber=30, par=70)
LOCAL = {"ber": 50.0, "fra": 50.0}


class Case(NamedTuple):
    """A plan, what edges report, a client, and the shares in percent that follow; ``planned``: by the plan."""

    why: str
    rows: list[PlanRow]
    wanted: dict[str, float]
    reports: tuple[Report, ...] = ()
    client: str = BERLIN
    planned: bool = True


CASES = [
    Case("by country", [WIDE], {"ber": 30.0, "par": 70.0}),
    Case("by country and ISP first", [WIDE, row("DE||dtag", fra=100)], {"fra": 100.0}),
    Case("not for another ISP", [WIDE, row("DE||dtag", fra=100)], {"ber": 30.0, "par": 70.0}, client=VODA),
    Case("by region and ISP before both", [WIDE, row("DE||dtag", fra=100), row("DE|BE|dtag", ber=100)], {"ber": 100.0}),
    Case("a region without its ISP is not looked up", [row("DE|BE|", ber=100)], LOCAL, planned=False),
    Case("no row: local policy", [WIDE], {"ber": 33.3, "fra": 33.3, "par": 33.3}, client=ROME, planned=False),
    Case("a dead primary, no backup", [WIDE], {"par": 100.0}, (down("ber"),)),
    Case(
        "its share goes to the backup",
        [row("DE||", ("fra",), ber=30, par=70)],
        {"fra": 30.0, "par": 70.0},
        (down("ber"),),
    ),
    Case(
        "the next one where that is dead",
        [row("DE||", ("fra", "par"), ber=30, par=70)],
        {"par": 100.0},
        (
            down("ber"),
            down("fra"),
        ),
    ),
    Case(
        "or full",
        [row("DE||", ("fra", "par"), ber=30, par=70)],
        {"par": 100.0},
        (
            down("ber"),
            said("fra", load_bps=10_500_000_000),
        ),
    ),
    Case(
        "less than half is left",
        [row("DE||", ber=70, par=30)],
        {"fra": 50.0, "par": 50.0},
        (down("ber"),),
        planned=False,
    ),
    Case("half is left", [row("DE||", ber=49, par=51)], {"par": 100.0}, (down("ber"),)),
    Case("95 % of capacity: as planned", [WIDE], {"ber": 30.0, "par": 70.0}, (said("ber", load_bps=9_500_000_000),)),
    Case("100 %: half of its weight", [WIDE], {"ber": 17.6, "par": 82.4}, (said("ber", load_bps=10**10),)),
    Case("105 %: nothing", [WIDE], {"par": 100.0}, (said("ber", load_bps=10_500_000_000),)),
    Case(
        "the agent's own headroom is local policy's",
        [WIDE],
        {"ber": 30.0, "par": 70.0},
        (said("ber", load_bps=9_400_000_000, headroom_milli=0),),
    ),
    Case("slow start counts", [WIDE], {"ber": 4.1, "par": 95.9}, (said("ber", slow_since_ms=T),)),
    Case("silent, and believed", [WIDE], {"ber": 30.0, "par": 70.0}, (replace(said("ber"), received_ms=T - 5000),)),
    Case("silent for long", [WIDE], {"par": 100.0}, (replace(said("ber"), received_ms=T - 50_000),)),
    Case("an edge that nobody knows", [row("DE||", ber=30, rio=70)], LOCAL, planned=False),
    Case("a backup that nobody knows", [row("DE||", ("rio",), ber=100)], LOCAL, planned=False),
    Case("weight 0 in the pool", [row("DE||", zrh=100)], LOCAL, planned=False),
    Case("a broken fence", [row("DE||", nyc=100)], LOCAL, planned=False),
    Case("a backup behind a fence", [row("DE||", ("nyc",), ber=100)], LOCAL, planned=False),
]


@pytest.mark.parametrize("case", CASES, ids=[case.why for case in CASES])
def test_what_a_plan_does(net: World, case: Case) -> None:
    found = told(net, plan(*case.rows), case.client, reports={each.edge: each for each in case.reports})
    assert shares(found) == case.wanted
    assert (found.plan == "v7") is case.planned
    assert found.plan in (
        "v7",
        "none (v7 has no row to go by here)",
        "none (less than half of the weight of v7's row is left)",
    )


SHORT = [
    # rows, edges that fell a moment ago, whether TTLs are short
    ([row("DE||", ("fra", "par"), ber=30, par=70)], ["ber"], True),
    ([row("DE||", ("fra", "par"), ber=30, par=70)], ["fra"], False),
    ([row("DE||", ("fra", "par"), ber=30, par=70)], ["ber", "fra"], True),
    ([row("DE||", ("par",), ber=70, fra=30)], ["par"], False),
    ([row("DE||", par=100)], ["par"], True),  # local policy decides, for which par is of no use
    ([row("DE||", ("fra",), ber=0, par=100)], ["ber"], False),
]


@pytest.mark.parametrize(("rows", "fallen", "short"), SHORT)
def test_short_ttls_after_a_transition(net: World, rows: list[PlanRow], fallen: list[str], short: bool) -> None:
    reports = {edge: replace(down(edge), since_ms=T - 1000) for edge in fallen}
    assert told(net, plan(*rows), BERLIN, reports=reports).answers[0].ttl_s == (5 if short else 20)


def test_other_services_are_not_spoken_of(net: World) -> None:
    for service, why in (("twin", "none (v7 has no row to go by here)"), ("local", "none")):
        found = told(net, plan(WIDE), BERLIN, service)
        assert (shares(found), found.plan) == (LOCAL, why)


def test_the_scope_leaves_room_for_a_plan(net: World) -> None:
    """No level matches a client whom nobody knows; a plan may still have two edges for it, so the draw needs room."""
    for published in (plan(), plan(row("||", ber=50, fra=50))):
        assert told(net, published, "20.1.2.0/24").scope == 20
    assert told(net, plan(), "20.1.2.0/24", "local").scope < 20
    assert shares(told(net, plan(row("||", ber=50, fra=50)), "20.1.2.0/24")) == {"ber": 50.0, "fra": 50.0}


CAPS = [
    ("edge", "par", 10**10, 0.25), ("edge", "nyc", 10**10, 8.0), ("pop", "ber", 2 * 10**10, 9.0),
    ("pop", "zrh", 10**10, 7.0), ("network", "", 10**11, 0.1), ("region", "north", 7_500_000_000, 3.0),
]  # fmt: skip
TIMES = [(T - 1, False), (T, True), (T + 3_599_999, True), (T + 3_600_000 + 600_000, False)]


@pytest.mark.parametrize(("now_ms", "acts"), TIMES)
def test_it_counts_for_its_time(net: World, now_ms: int, acts: bool) -> None:
    found = told(net, plan(WIDE), BERLIN, now_ms=now_ms)
    assert shares(found) == ({"ber": 30.0, "par": 70.0} if acts else LOCAL)
    assert found.plan == ("v7" if acts else f"none (v7 has {'not begun' if now_ms < T else 'ended'})")


HELD = T + 3_600_000
FADED = HELD + 600_000
DUE = [
    (T - 5000, T),
    (T, HELD),
    (HELD, HELD + 10_000),
    (HELD + 9_999, HELD + 10_000),
    (HELD + 10_000, HELD + 20_000),
    (FADED - 10_000, FADED),
    (FADED, None),
]


@pytest.mark.parametrize(("now_ms", "wanted"), DUE)
def test_when_it_is_due(net: World, now_ms: int, wanted: int | None) -> None:
    assert steering.next_due_ms(net.catalog.arrays, StoreState(T, plan=plan(WIDE)), now_ms) == wanted


class Fading(NamedTuple):
    """A plan some time after it held, and the shares in percent that follow. Local policy is half ber, half fra."""

    why: str
    row: PlanRow
    after_s: int
    wanted: dict[str, float]
    reports: tuple[Report, ...] = ()
    client: str = BERLIN
    plan: str = "v7, fading: 50 % local"


FADING = [
    Fading("it holds to the end", WIDE, 0, {"ber": 30.0, "par": 70.0}, plan="v7"),
    Fading("and through the first step", WIDE, 9, {"ber": 30.0, "par": 70.0}, plan="v7"),
    Fading("a sixtieth", WIDE, 10, {"ber": 30.3, "fra": 0.8, "par": 68.8}, plan="v7, fading: 2 % local"),
    Fading("half", WIDE, 309, {"ber": 40.0, "fra": 25.0, "par": 35.0}),
    Fading("the last step but one", WIDE, 599, {"ber": 49.7, "fra": 49.2, "par": 1.2}, plan="v7, fading: 98 % local"),
    Fading("over", WIDE, 600, LOCAL, plan="none (v7 has ended)"),
    Fading("a dead primary's share goes first", WIDE, 300, {"fra": 25.0, "par": 75.0}, (down("ber"),)),
    Fading("headroom first", WIDE, 300, {"ber": 8.8, "fra": 25.0, "par": 66.2}, (said("ber", load_bps=10**10),)),
    Fading("less than half left", row("DE||", ber=70, par=30), 300, {"fra": 50.0, "par": 50.0}, (down("ber"),),
           plan="none (less than half of the weight of v7's row is left)"),
    Fading("no local edge", row("||", ber=100), 300, {"ber": 100.0}, client="20.1.2.0/24"),
]  # fmt: skip


@pytest.mark.parametrize("case", FADING, ids=[case.why for case in FADING])
def test_how_it_fades(net: World, case: Fading) -> None:
    reports = {each.edge: each for each in case.reports}
    found = told(net, plan(case.row), case.client, now_ms=HELD + case.after_s * 1000, reports=reports)
    assert shares(found) == case.wanted
    assert found.plan == case.plan


def test_what_gets_nothing_while_it_fades(net: World) -> None:
    lines = list(told(net, plan(row("DE||", ("par",), ber=100)), BERLIN, now_ms=HELD + 300_000).lines())
    (away,) = [line for line in lines if line.startswith("not par")]
    assert away.startswith("not par: plan v7 and local policy give it nothing, a backup (")


FLAGS = [
    # what is reported, how long after it held, the flags of the row
    ({}, 300, layout.ROW_PLANNED),
    ({"fra": replace(down("fra"), since_ms=T - 1000)}, 0, layout.ROW_PLANNED),
    ({"fra": replace(down("fra"), since_ms=T - 1000)}, 300, layout.ROW_PLANNED | layout.ROW_CHANGING),
    ({"par": replace(said("par"), since_ms=T - 1000)}, 300, layout.ROW_PLANNED | layout.ROW_CHANGING),
    ({edge: said(edge, headroom_milli=0) for edge in ("ber", "fra", "par")}, 300,
     layout.ROW_PLANNED | layout.ROW_FAIL_OPEN),
]  # fmt: skip


@pytest.mark.parametrize(("reports", "after_s", "flags"), FLAGS)
def test_flags_are_those_of_both(net: World, reports: dict[str, Report], after_s: int, flags: int) -> None:
    state = StoreState(T, reports, plan=plan(WIDE))
    made = steering.Steering(steering.build(net.catalog.arrays, state, HELD + after_s * 1000))
    catalog = net.catalog
    number = catalog.names[catalog.find(b"\4live\1x\4test\0")].service
    cls = told(net, plan(WIDE), BERLIN).cls
    found = made.row(made.first(number, catalog.policies[catalog.services[number].policy].row) + cls, False)
    assert found.flags == flags


@pytest.mark.parametrize("seed", range(3))
def test_no_step_of_fading_moves_more_than_a_sixtieth(net: World, seed: int) -> None:
    """From before it holds no more until it has faded, whatever is reported of edges; and nothing moves in between."""
    chance = np.random.default_rng(seed)
    weights = dict(zip(["ber", "fra", "par"], (chance.dirichlet([1, 1, 1]) * 100).tolist(), strict=True))
    reports = {edge: said(edge, load_bps=int(chance.uniform(0, 9.6e9))) for edge in weights}
    state = StoreState(T, reports, plan=plan(row("DE||", **weights), row("FR||", par=100)))
    former = None
    seen = []
    for now_ms in [HELD + at_s * 1000 + ms for at_s in range(0, 610, 10) for ms in (-1, 0)]:
        arrays = steering.build(net.catalog.arrays, state, now_ms)
        rows = len(arrays["count"])
        table = np.zeros((rows, len(EDGES)))
        edges, given = (arrays[name].reshape(rows, -1) for name in ("edge", "weight"))
        np.add.at(table, (np.arange(rows)[:, None], edges), given.astype(float))
        table /= np.maximum(table.sum(axis=1, keepdims=True), 1)
        if former is not None:
            seen.append(float(np.abs(table - former).max()))
        former = table
    assert max(seen) <= 1 / 60 + 1e-6
    assert [at for at, moved in enumerate(seen) if moved] == list(range(2, 121, 2)), "each ten seconds, 60 times"


def test_a_step_moves_a_sixtieth_of_the_clients(net: World) -> None:
    """And every one of them to an edge whose share grew."""
    catalog = net.catalog
    number = catalog.names[catalog.find(b"\4live\1x\4test\0")].service
    policy = catalog.policies[catalog.services[number].policy]
    cls = told(net, plan(WIDE), BERLIN).cls
    state = StoreState(T, plan=plan(row("DE||", par=100)))
    rows = [
        steering.Steering(steering.build(catalog.arrays, state, HELD + at_s * 1000)).row(policy.row + cls, False)
        for at_s in (290, 300)
    ]
    clients = [
        [
            draw.pick(
                each.edges, each.levels, each.weights, each.reciprocals, catalog.edge_hashes,
                draw.seed_of(b"\4live\1x\4test\0", 4, client << 12, 20), 1, 0, b"",
            )[0]
            for client in range(20_000)
        ]
        for each in rows
    ]  # fmt: skip
    moved = [(was, now) for was, now in zip(*clients, strict=True) if was != now]
    assert len(moved) / 20_000 == pytest.approx(1 / 60, abs=0.003)
    assert {catalog.edge_ids[was] for was, _ in moved} == {"par"}


def wide(weights: list[int], levels: list[list[int]], local: list[list[tuple[int, int]]]) -> weighing.Rows:
    """Blended half and half: what the plan gives each edge, and rows of edge and weight with the levels of the pool."""
    width = len(weights)
    pool = steering.pool_state(
        {
            "policy": np.array([(0, width)], dtype=[("edge", "<u4"), ("edge_count", "<u4")]),
            "policy_edge": np.arange(width),
            "policy_weight": np.full(width, 100),
        },
        np.zeros(width, dtype=layout.EDGE_STATE),
        0,
        is_v6=False,
    )
    theirs = np.zeros((1, width))
    for edge, weight in local[0]:
        theirs[0, edge] = weight
    of_classes = np.array(levels, dtype=np.uint8)
    rows = weighing._drawn(of_classes, pool.edges, theirs, spill.levels_in_use(of_classes))
    return weighing.blended(np.arange(width)[None], np.array([weights]), rows, pool, 30, 60)


def test_more_than_sixteen_edges_keep_the_heaviest() -> None:
    """Twelve of the plan and twelve others, the lightest of which are left out; both halves count alike before."""
    plan_weights = [1000 * (at + 1) for at in range(12)] + [0] * 12
    local = [[(at, at) for at in range(12, 24)]]
    found = wide(plan_weights, [[255] * 12 + [3] * 12], local)
    whole = [each / sum(plan_weights) for each in plan_weights[:12]] + [
        each / sum(range(12, 24)) for each in range(12, 24)
    ]
    kept = sorted(sorted(range(24), key=lambda at: (-whole[at], at))[:16])
    assert found.edge[0].tolist() == kept
    assert found.level[0].tolist() == [0 if at < 12 else 4 for at in kept]
    part = [whole[at] / sum(whole[each] for each in kept) for at in kept]
    assert (found.weight[0] / found.weight[0].sum()).tolist() == pytest.approx(part, rel=1e-6)


NEARER = [
    # rows, what is said of the row, of a client in Berlin with dtag
    ([WIDE], "plan row DE||: ber 30.0%, par 70.0%"),
    ([row("DE||", ("fra",), ber=100)], "plan row DE||: ber 100.0%, backups fra"),
    ([WIDE, row("DE||dtag", rio=100)],
     "plan row DE||: ber 30.0%, par 70.0%; one that comes first is skipped: edge rio is unknown"),
    ([row("DE||", zrh=100)], "plan row skipped: edge zrh has weight 0"),
    ([row("DE||", ("osl",), ber=100)], "plan row skipped: edge osl is not in the pool"),
    ([row("DE||", ("nyc",), ber=100)], "plan row skipped: it breaks a fence"),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "line"), NEARER)
def test_the_row_is_told(net: World, rows: list[PlanRow], line: str) -> None:
    assert [each for each in told(net, plan(*rows), BERLIN).lines() if each.startswith("plan ")] == [line]


def test_costs_and_limits_are_told(net: World) -> None:
    """Of the row's edges and their PoPs; of the network, and of any region."""
    costly = row("DE||", ("fra",), ber=30, par=70)._replace(costs=(1.25, 2.0, 0.123456))
    caps = tuple(BindingCap(*each) for each in CAPS)
    published = replace(plan(costly, row("FR||", par=100)), caps=caps)
    found = told(net, published, BERLIN)
    facts = {each.edge: (each.planned, each.cost) for each in found.candidates}
    assert facts["ber"] == (pytest.approx(0.3, abs=1e-4), 1.25)
    assert facts["fra"] == (0, pytest.approx(0.123456))
    assert facts["nyc"] == (None, None)
    lines = list(found.lines())
    assert [line for line in lines if line.startswith("cap ")] == [
        "cap pop ber, 20 Gbps, binds: one Mbps more would save 9",
        "cap region north, 7.5 Gbps, binds: one Mbps more would save 3",
        "cap edge par, 10 Gbps, binds: one Mbps more would save 0.25",
        "cap network, 100 Gbps, binds: one Mbps more would save 0.1",
    ]
    (ber,) = [line for line in lines if line.startswith("edge ber")]
    assert ", plan 30.0 % at cost 1.25, " in ber
    (fra,) = [line for line in lines if line.startswith("not fra")]
    assert ", backup at cost 0.1235, " in fra
    assert [each.kind for each in told(net, published, PARIS).caps] == ["region", "edge", "network"]
    assert not told(net, published, BERLIN, "local").caps


def test_what_is_refused_is_told(net: World) -> None:
    made = steering.build(net.catalog.arrays, StoreState(T, plan=plan(WIDE)), T, refused="v8 refused: shift: 40 %")
    for service, wanted in (("live", ["plan v8 refused: shift: 40 %"]), ("local", [])):
        name = bytes((len(service),)) + service.encode() + b"\1x\4test\0"
        ecs = Ecs(1, 24, bytes((198, 51, 100, 0)), b"")
        lines = explain(net.catalog, steering.Steering(made), name, ecs, RESOLVER).lines()
        assert [line for line in lines if line.startswith("plan ") and "refused" in line] == wanted


SKIPPED = [
    ([], 0),
    ([WIDE], 0),
    ([WIDE, row("FR||", nyc=100), row("US||", nyc=100)], 1),
    ([row("DE||", service="local.x.test.", ber=100), row("DE||", service="no.x.test.", ber=100)], 2),
    ([row("DE||", rio=100), row("FR||", ("rio",), ber=100)], 2),
]


@pytest.mark.parametrize(("rows", "skipped"), SKIPPED)
def test_rows_that_cannot_be_used_are_counted(net: World, rows: list[PlanRow], skipped: int) -> None:
    made = steering.build(net.catalog.arrays, StoreState(T, plan=plan(*rows)), T)
    assert steering.Steering(made).note["skipped"] == skipped


def test_resolved_once_and_used_again(net: World) -> None:
    state = StoreState(T, plan=plan(WIDE))
    kept = planning.resolve(net.catalog.arrays, plan(WIDE))
    one, other = (steering.build(net.catalog.arrays, state, T, planned) for planned in (None, kept))
    assert {name: array.tobytes() for name, array in one.items()} == {
        name: array.tobytes() for name, array in other.items()
    }


@pytest.mark.parametrize("after_s", [0, 3_600_300])
def test_it_does_not_matter_how_many_rows_are_made_at_once(
    net: World, monkeypatch: pytest.MonkeyPatch, after_s: int
) -> None:
    pin = Override("p", "pin", Target(view="FR||"), T // 1000, T // 1000 + 10_000_000, edges=("fra",), reason="x")
    state = StoreState(T, {"ber": down("ber")}, overrides={"p": pin}, plan=plan(WIDE, row("IT||", ber=100)))
    found = []
    for block in (1 << 16, 1, 40):
        monkeypatch.setattr(filling, "_BLOCK", block)
        made = steering.build(net.catalog.arrays, state, T + after_s * 1000)
        found.append({name: array.tobytes() for name, array in made.items()})
    assert found[0] == found[1] == found[2]


def test_drains_and_pins_come_first(net: World) -> None:
    drain = Override("d", "drain", Target(edge="ber"), T // 1000, T // 1000 + 60, reason="x")
    pin = Override("p", "pin", Target(service="live.x.test."), T // 1000, T // 1000 + 60, edges=("fra",), reason="x")
    assert shares(told(net, plan(WIDE), BERLIN, overrides={"d": drain})) == {"par": 100.0}
    found = told(net, plan(WIDE), BERLIN, overrides={"p": pin})
    assert shares(found) == {"fra": 100.0}
    away = [line for line in told(net, plan(WIDE), BERLIN).lines() if line.startswith("not fra")]
    assert away[0].startswith("not fra: plan v7 gives it nothing (")


weighed = st.integers(1, 6).flatmap(
    lambda edges: st.tuples(
        st.lists(st.tuples(st.booleans(), st.integers(0, 1000), st.booleans()), min_size=edges, max_size=edges),
        st.dictionaries(st.integers(0, edges - 1), st.integers(1, 100), min_size=1).map(
            lambda each: list(each.items())
        ),
        st.lists(st.integers(0, edges - 1), max_size=3, unique=True),
    )
)


@settings(derandomize=True, deadline=None)
@given(weighed)
def test_weighing_against_the_words(
    drawn: tuple[list[tuple[bool, int, bool]], list[tuple[int, int]], list[int]],
) -> None:
    """The same by the sentences of the module's docstring, one row at a time."""
    edges, primaries, backups = drawn
    living = [lives for lives, _, _ in edges]
    keep = [milli * 1000 if lives else 0 for lives, milli, _ in edges]
    changing = [changed for _, _, changed in edges]
    pad = [-1] * 6
    policy = PlannedPolicy(
        np.array([0, -1]),
        np.array([([at for at, _ in primaries] + pad)[:6]]),
        np.array([([weight for _, weight in primaries] + [0] * 6)[:6]]),
        np.array([(backups + pad)[:6]]),
        ("DE||",),
    )
    found = planning.weigh(policy, np.array([1, 0]), np.array(keep), np.array(living), np.array(changing))
    wanted = [0] * len(edges)
    looked_at = [at for at, _ in primaries]
    for at, weight in primaries:
        heirs = [at] if living[at] else [each for each in backups if living[each] and keep[each]]
        if heirs:
            wanted[heirs[0]] += weight << 16
        if not living[at]:
            looked_at += backups[: backups.index(heirs[0]) + 1] if heirs else backups
    wanted = [
        max(1, weight * kept // 10**6) if weight and kept else 0 for weight, kept in zip(wanted, keep, strict=True)
    ]
    enough = 2 * sum(wanted) >= sum(weight << 16 for _, weight in primaries)
    assert found.decided.tolist() == [False, enough]
    assert found.changing.tolist() == [False, any(changing[at] for at in looked_at)]
    given = np.zeros((2, len(edges)), dtype=int)
    at, column = np.nonzero(found.weight)
    np.add.at(given, (at, found.at[at, column]), found.weight[at, column])
    assert given.tolist() == [[0] * len(edges), wanted if enough else [0] * len(edges)]
