"""What explanations read of a plan, class by class: what its row names, costs where known, why one is skipped."""

from __future__ import annotations

import numpy as np
import pytest
from gslbtest.pools import Edge, Policy, sections

from gslb.model.plan import BindingCap, Plan
from gslb.snapshot import telling
from gslb.snapshot.resolved import PlannedPolicy
from gslb.snapshot.telling import Told


def padded(values: list[int], filler: int = -1) -> list[int]:
    return [*values, *[filler] * (16 - len(values))]


def planned(reasons: tuple[str, ...] = ("edge x is unknown",)) -> PlannedPolicy:
    """Of four classes the first goes by the second row, the last two by the first; of the last one a row is skipped."""
    return PlannedPolicy(
        row_of_class=np.array([1, -1, 0, 0]),
        primary=np.array([padded([2, 0]), padded([1])]),
        weight=np.array([padded([40_000, 25_535], 0), padded([65_535], 0)]),
        backup=np.array([padded([]), padded([0, 2])]),
        names=("DE||", "FR||dtag"),
        costs=((), (1.5, 2.0, 0.25)),
        skipped_of_class=np.array([0, 0, 0, len(reasons)]),
        reasons=reasons,
    )


@pytest.fixture(scope="module")
def arrays() -> telling.Arrays:
    """Pools of three edges, in rows of their own; the second policy's pool has the edges 1, 2 and 3."""
    edges = [Edge(name) for name in "abcd"]
    pools = [{"a": 1, "b": 1, "c": 1}, {"b": 1, "c": 1, "d": 1}]
    return sections(edges, [Policy(pool, [[0, 0, 0]] * 4) for pool in pools])


FIRST = Told("FR||dtag", {2: 65_535}, (1, 3), {2: 1.5, 1: 2.0, 3: 0.25})
SECOND = Told("DE||", {3: 40_000, 1: 25_535})
CASES = [
    (1, 0, FIRST),
    (1, 1, Told()),
    (1, 2, SECOND),
    (1, 3, SECOND._replace(skipped="edge x is unknown")),
    (0, 0, Told("FR||dtag", {1: 65_535}, (0, 2), {1: 1.5, 0: 2.0, 2: 0.25})),
    (2, 0, Told()),
]


@pytest.mark.parametrize(("policy", "cls", "wanted"), CASES)
def test_what_is_told_of_a_class(arrays: telling.Arrays, policy: int, cls: int, wanted: Told) -> None:
    text = telling.written(arrays, Plan("v1"), {1: planned(), 0: planned()})
    assert telling.of_class(text, policy, cls) == wanted


def test_nothing_is_told_without_a_plan() -> None:
    assert telling.of_class(b"", 0, 0) == Told()
    assert telling.caps(b"") == ()


def test_reasons_beyond_the_limit_share_one(arrays: telling.Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "MAX_REASONS", 2)
    for count, wanted in (
        (2, "edge 1"),
        (3, "it cannot be used, as many others"),
        (9, "it cannot be used, as many others"),
    ):
        reasons = tuple(f"edge {at}" for at in range(count))
        text = telling.written(arrays, Plan("v1"), {0: planned(reasons)})
        assert telling.of_class(text, 0, 3).skipped == wanted


def test_the_dearest_limits_first(arrays: telling.Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "MAX_CAPS", 3)
    caps = [BindingCap("edge", name, 10**9, price) for name, price in (("a", 1.0), ("b", 3.0), ("c", 3.0), ("d", 2.0))]
    text = telling.written(arrays, Plan("v1", caps=tuple(caps)), {})
    assert telling.caps(text) == (caps[1], caps[2], caps[3])
