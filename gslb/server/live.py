"""What is true this minute as tables: a row for each edge and each service, from what answers. Pure functions.

Shares are parts of the *known space*: the IPv4 addresses of which the catalog knows country or ISP, private blocks
aside; where it knows none, every class counts alike. They are those of the first answer of clients that are drawn by
weight: ``spread`` and further answers, which depend on the name, are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from gslb.model.names import to_text
from gslb.model.override import KIND_PIN, Override
from gslb.model.report import StoreState
from gslb.policy.override import is_active
from gslb.snapshot import layout, moves, steering
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.layout import STEERING_WIDTH
from gslb.snapshot.rows import EdgeStateRow, PolicyRow
from gslb.snapshot.steering import Steering

HEALTH: Final = {
    layout.VERDICT_UP: "up",
    layout.VERDICT_UNKNOWN: "unknown",
    layout.VERDICT_DOWN: "down",
    layout.VERDICT_DRAIN: "drain",
    layout.VERDICT_ABSENT: "",
}

F64 = npt.NDArray[np.float64]


class EdgeLive(msgspec.Struct, frozen=True):
    """An edge as answers see it now.

    ``health_v4`` and ``health_v6`` are up, unknown (silent, and held as its last state), down or drain; empty without
    an address of that family. ``held`` tells that it is silent together with much of its continent, ``gone`` that its
    report has vanished from the store, ``age_s`` how old its report is, None where it never reported. ``weight`` is its
    least and its most operator weight in any pool. ``share`` is the mean over all services of its part of the known
    space. ``overrides`` are the ids of those that act on it now.
    """

    edge: str
    pop: str
    health_v4: str
    health_v6: str
    reported: bool
    held: bool
    gone: bool
    age_s: float | None
    load_bps: int
    capacity_bps: int
    sessions: int
    headroom_milli: int
    ramp_milli: int
    weight: tuple[int, int]
    share: float
    overrides: tuple[str, ...]


class ServiceLive(msgspec.Struct, frozen=True):
    """A service as answers see it now, in parts of the known space.

    ``level_shares`` are pairs of level and part, in level order: every level of an affinity list, the bands in use of
    ``nearest``, and ``plan`` and ``pin`` where these give the edges; of IPv4, or of IPv6 where the pool has no IPv4
    address. ``fail_open`` is the part that is answered, in one family at least, although nothing is healthy;
    ``no_edge`` the part that gets no edge in a family although the pool has one for it. ``plan`` is the version that
    gives it weights, or empty.
    """

    service: str
    pool: str
    affinity: str
    level_shares: tuple[tuple[str, float], ...]
    fail_open: float
    no_edge: float
    plan: str
    overrides: tuple[str, ...]


class Edges(msgspec.Struct, frozen=True):
    """What ``GET /v1/edges`` gives. ``clock_ms`` is the store's clock, ``state_ms`` store time of what is acted upon,
    ``age_s`` how long the store has been away."""

    clock_ms: int
    state_ms: int
    connected: bool
    age_s: float
    edges: tuple[EdgeLive, ...]


class Services(msgspec.Struct, frozen=True):
    """What ``GET /v1/services`` gives; as `Edges`."""

    clock_ms: int
    state_ms: int
    connected: bool
    age_s: float
    services: tuple[ServiceLive, ...]


class Served(NamedTuple):
    """What answers: a catalog, the steering made for it, and the store's state and clock that it was made of."""

    catalog: Catalog
    steering: Steering
    state: StoreState
    now_ms: int


class _Spread(NamedTuple):
    """How the known space of one service lies over edges (by edge row) and levels; parts of 1. What a plan and pins
    give their edges is of no level."""

    edges: F64
    levels: F64
    planned: float
    pinned: float
    fail_open: float
    no_edge: float


class Tables:
    """The tables of one moment; what costs something is computed once, when it is asked for."""

    def __init__(self, served: Served, space: Sequence[F64]) -> None:
        """``space`` is that of `known_space` for the same catalog."""
        self._served = served
        self._space = space
        self._spreads: dict[tuple[int, int], _Spread] = {}  # by first row and policy
        self._acting = sorted(active(served.state.overrides.values(), served.now_ms), key=lambda each: each.id)

    def edges(self) -> tuple[EdgeLive, ...]:
        """A row for each edge, sorted by id."""
        catalog, steered, _, _ = self._served
        services = catalog.services
        share = np.zeros(len(catalog.edge_ids))
        for row in range(len(services)):
            share += self._spread(row).edges
        if services:
            share /= len(services)
        found = []
        weights = _weights(catalog)
        for row, (edge, state) in enumerate(zip(catalog.edge_ids, steered.arrays["edge_state"].tolist(), strict=True)):
            now = EdgeStateRow._make(state)
            pop = catalog.strings[catalog.edges[row].pop]
            found.append(
                EdgeLive(
                    edge=edge,
                    pop=pop,
                    health_v4=HEALTH[now.verdict4],
                    health_v6=HEALTH[now.verdict6],
                    reported=bool(now.reported & steering.REPORTED),
                    held=bool(now.reported & steering.REPORT_HELD),
                    gone=bool(now.reported & steering.REPORT_GONE),
                    age_s=now.age_ms / 1000 if now.reported & steering.REPORTED else None,
                    load_bps=now.load_bps,
                    capacity_bps=now.capacity_bps,
                    sessions=now.sessions,
                    headroom_milli=now.headroom_milli,
                    ramp_milli=now.ramp_milli,
                    weight=weights[row],
                    share=float(share[row]),
                    overrides=tuple(each.id for each in self._acting if _means_edge(each, edge, pop)),
                )
            )
        return tuple(sorted(found, key=lambda each: each.edge))

    def services(self) -> tuple[ServiceLive, ...]:
        """A row for each service, sorted by name."""
        catalog, steered, _, _ = self._served
        plan = str(steered.note.get("plan", ""))
        found = []
        for row, service in enumerate(catalog.services):
            policy = catalog.policies[service.policy]
            spread = self._spread(row)
            name = to_text(catalog.name_text(service.name))
            pool = catalog.arrays["policy_edge"][policy.edge : policy.edge + policy.edge_count].tolist()
            found.append(
                ServiceLive(
                    service=name,
                    pool=catalog.strings[policy.pool],
                    affinity=catalog.strings[policy.affinity],
                    level_shares=_levels(catalog.strings[policy.affinity].split(", "), spread),
                    fail_open=spread.fail_open,
                    no_edge=spread.no_edge,
                    plan=plan if service.flags & layout.SERVICE_DISPATCH else "",
                    overrides=tuple(each.id for each in self._acting if _means_service(each, catalog, name, pool)),
                )
            )
        return tuple(sorted(found, key=lambda each: each.service))

    def _spread(self, row: int) -> _Spread:
        """Services that share rows share this."""
        catalog, steered, _, _ = self._served
        service = catalog.services[row]
        policy = catalog.policies[service.policy]
        key = (steered.first(row, policy.row), service.policy)
        if key not in self._spreads:
            self._spreads[key] = _spread(catalog, steered, key[0], policy, self._space[policy.geometry])
        return self._spreads[key]


def known_space(catalog: Catalog) -> list[F64]:
    """For each geometry the parts of the known space in its classes; takes some 100 ms where prefixes are many."""
    pieces = moves.space(catalog.arrays, catalog.arrays)
    found = []
    for geometry in catalog.geometries:
        of_view = catalog.arrays["view_class"][geometry.view :][: len(catalog.arrays["view"])].astype(np.int64)
        addresses = _summed(of_view[pieces.new_view], pieces.addresses, geometry.classes)
        if not addresses.sum():
            addresses = np.ones(geometry.classes)
        found.append((addresses / max(1.0, float(addresses.sum()))).astype(np.float64))
    return found


def active(overrides: Iterable[Override], now_ms: int) -> list[Override]:
    """Those between their beginning and their end."""
    return [each for each in overrides if is_active(each, now_ms // 1000)]


def _spread(catalog: Catalog, steered: Steering, first: int, policy: PolicyRow, space: F64) -> _Spread:
    shape = (policy.classes, 2)  # a row for each family
    rows = slice(2 * first, 2 * (first + policy.classes))
    count, flags = (steered.arrays[name][rows].reshape(shape) for name in ("count", "flags"))
    columns = slice(rows.start * STEERING_WIDTH, rows.stop * STEERING_WIDTH)
    permitted = _permitted(catalog, steered, policy)
    shown = int(not permitted[:, 0].any() and permitted[:, 1].any())
    edge, level, weight = (
        steered.arrays[name][columns].reshape(*shape, STEERING_WIDTH)[:, shown] for name in ("edge", "level", "weight")
    )
    weights = weight.astype(np.float64)
    total = weights.sum(axis=1)
    parts = weights * (space / np.where(total > 0, total, 1.0))[:, None]
    planned, pinned = (flags[:, shown] & flag > 0 for flag in (layout.ROW_PLANNED, layout.ROW_PINNED))
    by_level = ~(planned | pinned)
    opened = (flags & layout.ROW_FAIL_OPEN > 0) & (count > 0)
    return _Spread(
        edges=_summed(edge.reshape(-1), parts.reshape(-1), len(catalog.edge_ids)),
        levels=_summed(level[by_level].reshape(-1), parts[by_level].reshape(-1), STEERING_WIDTH),
        planned=float(parts[planned].sum()),
        pinned=float(parts[pinned].sum()),
        fail_open=float(space[opened.any(axis=1)].sum()),
        no_edge=float(space[(permitted & (count == 0)).any(axis=1)].sum()),
    )


def _permitted(catalog: Catalog, steered: Steering, policy: PolicyRow) -> npt.NDArray[np.bool_]:
    """Whether the pool has an edge for a class in a family, whatever its state; shape (classes, families)."""
    members = slice(policy.edge, policy.edge + policy.edge_count)
    state = steered.arrays["edge_state"][catalog.arrays["policy_edge"][members]]
    weighty = catalog.arrays["policy_weight"][members] > 0
    levels = catalog.arrays["policy_level"][policy.level :][: policy.classes * policy.edge_count]
    allowed = levels.reshape(policy.classes, policy.edge_count) != layout.LEVEL_NEVER
    families = [weighty & (state[name] != layout.VERDICT_ABSENT) for name in ("verdict4", "verdict6")]
    return np.stack([allowed[:, each].any(axis=1) for each in families], axis=1)


def _summed(place: npt.NDArray[Any], weights: F64, count: int) -> F64:
    return np.asarray(np.bincount(place, weights=weights, minlength=count), dtype=np.float64)


def _levels(names: Sequence[str], spread: _Spread) -> tuple[tuple[str, float], ...]:
    parts = spread.levels.tolist()
    if list(names) == ["nearest"]:
        found = [(f"nearest band {at}", part) for at, part in enumerate(parts) if part > 0]
    else:
        found = list(zip(names, parts, strict=False))
    others = (("plan", spread.planned), ("pin", spread.pinned))
    return (*found, *(each for each in others if each[1] > 0))


def _weights(catalog: Catalog) -> list[tuple[int, int]]:
    """The least and the most weight of each edge over all pools, (0, 0) where it is in none."""
    edges = catalog.arrays["policy_edge"].astype(np.int64)
    weights = catalog.arrays["policy_weight"].astype(np.int64)
    least = np.full(len(catalog.edge_ids), np.iinfo(np.int64).max)
    most = np.zeros(len(catalog.edge_ids), dtype=np.int64)
    np.minimum.at(least, edges, weights)
    np.maximum.at(most, edges, weights)
    return list(zip(np.minimum(least, most).tolist(), most.tolist(), strict=True))


def _means_edge(override: Override, edge: str, pop: str) -> bool:
    if override.kind == KIND_PIN:
        return edge in override.edges
    return edge == override.target.edge or pop == override.target.pop


def _means_service(override: Override, catalog: Catalog, name: str, pool: Sequence[int]) -> bool:
    if override.target.service:
        return override.target.service == name
    return any(_means_edge(override, catalog.edge_ids[row], catalog.strings[catalog.edges[row].pop]) for row in pool)
