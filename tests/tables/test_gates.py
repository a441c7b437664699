"""What gates count of tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from gslbtest.tables import filled, run

from gslb.measure.engine import Engine
from gslb.model import records
from gslb.tables import gates, queries
from gslb.tables.schemas import Table

START_S = 1_790_000_100
AT = datetime.fromtimestamp(START_S, UTC)
ROW = {"time": AT, "service": "a.", "country": "CN", "demand_bps": 3.0, "delivered_bps": 1.0, "inferred_bps": 2.0}
DEMAND = ROW | {"source": "mixed", "confidence": 0.5}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], (0, 0, 0)),
        ([{}, {"service": "b."}], (2, 0, 0)),
        ([{}, {}, {"demand_bps": 7.0}], (3, 2, 0)),
        ([{"demand_bps": -1.0}, {"country": None}], (2, 0, 2)),
        ([{"confidence": float("nan")}], (1, 0, 1)),
        ([{"inferred_bps": float("inf")}, {"questions": -1, "isp": "x"}], (2, 0, 2)),
    ],
)
def test_keys_stand_once_and_values_can_be(
    rows: list[dict[str, Any]], expected: tuple[int, int, int], engine: Engine
) -> None:
    table = [(filled(records.DEMAND, *(DEMAND | row for row in rows)), records.DEMAND)]
    key = gates.KEYS["demand"]
    (found,) = run(gates.sound, table, engine, columns=records.DEMAND, key=key)
    (again,) = run(gates.repeated, table, engine, key=key)
    assert (found["rows"], again["repeated"], found["broken"]) == expected
    assert found["distinct"] == found["rows"] - again["repeated"]


def test_addresses_may_be_negative(engine: Engine) -> None:
    table = filled(records.BEHIND, {"client_family": 6, "client_net": -5, "client_len": 64})
    (found,) = run(gates.sound, [(table, records.BEHIND)], engine, columns=records.BEHIND, key=gates.KEYS["behind"])
    assert found == {"rows": 1, "distinct": 1, "broken": 0}


def test_every_table_has_its_key() -> None:
    tables = {
        "asked": records.ASKED,
        "behind": records.BEHIND,
        "delivered": records.DELIVERED,
        "load": records.LOAD,
        "demand": records.DEMAND,
        "demand_live": records.DEMAND,
        "resolvers": records.RESOLVERS,
        "edge_load": records.EDGE_LOAD,
    }
    assert gates.KEYS.keys() == tables.keys()
    assert all(set(key) <= set(tables[name]) for name, key in gates.KEYS.items())


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], (0, 0, 0.0, 0.0, 0.0, 0.0)),
        ([{}, {"country": "", "demand_bps": 6.0, "delivered_bps": 4.0}], (2, 0, 9.0, 6.0, 4.0, 4.5)),
        ([{"delivered_bps": 1.1}], (1, 1, 3.0, 0.0, 2.0, 1.5)),
        ([{"source": "guessed"}, {"confidence": 1.5}, {"confidence": -0.5}], (3, 3, 9.0, 0.0, 6.0, 4.5)),
        ([{"delivered_bps": 1.0 + 1e-8}], (1, 0, 3.0, 0.0, 2.0, 1.5)),
    ],
)
def test_demand_is_summed(rows: list[dict[str, Any]], expected: tuple[float, ...], engine: Engine) -> None:
    table = filled(records.DEMAND, *(DEMAND | row for row in rows))
    (found,) = run(gates.demand_sums, [(table, records.DEMAND)], engine)
    assert tuple(found.values()) == pytest.approx(expected)


def test_demand_is_compared_with_load_where_there_is_load(engine: Engine) -> None:
    later = datetime.fromtimestamp(START_S + 300, UTC)
    unloaded = datetime.fromtimestamp(START_S + 600, UTC)
    demand = filled(
        records.DEMAND,
        DEMAND | {"demand_bps": 90.0},
        DEMAND | {"demand_bps": 20.0, "service": "b."},
        DEMAND | {"demand_bps": 50.0, "time": later},
        DEMAND | {"demand_bps": 7e9, "time": unloaded},
    )
    load = filled(
        records.LOAD,
        {"edge": "a", "minute_s": START_S, "load_bps": 50.0},
        {"edge": "a", "minute_s": START_S + 240, "load_bps": 70.0},
        {"edge": "b", "minute_s": START_S + 60, "load_bps": 40.0},
        {"edge": "b", "minute_s": START_S + 300, "load_bps": 10.0},
        {"edge": "b", "minute_s": START_S + 900, "load_bps": 1e9},
        {"edge": "b", "minute_s": START_S - 60, "load_bps": 1e9},
    )
    (found,) = run(
        gates.conserved,
        [(demand, records.DEMAND), (load, records.LOAD)],
        engine,
        bucket_s=300,
        from_s=START_S,
        until_s=START_S + 900,
    )
    assert found == {"demand_bps": 160.0, "load_bps": 110.0}


def test_shares_and_loads_are_looked_at(engine: Engine) -> None:
    row = {"hour": AT, "resolver_prefix": "8.8.8.0/24", "client_prefix": "9.9.9.0/24", "country": "CN"}
    shares = [("a", 0.6), ("b", 0.4), ("c", 0.0)]
    table = filled(records.RESOLVERS, *(row | {"isp": isp, "share": share} for isp, share in shares))
    table += filled(records.RESOLVERS, *(row | {"resolver_prefix": "x", "share": share} for share in (0.7, 0.7)))
    assert run(gates.shares, [(table, records.RESOLVERS)], engine) == [{"rows": 5, "wrong": 1, "over": 1}]
    edge = {"time": AT, "load_bps": 11.0, "capacity_bps": 10}
    loads = filled(records.EDGE_LOAD, edge, edge | {"capacity_bps": 0}, edge | {"load_bps": 10.0})
    assert run(gates.overloads, [(loads, records.EDGE_LOAD)], engine) == [{"rows": 3, "over": 1}]


def counter(last_seq: int, lost: int, server: str = "ns1") -> dict[str, Any]:
    return {
        "time": AT,
        "server": server,
        "boot_id": "b",
        "last_seq": last_seq,
        "lost": lost,
        "logged": last_seq - lost,
    }


COMPLETE = [
    # numbers seen, counters → given, lost, logged, missing, rows, uncounted
    ([], [], (0, 0, 0, 0, 0, 0)),
    (range(1, 21), [counter(5, 0), counter(15, 0)], (10, 0, 10, 0, 20, 0)),
    (range(1, 21), [counter(15, 2), counter(5, 0), counter(10, 1)], (10, 2, 8, 0, 20, 0)),
    (range(1, 11), [counter(5, 0), counter(15, 2)], (10, 2, 8, 3, 10, 0)),
    ([], [counter(5, 0), counter(15, 0)], (10, 0, 10, 10, 0, 0)),
    (range(1, 21), [counter(15, 0)], (0, 0, 0, 0, 20, 20)),
    ([*range(1, 100), *range(31, 35), 64], [counter(31, 0), counter(64, 0)], (33, 0, 33, 0, 99, 0)),  # each once
    ([*range(1, 32), 33, 65, *range(96, 200)], [counter(31, 0), counter(96, 0)], (65, 0, 65, 62, 137, 0)),
    ([1 << 40, (1 << 40) + 1], [counter(1 << 40, 0), counter((1 << 40) + 2, 0)], (2, 0, 2, 1, 2, 0)),
    ([None, None, 7], [counter(5, 0), counter(8, 0)], (3, 0, 3, 2, 3, 0)),  # rows all the same
    (range(1, 21), [counter(5, 0), counter(15, 0), counter(1, 0, "ns2"), counter(9, 0, "ns2")], (18, 0, 18, 8, 20, 0)),
]


def complete(rows: Table, counters: Table) -> Table:
    return gates.complete(queries.numbers(rows), counters)


@pytest.mark.parametrize(("numbers", "counters", "expected"), COMPLETE)
def test_what_servers_say_they_logged_is_there(
    numbers: Any, counters: list[dict[str, Any]], expected: tuple[int, ...], engine: Engine
) -> None:
    rows = filled(records.QUERIES, *({"seq": at} for at in numbers), time=AT, server="ns1", boot_id="b")
    (found,) = run(complete, [(rows, records.QUERIES), (filled(records.COUNTERS, *counters), records.COUNTERS)], engine)
    assert tuple(found.values()) == expected
