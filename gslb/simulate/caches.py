"""Caches of resolvers, one entry per (resolver, scope, name); some keep answers for longer than they may.

A *unit* is one of the caches of a resolver, which is a farm of machines that each keep their own, for all that it asks
without Client Subnet; or one client prefix behind a resolver that sends it.
A *cell* is a unit and a stream: one cache entry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from gslb.simulate.steered import PREFIXES, Answers
from gslb.simulate.world import World

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
U64 = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

Ask = Callable[[I64, I64, I64, U64], Answers]
Told = Callable[[int, I64, Answers], None]

NO_PREFIX: Final = -1
_LONG_AGO_S: Final = -(1 << 40)


@dataclass(frozen=True, slots=True)
class Units:
    """Who keeps answers. Columns of units: the ``view`` that the server sees, its ``prefix`` in it (`NO_PREFIX` without
    Client Subnet), the resolver, and whether it ``violates`` TTLs. Of rows of `World.client_*`: ``first`` unit and
    ``count`` of units among which its clients are evenly spread."""

    view: I64
    prefix: I64
    resolver: I64
    violates: Mask
    first: I64
    count: I64
    share: F64  # of all demand

    @property
    def concentration(self) -> float:
        """H = Σ share²: with what weight single caches decide. A share w that is drawn once for each of them deviates
        by √(w (1 − w) H)."""
        return float(np.square(self.share).sum())


def units(
    world: World,
    caches: int,
    prefixes: int,
    violators: float,
    rng: np.random.Generator,
    *,
    violators_ecs: bool = True,
) -> Units:
    """The caches of a world: ``caches`` for each resolver, or where it sends Client Subnet ``prefixes`` client prefixes
    for each view behind it.

    Resolvers with the part ``violators`` of demand, as nearly as whole ones make it, violate TTLs; those that send
    Client Subnet among them, or not (``violators_ecs``).
    """
    resolvers = len(world.resolver_view)
    by_resolver = np.bincount(world.client_resolver, weights=world.client_share, minlength=resolvers)
    order = rng.permutation(resolvers)
    violates = np.zeros(resolvers, dtype=np.bool_)
    missing = violators
    for resolver in order.tolist():
        may = violators_ecs or not world.sends_ecs[resolver]
        if may and 0 < by_resolver[resolver] <= missing:
            violates[resolver] = True
            missing -= by_resolver[resolver]
    ecs = world.sends_ecs[world.client_resolver]
    plain = np.unique(world.client_resolver[~ecs])
    unit_of = np.full(resolvers, -1, dtype=np.int64)
    unit_of[plain] = np.arange(len(plain))
    rows = np.flatnonzero(ecs)
    of_plain = len(plain) * caches
    first = np.where(ecs, 0, unit_of[world.client_resolver] * caches)
    first[rows] = of_plain + np.arange(len(rows)) * prefixes
    count = np.where(ecs, prefixes, caches)
    resolver = np.concatenate([np.repeat(plain, caches), np.repeat(world.client_resolver[rows], prefixes)])
    # Rows of one view behind several resolvers that send it have prefixes of their own.
    place = np.zeros(len(rows), dtype=np.int64)
    seen: dict[int, int] = {}
    for at, view in enumerate(world.client_view[rows].tolist()):
        place[at] = seen.get(view, 0)
        seen[view] = place[at] + 1
    prefix = (place[:, None] * prefixes + np.arange(prefixes)).reshape(-1) % PREFIXES
    share = np.concatenate(
        [np.repeat(by_resolver[plain] / caches, caches), np.repeat(world.client_share[rows] / prefixes, prefixes)]
    )
    return Units(
        view=np.concatenate(
            [np.repeat(world.resolver_view[plain], caches), np.repeat(world.client_view[rows], prefixes)]
        ),
        prefix=np.concatenate([np.full(of_plain, NO_PREFIX), prefix]),
        resolver=resolver,
        violates=violates[resolver],
        first=first,
        count=count,
        share=share,
    )


class Caches:
    """What every cache of a world holds. ``kept_s`` is how long a violator keeps an answer at least; ``told`` is called
    with the time, the entries that are asked for and their answers."""

    def __init__(self, units: Units, streams: int, kept_s: int, told: Told | None = None) -> None:
        self._units = units
        self._told = told
        self._streams = streams
        self._kept_s = kept_s
        self.edge = np.full(len(units.view) * streams, -1, dtype=np.int64)
        self._until_s = np.full(len(self.edge), _LONG_AGO_S, dtype=np.int64)
        self.asked = 0

    def cell(self, unit: I64, stream: I64) -> I64:
        """The cache entry that is looked at."""
        found: I64 = unit * self._streams + stream
        return found

    def look_up(self, cell: I64, now_s: int, ask: Ask, rng: np.random.Generator) -> I64:
        """The edge that each of some clients gets, -1 for none; entries that have run out are asked for anew.

        An answer without an edge is kept for no time.
        """
        expired = np.unique(cell[self._until_s[cell] <= now_s])
        if len(expired):
            unit, stream = np.divmod(expired, self._streams)
            chance = rng.integers(0, 1 << 64, size=len(expired), dtype=np.uint64)
            found = ask(self._units.view[unit], self._units.prefix[unit], stream, chance)
            ttl_s = np.where(self._units.violates[unit], np.maximum(found.ttl_s, self._kept_s), found.ttl_s)
            self.edge[expired] = found.edge
            self._until_s[expired] = np.where(found.edge >= 0, now_s + ttl_s, now_s)
            self.asked += len(expired)
            if self._told is not None:
                self._told(now_s, expired, found)
        return self.edge[cell]
