"""What an override does at a second of the store's clock: a factor on weights, and when answers are to be short-lived.

Factors count in thousandths. Time is the store's clock, cut to whole seconds, so that servers whose notion of it
differs by milliseconds act at the same seconds alike. A factor falls, or rises, linearly while an override begins; from
its end on weight comes back as it does in a slow start: by 900 thousandths over ``slow_start_s``, from what it was, but
not from less than 100. An override called off before it began (``until_s`` not after ``from_s``) never does anything.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Final

from gslb.model.inventory import HealthRules
from gslb.model.override import KIND_DRAIN, KIND_PIN, Override

STATES: Final = ("scheduled", "active", "ended")
"""What an override is at a second."""
FULL_MILLI: Final = 1000
FIRST_MILLI: Final = 100
"""What a slow start begins with."""


def slow_start_milli(slow_since_ms: int, clock_s: int, slow_start_s: int) -> int:
    """Thousandths of its weight that an edge has which came back at ``slow_since_ms``, in ms since 1970; 1000 where
    that is 0, for one that was never away. From 100 up to 1000 in ``slow_start_s``."""
    if not slow_since_ms:
        return FULL_MILLI
    return _risen_milli(FIRST_MILLI, clock_s - slow_since_ms // 1000, slow_start_s)


def factor_milli(override: Override, clock_s: int, slow_start_s: int) -> int:
    """Thousandths of their weight that the edges of a drain or a ramp keep, rounded down; 0 = drained.

    A pin takes no weight away: 1000.
    """
    if override.kind == KIND_PIN or override.until_s <= override.from_s:
        return FULL_MILLI
    if clock_s < override.until_s:
        return _begun_milli(override, clock_s)
    first = max(_begun_milli(override, override.until_s), FIRST_MILLI)
    return _risen_milli(first, clock_s - override.until_s, slow_start_s)


def cancelled(override: Override, clock_s: int) -> Override:
    """The override, ended at ``clock_s``: called off where it has not begun, as it is where it has ended already."""
    if override.until_s <= clock_s:
        return override
    return dataclasses.replace(override, from_s=min(override.from_s, clock_s), until_s=clock_s)


def is_active(override: Override, clock_s: int) -> bool:
    """Whether it is between beginning and end: when a pin acts."""
    return override.from_s <= clock_s < override.until_s


def state_of(override: Override, clock_s: int) -> str:
    """One of `STATES`."""
    if is_active(override, clock_s):
        return "active"
    return "scheduled" if clock_s < override.from_s and override.until_s > override.from_s else "ended"


def is_changing(override: Override, clock_s: int, ttl_s: int, rules: HealthRules) -> bool:
    """Whether answers in which its edges could appear are to be short-lived.

    So it is from ``ttl_s`` (the longest TTL of those answers) before it begins until ``changing_s`` after all of it
    holds, and from its end until ``changing_s`` after it; around the end of a pin from ``ttl_s`` before it too.
    """
    return any(begin <= clock_s < end for begin, end in _changing(override, ttl_s, rules))


def next_border_s(override: Override, clock_s: int, ttl_s: int, rules: HealthRules) -> int | None:
    """The first second after ``clock_s`` at which `factor_milli`, `is_active` or `is_changing` may say otherwise; None
    where they never will. While a factor falls or rises that is the next second."""
    if override.until_s <= override.from_s:
        return None
    borders = [override.from_s, override.until_s]
    for begin, end in _changing(override, ttl_s, rules):
        borders += [begin, math.ceil(end)]
    if override.kind != KIND_PIN:
        full_s = min(override.from_s + override.over_s, override.until_s)
        back_s = override.until_s + rules.slow_start_s
        if override.from_s <= clock_s < full_s or override.until_s <= clock_s < back_s:
            return clock_s + 1
    return min((border for border in borders if border > clock_s), default=None)


def _risen_milli(first: int, elapsed_s: int, slow_start_s: int) -> int:
    if slow_start_s <= 0:
        return FULL_MILLI
    return min(FULL_MILLI, first + (FULL_MILLI - FIRST_MILLI) * max(elapsed_s, 0) // slow_start_s)


def _begun_milli(override: Override, clock_s: int) -> int:
    """The factor as it would be without an end."""
    if clock_s < override.from_s:
        return FULL_MILLI
    last = 0 if override.kind == KIND_DRAIN else override.value_milli
    elapsed_s = clock_s - override.from_s
    if elapsed_s >= override.over_s:
        return last
    return (FULL_MILLI * override.over_s - (FULL_MILLI - last) * elapsed_s) // override.over_s


def _changing(override: Override, ttl_s: int, rules: HealthRules) -> list[tuple[int, float]]:
    """The spans of clock seconds in which answers are short-lived: first second, and end."""
    begin_s, end_s = override.from_s, override.until_s
    if end_s <= begin_s:
        return []
    is_pin = override.kind == KIND_PIN
    whole_s = begin_s if is_pin else min(begin_s + override.over_s, end_s)
    return [
        (begin_s - ttl_s, whole_s + rules.changing_s),
        (end_s - (ttl_s if is_pin else 0), end_s + rules.changing_s),
    ]
