"""Round-trip times of the world: a median that grows with distance, paths that differ, access lines, foreign networks.

A path between a network of viewers and a PoP has a median of `BASE_MS` + `MS_PER_1000_KM` for each 1000 km of great
circle, times a log-normal factor of its own (median 1, log-sd `LOG_SD`), which stays: it stands for detours and
peering, not for jitter. The viewers' access line comes on top, and what an edge costs that is not inside their network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

BASE_MS: Final = 14.8
MS_PER_1000_KM: Final = 17.3
LOG_SD: Final = 0.39


@dataclass(frozen=True, slots=True)
class RttRules:
    """How long round trips take, in milliseconds. ``mismatch_*`` is added where the edge is not in the viewers' ISP:
    in their country, and outside it."""

    base_ms: float = BASE_MS
    ms_per_1000_km: float = MS_PER_1000_KM
    log_sd: float = LOG_SD
    fixed_ms: float = 8.0
    mobile_ms: float = 35.0
    mismatch_home_ms: float = 15.0
    mismatch_abroad_ms: float = 60.0


def median_ms(rules: RttRules, km: F64) -> F64:
    """The median of paths of some lengths, without access and mismatch."""
    found: F64 = rules.base_ms + rules.ms_per_1000_km * km / 1000.0
    return found


def paths_ms(rules: RttRules, km: F64, rng: np.random.Generator) -> F64:
    """Paths of some lengths: of each one draw about its median."""
    found: F64 = median_ms(rules, km) * np.exp(rules.log_sd * rng.standard_normal(km.shape))
    return found


def access_ms(rules: RttRules, mobile: Mask) -> F64:
    """What the access lines of some viewers add."""
    return np.where(mobile, rules.mobile_ms, rules.fixed_ms)


def mismatch_ms(rules: RttRules, in_isp: Mask, at_home: Mask) -> F64:
    """What is added where the edge is not in the viewers' network; ``at_home`` where it is in their country."""
    return np.where(in_isp, 0.0, np.where(at_home, rules.mismatch_home_ms, rules.mismatch_abroad_ms))
