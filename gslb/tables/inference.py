"""What the load of edges without a delivery log is made of: which services, asked for from where.

All of it is by slices of 300 s. Questions are the only witness, and no simple one: behind a resolver's cache one
question stands for one viewer or for a thousand, and viewers are elsewhere than their resolver. Questions with Client
Subnet are as good as a poll: caches keep them by client prefix, so that nearly each viewer asks, and they tell where he
is. So demand of a group is taken to be in proportion to them in the last hour, brought up to now by the trend of all
questions, and to add up to what all edges carried. What of it was not delivered by edges with a log was delivered by
those without: it is fitted to what each of them reported, beginning from the questions that were answered with it
(iterative proportional fitting).
"""

from __future__ import annotations

from typing import Any, Final

import ibis

from gslb.model import records
from gslb.tables.schemas import Table
from gslb.tables.shaping import Kept, start_s

LOOKBACK_S: Final = 3600
"""How long before the first bucket tables must reach."""
GROUP: Final = ("service", "country", "region", "isp")
RECENT: Final = 0.95
"""Trust in an edge's own log of the minutes before."""

_LAGS: Final = LOOKBACK_S // records.SLICE_S
_HALF_GONE_S: Final = 364.0  # of sessions of 10 min, log-sd 1: the median, and how steeply they end about it
_STEEP: Final = 1.7
_NEW: Final = 0.45  # of those who began in a slice so much is there in its mean
_HALF_A_SLICE: Final = 1.8  # by how much more ask again at the beginning of a slice than fading has in its mean
_DEAD: Final = 0.05  # of its load before: an edge that is down and has less left died
_OWN_LAGS: Final = 3  # slices in which an edge's own log, or what was answered with it, tells what it carries
_SERVICES: Final = 200.0  # questions by which a view's services are drawn to its country's
_TREND: Final = 170.0  # questions a slice by which a view's trend is drawn to its country's
_POLL: Final = 500.0  # questions with Client Subnet of a country in an hour that count as much as all others
_AWAY: Final = 0.4  # of questions without Client Subnet: from viewers elsewhere in the country, most of the same ISP
_SAME_ISP: Final = 0.8
_ANYWHERE: Final = 0.7  # as many as these once more: from viewers of any large group of the service
_LARGE: Final = 2e-4  # of all demand: such a group is large
_LEAST: Final = 0.02  # of a group's demand is with edges without a log, at least
_NOISE: Final = 0.08  # of a group's demand, as questions tell it: what is left of it is known no better
_WORTH: Final = 1000.0  # questions by which what a question is worth is drawn to what it is elsewhere
_WORTH_HERE: Final = 500.0
_WORTH_RANGE: Final = 4.0
_DOUBT: Final = 1.35  # an ISP's demand that is as much more or less than polled says nothing: so much is chance
_ROUNDS: Final = 6


def capacities(load: Table) -> Table:
    """The most that each edge reported to have: ``edge``, ``most_bps``."""
    return load.group_by("edge").agg(most_bps=load.capacity_bps.max())


def carried(asked: Table, delivered: Table, load: Table, most: Table) -> Table:
    """By ``edge, minute_s``: ``delivered_bits``; ``missing_bits`` that it carried beside, of minutes without a delivery
    log; ``told_bits`` of them as it reported. Where it did not, bits go by questions: as many as elsewhere in the
    network, and no more than its capacity, as `capacities` (``most``) has it."""
    zero = ibis.literal(0.0)
    sent = delivered.group_by("edge", "minute_s").agg(bits=delivered["bytes"].sum().cast("float64") * 8.0)
    heard = asked.group_by("edge", "minute_s").agg(questions=asked.questions.sum().cast("float64"))
    none = ibis.literal(0)
    rows = ibis.union(
        sent.select("edge", "minute_s", "bits", logged=none + 1, load=zero, told=none, questions=zero),
        load.select(
            "edge", "minute_s", bits=zero, logged=none, load=load.load_bps * 60.0, told=none + 1, questions=zero
        ),
        heard.select("edge", "minute_s", bits=zero, logged=none, load=zero, told=none, questions="questions"),
    )
    names = ("bits", "logged", "load", "told", "questions")
    found = rows.group_by("edge", "minute_s").agg(**{name: rows[name].sum() for name in names})
    found = found.left_join(most, "edge")
    known = (found.logged + found.told) > 0
    found = found.mutate(known=known, slice_s=start_s(found.minute_s, records.SLICE_S))
    by_slice = ibis.window(group_by="slice_s")
    carries = ibis.ifelse(found.logged > 0, found.bits, found.load)
    a_question = ibis.ifelse(found.known, carries, 0.0).sum().over(by_slice) / (
        ibis.ifelse(found.known, found.questions, 0.0).sum().over(by_slice).nullif(0.0)
    )
    guess = ibis.least(found.questions * a_question, (found.most_bps * 60.0).nullif(0.0)).fill_null(0.0)
    told = ibis.ifelse((found.logged == 0) & found.known, found.load, 0.0)
    return found.select(
        "edge",
        "minute_s",
        "slice_s",
        delivered_bits=found.bits,
        missing_bits=ibis.ifelse(found.known, told, guess),
        told_bits=told,
    )


def shares(
    asked: Table, delivered: Table, load: Table, edges: Table, *, first_s: int, until_s: int, kept: Kept
) -> Table:
    """Of edges without a delivery log (``edges`` of `carried`) in slices from ``first_s`` on, by ``slice_s, edge``: the
    ``share`` of each group in what it carried, and the ``trust`` in it."""
    span = (first_s, until_s)
    slices = edges.filter(edges.minute_s >= first_s)
    slices = slices.group_by("slice_s", "edge").agg(
        missing=slices.missing_bits.sum(), delivered=slices.delivered_bits.sum()
    )
    totals = slices.group_by("slice_s").agg(total=(slices.missing + slices.delivered).sum())
    missing = slices.filter(slices.missing > 0).select("slice_s", "edge", "missing")
    sent = delivered.mutate(slice_s=start_s(delivered.minute_s, records.SLICE_S), bits=delivered["bytes"] * 8.0)
    recent_s = first_s - (_OWN_LAGS - 1) * records.SLICE_S
    own = kept(_own(sent.filter(sent.slice_s >= recent_s), missing, span))
    others = missing.anti_join(own, ["slice_s", "edge"])
    polled = kept(polls(asked, load, kept(_worth(asked, sent, edges, span)), totals, span))
    rest = _rest(polled, sent, own, missing, first_s)
    fitted = _fitted(_beginning(asked.filter(asked.minute_s >= recent_s), polled, others, span), rest, kept)
    return own.select("slice_s", "edge", *GROUP, "share", trust=ibis.literal(RECENT)).union(fitted)


def polls(asked: Table, load: Table, worth: Table, totals: Table, span: tuple[int, int]) -> Table:
    """By slice and group: the ``demand`` bits that questions tell of, adding up to the ``total`` of ``totals``, and of
    how many questions with Client Subnet (``polled``) in the last hour."""
    rows = asked.mutate(slice_s=start_s(asked.minute_s, records.SLICE_S))
    rows = rows.group_by("slice_s", *GROUP).agg(
        ecs=rows.questions.sum(where=rows.ecs == 1).fill_null(0).cast("float64"),
        questions=rows.questions.sum().cast("float64"),
    )
    rows = _lagged(rows.union(_again(asked, load).select(*rows.columns)), span, _LAGS)
    rows = rows.group_by("slice_s", *GROUP).agg(
        ecs=ibis.greatest(rows.ecs.sum(), 0.0),
        questions=rows.questions.sum(),
        ecs_of_late=ibis.greatest((rows.ecs * rows.weight).sum(), 0.0),
        of_late=(rows.questions * rows.weight).sum(),
    )
    rows = rows.left_join(worth, ["slice_s", "service", "country", "isp"])
    rows = rows.drop(*(name for name in rows.columns if name.endswith("_right")))
    country, service, isp = _over("country"), _over("service", "country"), _over("country", "isp")
    of_service = rows.service_worth.max().over(_over("service")).fill_null(1.0)
    of_service *= rows.here_worth.max().over(service).fill_null(1.0)
    of_isp = rows.isp_worth.max().over(isp).fill_null(1.0)
    seen = ibis.least(rows.isp_ecs.max().over(isp).fill_null(0.0) / rows.ecs.sum().over(isp).nullif(0.0), 1.0)
    rows = rows.mutate(worth=of_service * _beyond_doubt(of_isp ** seen.fill_null(0.0)))
    scale = rows.ecs.sum().over(_over()) / rows.questions.sum().over(_over())
    scale = ibis.ifelse(scale > 0, scale, 1.0)
    others = scale * _POLL / (_POLL + rows.ecs.sum().over(country))
    rows = rows.mutate(poll=rows.ecs + others * rows.questions, of_late=rows.ecs_of_late + others * rows.of_late)
    usual = rows.of_late.sum().over(_over("service")) / rows.poll.sum().over(_over("service"))
    rows = rows.mutate(
        trend=(rows.of_late.sum().over(service) + _TREND * usual) / (rows.poll.sum().over(service) + _TREND)
    )
    view = _over("country", "region", "isp")
    usual = rows.poll.sum().over(service) / rows.poll.sum().over(country)
    rows = rows.mutate(
        level=rows.worth
        * (rows.poll + _SERVICES * usual)
        * (rows.poll.sum().over(view) / (rows.poll.sum().over(view) + _SERVICES))
        * rows.trend
    )
    rows = rows.join(totals, "slice_s")
    return rows.select(
        "slice_s", *GROUP, "worth", polled="ecs", demand=rows.level * rows.total / rows.level.sum().over(_over())
    )


def _worth(asked: Table, sent: Table, edges: Table, span: tuple[int, int]) -> Table:
    """What a question is worth, as edges with a log tell of the last hour: bits delivered for each question with Client
    Subnet. By slice, service, country and ISP: ``service_worth`` of the service against all, ``here_worth`` of it in
    the country against everywhere; ``isp_worth`` of the ISP against what its services make of it, by ``isp_ecs``
    questions."""
    key = ("slice_s", "service", "country", "isp")
    heard = asked.filter(asked.ecs == 1).semi_join(edges.filter(edges.delivered_bits > 0), ["edge", "minute_s"])
    heard = heard.mutate(slice_s=start_s(heard.minute_s, records.SLICE_S))
    heard = heard.group_by(*key).agg(ecs=heard.questions.sum().cast("float64"))
    bits = sent.group_by(*key).agg(bits=sent.bits.sum().cast("float64"))
    zero = ibis.literal(0.0)
    rows = ibis.union(heard.select(*key, "ecs", bits=zero), bits.select(*key, ecs=zero, bits="bits"))
    rows = _lagged(rows, span, _LAGS)
    rows = rows.group_by(*key).agg(ecs=rows.ecs.sum(), bits=rows.bits.sum())
    service, isp = _over("service"), _over("country", "isp")
    a_question = rows.bits.sum().over(_over()) / rows.ecs.sum().over(_over()).nullif(0.0)
    rows = rows.mutate(a_question=a_question)
    rows = rows.mutate(
        service_worth=(rows.bits.sum().over(service) / rows.a_question + _WORTH)
        / (rows.ecs.sum().over(service) + _WORTH)
    )
    rows = rows.mutate(usual=rows.ecs * rows.service_worth, bits=rows.bits / rows.a_question)
    country, here = _over("country"), _over("service", "country")
    # Against other services of the country: whether its viewers are sent to edges with a log is the same for all.
    level = (rows.bits.sum().over(country) / rows.usual.sum().over(country).nullif(0.0)).nullif(0.0)
    here_worth = (rows.bits.sum().over(here) / level + _WORTH_HERE) / (rows.usual.sum().over(here) + _WORTH_HERE)
    rows = rows.mutate(here_worth=here_worth.fill_null(1.0).clip(1.0 / _WORTH_RANGE, _WORTH_RANGE))
    rows = rows.mutate(usual=rows.usual * rows.here_worth)
    rows = rows.mutate(
        isp_worth=(rows.bits.sum().over(isp) + _WORTH) / (rows.usual.sum().over(isp) + _WORTH),
        isp_ecs=rows.ecs.sum().over(isp),
    )
    isp_worth = rows.isp_worth.clip(1.0 / _WORTH_RANGE, _WORTH_RANGE)
    return rows.select(*key, "service_worth", "here_worth", "isp_ecs", isp_worth=isp_worth)


def _again(asked: Table, load: Table) -> Table:
    """Who asks again because his edge died, to be taken off: those who were there, in the slice of its death."""
    rows = load.group_by("edge", slice_s=start_s(load.minute_s, records.SLICE_S)).agg(
        mean=load.load_bps.mean(), least=load.load_bps.min(), down=load.down.sum()
    )
    before = ibis.window(group_by="edge", order_by="slice_s")
    rows = rows.mutate(was_s=rows.slice_s.lag().over(before), was=rows["mean"].lag().over(before))
    died = (rows.down > 0) & (rows.was_s == rows.slice_s - records.SLICE_S) & (rows.least < rows.was * _DEAD)
    fallen = rows.filter(died.fill_null(False)).select("slice_s", "edge")
    there = asked.filter(asked.ecs == 1).semi_join(fallen, "edge")
    there = there.mutate(slice_s=start_s(there.minute_s, records.SLICE_S))
    there = there.group_by("slice_s", "edge", *GROUP).agg(ecs=there.questions.sum().cast("float64"))
    there = _faded(there, _LAGS)
    there = there.filter(there.lag_s > 0).join(fallen, ["slice_s", "edge"])
    there = there.group_by("slice_s", *GROUP).agg(ecs=(there.ecs * there.weight).sum() * -_HALF_A_SLICE)
    return there.mutate(questions=ibis.literal(0.0))


def trust(polled: Any) -> Any:
    """1 − the relative error that is expected of what ``polled`` questions tell."""
    return 0.9 - 1.0 / (polled + 4.0).sqrt()


def _beyond_doubt(factor: Any) -> Any:
    """What is left of a factor where `_DOUBT` is taken off it."""
    return ibis.cases((factor > _DOUBT, factor / _DOUBT), (factor < 1.0 / _DOUBT, factor * _DOUBT), else_=1.0)


def _own(sent: Table, missing: Table, span: tuple[int, int]) -> Table:
    """Shares of edges that sent a log of some minutes of late."""
    rows = sent.group_by("slice_s", "edge", *GROUP).agg(bits=sent.bits.sum())
    rows = _lagged(rows, span, _OWN_LAGS)
    rows = rows.group_by("slice_s", "edge", *GROUP).agg(bits=(rows.bits * rows.weight).sum())
    rows = rows.join(missing, ["slice_s", "edge"])
    rows = rows.mutate(share=rows.bits / rows.bits.sum().over(_over("edge")).nullif(0.0))
    return rows.filter(rows.share > 0).select("slice_s", "edge", *GROUP, "share", "missing")


def _rest(polled: Table, sent: Table, own: Table, missing: Table, first_s: int) -> Table:
    """What of each group's demand is left for edges whose log tells nothing: ``rest``."""
    now = sent.filter(sent.minute_s >= first_s)
    zero = ibis.literal(0.0)
    rows = ibis.union(
        polled.drop("worth"),
        now.select("slice_s", *GROUP, polled=zero, demand=-now.bits),
        own.select("slice_s", *GROUP, polled=zero, demand=-own.share * own.missing),
    )
    rows = rows.group_by("slice_s", *GROUP).agg(
        polled=rows.polled.sum(),
        sent=-ibis.least(rows.demand, 0.0).sum(),
        demand=ibis.greatest(rows.demand, 0.0).sum(),
    )
    isp = _over("country", "isp")
    return rows.select(
        "slice_s",
        *GROUP,
        "sent",
        "demand",
        isp_sent=rows.sent.sum().over(isp),
        isp_demand=rows.demand.sum().over(isp),
        trust=trust(rows.polled),
    )


def _beginning(asked: Table, polled: Table, edges: Table, span: tuple[int, int]) -> Table:
    """Where fitting begins: who may be behind the questions that were answered with each edge, ``guess``."""
    rows = asked.mutate(slice_s=start_s(asked.minute_s, records.SLICE_S))
    rows = rows.group_by("slice_s", "edge", "ecs", *GROUP).agg(questions=rows.questions.sum().cast("float64"))
    rows = _lagged(rows, span, _OWN_LAGS)
    rows = rows.join(edges, ["slice_s", "edge"])
    rows = rows.join(polled.select("slice_s", *GROUP, "worth"), ["slice_s", *GROUP])
    bits, told = rows.questions * rows.weight * rows.worth, rows.ecs == 1
    rows = rows.group_by("slice_s", "edge", "missing", *GROUP).agg(
        near=(bits * ibis.ifelse(told, 1.0, 1.0 - _AWAY)).sum(),
        away=(bits * ibis.ifelse(told, 0.0, _AWAY)).sum(),
    )
    key = ("slice_s", "edge", "missing", "service")
    views = polled.group_by("slice_s", "country", "region", "isp").agg(demand=polled.demand.sum())
    views = views.filter(views.demand > 0)
    of_isp = views.mutate(part=views.demand / views.demand.sum().over(_over("country", "isp"))).drop("demand")
    of_country = views.mutate(part=views.demand / views.demand.sum().over(_over("country"))).drop("demand")
    isps = rows.group_by(*key, "country", "isp").agg(away=rows.away.sum() * _SAME_ISP)
    isps = isps.join(of_isp, ["slice_s", "country", "isp"])
    countries = rows.group_by(*key, "country").agg(away=rows.away.sum() * (1.0 - _SAME_ISP))
    countries = countries.join(of_country, ["slice_s", "country"])
    large = polled.mutate(part=polled.demand / polled.demand.sum().over(_over()))
    large = large.filter(large.part >= _LARGE)
    large = large.mutate(part=large.demand / large.demand.sum().over(_over("service")))
    services = rows.group_by(*key).agg(away=rows.away.sum() * _ANYWHERE)
    services = services.join(large.select("slice_s", *GROUP, "part"), ["slice_s", "service"])
    columns = [*key, "country", "region", "isp"]
    found = ibis.union(
        rows.select(*columns, guess="near"),
        isps.select(*columns, guess=isps.away * isps.part),
        countries.select(*columns, guess=countries.away * countries.part),
        services.select(*columns, guess=services.away * services.part),
    )
    found = found.group_by(*columns).agg(guess=found.guess.sum())
    return found.filter(found.guess > 0)


def _fitted(beginning: Table, rest: Table, kept: Kept) -> Table:
    """Shares that fit what is left of groups as nearly as they can, and what edges carried exactly.

    What an edge delivers to a group is its guess by a factor of the edge, ``x``, and one of the group, ``y``: so only
    factors change from round to round, and groups go by numbers.
    """
    rest = kept(rest.mutate(group=ibis.row_number().over(group_by="slice_s", order_by=list(GROUP))))
    rows = beginning.join(rest, ["slice_s", *GROUP]).select("slice_s", "edge", "group", "guess", "missing")
    rows = kept(rows)
    groups = rest.drop("service", "region", "trust").mutate(y=ibis.literal(1.0))
    edges = kept(rows.group_by("slice_s", "edge").agg(x=rows.missing.max() / rows.guess.sum()))
    for _ in range(_ROUNDS):
        each = rows.join(edges, ["slice_s", "edge"])
        fitted = each.group_by("slice_s", "group").agg(bits=(each.guess * each.x).sum())
        found = groups.join(fitted, ["slice_s", "group"])
        found = found.mutate(bits=found.bits * found.y)
        level = (found.isp_sent + found.bits.sum().over(_over("country", "isp"))) / found.isp_demand.nullif(0.0)
        found = found.mutate(all=found.demand * _beyond_doubt(level.fill_null(1.0)))
        found = found.mutate(rest=ibis.greatest(found["all"] - found.sent, _LEAST * found["all"]))
        firm = found.rest**2 / (found.rest**2 + (_NOISE * found["all"]) ** 2).nullif(0.0)
        change = (found.rest / found.bits.nullif(0.0)) ** firm
        found = found.mutate(y=found.y * change.fill_null(1.0))
        groups = kept(found.select(*groups.columns))
        each = rows.join(groups, ["slice_s", "group"])
        edges = each.group_by("slice_s", "edge").agg(x=each.missing.max() / (each.guess * each.y).sum().nullif(0.0))
        edges = kept(edges)
    found = rows.join(edges, ["slice_s", "edge"]).join(groups.select("slice_s", "group", "y"), ["slice_s", "group"])
    found = found.mutate(share=found.guess * found.x * found.y / found.missing)
    found = found.filter(found.share > 0).join(rest.select("slice_s", "group", *GROUP, "trust"), ["slice_s", "group"])
    return found.select("slice_s", "edge", *GROUP, "share", "trust")


def _lagged(rows: Table, span: tuple[int, int], lags: int) -> Table:
    """Each row once for each slice of ``span`` that it tells of, its own and those after it, with a ``weight``."""
    rows = _faded(rows, lags)
    first_s, until_s = span
    return rows.filter((rows.slice_s >= first_s) & (rows.slice_s < until_s)).drop("lag_s")


def _faded(rows: Table, lags: int) -> Table:
    """Each row once for its own slice and each of those after it, ``lag_s`` later, with a ``weight`` that fades."""
    rows = rows.mutate(lag_s=ibis.array([lag * records.SLICE_S for lag in range(lags)]).unnest())
    rows = rows.mutate(lag_s=rows.lag_s.cast("int64"))
    # So many of those who came then are still there: a log-normal length, of which the log-logistic is next of kin. Who
    # came in the same slice has watched for half of it in the mean. Whole numbers would be divided as decimals.
    fading = ibis.ifelse(rows.lag_s == 0, _NEW, 1.0 / (1.0 + (rows.lag_s.cast("float64") / _HALF_GONE_S) ** _STEEP))
    return rows.mutate(slice_s=rows.slice_s + rows.lag_s, weight=fading)


def _over(*columns: str) -> Any:
    return ibis.window(group_by=["slice_s", *columns])
