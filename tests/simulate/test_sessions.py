"""Sessions: how crowds rise, that arrivals are a function of seed and second, and that ends take load away."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gslb.simulate.sessions import LONGEST_S, Asking, Crowd, Flash, Habits, Watching

HABITS = Habits(
    sessions=5000, mean_s=300, sigma=0.8, rates_bps=(1e6, 3e6), streams=10, zipf=1.0, peak_to_trough=1, start_h=12
)
SHARE, OFFSET = np.array([0.7, 0.3]), np.array([0.0, 8.0])
FLASH = Flash(100, 10.0, 300, 60, 100, np.array([True, False]), stream=7)


@pytest.mark.parametrize(
    ("now_s", "extra"), [(0, 0), (100, 0), (250, 4.5), (400, 9), (460, 9), (510, 4.5), (560, 0), (9999, 0)]
)
def test_a_flash_crowd_rises_and_falls(now_s: int, extra: float) -> None:
    assert FLASH.extra(now_s) == pytest.approx(extra)


def test_arrivals_are_a_function_of_seed_and_second() -> None:
    ours, theirs = Crowd(HABITS, SHARE, OFFSET, 1), Crowd(HABITS, SHARE, OFFSET, 1)
    for _ in range(3):
        ours.arriving(5)
    for name in ("row", "part", "stream", "rate_bps", "end_s"):
        assert np.array_equal(getattr(ours.arriving(6), name), getattr(theirs.arriving(6), name))
    other = Crowd(HABITS, SHARE, OFFSET, 2).arriving(6)
    assert not np.array_equal(other.part, theirs.arriving(6).part)


def test_a_crowd_keeps_its_size() -> None:
    crowd, watching = Crowd(HABITS, SHARE, OFFSET, 1), Watching(1)
    begun = crowd.watching()
    first = begun.rate_bps.sum()
    assert first == pytest.approx(5000 * HABITS.mean_bps, rel=0.05)
    loads = []
    for now_s in range(900):
        watching.end(now_s)
        for each in (begun, crowd.arriving(now_s)) if now_s == 0 else (crowd.arriving(now_s),):
            asking = Asking(each.row, each.row, each.end_s, each.rate_bps)
            watching.begin(asking, np.zeros(len(each), dtype=np.int64))
        loads.append(watching.load_bps[0])
    assert np.mean(loads) == pytest.approx(5000 * HABITS.mean_bps, rel=0.03)
    # What the table holds is what the ring has not taken away.
    count = watching.forget(899)
    assert watching.rate_bps[:count].sum() == pytest.approx(watching.load_bps[0])


def test_popularity_and_places() -> None:
    crowd = Crowd(dataclasses.replace(HABITS, sessions=200_000), SHARE, OFFSET, 1)
    found = crowd.watching()
    assert np.mean(found.row == 0) == pytest.approx(0.7, abs=0.01)
    by_stream = np.bincount(found.stream, minlength=10) / len(found)
    assert by_stream[0] / by_stream[4] == pytest.approx(5, rel=0.05)
    assert by_stream.sum() == pytest.approx(1)


def test_the_day_swings_by_its_ratio_and_by_longitude() -> None:
    habits = dataclasses.replace(HABITS, peak_to_trough=4.0, start_h=8.5, sessions=400_000)
    found = Crowd(habits, np.array([0.5, 0.5]), np.array([0.0, 12.0]), 1).watching()
    here, there = np.bincount(found.row)  # one at its trough, the other at its peak
    assert there / here == pytest.approx(4, rel=0.05)


def test_a_flash_crowd_watches_one_stream_from_its_rows() -> None:
    habits = dataclasses.replace(HABITS, flashes=(FLASH,))
    usual, more = Crowd(HABITS, SHARE, OFFSET, 1), Crowd(habits, SHARE, OFFSET, 1)
    plain = np.concatenate([usual.arriving(at).row for at in range(420, 440)])
    rows = np.concatenate([more.arriving(at).row for at in range(420, 440)])
    streams = np.concatenate([more.arriving(at).stream for at in range(420, 440)])
    assert np.sum(rows == 0) == pytest.approx(10 * np.sum(plain == 0), rel=0.15)
    assert np.sum(rows == 1) == np.sum(plain == 1)
    assert np.mean(streams == 7) > 0.8


def test_sessions_that_are_cut_off_ask_for_what_is_left() -> None:
    watching = Watching(2)
    ends = np.array([10, 20, 30])
    asking = Asking(np.array([5, 6, 7]), np.array([0, 1, 0]), ends, np.array([1.0, 2.0, 4.0]))
    watching.begin(asking, np.array([0, 1, 1]))
    for now_s in range(1, 13):
        watching.end(now_s)
    assert watching.load_bps.tolist() == [0.0, 6.0]
    cut = watching.cut(12, np.array([False, True]))
    assert (cut.cell.tolist(), cut.end_s.tolist(), cut.rate_bps.tolist()) == ([6, 7], [20, 30], [2.0, 4.0])
    assert watching.load_bps.tolist() == [0.0, 0.0]
    watching.begin(cut.take(np.array([1])), np.array([0]))
    for now_s in range(13, 31):
        watching.end(now_s)
    assert watching.load_bps.tolist() == [0.0, 0.0]
    assert watching.forget(31) == 0


def test_no_session_is_longer_than_the_ring() -> None:
    endless = dataclasses.replace(HABITS, mean_s=10 * LONGEST_S)
    assert Crowd(endless, SHARE, OFFSET, 1).watching().end_s.max() < LONGEST_S
