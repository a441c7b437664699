"""Rate limiting as tables: who is limited, when, and what becomes of the answer."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable
from typing import Any

import pytest

from gslb.answer import fast
from gslb.server.limit import DROP, KINDS, PASS, SLIP, TABLE_ROWS, Buckets, Limiter

P, D, S = PASS, DROP, SLIP
Make = Callable[..., Any]


def implementations() -> dict[str, Make]:
    """The limiter, and the one of native threads where that is there."""
    found: dict[str, Make] = {"reference": Limiter}
    if fast.compiled(os.environ)[0] is not None:
        from gslb.server._limit import CompiledLimiter

        found["compiled"] = CompiledLimiter
    return found


@pytest.fixture(params=implementations().values(), ids=implementations())
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


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
def test_errors(make: Make, story: list[tuple[float, str, str, int]]) -> None:
    limiter = make(2, 2, 3, ["198.51.100.0/24", "2001:db8:53::/48"])
    assert [limiter.decide(packed(source), kind, at) for at, source, kind, _ in story] == [row[3] for row in story]


@pytest.mark.parametrize(("slip", "expected"), [(0, [P, D, D, D]), (1, [P, S, S, S]), (3, [P, D, D, S])])
def test_slip(make: Make, slip: int, expected: list[int]) -> None:
    limiter = make(1, slip, 15, [])
    assert [limiter.decide(packed("192.0.2.1"), "refused", 0.0) for _ in expected] == expected


def test_workers_share_the_rate(make: Make) -> None:
    limiter = make(8, 2, 15, [], workers=4)
    assert [limiter.decide(packed("192.0.2.1"), "refused", 0.0) for _ in range(3)] == [P, P, D]


def test_positive_answers_are_only_counted(make: Make) -> None:
    limiter = make(2, 2, 15, [])
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


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_credit_of_its_own(make: Make, kind: str) -> None:
    limiter = make(1, 0, 15, [])
    for other in KINDS:
        assert limiter.decide(packed("192.0.2.1"), other, 0.0) == PASS
    assert limiter.decide(packed("192.0.2.1"), kind, 0.0) == DROP


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("198.51.100.7/32", ["198.51.100.7"], ["198.51.100.6", "::ffff:0:198.51.100.7"]),
        ("198.51.96.0/20", ["198.51.96.0", "198.51.111.255"], ["198.51.95.255", "198.51.112.0"]),
        ("0.0.0.0/0", ["192.0.2.1", "255.255.255.255"], ["2001:db8::1"]),
        ("2001:db8::/127", ["2001:db8::", "2001:db8::1"], ["2001:db8::2", "2001:db8:1::"]),
        ("2001:db8::/33", ["2001:db8:7fff::1"], ["2001:db8:8000::1"]),
        ("2001:db8:0:0:8000::/65", ["2001:db8::8000:0:0:1"], ["2001:db8::7fff:0:0:1"]),
        ("2000::/3", ["2001:db8::1", "3fff::"], ["4000::1", "192.0.2.1"]),
        ("198.51.100.9/24", ["198.51.100.1"], ["198.51.101.1"]),  # host bits do not matter
    ],
)
def test_the_allow_list(make: Make, network: str, inside: list[str], outside: list[str]) -> None:
    for sources, decision in ((inside, PASS), (outside, DROP)):
        for source in sources:
            limiter = make(1, 0, 15, [network])
            limiter.decide(packed(source), "refused", 0.0)
            assert limiter.decide(packed(source), "refused", 0.0) == decision


def test_a_flood_of_prefixes_makes_no_table_grow_and_blocks_nobody(make: Make) -> None:
    """Whoever is over the rate just now is still known after half a table of others; then rows are used anew."""
    limiter = make(1, 0, 15, [])
    known = packed("192.0.2.1")
    for second in range(4):
        for number in range(TABLE_ROWS // 8):
            source = (0x0A000000 + (second * TABLE_ROWS // 8 + number << 8)).to_bytes(4)
            assert limiter.decide(source, "nxdomain", second / 100) == PASS
        limiter.decide(known, "nxdomain", second / 100)
        assert limiter.decide(known, "nxdomain", second / 100) == DROP
    for number in range(2 * TABLE_ROWS):
        assert limiter.decide((0x40000000 + (number << 8)).to_bytes(4), "nxdomain", 60.0) == PASS


def test_a_clock_that_jumps_back_blocks_nobody_for_longer_than_is_owed(make: Make) -> None:
    limiter = make(2, 0, 3, [])
    source = packed("192.0.2.1")
    for _ in range(50):
        limiter.decide(source, "nxdomain", 1000.0)
    limiter.decide(source, "nxdomain", 10.0)
    assert limiter.decide(source, "nxdomain", 15.0) == PASS
