"""What explanations tell of plans: which version decides for a class, or why none does, and the limits that bind."""

from __future__ import annotations

from typing import Final

import msgspec

from gslb.answer.candidates import is_planned
from gslb.model.plan import PLAN_SUM
from gslb.snapshot import layout, telling
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.steering import Steering
from gslb.snapshot.telling import Told

MAX_CAPS: Final = 8
"""Limits that are told of one class, those of the highest price."""


class Cap(msgspec.Struct, frozen=True):
    """A limit that holds back what the plan would give an edge of the row. ``kind`` is edge, pop, region or network;
    ``price`` what one Mbps more of it would save, per Mbps·month."""

    kind: str
    name: str
    capacity_bps: int
    price: float

    def line(self) -> str:
        """The same for people."""
        what = f"{self.kind} {self.name}".rstrip()
        return f"cap {what}, {self.capacity_bps / 10**9:.6g} Gbps, binds: one Mbps more would save {self.price:.4g}"


class PlanRowTold(msgspec.Struct, frozen=True):
    """The plan's row for a class. ``key`` is ``country|region|isp``, empty where no row can be used; ``skipped`` says
    why the one that is meant first cannot be."""

    key: str = ""
    primaries: dict[str, int] = {}
    backups: list[str] = []
    skipped: str = ""

    def line(self) -> str:
        """The same for people."""
        skipped = f"; one that comes first is skipped: {self.skipped}" if self.skipped else ""
        if not self.key:
            return f"plan row skipped: {self.skipped}"
        shares = ", ".join(f"{edge} {weight / PLAN_SUM:.1%}" for edge, weight in self.primaries.items())
        backups = f", backups {', '.join(self.backups)}" if self.backups else ""
        return f"plan row {self.key}: {shares}{backups}{skipped}"


def told_of(catalog: Catalog, steering: Steering, number: int, cls: int) -> Told:
    """What the plan in use says of a class of a service, by its row."""
    service = catalog.services[number]
    if not service.flags & layout.SERVICE_DISPATCH or not steering.note.get("plan"):
        return Told()
    return telling.of_class(steering.told, service.policy, cls)


def row_of(catalog: Catalog, told: Told) -> PlanRowTold | None:
    """The same by the ids of edges; None where there is nothing to say."""
    if not told.key and not told.skipped:
        return None
    ids = catalog.edge_ids
    primaries = {ids[row]: weight for row, weight in told.primaries.items()}
    return PlanRowTold(told.key, primaries, [ids[row] for row in told.backups], told.skipped)


def caps_of(catalog: Catalog, steering: Steering, told: Told) -> list[Cap]:
    """The limits that bind the edges of a row, their PoPs, the network, and any region: which PoPs are in one, only
    dispatch knows. The highest price first."""
    if not told.key:
        return []
    rows = [*told.primaries, *told.backups]
    edges = {catalog.edge_ids[row] for row in rows}
    pops = {catalog.strings[catalog.edges[row].pop] for row in rows}
    return [
        Cap(*each)
        for each in telling.caps(steering.told)
        if {"edge": each.name in edges, "pop": each.name in pops}.get(each.kind, True)
    ][:MAX_CAPS]


def plan_of(catalog: Catalog, steering: Steering, number: int, cls: int, told: Told) -> str:
    """The version of the plan that decides for a class of a service, and how far it has faded; else none, with the
    reason where there is one."""
    service, note = catalog.services[number], steering.note
    first = steering.first(number, catalog.policies[service.policy].row)
    version = str(note.get("plan", ""))
    families = [steering.row(first + cls, is_v6) for is_v6 in (False, True)]
    if is_planned(families):
        faded = float(note.get("faded", 0.0))
        return f"{version}, fading: {faded * 100:.0f} % local" if faded else version
    if not service.flags & layout.SERVICE_DISPATCH:
        return "none"
    if not version:
        return f"none ({note['inactive']})" if note.get("inactive") else "none"
    if any(family.flags & layout.ROW_PINNED for family in families):
        return f"none (a pin comes before {version})"
    if told.key:
        return f"none (less than half of the weight of {version}'s row is left)"
    return f"none ({version} has no row to go by here)"


def refused_of(catalog: Catalog, steering: Steering, number: int) -> str:
    """Which newer plan may not count, and why; of a service that goes by plans."""
    is_dispatched = catalog.services[number].flags & layout.SERVICE_DISPATCH
    return str(steering.note.get("refused", "")) if is_dispatched else ""
