"""Reports of edges by minute, and what edges carried."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gslbtest.tables import filled, ordered, run

from gslb.measure.engine import Engine
from gslb.model import records
from gslb.tables import reports
from gslb.tables.edge_load import edge_load

AT = datetime(2026, 9, 21, 14, 15, 59, 900000, tzinfo=UTC)
MINUTE_S = 1_790_000_100
SOUND = {
    "time": AT,
    "stream_ms": 1_790_000_159_900,
    "edge": "sha-ct",
    "epoch": 1,
    "seq": 5,
    "health4": "up",
    "health6": "down",
    "load_bps": 100,
    "capacity_bps": 1000,
    "sessions": 7,
}


CASES: dict[str, list[dict[str, Any]]] = {
    "": [{}, {"load_bps": 0, "capacity_bps": 0, "sessions": 0}, {"health4": "", "headroom_milli": -5}],
    "null": [{"time": None}, {"edge": None}, {"load_bps": None}],
    "time": [{"time": datetime(2019, 12, 31, tzinfo=UTC)}],
    "number": [{"load_bps": -1}, {"capacity_bps": -1}, {"sessions": -1, "edge": "mars"}],
    "edge": [{"edge": "mars"}, {"edge": ""}],
}


def test_each_row_gets_its_verdict(engine: Engine) -> None:
    cases = [(reason, row) for reason, rows in CASES.items() for row in rows]
    rows = filled(records.REPORTS, *(SOUND | {"stream_seq": at} | row for at, (_, row) in enumerate(cases)))
    edges = filled(records.EDGES, {"edge": "sha-ct"}, {"edge": "fra-1"})
    found = run(reports.verdicts, [(rows, records.REPORTS), (edges, records.EDGES)], engine)
    assert found == ordered([row | {"reject": reason} for row, (reason, _) in zip(rows, cases, strict=True)])
    assert set(CASES) == {"", *reports.REASONS}


def test_an_entry_of_the_stream_counts_once(engine: Engine) -> None:
    rows = filled(records.REPORTS, SOUND, SOUND | {"stream_seq": 1}, SOUND | {"stream_ms": 1})
    found = run(reports.deduplicated, [(rows + rows[:2], records.REPORTS)], engine)
    assert found == ordered(rows)


def test_the_reports_of_a_minute_are_one(engine: Engine) -> None:
    rows = filled(
        records.REPORTS,
        SOUND,
        SOUND | {"load_bps": 200, "capacity_bps": 900, "sessions": 9, "health4": "down"},
        SOUND | {"load_bps": 201, "health4": "drain", "health6": "up"},
        SOUND | {"time": AT + timedelta(milliseconds=100), "health4": "drain"},
        SOUND | {"edge": "fra-1", "load_bps": (1 << 61)},
        SOUND | {"edge": "fra-1", "load_bps": (1 << 61)},
    )
    same = {"minute_s": MINUTE_S, "edge": "sha-ct", "capacity_bps": 1000, "sessions": 7, "reports": 1}
    expected = [
        same
        | {"load_bps": pytest.approx(501 / 3), "peak_bps": 201, "capacity_bps": 900, "sessions": 9, "down": 1}
        | {"reports": 3},
        same | {"minute_s": MINUTE_S + 60, "load_bps": 100.0, "peak_bps": 100, "down": 1},
        same | {"edge": "fra-1", "load_bps": float(1 << 61), "peak_bps": 1 << 61, "down": 0, "reports": 2},
    ]
    found = run(reports.load, [(rows, records.REPORTS)], engine)
    by_key = {(row["minute_s"], row["edge"]): row for row in expected}
    assert {(row["minute_s"], row["edge"]): row for row in found} == by_key
    assert len(found) == len(by_key)


def test_what_edges_carried_is_what_they_said_and_what_they_delivered(engine: Engine) -> None:
    start = datetime(2026, 9, 21, 14, 15, tzinfo=UTC)
    load = filled(
        records.LOAD,
        {"load_bps": 100.0, "peak_bps": 150, "capacity_bps": 1000, "sessions": 5, "reports": 60},
        {"minute_s": MINUTE_S + 60, "load_bps": 200.0, "peak_bps": 220, "sessions": 9, "reports": 2},
        {"minute_s": MINUTE_S + 300, "load_bps": 1.0, "peak_bps": 2, "capacity_bps": 3, "sessions": 4, "reports": 5},
        minute_s=MINUTE_S,
        edge="sha-ct",
    )
    here = {"minute_s": MINUTE_S + 240, "edge": "sha-ct"}
    delivered = filled(
        records.DELIVERED,
        here | {"bytes": 3000},
        here | {"bytes": 750, "country": "CN"},
        here | {"bytes": 1, "edge": "fra-1"},
    )
    found = run(edge_load, [(load, records.LOAD), (delivered, records.DELIVERED)], engine)
    expected = filled(
        records.EDGE_LOAD,
        {"edge": "sha-ct", "load_bps": 150.0, "peak_bps": 220, "capacity_bps": 1000, "delivered_bps": 100.0}
        | {"logged_minutes": 1, "sessions": 9, "reports": 62, "time": start},
        {"edge": "fra-1", "delivered_bps": 8 / 300, "logged_minutes": 1, "time": start},
        {"edge": "sha-ct", "load_bps": 1.0, "peak_bps": 2, "capacity_bps": 3, "sessions": 4, "reports": 5}
        | {"time": start + timedelta(minutes=5)},
    )
    assert found == ordered(expected)
