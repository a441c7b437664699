"""A round as data, for people and programs: its numbers, and what the plan expects of each edge."""

from __future__ import annotations

from typing import Any

import numpy as np

from gslb.dispatch.rounds import Done, summary


def as_data(done: Done) -> dict[str, Any]:
    """``{"outcome", "reason", "warnings"}``, and where a plan was made its `rounds.summary`, ``edges`` in their order
    and ``caps``, the limits that hold something back. Rates are in bits per second; None is not known."""
    found: dict[str, Any] = {"outcome": done.outcome, "reason": done.reason, "warnings": list(done.warnings)}
    if done.demand_age_s is not None:
        found["demand_age_s"] = round(done.demand_age_s, 1)
    if done.made is None or done.network is None:
        return found
    plan, report = done.made.plan, done.made.report
    found |= summary(done.made)
    found["edges"] = [
        {
            "edge": edge.id,
            "pop": edge.pop,
            "projected_bps": plan.edges[edge.id].projected_bps,
            "background_bps": plan.edges[edge.id].background_bps,
            "capacity_bps": edge.capacity_bps or None,
            "factor": plan.edges[edge.id].factor_milli / 1000,
            "projection_error": None if np.isnan(surprise) else round(float(surprise), 4),
        }
        for edge, surprise in zip(done.network.edges, report.surprise.tolist(), strict=True)
        if edge.id in plan.edges
    ]
    found["caps"] = [each._asdict() for each in plan.caps]
    return found
