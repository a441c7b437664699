"""Caches: whose entries they are, how long they live, and who keeps them for too long."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from gslbtest.simulated import small_world

from gslb.simulate.caches import NO_PREFIX, Caches, Units, units
from gslb.simulate.steered import Answers

I64 = npt.NDArray[np.int64]


def test_units_of_a_world() -> None:
    world = small_world()
    found = units(world, 3, 4, 0.1, np.random.default_rng(1))
    assert found.share.sum() == pytest.approx(1)
    ecs = world.sends_ecs[found.resolver]
    assert np.array_equal(found.prefix == NO_PREFIX, ~ecs)
    # The server sees the client's view behind Client Subnet, else the resolver's.
    assert np.array_equal(found.view[~ecs], world.resolver_view[found.resolver[~ecs]])
    for row, (client, resolver) in enumerate(zip(world.client_view, world.client_resolver, strict=True)):
        mine = slice(found.first[row], found.first[row] + found.count[row])
        assert set(found.resolver[mine]) == {resolver}
        assert found.count[row] == (4 if world.sends_ecs[resolver] else 3)
        if world.sends_ecs[resolver]:
            assert set(found.view[mine]) == {client}
            assert len(set(found.prefix[mine])) == 4
    assert found.concentration == pytest.approx(np.square(found.share).sum())
    assert 0.02 < found.share[found.violates].sum() <= 0.1
    assert not units(world, 3, 4, 0.0, np.random.default_rng(1)).violates.any()


class Asked:
    """Answers by number of the question, and remembers what was asked."""

    def __init__(self) -> None:
        self.questions: list[tuple[I64, I64, I64]] = []
        self.edge = 0

    def __call__(self, view: I64, prefix: I64, stream: I64, chance: npt.NDArray[np.uint64]) -> Answers:
        self.questions.append((view, prefix, stream))
        self.edge += 1
        return Answers(np.full(len(view), self.edge), np.full(len(view), 20))


def test_entries_live_for_their_ttl_and_those_of_violators_longer() -> None:
    three = np.arange(3)
    made = Units(three + 10, three - 1, three, three == 2, three, np.ones(3, dtype=np.int64), np.ones(3) / 3)
    caches, asked, rng = Caches(made, 2, 100), Asked(), np.random.default_rng(1)
    both = caches.cell(np.array([0, 0, 2]), np.array([1, 1, 0]))
    assert caches.look_up(both, 5, asked, rng).tolist() == [1, 1, 1]
    assert [column.tolist() for column in asked.questions[0]] == [[10, 12], [-1, 1], [1, 0]]
    assert caches.look_up(both, 24, asked, rng).tolist() == [1, 1, 1]
    assert caches.look_up(both, 25, asked, rng).tolist() == [2, 2, 1]
    assert caches.look_up(both, 105, asked, rng).tolist() == [3, 3, 3]
    assert caches.asked == 2 + 1 + 2


def test_no_answer_is_kept_for_no_time() -> None:
    one = np.zeros(1, dtype=np.int64)
    made = Units(one, one, one, one == 1, one, one + 1, np.ones(1))
    caches, rng = Caches(made, 1, 100), np.random.default_rng(1)
    assert caches.look_up(one, 5, lambda *_: Answers(one - 1, one + 20), rng).tolist() == [-1]
    assert caches.look_up(one, 5, Asked(), rng).tolist() == [1]
