"""What a dispatcher tells Prometheus. Labels are bounded: outcomes, and edges of the inventory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gslb.dispatch.rounds import FROZEN, OUTCOMES, PUBLISHED, Done, forced_bps

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


FIRST_ROUND_S: Final = 60
"""How long a round is while the files cannot be read."""


@dataclass(slots=True)
class Told:
    """What happened so far. `ended` is called after each round, `exposition` from any thread."""

    rounds: Counter[str] = field(default_factory=Counter)
    last_success_s: float = 0.0
    lease_held: bool = False
    round_s: int = FIRST_ROUND_S
    last: Done | None = None
    made: Done | None = None

    def ended(self, done: Done, now_s: float, *, lease_held: bool) -> None:
        """A round ended at ``now_s``, seconds since 1970."""
        self.rounds[done.outcome] += 1
        self.lease_held = lease_held
        self.last = done
        if done.network is not None:
            self.round_s = done.network.rules.round_s
        if done.made is not None:
            self.made = done
        if done.outcome == PUBLISHED:
            self.last_success_s = now_s


def exposition(told: Told) -> bytes:
    """All metrics in Prometheus' text form."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(told))
    return generate_latest(registry)


class _Once(Collector):
    def __init__(self, told: Told) -> None:
        self._told = told

    def describe(self) -> list[Metric]:
        """Nothing: no other collector shares the registry."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        told = self._told
        rounds = CounterMetricFamily("gslb_dispatch_rounds", "Rounds by what became of them.", labels=("outcome",))
        for outcome in OUTCOMES:
            rounds.add_metric((outcome,), told.rounds[outcome])
        yield rounds
        yield GaugeMetricFamily("gslb_dispatch_lease_held", "1 while this dispatcher publishes.", told.lease_held)
        yield GaugeMetricFamily(
            "gslb_dispatch_last_success_timestamp_seconds",
            "When a plan was published last, in seconds since 1970; 0 none yet.",
            told.last_success_s,
        )
        yield GaugeMetricFamily("gslb_dispatch_round_seconds", "How often a round begins.", told.round_s)
        frozen = told.last is not None and told.last.outcome == FROZEN
        yield GaugeMetricFamily("gslb_dispatch_frozen", "1 while an operator has plans frozen.", frozen)
        if told.last is not None and told.last.demand_age_s is not None:
            yield GaugeMetricFamily(
                "gslb_dispatch_demand_age_seconds",
                "How long ago the newest bucket of demand ended, in the last round.",
                told.last.demand_age_s,
            )
        if told.made is not None:
            yield from _of_plan(told.made)


def _of_plan(done: Done) -> Iterator[Metric]:
    made = done.made
    assert made is not None
    report, solution = made.report, made.solution
    info = GaugeMetricFamily("gslb_dispatch_plan_info", "The plan made last.", labels=("version",))
    info.add_metric((made.plan.version,), 1)
    yield info
    yield GaugeMetricFamily("gslb_dispatch_plan_rows", "Rows of the plan made last.", len(made.plan.rows))
    whole = max(report.demand_bps, 1)
    for name, text, bps in (
        ("moved", "Demand that the last round moved without being forced to, as part of all.", report.moved_bps),
        ("forced", "Demand that had to move in the last round, as part of all.", forced_bps(made.plan)),
        ("waiting", "Demand that is to move in later rounds, as part of all.", report.waiting_bps),
        ("unserved", "Demand that no edge may serve, as part of all.", report.unserved_bps),
    ):
        yield GaugeMetricFamily(f"gslb_dispatch_{name}_ratio", text, bps / whole)
    for name, text, value in (
        ("demand_bps", "Demand that the last plan was made for.", report.demand_bps),
        ("overload_bps", "What edges carry above their hard limits by the last plan.", report.overload_bps),
        ("pop_shortfalls", "PoPs that could not be lost without overload.", len(report.shortfalls)),
        ("build_seconds", "CPU that building the last problem took.", solution.build_s),
        ("solve_seconds", "CPU that solving it took.", solution.solve_s),
        ("gap_ratio", "By how much the solution may be dearer than the best, as part of its cost.", _gap(done)),
        (
            "projection_error_total_ratio",
            "Load measured against projected: the absolute difference, weighted by capacity.",
            report.surprise_total,
        ),
    ):
        yield GaugeMetricFamily(f"gslb_dispatch_{name}", text, value)
    projected = GaugeMetricFamily(
        "gslb_dispatch_edge_projected_bps", "The load that the plan expects.", labels=("edge",)
    )
    factor = GaugeMetricFamily(
        "gslb_dispatch_edge_factor_ratio", "By how much demand weighs more there than measured.", labels=("edge",)
    )
    for edge, planned in made.plan.edges.items():
        projected.add_metric((edge,), planned.projected_bps)
        factor.add_metric((edge,), planned.factor_milli / 1000)
    yield projected
    yield factor
    error = GaugeMetricFamily(
        "gslb_dispatch_projection_error_ratio",
        "Load measured less projected, as part of the edge's capacity; only where both are known.",
        labels=("edge",),
    )
    edges = [edge.id for edge in done.network.edges] if done.network is not None else []
    for edge, surprise in zip(edges, report.surprise.tolist(), strict=False):
        if not np.isnan(surprise):
            error.add_metric((edge,), surprise)
    yield error


def _gap(done: Done) -> float:
    assert done.made is not None
    solution = done.made.solution
    return (solution.objective - solution.dual_bound) / max(abs(solution.objective), 1e-9)
