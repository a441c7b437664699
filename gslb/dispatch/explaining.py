"""Why a client gets what a plan says: its view, the row, the costs of edges, and the limits that hold them back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gslb.dispatch.network import Network
from gslb.dispatch.routes import routes
from gslb.errors import GslbError
from gslb.geo.view import locate
from gslb.model.intent import NEAREST
from gslb.model.plan import PLAN_SUM, BindingCap, Forced, Plan, PlanRow, row_found
from gslb.model.view import View
from gslb.policy.affinity import NEVER


@dataclass(frozen=True, slots=True)
class Candidate:
    """An edge of the pool, as the files have it now: its affinity level, round trip in ms, cost per Mbps·month;
    ``share`` of the row (0 to 1), ``backup`` its place among the backups, 0 none."""

    edge: str
    pop: str
    level: str
    rtt_ms: float
    cost: float
    share: float
    backup: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """All of it. ``row`` is None where the plan has none for the view and local policy decides; ``caps`` are the limits
    that concern the row's edges, ``forced`` the moves off edges of the pool."""

    service: str
    client: str
    view: View
    private: bool
    version: str
    row: PlanRow | None
    candidates: tuple[Candidate, ...]
    caps: tuple[BindingCap, ...]
    forced: tuple[Forced, ...]


def explain(network: Network, plan: Plan, service: str, packed: bytes, length: int, client: str) -> Explanation:
    """Explain what ``plan`` says for clients of a prefix. Raises `GslbError` for a service that is not planned."""
    planned = network.planned.get(service)
    if planned is None:
        known = ", ".join(sorted(network.planned)) or "none is"
        told = "is not planned" if service in network.services else "is no service"
        raise GslbError(f"{service} {told}; planned: {known}")
    found = locate(network.layers, packed, length)
    view = found.view
    row = row_of(plan, service, view)
    known_routes = routes(network, planned, [(view.country, view.region, view.isp)])
    shares = dict(row.primaries) if row is not None else {}
    backups = row.backups if row is not None else ()
    candidates = [
        Candidate(
            edge=network.edges[at].id,
            pop=network.edges[at].pop,
            level=_level(planned.service.affinity, int(level)),
            rtt_ms=round(float(known_routes.rtt_ms[0, column]), 3),
            cost=round(float(known_routes.cost[0, column]), 6),
            share=shares.get(network.edges[at].id, 0) / PLAN_SUM,
            backup=backups.index(network.edges[at].id) + 1 if network.edges[at].id in backups else 0,
        )
        for column, (at, level) in enumerate(zip(planned.edges, known_routes.level[0].tolist(), strict=True))
        if level != NEVER
    ]
    candidates.sort(key=lambda each: (-each.share, each.backup or 99, each.cost, each.edge))
    named = {*shares, *backups} if row is not None else {one.edge for one in candidates}
    pops = {each.pop for each in candidates if each.edge in named}
    regions = {name for name, each in network.rules.regions.items() if pops & set(each.pops)}
    caps = tuple(
        cap
        for cap in plan.caps
        if cap.kind == "network" or cap.name in {"edge": named, "pop": pops, "region": regions}.get(cap.kind, ())
    )
    pool = {network.edges[at].id for at in planned.edges}
    forced = tuple(each for each in plan.forced if not each.edge or each.edge in pool)
    return Explanation(
        service, client, view, bool(found.private_length), plan.version, row, tuple(candidates), caps, forced
    )


def _level(affinity: Sequence[str], level: int) -> str:
    return f"band {level}" if tuple(affinity) == (NEAREST,) else affinity[level]


def row_of(plan: Plan, service: str, view: View) -> PlanRow | None:
    """The row by which clients of a view go."""
    return row_found(plan.by_service().get(service, {}), (view.country, view.region, view.isp))
