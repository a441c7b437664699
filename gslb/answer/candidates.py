"""The edges of a pool as one class of clients sees them, for explanations: what each gets, and why some get nothing."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gslb.health.override import time_text
from gslb.model.names import to_text
from gslb.model.override import KIND_DRAIN, KIND_PIN
from gslb.model.plan import PLAN_SUM
from gslb.model.view import View
from gslb.policy import draw
from gslb.snapshot import layout, lookups
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.rows import EdgeStateRow, ServiceRow
from gslb.snapshot.steering import Row, Steering
from gslb.snapshot.telling import Told

_FULL_MILLI: Final = 1000

_VERDICTS = {
    layout.VERDICT_UP: "up",
    layout.VERDICT_UNKNOWN: "silent",
    layout.VERDICT_DOWN: "down",
    layout.VERDICT_DRAIN: "drained",
    layout.VERDICT_ABSENT: "none",
}


class Candidate(msgspec.Struct, frozen=True):
    """One edge of the service's pool as one client's class sees it.

    ``level`` is a position in the affinity list, -1 where none matches. ``ramp_milli`` is what slow start and overrides
    leave of its weight here, ``overrides`` are the ids of those that concern it. ``share_v4`` and ``share_v6`` are the
    parts, 0 to 1, of the class's clients that it gets; ``excluded`` says why it gets none, else it is empty.
    ``planned`` is the part that the plan's row gives it, 0 as a backup and None where the row does not name it;
    ``cost`` what the plan was made with, per Mbps·month.
    """

    edge: str
    level: int
    level_name: str
    weight: int
    health_v4: str
    health_v6: str
    headroom_milli: int
    ramp_milli: int
    overrides: list[str]
    age_s: float | None
    share_v4: float
    share_v6: float
    excluded: str
    planned: float | None = None
    cost: float | None = None

    def line(self) -> str:
        """The same for people."""
        age = "never reported" if self.age_s is None else f"report {self.age_s:.1f} s old"
        ramp = f" ramp {self.ramp_milli / 10:.1f} %," if self.ramp_milli != _FULL_MILLI else ""
        ordered = f" override {' '.join(self.overrides)}," if self.overrides else ""
        facts = (
            f"{self.level_name}, weight {self.weight}, v4 {self.health_v4}, v6 {self.health_v6},"
            f" headroom {self.headroom_milli / 10:.1f} %,{ramp}{ordered}{self._planned()} {age}"
        )
        if self.excluded:
            return f"not {self.edge}: {self.excluded} ({facts})"
        return f"edge {self.edge}: A {self.share_v4:.1%}, AAAA {self.share_v6:.1%} ({facts})"

    def _planned(self) -> str:
        """What the plan says of it."""
        cost = f" at cost {self.cost:.4g}" if self.cost is not None else ""
        if self.planned is None:
            return ""
        return f" plan {self.planned * 100:.1f} %{cost}," if self.planned else f" backup{cost},"


class Concerned(msgspec.Struct, frozen=True):
    """An override that acts, or is near, on edges of a service for one client's class."""

    id: str
    kind: str
    edges: list[str]
    limited: bool
    factor_milli: int
    from_s: int
    until_s: int
    author: str
    reason: str

    def line(self) -> str:
        """The same for people."""
        what = f"{self.kind} of {' '.join(self.edges)}"
        if self.kind == KIND_PIN:
            what = f"pin to {' '.join(self.edges)}"
        elif self.kind != KIND_DRAIN or 0 < self.factor_milli < _FULL_MILLI:
            what += f", {self.factor_milli / 10:.1f} % of weight left"
        by = f", by {self.author}" if self.author else ""
        return f"override {self.id}: {what}, until {time_text(self.until_s)}{by}: {self.reason}"


def concerned_by(catalog: Catalog, steering: Steering, number: int, cls: int) -> list[Concerned]:
    """The overrides that concern a service, by its row, for one class, by id."""
    service = catalog.services[number]
    name = to_text(catalog.name_text(service.name))
    edges, _ = lookups.pool(catalog.arrays, service.policy)
    members = {catalog.edge_ids[row] for row in edges.tolist()}
    found = []
    for note in steering.note.get("overrides", ()):
        meant = [edge for edge in note["edges"] if edge in members]
        if note["service"] not in ("", name) or not meant:
            continue
        if note["view"] and not lookups.classes_like(catalog.arrays, service.policy, note["view"])[cls]:
            continue
        limited = bool(note["service"] or note["view"])
        told: dict[str, Any] = {
            key: note[key] for key in ("id", "kind", "factor_milli", "from_s", "until_s", "author", "reason")
        }
        found.append(Concerned(edges=meant, limited=limited, **told))
    return found


def candidates_of(
    catalog: Catalog,
    steering: Steering,
    number: int,
    name: bytes,
    cls: int,
    view: View,
    concerned: list[Concerned],
    planned: Told,
) -> list[Candidate]:
    """Every edge of the pool of a service, by its row, those that serve first, by level; ``planned`` is what the plan
    in use says of the class."""
    service = catalog.services[number]
    policy = catalog.policies[service.policy]
    arrays = catalog.arrays
    rows, weights = (column.tolist() for column in lookups.pool(arrays, service.policy))
    at = policy.level + cls * policy.edge_count
    levels = arrays["policy_level"][at : at + policy.edge_count].tolist()
    names = catalog.strings[policy.affinity].split(", ")
    states = steering.arrays["edge_state"].tolist()
    first = steering.first(number, policy.row)
    families = [steering.row(first + cls, is_v6) for is_v6 in (False, True)]
    shares = [_shares(catalog, family, service, name) for family in families]
    found = []
    for row, weight, level in zip(rows, weights, levels, strict=True):
        state = EdgeStateRow._make(states[row])
        share_v4, share_v6 = (each.get(row, 0.0) for each in shares)
        ours = [each for each in concerned if catalog.edge_ids[row] in each.edges]
        ramp_milli = _ramp_milli(state, ours)
        excluded = ""
        if not share_v4 and not share_v6:
            excluded = (
                _barred(catalog, row, weight, state, view, ours)
                or _ordered_away(row, state, families, steering, concerned, planned)
                or ("no affinity level matches" if level == layout.LEVEL_NEVER else "")
                or _passed_over(row, level, state, ramp_milli, service, families)
            )
        found.append(
            Candidate(
                edge=catalog.edge_ids[row],
                level=-1 if level == layout.LEVEL_NEVER else level,
                level_name=_level_name(names, level),
                weight=weight,
                health_v4=_VERDICTS[state.verdict4],
                health_v6=_VERDICTS[state.verdict6],
                headroom_milli=state.planned_milli if is_planned(families) else state.headroom_milli,
                ramp_milli=ramp_milli,
                overrides=[each.id for each in ours],
                age_s=state.age_ms / 1000 if state.reported else None,
                share_v4=share_v4,
                share_v6=share_v6,
                excluded=excluded,
                planned=_part(planned, row),
                cost=planned.costs.get(row),
            )
        )
    return sorted(found, key=lambda each: (bool(each.excluded), each.level % 256, each.edge))


def _part(planned: Told, row: int) -> float | None:
    """What a plan's row gives an edge, by its own row."""
    if row in planned.primaries:
        return planned.primaries[row] / PLAN_SUM
    return 0.0 if row in planned.backups else None


def is_planned(families: list[Row]) -> bool:
    """Whether a plan gives the weights in a family at least."""
    return any(family.flags & layout.ROW_PLANNED for family in families)


def _ramp_milli(state: EdgeStateRow, ours: list[Concerned]) -> int:
    """What is left after overrides everywhere, which are part of the edge's state, and those limited to here."""
    ramp = state.ramp_milli
    for each in ours:
        if each.limited and each.kind != KIND_PIN:
            ramp = ramp * each.factor_milli // _FULL_MILLI
    return ramp


def _ordered_away(
    row: int, state: EdgeStateRow, families: list[Row], steering: Steering, concerned: list[Concerned], planned: Told
) -> str:
    """Whether a pin or the plan gives the class to others."""
    if any(family.flags & layout.ROW_PINNED for family in families):
        clock_s = steering.made_ms // 1000
        pins = [each for each in concerned if each.kind == KIND_PIN and each.from_s <= clock_s < each.until_s]
        return f"{max(pins, key=lambda each: (each.from_s, each.id)).id} pins others"
    if not is_planned(families) or any(row in family.edges for family in families):
        return ""
    if planned.primaries.get(row) and not state.planned_milli:
        return "no headroom"
    others = " and local policy give" if steering.note["faded"] else " gives"
    return f"plan {steering.note['plan']}{others} it nothing{', a backup' * (row in planned.backups)}"


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


def _barred(catalog: Catalog, row: int, weight: int, state: EdgeStateRow, view: View, ours: list[Concerned]) -> str:
    """Why an edge may not serve a class whatever the others do, in the order in which policy looks; empty if it may."""
    fence = catalog.strings[catalog.edges[row].fence].split()
    if not weight:
        return "weight 0"
    if fence and view.country not in fence:
        return f"fenced to {' '.join(fence)}"
    if drains := [each.id for each in ours if each.kind != KIND_PIN and not each.factor_milli]:
        return f"drained by {' and '.join(drains)}"
    if layout.VERDICT_DRAIN in (state.verdict4, state.verdict6):
        return "drained"
    if {state.verdict4, state.verdict6} <= {layout.VERDICT_DOWN, layout.VERDICT_ABSENT}:
        return "down"
    return ""


def _passed_over(
    row: int, level: int, state: EdgeStateRow, ramp_milli: int, service: ServiceRow, families: list[Row]
) -> str:
    """Why an edge that may serve gets nothing."""
    if any(row in family.edges for family in families):
        return f"spread: the name keeps {service.spread} others of its level"
    fails_open = any(family.flags & layout.ROW_FAIL_OPEN for family in families)
    if not fails_open and not (ramp_milli and state.headroom_milli):
        return "no headroom" if ramp_milli else "overrides leave it no weight"
    if any(level in family.levels and family.count == layout.STEERING_WIDTH for family in families):
        return f"a row holds {layout.STEERING_WIDTH} edges, and heavier ones of its level fill it"
    if fails_open:
        return "failing open: edges that report come first"
    if any(last > level for family in families for last in family.levels):
        return "no room: its level has no bits to spare"
    return "not needed: upper levels suffice"
