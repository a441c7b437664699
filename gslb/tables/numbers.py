"""Numbers for groups, and what is told of them by numbers: joins and sums by names cost several times as much.

A group is a service in a view. What groups have in common has numbers too, so that what is true of all of a country,
say, is added up by one column.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import ibis

from gslb.model import records
from gslb.tables.schemas import Table
from gslb.tables.shaping import VIEW, start_s

GROUP: Final = ("service", *VIEW)
KINDS: Final = {
    "of_service": ("service",),
    "of_country": ("country",),
    "here": ("service", "country"),
    "network": ("country", "isp"),
    "cell": ("service", "country", "isp"),
    "view": VIEW,
}
"""What groups have in common, by the names that are the same."""


def numbered(asked: Table, delivered: Table) -> Table:
    """All groups of both tables, once each: their names `GROUP`, a number ``group``, and one of each of `KINDS`."""
    names = asked.select(*GROUP).union(delivered.select(*GROUP)).distinct()
    kinds = {"group": GROUP, **KINDS}
    return names.mutate(
        **{kind: ibis.dense_rank().over(order_by=list(same)).cast("int64") + 1 for kind, same in kinds.items()}
    )


def asked(asked: Table, groups: Table) -> Table:
    """`ASKED` by numbers: ``minute_s, edge, ecs, group``, the ``questions``, and with those that caches answered
    ``arrivals``."""
    rows = asked.join(groups.select(*GROUP, "group"), GROUP)
    return rows.select("minute_s", "edge", "ecs", "group", "questions", "arrivals")


def delivered(delivered: Table, groups: Table) -> Table:
    """`DELIVERED` by numbers: ``minute_s, edge, group``, the ``bits`` and ``sessions_started``."""
    rows = delivered.join(groups.select(*GROUP, "group"), GROUP)
    return rows.select("minute_s", "edge", "group", "sessions_started", bits=rows["bytes"].cast("float64") * 8.0)


def heard(asked: Table, edges: Table) -> Table:
    """Questions of `asked` by ``slice_s, edge, ecs, group``, among them those that caches answered; of them ``logged``
    those of minutes of which the edge sent a log, as ``edges`` says (`gslb.tables.inference.carried`)."""
    logs = edges.filter(edges.delivered_bits > 0).select("edge", "minute_s", known=ibis.literal(1))
    rows = asked.left_join(logs, ["edge", "minute_s"])
    return rows.group_by("edge", "ecs", "group", slice_s=start_s(rows.minute_s, records.SLICE_S)).agg(
        questions=rows.arrivals.sum(),
        logged=rows.arrivals.sum(where=rows.known == 1).fill_null(0.0),
    )


def sent(delivered: Table) -> Table:
    """Bits of `delivered` by ``slice_s, edge, group``."""
    slice_s = start_s(delivered.minute_s, records.SLICE_S)
    return delivered.group_by("edge", "group", slice_s=slice_s).agg(bits=delivered.bits.sum())


def beside(rows: Table, sums: Mapping[str, Mapping[str, Any]]) -> Table:
    """``rows``, each with what is added up over all of its slice that have the same number of a kind, the ``sums`` by
    kind; of an empty kind over all of the slice. ``rows`` should be kept: they are read once more for each kind."""
    found = rows
    for kind, of in sums.items():
        key = ["slice_s", kind] if kind else ["slice_s"]
        found = found.join(rows.group_by(*key).agg(**of), key)
    return found
