"""Fitting demand of groups to what edges carried: iterative proportional fitting."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

import ibis

from gslb.model import records
from gslb.tables.numbers import KINDS, beside
from gslb.tables.polling import beyond_doubt
from gslb.tables.schemas import Table
from gslb.tables.shaping import Kept

_AWAY: Final = 0.3  # of questions without Client Subnet: from viewers elsewhere in the country, most of the same ISP
_SAME_ISP: Final = 0.75
_ANYWHERE: Final = 0.55  # as many as these once more: from viewers of any large group of the service
_LARGE: Final = 2e-4  # of all demand: such a group is large
_LEAST: Final = 0.025  # of a group's demand is with edges without a log, at least
_NOISE: Final = 0.06  # of a group's demand, as questions tell it: what is left of it is known no better
_ROUNDS: Final = 6
_CROWDS: Final = {"cell": _SAME_ISP, "here": 1.0 - _SAME_ISP, "of_service": _ANYWHERE}
"""Of which groups others may be meant too, and how many of those who are away."""


class Fit(NamedTuple):
    """What edges carried, as shares of groups: an edge reaches groups through crowds of viewers, each a group alone or
    many. ``ways`` (``slice_s, edge, crowd, share``) are parts of what the edge carried, ``parts`` (``slice_s, crowd,
    group, part, trust``) by how much of a way each group of the crowd is meant. Shares times parts of an edge add up to
    1. Both together are far fewer than the pairs of edges and groups."""

    ways: Table
    parts: Table


def fitted(
    heard: Table, missing: Table, polled: Table, rest: Table, groups: Table, span: tuple[int, int], kept: Kept
) -> Fit:
    """Shares that fit what is left of groups as nearly as they can, and what edges carried exactly.

    ``heard`` are questions of late of the slices of ``span``, with a ``weight``; ``missing`` is what each edge carried,
    by ``slice_s, edge``; ``polled`` is of `gslb.tables.polling.polls`. What an edge delivers to a group is its guess by
    a factor of the edge, ``x``, and one of the group, ``y``: so only factors change from round to round.
    """
    by_slice = partial(_by_slice, slices=-(-(span[1] - span[0]) // records.SLICE_S))
    edges = missing.mutate(number=ibis.dense_rank().over(order_by=missing.edge))
    edges = kept(by_slice(edges, edge_at="number"))
    ways, parts = _beginning(heard.join(edges, ["slice_s", "edge"]), polled, groups, by_slice, kept)
    factors = by_slice(rest.mutate(y=ibis.literal(1.0)), group_at="group", network_at="network")
    factors = kept(factors.drop("slice_s", "group", "network"))
    shown = kept(_edges(ways, parts, factors))
    nearer = _factors(ways, parts, shown, factors).select(*factors.columns)
    exact = _edges(ways, parts, factors)
    for _ in range(_ROUNDS):
        kept(nearer, instead_of=factors)
        kept(exact, instead_of=shown)
    ways = ways.join(shown, "edge_at")
    parts = parts.join(factors.select("group_at", "y", "trust"), "group_at")
    return Fit(
        ways.select("slice_s", "edge", "crowd", share=ways.guess * ways.x / ways.missing),
        parts.select("slice_s", "crowd", "group", part=parts.part * parts.y, trust="trust"),
    )


def alone(group: Any) -> Any:
    """The number of a crowd of one group that no way of what is `fitted` has."""
    return _crowd(len(_CROWDS) + 1, group)


def _factors(ways: Table, parts: Table, edges: Table, factors: Table) -> Table:
    """The groups with ``y`` brought nearer to what is left of them."""
    each = ways.join(edges, "edge_at")
    crowds = each.group_by("crowd_at").agg(bits=(each.guess * each.x).sum())
    each = parts.join(crowds, "crowd_at")
    groups = each.group_by("group_at").agg(bits=(each.bits * each.part).sum())
    found = factors.join(groups, "group_at")
    found = found.mutate(bits=found.bits * found.y)
    networks = found.group_by("network_at").agg(isp_bits=found.bits.sum())
    found = found.join(networks, "network_at")
    level = (found.isp_sent + found.isp_bits) / found.isp_demand.nullif(0.0)
    found = found.mutate(all=found.demand * beyond_doubt(level.fill_null(1.0)))
    found = found.mutate(rest=ibis.greatest(found["all"] - found.sent, _LEAST * found["all"]))
    firm = found.rest**2 / (found.rest**2 + (_NOISE * found["all"]) ** 2).nullif(0.0)
    change = (found.rest / found.bits.nullif(0.0)) ** firm
    return found.mutate(y=found.y * change.fill_null(1.0))


def _edges(ways: Table, parts: Table, factors: Table) -> Table:
    """The edges with an ``x`` that makes what they deliver add up to what they carried."""
    each = parts.join(factors.select("group_at", "y"), "group_at")
    crowds = each.group_by("crowd_at").agg(y=(each.part * each.y).sum())
    each = ways.join(crowds, "crowd_at")
    return each.group_by("edge_at").agg(x=each.missing.max() / (each.guess * each.y).sum().nullif(0.0))


def _beginning(
    heard: Table, polled: Table, groups: Table, by_slice: Callable[..., Table], kept: Kept
) -> tuple[Table, Table]:
    """Where fitting begins: who may be behind the questions that were answered with each edge. Ways with a ``guess``,
    and what is ``missing`` of the edge; and parts."""
    rows = heard.join(polled.select("slice_s", "group", "worth"), ["slice_s", "group"])
    bits, told = rows.questions * rows.weight * rows.worth, rows.ecs == 1
    edge = ("slice_s", "edge", "edge_at", "missing")
    rows = rows.group_by(*edge, "group").agg(
        near=(bits * ibis.ifelse(told, 1.0, 1.0 - _AWAY)).sum(),
        away=(bits * ibis.ifelse(told, 0.0, _AWAY)).sum(),
    )
    rows = kept(rows)
    away = rows.filter(rows.away > 0).join(groups.select("group", *_CROWDS), "group")
    within = kept(_within(polled, groups))
    ways = [rows.select(*edge, crowd=_crowd(0, rows.group), guess="near")]
    parts = [within.select("slice_s", "group", crowd=_crowd(0, within.group), part=ibis.literal(1.0))]
    for number, (kind, part) in enumerate(_CROWDS.items(), 1):
        sums = away.group_by(*edge, kind).agg(guess=away.away.sum() * part)
        ways.append(sums.select(*edge, crowd=_crowd(number, sums[kind]), guess="guess"))
        some = within.filter(within[f"in_{kind}"] > 0)
        parts.append(some.select("slice_s", "group", crowd=_crowd(number, some[kind]), part=f"in_{kind}"))
    all_ways = ibis.union(*ways)
    all_ways = kept(by_slice(all_ways.filter(all_ways.guess > 0), crowd_at="crowd"))
    all_parts = by_slice(ibis.union(*parts), crowd_at="crowd", group_at="group")
    return all_ways, kept(all_parts.semi_join(all_ways.select("crowd_at").distinct(), "crowd_at"))


def _crowd(kind: int, number: Any) -> Any:
    """A number of a crowd by its kind, and the number of that kind. Most are groups alone: these have it as it is."""
    return number.cast("int64") if kind == 0 else -(number.cast("int64") * (len(_CROWDS) + 1) + kind - 1)


def _by_slice(rows: Table, slices: int, **numbers: str) -> Table:
    """``rows`` of so many slices that follow each other with numbers that are others in each, and without gaps where
    the ``numbers`` that they are made of have none: engines join by one such number in half the time."""
    at = rows.slice_s // records.SLICE_S % slices
    return rows.mutate(**{name: rows[of].cast("int64") * slices + at for name, of in numbers.items()})


def _within(polled: Table, groups: Table) -> Table:
    """Of each group the part that it has in its crowds: viewers of its ISP, of its country, and if it is large of the
    service everywhere."""
    rows = polled.select("slice_s", "group", "demand").join(groups.select("group", *KINDS), "group")
    whole = rows.group_by("slice_s").agg(whole=rows.demand.sum())
    large = rows.join(whole, "slice_s").filter(lambda each: each.demand >= _LARGE * each.whole)
    of_large = large.group_by("slice_s", "of_service").agg(of_large=large.demand.sum())
    sums = {"view": "of_view", "network": "of_network", "of_country": "in_country"}
    found = beside(rows, {kind: {name: rows.demand.sum()} for kind, name in sums.items()}).join(whole, "slice_s")
    found = found.left_join(of_large, ["slice_s", "of_service"]).drop("slice_s_right", "of_service_right")
    is_large = found.demand >= _LARGE * found.whole
    return found.select(
        "slice_s",
        "group",
        *_CROWDS,
        in_cell=_part(found.of_view, found.of_network),
        in_here=_part(found.of_view, found.in_country),
        in_of_service=ibis.ifelse(is_large, _part(found.demand, found.of_large), 0.0),
    )


def _part(of: Any, whole: Any) -> Any:
    return (of / whole.nullif(0.0)).fill_null(0.0)
