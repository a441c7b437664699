"""What the load of edges without a delivery log is made of: which services, asked for from where.

All of it is by slices of 300 s. Demand of groups is what questions tell of it (`gslb.tables.polling`). What of it was
not delivered by edges with a log was delivered by those without: it is fitted to what each of them reported, beginning
from the questions that were answered with it (`gslb.tables.fitting`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import ibis

from gslb.model import records
from gslb.tables import cuts, numbers, polling
from gslb.tables.fading import lagged
from gslb.tables.fitting import Fit, alone, fitted
from gslb.tables.numbers import beside
from gslb.tables.schemas import Table
from gslb.tables.shaping import Kept, start_s

LOOKBACK_S: Final = polling.LAGS * records.SLICE_S
"""How long before the first bucket tables must reach."""
RECENT: Final = 0.95
"""Trust in an edge's own log of the minutes before."""

_OWN_LAGS: Final = 3  # slices in which an edge's own log, or what was answered with it, tells what it carries


class Told(NamedTuple):
    """What logs and reports tell: ``load`` as `LOAD`, ``edges`` of `carried`, the tables of `numbers`, and what they
    come to by slice: ``asking`` and ``seen`` of `polling`."""

    load: Table
    edges: Table
    groups: Table
    asked: Table
    delivered: Table
    heard: Table
    sent: Table
    asking: Table
    seen: Table


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


def told(asked: Table, delivered: Table, load: Table, most: Table, kept: Kept) -> Told:
    """What tables of some time tell, where edges can carry what `capacities` (``most``) has; shares may be made of
    parts of it."""
    edges = kept(carried(asked, delivered, load, most))
    groups = kept(numbers.numbered(asked, delivered))
    asked, delivered = kept(numbers.asked(asked, groups)), kept(numbers.delivered(delivered, groups))
    heard, sent = kept(numbers.heard(asked, edges)), kept(numbers.sent(delivered))
    asking, seen = kept(polling.asking(heard)), kept(polling.seen(heard, sent, groups))
    return Told(load, edges, groups, asked, delivered, heard, sent, asking, seen)


def shares(told: Told, first_s: int, until_s: int, kept: Kept) -> Fit:
    """What edges without a delivery log carried in slices from ``first_s`` on. Looks back `LOOKBACK_S` and no
    further."""
    span, groups = (first_s, until_s), told.groups
    heard, sent, asking, seen = (
        cuts.between(each, "slice_s", first_s - LOOKBACK_S, until_s)
        for each in (told.heard, told.sent, told.asking, told.seen)
    )
    load = cuts.between(told.load, "minute_s", first_s - LOOKBACK_S, until_s)
    slices = cuts.between(told.edges, "minute_s", first_s, until_s)
    slices = slices.group_by("slice_s", "edge").agg(
        missing=slices.missing_bits.sum(), delivered=slices.delivered_bits.sum()
    )
    slices = kept(slices)
    totals = slices.group_by("slice_s").agg(total=(slices.missing + slices.delivered).sum())
    missing = slices.filter(slices.missing > 0).select("slice_s", "edge", "missing")
    recent_s = first_s - (_OWN_LAGS - 1) * records.SLICE_S
    own = kept(_own(sent.filter(sent.slice_s >= recent_s), missing, span))
    others = missing.anti_join(own, ["slice_s", "edge"])
    worths = polling.worth(seen, groups, span, kept)
    asking = asking.union(polling.again(heard, load))
    polled = kept(polling.polls(asking, groups, worths, totals, span, kept))
    rest = _rest(polled, sent.filter(sent.slice_s >= first_s), own, groups, kept)
    late = heard.filter(heard.slice_s >= recent_s).semi_join(others.select("edge").distinct(), "edge")
    late = lagged(late, span, _OWN_LAGS)
    ways, parts = fitted(late, others, polled, rest, groups, span, kept)
    ways = ways.union(own.select("slice_s", "edge", crowd=alone(own.group), share="share"))  # by their own logs
    some = own.select("slice_s", "group").distinct()
    known = some.select(
        "slice_s", crowd=alone(some.group), group="group", part=ibis.literal(1.0), trust=ibis.literal(RECENT)
    )
    return Fit(kept(ways), kept(parts.union(known)))


def _own(sent: Table, missing: Table, span: tuple[int, int]) -> Table:
    """Shares of edges that sent a log of some minutes of late."""
    rows = lagged(sent.semi_join(missing.select("edge").distinct(), "edge"), span, _OWN_LAGS)
    rows = rows.group_by("slice_s", "edge", "group").agg(bits=(rows.bits * rows.weight).sum())
    rows = rows.join(missing, ["slice_s", "edge"])
    whole = rows.bits.sum().over(ibis.window(group_by=["slice_s", "edge"]))
    rows = rows.mutate(share=rows.bits / whole.nullif(0.0))
    return rows.filter(rows.share > 0).select("slice_s", "edge", "group", "share", "missing")


def _rest(polled: Table, sent: Table, own: Table, groups: Table, kept: Kept) -> Table:
    """What of each group's ``demand`` was ``sent`` by edges whose log tells of it, the same of its network, and the
    ``trust`` in its demand."""
    zero = ibis.literal(0.0)
    rows = ibis.union(
        polled.select("slice_s", "group", "polled", "demand", sent=zero),
        sent.select("slice_s", "group", polled=zero, demand=zero, sent="bits"),
        own.select("slice_s", "group", polled=zero, demand=zero, sent=own.share * own.missing),
    )
    rows = rows.group_by("slice_s", "group").agg(**{name: rows[name].sum() for name in ("polled", "demand", "sent")})
    rows = kept(rows.join(groups.select("group", "network"), "group"))
    rows = beside(rows, {"network": {"isp_sent": rows.sent.sum(), "isp_demand": rows.demand.sum()}})
    return kept(rows.mutate(trust=polling.trust(rows.polled)).drop("polled"))
