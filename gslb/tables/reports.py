"""What edges pushed, by minute."""

from __future__ import annotations

from typing import Final

import ibis

from gslb.model import records
from gslb.tables.queries import FIRST_TIME_S
from gslb.tables.schemas import Table
from gslb.tables.shaping import MINUTE_S, instant, one_of_each, shaped, start_of

REASONS: Final = ("null", "time", "number", "edge")
"""Why a row is rejected, by what is wrong with it; of several the first."""

_KEY: Final = ("stream_ms", "stream_seq")


def verdicts(reports: Table, edges: Table) -> Table:
    """The rows with a column ``reject``: empty, or one of `REASONS`."""
    ids = edges.select(known_edge="edge").distinct()
    rows = reports.left_join(ids, reports.edge == ids.known_edge)
    null = ibis.or_(*(rows[name].isnull() for name in records.REPORTS))
    number = ibis.or_(*(rows[name] < 0 for name in ("load_bps", "capacity_bps", "sessions")))
    tests = (null, rows.time < instant(FIRST_TIME_S), number, rows.known_edge.isnull())
    return rows.select(*records.REPORTS, reject=ibis.cases(*zip(tests, REASONS, strict=True), else_=""))


def deduplicated(reports: Table) -> Table:
    """One row per entry of the store's stream."""
    return one_of_each(reports, _KEY, [reports[name] for name in reports.columns if name not in _KEY])


def load(reports: Table) -> Table:
    """`LOAD`: the reports of each edge and minute together. A report that has neither family up counts as down."""
    down = ((reports.health4 != "up") & (reports.health6 != "up")).cast("int64")
    found = reports.group_by("edge", minute_s=start_of(reports.time, MINUTE_S)).agg(
        load_bps=reports.load_bps.sum().cast("float64") / reports.count(),
        peak_bps=reports.load_bps.max(),
        capacity_bps=reports.capacity_bps.min(),
        sessions=reports.sessions.max(),
        down=down.sum(),
        reports=reports.count(),
    )
    return shaped(found, records.LOAD)
