"""The query log: which rows are sound, each once, and what they come to."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gslbtest.tables import filled, ordered, run

from gslb.measure.engine import Engine
from gslb.model import records
from gslb.tables import queries
from gslb.tables.schemas import Table

AT = datetime(2026, 9, 21, 14, 16, 59, 999999, tzinfo=UTC)
MINUTE_S = 1_790_000_160
SOUND = {
    "time": AT,
    "server": "ns1",
    "boot_id": "00000000000000aa",
    "seq": 7,
    "service": "*.pull.live.example.",
    "view": "CN|SH|chinanet",
    "client_family": 4,
    "client_net": 0x0A141E00,
    "client_len": 24,
    "resolver_family": 6,
    "resolver_net": 0x20010DB8_00000000,
    "resolver_len": 56,
    "qtype": 1,
    "edge": "sha-ct",
    "ttl_s": 20,
    "weight": 1,
}
SERVICES = ([{"service": "*.pull.live.example.", "ttl_s": 20}] * 2, records.SERVICES)
EDGES = (filled(records.EDGES, {"edge": "sha-ct"}, {"edge": "fra-1"}), records.EDGES)

CASES: dict[str, list[dict[str, Any]]] = {
    "": [
        {},
        {"edge": "", "service": ""},
        {"edge": "", "rcode": 3},
        {"client_family": 0, "client_net": 0, "client_len": 0},
        {"client_family": 6, "client_net": -(1 << 62), "client_len": 48},
        {"client_family": 4, "client_net": 0xFFFFFF00, "client_len": 0},
        {"view": "||", "level": -1},
    ],
    "null": [{name: None} for name in ("time", "server", "service", "edge", "weight", "view", "client_net")],
    "time": [{"time": datetime(2019, 12, 31, 23, 59, 59, tzinfo=UTC)}, {"time": AT + timedelta(hours=1)}],
    "identity": [{"server": ""}, {"boot_id": "aa"}, {"seq": 0}],
    "client": [
        {"client_len": 25},
        {"client_len": -1},
        {"client_net": -256},
        {"client_net": 1 << 32},
        {"client_net": 0x0A141E01},
        {"client_family": 6, "client_len": 57},
        {"client_family": 5},
        {"client_family": 0},
    ],
    "resolver": [{"resolver_family": 4}, {"resolver_len": 64}],
    "view": [{"view": "CN"}, {"view": "CN|SH|a|b"}, {"view": ""}],
    "number": [{"weight": 0}, {"qtype": 65536}, {"rcode": -1}, {"ttl_s": -1}, {"level": -2}, {"qname_crc": 1 << 32}],
    "service": [{"service": "pull.live.example."}, {"service": "x.", "edge": "mars"}],
    "edge": [{"edge": "mars"}, {"service": ""}],
}


def test_each_row_gets_its_verdict(engine: Engine) -> None:
    cases = [(reason, row) for reason, rows in CASES.items() for row in rows]
    rows = filled(records.QUERIES, *(SOUND | {"seq": at} | row for at, (_, row) in enumerate(cases, 1)))
    found = run(queries.verdicts, [(rows, records.QUERIES), SERVICES, EDGES], engine, now_s=int(AT.timestamp()))
    assert found == ordered([row | {"reject": reason} for row, (reason, _) in zip(rows, cases, strict=True)])
    assert set(CASES) == {"", *queries.REASONS}


def test_the_future_is_not_looked_at_unless_it_is_told_what_it_is(engine: Engine) -> None:
    rows = filled(records.QUERIES, SOUND | {"time": AT + timedelta(days=1)})
    (found,) = run(queries.verdicts, [(rows, records.QUERIES), SERVICES, EDGES], engine)
    assert found["reject"] == ""


NUMBERS = [
    (1, 2, 3),
    (0, 1, 7, 8, 9, 63, 64),
    (5, 5),
    (5, 5, 5, 5, 5),
    (0, 0, 1, 1, 2, 3),  # 1 + 1 + 2 + 2 …: sums that look like others
    (7, 7, 7, 7, 3),
    (*range(100, 140), *range(100, 140)),
    (8, 9, 9, 10, 1 << 40, 1 << 40),
]


@pytest.mark.parametrize("numbers", NUMBERS, ids=str)
def test_a_number_counts_once(numbers: tuple[int, ...], engine: Engine) -> None:
    rows = filled(records.QUERIES, *(SOUND | {"seq": number} for number in numbers))
    once = filled(records.QUERIES, *(SOUND | {"seq": number} for number in set(numbers)))
    assert run(queries.deduplicated, [(rows, records.QUERIES)], engine) == ordered(once)
    (doubted,) = engine.fetch(_count(queries.doubted(engine.rows_of(rows, records.QUERIES))))
    assert bool(doubted["rows"]) == (len(set(numbers)) < len(numbers))


def test_boots_and_servers_number_for_themselves(engine: Engine) -> None:
    rows = filled(
        records.QUERIES, SOUND, SOUND | {"server": "ns2"}, SOUND | {"boot_id": "00000000000000ab"}, SOUND | {"seq": 8}
    )
    assert run(queries.deduplicated, [(rows, records.QUERIES)], engine) == ordered(rows)


def test_whatever_the_order_the_same_copy_stays(engine: Engine) -> None:
    rng = random.Random(1)
    rows = [
        SOUND | {"seq": rng.randrange(1, 60), "edge": rng.choice(["sha-ct", "fra-1"]), "weight": rng.randrange(1, 3)}
        for _ in range(90)
    ]
    found = []
    for _ in range(3):
        rng.shuffle(rows)
        shown = filled(records.QUERIES, *rows, *rng.sample(rows, 30))
        found.append(run(queries.deduplicated, [(shown, records.QUERIES)], engine))
    assert found[0] == found[1] == found[2]
    assert sorted(row["seq"] for row in found[0]) == sorted({row["seq"] for row in rows})
    assert all(row in filled(records.QUERIES, *rows) for row in found[0])


def test_questions_are_those_for_addresses_that_an_edge_was_the_answer_to(engine: Engine) -> None:
    plain = {"client_family": 0, "client_net": 0, "client_len": 0}
    rows = filled(
        records.QUERIES,
        SOUND,
        SOUND | {"qtype": 28, "weight": 16, "client_net": 0},
        SOUND | {"time": AT + timedelta(microseconds=1)},
        SOUND | plain,
        SOUND | {"view": "|x|"},
        SOUND | {"view": "||"},
        SOUND | {"qtype": 16},
        SOUND | {"rcode": 2},
        SOUND | {"edge": ""},
        SOUND | {"service": "", "edge": ""},
    )
    same = {"service": SOUND["service"], "edge": "sha-ct", "minute_s": MINUTE_S, "rows": 1, "questions": 1, "ecs": 1}
    here = {"country": "CN", "region": "SH", "isp": "chinanet"}
    expected = filled(
        records.ASKED,
        here | {"questions": 17, "rows": 2},
        here | {"minute_s": MINUTE_S + 60},
        here | {"ecs": 0},
        {"region": "x"},
        {},
        **same,
    )
    assert run(queries.asked, [(rows, records.QUERIES)], engine) == ordered(expected)


def test_resolvers_are_seen_with_the_clients_they_tell(engine: Engine) -> None:
    rows = filled(
        records.QUERIES,
        SOUND,
        SOUND | {"qtype": 28, "weight": 3, "rcode": 2, "edge": ""},
        SOUND | {"time": AT - timedelta(minutes=5)},
        SOUND | {"client_net": 0x0B000000},
        SOUND | {"client_family": 0, "client_net": 0, "client_len": 0},
        SOUND | {"resolver_family": 0, "resolver_net": 0, "resolver_len": 0},
        SOUND | {"service": "", "edge": ""},
        SOUND | {"qtype": 65},
    )
    places = filled(records.PLACES, {"family": 4, "net": 0x0A000000, "len": 8, "country": "DE", "isp": "AS1"})
    same = {name: SOUND[name] for name in records.BEHIND if name in SOUND} | {"slice_s": MINUTE_S // 300 * 300}
    expected = filled(
        records.BEHIND,
        {"country": "DE", "isp": "AS1", "questions": 4},
        {"country": "DE", "isp": "AS1", "questions": 1, "slice_s": MINUTE_S // 300 * 300 - 300},
        {"client_net": 0x0B000000, "questions": 1},
        **same,
    )
    found = run(queries.behind, [(rows, records.QUERIES), (places, records.PLACES)], engine)
    assert found == ordered(expected)


def _count(table: Table) -> Table:
    return table.agg(rows=table.count())
