"""Rate limiting as tables: who is limited, when, and what becomes of the answer."""

from __future__ import annotations

import ipaddress

import pytest

from gslb.server.limit import DROP, PASS, SLIP, Buckets, Limiter

P, D, S = PASS, DROP, SLIP


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


# (seconds, source, kind) → decision, one after the other, at 2 a second, every second one slipped, 3 s owed at most
STORIES = {
    "the first two of a second pass, then drop and slip take turns": [
        (0.0, "192.0.2.1", "nxdomain", P),
        (0.0, "192.0.2.1", "nxdomain", P),
        (0.0, "192.0.2.1", "nxdomain", D),
        (0.0, "192.0.2.1", "nxdomain", S),
        (0.0, "192.0.2.1", "nxdomain", D),
    ],
    "a /24 shares its credit, its neighbour has its own": [
        (0.0, "192.0.2.1", "nxdomain", P),
        (0.0, "192.0.2.255", "nxdomain", P),
        (0.0, "192.0.2.77", "nxdomain", D),
        (0.0, "192.0.3.1", "nxdomain", P),
    ],
    "a /56 shares its credit": [
        (0.0, "2001:db8:0:1::1", "refused", P),
        (0.0, "2001:db8:0:ff::1", "refused", P),
        (0.0, "2001:db8:0:aa::1", "refused", D),
        (0.0, "2001:db8:0:100::1", "refused", P),
    ],
    "each kind of error has its own credit": [
        (0.0, "192.0.2.1", "nxdomain", P),
        (0.0, "192.0.2.1", "nxdomain", P),
        (0.0, "192.0.2.1", "refused", P),
        (0.0, "192.0.2.1", "nxdomain", D),
    ],
    "credit comes back with time, one second's at most": [
        (0.0, "192.0.2.1", "nxdomain", P),
        (0.0, "192.0.2.1", "nxdomain", P),
        (0.0, "192.0.2.1", "nxdomain", D),
        (1.0, "192.0.2.1", "nxdomain", P),
        (60.0, "192.0.2.1", "nxdomain", P),
        (60.0, "192.0.2.1", "nxdomain", P),
        (60.0, "192.0.2.1", "nxdomain", D),
    ],
    "who was far over waits for its debt": [
        *[(0.0, "192.0.2.1", "nxdomain", P)] * 2,
        *[(0.0, "192.0.2.1", "nxdomain", D), (0.0, "192.0.2.1", "nxdomain", S)] * 20,
        (2.0, "192.0.2.1", "nxdomain", D),
        (5.0, "192.0.2.1", "nxdomain", P),
    ],
    "loopback and the allow-list are never limited": [
        *[(0.0, "127.0.0.1", "nxdomain", P)] * 5,
        *[(0.0, "::1", "nxdomain", P)] * 5,
        *[(0.0, "198.51.100.9", "nxdomain", P)] * 5,
        *[(0.0, "2001:db8:53::9", "nxdomain", P)] * 5,
    ],
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_errors(story: list[tuple[float, str, str, int]]) -> None:
    limiter = Limiter(2, 2, 3, ["198.51.100.0/24", "2001:db8:53::/48"])
    assert [limiter.decide(packed(source), kind, at) for at, source, kind, _ in story] == [row[3] for row in story]


@pytest.mark.parametrize(("slip", "expected"), [(0, [P, D, D, D]), (1, [P, S, S, S]), (3, [P, D, D, S])])
def test_slip(slip: int, expected: list[int]) -> None:
    limiter = Limiter(1, slip, 15, [])
    assert [limiter.decide(packed("192.0.2.1"), "refused", 0.0) for _ in expected] == expected


def test_workers_share_the_rate() -> None:
    limiter = Limiter(8, 2, 15, [], workers=4)
    assert [limiter.decide(packed("192.0.2.1"), "refused", 0.0) for _ in range(3)] == [P, P, D]


def test_positive_answers_are_only_counted() -> None:
    limiter = Limiter(2, 2, 15, [])
    source = packed("192.0.2.1")
    assert [limiter.positive_is_over(source, 0.0) for _ in range(4)] == [False, False, True, True]
    assert limiter.decide(source, "nxdomain", 0.0) == PASS
    assert not any(limiter.positive_is_over(packed("127.0.0.1"), 0.0) for _ in range(9))


def test_the_table_is_bounded_and_forgets_the_longest_unused() -> None:
    buckets = Buckets(1, 15, rows=3)
    for name in (b"a", b"b", b"c"):
        assert buckets.over((name, "k"), 0.0) == 0
    assert buckets.over((b"a", "k"), 0.0) == 1
    assert buckets.over((b"d", "k"), 0.0) == 0  # b goes
    assert len(buckets) == 3
    assert buckets.over((b"a", "k"), 0.0) == 2
    assert buckets.over((b"b", "k"), 0.0) == 0
