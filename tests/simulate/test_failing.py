"""What breaks: which edges, when, and what they have left."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from gslbtest.simulated import SMALL, small_world

from gslb.simulate.failing import conditions, largest, struck
from gslb.simulate.scenario import Failure

POP = small_world().pops[0]
EDGE = small_world().edges[0].id
FAILURES = (
    Failure("pop", 10, 20, POP),
    Failure("stale", 15, 30, "", EDGE),
    Failure("link", 30, 40, POP, loss=0.25),
    Failure("grey", 35, 50, "", EDGE, loss=0.5),
)

ACTING = [
    # second of the run, dead, silent, says and has of the capacity of the first PoP's two edges
    (9, [0, 0], [0, 0], [1, 1], [1, 1]),
    (10, [1, 1], [0, 0], [1, 1], [1, 1]),
    (19, [1, 1], [1, 0], [1, 1], [1, 1]),
    (20, [0, 0], [1, 0], [1, 1], [1, 1]),
    (30, [0, 0], [0, 0], [0.75, 0.75], [0.75, 0.75]),
    (35, [0, 0], [0, 0], [0.75, 0.75], [0.375, 0.75]),
    (45, [0, 0], [0, 0], [1, 1], [0.5, 1]),
    (50, [0, 0], [0, 0], [1, 1], [1, 1]),
]


@pytest.mark.parametrize(("at_s", "dead", "silent", "says", "has"), ACTING, ids=[f"{row[0]} s" for row in ACTING])
def test_what_acts(at_s: int, dead: list[int], silent: list[int], says: list[float], has: list[float]) -> None:
    world = small_world()
    assert [world.pops[at] for at in world.pop_of_edge[:2]] == [POP, POP]
    capacity = np.array([float(edge.capacity_bps) for edge in world.edges])
    at = conditions(dataclasses.replace(SMALL, failures=FAILURES), world)
    found = at(SMALL.warmup_s + at_s)
    assert found.dead.astype(int).tolist() == [*dead, 0, 0, 0, 0]
    assert found.silent.astype(int).tolist() == [*silent, 0, 0, 0, 0]
    assert (found.says_bps / capacity).tolist() == pytest.approx([*says, 1, 1, 1, 1])
    assert (found.true_bps / capacity).tolist() == pytest.approx([*has, 1, 1, 1, 1])
    assert at(SMALL.warmup_s + at_s) is found


def test_the_largest_pop() -> None:
    world = small_world()
    by_pop = dict.fromkeys(world.pops, 0)
    for edge in world.edges:
        by_pop[edge.pop] += edge.capacity_bps
    assert by_pop[largest(world)] == max(by_pop.values())
    hit = struck(Failure("pop", 0, 1), world)
    assert {edge.pop for edge, is_hit in zip(world.edges, hit, strict=True) if is_hit} == {largest(world)}


@pytest.mark.parametrize(("pop", "edge", "told"), [("nowhere", "", "'nowhere'"), ("", "nobody", "'nobody'")])
def test_what_is_not_there_cannot_fail(pop: str, edge: str, told: str) -> None:
    scenario = dataclasses.replace(SMALL, failures=(Failure("pop", 0, 1, pop, edge),))
    with pytest.raises(ValueError, match=f"a failure is of {told}, and the world has no such thing"):
        conditions(scenario, small_world())
