"""What gates make of counts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from gslbtest.tables import filled

from gslb.measure import judging
from gslb.measure.engine import Engine
from gslb.measure.judging import Beside, Found, Limit, Limits
from gslb.model import records

START_S = 1_790_000_100
AT = datetime.fromtimestamp(START_S, UTC)


def levels(found: list[Found]) -> dict[str, str]:
    """What is not well."""
    assert len({each.gate for each in found}) == len(found)
    return {each.gate: each.level for each in found if each.level != "ok"}


TAKEN: list[tuple[int, int, dict[str, int], dict[str, str]]] = [
    (0, 0, {}, {}),
    (1000, 0, {}, {}),
    (1000, 250, {}, {}),
    (1000, 251, {}, {"duplicates": "warn"}),
    (1000, 999, {}, {"duplicates": "warn"}),
    (1000, 0, {"null": 1}, {}),
    (1000, 0, {"null": 1, "view": 1}, {"rejected": "warn"}),
    (1000, 500, {"null": 101}, {"duplicates": "warn", "rejected": "stop"}),
    (1000, 0, {"edge": 6, "service": 6}, {"unknown": "warn"}),
    (1000, 0, {"edge": 501}, {"unknown": "stop"}),
]


@pytest.mark.parametrize(("rows", "duplicates", "rejected", "expected"), TAKEN)
def test_rows_that_came_in(rows: int, duplicates: int, rejected: dict[str, int], expected: dict[str, str]) -> None:
    assert levels(judging.taken(rows, duplicates, rejected)) == expected


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((0, 0, 0, 0, 0, 0), {}),
        ((100, 1, 99, 0, 99, 0), {}),
        ((100, 60, 40, 0, 40, 0), {"lost": "warn"}),
        ((100, 0, 100, 2, 98, 0), {"missing": "warn"}),
        ((100, 0, 100, 51, 49, 0), {"missing": "stop"}),
        ((0, 0, 0, 0, 9, 9), {"uncounted": "warn"}),
    ],
)
def test_what_servers_say(counts: tuple[int, ...], expected: dict[str, str]) -> None:
    names = ("given", "lost", "logged", "missing", "rows", "uncounted")
    assert levels(judging.complete(dict(zip(names, counts, strict=True)))) == expected


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [
        (100, 0, {}),
        (100, 100, {}),
        (49, 100, {"volume-low": "warn"}),
        (9, 100, {"volume-low": "stop"}),
        (0, 100, {"volume-low": "stop"}),
        (401, 100, {"volume-high": "warn"}),
        (40100, 100, {"volume-high": "warn"}),
    ],
)
def test_volume_against_that_of_before(now: int, before: int, expected: dict[str, str]) -> None:
    assert levels(judging.volume(now, before)) == expected


def test_age_warns_and_a_gate_says_what_it_saw() -> None:
    assert levels(judging.fresh(300)) == {}
    (found,) = judging.fresh(301.4)
    assert found == ("fresh", "warn", 301.4, 300, "the newest rows are 301 s old")
    (found,) = judging.fresh(9, Limits(stale_s=Limit(3, 6)))
    assert (found.level, found.limit) == ("stop", 6)


def test_what_is_no_number_stops() -> None:
    (found,) = judging.fresh(float("nan"), Limits(stale_s=Limit(3, 6)))
    assert found.level == "stop"


DEMAND = {
    "time": AT,
    "service": "a.",
    "country": "CN",
    "demand_bps": 100.0,
    "inferred_bps": 100.0,
    "source": "inferred",
    "confidence": 0.5,
}
GOLD: list[tuple[str, list[dict[str, Any]], dict[str, Any], dict[str, str]]] = [
    ("demand", [DEMAND], {}, {}),
    ("demand_live", [DEMAND], {}, {}),
    ("demand", [DEMAND], {"load_bps": 112.0}, {"conserved": "warn"}),
    ("demand", [DEMAND], {"load_bps": 201.0}, {"conserved": "stop"}),
    ("demand", [DEMAND], {"load_bps": 50.0}, {"conserved": "stop"}),
    ("demand", [DEMAND], {"load_bps": 0.0}, {}),
    ("demand", [DEMAND], {"before_bps": 201.0}, {"demand-low": "warn"}),
    ("demand", [DEMAND], {"before_bps": 1.0}, {"demand-high": "stop"}),
    ("demand", [DEMAND, DEMAND], {"load_bps": 200.0}, {"repeated": "stop"}),
    ("demand", [DEMAND | {"source": "?"}], {}, {"wrong": "stop"}),
    ("demand", [DEMAND | {"country": ""}], {}, {"unplaced": "stop"}),
    ("demand", [DEMAND | {"confidence": 0.01}], {}, {"unsure": "warn"}),
    ("demand", [DEMAND | {"demand_bps": -1.0}], {"load_bps": 0.0}, {"broken": "stop", "wrong": "stop"}),
    ("demand", [], {}, {"empty": "stop"}),
    ("demand", [], {"expected": False}, {}),
    ("resolvers", [{"hour": AT, "share": 0.5}], {}, {}),
    ("resolvers", [{"hour": AT, "share": 1.5}], {}, {"wrong": "stop"}),
    ("edge_load", [{"time": AT, "load_bps": 9.0, "capacity_bps": 9}], {}, {}),
    ("edge_load", [{"time": AT, "load_bps": 10.0, "capacity_bps": 9}], {}, {"overloads": "warn"}),
]
COLUMNS = {
    "demand": records.DEMAND,
    "demand_live": records.DEMAND,
    "resolvers": records.RESOLVERS,
    "edge_load": records.EDGE_LOAD,
}


@pytest.mark.parametrize(("name", "rows", "said", "expected"), GOLD)
def test_tables_of_gold(
    name: str, rows: list[dict[str, Any]], said: dict[str, Any], expected: dict[str, str], duckdb: Engine
) -> None:
    columns = COLUMNS[name]
    load = filled(records.LOAD, {"edge": "a", "minute_s": START_S, "load_bps": said.get("load_bps", 100.0)})
    beside = Beside(
        duckdb.rows_of(load, records.LOAD),
        START_S,
        START_S + 300,
        said.get("expected", True),
        said.get("before_bps", 0.0),
    )
    found, total = judging.gold(duckdb, name, duckdb.rows_of(filled(columns, *rows), columns), columns, beside)
    assert levels(found) == expected
    assert judging.worst(found) == max(expected.values(), key=("warn", "stop").index, default="ok")
    assert total == (sum(row["demand_bps"] for row in rows) if name.startswith("demand") else 0)


def test_tables_of_silver(duckdb: Engine) -> None:
    rows = filled(records.LOAD, {"edge": "a"}, {"edge": "a"}, {"edge": "b", "load_bps": float("nan")})
    table = duckdb.rows_of(rows, records.LOAD)
    assert levels(judging.silver(duckdb, "load", table, records.LOAD)) == {"repeated": "stop", "broken": "stop"}
