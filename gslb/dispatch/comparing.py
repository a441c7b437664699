"""What differs between two plans: how much moves, off and onto which edges, and of which groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gslb.model.plan import PLAN_SUM, Plan, PlanRow

_Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Moved:
    """One group: its key, its demand, the part of it that moves, and the shares before and after (0 to 1)."""

    key: _Key
    demand_bps: int
    part: float
    before: Mapping[str, float]
    after: Mapping[str, float]

    @property
    def moved_bps(self) -> float:
        """How much of it moves."""
        return self.part * self.demand_bps


@dataclass(frozen=True, slots=True)
class Difference:
    """From one plan to another. ``demand_bps`` is that of the later plan, of rows that are gone that of the former.
    ``edges`` tells of each edge what it carries before and after, in bits per second, where that differs; ``groups``
    are those that move, the largest first. Rows that are in one of the plans alone are counted, and move nothing."""

    former: str
    later: str
    demand_bps: int
    moved_bps: int
    edges: Mapping[str, tuple[int, int]]
    groups: tuple[Moved, ...]
    added: int
    gone: int


def difference(former: Plan, later: Plan) -> Difference:
    """Compare two plans, row by row of the same key, at the later one's demand."""
    before: dict[_Key, PlanRow] = {row[:4]: row for row in former.rows}
    after: dict[_Key, PlanRow] = {row[:4]: row for row in later.rows}
    edges: dict[str, list[float]] = {}
    moved = []
    for key, row in after.items():
        old = before.get(key)
        if old is None:
            continue
        shares, olds = _shares(row), _shares(old)
        for each, column in ((olds, 0), (shares, 1)):
            for edge, share in each.items():
                edges.setdefault(edge, [0.0, 0.0])[column] += share * row.demand_bps
        part = sum(max(0.0, share - shares.get(edge, 0.0)) for edge, share in olds.items())
        if part:
            moved.append(Moved(key, row.demand_bps, part, olds, shares))
    moved.sort(key=lambda each: (-each.moved_bps, each.key))
    return Difference(
        former.version,
        later.version,
        sum(row.demand_bps for row in later.rows),
        round(sum(each.moved_bps for each in moved)),
        {edge: (round(old), round(new)) for edge, (old, new) in sorted(edges.items()) if round(old) != round(new)},
        tuple(moved),
        len(after.keys() - before.keys()),
        len(before.keys() - after.keys()),
    )


def _shares(row: PlanRow) -> dict[str, float]:
    return {edge: weight / PLAN_SUM for edge, weight in row.primaries}
