"""The edges of a pool as one class of clients sees them, for explanations: what each gets, and why some get nothing."""

from __future__ import annotations

import msgspec

from gslb.model.view import View
from gslb.policy import draw
from gslb.snapshot import layout
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.rows import EdgeStateRow, PolicyRow, ServiceRow
from gslb.snapshot.steering import Row, Steering

_VERDICTS = {
    layout.VERDICT_UP: "up",
    layout.VERDICT_UNKNOWN: "silent",
    layout.VERDICT_DOWN: "down",
    layout.VERDICT_DRAIN: "drained",
    layout.VERDICT_ABSENT: "none",
}


class Candidate(msgspec.Struct, frozen=True):
    """One edge of the service's pool as one client's class sees it.

    ``level`` is a position in the affinity list, -1 where none matches. ``share_v4`` and ``share_v6`` are the parts, 0
    to 1, of the class's clients that it gets; ``excluded`` says why it gets none, else it is empty.
    """

    edge: str
    level: int
    level_name: str
    weight: int
    health_v4: str
    health_v6: str
    headroom_milli: int
    age_s: float | None
    share_v4: float
    share_v6: float
    excluded: str

    def line(self) -> str:
        """The same for people."""
        age = "never reported" if self.age_s is None else f"report {self.age_s:.1f} s old"
        facts = (
            f"{self.level_name}, weight {self.weight}, v4 {self.health_v4}, v6 {self.health_v6},"
            f" headroom {self.headroom_milli / 10:.1f} %, {age}"
        )
        if self.excluded:
            return f"not {self.edge}: {self.excluded} ({facts})"
        return f"edge {self.edge}: A {self.share_v4:.1%}, AAAA {self.share_v6:.1%} ({facts})"


def candidates_of(
    catalog: Catalog,
    steering: Steering,
    service: ServiceRow,
    policy: PolicyRow,
    name: bytes,
    cls: int,
    view: View,
) -> list[Candidate]:
    """Every edge of the pool, those that serve first, by level."""
    arrays = catalog.arrays
    rows = arrays["policy_edge"][policy.edge : policy.edge + policy.edge_count].tolist()
    weights = arrays["policy_weight"][policy.edge : policy.edge + policy.edge_count].tolist()
    at = policy.level + cls * policy.edge_count
    levels = arrays["policy_level"][at : at + policy.edge_count].tolist()
    names = catalog.strings[policy.affinity].split(", ")
    states = steering.arrays["edge_state"].tolist()
    families = [steering.row(policy.row + cls, is_v6) for is_v6 in (False, True)]
    shares = [_shares(catalog, family, service, name) for family in families]
    found = []
    for row, weight, level in zip(rows, weights, levels, strict=True):
        state = EdgeStateRow._make(states[row])
        share_v4, share_v6 = (each.get(row, 0.0) for each in shares)
        excluded = ""
        if not share_v4 and not share_v6:
            excluded = _barred(catalog, row, weight, level, state, view) or _passed_over(
                row, level, state, service, families
            )
        found.append(
            Candidate(
                edge=catalog.edge_ids[row],
                level=-1 if level == layout.LEVEL_NEVER else level,
                level_name=_level_name(names, level),
                weight=weight,
                health_v4=_VERDICTS[state.verdict4],
                health_v6=_VERDICTS[state.verdict6],
                headroom_milli=state.headroom_milli,
                age_s=state.age_ms / 1000 if state.reported else None,
                share_v4=share_v4,
                share_v6=share_v6,
                excluded=excluded,
            )
        )
    return sorted(found, key=lambda each: (bool(each.excluded), each.level % 256, each.edge))


def _shares(catalog: Catalog, row: Row, service: ServiceRow, name: bytes) -> dict[int, float]:
    """The part of a class's clients that each edge gets, by edge row; of K answers each client takes one at random."""
    if not row.count:
        return {}
    edges, reciprocals = row.edges, row.reciprocals
    if service.spread:
        edges, reciprocals = draw.narrow(
            edges, row.levels, row.weights, reciprocals, catalog.edge_hashes, service.spread, name
        )
    return dict(zip(edges, draw.shares(reciprocals, service.answers), strict=True))


def _level_name(names: list[str], level: int) -> str:
    if level == layout.LEVEL_NEVER:
        return "none"
    return names[level] if names != ["nearest"] else f"nearest band {level}"


def _barred(catalog: Catalog, row: int, weight: int, level: int, state: EdgeStateRow, view: View) -> str:
    """Why an edge may not serve a class whatever the others do, in the order in which policy looks; empty if it may."""
    fence = catalog.strings[catalog.edges[row].fence].split()
    if not weight:
        return "weight 0"
    if fence and view.country not in fence:
        return f"fenced to {' '.join(fence)}"
    if level == layout.LEVEL_NEVER:
        return "no affinity level matches"
    if layout.VERDICT_DRAIN in (state.verdict4, state.verdict6):
        return "drained"
    if {state.verdict4, state.verdict6} <= {layout.VERDICT_DOWN, layout.VERDICT_ABSENT}:
        return "down"
    return ""


def _passed_over(row: int, level: int, state: EdgeStateRow, service: ServiceRow, families: list[Row]) -> str:
    """Why an edge that may serve gets nothing."""
    if any(row in family.edges for family in families):
        return f"spread: the name keeps {service.spread} others of its level"
    if any(level in family.levels and family.count == layout.STEERING_WIDTH for family in families):
        return f"a row holds {layout.STEERING_WIDTH} edges, and heavier ones of its level fill it"
    if any(family.flags & layout.ROW_FAIL_OPEN for family in families):
        return "failing open: edges that report come first"
    if not state.headroom_milli:
        return "no headroom"
    return "not needed: upper levels suffice"
