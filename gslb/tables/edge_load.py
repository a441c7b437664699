"""What edges carried, in buckets of 300 s: what they reported, and what they say they delivered."""

from __future__ import annotations

from gslb.model import records
from gslb.tables.schemas import Table
from gslb.tables.shaping import shaped, start_s


def edge_load(load: Table, delivered: Table) -> Table:
    """`EDGE_LOAD` of all buckets that either table reaches into.

    ``load_bps`` is the mean of the minutes that have a report, 0 where none has; ``delivered_bps`` are the bits of the
    bucket over all its 300 s.
    """
    zero = load.minute_s * 0
    reported = load.select(
        "edge",
        "minute_s",
        "load_bps",
        "peak_bps",
        "sessions",
        "reports",
        capacity_bps=load.capacity_bps.nullif(0),
        measured=zero + 1,
        bytes=zero,
        logged=zero,
    )
    minutes = delivered.group_by("edge", "minute_s").agg(bytes=delivered["bytes"].sum())
    none = minutes.minute_s * 0
    logged = minutes.select(
        "edge",
        "minute_s",
        load_bps=none.cast("float64"),
        peak_bps=none,
        sessions=none,
        reports=none,
        capacity_bps=none.nullif(0),
        measured=none,
        bytes=minutes["bytes"],
        logged=none + 1,
    )
    rows = reported.union(logged.select(*reported.columns))
    found = rows.group_by("edge", time=start_s(rows.minute_s, records.SLICE_S).as_timestamp("s")).agg(
        load_bps=(rows.load_bps.sum() / rows.measured.sum().cast("float64").nullif(0)).fill_null(0.0),
        peak_bps=rows.peak_bps.max(),
        capacity_bps=rows.capacity_bps.min().fill_null(0),
        delivered_bps=rows["bytes"].sum().cast("float64") * 8 / records.SLICE_S,
        logged_minutes=rows.logged.sum(),
        sessions=rows.sessions.max(),
        reports=rows.reports.sum(),
    )
    return shaped(found, records.EDGE_LOAD)
