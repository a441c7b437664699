"""What gates look at: of each table a few counts, all exact, in a table of one row.

Which count warns and which one stops is said in `gslb.measure.judging`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import ibis

from gslb.model import records
from gslb.tables.queries import BLOCK
from gslb.tables.schemas import Table
from gslb.tables.shaping import RESOLVER, VIEW, bit, hashed, ones, start_of, start_s

KEYS: Final = {
    "asked": ("minute_s", "service", "edge", *VIEW, "ecs"),
    "behind": ("slice_s", *RESOLVER, "client_family", "client_net", "client_len"),
    "delivered": ("minute_s", "edge", "service", *VIEW),
    "load": ("minute_s", "edge"),
    "demand": ("time", "service", *VIEW),
    "demand_live": ("time", "service", *VIEW),
    "resolvers": ("hour", "resolver_prefix", *VIEW),
    "edge_load": ("time", "edge"),
}
"""What is there once in each table."""

SUM_SLACK: Final = 1e-6
"""By how much, of the whole, parts may miss it: rounding of doubles."""


def sound(table: Table, columns: records.Columns, key: Sequence[str]) -> Table:
    """``rows``; ``distinct``: so many different keys there are at least, and if as many as rows, then each is there
    once; ``broken``: rows with a null, with a number that is not finite, or with a negative one where none can be."""
    broken = ibis.or_(*(_broken(table[name], name, kind) for name, kind in columns.items()))
    each = table.select(key=hashed(table, key), broken=broken.cast("int64"))
    keys = each.group_by("key").agg(rows=each.count(), broken=each.broken.sum())
    return keys.agg(rows=_sum(keys["rows"]), distinct=keys.count(), broken=_sum(keys.broken))


def repeated(table: Table, key: Sequence[str]) -> Table:
    """``repeated``: rows whose key is there already. To count all keys costs three times as much as `sound`."""
    keys = table.group_by(*key).agg(rows=table.count())
    return keys.agg(repeated=_sum(keys["rows"] - 1))


def demand_sums(demand: Table) -> Table:
    """``rows``, and ``wrong`` ones: whose parts do not add up, with another source than those there are, or a
    confidence outside 0 to 1. In bits per second of all buckets together: ``demand_bps``, of it ``unplaced_bps``
    without a country, ``inferred_bps``, and ``sure_bps``, weighted by confidence."""
    miss = (demand.demand_bps - demand.delivered_bps - demand.inferred_bps).abs()
    wrong = miss > demand.demand_bps.abs() * SUM_SLACK + SUM_SLACK
    wrong |= ~demand.source.isin(("delivered", "mixed", "inferred"))
    wrong |= (demand.confidence < 0) | (demand.confidence > 1)
    return demand.agg(
        rows=demand.count(),
        wrong=_sum(wrong.cast("int64")),
        demand_bps=_sum(demand.demand_bps),
        unplaced_bps=_sum((demand.country == "").ifelse(demand.demand_bps, 0.0)),
        inferred_bps=_sum(demand.inferred_bps),
        sure_bps=_sum(demand.demand_bps * demand.confidence),
    )


def conserved(demand: Table, load: Table, bucket_s: int, from_s: int, until_s: int) -> Table:
    """``demand_bps`` and ``load_bps`` of all buckets from ``from_s`` to ``until_s`` together, of those in which any
    edge reported: what viewers want is what edges carry. An edge carries in a bucket the mean of its minutes."""
    minutes = load.filter(load.minute_s >= from_s, load.minute_s < until_s)
    edges = minutes.group_by("edge", bucket=start_s(minutes.minute_s, bucket_s)).agg(load_bps=minutes.load_bps.mean())
    carried = edges.group_by("bucket").agg(load_bps=edges.load_bps.sum())
    rows = demand.mutate(bucket=start_of(demand.time, bucket_s))
    wanted = rows.group_by("bucket").agg(demand_bps=rows.demand_bps.sum())
    wanted = wanted.select("demand_bps", asked="bucket")
    both = carried.left_join(wanted, carried.bucket == wanted.asked)
    return both.agg(demand_bps=_sum(both.demand_bps), load_bps=_sum(both.load_bps))


def shares(resolvers: Table) -> Table:
    """``rows``; ``wrong`` ones, with a share that is not above 0 and up to 1; and ``over``: resolvers whose shares come
    to more than 1."""
    wrong = ~((resolvers.share > 0) & (resolvers.share <= 1))
    each = resolvers.select("hour", "resolver_prefix", "share", wrong=wrong.cast("int64"))
    each = each.group_by("hour", "resolver_prefix").agg(
        rows=each.count(), wrong=each.wrong.sum(), share=each.share.sum()
    )
    over = (each.share > 1 + SUM_SLACK).cast("int64")
    return each.agg(rows=_sum(each.rows), wrong=_sum(each.wrong), over=_sum(over))


def overloads(edge_load: Table) -> Table:
    """``rows``, and ``over``: rows with more load than capacity, where that is known."""
    over = (edge_load.capacity_bps > 0) & (edge_load.load_bps > edge_load.capacity_bps)
    return edge_load.agg(rows=edge_load.count(), over=_sum(over.cast("int64")))


def complete(numbers: Table, counters: Table) -> Table:
    """Whether all is there that servers say they logged, by `queries.numbers` of what is there and the ``counters`` of
    about the same time. Between the first and the last row of a boot's counters: ``given`` numbers, of them ``lost``
    ones, ``logged`` records and ``missing`` ones. ``rows`` of queries, each once, of them ``uncounted``: of boots
    without two rows of counters.

    It goes by the numbers of records, not by their times, so that it does not matter where the time was cut.
    """
    boots = counters.group_by("server", "boot_id").agg(
        first=counters.last_seq.min(),
        last=counters.last_seq.max(),
        lost=counters.lost.max() - counters.lost.min(),
        logged=counters.logged.max() - counters.logged.min(),
    )
    named = boots.filter(boots.last > boots.first)
    named = named.select("first", "last", "lost", "logged", _server="server", _boot="boot_id")
    at = [named["_server"] == numbers.server, named["_boot"] == numbers.boot_id]
    joined = numbers.left_join(named, at)
    begin = joined.block * BLOCK
    inside = _below(joined["last"] + 1 - begin) - _below(joined["first"] + 1 - begin)
    rows = ones(joined.bits).fill_null(joined.rows)  # rows without a number are rows all the same
    seen = joined.group_by("server", "boot_id").agg(
        rows=rows.sum(),
        seen=ones(joined.bits & inside).fill_null(0).sum(),
        uncounted=joined["_server"].isnull().ifelse(rows, 0).sum(),
    )
    seen = seen.select("rows", "seen", "uncounted", of_server="server", of_boot="boot_id")
    both = named.outer_join(seen, [named["_server"] == seen.of_server, named["_boot"] == seen.of_boot])
    missing = ibis.greatest(both.logged - both.seen.fill_null(0), 0)
    return both.agg(
        given=_sum(both["last"] - both["first"]),
        lost=_sum(both.lost),
        logged=_sum(both.logged),
        missing=_sum(missing),
        rows=_sum(both["rows"]),
        uncounted=_sum(both.uncounted),
    )


def _below(number: Any) -> Any:
    """The bits of the numbers of a block that are less than this one."""
    return bit(ibis.least(ibis.greatest(number, 0), BLOCK)) - 1


def _broken(column: Any, name: str, kind: str) -> Any:
    if kind == records.REAL:  # DuckDB takes isnan for false where a file's statistics, which know no NaN, are finite
        return column.isnull() | (column * 0 != 0) | (column < 0)
    if kind == records.WHOLE and not name.endswith("_net"):
        return column.isnull() | (column < 0)
    return column.isnull()


def _sum(column: Any) -> Any:
    return column.sum().fill_null(0)
