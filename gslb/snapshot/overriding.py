"""Overrides against a catalog: which edges, services and classes each means, and what it does there at a time.

Several on one edge multiply, in the order of their ids, each product rounded down to thousandths.

A drain or a ramp without service and view acts on its edges everywhere: it is part of the section edge_state. One that
is limited, and every pin, acts on rows: as an `Order` on the classes of a policy. A class is the smallest thing that
has a row; a pattern of views means every class that holds such a view.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gslb.model.inventory import HealthRules
from gslb.model.override import KIND_PIN, Override
from gslb.policy import override as rules_of
from gslb.snapshot import lookups
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.lookups import Arrays, Mask

I64 = npt.NDArray[np.int64]

_FULL = rules_of.FULL_MILLI


class Order(NamedTuple):
    """What one override does to the rows of a policy at one time.

    ``classes`` are those it means, ``members`` the edges of the pool. A drain or a ramp leaves them ``factor_milli``
    of their weight; a pin that ``pins`` answers with them alone. ``changing``: TTLs are short.
    """

    override: Override
    classes: Mask
    members: Mask
    factor_milli: int
    pins: bool
    changing: bool


class Acting:
    """The overrides of a moment that do anything to answers, against one catalog."""

    def __init__(self, arrays: Arrays, overrides: Iterable[Override], now_ms: int, rules: HealthRules) -> None:
        """``now_ms`` is the store's clock; it is cut to whole seconds."""
        self._arrays = arrays
        self._clock_s = now_ms // 1000
        self._rules = rules
        every = sorted(overrides, key=lambda each: each.id)
        self._ids = lookups.edge_ids(arrays) if every else []
        self._row_of = {edge: row for row, edge in enumerate(self._ids)}
        self._edges_of: dict[str, Mask] = {}  # by override id
        self._views_of: dict[str, Mask] = {}  # by pattern
        self._ttl_s = lookups.longest_ttl_s(arrays) if every else np.zeros(0, dtype=np.int64)
        self.overrides = [each for each in every if self._acts(each)]
        self._limited = [each for each in self.overrides if _is_limited(each)]
        self._services: dict[str, int] | None = None

    def due_s(self, overrides: Iterable[Override]) -> int | None:
        """The first second of the store's clock at which one of ``overrides`` may do something else; None: never."""
        borders = (
            rules_of.next_border_s(each, self._clock_s, self._longest_ttl_s(each), self._rules) for each in overrides
        )
        return min((border for border in borders if border is not None), default=None)

    def everywhere(self) -> tuple[I64, Mask]:
        """Of each edge the thousandths of weight that overrides without service and view leave, and whether its answers
        are to be short-lived for them."""
        factor = np.full(len(self._arrays["edge"]), _FULL, dtype=np.int64)
        changing = np.zeros(len(factor), dtype=np.bool_)
        for each in self.overrides:
            if not _is_limited(each):
                members = self._edges(each)
                factor[members] = factor[members] * self._factor_milli(each) // _FULL
                changing |= members & self._is_changing(each)
        return factor, changing

    def services(self) -> dict[int, int]:
        """The services that some override singles out, each with its policy, by row."""
        rows = sorted(row for row in self._rows().values() if row >= 0)
        return {row: int(self._arrays["service"]["policy"][row]) for row in rows}

    def orders(self, policy: int, service: int) -> list[Order]:
        """The orders on the rows of a policy that answer ``service``, a row, or with -1 all services that no override
        singles out. Sorted by id."""
        found = []
        for each in self._limited:
            if each.target.service and (service < 0 or self._rows()[each.target.service] != service):
                continue
            edges, _ = lookups.pool(self._arrays, policy)
            members = self._edges(each)[edges]
            if not members.any():
                continue
            classes = lookups.classes_of(self._arrays, policy, self._views(each.target.view))
            if classes.any():
                pins = each.kind == KIND_PIN and rules_of.is_active(each, self._clock_s)
                found.append(
                    Order(each, classes, members, self._factor_milli(each), pins, bool(self._is_changing(each)))
                )
        return found

    def note(self) -> list[dict[str, object]]:
        """What explanations say of those that act or are near: plain data, sorted by id."""
        return [
            {
                "id": each.id,
                "kind": each.kind,
                "edges": [self._ids[row] for row in np.flatnonzero(self._edges(each)).tolist()],
                "service": each.target.service,
                "view": each.target.view,
                "factor_milli": self._factor_milli(each),
                "from_s": each.from_s,
                "until_s": each.until_s,
                "author": each.author,
                "reason": each.reason,
            }
            for each in self.overrides
        ]

    def _acts(self, override: Override) -> bool:
        return (
            self._factor_milli(override) != _FULL
            or (override.kind == KIND_PIN and rules_of.is_active(override, self._clock_s))
            or bool(self._is_changing(override))
        )

    def _edges(self, override: Override) -> Mask:
        """The edges that an override means, by edge row; those of a pin are the ones it pins to."""
        if override.id not in self._edges_of:
            if override.target.pop:
                found = lookups.edges_of_pop(self._arrays, override.target.pop)
            else:
                found = np.zeros(len(self._ids), dtype=np.bool_)
                wanted = override.edges if override.kind == KIND_PIN else (override.target.edge,)
                found[[self._row_of[edge] for edge in wanted if edge in self._row_of]] = True
            self._edges_of[override.id] = found
        return self._edges_of[override.id]

    def _rows(self) -> dict[str, int]:
        """The rows of the services that overrides name, by name; looked up when it is first asked for."""
        if self._services is None:
            named = {each.target.service for each in self._limited} - {""}
            self._services = lookups.service_rows(self._arrays, sorted(named)) if named else {}
        return self._services

    def _views(self, pattern: str) -> Mask | None:
        """The views that a pattern means; None: all."""
        if not pattern:
            return None
        if pattern not in self._views_of:
            self._views_of[pattern] = lookups.views_like(self._arrays, pattern)
        return self._views_of[pattern]

    def _longest_ttl_s(self, override: Override) -> int:
        return int(self._ttl_s[self._edges(override)].max(initial=0))

    def _is_changing(self, override: Override) -> bool:
        return rules_of.is_changing(override, self._clock_s, self._longest_ttl_s(override), self._rules)

    def _factor_milli(self, override: Override) -> int:
        return rules_of.factor_milli(override, self._clock_s, self._rules.slow_start_s)


def combinations(orders: Sequence[Order], classes: int) -> list[tuple[list[Order], npt.NDArray[np.intp]]]:
    """Classes by what the orders that mean them do: such a set of orders, and its classes. Every class is in one.

    Sets of orders that do the same are one, provided that either names a service or neither does.
    """
    of_class = np.zeros(classes, dtype=np.int64)
    for at, each in enumerate(orders):
        of_class = 2 * of_class + each.classes
        if at % 32 == 31 or at == len(orders) - 1:  # numbered afresh, so that numbers stay far from 2^63
            of_class = np.unique(of_class, return_inverse=True)[1].reshape(-1)
    order = np.argsort(of_class, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(of_class[order])) + 1) if classes else []
    alike: dict[object, tuple[list[Order], list[npt.NDArray[np.intp]]]] = {}
    for members in groups:
        acting = [each for each in orders if each.classes[members[0]]]
        names_service = any(each.override.target.service for each in acting)
        alike.setdefault((names_service, *_in_effect(acting)), (acting, []))[1].append(members)
    return [(acting, np.concatenate(members)) for acting, members in alike.values()]


def effect(orders: Sequence[Order]) -> tuple[object, ...]:
    """What some orders on the rows of one policy do: where this is equal, the rows are."""
    return tuple(each.override.target.view for each in _in_turn(orders)), *_in_effect(orders)


def _in_effect(orders: Sequence[Order]) -> tuple[object, ...]:
    """What some orders do to classes that all of them mean."""
    return tuple(
        (each.members.tobytes(), each.factor_milli, each.override.kind == KIND_PIN, each.pins, each.changing)
        for each in _in_turn(orders)
    )


def _in_turn(orders: Sequence[Order]) -> list[Order]:
    """Drains and ramps by id, then pins by when they began: of orders, no more than this matters."""
    pins = [each for each in orders if each.override.kind == KIND_PIN]
    return [*(each for each in orders if each.override.kind != KIND_PIN), *sorted(pins, key=_rank)]


def factors(orders: Iterable[Order], edges: int) -> tuple[I64, Mask]:
    """Of each edge of a pool the thousandths of weight that orders leave, and whether one makes its TTLs short."""
    factor = np.full(edges, _FULL, dtype=np.int64)
    changing = np.zeros(edges, dtype=np.bool_)
    for each in orders:
        factor[each.members] = factor[each.members] * each.factor_milli // _FULL
        changing |= each.members & each.changing
    return factor, changing


def pin(orders: Iterable[Order]) -> Order | None:
    """The pin that counts: of several, the one that began last."""
    return max((each for each in orders if each.pins), key=_rank, default=None)


def faults(catalog: Catalog, wanted: Override) -> list[tuple[str, str]]:
    """What is wrong with an override for this catalog: pairs of its key and the reason."""
    found: list[tuple[str, str]] = []
    arrays, target = catalog.arrays, wanted.target
    if target.edge and target.edge not in catalog.edge_ids:
        found.append(("target.edge", f"{target.edge!r} is not in the inventory"))
    if target.pop and not lookups.edges_of_pop(arrays, target.pop).any():
        found.append(("target.pop", f"no edge of the inventory stands in {target.pop!r}"))
    if target.view and not lookups.views_like(arrays, target.view).any():
        found.append(("target.view", f"{target.view!r}: no client is known to be there"))
    service = lookups.service_row(arrays, target.service) if target.service else -1
    if target.service and service < 0:
        found.append(("target.service", f"{target.service!r} is no service"))
    weights: Mapping[str, int] = {}
    if service >= 0:
        edges, weight = lookups.pool(arrays, catalog.services[service].policy)
        weights = {catalog.edge_ids[row]: each for row, each in zip(edges.tolist(), weight.tolist(), strict=True)}
    for edge in wanted.edges:
        if edge not in catalog.edge_ids:
            found.append(("value", f"edge {edge!r} is not in the inventory"))
        elif service >= 0 and not weights.get(edge):
            why = "has weight 0 in" if edge in weights else "is not in"
            found.append(("value", f"edge {edge!r} {why} the pool of {target.service}"))
    if service >= 0 and target.edge in catalog.edge_ids and target.edge not in weights:
        found.append(("target.edge", f"{target.edge!r} is not in the pool of {target.service}"))
    return found


def _rank(pin: Order) -> tuple[int, str]:
    return pin.override.from_s, pin.override.id


def _is_limited(override: Override) -> bool:
    return bool(override.kind == KIND_PIN or override.target.service or override.target.view)
