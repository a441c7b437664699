"""The history of a server with a real catalog: what is told of each change, and what was answered from at any time."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gslb.errors import GslbError
from gslb.model.override import Override, Target
from gslb.model.plan import PLAN_SUM, Plan, PlanRow
from gslb.model.report import Report, StoreState
from gslb.server import history as history_module
from gslb.server import transitions
from gslb.server.history import History
from gslb.snapshot import compile as compiling
from gslb.snapshot import steering
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.steering import Steering
from gslb.store import files, journal, kept
from gslb.store.journal import Journal

T = 1_795_530_600_000  # 2026-11-24T14:30:00Z
S = T // 1000
EDGES = ("ber-1", "ber-2", "ams-1", "ams-2", "six-1", "nyc-1")
PLACES = {
    "ber": "{country: DE, region: BE, lat: 52.5, lon: 13.4}",
    "ams": "{country: NL, lat: 52.4, lon: 4.9}",
    "six": "{country: FR, lat: 48.9, lon: 2.3}",
    "nyc": "{country: US, region: NY, lat: 40.7, lon: -74.0}",
}
HEALTH = "health: {stale_s: 3, hold_s: 7, changing_s: 5, slow_start_s: 20, silence_share: 0.9}\n"


def zones(edges: tuple[str, ...] = EDGES) -> dict[str, str]:
    families = {edge: f"v4: [203.0.113.{at + 1}], v6: ['2001:db8::{at + 1}']" for at, edge in enumerate(EDGES)}
    families["six-1"] = "v6: ['2001:db8::99']"
    return {
        "edges.yaml": f"{HEALTH}edges:\n"
        + "".join(
            f"  {edge}:\n    pop: {edge[:3]}\n    addresses: {{{families[edge]}}}\n"
            f"    location: {PLACES[edge[:3]]}\n    capacity: 10Gbps\n"
            for edge in edges
        ),
        "networks.csv": "prefix,country,region\n198.16.0.0/12,DE,BE\n198.51.100.0/24,US,NY\n",
        "live.example.yaml": (
            "zone: live.example.\nsoa: {mname: ns1, rname: hostmaster}\n"
            'records:\n  "@": {NS: [ns1]}\n  ns1: {A: 192.0.2.53}\n'
            "services:\n  pull: {pool: all, affinity: [country, continent, any]}\n"
            "  plan: {like: pull, dispatch: true}\n"
            f"pools:\n  all: {{{', '.join(f'{edge}: 100' for edge in edges)}}}\n"
        ),
    }


class Network:
    """A network whose state is set by hand, and its history."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.clock_ms = T
        self.catalog = self.compiled(1)
        self.state = StoreState()
        self.history = self.started()
        self.answered: list[tuple[int, dict[str, Any]]] = []

    def started(self) -> History:
        return History(self.state_dir, lambda: self.clock_ms)

    def compiled(self, number: int, edges: tuple[str, ...] = EDGES) -> Catalog:
        read = compiling.read({f"zones/{name}": text.encode() for name, text in zones(edges).items()}, {}, ())
        arrays = compiling.build(read)
        assert arrays is not None, read.findings.errors
        path = files.write_catalog(self.state_dir, bytes((number,)) * 32, arrays)
        return Catalog(files.read_catalog(path))

    def report(self, edge: str, **said: Any) -> None:
        """A report written now."""
        before = self.state.reports.get(edge, Report(edge, 1, 0, 0))
        now_ms = max(self.state.now_ms, self.clock_ms)
        report = dataclasses.replace(before, seq=before.seq + 1, received_ms=now_ms, **said)
        self.state = dataclasses.replace(
            self.state,
            now_ms=now_ms,
            reports={**self.state.reports, edge: report},
            seen={**self.state.seen, edge: now_ms},
        )

    def change(self, **said: Any) -> None:
        self.state = dataclasses.replace(self.state, **said)

    def steer(self, cause: str = "store", connected: bool = True) -> dict[str, Any]:
        """Steering as the server makes it, told to the history."""
        now_ms = self.clock_ms // 1000 * 1000
        arrays = steering.build(self.catalog.arrays, self.state, now_ms)
        self.answered.append((self.clock_ms, arrays))
        self.history.steered(self.catalog, self.state, arrays["edge_state"], now_ms, cause, connected)
        return arrays

    def lines(self, *kinds: str) -> list[dict[str, Any]]:
        """The journal's lines of these kinds, without their time."""
        text = "".join(path.read_text() for path in journal.files(self.state_dir / "journal"))
        found = [json.loads(line) for line in text.splitlines()]
        return [{key: line[key] for key in line if key != "t_ms"} for line in found if line["kind"] in kinds]


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return Network(tmp_path)


def same(found: tuple[Catalog, Steering], arrays: Mapping[str, Any], but: tuple[str, ...] = ("age_ms",)) -> None:
    """The steering is that of the arrays, but for these columns of edge_state."""
    told = found[1].arrays
    assert told.keys() == arrays.keys()
    for name in told.keys() - {"edge_state"}:
        assert np.array_equal(told[name], arrays[name]), name
    for name in told["edge_state"].dtype.names:
        if name not in but:
            assert told["edge_state"][name].tolist() == arrays["edge_state"][name].tolist(), name


def drain(name: str, edge: str, from_s: int, until_s: int, service: str = "", over_s: int = 0) -> Override:
    return Override(
        name, "drain", Target(edge=edge, service=service), from_s, until_s, over_s, author="ana", reason="r"
    )


def test_the_first_steering_is_a_checkpoint(network: Network) -> None:
    network.report("ber-1", load_bps=5 * 10**9, headroom_milli=1000)
    arrays = network.steer("catalog")
    (checkpoint,) = network.lines("checkpoint")
    assert (checkpoint["format"], checkpoint["generation"]) == (1, "01" * 32)
    assert (checkpoint["now_ms"], checkpoint["state_ms"], checkpoint["plan"], checkpoint["overrides"]) == (T, T, "", [])
    of_edge = dict(zip(checkpoint["columns"], checkpoint["edges"]["ber-1"], strict=True))
    assert of_edge["load_bps"] == 5 * 10**9
    assert network.lines("steering") == [{"kind": "steering", "cause": "catalog", "now_ms": T, "state_ms": T}]
    same(network.history.at(T), arrays, but=())


TOLD = [
    # what is said of ber-1, is, was, reason
    ({"health4": "down", "health6": "down"}, "down", "up", "its report"),
    ({"health4": "drain"}, "drain/up", "up", "its report"),
    ({"health6": "down"}, "up/down", "up", "its report"),
]


@pytest.mark.parametrize(("said", "now", "was", "reason"), TOLD)
def test_what_a_report_says_is_told(network: Network, said: dict[str, str], now: str, was: str, reason: str) -> None:
    network.report("ber-1")
    network.steer()
    network.clock_ms += 100
    network.report("ber-1", since_ms=network.clock_ms, **said)
    network.steer()
    (line,) = network.lines("edge")
    assert (line["edge"], line["is"], line["was"], line["reason"]) == ("ber-1", now, was, reason)
    assert (line["health_v4"], line["health_v6"]) == (said.get("health4", "up"), said.get("health6", "up"))
    assert (line["reported"], line["held"], line["gone"], line["since_ms"]) == (True, False, False, T + 100)


def test_the_life_of_an_edge(network: Network) -> None:
    def step(ms: int, *reporting: str, **said: Any) -> None:
        network.clock_ms += ms
        for edge in reporting:
            network.report(edge, **said)
        network.steer()

    step(0)
    step(10, "ber-1", "ber-2")
    for _ in range(12):
        step(1000, "ber-2")
    step(1000, "ber-2", "ber-1")
    network.change(reports={"ber-1": network.state.reports["ber-1"]})
    step(5000, "ber-1")
    assert [(line["edge"], line["is"], line["was"], line["reason"]) for line in network.lines("edge")] == [
        ("ber-1", "up", "up", "its report"),  # the first it ever said
        ("ber-2", "up", "up", "its report"),
        ("ber-1", "unknown", "up", "silent"),
        ("ber-1", "down", "unknown", "silent"),
        ("ber-1", "up", "down", "its report"),
        ("ber-2", "unknown", "up", "its report vanished"),
    ]
    for at_ms, arrays in network.answered:
        same(network.history.at(at_ms), arrays)


def test_ages_of_silent_edges_go_on(network: Network) -> None:
    network.report("ber-1")
    network.report("ber-2", valid_ms=60_000)
    network.steer()
    for _ in range(9):
        network.clock_ms += 700
        network.report("ams-1")
        network.steer()
    rows = [network.catalog.edge_ids.index(edge) for edge in ("ber-1", "ber-2")]
    silent = 0
    for at_ms, arrays in network.answered:
        _, found = network.history.at(at_ms)
        told, was = (each["edge_state"]["age_ms"][rows].tolist() for each in (found.arrays, arrays))
        if was[0] > 3000:
            silent += 1
            late_ms = int(arrays["made"]["state_ms"][0]) - found.state_ms
            assert 0 <= late_ms < 1000, "store time is told each second"
            assert told == [age - late_ms for age in was]
    assert silent == 5


def test_edges_that_are_silent_together_are_held(network: Network) -> None:
    for edge in EDGES:
        network.report(edge)
    network.steer()
    network.clock_ms += 5000
    network.report("nyc-1")
    arrays = network.steer()
    lines = network.lines("edge")
    assert sorted(line["edge"] for line in lines) == sorted(set(EDGES) - {"nyc-1"})
    assert {(line["is"], line["reason"], line["held"]) for line in lines} == {
        ("unknown", "silent with much of its continent", True)
    }
    same(network.history.at(network.clock_ms), arrays)


def test_numbers_are_told_when_they_have_moved(network: Network) -> None:
    network.report("ber-1", load_bps=5 * 10**9, headroom_milli=1000, sessions=1000)
    network.steer()
    steps: list[tuple[dict[str, int], dict[str, int]]] = [
        # what is said, and what is told of it
        ({"load_bps": 5 * 10**9 + 99_999_999}, {}),
        ({"load_bps": 5 * 10**9 - 99_999_999}, {}),
        ({"load_bps": 5 * 10**9 + 100_000_000}, {"load_bps": 5 * 10**9 + 100_000_000}),
        ({"headroom_milli": 999}, {"headroom_milli": 999}),
        ({"headroom_milli": 0}, {"headroom_milli": 0}),
        ({"sessions": 1009}, {}),
        ({"sessions": 1010}, {"sessions": 1010}),
        ({"sessions": 0}, {"sessions": 0}),
        ({"sessions": 1}, {"sessions": 1}),
        ({"capacity_bps": 9 * 10**9}, {"capacity_bps": 9 * 10**9}),
    ]
    for said, told in steps:
        before = len(network.lines("moved"))
        network.clock_ms += 100
        network.report("ber-1", **said)
        network.steer()
        lines = network.lines("moved")[before:]
        assert lines == ([{"kind": "moved", "edges": {"ber-1": told}}] if told else []), said


def test_overrides_are_told(network: Network) -> None:
    def at(second: int, **overrides: Override) -> list[tuple[str, str]]:
        before = len(network.lines("override"))
        network.clock_ms = T + second * 1000
        network.change(overrides=overrides)
        network.steer("time")
        return [(line["id"], line["is"]) for line in network.lines("override")[before:]]

    one = drain("one", "ber-1", S + 10, S + 20)
    two = drain("two", "ams-1", S, S + 1000)
    assert at(0) == []
    assert at(1, one=one) == [("one", "ordered")]
    assert at(2, one=one, two=two) == [("two", "ordered"), ("two", "begun")]
    assert at(3, one=one, two=two) == []
    assert at(10, one=one, two=two) == [("one", "begun")]
    assert at(11, one=dataclasses.replace(one, over_s=3), two=two) == [("one", "changed")]
    assert at(20, one=dataclasses.replace(one, over_s=3), two=two) == [("one", "ended")]
    ended = dataclasses.replace(two, until_s=S + 30)
    assert at(30, one=dataclasses.replace(one, over_s=3), two=ended) == [("two", "cancelled"), ("two", "ended")]
    assert at(900, two=ended) == [("one", "gone")]
    first = network.lines("override")[0]["override"]
    assert (first["id"], first["target"], first["from"]) == ("one", {"edge": "ber-1"}, "2026-11-24T14:30:10Z")
    drained = [line for line in network.lines("edge") if line["edge"] == "ber-1"]
    assert [(line["is"], line["was"], line["reason"]) for line in drained] == [
        ("drain", "up", "override"),
        ("up", "drain", "override"),
    ]
    for at_ms, arrays in network.answered:
        same(network.history.at(at_ms), arrays, but=())


def test_an_override_of_one_service_and_the_clock_alone(network: Network) -> None:
    """Its factor moves with the clock, while no state of any edge does."""
    network.change(overrides={"o": drain("o", "ber-1", S, S + 60, "pull.live.example.", over_s=10)})
    for second in range(70):
        network.clock_ms = T + second * 1000 + 40
        network.steer("time")
    assert network.lines("edge", "moved") == []
    assert len({arrays["weight"].tobytes() for _, arrays in network.answered}) >= 20
    network.clock_ms += 1000
    for at_ms, arrays in network.answered:
        same(network.history.at(at_ms + 900), arrays, but=())


def test_the_store_is_told(network: Network) -> None:
    for connected in (True, False, False, True):
        network.clock_ms += 1000
        network.steer("store", connected)
    network.change(gap_begin_ms=T, gap_end_ms=T + 2500)
    network.steer()
    network.change(gap_begin_ms=0, gap_end_ms=0)
    network.steer()
    assert network.lines("store") == [
        {"kind": "store", "is": "lost"},
        {"kind": "store", "is": "back"},
        {"kind": "store", "is": "gap", "begin_ms": T, "end_ms": T + 2500},
    ]


def plan(version: str, *weights: tuple[str, int]) -> Plan:
    row = PlanRow("plan.live.example.", "DE", "", "", weights, ("nyc-1",))
    return Plan(version, "", T, T, T + 3_600_000, (row,))


def test_plans_are_kept_once_each(network: Network) -> None:
    one, two = plan("v1", ("ber-1", PLAN_SUM)), plan("v2", ("ams-1", 5), ("ams-2", PLAN_SUM - 5))
    for each in (None, one, two, one, None):
        network.clock_ms += 1000
        network.change(plan=each)
        network.steer()
    told = [(line["is"], line["was"]) for line in network.lines("plan")]
    assert told == [("v1", ""), ("v2", "v1"), ("v1", "v2"), ("", "v1")]
    assert sorted(path.name for path in (network.state_dir / "plans").iterdir()) == ["v1.plan", "v2.plan"]
    for history in (network.history, network.started()):
        for at_ms, arrays in network.answered:
            same(history.at(at_ms), arrays, but=())
    kept.save_plan(network.state_dir, plan("v2", ("ber-2", PLAN_SUM)))
    with pytest.raises(GslbError, match=r"plans/v2\.plan: plan: sha256: differs from that of the data"):
        network.started().at(T + 3000)


def test_a_plan_that_cannot_be_kept_is_told_and_all_else_goes_on(network: Network) -> None:
    network.steer()
    (network.state_dir / "plans").write_text("in the way")
    network.clock_ms += 1000
    network.change(plan=plan("v1", ("ber-1", PLAN_SUM)))
    with pytest.raises(OSError, match="plans"):
        network.steer()
    network.clock_ms += 1000
    network.report("ber-1", health4="down")
    network.steer()
    assert [line["is"] for line in network.lines("edge")] == ["down/up"]
    assert network.lines("plan") == [{"kind": "plan", "is": "v1", "was": "", "sha256": ""}]
    with pytest.raises(GslbError) as raised:
        network.started().at(network.clock_ms)
    assert str(raised.value) == "plan v1, which was in the store then, could not be kept"


def test_a_plan_is_kept_before_it_acts(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that could not be is tried again once it acts, and told then."""
    one, two = plan("v1", ("ber-1", PLAN_SUM)), plan("v2", ("ber-2", PLAN_SUM))
    saved: list[str] = []
    save = kept.save_plan

    def noted(state_dir: Path, each: Plan) -> str:
        saved.append(each.version)
        return save(state_dir, each)

    monkeypatch.setattr(kept, "save_plan", noted)
    network.history.keep(one)
    network.history.keep(two)
    for each in (one, two, one):
        network.clock_ms += 1000
        network.change(plan=each)
        network.steer()
    assert saved == ["v1", "v2"]
    (network.state_dir / "plans" / "v3.plan").mkdir()
    three = plan("v3", ("ber-1", PLAN_SUM))
    with pytest.raises(OSError, match="v3"):
        network.history.keep(three)
    network.change(plan=three)
    with pytest.raises(OSError, match="v3"):
        network.steer()
    network.clock_ms += 1000
    network.steer()
    assert saved == ["v1", "v2", "v3", "v3"]


def test_a_new_catalog(network: Network) -> None:
    for edge in EDGES:
        network.report(edge, load_bps=10**9)
    network.steer()
    network.clock_ms += 1000
    network.catalog = network.compiled(2, EDGES[2:] + EDGES[:1])
    network.steer("catalog")
    network.clock_ms += 1000
    network.report("ber-1", health4="down")
    network.steer()
    network.clock_ms += 1000
    network.catalog = network.compiled(3)
    network.steer("catalog")
    assert network.lines("catalog") == [
        {"kind": "catalog", "is": "02" * 32, "was": "01" * 32},
        {"kind": "catalog", "is": "03" * 32, "was": "02" * 32},
    ]
    assert [(line["edge"], line["is"], line["was"]) for line in network.lines("edge")] == [
        ("ber-1", "down/up", "up"),
        ("ber-2", "up", ""),  # it was not in the second
    ]
    for history in (network.history, network.started()):
        for at_ms, arrays in network.answered:
            found = history.at(at_ms)
            same(found, arrays)
            assert len(found[0].edge_ids) == len(arrays["edge_state"])
    files.catalog_path(network.state_dir, bytes((1,)) * 32).unlink()
    with pytest.raises(GslbError, match=r"\.cat: the catalog that was served at 2026-11-24T14:30:00Z is no"):
        network.history.at(T)
    assert network.history.at(T + 3000)[0] is network.catalog, "what is served need not be read"


def test_times_nobody_knows(network: Network) -> None:
    with pytest.raises(GslbError, match=r"journal: nothing is in the journal yet$"):
        network.history.at(T)
    network.steer()
    with pytest.raises(GslbError, match=r"journal: the journal begins at 2026-11-24T14:30:00Z$"):
        network.history.at(T - 1)
    with pytest.raises(GslbError) as raised:
        network.history.at(T + 1)
    assert str(raised.value) == (
        "2026-11-24T14:30:00.001Z is in the future: the store's clock is at 2026-11-24T14:30:00Z"
    )


def test_a_restart_goes_on(network: Network) -> None:
    network.report("ber-1")
    first = network.steer()
    network.history = network.started()
    same(network.history.at(T), first, but=())
    network.clock_ms += 5000
    network.report("ber-1", health4="down", health6="down")
    second = network.steer("catalog")
    assert len(network.lines("checkpoint")) == 2
    assert len(journal.files(network.state_dir / "journal")) == 1
    same(network.history.at(T + 4999), first, but=())
    same(network.history.at(T + 5000), second, but=())


def test_a_journal_that_cannot_be_written_catches_up(network: Network) -> None:
    network.report("ber-1")
    network.steer()
    folder = network.state_dir / "journal"
    folder.rename(network.state_dir / "elsewhere")
    folder.write_text("in the way")
    network.clock_ms += 1000
    network.report("ber-1", health4="down")
    with pytest.raises(OSError, match="journal"):
        network.steer()
    network.steer()  # quiet for a while
    folder.unlink()
    network.clock_ms += journal.AGAIN_MS
    network.report("ber-1", health6="down")
    arrays = network.steer()
    assert [(line["is"], line["was"]) for line in network.lines("edge")] == [("down", "up")]
    same(network.history.at(network.clock_ms), arrays, but=())


FOREIGN = [
    ({"format": 2}, r"^the journal was written by another version of gslb: 0\.1\.0$"),
    ({"columns": ["verdict4"]}, r"^the journal was written by another version of gslb: 0\.1\.0$"),
    ({"edges": {}}, r"^the journal does not tell the state of edge 'ams-1'$"),
    ({"edges": []}, r"^a line of the journal cannot be understood: AttributeError: "),
    ({"overrides": [{"id": "o"}]}, r"^override 'o': kind: "),
    ({"generation": "04" * 32}, r"\.cat: the catalog that was served at 2026-11-24T14:30:00Z is no longer kept$"),
]


@pytest.mark.parametrize(("changes", "reason"), FOREIGN)
def test_a_checkpoint_of_another(network: Network, changes: dict[str, Any], reason: str) -> None:
    network.steer()
    path = network.state_dir / f"journal/{T}.jsonl"
    first, *rest = map(json.loads, path.read_text().splitlines())
    path.write_text("".join(json.dumps(line) + "\n" for line in ({**first, **changes}, *rest)))
    with pytest.raises(GslbError, match=reason):
        network.started().at(T)


def test_lines_of_other_kinds_are_passed_over() -> None:
    assert transitions.replay([{"kind": "later"}]) == transitions.Past()
    with pytest.raises(GslbError, match=r"^a line of the journal cannot be understood: KeyError: 'edges'$"):
        transitions.replay([{"kind": "moved"}])


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", range(4))
def test_any_history(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports, silence, overrides, plans, catalogs and restarts at random: each moment comes back as it was.

    Loads move in steps that are told, so that all that follows from them is exact too.
    """
    monkeypatch.setattr(history_module, "Journal", lambda folder: Journal(folder, 30_000, 100))
    chance = random.Random(seed)
    network = Network(tmp_path)
    number = 1
    for _ in range(150):
        network.clock_ms += chance.choice((40, 100, 700, 1000, 3000))
        for edge in EDGES:
            match chance.randrange(12):
                case 0 | 1 | 2 | 3 | 4:
                    network.report(edge, load_bps=chance.randrange(0, 12) * 10**9, sessions=chance.randrange(3) * 1000)
                case 5:
                    health4, health6 = chance.choices(("up", "down", "drain"), k=2)
                    network.report(edge, health4=health4, health6=health6, since_ms=network.clock_ms)
                case 6:
                    network.report(edge, headroom_milli=chance.randrange(-1, 1001), slow_since_ms=network.clock_ms)
        second = network.clock_ms // 1000
        match chance.randrange(10):
            case 0:
                until_s = second + chance.randrange(5, 60)
                service = chance.choice(("", "pull.live.example."))
                order = drain("o", chance.choice(EDGES), second + chance.randrange(-5, 5), until_s, service, 7)
                name = chance.choice("abc")
                network.change(overrides={**network.state.overrides, name: dataclasses.replace(order, id=name)})
            case 1:
                network.change(overrides=dict(list(network.state.overrides.items())[1:]))
            case 2:
                version = f"v{chance.randrange(5)}"
                network.change(plan=chance.choice((None, plan(version, ("ber-2", 5), ("ams-1", PLAN_SUM - 5)))))
            case 3:
                number += 1
                network.catalog = network.compiled(number, tuple(chance.sample(EDGES, chance.randrange(3, 7))))
            case 4:
                network.history = network.started()
            case 5:
                network.change(reports=dict(list(network.state.reports.items())[1:]))
        network.steer()
    assert len(journal.files(tmp_path / "journal")) > 3
    for at_ms, arrays in network.answered:
        told = network.history.at(at_ms)
        assert told[1].made_ms == arrays["made"]["made_ms"][0]
        assert told[1].state_ms <= arrays["made"]["state_ms"][0] < told[1].state_ms + 1000
        same(told, {**arrays, "made": told[1].arrays["made"]})


def test_a_thousand_edges_that_report_each_second(tmp_path: Path) -> None:
    """Loads that wander: some kilobytes a second."""
    edges = [f"edge-{at:04}" for at in range(1000)]
    network = Network(tmp_path)
    columns = network.catalog.arrays["edge"]
    states = np.zeros(len(edges), dtype=steering.layout.EDGE_STATE)
    states["capacity_bps"], states["headroom_milli"], states["ramp_milli"] = 10**10, 1000, 1000
    states["reported"] = steering.REPORTED
    chance = np.random.default_rng(5)
    load = chance.uniform(2e9, 7e9, len(edges))

    wide: Any = SimpleNamespace(  # the catalog, as far as it is looked at, with more edges
        generation=network.catalog.generation,
        edge_ids=edges,
        arrays={"edge": np.zeros(len(edges), dtype=columns.dtype), "health": network.catalog.arrays["health"]},
    )

    def steer() -> None:
        states["load_bps"] = load
        now_ms = network.clock_ms // 1000 * 1000
        network.history.steered(wide, StoreState(network.clock_ms), states.copy(), now_ms, "store")

    steer()
    begin = sum(path.stat().st_size for path in journal.files(tmp_path / "journal"))
    seconds = 20
    for _ in range(seconds * 10):
        network.clock_ms += 100
        reporting = chance.integers(0, len(edges), len(edges) // 10)
        load[reporting] += chance.normal(0, 3e7, len(reporting))
        steer()
    grown = sum(path.stat().st_size for path in journal.files(tmp_path / "journal")) - begin
    assert grown / seconds < 20_000
    past = transitions.replay(journal.until(tmp_path / "journal", network.clock_ms))
    told = past.states(edges, 3000)
    assert np.abs(told["load_bps"].astype(np.int64) - states["load_bps"].astype(np.int64)).max() < 10**8
