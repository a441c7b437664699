"""The query log: which rows are sound, each once, and what they come to."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gslbtest.tables import filled, ordered, run

from gslb.measure.engine import Engine
from gslb.model import records
from gslb.tables import queries
from gslb.tables.leaving import DUPLICATE
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
    (0, 1, 7, 8, 9, 31, 32, 33, 63, 64),
    (5, 5),
    (5, 5, 5, 5, 5),
    (0, 0, 1, 1, 2, 3),  # 1 + 1 + 2 + 2 …: sums that look like others
    (7, 7, 7, 7, 3),
    (31, 31, 30),  # 31 and 31: what 32 would be
    (*range(100, 140), *range(100, 140)),
    (8, 9, 9, 10, 1 << 40, 1 << 40),
]


@pytest.mark.parametrize("numbers", NUMBERS, ids=str)
def test_a_number_counts_once(numbers: tuple[int, ...], engine: Engine) -> None:
    rows = filled(records.QUERIES, *(SOUND | {"seq": number} for number in numbers))
    (told,) = run(lambda table: queries.counted(queries.numbers(table)), [(rows, records.QUERIES)], engine)
    assert told["rows"] == len(numbers)
    assert bool(told["doubted"]) == (len(set(numbers)) < len(numbers))
    copies = Counter(numbers) - Counter(set(numbers))
    found = left_out(rows, engine)
    assert Counter(row["seq"] for row in found if row["reject"] == DUPLICATE) == copies
    assert [row["seq"] for row in found if row["reject"] != DUPLICATE] == [0] * (0 in numbers)  # no identity


def test_boots_and_servers_number_for_themselves(engine: Engine) -> None:
    rows = filled(
        records.QUERIES, SOUND, SOUND | {"server": "ns2"}, SOUND | {"boot_id": "00000000000000ab"}, SOUND | {"seq": 8}
    )
    assert left_out(rows, engine) == []


def test_rows_without_a_number_are_no_copies(engine: Engine) -> None:
    rows = filled(records.QUERIES, *[SOUND | {name: None} for name in ("server", "boot_id", "seq") for _ in range(3)])
    found = left_out(rows, engine)
    assert [row["reject"] for row in found] == ["null"] * 9


def test_whatever_the_order_the_same_copy_stays(engine: Engine) -> None:
    rng = random.Random(1)
    rows = [
        SOUND | {"seq": rng.randrange(1, 60), "edge": rng.choice(["sha-ct", "fra-1"]), "weight": rng.randrange(1, 3)}
        for _ in range(90)
    ]
    again = rng.sample(rows, 30)
    found = []
    for _ in range(3):
        rng.shuffle(rows)
        shown = filled(records.QUERIES, *rows, *again)
        rest = list(shown)
        for row in left_out(shown, engine):
            assert row.pop("reject") == DUPLICATE
            rest.remove(row)
        found.append(ordered(rest))
    assert found[0] == found[1] == found[2]
    assert sorted(row["seq"] for row in found[0]) == sorted({row["seq"] for row in rows})


def test_what_is_left_out_is_not_summed_up(engine: Engine) -> None:
    """Whatever a row has that is rejected or there again, and whether or not others are like it."""
    rng = random.Random(2)
    good = [
        SOUND | {"seq": at, "weight": rng.choice((1, 16)), "view": rng.choice(("CN||", "||"))} for at in range(1, 41)
    ]
    odd = [row for reason, rows in CASES.items() if reason for row in rows if "time" not in row]
    odd += [{"weight": 1 << 62}, {"weight": -(1 << 63)}, {"client_net": -1}, {"seq": -5}, {"view": "|||"}]
    bad = [rng.choice(good) | {"seq": at} | row for at, row in enumerate(odd, 1001)]
    rows = filled(records.QUERIES, *good, *bad, *rng.sample(good, 9), *rng.sample(bad, 9))
    sound = engine.rows_of(filled(records.QUERIES, *good), records.QUERIES)
    table, places = engine.rows_of(rows, records.QUERIES), engine.rows_of([], records.PLACES)
    less = engine.rows_of(left_out(rows, engine), dict(records.QUERIES) | {"reject": records.TEXT})
    for made in (asked, lambda *each: queries.behind(queries.pairs(*each), places)):
        found, wanted = (ordered(engine.fetch(made(*each))) for each in ((table, less), (sound,)))
        assert [exactly(row) for row in found] == [exactly(row) for row in wanted]


def asked(*tables: Table) -> Table:
    """`ASKED` of rows, and of those that are left out."""
    return queries.asked(queries.answered(*tables), queries.pairs(*tables))


def exactly(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its real numbers to nine digits: sums are in any order."""
    return {name: float(f"{value:.9g}") if isinstance(value, float) else value for name, value in row.items()}


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
    of_two = 1 / (1 - 3 / 2 * 20 / 300)  # three rows of two clients, who are deaf for 20 of 300 s after each
    of_one = 1 / (1 - 20 / 300)
    expected = filled(
        records.ASKED,
        here | {"questions": 17, "rows": 2, "arrivals": 17 * of_two},
        here | {"minute_s": MINUTE_S + 60, "arrivals": of_two},
        here | {"ecs": 0, "arrivals": 1.0},
        {"region": "x", "arrivals": of_one},
        {"arrivals": of_one},
        **same,
    )
    found = run(asked, [(rows, records.QUERIES)], engine)
    assert [exactly(row) for row in found] == [exactly(row) for row in ordered(expected)]


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
    found = run(behind, [(rows, records.QUERIES), (places, records.PLACES)], engine)
    assert found == ordered(expected)


def behind(rows: Table, places: Table) -> Table:
    return queries.behind(queries.pairs(rows), places)


def left_out(rows: list[dict[str, Any]], engine: Engine) -> list[dict[str, Any]]:
    """The rows that do not count, with their reasons, as the pipeline finds them."""
    table = engine.rows_of(rows, records.QUERIES)
    numbers = queries.numbers(table)
    (told,) = engine.fetch(queries.counted(numbers))
    judged = queries.verdicts(table, engine.rows_of(*SERVICES), engine.rows_of(*EDGES))
    found = queries.suspects(judged, queries.doubted(numbers) if told["doubted"] else None)
    return ordered(engine.fetch(queries.excess(found)))
