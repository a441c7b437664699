"""From files to arcs: which edges may serve whom, how far they are, what they cost, and what they can take now."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gslbtest import dispatcher

from gslb.dispatch import routes, standing
from gslb.dispatch.explaining import explain
from gslb.dispatch.network import Network, NetworkReader, read
from gslb.dispatch.whereabouts import Whereabouts, km_between, vectors
from gslb.errors import ConfigErrors, GslbError
from gslb.model.override import KIND_DRAIN, KIND_PIN, KIND_RAMP, Override, Target
from gslb.model.plan import DOWN, DRAIN, PLAN_SUM, BindingCap, Forced, Plan, PlanRow
from gslb.model.report import Report, StoreState
from gslb.model.view import View, ViewTable
from gslb.plan.problem import UNLIMITED, GroupKey

NOW_MS = 1_800_000_000_000
NOW_S = NOW_MS // 1000
G = 10**9
DTAG, PARIS, ABROAD = ("DE", "HE", "dtag"), ("FR", "IDF", ""), ("US", "", "")
KEYS = [GroupKey(dispatcher.SERVICE, *view) for view in (DTAG, PARIS, ABROAD)]


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return made(tmp_path)


def made(folder: Path, **zones: str) -> Network:
    """The small network with other texts of `zones/`, by name without its ending."""
    dispatcher.network(folder, {f"{name}.yaml": text for name, text in zones.items()})
    return read(folder / "zones", folder / "data")


def arcs(network: Network, before: Plan | None = None, unusable: frozenset[str] = frozenset()) -> set[tuple[str, str]]:
    usable = np.array([edge.id not in unusable for edge in network.edges])
    found = routes.candidates(network, KEYS, usable, before)
    assert sorted(zip(found.group.tolist(), found.edge.tolist(), strict=True)) == list(
        zip(found.group.tolist(), found.edge.tolist(), strict=True)
    )
    return {(KEYS[group].country, network.edges[edge].id) for group, edge in zip(found.group, found.edge, strict=True)}


def test_a_fence_is_an_arc_that_is_not_there(network: Network) -> None:
    assert arcs(network) == {
        *(("DE", edge) for edge in ("fra-1", "fra-2", "par-1")),
        *(("FR", edge) for edge in ("fra-1", "fra-2", "par-1")),
        *(("US", edge) for edge in ("fra-1", "fra-2")),
    }


STOOD = Plan("v", rows=(PlanRow(dispatcher.SERVICE, "DE", "", "", (("par-1", PLAN_SUM),)),))


@pytest.mark.parametrize(
    ("before", "unusable", "german"),
    [
        (None, frozenset(), {"fra-1"}),  # the level country, and the first of two that are equally near
        (None, frozenset({"fra-1"}), {"fra-2"}),
        (None, frozenset({"fra-1", "fra-2"}), {"par-1"}),
        (STOOD, frozenset(), {"fra-1", "par-1"}),  # what it had by the row that speaks for it
    ],
)
def test_the_best_are_candidates(
    tmp_path: Path, before: Plan | None, unusable: frozenset[str], german: set[str]
) -> None:
    network = made(tmp_path, dispatch="candidates: 1\n")
    assert {edge for country, edge in arcs(network, before, unusable) if country == "DE"} == german


def test_barred_pairs_are_left_out(network: Network) -> None:
    shut = {KEYS[0]: frozenset({"fra-1"})}
    found = routes.candidates(network, KEYS[:1], np.ones(3, dtype=np.bool_), None, shut)
    assert [network.edges[at].id for at in found.edge] == ["fra-2", "par-1"]


def test_groups_of_no_planned_service_have_no_arcs(network: Network) -> None:
    keys = [GroupKey("other.live.example.", *DTAG)]
    assert len(routes.candidates(network, keys, np.ones(3, dtype=np.bool_), None).group) == 0


def test_costs_are_of_distance_mismatch_and_price(tmp_path: Path) -> None:
    network = made(tmp_path, dispatch="price: 1\nedges: {fra-2: {price: 3}}\npops: {fra: {price: 2}}\n")
    planned = network.planned[dispatcher.SERVICE]
    found = routes.routes(network, planned, [DTAG, PARIS])
    near = 14.8 + 17.3 * 51.0 / 1000  # Frankfurt is some 51 km from where dtag's viewers are
    assert found.rtt_ms[0, 0] == pytest.approx(near, abs=0.05)
    alpha = network.rules.alpha
    assert found.cost[0] - alpha * found.rtt_ms[0] == pytest.approx([2.0, 3.0 + 0.3, 1.0])
    assert found.cost[1] - alpha * found.rtt_ms[1] == pytest.approx([2.0 + 1.2, 3.0 + 1.2, 1.0])


RTT = "country,region,isp,pop,rtt_ms\nDE,,,par,40\nDE,HE,,par,30\nDE,,dtag,par,20\nDE,HE,dtag,fra,7\n"


@pytest.mark.parametrize(
    ("view", "to_fra_ms", "to_par_ms"),
    [
        (DTAG, 7.0, 20.0),
        (("DE", "HE", ""), None, 30.0),
        (("DE", "BY", ""), None, 40.0),
        (("IT", "", ""), 100.0, 100.0),  # nothing is known but the continent
        (("US", "", ""), 300.0, 300.0),
        (("", "", ""), 300.0, 300.0),
    ],
)
def test_measured_round_trips_come_first(
    tmp_path: Path, view: tuple[str, str, str], to_fra_ms: float | None, to_par_ms: float
) -> None:
    dispatcher.network(tmp_path)
    (tmp_path / "data" / "rtt.csv").write_text(RTT)
    network = read(tmp_path / "zones", tmp_path / "data")
    found = routes.routes(network, network.planned[dispatcher.SERVICE], [view]).rtt_ms[0]
    assert found[2] == to_par_ms
    if to_fra_ms is not None:
        assert found[0] == to_fra_ms


def test_without_coordinates_a_country_is_near_itself() -> None:
    nowhere = Whereabouts.of(ViewTable.of([]))
    assert np.isnan(nowhere.places([DTAG])).all()


def test_places_are_the_middle_of_what_is_known() -> None:
    views = [
        View("DE", "HE", "a", lat=50, lon=8),
        View("DE", "HE", "b", lat=52, lon=8),
        View("DE", "BY", "", lat=48, lon=12),
    ]
    found = Whereabouts.of(ViewTable.of(views))
    wanted = vectors(np.array([50.0, 51.0, 50.0]), np.array([8.0, 8.0, 9.3]))
    got = found.places([("DE", "HE", "a"), ("DE", "HE", "c"), ("DE", "", "")])
    assert np.diag(km_between(got, wanted)) == pytest.approx([0, 0, 0], abs=25)


def test_files_with_errors_leave_what_was_read_before(tmp_path: Path) -> None:
    dispatcher.network(tmp_path)
    reader = NetworkReader(tmp_path / "zones", tmp_path / "data")
    first = reader.read()
    assert reader.read() is first
    path = tmp_path / "zones" / "dispatch.yaml"
    path.write_text("churn: cheap\n")
    assert reader.read() is first
    assert "dispatch.yaml:1:8" in reader.fault
    assert reader.read() is first
    assert reader.fault
    path.write_text("churn: 0.5\n")
    assert reader.read().rules.churn == 0.5
    assert not reader.fault
    path.write_text("churn: cheap\n")
    with pytest.raises(ConfigErrors):
        NetworkReader(tmp_path / "zones", tmp_path / "data").read()


def reported(edge: str, **told: object) -> Report:
    return Report(edge, 1, 1, NOW_MS, capacity_bps=8 * G, load_bps=2 * G, **told)


def override(kind: str, target: Target, **told: object) -> dict[str, Override]:
    return {"o": Override("o", kind, target, NOW_S - 100, NOW_S + 1000, **told)}


def state(*reports: Report, overrides: dict[str, Override] | None = None, now_ms: int = NOW_MS) -> StoreState:
    by_edge = {each.edge: each for each in reports}
    return StoreState(now_ms, by_edge, dict.fromkeys(by_edge, NOW_MS), overrides=overrides or {})


Case = tuple[StoreState, tuple[str, str, str], list[float], list[int]]
CASES: dict[str, Case] = {
    "nothing is known": (state(), ("", "", ""), [10, 10, 20], [-1, -1, -1]),
    "reports": (state(reported("fra-1")), ("", "", ""), [8, 10, 20], [2 * G, -1, -1]),
    "IPv6 alone is down": (state(reported("fra-1", health6="down")), ("", "", ""), [8, 10, 20], [2 * G, -1, -1]),
    "down": (state(reported("fra-1", health4="down", health6="down")), (DOWN, "", ""), [0, 10, 20], [2 * G, -1, -1]),
    "drain": (state(reported("par-1", health4="drain")), ("", "", DRAIN), [10, 10, 0], [-1, -1, 2 * G]),
    "silent for long": (state(reported("fra-2"), now_ms=NOW_MS + 60_000), ("", DOWN, ""), [10, 0, 20], [-1, 2 * G, -1]),
    "silent a while": (state(reported("fra-2"), now_ms=NOW_MS + 5_000), ("", "", ""), [10, 8, 20], [-1, -1, -1]),
    "a PoP is drained": (
        state(overrides=override(KIND_DRAIN, Target(pop="fra"))),
        (DRAIN, DRAIN, ""),
        [0, 0, 20],
        [-1, -1, -1],
    ),
    "on its way": (
        state(overrides=override(KIND_DRAIN, Target(edge="par-1"), over_s=200)),
        ("", "", ""),
        [10, 10, 10],
        [-1, -1, -1],
    ),
    "a ramp": (
        state(overrides=override(KIND_RAMP, Target(edge="par-1"), value_milli=250)),
        ("", "", ""),
        [10, 10, 5],
        [-1, -1, -1],
    ),
    "limited to a service": (
        state(overrides=override(KIND_DRAIN, Target(edge="par-1", service=dispatcher.SERVICE))),
        ("", "", ""),
        [10, 10, 20],
        [-1, -1, -1],
    ),
    "a pin": (
        state(overrides=override(KIND_PIN, Target(service=dispatcher.SERVICE), edges=("fra-1",))),
        ("", "", ""),
        [10, 10, 20],
        [-1, -1, -1],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_edges_can_take(network: Network, case: Case) -> None:
    given, leaving, capacity, load = case
    found = standing.standing(network, given, given.now_ms)
    assert found.live.leaving == leaving
    assert found.sites.edge_capacity_bps.tolist() == [each * G for each in capacity]
    assert found.live.load_bps.tolist() == load
    assert found.usable.tolist() == [not why for why in leaving]


def test_a_window_of_maintenance_empties_an_edge_ahead(tmp_path: Path) -> None:
    network = made(
        tmp_path,
        events="maintenance:\n  - {name: m, edge: fra-2, from: 2027-01-15T08:10:00Z, until: 2027-01-15T09:00:00Z,"
        " drain: 20m}\n",
    )
    found = standing.standing(network, state(), NOW_MS)  # 2027-01-15T08:00:00Z
    assert found.sites.edge_capacity_bps.tolist() == [10 * G, 5 * G, 20 * G]
    later = standing.standing(network, state(), NOW_MS + 600_000)
    assert later.live.leaving == ("", DRAIN, "")


def test_limits_of_the_files_are_those_of_the_sites(tmp_path: Path) -> None:
    network = made(
        tmp_path,
        dispatch="edges: {fra-1: {capacity: 5Gbps, minimum: 1Gbps}}\npops: {par: {capacity: 7Gbps}}\n"
        "regions: {west: {pops: [par], capacity: 6Gbps, minimum: 2Gbps}}\nnetwork: {capacity: 30Gbps}\n",
    )
    found = standing.sites_of(network)
    assert (found.edges, found.pops, found.regions) == (("fra-1", "fra-2", "par-1"), ("fra", "par"), ("west",))
    assert found.pop_of_edge.tolist() == [0, 0, 1]
    assert found.region_of_pop.tolist() == [-1, 0]
    assert found.edge_capacity_bps.tolist() == [5 * G, 10 * G, 20 * G]
    assert found.pop_capacity_bps.tolist() == [UNLIMITED, 7 * G]
    assert found.region_capacity_bps.tolist() == [6 * G]
    assert found.network_capacity_bps == 30 * G
    assert found.edge_minimum_bps is not None
    assert found.edge_minimum_bps.tolist() == [G, 0, 0]


@pytest.mark.parametrize(
    ("target", "shut"),
    [
        (Target(edge="fra-1", service=dispatcher.SERVICE), {"DE", "FR", "US"}),
        (Target(edge="fra-1", service="other.live.example."), set()),
        (Target(edge="fra-1", view="DE||"), {"DE"}),
        (Target(pop="fra", view="|IDF|"), {"FR"}),
        (Target(edge="fra-1"), set()),  # it shuts the edge to all, and is no matter of pairs
    ],
)
def test_a_drain_for_some_shuts_pairs(network: Network, target: Target, shut: set[str]) -> None:
    found = standing.barred(network, state(overrides=override(KIND_DRAIN, target)), NOW_S, KEYS)
    assert {key.country for key in found} == shut
    assert all("fra-1" in edges for edges in found.values())


def test_an_explanation_names_view_row_costs_and_limits(network: Network) -> None:
    row = PlanRow(dispatcher.SERVICE, "DE", "", "dtag", (("fra-1", PLAN_SUM - 5), ("par-1", 5)), ("fra-2",), 7)
    caps = (
        BindingCap("pop", "fra", 5, 1.0),
        BindingCap("edge", "else", 5, 1.0),
        BindingCap("network", "network", 9, 2.0),
    )
    plan = Plan("v1", rows=(row,), caps=caps, forced=(Forced("par-1", DOWN, 3), Forced("else", DOWN, 3)))
    found = explain(network, plan, dispatcher.SERVICE, bytes([198, 51, 100, 0]), 24, "198.51.100.0/24")
    assert found.view.key == "DE|HE|dtag"
    assert found.row == row
    assert [(each.edge, each.level, each.backup) for each in found.candidates] == [
        ("fra-1", "country", 0),
        ("par-1", "any", 0),
        ("fra-2", "country", 1),
    ]
    assert [cap.kind for cap in found.caps] == ["pop", "network"]
    assert [each.edge for each in found.forced] == ["par-1"]
    abroad = explain(network, plan, dispatcher.SERVICE, bytes([192, 0, 2, 0]), 24, "192.0.2.0/24")
    assert abroad.row is None
    assert {each.edge for each in abroad.candidates} == {"fra-1", "fra-2"}
    for name, told in (("other.live.example.", "is not planned"), ("nope.", "is no service")):
        with pytest.raises(GslbError, match=told):
            explain(network, plan, name, bytes(4), 24, "0.0.0.0/24")
