"""Steering: what rows say for states of the store, as tables and as properties of random networks."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from gslbtest.examples import examples
from gslbtest.pools import GBPS, Edge, Policy, sections
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.errors import GslbError
from gslb.model.report import Report, StoreState
from gslb.snapshot import layout, steering
from gslb.snapshot.steering import Steering

NOW = 1_000_000_000
UNIT = 1 << 16
SHA = [Edge("can"), Edge("pek"), Edge("sha-1"), Edge("sha-2"), Edge("sin", continent="OC")]
POOL = {"can": 100, "pek": 50, "sha-1": 100, "sha-2": 60, "sin": 80}
IN_SHANGHAI = [1, 1, 0, 0, 2]


def state(*reports: Report, seen: dict[str, int] | None = None) -> StoreState:
    return StoreState(NOW, {report.edge: report for report in reports}, seen or {})


def said(edge: str, health: str = "up", **more: Any) -> Report:
    """A fresh report of both families."""
    return Report(edge, 1, 1, **{"received_ms": NOW, "health4": health, "health6": health, **more})


def built(policy: Policy, at: StoreState, edges: list[Edge] = SHA) -> tuple[Steering, dict[str, npt.NDArray[Any]]]:
    arrays = steering.build(sections(edges, [policy]), at, NOW + 5)
    return Steering(arrays), arrays


def weights(policy: Policy, at: StoreState, *, is_v6: bool = False, edges: list[Edge] = SHA) -> dict[str, float]:
    """The row of class 0: weight by edge, in units of 2^16, in the row's order."""
    found = built(policy, at, edges)[0].row(0, is_v6)
    ids = sorted(edge.id for edge in edges)
    return {ids[edge]: weight / UNIT for edge, weight in zip(found.edges, found.weights, strict=True)}


class Case(NamedTuple):
    """A state of the store and the row it makes for a client in Shanghai."""

    why: str
    at: StoreState
    wanted: dict[str, float]
    flags: int = 0
    policy: Policy = Policy(POOL, [IN_SHANGHAI])


CHANGING, OPEN = layout.ROW_CHANGING, layout.ROW_FAIL_OPEN
DEAD = [said(edge, "down") for edge in POOL]
FULL = [said(edge, load_bps=39 * GBPS) for edge in POOL]

WELL = {"sha-1": 100, "sha-2": 60}
HALF = {"sha-1": 50, "sha-2": 60, "can": 100 / 3, "pek": 50 / 3}  # sha-1 keeps half of its weight
LOST = {"sha-2": 60, "can": 200 / 3, "pek": 100 / 3}  # sha-1 keeps nothing
CLOSED = Policy(POOL, [IN_SHANGHAI], closed=True)
TWO = Policy({"sha-1": 100, "sha-2": 60}, [[0, 0]])
SIN_ALONE = [said(edge, "down") for edge in ("can", "pek", "sha-1", "sha-2")]

CASES = [
    Case("nobody reported", state(), WELL),
    Case("one is half full", state(said("sha-1", load_bps=35 * GBPS)), HALF),
    Case("its own headroom counts", state(said("sha-1", headroom_milli=500)), HALF),
    Case("headroom 0 is out", state(said("sha-1", headroom_milli=0)), LOST),
    Case("one is down", state(said("sha-1", "down")), LOST),
    Case("one is drained", state(said("sha-1", "drain")), LOST),
    Case("the level is down", state(said("sha-1", "down"), said("sha-2", "down")), {"can": 100, "pek": 50}),
    Case("silent for 4 s", state(said("sha-1", received_ms=NOW - 4000)), WELL, CHANGING),
    Case("silent for 11 s", state(said("sha-1", received_ms=NOW - 11_000)), LOST, CHANGING),
    Case("vanished 11 s ago", state(seen={"sha-1": NOW - 11_000}), LOST, CHANGING),
    Case("down a moment ago", state(said("sha-1", "down", since_ms=NOW - 10)), LOST, CHANGING),
    Case("a lower level's transition", state(said("can", "down", since_ms=NOW - 10)), WELL),
    Case(
        # 100 of 160 are to be placed; level 1 has 5 Gbps for 40, level 2 gets the rest.
        "room is counted in bits",
        state(
            said("sha-1", "down", load_bps=20 * GBPS),
            said("sha-2", load_bps=20 * GBPS),
            said("can", load_bps=33 * GBPS, headroom_milli=1000),
            said("pek", load_bps=38 * GBPS, headroom_milli=1000),
        ),
        {"sha-2": 60, "can": 20 * 100 / 150, "pek": 20 * 50 / 150, "sin": 80},
    ),
    Case("all full", state(*FULL), WELL, OPEN),
    Case("all dead", state(*DEAD), WELL, OPEN),
    Case("all dead but one", state(*SIN_ALONE), {"sin": 80}),
    Case("all dead but one, full", state(*SIN_ALONE, said("sin", load_bps=39 * GBPS)), {"sin": 80}, OPEN),
    Case(
        "all dead but one, full and silent",
        state(*SIN_ALONE, said("sin", load_bps=39 * GBPS, received_ms=NOW - 5000)),
        {"sin": 80},
        OPEN | CHANGING,
    ),
    Case(
        "living before silent",
        state(said("sha-1", headroom_milli=0, received_ms=NOW - 5000), said("sha-2", headroom_milli=0)),
        {"sha-2": 60},
        OPEN | CHANGING,
        TWO,
    ),
    Case(
        "silent before dead",
        state(said("sha-1", headroom_milli=0, received_ms=NOW - 5000), said("sha-2", "down")),
        {"sha-1": 100},
        OPEN | CHANGING,
        TWO,
    ),
    Case(
        "dead before drained",
        state(said("can", "down"), *(said(edge, "drain") for edge in ("pek", "sha-1", "sha-2", "sin"))),
        {"can": 100},
        OPEN,
    ),
    Case("all drained", state(*(said(edge, "drain") for edge in POOL)), {}, OPEN),
    Case("closed", state(*DEAD), {}, OPEN, CLOSED),
    Case("closed, and all is well", state(), WELL, 0, CLOSED),
    Case("closed, and all full", state(*FULL), WELL, OPEN, CLOSED),
    Case(
        "closed, all dead but one, which is full",
        state(*SIN_ALONE, said("sin", load_bps=39 * GBPS)),
        {"sin": 80},
        OPEN,
        CLOSED,
    ),
    Case("closed, and an edge fell a moment ago", state(*DEAD, said("sin", "down", since_ms=NOW)), {}, 3, CLOSED),
    Case("panic 0 still answers", state(*DEAD), WELL, OPEN, Policy(POOL, [IN_SHANGHAI], panic=0)),
    Case("above panic", state(said("sha-1", "down"), said("sha-2", headroom_milli=600)), {"sha-2": 36}, 0, TWO),
    Case("below panic", state(said("sha-1", "down"), said("sha-2", headroom_milli=500)), {"sha-2": 60}, OPEN, TWO),
    Case("level 255 is never", state(*DEAD), {"can": 100}, OPEN, Policy(POOL, [[3, 255, 255, 255, 255]])),
    Case("nobody may", state(), {}, 0, Policy(POOL, [[255] * 5])),
    Case("weight 0 is never", state(*DEAD), {"can": 1}, OPEN, Policy({"can": 1, "sha-1": 0}, [[1, 0]])),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_rows(case: Case) -> None:
    for is_v6 in (False, True):
        found = weights(case.policy, case.at, is_v6=is_v6)
        assert list(found) == list(case.wanted)
        assert found == pytest.approx(case.wanted, rel=2e-3)
        assert built(case.policy, case.at)[0].row(0, is_v6).flags == case.flags


def test_sessions_take_headroom_too() -> None:
    edges = [Edge("a", sessions=1000), Edge("b")]
    policy = Policy({"a": 100, "b": 100}, [[0, 0]])
    assert weights(policy, state(said("a", sessions=875)), edges=edges) == pytest.approx({"a": 50, "b": 100})
    worse = state(said("a", sessions=875, load_bps=36 * GBPS))
    assert weights(policy, worse, edges=edges) == pytest.approx({"a": 33.3, "b": 100}, rel=1e-3)


def test_the_smaller_capacity_counts() -> None:
    policy = Policy({"can": 100, "pek": 100}, [[0, 0, 0, 0, 0][:2]])
    for reported, inventory in ((20, 40), (40, 20), (20, 0)):
        edges = [Edge("can", capacity_bps=inventory * GBPS), Edge("pek")]
        at = state(said("can", load_bps=18 * GBPS, capacity_bps=reported * GBPS))
        assert weights(policy, at, edges=edges)["can"] == pytest.approx(33.3)


def test_families_have_rows_of_their_own() -> None:
    edges = [Edge("four", v6=False), Edge("six", v4=False), Edge("two")]
    policy = Policy({"four": 100, "six": 100, "two": 50}, [[0, 0, 1]])
    assert weights(policy, state(), edges=edges) == {"four": 100}
    assert weights(policy, state(), edges=edges, is_v6=True) == {"six": 100}
    half = state(said("six", health4="up", health6="down"), said("two", health4="down", health6="up"))
    assert weights(policy, half, edges=edges) == {"four": 100}
    assert weights(policy, half, edges=edges, is_v6=True) == {"two": 50}
    found = built(policy, half, edges)[1]["edge_state"]
    assert found["verdict4"].tolist() == [layout.VERDICT_UP, layout.VERDICT_ABSENT, layout.VERDICT_DOWN]
    assert found["verdict6"].tolist() == [layout.VERDICT_ABSENT, layout.VERDICT_DOWN, layout.VERDICT_UP]


def test_a_family_that_nobody_has() -> None:
    row = built(Policy({"can": 100}, [[0]]), state(), [Edge("can", v6=False)])[0].row(0, True)
    assert (row.count, row.edges, row.flags) == (0, [], 0)


def test_edge_state() -> None:
    at = StoreState(
        NOW,
        {
            "can": said("can", since_ms=NOW - 900, received_ms=NOW - 800, load_bps=5, capacity_bps=7, sessions=9),
            "sha-1": said("sha-1", received_ms=NOW - 20_000),
        },
        {"can": NOW - 800, "pek": NOW - 70_000},
    )
    found = built(Policy(POOL, [IN_SHANGHAI]), at)[1]["edge_state"]
    assert found["verdict4"].tolist() == [0, layout.VERDICT_DOWN, layout.VERDICT_DOWN, 0, 0]
    assert found["reported"].tolist() == [1, 5, 1, 0, 0]
    assert found["changing"].tolist() == [1, 0, 1, 0, 0]
    assert found[0].tolist() == (0, 0, 1, 1, 1000, 1000, 1000, 800, NOW - 900, 5, 7, 9)
    assert found["age_ms"].tolist() == [800, 70_000, 20_000, 0, 0]


def test_silence_of_a_continent_is_held_and_told() -> None:
    at = state(*(said(edge, received_ms=NOW - 20_000) for edge in ("can", "pek", "sha-1", "sha-2")), said("sin"))
    reader, arrays = built(Policy(POOL, [IN_SHANGHAI]), at)
    assert weights(Policy(POOL, [IN_SHANGHAI]), at) == {"sha-1": 100, "sha-2": 60}
    assert arrays["edge_state"]["reported"].tolist() == [steering.REPORTED | steering.REPORT_HELD] * 4 + [1]
    assert reader.row(0, False).flags == CHANGING


def test_more_than_16_edges() -> None:
    edges = [Edge(f"e{number:02d}") for number in range(24)]
    heavy = {17: 90, 20: 80, 5: 80}
    pool = {edge.id: heavy.get(at, 10) for at, edge in enumerate(edges)}
    # 6 edges on level 0, of which 3 are dead; 18 on level 1, where 13 places are left.
    levels = [0] * 3 + [1] * 18 + [0] * 3
    dead = state(*(said(f"e{number:02d}", "down") for number in (0, 1, 2)))
    policy = Policy(pool, [levels, [1] * 24])
    reader, _ = built(policy, dead, edges)
    row = reader.row(0, False)
    assert row.count == 16
    assert row.edges[:3] == [21, 22, 23]
    assert row.levels == [0] * 3 + [1] * 13
    assert row.edges[3:] == sorted([5, 17, 20, *(number for number in range(3, 14) if number != 5)])
    # Level 0 has half of its weight: each level keeps half.
    assert sum(row.weights[:3]) == pytest.approx(sum(row.weights[3:]), rel=1e-6)
    assert row.weights[row.edges.index(17)] == pytest.approx(9 * row.weights[row.edges.index(3)], rel=1e-5)
    whole = reader.row(1, False)
    assert whole.count == 16
    assert {5, 17, 20} <= set(whole.edges)


def test_more_than_16_heavy_edges_fit_32_bits() -> None:
    edges = [Edge(f"e{number:03d}") for number in range(300)]
    pool = {edge.id: 65535 if at else 1 for at, edge in enumerate(edges)}
    row = built(Policy(pool, [[1] + [0] * 299, [0] + [0] * 299]), state(), edges)[0].row(0, False)
    assert row.count == 16
    assert max(row.weights) <= 2**32 - 1
    assert len(set(row.weights)) == 1


def test_levels_that_come_after_the_overflow_are_left_out() -> None:
    edges = [Edge(f"e{number:02d}") for number in range(20)]
    pool = {edge.id: 10 for edge in edges}
    at = state(*(said(edge.id, headroom_milli=400) for edge in edges))
    row = built(Policy(pool, [[0] * 10 + [1] * 8 + [2] * 2]), at, edges)[0].row(0, False)
    assert row.levels == [0] * 10 + [1] * 6


def test_several_policies_and_classes() -> None:
    policies = [Policy(POOL, [IN_SHANGHAI, [0, 1, 2, 2, 3]]), Policy({"pek": 7}, [[0], [255]]), Policy({}, [[]])]
    reader = Steering(steering.build(sections(SHA, policies), state(), 0))
    rows = [[reader.row(at, is_v6).edges for is_v6 in (False, True)] for at in range(5)]
    assert rows == [[[2, 3]] * 2, [[0]] * 2, [[1]] * 2, [[]] * 2, [[]] * 2]


def test_a_snapshot_file_is_read_back() -> None:
    arrays = steering.build(sections(SHA, [Policy(POOL, [IN_SHANGHAI])]), state(said("sha-1")), NOW + 5)
    packed = b"".join(layout.pack(layout.STEERING_MAGIC, b"\x07" * 32, arrays))
    read = Steering(memoryview(packed))
    assert read.generation == b"\x07" * 32
    assert (read.made_ms, read.state_ms) == (NOW + 5, NOW)
    assert read.row(0, True) == Steering(arrays).row(0, True)
    assert read.row(0, True).reciprocals == [65536, 109227]
    with pytest.raises(GslbError, match="checksum differs"):
        Steering(memoryview(packed[:-1] + b"\1"))
    del arrays["weight"]
    with pytest.raises(GslbError, match="sections do not fit each other"):
        Steering({**arrays, "weight": np.zeros(3, dtype=np.uint32)})


networks = st.builds(
    lambda edges, classes, panic, closed: (edges, classes, panic, closed),
    st.lists(
        st.tuples(
            st.integers(0, 3),  # weight
            st.booleans(), st.booleans(),  # families
            st.sampled_from(["none", "gone", "up", "down", "drain", "stale", "silent"]),
            st.integers(0, 60), st.sampled_from([0, 40]),  # load, capacity in Gbps
            st.sampled_from([-1, 0, 1, 500, 1000]),
        ),
        max_size=20,
    ),
    st.integers(1, 4),
    st.sampled_from([0, 0.2, 1]),
    st.booleans(),
)  # fmt: skip


@settings(derandomize=True, deadline=None, max_examples=examples(250))
@given(networks, st.data())
def test_random_networks(network: Any, data: st.DataObject) -> None:
    rows, classes, panic, closed = network
    edges, pool, reports, seen = [], {}, {}, {}
    for number, (weight, v4, v6, kind, load, capacity, milli) in enumerate(rows):
        name = f"e{number:02d}"
        edges.append(Edge(name, v4, v6, capacity * GBPS))
        pool[name] = weight
        age_ms = {"stale": 5000, "silent": 15_000}.get(kind, 0)
        if kind == "gone":
            seen[name] = NOW - 15_000
        elif kind != "none":
            word = kind if kind in ("down", "drain") else "up"
            reports[name] = said(name, word, received_ms=NOW - age_ms, load_bps=load * GBPS, headroom_milli=milli)
    of_classes = [[data.draw(st.sampled_from([0, 1, 4, 255])) for _ in edges] for _ in range(classes)]
    # A continent for each, so that no silence is held.
    edges = [Edge(edge.id, edge.v4, edge.v6, edge.capacity_bps, 0, f"c{at}") for at, edge in enumerate(edges)]
    arrays = sections(edges, [Policy(pool, of_classes, panic, closed)])
    made = steering.build(arrays, StoreState(NOW, reports, seen), NOW)
    reader = Steering(made)
    for at, levels in enumerate(of_classes):
        for is_v6 in (False, True):
            row = reader.row(at, is_v6)
            verdicts = made["edge_state"]["verdict6" if is_v6 else "verdict4"].tolist()
            permitted = [
                number
                for number, edge in enumerate(edges)
                if pool[edge.id] and levels[number] != 255 and verdicts[number] < layout.VERDICT_DRAIN
            ]
            assert set(row.edges) <= set(permitted), "fences, weight 0, drained and absent ones never serve"
            if any(not closed or verdicts[number] < layout.VERDICT_DOWN for number in permitted):
                assert row.count, "never an empty row while an edge is permitted"
            assert row.levels == [levels[edge] for edge in row.edges]
            assert sorted(zip(row.levels, row.edges, strict=True)) == list(zip(row.levels, row.edges, strict=True))
            assert all(weight > 0 for weight in row.weights)
            assert all(reciprocal >= 1 << 16 for reciprocal in row.reciprocals)
            assert row.count == min(16, len(set(row.edges)))
            if not row.flags & OPEN:
                headroom = made["edge_state"]["headroom_milli"]
                assert all(verdicts[edge] <= layout.VERDICT_UNKNOWN and headroom[edge] for edge in row.edges)
            else:
                best = min((verdicts[edge] for edge in permitted), default=None)
                assert {verdicts[edge] for edge in row.edges} <= {best}
            begin = (2 * at + is_v6) * layout.STEERING_WIDTH
            assert not made["weight"][begin + row.count : begin + layout.STEERING_WIDTH].any()


def test_two_processes_make_the_same_rows() -> None:
    script = f"""
import hashlib, sys
sys.path[:0] = {[str(Path(__file__).parents[1] / "lib"), str(Path(__file__).parents[2])]!r}
from gslbtest.pools import Edge, Policy, sections
from gslb.model.report import Report, StoreState
from gslb.snapshot import steering
edges = [Edge(f"e{{n:02d}}") for n in range(30)]
pool = {{edge.id: 1 + n * n for n, edge in enumerate(edges)}}
names = sorted({{edge.id for edge in edges[:25]}}, key=hash)
reports = {{n: Report(n, 1, 1, 10**6, load_bps=int(n[1:]) * 10**9 + 7**9) for n in names}}
classes = [[(3 * c + e * e) % 5 for e in range(30)] for c in range(200)]
made = steering.build(sections(edges, [Policy(pool, classes)]), StoreState(10**6, reports, {{}}), 5)
print(hashlib.sha256(b"".join(made[name].tobytes() for name in made)).hexdigest())
"""
    told = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": str(seed), "OPENBLAS_NUM_THREADS": str(1 + seed)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in (1, 2)
    }  # fmt: skip
    assert len(told) == 1
    assert len(told.pop().strip()) == hashlib.sha256().digest_size * 2
