"""Published weights, as servers read them from the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

PLAN_SUM = 65535
"""What the weights of a row add up to."""


class PlanRow(NamedTuple):
    """What a view of a service gets: edges with weights that sum to `PLAN_SUM`, and backups in order.

    ``service`` is its name in text, lower case with the final dot; ``region`` and ``isp`` may be empty: any.
    """

    service: str
    country: str
    region: str
    isp: str
    primaries: tuple[tuple[str, int], ...]
    backups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """One published plan; times in ms since 1970 on the store's clock. It counts from ``effective_at_ms`` up to
    ``hold_until_ms``."""

    version: str
    base: str = ""
    issued_at_ms: int = 0
    effective_at_ms: int = 0
    hold_until_ms: int = 0
    rows: tuple[PlanRow, ...] = field(default_factory=tuple)
