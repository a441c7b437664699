"""How answers were spread over edges in the last minute, from the workers' counters."""

from __future__ import annotations

import pytest

from gslb.server import cells
from gslb.server.drawn import EVERY_S, WINDOW_S, Drawn


class Workers:
    """Counters of two workers, and the slots of edges."""

    def __init__(self) -> None:
        self.slots = {"sha": 1, "fra": 2}
        self.counters = [cells.attach(cells.create()) for _ in range(2)]
        self.drawn = Drawn(lambda: self.counters, lambda: self.slots)

    def answer(self, slot: int, count: int = 1, worker: int = 0) -> None:
        self.counters[worker][cells.EDGES + slot] += count


@pytest.fixture
def workers() -> Workers:
    return Workers()


def test_nothing_yet(workers: Workers) -> None:
    assert workers.drawn.shares() == {"sha": 0.0, "fra": 0.0}
    workers.drawn.sample(0.0)
    assert workers.drawn.shares() == {"sha": 0.0, "fra": 0.0}


def test_before_the_first_sample_everything_counts(workers: Workers) -> None:
    workers.answer(1, 3)
    workers.answer(2, 1, worker=1)
    assert workers.drawn.shares() == {"sha": 0.75, "fra": 0.25}


def test_only_the_window_counts(workers: Workers) -> None:
    workers.answer(1, 1000)
    now_s = 0.0
    while now_s <= WINDOW_S:
        workers.drawn.sample(now_s)
        now_s += EVERY_S
    workers.answer(1, 1)
    workers.answer(2, 3, worker=1)
    assert workers.drawn.shares() == {"sha": 0.25, "fra": 0.75}
    for _ in range(int(WINDOW_S / EVERY_S)):
        workers.drawn.sample(now_s)
        now_s += EVERY_S
    workers.answer(2, 1)
    assert workers.drawn.shares() == {"sha": 0.2, "fra": 0.8}, "what was a minute ago is the oldest sample"
    workers.drawn.sample(now_s)
    workers.drawn.sample(now_s + EVERY_S)
    assert workers.drawn.shares() == {"sha": 0.0, "fra": 1.0}
    workers.drawn.sample(now_s + 2 * WINDOW_S)
    assert workers.drawn.shares() == {"sha": 0.0, "fra": 0.0}


def test_edges_that_come_later_and_those_without_a_slot(workers: Workers) -> None:
    workers.drawn.sample(0.0)
    workers.slots |= {"new": 3, "one too many": 0}
    workers.answer(3)
    workers.answer(0, 3)
    assert workers.drawn.shares() == {"sha": 0.0, "fra": 0.0, "new": 0.25}
