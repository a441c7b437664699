"""Rows in, rows out: steps of the pipeline as tests try them, on whatever engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gslb.measure.engine import Engine
from gslb.measure.keeping import keeping
from gslb.model import records
from gslb.tables.schemas import Table

Row = Mapping[str, Any]

NOTHING = {records.TEXT: "", records.WHOLE: 0, records.REAL: 0.0}


def filled(columns: records.Columns, *rows: Row, **same: Any) -> list[dict[str, Any]]:
    """Rows of a table: what each says, then what ``same`` says of all, else empty, 0 or the only time."""
    made = []
    for row in rows:
        full = {name: NOTHING.get(kind) for name, kind in columns.items()} | same | dict(row)
        assert full.keys() == columns.keys(), full.keys() ^ columns.keys()
        made.append(full)
    return made


def run(
    step: Callable[..., Table], inputs: Sequence[tuple[Sequence[Row], records.Columns]], engine: Engine, **said: Any
) -> list[dict[str, Any]]:
    """The rows that a step makes of tables, sorted; ``inputs`` are its arguments in order."""
    made = step(*(engine.rows_of(rows, columns) for rows, columns in inputs), **said)
    return ordered(engine.fetch(made))


def ordered(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows in the order of their values, columns from left to right."""
    return sorted(map(dict, rows), key=lambda row: [(value is not None, value) for value in row.values()])


def stepped(engine: Engine, step: Callable[..., Table], tables: Sequence[Table], **said: Any) -> list[dict[str, Any]]:
    """The rows of a step that keeps tables of its own, ``kept``, on the way."""
    with keeping(engine) as kept:
        return engine.fetch(step(*tables, kept=kept, **said))
