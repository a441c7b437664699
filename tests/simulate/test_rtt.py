"""Round-trip times: medians by distance, the spread of paths, access lines, foreign networks."""

from __future__ import annotations

import numpy as np
import pytest

from gslb.simulate import rtt
from gslb.simulate.rtt import RttRules

RULES = RttRules()
MEDIANS = [(0.0, 14.8), (1000.0, 32.1), (10_000.0, 187.8)]


@pytest.mark.parametrize(("km", "ms"), MEDIANS)
def test_medians(km: float, ms: float) -> None:
    assert rtt.median_ms(RULES, np.array([km]))[0] == pytest.approx(ms)
    drawn = rtt.paths_ms(RULES, np.full(20_000, km), np.random.default_rng(1))
    assert np.median(drawn) == pytest.approx(ms, rel=0.02)
    assert np.std(np.log(drawn)) == pytest.approx(0.39, rel=0.02)


def test_access_and_mismatch() -> None:
    assert rtt.access_ms(RULES, np.array([False, True])).tolist() == [8, 35]
    inside, home = np.array([True, True, False, False]), np.array([True, False, True, False])
    assert rtt.mismatch_ms(RULES, inside, home).tolist() == [0, 0, 15, 60]
