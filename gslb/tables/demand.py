"""Demand: what viewers asked for, by service and place, of what was delivered, reported and asked.

Where an edge sent a delivery log of a minute, its bits are known, and from where. Of other edges the load is known,
from their reports, and what it is made of is inferred (`gslb.tables.inference`), so that the demand of an edge always
adds up to what it carried. The view is the viewers' own place; servers look plans up by the view that they take a
client to be in, which is another where its resolver tells no Client Subnet.
"""

from __future__ import annotations

from typing import Any, Final

import ibis

from gslb.model import records
from gslb.tables import cuts, inference
from gslb.tables.fitting import Fit
from gslb.tables.inference import LOOKBACK_S, Told
from gslb.tables.numbers import GROUP
from gslb.tables.schemas import Table
from gslb.tables.shaping import Kept, shaped, start_s

__all__ = ["LOOKBACK_S", "Told", "demand", "fitted", "told", "whole"]

MIXED_FROM: Final = 0.001
"""Where less than this part of a group is inferred it counts as delivered, and the other way round."""


def told(asked: Table, delivered: Table, load: Table, *, from_s: int, until_s: int, kept: Kept) -> Told:
    """What `ASKED`, `DELIVERED` and `LOAD` tell of demand in [from_s, until_s), seconds since 1970, and in `LOOKBACK_S`
    before it. The load may reach further back: by all of it is known what edges can carry. Parts of the time may be
    fitted one by one. ``kept`` computes a table that is used several times."""
    first_s = start_s(from_s, records.SLICE_S) - LOOKBACK_S
    most = inference.capacities(load)
    asked, delivered, load = (cuts.between(each, "minute_s", first_s, until_s) for each in (asked, delivered, load))
    return inference.told(asked, delivered, load, most, kept)


def fitted(told: Told, *, from_s: int, until_s: int, kept: Kept) -> Fit:
    """Of what edges without a delivery log carried in the slices that [from_s, until_s) touches the shares of groups.
    ``until_s`` is where a slice ends, or where what is ``told`` does."""
    return inference.shares(told, start_s(from_s, records.SLICE_S), until_s, kept)


def demand(told: Told, fit: Fit, *, bucket_s: int, from_s: int, until_s: int) -> Table:
    """`DEMAND` in buckets of ``bucket_s`` (a part of 300) that begin in [from_s, until_s), by the `fitted` shares of
    that time. There is a row for each group that asked for something. What an edge reported in minutes without a
    delivery log is spread over the groups that it is taken to have served; load of an edge that nobody was sent to is
    no demand.

    ``confidence`` is 1 − the relative error to be expected: 1 of what was delivered; of what was inferred by the edge's
    own log of the minutes before `inference.RECENT`; else by how many questions with Client Subnet tell of the group,
    `polling.trust`, and half of it where the edge reported no load.
    """
    missing, delivered, asked = (
        cuts.between(table, "minute_s", from_s, until_s) for table in (told.edges, told.delivered, told.asked)
    )
    parts = [_spread(missing.filter(missing.missing_bits > 0), fit, bucket_s)]
    known = delivered.group_by("group", start_s=start_s(delivered.minute_s, bucket_s)).agg(
        bits=delivered.bits.sum(), sessions_started=delivered.sessions_started.sum()
    )
    parts.append(_part(known, delivered=known.bits, trusted=known.bits, sessions_started=known.sessions_started))
    heard = asked.group_by("group", start_s=start_s(asked.minute_s, bucket_s)).agg(questions=asked.questions.sum())
    parts.append(_part(heard, questions=heard.questions))
    rows = ibis.union(*parts)
    total = rows.group_by("group", "start_s").agg(
        delivered=rows.delivered.sum(),
        inferred=rows.inferred.sum(),
        trusted=rows.trusted.sum(),
        sessions_started=rows.sessions_started.sum(),
        questions=rows.questions.sum(),
    )
    total = total.mutate(bits=total.delivered + total.inferred)
    total = total.filter(total.bits > 0).join(told.groups.select(*GROUP, "group"), "group")
    found = total.select(
        *GROUP,
        "sessions_started",
        "questions",
        time=total.start_s.as_timestamp("s"),
        demand_bps=total.bits / bucket_s,
        delivered_bps=total.delivered / bucket_s,
        inferred_bps=total.inferred / bucket_s,
        source=ibis.cases(
            (total.inferred < total.bits * MIXED_FROM, "delivered"),
            (total.delivered < total.bits * MIXED_FROM, "inferred"),
            else_="mixed",
        ),
        confidence=ibis.least(total.trusted / total.bits, 1.0),
    )
    return shaped(found, records.DEMAND)


def whole(
    asked: Table, delivered: Table, load: Table, *, bucket_s: int, from_s: int, until_s: int, kept: Kept
) -> Table:
    """`DEMAND` of a time that is fitted at once."""
    found = told(asked, delivered, load, from_s=from_s, until_s=until_s, kept=kept)
    fit = fitted(found, from_s=from_s, until_s=until_s, kept=kept)
    return demand(found, fit, bucket_s=bucket_s, from_s=from_s, until_s=until_s)


def _spread(missing: Table, fit: Fit, bucket_s: int) -> Table:
    """What edges carried without a log, over groups by their shares. Shares are of a whole slice: its buckets are
    columns until they are added up, so that there is a row for each share and not for each of its buckets."""
    at = missing.minute_s % records.SLICE_S // bucket_s
    numbers = range(records.SLICE_S // bucket_s)
    of = {f"bits_{n}": missing.missing_bits.sum(where=at == n).fill_null(0.0) for n in numbers}
    of |= {f"told_{n}": missing.told_bits.sum(where=at == n).fill_null(0.0) for n in numbers}
    rows = missing.group_by("edge", "slice_s").agg(**of).join(fit.ways, ["edge", "slice_s"])
    rows = rows.group_by("slice_s", "crowd").agg(**{name: (rows[name] * rows.share).sum() for name in of})
    rows = rows.join(fit.parts, ["slice_s", "crowd"])
    trusted = rows.part * rows.trust / 2.0
    rows = rows.group_by("slice_s", "group").agg(
        **{f"bits_{n}": (rows[f"bits_{n}"] * rows.part).sum() for n in numbers},
        **{f"trusted_{n}": ((rows[f"told_{n}"] + rows[f"bits_{n}"]) * trusted).sum() for n in numbers},
    )
    rows = rows.mutate(number=ibis.array(list(numbers)).unnest())
    number = rows.number.cast("int64")
    inferred, trusted = (
        ibis.cases(*((number == n, rows[f"{name}_{n}"]) for n in numbers), else_=0.0) for name in ("bits", "trusted")
    )
    return rows.select(
        "group",
        start_s=rows.slice_s + number * bucket_s,
        delivered=ibis.literal(0.0),
        inferred=inferred,
        trusted=trusted,
        sessions_started=rows.slice_s * 0,
        questions=rows.slice_s * 0,
    ).filter(lambda each: each.inferred > 0)


def _part(table: Table, **columns: Any) -> Table:
    """Rows of one of the parts that are added up, 0 where they say nothing."""
    real = {name: columns.get(name, ibis.literal(0.0)) for name in ("delivered", "inferred", "trusted")}
    whole = {name: columns.get(name, table.start_s * 0) for name in ("sessions_started", "questions")}
    return table.select("group", "start_s", **real, **whole)
