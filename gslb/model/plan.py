"""Published weights, as dispatch makes them and servers read them from the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

T = TypeVar("T")

PLAN_SUM = 65535
"""What the weights of a row add up to."""
MAX_EDGES = 16
"""Primaries of a row, and backups of a row: as many as one answer is drawn from."""

# Reasons of forced moves.
DOWN = "down"
DRAIN = "drain"
FENCE = "fence"
REMOVED = "removed"
RELIEF = "relief"
ROLLBACK = "rollback"
FORCED_REASONS = (DOWN, DRAIN, FENCE, REMOVED, RELIEF, ROLLBACK)


class PlanRow(NamedTuple):
    """What a view of a service gets: edges with weights that sum to `PLAN_SUM`, and backups in order.

    ``service`` is its name in text, lower case with the final dot; ``region`` and ``isp`` may be empty: any. What it
    was made of, for explanations and for judging how much a plan moves: ``demand_bps``, and ``costs`` of the
    primaries and then of the backups, per Mbps·month; empty where not known.
    """

    service: str
    country: str
    region: str
    isp: str
    primaries: tuple[tuple[str, int], ...]
    backups: tuple[str, ...] = ()
    demand_bps: int = 0
    costs: tuple[float, ...] = ()


class PlanInput(NamedTuple):
    """What a plan was made of: how old it was, and the SHA-256 of it in hexadecimal."""

    age_s: float
    sha256: str


def row_keys(country: str, region: str, isp: str) -> tuple[tuple[str, str, str], ...]:
    """The keys under which viewers look for their row, of their service: by the first that there is they go."""
    return (country, region, isp), (country, "", isp), (country, "", "")


def row_found(rows: Mapping[tuple[str, str, str], T], key: tuple[str, str, str]) -> T | None:
    """What viewers of ``key`` find among ``rows`` of one service; None: nothing."""
    for each in row_keys(*key):
        if (found := rows.get(each)) is not None:
            return found
    return None


class Forced(NamedTuple):
    """Moves that had to be, off an edge: ``reason`` is one of `FORCED_REASONS`, ``bps`` how much moved. An empty
    ``edge`` means every edge."""

    edge: str
    reason: str
    bps: int = 0


class PlannedEdge(NamedTuple):
    """What a plan expects of an edge: its load by this plan in bits per second, ``background_bps`` of that not caused
    by its answers, and ``factor_milli``, thousandths by which demand weighs more there than it was projected
    (feedback)."""

    projected_bps: int
    background_bps: int = 0
    factor_milli: int = 1000


class BindingCap(NamedTuple):
    """A limit that holds something back: ``kind`` is edge, pop, region or network; ``price`` is what one Mbps more of
    it would save, per Mbps·month."""

    kind: str
    name: str
    capacity_bps: int
    price: float


@dataclass(frozen=True, slots=True)
class Plan:
    """One published plan; times in ms since 1970 on the store's clock. It counts from ``effective_at_ms`` up to
    ``hold_until_ms``, and then fades into local policy."""

    version: str
    base: str = ""
    issued_at_ms: int = 0
    effective_at_ms: int = 0
    hold_until_ms: int = 0
    rows: tuple[PlanRow, ...] = field(default_factory=tuple)
    inputs: Mapping[str, PlanInput] = field(default_factory=dict)
    forced: tuple[Forced, ...] = ()
    edges: Mapping[str, PlannedEdge] = field(default_factory=dict)
    caps: tuple[BindingCap, ...] = ()

    def by_service(self) -> dict[str, dict[tuple[str, str, str], PlanRow]]:
        """Its rows by service, and then by country, region and ISP."""
        found: dict[str, dict[tuple[str, str, str], PlanRow]] = {}
        for row in self.rows:
            found.setdefault(row.service, {})[row.country, row.region, row.isp] = row
        return found
