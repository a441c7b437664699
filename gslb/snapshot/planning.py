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
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from gslb.model.plan import Plan, PlanRow, row_found
from gslb.policy import headroom
from gslb.snapshot import layout, lookups, telling
from gslb.snapshot.lookups import Arrays
from gslb.snapshot.resolved import PlannedPolicy

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
    by_service = plan.by_service()
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
    for key, row in sorted(rows.items()):  # in whatever order the plan tells them
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
        _table([row[column] for row in tables], filler) for column, filler in ((0, -1), (1, 0), (2, -1))
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
    found = [row_found(values, key) for key in keys]
    return np.array([filler if value is None else value for value in found], dtype=np.int64)


class Weighed(NamedTuple):
    """What a plan makes of some classes; shape (classes, width) and (classes,).

    ``at`` are positions in the pool, -1 of none, and ``weight`` what these edges get, each once in a row; it is 0
    where the plan does not decide. ``decided`` tells which classes go by the plan, ``changing`` which of them depend on
    an edge that had a transition a moment ago, also where local policy decides in the plan's place.
    """

    at: I64
    weight: I64
    decided: Mask
    changing: Mask


def weigh(rows: PlannedPolicy, classes: npt.NDArray[Any], keep: I64, living: Mask, changing: Mask) -> Weighed:
    """Weigh the plan rows of some classes: as wide as the longest row, and one column for who inherits.

    ``keep`` tells of each edge of the pool how many millionths of a plan's weight it keeps, 0 of one that is dead or
    full; ``changing`` which edges had a transition a moment ago.
    """
    row = rows.row_of_class[classes]
    there = row >= 0
    used, of_class = np.unique(row[there], return_inverse=True)
    of_class = of_class.reshape(-1)
    primary, weight, backup = rows.primary[used], rows.weight[used] * headroom.WEIGHT_SCALE, rows.backup[used]
    dead = (primary >= 0) & ~living[primary]
    inherited = np.where(dead, weight, 0).sum(axis=1)
    heirs = (backup >= 0) & living[backup] & (keep[backup] > 0)
    before = np.cumsum(heirs, axis=1) - heirs == 0  # up to the first heir, itself among them
    heir = np.where(heirs & before, backup, -1).max(axis=1, initial=-1)
    at = np.concatenate([primary, heir[:, None]], axis=1)
    given = np.concatenate([np.where(dead, 0, weight), inherited[:, None]], axis=1)
    twice = primary == heir[:, None]  # a primary may be the heir
    given[:, :-1] += np.where(twice, inherited[:, None], 0)
    given[twice.any(axis=1), -1] = 0
    kept = np.where(at >= 0, keep[at], 0)
    left = np.where((given > 0) & (kept > 0), np.maximum(given * kept // MILLION, 1), 0)
    enough = 2 * left.sum(axis=1) >= weight.sum(axis=1)
    looks = ((primary >= 0) & (weight > 0) & changing[primary]).any(axis=1)
    looks |= ((backup >= 0) & before & changing[backup]).any(axis=1) & (inherited > 0)
    found = Weighed(
        np.full((len(row), at.shape[1]), -1, dtype=np.int64),
        np.zeros((len(row), at.shape[1]), dtype=np.int64),
        there.copy(),
        np.zeros(len(row), dtype=np.bool_),
    )
    found.decided[there] = enough[of_class]
    found.changing[there] = looks[of_class]
    of_decided = of_class[enough[of_class]]
    found.at[found.decided], found.weight[found.decided] = at[of_decided], left[of_decided]
    return found


def _table(rows: Sequence[Sequence[int]], filler: int) -> I64:
    """Rows of numbers, all as long as the longest."""
    width = max(map(len, rows), default=0)
    flat = [number for row in rows for number in (*row, *[filler] * (width - len(row)))]
    return np.array(flat, dtype=np.int64).reshape(len(rows), width)
