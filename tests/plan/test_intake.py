"""Demand that may not be believed: every gate, and what passes all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gslb.model.events import Stream
from gslb.plan.history import History, dense, needed
from gslb.plan.intake import agree, ended, gate, instant, named, rate
from gslb.plan.problem import GroupKey

T0 = 1_767_225_600
"""2026-01-01T00:00:00Z, the start of the first bucket."""
G = 10**9
NOW = T0 + 12 * 300 + 60
KEYS = (GroupKey("a.", "CN", "SH", "x"), GroupKey("a.", "DE", "", ""), GroupKey("b.", "DE", "", ""))


def history(columns: list[list[int]], first_s: int = T0, bucket_s: int = 300) -> History:
    table = np.array(columns, dtype=np.int64).T
    times_s = first_s + bucket_s * np.arange(len(table), dtype=np.int64)
    return History(times_s, KEYS[: table.shape[1]], table, bucket_s)


STEADY = [[40 * G] * 12, [10 * G] * 12]


def changed(column: int, row: int, value: int) -> list[list[int]]:
    columns = [list(each) for each in STEADY]
    columns[column][row] = value
    return columns


PASS = [
    pytest.param(STEADY, id="steady"),
    pytest.param(changed(0, -1, 400 * G), id="a flash crowd, 10 ×"),
    pytest.param(changed(0, -1, 0), id="a group falls silent"),
    pytest.param([[40 * G] * 12, [0] * 11 + [700 * G]], id="a new group, less than all demand × 20"),
    pytest.param([[40 * G] * 12, [20_000] * 11 + [20_000_000]], id="a small group leaps"),
    pytest.param([[40 * G] * 5 + [4 * G] * 7, [G] * 12], id="demand that falls to a tenth"),
    pytest.param([[40 * G], [10 * G]], id="one bucket alone"),
]


@pytest.mark.parametrize("columns", PASS)
def test_what_passes(columns: list[list[int]]) -> None:
    assert gate(history(columns), T0 + len(columns[0]) * 300 + 60, 900) == ()


STOP = [
    pytest.param(
        changed(0, -1, 40_000 * G),
        [
            "all demand, 40 Tbps, is 800 × what it was, 50 Gbps",
            "a. CN|SH|x: 40 Tbps is 1000 × what it was, 40 Gbps",
        ],
        id="1000 ×, in the newest bucket",
    ),
    pytest.param(
        [[40 * G] * 12, [3_000_000] * 9 + [3 * G] + [3_000_000] * 2],
        ["a. DE||: 3 Gbps is 1000 × what it was, 3 Mbps"],
        id="1000 ×, of one group, in a bucket before",
    ),
    pytest.param(
        [[40 * 10**6] * 12, [1000] * 11 + [10**6]],
        ["a. DE||: 1 Mbps is 1000 × what it was, 1 kbps"],
        id="1000 ×, in a small network",
    ),
    pytest.param(
        [[40 * G] * 12, [0] * 11 + [10_000 * G]],
        ["a. DE||: 10 Tbps is more than 20 × all demand"],
        id="a new group, far beyond all",
    ),
    pytest.param(
        [[4 * G, 4000 * G], [G, G]],
        ["all demand, 4 Tbps, is 800 × what it was, 5 Gbps", "a. CN|SH|x: 4 Tbps is 1000 × what it was, 4 Gbps"],
        id="1000 ×, of two buckets",
    ),
    pytest.param(
        [[40 * G] * 11 + [0], [10 * G] * 11 + [2 * G]],
        ["all demand, 2 Gbps, is less than 1/20 of what it was, 50 Gbps"],
        id="nearly all is gone",
    ),
    pytest.param([[0] * 12], ["there is no demand in it: all of the recent buckets are zero"], id="nothing but zeros"),
    pytest.param([[]], ["there is no demand in it: not one bucket"], id="no bucket"),
]


@pytest.mark.parametrize(("columns", "reasons"), STOP)
def test_what_stops(columns: list[list[int]], reasons: list[str]) -> None:
    found = gate(history(columns), T0 + len(columns[0]) * 300 + 60, 900)
    assert [fault.reason for fault in found] == reasons


def test_the_bucket_and_the_group_are_told() -> None:
    whole, group = gate(history(changed(1, -2, 40_000 * G)), NOW, 900)
    assert (whole.time_s, whole.key) == (T0 + 3000, None)
    assert (group.time_s, group.key) == (T0 + 3000, KEYS[1])


def test_a_group_that_was_silent_lately_is_compared_with_what_it_was_before() -> None:
    before = history([[40 * G] * 12, [3_000_000] * 12], T0 - 86_400)
    now = history([[40 * G] * 12, [0] * 11 + [3 * G]])
    both = History(
        np.concatenate([before.times_s, now.times_s]), now.keys, np.vstack([before.demand_bps, now.demand_bps]), 300
    )
    assert [fault.reason for fault in gate(both, NOW, 900)] == ["a. DE||: 3 Gbps is 1000 × what it was, 3 Mbps"]


def test_not_more_than_a_page_of_groups_is_told() -> None:
    keys = tuple(GroupKey("a.", "CN", "", f"AS{at}") for at in range(1, 31))
    table = np.full((12, 30), 2 * G)
    table[-1] *= 1000
    found = gate(History(T0 + 300 * np.arange(12), keys, table, 300), NOW, 900)
    assert len(found) == 1 + 20 + 1
    assert found[-1].reason == "10 more groups are out of all proportion"


TIMES = [
    (NOW, 900, []),
    (NOW + 840, 900, []),
    (
        NOW + 841,
        900,
        ["late: the newest bucket, of 2026-01-01T00:55:00Z, ended 901 s ago; at most 900 s are taken"],
    ),
    (NOW, 30, ["late: the newest bucket, of 2026-01-01T00:55:00Z, ended 60 s ago; at most 30 s are taken"]),
    (T0 + 11 * 300 - 60, 900, []),
    (
        T0 + 10 * 300 - 61,
        900,
        [
            "the bucket of 2026-01-01T00:50:00Z lies in the future: now it is 2026-01-01T00:48:59Z",
            "the bucket of 2026-01-01T00:55:00Z lies in the future: now it is 2026-01-01T00:48:59Z",
        ],
    ),
]


@pytest.mark.parametrize(("now_s", "late_s", "reasons"), TIMES)
def test_late_and_future(now_s: int, late_s: int, reasons: list[str]) -> None:
    assert [fault.reason for fault in gate(history(STEADY), now_s, late_s)] == reasons


@pytest.mark.parametrize(
    ("now_s", "kept"),
    [
        (NOW, 12),
        (NOW - 60, 12),
        (NOW - 121, 11),
        (NOW - 359, 11),
        (NOW - 361, 11),
        (T0 + 600, 2 + 9),
        (T0 - 1, 11),
        (T0 - 61, 12),
    ],
)
def test_a_bucket_that_has_begun_but_not_ended_is_taken_off(now_s: int, kept: int) -> None:
    """Within a minute of its end it counts: clocks differ. Those that have not begun stay, for the gate to tell."""
    found = ended(history(STEADY), now_s)
    assert len(found.times_s) == len(found.demand_bps) == kept


@pytest.mark.parametrize(("now_s", "kept"), [(T0 + 180, 3), (T0 + 165, 3), (T0 + 164, 2), (T0 + 121, 2)])
def test_a_bucket_of_a_minute_counts_up_to_a_quarter_of_it_early(now_s: int, kept: int) -> None:
    assert len(ended(history([[G] * 3], bucket_s=60), now_s).times_s) == kept


LIVE = [
    (50 * G, ()),
    (500 * G, ()),
    (26_000 * G, ("all live demand, 26 Tbps, is 520 × that of the buckets before",)),
    (2 * G, ("all live demand, 2 Gbps, is less than 1/20 of that of the buckets before",)),
]


@pytest.mark.parametrize(("bps", "reasons"), LIVE)
def test_live_beside_the_rest(bps: int, reasons: tuple[str, ...]) -> None:
    live = history([[bps]], NOW - 60, 60)
    assert tuple(fault.reason for fault in agree(live, history(STEADY))) == reasons
    assert agree(history([[]]), history(STEADY)) == ()


def concert(**given: Any) -> Stream:
    """From the eleventh bucket on."""
    usual: dict[str, Any] = {"service": "a.", "from_s": T0 + 3000, "until_s": T0 + 7200, "demand_bps": 100 * G}
    return Stream("concert", **usual | given)


IDLE = [[2_000_000] * 10 + [90 * G] * 2, [G] * 12]
"""A service that shows little but its tests, until a stream begins that thousands of times as many watch."""
SCHEDULED = [
    pytest.param(IDLE, {}, 0, id="announced"),
    pytest.param(IDLE, {"country": "CN"}, 0, id="announced where it is"),
    pytest.param([[0] * 11 + [90 * G], [G] * 12], {}, 0, id="announced, of a group that is new"),
    pytest.param(IDLE, {"country": "DE"}, 2, id="announced elsewhere"),
    pytest.param(IDLE, {"service": "b."}, 2, id="announced of another service"),
    pytest.param(IDLE, {"from_s": T0 + 3300}, 1, id="announced for later: a fault as long as it is early"),
    pytest.param([[2_000_000] * 10 + [90_000 * G] * 2, [G] * 12], {}, 4, id="announced, and a thousand times that"),
    pytest.param([[90 * G] * 10 + [G] * 2, [G] * 12], {"from_s": T0, "until_s": T0 + 3000}, 0, id="over"),
    pytest.param([[90 * G] * 11 + [G], [G] * 12], {"demand_bps": 10 * G}, 1, id="gone, while a small one goes on"),
]


@pytest.mark.parametrize(("columns", "given", "faults"), SCHEDULED)
def test_what_is_scheduled_is_no_leap_and_not_gone_when_it_is_over(
    columns: list[list[int]], given: dict[str, Any], faults: int
) -> None:
    found = gate(history(columns), NOW, 900, [concert(**given)])
    assert len(found) == faults, found
    assert bool(gate(history(columns), NOW, 900))


ANNOUNCED = [
    pytest.param(26_000 * G, {"demand_bps": 1000 * G}, True, id="begun"),
    pytest.param(26_000 * G, {"demand_bps": 1000 * G, "from_s": NOW}, False, id="not begun"),
    pytest.param(2 * G, {"demand_bps": 40 * G, "until_s": NOW - 100}, True, id="over"),
    pytest.param(2 * G, {"demand_bps": 4 * G, "until_s": NOW - 100}, False, id="a small one is over"),
]


@pytest.mark.parametrize(("bps", "given", "passes"), ANNOUNCED)
def test_live_demand_of_what_is_scheduled(bps: int, given: dict[str, Any], passes: bool) -> None:
    live = history([[bps]], NOW - 60, 60)
    assert (not agree(live, history(STEADY), [concert(**given)])) == passes
    assert agree(live, history(STEADY))


def test_words() -> None:
    assert [rate(bps) for bps in (0, 999, 1000, 2.5e6, 4e10, 1.25e15)] == [
        "0 bps", "999 bps", "1 kbps", "2.5 Mbps", "40 Gbps", "1.25e+03 Tbps",
    ]  # fmt: skip
    assert instant(T0 + 0.9) == "2026-01-01T00:00:00Z"
    assert named(KEYS[0]) == "a. CN|SH|x"


def test_the_table_of_rows() -> None:
    rows = [(T0, 0, 1), (T0, 1, 2), (T0, 2, 4), (T0 + 300, 0, 8), (T0 + 900, 1, 16)]
    times_s, group, bps = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    keys = [KEYS[2], KEYS[0], KEYS[2]]  # the first and the last are one
    found = dense(times_s, group, bps, keys, np.array([T0 + 600, T0, T0 + 300]), 300)
    assert found.keys == (KEYS[0], KEYS[2])
    assert found.times_s.tolist() == [T0, T0 + 300, T0 + 600]
    assert found.demand_bps.tolist() == [[2, 5], [0, 8], [0, 0]]
    assert found.total_bps.tolist() == [7, 8, 0]
    assert found.aligned([KEYS[2], KEYS[1]]).tolist() == [[5, 0], [8, 0], [0, 0]]
    assert found.rows_of(np.array([T0 + 300, T0 + 1, T0 + 9000])).tolist() == [1, -1, -1]
    assert found.last(600).tolist() == [1, 2]
    nothing = dense(times_s[:0], group[:0], bps[:0], [], times_s[:0], 300)
    assert (nothing.keys, nothing.demand_bps.shape) == ((), (0, 0))
    assert nothing.rows_of(times_s).tolist() == [-1] * 5
    assert len(needed(times_s[:0])) == len(nothing.last(300)) == 0


def test_what_a_forecast_needs() -> None:
    times_s = T0 + 300 * np.arange(8 * 288)
    ago_s = times_s[-1] - times_s[needed(times_s)]
    for begin_s, end_s in ((0, 7200), (86_400 - 3600, 86_400 + 7200), (7 * 86_400 - 3600, 7 * 86_400 + 7200)):
        inside = (ago_s >= begin_s) & (ago_s <= end_s)
        assert inside.sum() == (end_s - begin_s) // 300 + 1
        ago_s = ago_s[~inside]
    assert not len(ago_s)
