"""Affinity: which edges of a pool are first, second, … choice for a client, and which clients are alike in that.

A service's affinity list names its levels, best first; an edge gets the first level whose condition holds between it
and the client. Fenced-off edges and edges of weight 0 get none. What is unknown of a client matches no level but
``any``. Everything here is integers, or float arithmetic of single IEEE 754 operations without libm, so that every
machine computes the same levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from gslb.model.intent import NEAREST
from gslb.model.inventory import ANY_ISP, Edge
from gslb.model.rtt import RttTable
from gslb.model.view import ViewTable
from gslb.policy import nearest

NEVER: Final = 255
"""The level of an edge that never serves a client."""

Levels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]

_UNKNOWN, _OTHER = 0, 1  # codes of texts: nothing is known; known, but no edge names it


def levels(
    views: ViewTable, edges: Sequence[Edge], weights: Sequence[int], affinity: Sequence[str], rtt: RttTable
) -> Levels:
    """The level of each edge for each view, uint8 of shape (views, edges); `NEVER` where the edge never serves it.

    ``edges`` and ``weights`` are a pool in its order. ``affinity`` is a tuple of `model.intent.AFFINITY_LEVELS`, or
    ``("nearest",)``: then levels are bands of round-trip time (`policy.nearest`).

    - ``isp+region``, ``isp+country``, ``isp``: the edge names the view's ISP (and stands in its region, its country).
      An edge that says ``any`` matches such a level only where, of the edges that may serve the view at all, none
      matches that level by name.
    - ``region``, ``country``, ``continent``: the edge stands there. Regions are compared as (country, region).
    - ``any``: every edge.

    A fence shuts out clients of other countries and those whose country is unknown.
    """
    by_distance = tuple(affinity) == (NEAREST,)
    named = rtt.rows if by_distance else ()
    country = _codes(
        views.strings,
        [text for edge in edges for text in (edge.location.country, *edge.fence)] + [row.country for row in named],
    )
    region = _codes(views.strings, [edge.location.region for edge in edges] + [row.region for row in named])
    isp = _codes(views.strings, [text for edge in edges for text in edge.isps] + [row.isp for row in named])
    continent = _codes(views.strings, [edge.location.continent for edge in edges])

    kinds, of_view = _kinds(country[views.country], region[views.region], isp[views.isp], continent[views.continent])
    known = views.take(kinds)
    permitted = _permitted(known, edges, weights)
    if by_distance:
        return np.where(permitted[of_view], nearest.bands(views, edges, rtt, known, of_view), np.uint8(NEVER))
    found = np.full(permitted.shape, NEVER, dtype=np.uint8)
    conditions = _Conditions(known, edges, permitted)
    for number, level in enumerate(affinity):
        found[conditions.hold(level) & permitted & (found == NEVER)] = number
    return found[of_view]


def classes(of_views: Levels, extra: npt.NDArray[np.uint32] | None) -> tuple[npt.NDArray[np.uint32], Levels]:
    """Views that a policy treats alike: the class of each view, and the levels of each class.

    ``of_views`` is what `levels` returned; views with equal rows (and equal ``extra``, where given: one number a view)
    are of one class. Classes are numbered by their first view. Returns uint32 of shape (views,) and uint8 of shape
    (classes, edges).
    """
    count, edges = of_views.shape
    columns = [of_views]
    if extra is not None:
        columns.append(np.ascontiguousarray(extra, dtype="<u4").view(np.uint8).reshape(count, 4))
    # A column of zeros keeps the rows of an empty pool comparable.
    keys = np.ascontiguousarray(np.concatenate([*columns, np.zeros((count, 1), dtype=np.uint8)], axis=1))
    rows = keys.view(np.dtype((np.void, keys.shape[1]))).reshape(count)
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty(len(order), dtype=np.uint32)
    rank[order] = np.arange(len(order), dtype=np.uint32)
    return rank[inverse.reshape(-1)], of_views[first[order]].reshape(len(order), edges)


def _codes(strings: Sequence[str], wanted: Sequence[str]) -> Codes:
    """A small number for each text of a view table: 0 unknown, 1 not among ``wanted``, else one of its own."""
    numbers = {text: number for number, text in enumerate(sorted({*wanted} - {""}), _OTHER + 1)}
    found = np.fromiter((numbers.get(text, _OTHER) for text in strings), dtype=np.int64, count=len(strings))
    found[0] = _UNKNOWN
    return found


def _kinds(*columns: Codes) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """One view of each kind that the columns tell apart, and the kind of each view."""
    joined = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        # Numbered afresh after each column, so that the product of two counts stays far from 2^63.
        joined = np.unique(joined * (int(column.max()) + 1) + column, return_inverse=True)[1].reshape(-1)
    _, first, inverse = np.unique(joined, return_index=True, return_inverse=True)
    return first, inverse.reshape(-1)


def _permitted(views: ViewTable, edges: Sequence[Edge], weights: Sequence[int]) -> Mask:
    """Which edges may serve which views at all: weight above 0, and no fence in between."""
    found = np.zeros((len(views), len(edges)), dtype=np.bool_)
    for at, (edge, weight) in enumerate(zip(edges, weights, strict=True)):
        if weight:
            found[:, at] = _is_one_of(views.strings, views.country, edge.fence) if edge.fence else True
    return found


def _is_one_of(strings: Sequence[str], column: npt.NDArray[np.uint32], texts: Sequence[str]) -> Mask:
    """Where a column of a view table holds one of ``texts``; what is unknown never does."""
    wanted = set(texts) - {""}
    hits = np.fromiter((text in wanted for text in strings), dtype=np.bool_, count=len(strings))
    found: Mask = hits[column]
    return found


class _Conditions:
    """What holds between views and edges, each a mask of shape (views, edges)."""

    def __init__(self, views: ViewTable, edges: Sequence[Edge], permitted: Mask) -> None:
        def column(values: npt.NDArray[np.uint32], texts: Sequence[Sequence[str]]) -> Mask:
            found = np.zeros(permitted.shape, dtype=np.bool_)
            for at, each in enumerate(texts):
                found[:, at] = _is_one_of(views.strings, values, each)
            return found

        self._permitted = permitted
        self._country = column(views.country, [(edge.location.country,) for edge in edges])
        self._region = self._country & column(views.region, [(edge.location.region,) for edge in edges])
        self._continent = column(views.continent, [(edge.location.continent,) for edge in edges])
        self._isp = column(views.isp, [[isp for isp in edge.isps if isp != ANY_ISP] for edge in edges])
        says_any = np.array([ANY_ISP in edge.isps for edge in edges], dtype=np.bool_)
        self._any_isp = (views.isp != 0)[:, None] & says_any

    def hold(self, level: str) -> Mask:
        """Where the condition of one affinity level holds."""
        if level == "isp+region":
            return self._by_isp(self._region)
        if level == "isp+country":
            return self._by_isp(self._country)
        if level == "isp":
            return self._by_isp(np.ones_like(self._permitted))
        if level == "region":
            return self._region
        if level == "country":
            return self._country
        if level == "continent":
            return self._continent
        if level == "any":
            return np.ones_like(self._permitted)
        raise ValueError(f"{level!r} is not an affinity level")

    def _by_isp(self, place: Mask) -> Mask:
        by_name = self._isp & place & self._permitted
        by_nobody = ~by_name.any(axis=1, keepdims=True)
        found: Mask = by_name | (self._any_isp & place & by_nobody)
        return found
