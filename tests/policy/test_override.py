"""What overrides do at each second: factors, pins, short TTLs, and the seconds at which any of it changes."""

from __future__ import annotations

from typing import Any

import pytest
from gslbtest.examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.model.inventory import HealthRules
from gslb.model.override import KINDS, Override, Target
from gslb.policy import override as policy
from gslb.store.interface import OVERRIDE_KEPT_S
from gslb.zone.models import MAX_SLOW_START_S

T = 1_790_000_000  # seconds since 1970 at which overrides of the tables begin
RULES = HealthRules()  # changing 60 s, slow start 90 s


def order(
    kind: str = "drain", begin: int = 0, end: int = 3600, over_s: int = 0, value: int = 0, **more: Any
) -> Override:
    return Override("o", kind, Target(edge="a"), T + begin, T + end, over_s, value, **more)


FACTORS = [
    # the override, a second after T, slow start, thousandths
    (order(), -1, 90, 1000),
    (order(), 0, 90, 0),
    (order(), 3599, 90, 0),
    (order(), 3600, 90, 100),
    (order(), 3601, 90, 110),
    (order(), 3645, 90, 550),
    (order(), 3689, 90, 990),
    (order(), 3690, 90, 1000),
    (order(), 10**6, 90, 1000),
    (order(), 3600, 0, 1000),
    (order(), 3600, 7, 100),
    (order(), 3601, 7, 228),
    (order(over_s=600), -1, 90, 1000),
    (order(over_s=600), 0, 90, 1000),
    (order(over_s=600), 1, 90, 998),
    (order(over_s=600), 300, 90, 500),
    (order(over_s=600), 599, 90, 1),
    (order(over_s=600), 600, 90, 0),
    (order(over_s=600, end=300), 299, 90, 501),
    (order(over_s=600, end=300), 300, 90, 500),
    (order(over_s=600, end=300), 310, 90, 600),
    (order(over_s=600, end=300), 350, 90, 1000),
    (order("ramp", value=250), 0, 90, 250),
    (order("ramp", value=250, over_s=3), 1, 90, 750),
    (order("ramp", value=250, over_s=3), 2, 90, 500),
    (order("ramp", value=250), 3600, 90, 250),
    (order("ramp", value=250), 3610, 90, 350),
    (order("ramp", value=50), 3599, 90, 50),
    (order("ramp", value=50), 3600, 90, 100),
    (order("ramp", value=0), 10, 90, 0),
    (order("ramp", value=1000), 10, 90, 1000),
    (order("pin", edges=("a",)), 10, 90, 1000),
    (order(end=0), 0, 90, 1000),
    (order(end=0), 1, 90, 1000),
    (order(end=-5), 3, 90, 1000),
]


@pytest.mark.parametrize(("override", "after_s", "slow_start_s", "wanted"), FACTORS)
def test_factors(override: Override, after_s: int, slow_start_s: int, wanted: int) -> None:
    assert policy.factor_milli(override, T + after_s, slow_start_s) == wanted


@pytest.mark.parametrize(
    ("since_ms", "clock_s", "slow_start_s", "wanted"),
    [
        (0, T, 90, 1000),
        (T * 1000, T, 90, 100),
        (T * 1000 + 999, T, 90, 100),
        (T * 1000 + 999, T + 1, 90, 110),
        (T * 1000, T + 45, 90, 550),
        (T * 1000, T + 90, 90, 1000),
        (T * 1000, T + 10**9, 90, 1000),
        (T * 1000, T - 5, 90, 100),  # the clock, as it is known here, is behind
        (T * 1000, T, 0, 1000),
    ],
)
def test_slow_start(since_ms: int, clock_s: int, slow_start_s: int, wanted: int) -> None:
    assert policy.slow_start_milli(since_ms, clock_s, slow_start_s) == wanted


SPANS = [
    # an override, the TTL before it, spans of seconds after T in which answers are short-lived
    (order(), 20, [(-20, 60), (3600, 3660)]),
    (order(), 0, [(0, 60), (3600, 3660)]),
    (order(over_s=600), 20, [(-20, 660), (3600, 3660)]),
    (order(over_s=600, end=300), 20, [(-20, 360)]),
    (order(end=30), 300, [(-300, 90)]),
    (order("ramp", value=5), 20, [(-20, 60), (3600, 3660)]),
    (order("pin", edges=("a",)), 20, [(-20, 60), (3580, 3660)]),
    (order("pin", end=50, edges=("a",)), 20, [(-20, 110)]),
    (order(end=0), 20, []),
]


@pytest.mark.parametrize(("override", "ttl_s", "spans"), SPANS)
def test_short_lived_answers(override: Override, ttl_s: int, spans: list[tuple[int, int]]) -> None:
    found = [after for after in range(-400, 4000) if policy.is_changing(override, T + after, ttl_s, RULES)]
    assert found == [after for begin, end in spans for after in range(begin, end)]


def test_active_from_the_first_second_to_before_the_last() -> None:
    found = [after for after in range(-10, 20) if policy.is_active(order("pin", end=5, edges=("a",)), T + after)]
    assert found == [0, 1, 2, 3, 4]
    assert not policy.is_active(order(end=0), T)


orders = st.builds(
    order,
    kind=st.sampled_from(KINDS),
    begin=st.integers(-100, 100),
    end=st.integers(-100, 300),
    over_s=st.integers(0, 100),
    value=st.integers(0, 1000),
)
rules = st.builds(
    HealthRules,
    changing_s=st.one_of(st.integers(0, 100).map(float), st.sampled_from([0.5, 2.25, 60.001])),
    slow_start_s=st.integers(0, 100),
)


def facts(override: Override, clock_s: int, ttl_s: int, health: HealthRules) -> tuple[int, bool, bool]:
    return (
        policy.factor_milli(override, clock_s, health.slow_start_s),
        policy.is_active(override, clock_s),
        policy.is_changing(override, clock_s, ttl_s, health),
    )


@settings(derandomize=True, deadline=None, max_examples=examples(300))
@given(orders, st.integers(0, 60), rules, st.integers(-300, 600))
def test_nothing_changes_before_the_next_border(
    override: Override, ttl_s: int, health: HealthRules, after: int
) -> None:
    clock_s = T + after
    border = policy.next_border_s(override, clock_s, ttl_s, health)
    assert border is None or border > clock_s
    now = facts(override, clock_s, ttl_s, health)
    for later in range(clock_s, T + 900 if border is None else border):
        assert facts(override, later, ttl_s, health) == now


@settings(derandomize=True, deadline=None)
@given(orders, st.integers(0, 60), rules)
def test_every_override_comes_to_its_end(override: Override, ttl_s: int, health: HealthRules) -> None:
    last_s = max(override.until_s + MAX_SLOW_START_S, override.until_s + round(health.changing_s) + 1)
    assert policy.next_border_s(override, last_s + 100, ttl_s, health) is None
    assert facts(override, last_s, ttl_s, health) == (1000, False, False)


@settings(derandomize=True, deadline=None)
@given(orders, rules, st.integers(-300, 600))
def test_factors_move_step_by_step(override: Override, health: HealthRules, after: int) -> None:
    one, other = (policy.factor_milli(override, T + after + later, health.slow_start_s) for later in (0, 1))
    assert 0 <= one <= 1000
    if override.from_s <= T + after < override.until_s - 1 and override.over_s:
        assert 0 <= one - other <= 1000 // override.over_s + 1
    elif T + after >= override.until_s > override.from_s and health.slow_start_s:
        assert 0 <= other - one <= 900 // health.slow_start_s + 1


def test_what_is_kept_of_an_ended_override_is_enough() -> None:
    assert MAX_SLOW_START_S <= OVERRIDE_KEPT_S


@pytest.mark.parametrize(
    ("now", "wanted"),
    [
        (-50, order(begin=-50, end=-50)),  # called off before it began
        (0, order(begin=0, end=0)),
        (100, order(end=100)),
        (3600, order()),
        (5000, order()),
    ],
)
def test_cancelled(now: int, wanted: Override) -> None:
    found = policy.cancelled(order(), T + now)
    assert found == wanted
    if now <= 0:
        assert {policy.factor_milli(found, T + after, 90) for after in range(-100, 4000, 10)} == {1000}
        assert policy.next_border_s(found, T - 500, 300, RULES) is None
