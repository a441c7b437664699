"""Published plans as rows: resolved against a catalog once, weighed with every steering.

A plan speaks for services with ``dispatch: true``, which have policies of their own. A class finds its plan row by
``country|region|isp``, then ``country||isp``, then ``country||``. A row that names an edge which is unknown, not of the
service's pool, of weight 0 there, or fenced off from the class cannot be used: it counts as not there, and is told.

**Fading.** A plan acts in full up to its ``hold_until_ms``, then passes into local policy within `BLEND_S` seconds:
each `STEP_S` seconds of the store's clock a sixtieth of every row's weight more is local policy's
(`weighing.blended`). So all servers take the same steps at the same times.

**Weighing.** A primary that is down, drained or without an address of the family is dead: its weight goes to the first
of the row's backups that lives and has headroom. Headroom acts from 95 % to 105 % of capacity (`headroom.PLANNED`),
ramps as ever. Where less than half of the row's weight is left, local policy decides. The edges that a row *looks at*
are its primaries with weight and, where one of them is dead, the backups up to the one that inherits: a transition of
any of them makes TTLs short, also of one that gets nothing now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from gslb.model.plan import Plan, PlanRow
from gslb.policy import headroom
from gslb.snapshot import layout, lookups, telling
from gslb.snapshot.layout import STEERING_WIDTH
from gslb.snapshot.lookups import Arrays

I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MILLION: Final = 1_000_000
BLEND_S: Final = 600
"""For how long a plan fades after its ``hold_until_ms``."""
STEP_S: Final = 10
STEPS: Final = BLEND_S // STEP_S
"""Steps of fading; after the last, local policy is alone."""
_COLUMNS: Final = ("country", "region", "isp")
_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class PlannedPolicy:
    """The plan rows of one policy. ``row_of_class`` is a row of the tables, -1 where the class has none.

    ``primary`` and ``backup``, shape (rows, 16), are positions in the pool, -1 past the end; ``weight`` are those of
    the primaries. ``names`` are the rows' keys, ``costs`` those of the primaries and then of the backups, where known.
    ``skipped_of_class`` is the position in ``reasons``, plus 1, why the row that a class would go by first cannot be
    used; 0 where there is none.
    """

    row_of_class: I64
    primary: I64
    weight: I64
    backup: I64
    names: tuple[str, ...]
    costs: tuple[tuple[float, ...], ...] = ()
    skipped_of_class: I64 = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, resolved: what it says of each policy that it speaks of, and how many of its rows cannot be used.

    ``told`` is the same for explanations, as `snapshot.telling` writes it.
    """

    plan: Plan
    policies: Mapping[int, PlannedPolicy]
    skipped: int
    told: bytes = b""


def faded(plan: Plan, now_ms: int) -> int:
    """How many sixtieths (`STEPS`) of each row are local policy's at this time of the store's clock: none while the
    plan holds, all before it begins and once it has faded."""
    if now_ms < plan.effective_at_ms:
        return STEPS
    return min(STEPS, max(0, now_ms - plan.hold_until_ms) // (STEP_S * 1000))


def next_step_ms(plan: Plan, now_ms: int) -> int | None:
    """The time of the store's clock after ``now_ms`` at which a plan begins, begins to fade or fades on; or None."""
    if now_ms < plan.effective_at_ms:
        return plan.effective_at_ms
    if now_ms < plan.hold_until_ms:
        return plan.hold_until_ms
    passed = (now_ms - plan.hold_until_ms) // (STEP_S * 1000)
    return plan.hold_until_ms + (passed + 1) * STEP_S * 1000 if passed < STEPS else None


def resolve(arrays: Arrays, plan: Plan) -> Planned:
    """Look up what a plan names, for the catalog with these sections. Takes time in proportion to rows and classes."""
    by_service: dict[str, dict[_Key, PlanRow]] = {}
    for row in plan.rows:
        by_service.setdefault(row.service, {})[row.country, row.region, row.isp] = row
    found: dict[int, PlannedPolicy] = {}
    skipped = 0
    services = lookups.service_rows(arrays, by_service)
    ids = lookups.edge_ids(arrays)
    keys: dict[int, list[_Key]] = {}
    for name, rows in by_service.items():
        service = services[name]
        if service < 0 or not arrays["service"]["flags"][service] & layout.SERVICE_DISPATCH:
            skipped += len(rows)
            continue
        policy = int(arrays["service"]["policy"][service])
        geometry = int(arrays["policy"]["geometry"][policy])
        if geometry not in keys:
            keys[geometry] = _keys(arrays, policy)
        found[policy], unusable = _policy(arrays, policy, rows, ids, keys[geometry])
        skipped += unusable
    return Planned(plan, found, skipped, telling.written(arrays, plan, found))


def _policy(
    arrays: Arrays, policy: int, rows: Mapping[_Key, PlanRow], ids: Sequence[str], keys: Sequence[_Key]
) -> tuple[PlannedPolicy, int]:
    """The rows of one policy, and how many of them cannot be used; ``keys`` are those of its classes."""
    edges, weights = lookups.pool(arrays, policy)
    members = {ids[row]: at for at, row in enumerate(edges.tolist())}
    fences = [lookups.text(arrays, row).split() for row in arrays["edge"]["fence"][edges].tolist()]
    weighty = (weights > 0).tolist()
    known = frozenset(ids)
    kept: dict[_Key, int] = {}
    skipped: dict[_Key, int] = {}
    reasons: dict[str, int] = {}
    tables: list[tuple[list[int], list[int], list[int]]] = []
    costs = []
    for key, row in rows.items():
        primaries = [members.get(edge, -1) for edge, _ in row.primaries]
        backups = [members.get(edge, -1) for edge in row.backups]
        used = [*primaries, *backups]
        country = key[0]
        if not primaries or any(at < 0 or not weighty[at] or (fences[at] and country not in fences[at]) for at in used):
            why = _unusable(row, used, known, weighty)
            skipped[key] = reasons.setdefault(why, len(reasons) + 1)
            continue
        kept[key] = len(tables)
        tables.append((primaries, [weight for _, weight in row.primaries], backups))
        costs.append(row.costs)
    primary, weight, backup = (
        np.array([_padded(row[column], filler) for row in tables], dtype=np.int64).reshape(len(tables), STEERING_WIDTH)
        for column, filler in ((0, -1), (1, 0), (2, -1))
    )
    found = PlannedPolicy(
        row_of_class=_of_class(keys, kept, -1),
        primary=primary,
        weight=weight,
        backup=backup,
        names=tuple("|".join(key) for key in kept),
        costs=tuple(costs),
        skipped_of_class=_of_class(keys, dict.fromkeys(kept, 0) | skipped, 0),
        reasons=tuple(reasons),
    )
    return found, len(skipped)


def _unusable(row: PlanRow, used: Sequence[int], known: frozenset[str], weighty: Sequence[bool]) -> str:
    """Why a row cannot be used; ``used`` are the positions in the pool of the edges that it names, -1 of others."""
    for edge, at in zip([*(edge for edge, _ in row.primaries), *row.backups], used, strict=True):
        if edge not in known:
            return f"edge {edge} is unknown"
        if at < 0:
            return f"edge {edge} is not in the pool"
        if not weighty[at]:
            return f"edge {edge} has weight 0"
    return "it breaks a fence" if used else "it names no edge"


def _keys(arrays: Arrays, policy: int) -> list[_Key]:
    """Country, region and ISP of each class. Classes of a dispatched service have one of each: their first view's."""
    _, first = np.unique(lookups.view_classes(arrays, policy), return_index=True)
    columns = [arrays["view"][column][first] for column in _COLUMNS]
    texts = {int(row): lookups.text(arrays, int(row)) for column in columns for row in np.unique(column)}
    country, region, isp = ([texts[row] for row in column.tolist()] for column in columns)
    return list(zip(country, region, isp, strict=True))


def _of_class(keys: Sequence[_Key], values: Mapping[_Key, int], filler: int) -> I64:
    """What each class finds by its key."""
    found = [
        values.get((country, region, isp), values.get((country, "", isp), values.get((country, "", ""), filler)))
        for country, region, isp in keys
    ]
    return np.array(found, dtype=np.int64)


class Weighed(NamedTuple):
    """What a plan makes of some classes, shape (classes, edges) and (classes,).

    ``weight`` are those of the pool's edges, 0 where the plan does not decide; ``looked_at`` are the edges on which the
    row depends, also where local policy decides in its place; ``decided`` tells which classes go by the plan.
    """

    weight: I64
    looked_at: Mask
    decided: Mask


def weigh(rows: PlannedPolicy, classes: npt.NDArray[Any], keep: I64, living: Mask) -> Weighed:
    """Weigh the plan rows of some classes.

    ``keep`` tells of each edge how many millionths of a plan's weight it keeps, 0 of one that is dead or full.
    """
    row = rows.row_of_class[classes]
    there = row >= 0
    weights = np.zeros((len(row), len(keep)), dtype=np.int64)
    looked_at = np.zeros(weights.shape, dtype=np.bool_)
    if not there.any():
        return Weighed(weights, looked_at, there)
    used, of_class = np.unique(row[there], return_inverse=True)
    of_class = of_class.reshape(-1)
    primary, weight, backup = rows.primary[used], rows.weight[used] * headroom.WEIGHT_SCALE, rows.backup[used]
    dead = (primary >= 0) & ~living[primary]
    heir_ok = (backup >= 0) & living[backup] & (keep[backup] > 0)
    has_heir = heir_ok.any(axis=1)
    heir_at = np.where(has_heir, heir_ok.argmax(axis=1), STEERING_WIDTH)
    heir = np.take_along_axis(backup, np.minimum(heir_at, STEERING_WIDTH - 1)[:, None], 1)[:, 0]
    shared = np.zeros((len(used), len(keep)), dtype=np.int64)
    at = np.arange(len(used))[:, None]
    np.add.at(shared, (at, np.where(primary >= 0, primary, 0)), np.where((primary >= 0) & ~dead, weight, 0))
    inherited = np.where(dead, weight, 0).sum(axis=1)
    np.add.at(shared, (np.flatnonzero(has_heir), heir[has_heir]), inherited[has_heir])
    left = np.where((shared > 0) & (keep > 0), np.maximum(shared * keep // MILLION, 1), 0)
    enough = 2 * left.sum(axis=1) >= weight.sum(axis=1)
    asked = (backup >= 0) & (np.arange(STEERING_WIDTH) <= heir_at[:, None]) & (inherited > 0)[:, None]
    looks = np.zeros(shared.shape, dtype=np.bool_)
    for columns, meant in ((primary, (primary >= 0) & (weight > 0)), (backup, asked)):
        of_row, column = np.nonzero(meant)
        looks[of_row, columns[of_row, column]] = True
    decided = there.copy()
    decided[there] = enough[of_class]
    weights[decided] = left[of_class[enough[of_class]]]
    looked_at[there] = looks[of_class]
    return Weighed(weights, looked_at, decided)


def _padded(values: list[int], filler: int) -> list[int]:
    return [*values, *[filler] * (STEERING_WIDTH - len(values))]
