"""What the pipeline does with any table: rows of some time, rows that were judged, and counts of them."""

from __future__ import annotations

from datetime import UTC, datetime

import ibis

from gslb.model import records
from gslb.tables.schemas import Table
from gslb.tables.shaping import start_s


def between(table: Table, column: str, from_s: int, until_s: int) -> Table:
    """The rows whose ``column``, a time or seconds since 1970, is from ``from_s`` on and before ``until_s``."""
    value = table[column]
    if value.type().is_timestamp():
        low, high = (ibis.literal(datetime.fromtimestamp(each, UTC), type=value.type()) for each in (from_s, until_s))
    else:
        low, high = ibis.literal(from_s, "int64"), ibis.literal(until_s, "int64")
    return table.filter(value >= low, value < high)


def good(judged: Table, columns: records.Columns) -> Table:
    """Of rows with a column ``reject`` those that are taken, without it."""
    return judged.filter(judged.reject == "").select(*columns)


def bad(judged: Table, most: int) -> Table:
    """Of rows with a column ``reject`` those that are not taken, at most so many."""
    return judged.filter(judged.reject != "").limit(most)


def by_reject(judged: Table) -> Table:
    """How many rows (``rows``) have each ``reject``."""
    return judged.group_by("reject").agg(rows=judged.count())


def count(table: Table) -> Table:
    """How many rows a table has, as ``rows`` of one row."""
    return table.agg(rows=table.count())


def starts(tables: list[Table], column: str, size_s: int) -> Table:
    """The distinct starts (``start_s``) of the ``size_s`` seconds in which any of the tables has a row, by a column of
    seconds since 1970."""
    found = [table.select(start_s=start_s(table[column], size_s)) for table in tables]
    return ibis.union(*found).distinct() if len(found) > 1 else found[0].distinct()


def union(tables: list[Table]) -> Table:
    """All rows of tables of the same columns."""
    return ibis.union(*tables) if len(tables) > 1 else tables[0]


def within(table: Table, column: str, size_s: int, units_s: list[int]) -> Table:
    """The rows that lie in one of the units of ``size_s`` seconds that begin at ``units_s``; ``column`` has seconds
    since 1970."""
    if not units_s:
        return table.filter(ibis.literal(False))
    return table.filter(start_s(table[column], size_s).isin(units_s))


def without(table: Table, column: str, size_s: int, units_s: list[int]) -> Table:
    """The rows that lie in none of the units of ``size_s`` seconds that begin at ``units_s``."""
    value = table[column]
    seconds = value.epoch_seconds().cast("int64") if value.type().is_timestamp() else value
    return table.filter(~start_s(seconds, size_s).isin(units_s))


def starting(table: Table, column: str, starts_s: list[int]) -> Table:
    """The rows whose ``column``, a time, is one of these seconds since 1970."""
    if not starts_s:
        return table.filter(ibis.literal(False))
    return table.filter(table[column].epoch_seconds().cast("int64").isin(starts_s))
