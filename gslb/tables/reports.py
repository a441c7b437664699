"""What edges pushed, by minute."""

from __future__ import annotations

from gslb.model import records
from gslb.tables.schemas import Table
from gslb.tables.shaping import MINUTE_S, one_of_each, shaped, start_of

_KEY = ("stream_ms", "stream_seq")


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
