"""Spill: the arithmetic of levels as a table, and against the same rules in fractions."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from gslbtest.examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.policy import spill
from gslb.policy.spill import NEVER, UNKNOWN, Spilled, Supply

UNIT = 1 << 16
G = 10**6  # a Gbps in kbps


class Edge(NamedTuple):
    """One edge of one class: its level, weights in units of 2^16, spare and load in kbps."""

    level: int
    nominal: int
    effective: float
    spare: int = UNKNOWN
    load: int = UNKNOWN


def of(edges: list[Edge]) -> tuple[np.ndarray, Supply]:
    """The arrays of one class."""
    columns = [
        [edge.nominal * UNIT for edge in edges],
        [int(edge.effective * UNIT) for edge in edges],
        [edge.spare for edge in edges],
        [edge.load for edge in edges],
    ]
    supply = Supply(*(np.array(column, dtype=np.int64) for column in columns))
    return np.array([[edge.level for edge in edges]], dtype=np.uint8).reshape(1, len(edges)), supply


def spilled(edges: list[Edge]) -> Spilled:
    return spill.spill(*of(edges))


DOCUMENTED = [
    Edge(0, 160, 40, 0, 36 * G),
    Edge(1, 200, 200, 18 * G, 60 * G),
    Edge(2, 100, 100, 95 * G, 5 * G),
]

ROWS: list[tuple[str, list[Edge], list[float], float]] = [
    # why, edges, share of each level, available
    ("the example of the module", DOCUMENTED, [0.25, 0.5, 0.25], 1.0),
    ("nothing known of loads", [edge._replace(load=UNKNOWN) for edge in DOCUMENTED], [0.25, 0.75, 0], 1.0),
    ("nothing known of spares", [edge._replace(spare=UNKNOWN) for edge in DOCUMENTED], [0.25, 0.75, 0], 1.0),
    ("no load to compare with", [edge._replace(load=0) for edge in DOCUMENTED], [0.25, 0.75, 0], 1.0),
    ("all short", DOCUMENTED[:2], [0.25, 0.5], 1.0),
    ("all well", [Edge(0, 100, 100), Edge(1, 100, 100)], [1, 0], 1.0),
    ("the first level has no edge", [Edge(3, 100, 100, 0, 0), Edge(5, 100, 100)], [1, 0], 1.0),
    ("the upper level is dead", [Edge(0, 100, 0), Edge(1, 100, 100)], [0, 1], 1.0),
    ("and its last load holds", [Edge(0, 100, 0, 0, 20 * G), Edge(1, 100, 100, 5 * G, 0)], [0, 0.25], 1.0),
    ("no room anywhere", [Edge(0, 100, 0, 0, 20 * G), Edge(1, 100, 50, 0, 9 * G)], [0, 0.5], 0.5),
    ("nobody lives", [Edge(0, 100, 0), Edge(1, 50, 0)], [0, 0], 0.0),
    ("two in a level", [Edge(0, 100, 50), Edge(0, 300, 0), Edge(1, 10, 10)], [0.125, 0.875], 1.0),
    ("short together", [Edge(0, 100, 10), Edge(1, 100, 20)], [0.1, 0.2], 0.3),
    (
        "a load is known only if all are",
        [Edge(0, 100, 0, 0, 20 * G), Edge(0, 1, 0, 0, UNKNOWN), Edge(1, 100, 100, 5 * G, 0)],
        [0, 1],
        1.0,
    ),
    (
        "a spare is known only if all are",
        [Edge(0, 100, 0, 0, 20 * G), Edge(1, 50, 50, 5 * G, 0), Edge(1, 50, 50, UNKNOWN, 0)],
        [0, 1],
        1.0,
    ),
    (
        "an edge that takes no part tells nothing",
        [Edge(0, 100, 0, 0, 20 * G), Edge(0, 0, 0, UNKNOWN, UNKNOWN), Edge(1, 100, 100, 5 * G, 0)],
        [0, 0.25],
        1.0,
    ),
    (
        "room looks past levels without edges",
        [Edge(0, 100, 0, 0, 20 * G), Edge(1, 0, 0), Edge(2, 100, 100, 5 * G, 0)],
        [0, 0, 0.25],
        1.0,
    ),
    ("nobody takes part", [Edge(0, 0, 0), Edge(NEVER, 5, 5)], [0], -1.0),
    ("nobody may", [Edge(NEVER, 5, 5)], [], -1.0),
]


@pytest.mark.parametrize(("why", "edges", "shares", "available"), ROWS, ids=[row[0] for row in ROWS])
def test_shares(why: str, edges: list[Edge], shares: list[float], available: float) -> None:
    found = spilled(edges)
    assert found.share[0].tolist() == pytest.approx(shares)
    assert found.available[0] == pytest.approx(available)


def test_the_table_of_the_module() -> None:
    found = spilled(DOCUMENTED)
    rows = [
        line.split()[:4] + line.split()[-1:]
        for line in (spill.__doc__ or "").splitlines()
        if line.startswith("    ") and line.split()[0].isdigit()
    ]
    columns = zip(found.nominal[0], found.effective[0], found.availability[0], found.share[0], strict=True)
    computed = [
        [str(level), f"{nominal / UNIT:.0f}", f"{effective / UNIT:.0f}", f"{availability:.2f}", f"{share:.2f}"]
        for level, (nominal, effective, availability, share) in enumerate(columns)
    ]
    assert rows == computed
    assert found.room[0].tolist() == [float("inf"), 0.5, pytest.approx(95 / 60)]


WEIGHTS: list[tuple[str, list[Edge], list[float]]] = [
    # why, edges, weight of each in units of 2^16
    ("one level shows its effective weights", [Edge(0, 100, 100), Edge(0, 60, 60), Edge(1, 9, 9)], [100, 60, 0]),
    ("and keeps them while another helps", [Edge(0, 100, 70), Edge(0, 60, 60), Edge(1, 9, 9)], [70, 60, 30]),
    ("as does a lower one alone", [Edge(0, 100, 0), Edge(1, 60, 60), Edge(1, 40, 40)], [0, 60, 40]),
    ("levels in the ratio of their shares", DOCUMENTED, [50, 100, 50]),
    ("rounding leaves nothing for the third", [Edge(0, 101, 100), Edge(1, 101, 1), Edge(2, 100, 100)], [100, 1, 0]),
    ("a level short of nobody", [Edge(2, 100, 25), Edge(2, 100, 0)], [25, 0]),
    ("nobody", [Edge(0, 100, 0)], [0]),
]  # fmt: skip


@pytest.mark.parametrize(("why", "edges", "wanted"), WEIGHTS, ids=[row[0] for row in WEIGHTS])
def test_weights(why: str, edges: list[Edge], wanted: list[float]) -> None:
    levels, supply = of(edges)
    found = spill.weights(levels, supply.effective, spilled(edges))
    assert (found[0] / UNIT).tolist() == pytest.approx(wanted, rel=1e-6)


FULL = Edge(0, 65535, 65535)
EXTREMES = [
    ("many heavy edges", [FULL] * 20),
    ("a large level spills into a small one", [FULL] * 19 + [FULL._replace(effective=0), Edge(1, 1, 1)]),
    ("one weight is almost nothing", [FULL] * 9 + [FULL._replace(effective=1 / UNIT)]),
    ("a small share of many", [Edge(0, 65535, 65534)] + [Edge(1, 65535, 65535)] * 60 + [Edge(1, 1, 1 / UNIT)]),
]


@pytest.mark.parametrize(("why", "edges"), EXTREMES, ids=[row[0] for row in EXTREMES])
def test_weights_fit_32_bits_and_nobody_is_lost(why: str, edges: list[Edge]) -> None:
    levels, supply = of(edges)
    found = spill.weights(levels, supply.effective, spilled(edges))[0]
    assert found.max() <= spill.MAX_WEIGHT
    assert np.array_equal(found > 0, supply.effective > 0)
    assert np.array_equal(found, np.rint(found))


edges_drawn = st.lists(
    st.builds(
        lambda level, nominal, health, spare, load: Edge(level, nominal, nominal * health // 1000, spare, load),
        st.sampled_from([0, 1, 2, 5, NEVER]),
        st.integers(0, 65535),
        st.integers(0, 1000),
        st.one_of(st.just(UNKNOWN), st.integers(0, 10**8)),
        st.one_of(st.just(UNKNOWN), st.just(0), st.integers(0, 10**8)),
    ),
    max_size=8,
)


@settings(derandomize=True, deadline=None, max_examples=examples(300))
@given(edges_drawn)
def test_spill_in_fractions(edges: list[Edge]) -> None:
    found = spilled(edges)
    assert found.levels == tuple(sorted({edge.level for edge in edges} - {NEVER}))
    shares, available = _in_fractions(edges, found.levels)
    assert found.share[0].tolist() == pytest.approx([float(share) for share in shares], abs=1e-12)
    assert found.available[0] == pytest.approx(float(available), abs=1e-12)
    levels, supply = of(edges)
    weight = spill.weights(levels, supply.effective, found)[0]
    total, placed = float(sum(shares)), float(weight.sum())
    for at, level in enumerate(found.levels):
        there = [number for number, edge in enumerate(edges) if edge.level == level]
        if shares[at] > 1e-6:
            assert weight[there].sum() / placed == pytest.approx(float(shares[at]) / total, rel=1e-3, abs=1e-3)
        assert all((weight[number] > 0) == (edges[number].effective > 0 and shares[at] > 0) for number in there)


def _in_fractions(edges: list[Edge], levels: tuple[int, ...]) -> tuple[list[Fraction], Fraction]:
    """The rules once more, exactly."""
    limits: list[tuple[Fraction, Fraction | None]] = []
    upper: list[Edge] = []
    for level in levels:
        here = [edge for edge in edges if edge.level == level and edge.nominal]
        nominal, effective = sum(edge.nominal for edge in here), sum(int(edge.effective) for edge in here)
        load = sum(edge.load for edge in upper)
        known = all(edge.load != UNKNOWN for edge in upper) and all(edge.spare != UNKNOWN for edge in here)
        room = Fraction(sum(edge.spare for edge in here), load) if known and load else None
        limits.append((min(Fraction(1), Fraction(effective, nominal)) if nominal else Fraction(0), room))
        upper = here or upper

    def placed(with_rooms: bool) -> list[Fraction]:
        left, shares = Fraction(1), []
        for availability, room in limits:
            most = [left, availability] + ([room] if with_rooms and room is not None else [])
            shares.append(min(most))
            left -= shares[-1]
        return shares

    taking_part = any(edge.nominal and edge.level != NEVER for edge in edges)
    available = min(Fraction(1), sum((each for each, _ in limits), Fraction(0))) if taking_part else Fraction(-1)
    shares = placed(True)
    return (shares if sum(shares) else placed(False)), available
