"""What questions tell of demand: how it is spread over groups, and what a question is worth.

Questions are no simple witness: behind a resolver's cache one stands for one viewer or for a thousand, and viewers are
elsewhere than their resolver. Questions with Client Subnet are as good as a poll: caches keep them by client prefix, so
that nearly each viewer asks, and they tell where he is. So demand of a group is taken to be in proportion to them in
the last hour, brought up to now by the trend of all questions, and to add up to what all edges carried.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import ibis

from gslb.model import records
from gslb.tables.fading import been, faded, lagged
from gslb.tables.numbers import KINDS, beside
from gslb.tables.schemas import Table
from gslb.tables.shaping import Kept, start_s

LAGS: Final = 12
"""Slices whose questions tell of demand: an hour of them."""

_HALF_A_SLICE: Final = 1.8  # by how much more ask again at the beginning of a slice than fading has in its mean
_DEAD: Final = 0.05  # of its load before: an edge that is down and has less left died
_SERVICES: Final = 250.0  # questions by which a view's services are drawn to its country's
_TREND: Final = 220.0  # questions a slice by which a view's trend is drawn to its country's
_POLL: Final = 400.0  # questions with Client Subnet of a country in an hour that count as much as all others
_WORTH: Final = 1000.0  # questions by which what a question is worth is drawn to what it is elsewhere
_WORTH_HERE: Final = 500.0
_WORTH_RANGE: Final = 4.0
_DOUBT: Final = 1.45  # an ISP's demand that is as much more or less than polled says nothing: so much is chance


class Worth(NamedTuple):
    """What a question is worth by what edges with a log tell of the last hour: bits delivered for each question with
    Client Subnet, by slice. ``services``: of each service against all (``of_service, service_worth``); ``here``: of it
    in a country against everywhere (``here, here_worth``); ``networks``: of an ISP in a country against what its
    services make of it, by ``isp_ecs`` questions (``network, isp_worth``)."""

    services: Table
    here: Table
    networks: Table


def asking(heard: Table) -> Table:
    """By slice and group the ``questions``, and those with Client Subnet, ``ecs``."""
    return heard.group_by("slice_s", "group").agg(
        ecs=heard.questions.sum(where=heard.ecs == 1).fill_null(0.0), questions=heard.questions.sum()
    )


def seen(heard: Table, sent: Table, groups: Table) -> Table:
    """By slice and ``cell`` the ``bits`` of delivery logs, and questions with Client Subnet, ``ecs``, of minutes with
    such a log."""
    zero = ibis.literal(0.0)
    rows = ibis.union(
        heard.filter((heard.ecs == 1) & (heard.logged > 0)).select("slice_s", "group", ecs="logged", bits=zero),
        sent.select("slice_s", "group", ecs=zero, bits="bits"),
    )
    rows = rows.join(groups.select("group", "cell"), "group")
    return rows.group_by("slice_s", "cell").agg(ecs=rows.ecs.sum(), bits=rows.bits.sum())


def worth(seen: Table, groups: Table, span: tuple[int, int], kept: Kept) -> Worth:
    """What a question is worth in slices of ``span``, by what was `seen`; ``groups`` are of `gslb.tables.numbers`."""
    rows = lagged(seen, span, LAGS)
    rows = rows.group_by("slice_s", "cell").agg(ecs=(rows.ecs * been(rows, LAGS)).sum(), bits=rows.bits.sum())
    cells = groups.select("cell", "of_service", "of_country", "here", "network").distinct()
    rows = kept(rows.join(cells, "cell").drop("cell"))
    rows = beside(rows, {"": {"all_bits": rows.bits.sum(), "all_ecs": rows.ecs.sum()}})
    rows = rows.mutate(bits=rows.bits * rows.all_ecs / rows.all_bits.nullif(0.0)).drop("all_bits", "all_ecs")
    rows = kept(rows)
    services = rows.group_by("slice_s", "of_service").agg(
        service_worth=(rows.bits.sum() + _WORTH) / (rows.ecs.sum() + _WORTH)
    )
    rows = rows.join(services, ["slice_s", "of_service"])
    rows = kept(rows.mutate(usual=rows.ecs * rows.service_worth))
    # Against other services of the country: whether its viewers are sent to edges with a log is the same for all.
    country = rows.group_by("slice_s", "of_country").agg(level=rows.bits.sum() / rows.usual.sum().nullif(0.0))
    here = rows.group_by("slice_s", "of_country", "here").agg(bits=rows.bits.sum(), usual=rows.usual.sum())
    here = here.join(country, ["slice_s", "of_country"])
    here_worth = (here.bits / here.level.nullif(0.0) + _WORTH_HERE) / (here.usual + _WORTH_HERE)
    here = here.select("slice_s", "here", here_worth=_in_range(here_worth.fill_null(1.0)))
    rows = rows.join(here, ["slice_s", "here"])
    networks = rows.group_by("slice_s", "network").agg(
        isp_worth=_in_range((rows.bits.sum() + _WORTH) / ((rows.usual * rows.here_worth).sum() + _WORTH)),
        isp_ecs=rows.ecs.sum(),
    )
    return Worth(services, kept(here), kept(networks))


def polls(asking: Table, groups: Table, worths: Worth, totals: Table, span: tuple[int, int], kept: Kept) -> Table:
    """By slice and group: the ``demand`` bits that questions tell of, adding up to the ``total`` of ``totals``; of how
    many questions with Client Subnet (``polled``) in the last hour; and what a question is ``worth``. ``asking`` are
    questions, less those who asked `again`."""
    rows = lagged(asking, span, LAGS)
    rows = rows.group_by("slice_s", "group").agg(
        ecs=ibis.greatest(rows.ecs.sum(), 0.0),
        questions=rows.questions.sum(),
        ecs_of_late=ibis.greatest((rows.ecs * rows.weight).sum(), 0.0),
        of_late=(rows.questions * rows.weight).sum(),
    )
    rows = kept(rows.join(groups.select("group", *KINDS), "group"))
    sums = {
        "": {"all_ecs": rows.ecs.sum(), "all_questions": rows.questions.sum()},
        "of_country": {"country_ecs": rows.ecs.sum()},
    }
    rows = _with_worth(beside(rows, sums), worths)
    scale = rows.all_ecs / rows.all_questions.nullif(0.0)
    others = ibis.ifelse(scale > 0, scale, 1.0) * _POLL / (_POLL + rows.country_ecs)
    rows = rows.mutate(poll=rows.ecs + others * rows.questions, of_late=rows.ecs_of_late + others * rows.of_late)
    rows = kept(rows.select("slice_s", "group", *KINDS, "worth", "ecs", "poll", "of_late"))
    sums = {
        "of_service": {"usual_trend": rows.of_late.sum() / rows.poll.sum()},
        "here": {"here_poll": rows.poll.sum(), "here_of_late": rows.of_late.sum()},
        "of_country": {"country_poll": rows.poll.sum()},
        "view": {"view_poll": rows.poll.sum()},
    }
    rows = beside(rows, sums)
    trend = (rows.here_of_late + _TREND * rows.usual_trend) / (rows.here_poll + _TREND)
    of_services = rows.poll + _SERVICES * rows.here_poll / rows.country_poll
    level = rows.worth * of_services * (rows.view_poll / (rows.view_poll + _SERVICES)) * trend
    rows = kept(rows.select("slice_s", "group", "worth", polled="ecs", level=level))
    rows = beside(rows, {"": {"levels": rows.level.sum()}}).join(totals, "slice_s")
    return rows.select("slice_s", "group", "worth", "polled", demand=rows.level * rows.total / rows.levels)


def trust(polled: Any) -> Any:
    """1 − the relative error that is expected of what ``polled`` questions tell."""
    return 0.9 - 1.0 / (polled + 4.0).sqrt()


def beyond_doubt(factor: Any) -> Any:
    """What is left of a factor where `_DOUBT` is taken off it."""
    return ibis.cases((factor > _DOUBT, factor / _DOUBT), (factor < 1.0 / _DOUBT, factor * _DOUBT), else_=1.0)


def _with_worth(rows: Table, worths: Worth) -> Table:
    """Rows with ``worth``: of its service, of it in its country, and of its ISP as far as logs have seen of it."""
    networks = (
        rows.group_by("slice_s", "network")
        .agg(network_ecs=rows.ecs.sum())
        .join(worths.networks, ["slice_s", "network"])
    )
    rows = rows.left_join(worths.services, ["slice_s", "of_service"]).drop("slice_s_right", "of_service_right")
    rows = rows.left_join(worths.here, ["slice_s", "here"]).drop("slice_s_right", "here_right")
    rows = rows.left_join(networks, ["slice_s", "network"]).drop("slice_s_right", "network_right")
    seen = ibis.least(rows.isp_ecs / rows.network_ecs.nullif(0.0), 1.0).fill_null(0.0)
    of_service = rows.service_worth.fill_null(1.0) * rows.here_worth.fill_null(1.0)
    return rows.mutate(worth=of_service * beyond_doubt(rows.isp_worth.fill_null(1.0) ** seen))


def again(heard: Table, load: Table) -> Table:
    """Who asks again because his edge died, to be taken off what is `asking`: those who were there, in the slice of its
    death."""
    rows = load.group_by("edge", slice_s=start_s(load.minute_s, records.SLICE_S)).agg(
        mean=load.load_bps.mean(), least=load.load_bps.min(), down=load.down.sum()
    )
    before = ibis.window(group_by="edge", order_by="slice_s")
    rows = rows.mutate(was_s=rows.slice_s.lag().over(before), was=rows["mean"].lag().over(before))
    died = (rows.down > 0) & (rows.was_s == rows.slice_s - records.SLICE_S) & (rows.least < rows.was * _DEAD)
    fallen = rows.filter(died.fill_null(False)).select("slice_s", "edge")
    there = heard.filter(heard.ecs == 1).semi_join(fallen, "edge").select("slice_s", "edge", "group", ecs="questions")
    there = faded(there, LAGS)
    there = there.filter(there.lag_s > 0).join(fallen, ["slice_s", "edge"])
    there = there.group_by("slice_s", "group").agg(ecs=(there.ecs * there.weight).sum() * -_HALF_A_SLICE)
    return there.select("slice_s", "group", "ecs", questions=ibis.literal(0.0))


def _in_range(factor: Any) -> Any:
    return factor.clip(1.0 / _WORTH_RANGE, _WORTH_RANGE)
