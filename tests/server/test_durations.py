"""Durations counted into buckets, as a histogram of Prometheus wants them."""

from __future__ import annotations

import pytest

from gslb.server.durations import RELOAD_S, STEERING_S, Durations


def test_buckets_take_what_is_at_most_their_end() -> None:
    counted = Durations((0.1, 1.0))
    assert list(counted.buckets()) == [("0.1", 0), ("1.0", 0), ("+Inf", 0)]
    for seconds in (0.05, 0.1, 0.100001, 1.0, 7.0):
        counted.add(seconds)
    assert list(counted.buckets()) == [("0.1", 2), ("1.0", 4), ("+Inf", 5)]
    assert counted.sum_s == pytest.approx(8.250001)


@pytest.mark.parametrize("ends_s", [STEERING_S, RELOAD_S])
def test_ends_ascend(ends_s: tuple[float, ...]) -> None:
    assert list(ends_s) == sorted(set(ends_s))
