"""Headroom curves, the smaller capacity, and effective weights."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.policy.headroom import LOCAL, MAX_BPS, PLANNED, Curve, capacity, effective, headroom_milli

G = 10**9

ROWS = [
    # load, capacity, curve, thousandths left
    (0, 40 * G, LOCAL, 1000),
    (32 * G, 40 * G, LOCAL, 1000),  # 80 %
    (32 * G + 6 * 10**6, 40 * G, LOCAL, 999),
    (35 * G, 40 * G, LOCAL, 500),  # 87.5 %
    (36 * G, 40 * G, LOCAL, 333),  # 90 %
    (38 * G, 40 * G, LOCAL, 0),  # 95 %
    (90 * G, 40 * G, LOCAL, 0),
    (38 * G, 40 * G, PLANNED, 1000),
    (40 * G, 40 * G, PLANNED, 500),
    (42 * G, 40 * G, PLANNED, 0),
    (10 * G, 0, LOCAL, 1000),  # capacity unknown
    (0, 0, LOCAL, 1000),
    (35, 40, LOCAL, 500),
    (1, 1, LOCAL, 0),
    (10**15, 10**9, LOCAL, 0),
    (875 * 10**12, 10**15, LOCAL, 500),
    (2**62, 2**62, LOCAL, 0),
]


@pytest.mark.parametrize(("load", "size", "curve", "wanted"), ROWS)
def test_headroom(load: int, size: int, curve: Curve, wanted: int) -> None:
    assert headroom_milli(np.array([load]), np.array([size]), curve).tolist() == [wanted]


@settings(derandomize=True, deadline=None)
@given(st.integers(0, 2**50), st.integers(1, MAX_BPS), st.sampled_from([LOCAL, PLANNED]))
def test_headroom_is_the_line_rounded_down(load: int, size: int, curve: Curve) -> None:
    found = int(headroom_milli(np.array([load]), np.array([size]), curve)[0])
    used = Fraction(load * 1000, size)
    line = (curve.none_milli - used) / (curve.none_milli - curve.full_milli) * 1000
    exact = max(0, min(1000, line.numerator // line.denominator))
    assert abs(found - exact) <= (0 if size <= 1 << 42 else 1)


@pytest.mark.parametrize(
    ("inventory", "reported", "wanted"), [(40, 30, 30), (30, 40, 30), (0, 30, 30), (40, 0, 40), (0, 0, 0)]
)
def test_capacity_is_the_smaller_that_is_known(inventory: int, reported: int, wanted: int) -> None:
    assert capacity(np.array([inventory]), np.array([reported])).tolist() == [wanted]


@pytest.mark.parametrize(
    ("weight", "headroom", "ramp", "wanted"),
    [
        (100, 1000, 1000, 100 << 16),
        (100, 500, 1000, 50 << 16),
        (100, 500, 100, 5 << 16),
        (0, 1000, 1000, 0),
        (100, 0, 1000, 0),
        (100, 1000, 0, 0),
        (1, 1, 1, 1),  # above 0 is at least 1
        (65535, 1000, 1000, 65535 << 16),
        (3, 333, 1000, 65470),
    ],
)
def test_effective_weights(weight: int, headroom: int, ramp: int, wanted: int) -> None:
    assert effective(np.array([weight]), np.array([headroom]), ramp).tolist() == [wanted]
