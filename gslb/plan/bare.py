"""The bare problem, of anyone's own instance: costs, hard capacities, overload as the last resort; no other term."""

from __future__ import annotations

from typing import Final

from gslb.model.dispatch import DispatchRules

OVERLOAD: Final = 1e5
"""What a Mbps above a capacity costs."""


def bare_rules(*, knee: float = 1.0, hard: float = 1.0, beta: float = 0.0, overload: float = OVERLOAD) -> DispatchRules:
    """Rules for `gslb.plan.optimize.optimize` under which capacities are hard at 1 and every other term is 0, but for
    those given."""
    return DispatchRules(knee=knee, hard=hard, beta=beta, overload=overload, churn=0.0, shortfall=0.0)
