"""The draw: golden vectors, exactness of the table, shares, and what moves when weights change."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from decimal import ROUND_FLOOR, Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.policy import draw

VECTORS = Path(__file__).parent / "draw_vectors.json"
NAME = b"\x04pull\x04live\x07example\x00"
EDGES = ["can-ct", "fra-1", "gru-1", "iad-1", "lax-1", "lhr-1", "nrt-1", "sha-ct", "sin-1"]
HASHES = [draw.edge_hash(edge) for edge in EDGES]

ROWS: list[dict[str, Any]] = [
    # edge rows, levels, weights: as a steering row has them
    {"edges": [7], "levels": [0], "weights": [100 << 16]},
    {"edges": [1, 5], "levels": [4, 4], "weights": [75 << 16, 25 << 16]},
    {"edges": [7, 0, 8], "levels": [0, 1, 2], "weights": [1 << 16, 60 << 16, 655350]},
    {"edges": [0, 1, 2, 3, 4, 5, 6, 7, 8], "levels": [0] * 9, "weights": [6553600 + 65536 * n for n in range(9)]},
    {"edges": [8, 6, 3, 4, 1, 5], "levels": [2, 2, 3, 3, 4, 4], "weights": [1, 2**32 - 1, 7, 65536, 99999999, 3]},
]
CLIENTS = [
    # family, address, hash_len
    (4, 0xC6336401, 20),
    (4, 0xC6336401, 24),
    (4, 0x00000000, 0),
    (4, 0xFFFFFFFF, 32),
    (6, 0x20010DB800010000, 40),
    (6, 0x20010DB8000100FF, 64),
]
FORMS = [(1, 0), (3, 0), (1, 2), (2, 1)]  # answers, spread


def vectors() -> dict[str, Any]:
    """What the golden file holds, computed."""
    rows = []
    for row in ROWS:
        reciprocals = draw.reciprocals(np.array([row["weights"]], dtype=np.uint32))[0].tolist()
        picks = [
            {
                "client": list(client),
                "answers": answers,
                "spread": spread,
                "edges": draw.pick(
                    row["edges"], row["levels"], row["weights"], reciprocals, HASHES,
                    draw.seed_of(NAME, *client), answers, spread, NAME,
                ),
            }
            for client, (answers, spread) in itertools.product(CLIENTS, FORMS)
        ]  # fmt: skip
        rows.append({**row, "reciprocals": reciprocals, "picks": picks})
    return {
        "key": draw.KEY.decode(),
        "log_table_sha256": hashlib.sha256(draw.LOG_TABLE.astype("<u4").tobytes()).hexdigest(),
        "edge_hashes": {edge: f"{value:016x}" for edge, value in zip(EDGES, HASHES, strict=True)},
        "mix64": {f"{value:016x}": f"{draw.mix64(value):016x}" for value in (0, 1, 2**63, 0x0123456789ABCDEF)},
        "name": NAME.hex(),
        "seeds": [{"client": list(client), "seed": f"{draw.seed_of(NAME, *client):016x}"} for client in CLIENTS],
        "rows": rows,
    }


def test_golden_vectors() -> None:
    # A change of these bytes moves every client of every server: it is a new draw, under a new key.
    assert VECTORS.read_text(encoding="utf-8") == json.dumps(vectors(), indent=1) + "\n"


def test_the_table_is_exact() -> None:
    odd = 2 * np.arange(1 << 16) + 1
    close = -np.log2(odd / 2.0**17) * 2.0**26
    assert np.all(np.abs(draw.LOG_TABLE - close) <= 1.0)
    near_whole = np.flatnonzero(np.abs(close - np.rint(close)) < 1e-5)
    sure = np.setdiff1d(np.arange(1 << 16), near_whole)
    assert np.array_equal(draw.LOG_TABLE[sure], np.floor(close[sure]).astype(np.uint32))
    assert len(near_whole) < 100
    for index in near_whole.tolist():
        assert draw.LOG_TABLE[index] == _exact(index), index
    assert draw.LOG_TABLE[0] == 17 << 26
    assert int(draw.LOG_TABLE.max()) * draw.MAX_RECIPROCAL < 1 << 64


def _exact(index: int) -> int:
    with localcontext() as context:
        context.prec = 60
        log2 = (Decimal(2 * index + 1) / Decimal(2**17)).ln() / Decimal(2).ln()
        return int((-log2 * 2**26).to_integral_value(ROUND_FLOOR))


@pytest.mark.parametrize(
    ("weights", "wanted"),
    [
        ([1, 1, 1], [65536, 65536, 65536]),
        ([100, 50, 0], [65536, 131072, 0]),
        ([3, 2, 1], [65536, 98304, 196608]),
        ([7, 3, 0], [65536, 152918, 0]),  # 7 × 65536 / 3 = 152917.3, rounded up
        ([2**32 - 1, 1, 65535], [65536, 2**32 - 1, 2**32 - 1]),
        ([2**32 - 1, 65537, 65538], [65536, 4294901760, 4294836227]),
        ([0, 0, 0], [0, 0, 0]),
    ],
)
def test_reciprocals(weights: list[int], wanted: list[int]) -> None:
    assert draw.reciprocals(np.array([weights], dtype=np.uint32)).tolist() == [wanted]


@settings(derandomize=True, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=16))
def test_reciprocals_are_rounded_up(weights: list[int]) -> None:
    largest = max(weights)
    wanted = [min(2**32 - 1, -(-(largest << 16) // weight)) if weight else 0 for weight in weights]
    assert draw.reciprocals(np.array([weights], dtype=np.uint32)).tolist() == [wanted]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ((4, 0xC6336400, 20), (4, 0xC6336FFF, 20), True),
        ((4, 0xC6336400, 20), (4, 0xC6337000, 20), False),
        ((6, 0x20010DB8_00000000, 40), (6, 0x20010DB8_00FFFFFF, 40), True),
        ((4, 0, 20), (6, 0, 40), False),
        ((4, 0xC6336400, 24), (4, 0xC6336400, 32), True),  # the length itself is not hashed
    ],
)
def test_seeds(one: tuple[int, int, int], other: tuple[int, int, int], alike: bool) -> None:
    assert (draw.seed_of(NAME, *one) == draw.seed_of(NAME, *other)) is alike


def test_a_tie_goes_to_the_lower_edge_row() -> None:
    hashes = [7, 7, 7]
    for edges in itertools.permutations(range(3)):
        drawn = [draw.pick(edges, [0] * 3, [1] * 3, [65536] * 3, hashes, 5, answers, 0, NAME) for answers in (1, 3)]
        assert drawn == [[0], [0, 1, 2]]


def _table(count: int, seed: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Seeds of ``count`` clients."""
    chance = random.Random(seed)
    return np.array([draw.seed_of(NAME, 4, chance.getrandbits(32), 32) for _ in range(count)], dtype=np.uint64)


def _drawn(weights: list[int], seeds: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Who gets which edge, edge 0 first, where some have weight 0."""
    row = draw.reciprocals(np.array([weights], dtype=np.uint32))[0]
    there = np.flatnonzero(row)
    hashes = np.array(HASHES, dtype=np.uint64)[there]
    return there[draw.picks(hashes, row[there], seeds)]


def test_many_at_once_are_the_same_as_one_by_one() -> None:
    seeds = _table(500, 1)
    weights = [100, 60, 80, 100, 1, 50, 100, 80, 100]
    reciprocals = draw.reciprocals(np.array([weights]))[0].tolist()
    one_by_one = [
        draw.pick(range(9), [0] * 9, weights, reciprocals, HASHES, seed, 1, 0, NAME)[0] for seed in seeds.tolist()
    ]
    assert _drawn(weights, seeds).tolist() == one_by_one


CHI2_999 = {1: 10.828, 2: 13.816, 3: 16.266, 5: 20.515, 8: 26.124}
"""Values that chi-squared exceeds once in 1,000 times, by degrees of freedom (Abramowitz and Stegun, table 26.8)."""


@pytest.mark.parametrize(
    "weights",
    [
        [1, 1],
        [75, 25],
        [1, 2, 3],
        [100, 60, 80, 1000],
        [5, 5, 5, 5, 5, 5],
        [100, 60, 80, 100, 5, 50, 100, 80, 100],
        [6553600, 65536 * 3],
    ],
)
def test_shares_follow_weights(weights: list[int]) -> None:
    clients = 40_000
    counts = np.bincount(_drawn(weights, _table(clients, 2)), minlength=len(weights))
    wanted = np.array(weights) * (clients / sum(weights))
    assert float(((counts - wanted) ** 2 / wanted).sum()) < CHI2_999[len(weights) - 1]


@pytest.mark.no_cover
@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    st.lists(st.integers(1, 200), min_size=2, max_size=9),
    st.integers(0, 8),
    st.integers(0, 400),
)
def test_a_weight_moves_only_its_share(weights: list[int], at: int, weight: int) -> None:
    clients = 10_000
    seeds = _table(clients, 3)
    changed = list(weights)
    changed[at % len(weights)] = weight
    if not sum(changed):
        return
    before, after = _drawn(weights, seeds), _drawn(changed, seeds)
    moved = before != after
    at %= len(weights)
    # Whoever moves, moves to the edge that gained or from the edge that lost. Where the largest weight changes, all
    # reciprocals are rounded anew, by at most 2^-16 of themselves, and a few clients stray.
    astray = moved & ((after if changed[at] > weights[at] else before) != at)
    assert astray.mean() <= (0 if max(changed) == max(weights) else 1e-3)
    share = abs(weights[at] / sum(weights) - changed[at] / sum(changed))
    assert moved.mean() <= share + 5 * (share * (1 - share) / clients) ** 0.5 + 2e-3


@pytest.mark.parametrize("gone", range(9))
def test_a_removed_edge_moves_only_its_clients(gone: int) -> None:
    weights = [100, 60, 80, 100, 5, 50, 100, 80, 100]
    seeds = _table(10_000, 4)
    before = _drawn(weights, seeds)
    weights[gone] = 0
    after = _drawn(weights, seeds)
    assert np.array_equal(before != after, before == gone)


def test_more_answers_begin_with_the_one() -> None:
    weights = [100, 60, 80, 100, 5, 50, 100, 80, 100]
    reciprocals = draw.reciprocals(np.array([weights]))[0].tolist()
    for seed in _table(300, 5).tolist():
        drawn = [draw.pick(range(9), [0] * 9, weights, reciprocals, HASHES, seed, k, 0, NAME) for k in (1, 3, 9, 16)]
        assert drawn[1][:1] == drawn[0]
        assert drawn[2][:3] == drawn[1]
        assert drawn[3] == drawn[2]
        assert sorted(drawn[2]) == list(range(9))


@settings(derandomize=True, deadline=None)
@given(st.lists(st.integers(1, 65535), min_size=1, max_size=6), st.integers(1, 6))
def test_real_shares_of_more_answers(weights: list[int], answers: int) -> None:
    reciprocals = draw.reciprocals(np.array([weights]))[0].tolist()
    rates = [Fraction(1, reciprocal) for reciprocal in reciprocals]
    drawn = min(answers, len(weights))
    wanted = [Fraction(0)] * len(weights)
    for order in itertools.permutations(range(len(weights)), drawn):
        chance, left = Fraction(1), sum(rates)
        for at in order:
            chance, left = chance * rates[at] / left, left - rates[at]
        for at in order:
            wanted[at] += chance / drawn
    assert draw.shares(reciprocals, answers) == pytest.approx([float(each) for each in wanted], abs=1e-9)


def test_real_shares_are_what_is_drawn() -> None:
    weights, clients = [100, 60, 20, 20], 20_000
    reciprocals = draw.reciprocals(np.array([weights]))[0].tolist()
    counts = [0] * 4
    for seed in _table(clients, 6).tolist():
        for edge in draw.pick(range(4), [0] * 4, weights, reciprocals, HASHES, seed, 2, 0, NAME):
            counts[edge] += 1
    real = draw.shares(reciprocals, 2)
    assert real == pytest.approx([0.4127, 0.3333, 0.1270, 0.1270], abs=1e-3)
    assert [count / clients / 2 for count in counts] == pytest.approx(real, abs=0.01)


SPREADS = [
    # levels, weights, spread → how many edges each level keeps
    ([0, 0, 0, 0], [1, 1, 1, 1], 2, {0: 2}),
    ([0, 0, 1, 1, 1], [5, 5, 5, 5, 5], 1, {0: 1, 1: 1}),
    ([0, 1, 1, 1], [100, 1, 1, 1], 2, {0: 1, 1: 2}),
    ([3, 3], [1, 9], 4, {3: 2}),
]


@pytest.mark.parametrize(("levels", "weights", "spread", "wanted"), SPREADS)
def test_spread_narrows_each_level(levels: list[int], weights: list[int], spread: int, wanted: dict[int, int]) -> None:
    edges = list(range(len(levels)))
    reciprocals = draw.reciprocals(np.array([weights]))[0].tolist()
    for number in range(50):
        name = b"\x03%03d" % number + NAME
        kept, narrowed = draw.narrow(edges, levels, weights, reciprocals, HASHES, spread, name)
        assert {level: sum(levels[edge] == level for edge in kept) for level in set(levels)} == wanted
        assert kept == sorted(kept)
        before, after = [1 / each for each in reciprocals], [1 / each for each in narrowed]
        for level in set(levels):
            share = sum(rate for edge, rate in zip(edges, before, strict=True) if levels[edge] == level)
            narrow_share = sum(rate for edge, rate in zip(kept, after, strict=True) if levels[edge] == level)
            assert narrow_share == pytest.approx(share, rel=1e-3)


def test_spread_takes_every_edge_for_some_name() -> None:
    kept = set()
    for number in range(100):
        name = b"\x03%03d" % number + NAME
        kept |= set(draw.narrow(range(6), [0] * 6, [1] * 6, [65536] * 6, HASHES, 2, name)[0])
    assert kept == set(range(6))


def test_spread_of_one_name_moves_little_when_an_edge_goes() -> None:
    moved = 0
    for number in range(200):
        name = b"\x03%03d" % number + NAME
        before = draw.narrow(range(6), [0] * 6, [1] * 6, [65536] * 6, HASHES, 2, name)[0]
        after = draw.narrow(range(5), [0] * 5, [1] * 5, [65536] * 5, HASHES, 2, name)[0]
        assert len(set(before) - set(after)) == (5 in before)
        moved += 5 in before
    assert 0 < moved < 200


def test_a_narrowed_reciprocal_is_capped() -> None:
    huge = draw.MAX_RECIPROCAL
    kept, narrowed = draw.narrow([0, 1], [0, 0], [10, 1], [huge, huge], HASHES, 1, NAME)
    assert len(kept) == 1
    assert narrowed[0] <= huge


def test_scores_are_what_pick_compares() -> None:
    reciprocals = [65536, 131072, 70000]
    for seed in _table(100, 7).tolist():
        scored = draw.scores([0, 1, 2], reciprocals, HASHES, seed)
        best = draw.pick([0, 1, 2], [0] * 3, [3, 2, 1], reciprocals, HASHES, seed, 1, 0, NAME)
        assert best == [scored.index(min(scored))]
