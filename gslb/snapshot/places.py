"""From views and policies to the catalog's rows: which class of which policy an address belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gslb.errors import GslbError
from gslb.geo.view import Geography, Located
from gslb.model.intent import NEAREST, Intent, Service
from gslb.model.inventory import Edge
from gslb.model.rtt import RttTable
from gslb.model.view import ViewTable
from gslb.policy import affinity
from gslb.snapshot import layout
from gslb.snapshot.prefix_rows import PrefixRows

MAX_GEOMETRIES = 64

U32Array = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class PolicyKey:
    """What makes two services share a policy. ``dispatch`` is the name of the one service with rows of its own."""

    pool: str
    affinity: tuple[str, ...]
    panic_milli: int
    closed: bool
    dispatch: bytes | None


class TooManyGeometriesError(GslbError):
    """The services tell clients apart in ``count`` ways; ``first`` is the first policy past the limit."""

    def __init__(self, count: int, first: PolicyKey) -> None:
        super().__init__(
            f"pool: {first.pool!r} with affinity [{affinity_text(first.affinity)}] is one of {count} ways of telling"
            f" clients apart, and the first past {MAX_GEOMETRIES}: let services share pools and affinity lists"
        )
        self.first = first


def policy_key(service: Service) -> PolicyKey:
    """The policy a service follows."""
    return PolicyKey(
        pool=service.pool,
        affinity=service.affinity,
        panic_milli=round(service.panic * 1000),
        closed=service.on_all_down == "closed",
        dispatch=service.name if service.dispatch else None,
    )


def policies(intent: Intent) -> dict[PolicyKey, int]:
    """Every policy of the services, numbered in the services' order."""
    found: dict[PolicyKey, int] = {}
    for zone in intent.zones:
        for service in zone.services:
            found.setdefault(policy_key(service), len(found))
    return found


def build(
    intent: Intent,
    numbered: Mapping[PolicyKey, int],
    geography: Geography,
    rtt: RttTable,
    string: Mapping[str, int],
) -> tuple[dict[str, npt.NDArray[Any]], PrefixRows]:
    """The sections policy*, class_multi, geometry, view_class, base*, node* and view; and the rows of the prefixes.

    ``string`` gives the row of each text. Raises `TooManyGeometriesError` when the services need more than 64.
    """
    edge_row = {edge.id: row for row, edge in enumerate(intent.edges)}
    pools = {pool.name: pool for pool in intent.pools}
    policy_rows: list[tuple[int, ...]] = []
    edges_of: list[int] = []
    weights_of: list[int] = []
    level_parts: list[npt.NDArray[np.uint8]] = []
    multi_parts: list[npt.NDArray[np.uint8]] = []
    geometry_of: dict[bytes, int] = {}
    class_of_view: list[U32Array] = []
    first_of: dict[int, PolicyKey] = {}
    reductions: dict[bool, _Reduction] = {}
    class_row = level_at = 0
    for key in numbered:
        by_coordinates = key.affinity == (NEAREST,)
        if by_coordinates not in reductions:
            reductions[by_coordinates] = _reduce(geography.views, by_coordinates)
        members = sorted((edge_row[name], weight) for name, weight in pools[key.pool].weights)
        edges = [intent.edges[row] for row, _ in members]
        weights = [weight for _, weight in members]
        of_view, class_levels, multi = _classes(key, reductions[by_coordinates], edges, weights, rtt)
        geometry = geometry_of.setdefault(of_view.tobytes(), len(geometry_of))
        first_of.setdefault(geometry, key)
        if geometry == len(class_of_view):
            class_of_view.append(of_view)
        policy_rows.append(
            (
                geometry,
                len(edges_of),
                len(edges),
                level_at,
                len(class_levels),
                class_row,
                key.panic_milli,
                string[key.pool],
                string[affinity_text(key.affinity)],
                layout.SERVICE_CLOSED if key.closed else 0,
            )
        )
        edges_of += [row for row, _ in members]
        weights_of += weights
        level_parts.append(class_levels.reshape(-1))
        multi_parts.append(multi)
        class_row += len(class_levels)
        level_at += class_levels.size
    if len(geometry_of) > MAX_GEOMETRIES:
        raise TooManyGeometriesError(len(geometry_of), first_of[MAX_GEOMETRIES])
    rows = PrefixRows(class_of_view, geography)
    sections = {
        "policy": np.array(policy_rows, dtype=layout.POLICY),
        "policy_edge": np.array(edges_of, dtype=np.uint16),
        "policy_weight": np.array(weights_of, dtype=np.uint32),
        "policy_level": _joined(level_parts, np.dtype(np.uint8)),
        "class_multi": _joined(multi_parts, np.dtype(np.uint8)),
        "geometry": _geometries(class_of_view, rows),
        "view_class": _joined(class_of_view, np.dtype(np.uint32)),
        **_base(geography),
        "view": _views(geography.views, string),
    }
    return sections, rows


def affinity_text(levels: Sequence[str]) -> str:
    """An affinity list as explanations show it."""
    return ", ".join(levels)


@dataclass(frozen=True, slots=True)
class _Reduction:
    """The views that one kind of policy can tell apart, and for each view of the table its row among them."""

    views: ViewTable
    row_of_view: npt.NDArray[np.intp]


def _reduce(views: ViewTable, by_coordinates: bool) -> _Reduction:
    columns = [views.country, views.region, views.isp, views.continent]
    if by_coordinates:
        columns += [views.lat.view(np.uint64), views.lon.view(np.uint64)]
    stacked = np.column_stack([column.astype(np.uint64) for column in columns])
    _, first, row_of_view = np.unique(stacked, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")  # by first appearance: row 0 stays the unknown view
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    keep = first[order]
    reduced = views.take(keep)
    return _Reduction(reduced, rank[row_of_view.reshape(-1)])


def _classes(
    key: PolicyKey, reduction: _Reduction, edges: Sequence[Edge], weights: Sequence[int], rtt: RttTable
) -> tuple[U32Array, npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Class of each view, shape (views,), the levels of each class, shape (classes, edges), and class_multi.

    A plan may choose among all edges that weight and fences permit, also those that no level matches.
    """
    views = reduction.views
    levels = affinity.levels(views, edges, weights, key.affinity, rtt)
    extra = None
    if key.dispatch is not None:
        keys = np.column_stack([views.country, views.region, views.isp])
        extra = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1).astype(np.uint32)
    of_reduced, class_levels = affinity.classes(levels, extra)
    choices = class_levels
    if key.dispatch is not None:
        choices = np.empty_like(class_levels)
        choices[of_reduced] = affinity.levels(views, edges, weights, ("any",), rtt)
    multi = (np.count_nonzero(choices != layout.LEVEL_NEVER, axis=1) > 1).astype(np.uint8)
    return of_reduced[reduction.row_of_view].astype(np.uint32), class_levels, multi


def _geometries(class_of_view: Sequence[U32Array], rows: PrefixRows) -> npt.NDArray[Any]:
    return np.array(
        [
            (*four, *six, number * len(of_view), int(of_view.max()) + 1)
            for number, (four, six, of_view) in enumerate(
                zip(rows.spans(32), rows.spans(64), class_of_view, strict=True)
            )
        ],
        dtype=layout.GEOMETRY,
    )


def _base(geography: Geography) -> dict[str, npt.NDArray[Any]]:
    def of(family: int, located: Located) -> dict[str, npt.NDArray[Any]]:
        return {
            f"base{family}_start": located.starts,
            f"base{family}_node": located.nodes,
            f"node{family}_len": located.node_len,
            f"node{family}_parent": located.node_parent,
            f"node{family}_view": located.node_view,
        }

    return of(4, geography.v4) | of(6, geography.v6)


def _views(views: ViewTable, string: Mapping[str, int]) -> npt.NDArray[Any]:
    table = np.zeros(len(views), dtype=layout.VIEW)
    string_of = np.array([string[text] for text in views.strings], dtype=np.uint32)
    for column in ("country", "region", "isp", "continent"):
        table[column] = string_of[getattr(views, column)]
    table["asn"], table["lat"], table["lon"] = views.asn, views.lat, views.lon
    return table


def _joined(parts: Sequence[npt.NDArray[Any]], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    return np.concatenate(parts).astype(dtype, copy=False) if parts else np.zeros(0, dtype=dtype)
