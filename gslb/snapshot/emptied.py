"""What an override would take away: clients left without a healthy edge, and classes of which it means a part.

Both are reasons to refuse it until a person insists. An override is looked at as it will be once all of it holds, with
health, load and the other overrides as they will be then if nothing else changes; a pin takes nothing from anybody.
"""

from __future__ import annotations

import dataclasses
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from gslb.model.names import to_text
from gslb.model.override import KIND_PIN, Override
from gslb.model.report import StoreState
from gslb.snapshot import layout, lookups, planning, steering
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.lookups import Mask
from gslb.snapshot.planning import Planned
from gslb.snapshot.steering import Steering

_SHOWN: Final = 3  # views that are named
_FAMILIES: Final = ("IPv4", "IPv6")


class Emptied(NamedTuple):
    """A service of which some clients would have no healthy edge: how many of its ``classes``, in which families, and
    the keys of a few views among them."""

    service: str
    classes: int
    families: tuple[str, ...]
    views: tuple[str, ...]

    def __str__(self) -> str:
        where = ", ".join(view if view != "||" else "unknown places" for view in self.views)
        more = " and others" if self.classes > len(self.views) else ""
        return f"{self.service} would have no healthy {' and '.join(self.families)} edge for clients of {where}{more}"


class Cut(NamedTuple):
    """A service that treats clients of ``views`` outside of the override's view as it does those inside of it."""

    service: str
    view: str
    views: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.service} tells {', '.join(self.views)} not from {self.view}: the override would act there too"


def check(catalog: Catalog, state: StoreState, wanted: Override, clock_ms: int) -> list[Emptied]:
    """The services that ``wanted`` would leave without a healthy edge for clients who have one without it.

    An edge that answers only because nothing is healthy does not count as one.
    """
    if wanted.kind == KIND_PIN:
        return []
    at_s = max(clock_ms // 1000, min(wanted.from_s + wanted.over_s, wanted.until_s - 1))
    others = {name: each for name, each in state.overrides.items() if name != wanted.id}
    planned = planning.resolve(catalog.arrays, state.plan) if state.plan is not None else None
    before = _steering(catalog, state, others, at_s, planned)
    after = _steering(catalog, state, {**others, wanted.id: wanted}, at_s, planned)
    lost_of: dict[tuple[int, int, int], npt.NDArray[np.bool_]] = {}
    found = []
    for number, service in enumerate(catalog.services):
        policy = catalog.policies[service.policy]
        key = (service.policy, before.first(number, policy.row), after.first(number, policy.row))
        if key not in lost_of:
            lost_of[key] = _healthy(before, key[1], policy.classes) & ~_healthy(after, key[2], policy.classes)
        if lost_of[key].any():
            found.append(_emptied(catalog, number, lost_of[key]))
    return found


def cut_views(catalog: Catalog, wanted: Override) -> list[Cut]:
    """The services for which the view of ``wanted`` is a part of what they treat alike."""
    pattern = wanted.target.view
    if not pattern:
        return []
    meant = lookups.views_like(catalog.arrays, pattern)
    views_of: dict[int, tuple[str, ...]] = {}
    found = []
    named = wanted.edges or tuple(_edges_of(catalog, wanted))
    for service in catalog.services:
        text = to_text(catalog.name_text(service.name))
        edges, _ = lookups.pool(catalog.arrays, service.policy)
        if wanted.target.service not in ("", text) or not {catalog.edge_ids[row] for row in edges} & set(named):
            continue
        if service.policy not in views_of:
            classes = lookups.classes_like(catalog.arrays, service.policy, pattern)
            of_view = lookups.view_classes(catalog.arrays, service.policy)
            views_of[service.policy] = _keys(catalog, np.flatnonzero(classes[of_view] & ~meant))
        if views := views_of[service.policy]:
            found.append(Cut(text, pattern, views))
    return found


def _edges_of(catalog: Catalog, wanted: Override) -> list[str]:
    if wanted.target.edge:
        return [wanted.target.edge]
    rows = np.flatnonzero(lookups.edges_of_pop(catalog.arrays, wanted.target.pop))
    return [catalog.edge_ids[row] for row in rows.tolist()]


def _steering(
    catalog: Catalog, state: StoreState, overrides: dict[str, Override], at_s: int, planned: Planned | None
) -> Steering:
    changed = dataclasses.replace(state, overrides=overrides)
    return Steering(steering.build(catalog.arrays, changed, at_s * 1000, planned))


def _healthy(steered: Steering, first: int, classes: int) -> Mask:
    """Which classes have edges not only because nothing is healthy, shape (classes, families)."""
    rows = slice(2 * first, 2 * (first + classes))
    count = steered.arrays["count"][rows].reshape(classes, 2)
    flags = steered.arrays["flags"][rows].reshape(classes, 2)
    found: Mask = (count > 0) & ((flags & layout.ROW_FAIL_OPEN) == 0)
    return found


def _emptied(catalog: Catalog, number: int, lost: Mask) -> Emptied:
    service = catalog.services[number]
    classes, families = (np.asarray(lost.any(axis=axis)) for axis in (1, 0))
    of_view = lookups.view_classes(catalog.arrays, service.policy)
    return Emptied(
        to_text(catalog.name_text(service.name)),
        int(classes.sum()),
        tuple(name for name, hit in zip(_FAMILIES, families.tolist(), strict=True) if hit),
        _keys(catalog, np.flatnonzero(classes[of_view])),
    )


def _keys(catalog: Catalog, views: npt.NDArray[np.intp]) -> tuple[str, ...]:
    """The keys of the first few of some views, without repetition."""
    found: dict[str, None] = {}
    for row in views.tolist():
        found[catalog.view(row).key] = None
        if len(found) == _SHOWN:
            break
    return tuple(found)
