"""Which edges may serve which groups, and at what cost: the arcs of a round.

An edge of weight 0, or behind a fence, is none. Of the others those of the best affinity level are taken, and within a
level the nearest: ``candidates`` of them that can be used now. What the plan before gave a group stays a candidate too,
so that an edge which is back does not push another one out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gslb.dispatch.network import Network, Planned
from gslb.dispatch.whereabouts import km_between, vectors
from gslb.model.dispatch import DispatchRules
from gslb.model.geography import CONTINENT_OF
from gslb.model.inventory import ANY_ISP, Edge
from gslb.model.plan import Plan, row_found
from gslb.model.rtt import RttTable
from gslb.model.view import ViewTable
from gslb.plan.costs import route_costs
from gslb.plan.problem import F64, I64, GroupKey, Mask
from gslb.plan.round import Candidates
from gslb.policy import affinity, nearest

FAR_MS: Final = nearest.BORDERS_MS[-1]
"""Taken from viewers of whom nothing is known to an edge on another continent."""

_View = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Routes:
    """All pairs of one service's groups and its pool: shape (groups, edges of the pool)."""

    level: I64
    rtt_ms: F64
    cost: F64

    @property
    def allowed(self) -> Mask:
        """Where the edge may serve the group at all."""
        found: Mask = self.level != affinity.NEVER
        return found


def routes(network: Network, planned: Planned, views: Sequence[_View]) -> Routes:
    """Levels, round trips and costs between viewers and the edges of a service's pool."""
    edges = [network.edges[at] for at in planned.edges]
    table = ViewTable.of([network.whereabouts.view(view, CONTINENT_OF.get(view[0], "")) for view in views])
    place = network.whereabouts.places(views)
    table.lat[1:], table.lon[1:] = _degrees(place)
    level = affinity.levels(table, edges, planned.weights, planned.service.affinity, network.rtt)[1:].astype(np.int64)
    rtt_ms = round_trips(views, edges, network.rtt, place, network.rules)
    in_isp = _each(
        [view[2] for view in views], lambda isp, edge: ANY_ISP in edge.isps or (bool(isp) and isp in edge.isps), edges
    )
    at_home = _each([view[0] for view in views], lambda country, edge: country == edge.location.country, edges)
    price = np.broadcast_to(np.array([network.price(at) for at in planned.edges]), rtt_ms.shape)
    return Routes(level, rtt_ms, route_costs(network.rules, rtt_ms, in_isp, at_home, price))


def candidates(
    network: Network,
    groups: Sequence[GroupKey],
    usable: Mask,
    before: Plan | None,
    barred: Mapping[GroupKey, frozenset[str]] | None = None,
) -> Candidates:
    """The arcs of a round. ``usable`` tells of each edge whether anything may go there, ``barred`` which edges are shut
    to single groups besides."""
    stood = before.by_service() if before is not None else {}
    found: list[tuple[I64, I64, F64]] = []
    for name, members in _by_service(groups).items():
        planned = network.planned.get(name)
        if planned is None or not planned.edges:
            continue
        keys = [groups[member] for member in members.tolist()]
        known = routes(network, planned, [key[1:] for key in keys])
        pool = np.array(planned.edges, dtype=np.int64)
        allowed = known.allowed
        columns = {network.edges[edge].id: column for column, edge in enumerate(planned.edges)}
        had = np.zeros(allowed.shape, dtype=np.bool_)
        for row, key in enumerate(keys):
            for edge_id in barred.get(key, ()) if barred else ():
                if edge_id in columns:
                    allowed[row, columns[edge_id]] = False
            if (former := row_found(stood.get(name, {}), key[1:])) is not None:
                had[row, [columns[edge_id] for edge_id, _ in former.primaries if edge_id in columns]] = True
        rank = _ranks(known, allowed & usable[pool])
        taken = allowed & usable[pool] & (rank < network.rules.candidates) | allowed & had
        row_at, column_at = np.nonzero(taken)
        found.append((members[row_at], pool[column_at], known.cost[row_at, column_at]))
    if not found:
        return Candidates(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    group, edge, cost = (np.concatenate(columns) for columns in zip(*found, strict=True))
    by_group = np.lexsort((edge, group))
    return Candidates(group[by_group], edge[by_group], cost[by_group])


def _ranks(known: Routes, usable: Mask) -> I64:
    """How many edges are better for a group: usable ones by level, round trip and place in the pool; then the rest."""
    place = np.broadcast_to(np.arange(usable.shape[1]), usable.shape)
    order = np.lexsort((place, known.rtt_ms, known.level, ~usable), axis=1)
    rank = np.empty(usable.shape, dtype=np.int64)
    np.put_along_axis(rank, order, place, axis=1)
    return rank


def round_trips(views: Sequence[_View], edges: Sequence[Edge], rtt: RttTable, place: F64, rules: DispatchRules) -> F64:
    """Round trips in ms, (views, edges): measured, the most exact value that there is (country|region|isp,
    country||isp, country|region|, country||), else from the great circle; where nothing is known of where viewers are,
    what the affinity ``nearest`` assumes."""
    sites = vectors(
        np.array([edge.location.lat for edge in edges]), np.array([edge.location.lon for edge in edges])
    ).reshape(len(edges), 3)
    found = rules.rtt_base_ms + rules.rtt_ms_per_1000_km * km_between(place, sites) / 1000
    assumed: dict[str, list[float]] = {}
    for row in np.flatnonzero(np.isnan(place[:, 0])).tolist():
        country = views[row][0]
        if country not in assumed:
            assumed[country] = [_assumed_ms(country, edge) for edge in edges]
        found[row] = assumed[country]
    pops: dict[str, int] = {}
    pop_of_edge = np.array([pops.setdefault(edge.pop, len(pops)) for edge in edges], dtype=np.int64)
    levels = [
        [(country, region if exact else "", isp if own else "") for country, region, isp in views]
        for exact, own in ((False, False), (True, False), (False, True), (True, True))
    ]
    number: dict[_View, int] = {}
    at = [[number.setdefault(key, len(number)) for key in level] for level in levels]
    told = np.full((len(number), len(pops)), np.nan)
    for each in rtt.rows:
        key, pop = number.get((each.country, each.region, each.isp)), pops.get(each.pop)
        if key is not None and pop is not None:
            told[key, pop] = each.rtt_ms
    for level_at in at:
        measured = told[level_at][:, pop_of_edge]
        found = np.where(np.isnan(measured), found, measured)
    return found


def _each(texts: Sequence[str], holds: Callable[[str, Edge], bool], edges: Sequence[Edge]) -> Mask:
    """What holds between each text and each edge, asked once for equal texts; (texts, edges)."""
    number: dict[str, int] = {}
    of = np.array([number.setdefault(text, len(number)) for text in texts], dtype=np.int64)
    found = np.array([[holds(text, edge) for edge in edges] for text in number], dtype=np.bool_)
    return found.reshape(len(number), len(edges))[of]


def _assumed_ms(country: str, edge: Edge) -> float:
    if country and country == edge.location.country:
        return nearest.SAME_COUNTRY_MS
    same = bool(country) and CONTINENT_OF.get(country) == edge.location.continent
    return nearest.SAME_CONTINENT_MS if same else FAR_MS


def _by_service(groups: Sequence[GroupKey]) -> dict[str, I64]:
    found: dict[str, list[int]] = {}
    for at, key in enumerate(groups):
        found.setdefault(key.service, []).append(at)
    return {name: np.array(members, dtype=np.int64) for name, members in found.items()}


def _degrees(place: F64) -> tuple[F64, F64]:
    lat = np.degrees(np.arcsin(np.clip(place[:, 2], -1.0, 1.0)))
    return lat, np.degrees(np.arctan2(place[:, 1], place[:, 0]))
