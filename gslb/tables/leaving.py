"""Rows that do not count: they are few, so they are found by themselves and taken off what all rows come to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import ibis

from gslb.tables.schemas import Table

DUPLICATE: Final = "duplicate"
"""What stands for a reason where a row is there already."""


def suspects(judged: Table, again: Table | None, key: Sequence[str]) -> Table:
    """Of rows with a ``reject`` those that are rejected, and all whose ``key`` is one of ``again``, if there are any:
    these are ``again``."""
    if again is None:
        rows = judged.mutate(again=ibis.literal(False))
        return rows.filter(rows.reject != "")
    names = again.select(*key).rename({f"of_{name}": name for name in key})
    joined = judged.left_join(names, [judged[name] == names[f"of_{name}"] for name in key])
    joined = joined.select(*judged.columns, again=joined[f"of_{key[-1]}"].notnull())
    return joined.filter(joined.again | (joined.reject != ""))


def excess(found: Table, key: Sequence[str], order: Sequence[Any], columns: Sequence[str]) -> Table:
    """Of `suspects` the rows that do not count, with the ``reject`` of each: of those that are there again all of a
    ``key`` but the first by ``order`` are a `DUPLICATE`. Rows that are equal in all of it must be copies."""
    rank = ibis.row_number().over(group_by=[found[name] for name in key], order_by=list(order))
    ranked = found.mutate(rank=rank)
    ranked = ranked.mutate(reject=(ranked.again & (ranked["rank"] > 0)).ifelse(DUPLICATE, ranked.reject))
    return ranked.filter(ranked.reject != "").select(*columns, "reject")


def signed(rows: Table, left_out: Table | None, *columns: str) -> Table:
    """``columns`` of rows to be summed up, with a ``sign`` of 1; those of ``left_out``, each of which is one of them,
    come once more with -1. That costs less than to look for each row among them."""
    parts = [rows] if left_out is None else [rows, left_out]
    found = [
        table.select(*columns, sign=ibis.literal(sign, "int64")) for sign, table in zip((1, -1), parts, strict=False)
    ]
    return ibis.union(*found) if len(found) > 1 else found[0]


def counted(rows: Table, name: str, limits: tuple[int, int]) -> Any:
    """A column of `signed` rows by their sign, to be added up; what is less or more than it can be is 0 both times."""
    return rows[name].between(*limits).ifelse(rows[name] * rows.sign, 0)
