"""Which published plan counts: the store's, once it has been looked at, else the one that counted before.

What is decided stands in `Counting`; it is made anew where the store or the files bring something else, in a thread,
since a large plan takes a second. A plan that is not to begin yet leaves the former in force until then. A plan that
vanishes from the store holds and fades like one whose dispatcher is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from gslb.model.plan import Plan
from gslb.model.report import StoreState
from gslb.plan.published import is_version
from gslb.server.status import RefusedPlan
from gslb.snapshot import acceptance, planning
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.planning import Planned

REMEMBERED: Final = 64
"""Versions of refused plans that are remembered: nothing is measured against them."""

_KEY: Final = ":plan:"  # in the keys of plans that the store cannot read


class Counting(NamedTuple):
    """What counts with a catalog: the plan that was accepted last, and the one before it while that one has not begun.

    ``seen`` and ``base`` are the store's plan and its base that were looked at, ``refused`` why the former may not
    count. ``turned_down`` are versions that were refused: what was made upon one of them is measured against what
    counts, else the third of three bad plans would pass as being like the second.
    """

    catalog: Catalog | None = None
    newest: Planned | None = None
    former: Planned | None = None
    seen: Plan | None = None
    base: Plan | None = None
    refused: RefusedPlan | None = None
    turned_down: tuple[str, ...] = ()

    def at(self, now_ms: int) -> Planned | None:
        """What counts at a time of the store's clock."""
        return self.former if self.due_ms(now_ms) is not None else self.newest

    def due_ms(self, now_ms: int) -> int | None:
        """When another counts, on the store's clock."""
        if self.former is None or self.newest is None or now_ms >= self.newest.plan.effective_at_ms:
            return None
        return self.newest.plan.effective_at_ms

    def is_for(self, catalog: Catalog, state: StoreState) -> bool:
        """Whether nothing has come that was not looked at."""
        same = self.catalog is catalog and self.seen is state.plan
        return same and (self.refused is None or self.base is state.plan_base)


def held(plan: Plan | None) -> Counting:
    """What counted when the server last ran."""
    return Counting(newest=Planned(plan, {}, 0) if plan is not None else None)


def looked_at(before: Counting, catalog: Catalog, state: StoreState, now_ms: int) -> Counting:
    """What counts now; ``now_ms`` is the store's clock. Takes time in proportion to the rows of plans."""
    arrays, plan = catalog.arrays, state.plan
    newest, former = before.newest, before.former if before.due_ms(now_ms) is not None else None
    if catalog is not before.catalog:
        newest, former = (each and planning.resolve(arrays, each.plan) for each in (newest, former))
    refused = None
    turned_down = before.turned_down
    if plan is not None and (newest is None or plan != newest.plan):
        reached = newest.plan if newest is not None and not _has_faded(newest.plan, now_ms) else None
        turned_down = tuple(version for version in turned_down if version != plan.version)
        base = state.plan_base if plan.base not in turned_down else None
        if refusal := acceptance.judge(arrays, plan, reached, base, now_ms):
            refused = RefusedPlan(plan.version, *refusal)
            turned_down = (*turned_down, plan.version)[-REMEMBERED:]
        else:
            acting = former or newest
            newest, former = planning.resolve(arrays, plan), acting if now_ms < plan.effective_at_ms else None
    return Counting(catalog, newest, former, plan, state.plan_base, refused, turned_down)


def unreadable(faults: Mapping[str, str]) -> list[RefusedPlan]:
    """Plans that the store cannot read, of what it cannot read: key → why."""
    found = []
    for key, why in faults.items():
        if _KEY in key:
            version = key.partition(_KEY)[2]
            found.append(RefusedPlan(version if is_version(version) else "", _reason(why), why))
    return found


class Refusals:
    """Counts the plans that are refused, each once, and tells of each once. ``counts`` are by reason, ``now`` are those
    that are refused now."""

    def __init__(self, log: Any) -> None:
        self.counts = dict.fromkeys(acceptance.REASONS, 0)
        self.now: tuple[RefusedPlan, ...] = ()
        self._log = log

    def note(self, faults: Mapping[str, str], refused: RefusedPlan | None) -> None:
        """What is refused now."""
        found = unreadable(faults)
        found += [refused] if refused is not None else []
        known = {(each.version, each.reason) for each in self.now}
        for each in found:
            if (each.version, each.reason) not in known:
                self.counts[each.reason] += 1
                self._log.warning("a plan is refused; the former holds", version=each.version, reason=str(each))
        self.now = tuple(found)

    def told(self) -> str:
        """The same for explanations."""
        return "; ".join(f"{each.version} refused: {each}" for each in self.now)


def _has_faded(plan: Plan, now_ms: int) -> bool:
    return now_ms >= plan.effective_at_ms and planning.faded(plan, now_ms) == planning.STEPS


def _reason(why: str) -> str:
    """The reason that a fault of the store comes to."""
    if "sha256: " in why:
        return acceptance.CHECKSUM
    return acceptance.SUMS if ".weights: sum to " in why else acceptance.UNREADABLE
