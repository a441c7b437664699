"""May a plan count? What a server asks of one that arrives, before a single answer goes by it. Pure.

The store has looked at checksum and form already (`plan.published`). Here a plan is refused as a whole, and the former
one stays, where it is older than that one (unless that one was issued in the future: then the store's clock was set
back since), where it breaks a fence of this server's files, and where it moves too much at once. A row that names an
unknown edge is no reason: it is skipped alone (`snapshot.planning`).

**How much a plan moves** is counted against the plan that it was made upon, its *base*: of each row, the parts of its
weights that edges lose, times the row's demand, over the demand of all rows. Rows meet by the order in which views find
them: ``country|region|isp``, ``country||isp``, ``country||``. A row that the base had nothing for moves nothing, for
nobody knows what local policy gave there; a row of the base that nothing replaces moves wholly, with its own demand.
Where a plan tells of no demand, all rows count alike. What an edge loses that the plan names in ``forced`` is exempt,
wherever it goes, and all is where ``forced`` names every edge (an empty id).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from gslb.model.plan import PLAN_SUM, Plan, PlanRow, row_found
from gslb.snapshot import lookups
from gslb.snapshot.lookups import Arrays

MAX_SHIFT: Final = 0.30
"""The part of all demand that one plan may move without being forced to."""
AHEAD_MS: Final = 10_000
"""A plan that was issued further ahead of the store's clock than this is not waited for: any other may follow."""

# Reasons: the first three are faults that the store finds.
CHECKSUM: Final = "checksum"
UNREADABLE: Final = "unreadable"
SUMS: Final = "sums"
FENCE: Final = "fence"
SHIFT: Final = "shift"
OLDER: Final = "older"
REASONS: Final = (CHECKSUM, UNREADABLE, SUMS, FENCE, SHIFT, OLDER)

_ByService = Mapping[str, Mapping[tuple[str, str, str], PlanRow]]


class Refusal(NamedTuple):
    """Why a plan may not count: one of `REASONS`, and the same for people."""

    reason: str
    text: str


def judge(
    arrays: Arrays, plan: Plan, held: Plan | None, base: Plan | None, now_ms: int | None = None
) -> Refusal | None:
    """Why ``plan`` may not count for the catalog with these sections, or None where it may.

    ``held`` is the plan that this server goes by, ``base`` the one that ``plan`` was made upon, as far as the store has
    it (`reference` says which of the two counts). ``now_ms`` is the store's clock, where it is known. Takes time in
    proportion to rows.
    """
    ahead = held is not None and now_ms is not None and held.issued_at_ms > now_ms + AHEAD_MS
    if held is not None and plan.issued_at_ms < held.issued_at_ms and not ahead:
        late_s = (held.issued_at_ms - plan.issued_at_ms) / 1000
        return Refusal(OLDER, f"it was issued {late_s:.0f} s before {held.version}, which counts")
    if broken := _broken_fence(arrays, plan):
        return Refusal(FENCE, broken)
    against = reference(arrays, plan, held, base, now_ms)
    if against is not None and (moved := shift(plan, against)) > MAX_SHIFT:
        return Refusal(SHIFT, f"it moves {moved:.1%} of demand against {against.version}; at most {MAX_SHIFT:.0%} may")
    return None


def reference(
    arrays: Arrays, plan: Plan, held: Plan | None, base: Plan | None, now_ms: int | None = None
) -> Plan | None:
    """The plan against which moves are counted, None where nobody knows one.

    It is ``held`` where that is the base, or where the base is not to be had; and where the base itself was made upon
    ``held`` and may not count, so that those who saw it and those who did not agree. Else it is the base: a server that
    was away for long comes back so.
    """
    if base is None or base.version != plan.base:
        return held
    if held is None:
        return base
    if held.version == plan.base or (base.base == held.version and judge(arrays, base, held, None, now_ms) is not None):
        return held
    return base


def shift(plan: Plan, base: Plan) -> float:
    """The part of all demand that ``plan`` moves without being forced to, against ``base``; 0 to 1."""
    exempt = {each.edge for each in plan.forced}
    if "" in exempt or plan is base:
        return 0.0
    with_demand = all(not each.rows or any(row.demand_bps for row in each.rows) for each in (plan, base))
    moved = whole = 0.0
    for demand_bps, before, after in _met(plan, base):
        demand = demand_bps if with_demand else 1
        whole += demand
        if demand and before is not None and (after is None or after.primaries != before.primaries):
            moved += demand * _lost(before, after, exempt)
    return moved / PLAN_SUM / whole if whole else 0.0


def _met(plan: Plan, base: Plan) -> Iterator[tuple[int, PlanRow | None, PlanRow | None]]:
    """Demand, row of the base and row of the plan, for all keys of either."""
    ours, theirs = plan.by_service(), base.by_service()
    for row in plan.rows:
        yield row.demand_bps, _found(theirs, row), row
    for row in base.rows:
        if (row.country, row.region, row.isp) not in ours.get(row.service, {}):
            yield row.demand_bps, row, _found(ours, row)


def _found(rows: _ByService, wanted: PlanRow) -> PlanRow | None:
    """The row by which clients go that ``wanted`` is for."""
    return row_found(rows.get(wanted.service, {}), (wanted.country, wanted.region, wanted.isp))


def _lost(before: PlanRow, after: PlanRow | None, exempt: set[str]) -> int:
    """What edges that are not exempt lose, of `PLAN_SUM`."""
    left = dict(after.primaries) if after is not None else {}
    return sum(max(0, weight - left.get(edge, 0)) for edge, weight in before.primaries if edge not in exempt)


def _broken_fence(arrays: Arrays, plan: Plan) -> str:
    """What tells of the first row that names an edge behind a fence; empty where none does."""
    fences = {
        edge: frozenset(lookups.text(arrays, row).split())
        for edge, row in zip(lookups.edge_ids(arrays), arrays["edge"]["fence"].tolist(), strict=True)
        if row
    }
    if not fences:
        return ""
    for row in plan.rows:
        for edge in (*(edge for edge, _ in row.primaries), *row.backups):
            if edge in fences and row.country not in fences[edge]:
                view = f"{row.country}|{row.region}|{row.isp}"
                return f"edge {edge}, fenced to {' '.join(sorted(fences[edge]))}, is given to {view} of {row.service}"
    return ""
