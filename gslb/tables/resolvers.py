"""Which views stand behind a resolver: what Client Subnet tells of some questions, for those that come without."""

from __future__ import annotations

from typing import Any, Final

import ibis

from gslb.model import records
from gslb.tables.schemas import Table
from gslb.tables.shaping import CLIENT, RESOLVER, one_of_each, packed, parted, shaped, unpacked

MIN_QUESTIONS: Final = 100
"""Of a resolver in an hour: of fewer nothing is learned."""
MIN_SHARE: Final = 0.01
"""Of a view among a resolver's questions: below that it is noise."""


def resolvers(behind: Table, hour_s: int, *, min_questions: int = MIN_QUESTIONS, min_share: float = MIN_SHARE) -> Table:
    """`RESOLVERS` of the hour that begins at ``hour_s``, seconds since 1970.

    Shares are of all questions of the resolver that told a client, those from unknown places too, so that those of a
    resolver add up to 1 at most; views of which nothing is known are left out.
    """
    rows = behind.filter(behind.slice_s >= hour_s, behind.slice_s < hour_s + records.HOUR_S)
    view = rows.country + "|" + rows.region + "|" + rows.isp
    rows = rows.select("questions", resolver=packed(rows, RESOLVER), client=packed(rows, CLIENT), view=view)
    # a client that moved between views within the hour counts for one of them
    clients = rows.group_by("resolver", "client").agg(questions=rows.questions.sum(), view=rows["view"].max())
    totals = clients.group_by("resolver").agg(total=clients.questions.sum())
    totals = totals.filter(totals.total >= min_questions)
    totals = totals.mutate(resolver_prefix=prefix_text(*unpacked(totals.resolver, RESOLVER).values()))
    known = clients.filter(clients["view"] != "||")
    views = known.group_by("resolver", "view").agg(of_view=known.questions.sum(), most=known.questions.max())
    heard = views.join(totals, "resolver")
    heard = heard.mutate(share=heard.of_view.cast("float64") / heard.total.cast("float64"))
    heard = heard.filter(heard.share >= min_share).rename(questions="most").drop("total")
    first = known.join(heard, ["resolver", "view", "questions"])
    first = first.mutate(**unpacked(first.client, CLIENT))
    found = one_of_each(first, ["resolver", "view"], [first[name] for name in CLIENT])
    found = found.select(
        hour=ibis.literal(hour_s, "int64").as_timestamp("s"),
        resolver_prefix=found.resolver_prefix,
        client_prefix=prefix_text(*(found[name] for name in CLIENT)),
        **parted(found["view"]),
        share=found.share,
        questions=found.of_view,
    )
    return shaped(found, records.RESOLVERS)


def prefix_text(family: Any, net: Any, length: Any) -> Any:
    """A network in its usual form, as `gslb.geo.address.format_prefix` writes it (RFC 5952)."""
    octets = [_bits(net, shift, 0xFF).cast("string") for shift in (24, 16, 8, 0)]
    v4 = octets[0] + "." + octets[1] + "." + octets[2] + "." + octets[3]
    groups = [_group(_bits(net, shift, 0xFFFF)) for shift in (48, 32, 16, 0)]
    full = groups[0] + ":" + groups[1] + ":" + groups[2] + ":" + groups[3]
    head = full.re_replace("(:0)+$", "")  # of all runs of zeros the last is the longest: it goes on to the end
    v6 = (head == "0").ifelse("", head) + "::"
    return (family == 4).ifelse(v4, v6) + "/" + length.cast("string")


def _bits(number: Any, shift: int, mask: int) -> Any:
    return (number >> ibis.literal(shift, "int32")) & mask


def _group(number: Any) -> Any:
    """Up to 16 bits as hexadecimal digits without leading zeros."""
    digits = ibis.literal("0123456789abcdef")
    nibbles = [digits.substr(_bits(number, shift, 0xF), 1) for shift in (12, 8, 4, 0)]
    return (nibbles[0] + nibbles[1] + nibbles[2] + nibbles[3]).re_replace("^0{1,3}", "")
