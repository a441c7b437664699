"""The columns of `gslb.model.records` as Ibis has them, and what a step returns."""

from __future__ import annotations

from typing import Final

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from gslb.model import records

Table = ir.Table
"""What steps take and return: an expression over tables of some engine."""

_TYPES: Final = {
    records.TIME: dt.Timestamp(timezone="UTC", scale=6),
    records.TEXT: dt.string,
    records.WHOLE: dt.int64,
    records.REAL: dt.float64,
}


def schema(columns: records.Columns) -> ibis.Schema:
    """The schema of a table with these columns."""
    return ibis.schema({name: _TYPES[kind] for name, kind in columns.items()})
