"""Delivery logs: which rows are sound, which of several counts, and what they come to."""

from __future__ import annotations

import random
from typing import Any

import pytest
from gslbtest.tables import filled, ordered, run, stepped

from gslb.measure.engine import Engine
from gslb.model import records
from gslb.tables import deliveries
from gslb.tables.leaving import DUPLICATE
from gslb.tables.schemas import Table
from gslb.tables.shaping import Kept

MINUTE_S = 1_790_000_160
SOUND = {
    "minute_s": MINUTE_S,
    "edge": "sha-ct",
    "service": "room42.pull.live.example",
    "client_family": 4,
    "client_net": 0x0A141E00,
    "client_len": 24,
    "bytes": 1000,
    "sessions_started": 2,
    "received_s": MINUTE_S + 70,
}
SERVICES = (
    [
        {"service": name, "ttl_s": 20}
        for name in ("*.pull.live.example.", "pull.live.example.", "a.b.pull.live.example.")
    ]
    + [{"service": name, "ttl_s": 20} for name in ("live.example.", "*.cdn.example.")],
    records.SERVICES,
)
EDGES = (filled(records.EDGES, {"edge": "sha-ct"}, {"edge": "fra-1"}), records.EDGES)

HOSTS = {
    "pull.live.example": "pull.live.example.",
    "PULL.live.example.": "pull.live.example.",
    "room42.pull.live.example": "*.pull.live.example.",
    "x.room42.Pull.Live.Example.": "*.pull.live.example.",
    "*.pull.live.example.": "*.pull.live.example.",
    "a.b.pull.live.example": "a.b.pull.live.example.",
    "1.a.b.pull.live.example": "a.b.pull.live.example.",
    "b.pull.live.example": "*.pull.live.example.",
    "other.live.example": "live.example.",
    "live.example": "live.example.",
    "x.cdn.example": "*.cdn.example.",
    "cdn.example": "",
    "xlive.example": "",
    "example": "",
    ".": "",
    "": "",
    "a..example": "",
}

CASES: dict[str, list[dict[str, Any]]] = {
    "": [{}, {"bytes": 0}, {"received_s": MINUTE_S - 300}],
    "null": [{name: None} for name in ("minute_s", "edge", "service", "bytes", "client_net", "received_s")],
    "time": [{"minute_s": MINUTE_S + 1}, {"minute_s": MINUTE_S + 420}, {"minute_s": 0, "received_s": 1}],
    "client": [
        {"client_net": 0x0A141E01},
        {"client_len": 25},
        {"client_family": 6, "client_len": 57},
        {"client_family": 3},
    ],
    "number": [{"bytes": -1}, {"bytes": 1 << 60}, {"sessions_started": -1}],
    "service": [{"service": "example"}, {"service": "example", "edge": "mars"}],
    "edge": [{"edge": "mars"}, {"edge": ""}],
}


def verdicts(rows: Table, services: Table, edges: Table) -> Table:
    return deliveries.verdicts(rows, deliveries.hosts_of(rows, services), edges)


def left_out(rows: Table, services: Table, edges: Table) -> Table:
    return deliveries.excess(verdicts(rows, services, edges), deliveries.doubled(rows))


def delivered(rows: Table, places: Table, services: Table, *, kept: Kept) -> Table:
    return deliveries.delivered(rows, None, places, deliveries.hosts_of(rows, services), kept=kept)


def test_each_row_gets_its_verdict(engine: Engine) -> None:
    cases = [(reason, row) for reason, rows in CASES.items() for row in rows]
    rows = filled(records.DELIVERIES, *(SOUND | row for _, row in cases))
    found = run(verdicts, [(rows, records.DELIVERIES), SERVICES, EDGES], engine)
    assert found == ordered([row | {"reject": reason} for row, (reason, _) in zip(rows, cases, strict=True)])
    assert set(CASES) == {"", *deliveries.REASONS}


def test_a_host_belongs_to_the_nearest_service(engine: Engine) -> None:
    rows = filled(records.DELIVERIES, *(SOUND | {"service": host} for host in HOSTS))
    judged = run(verdicts, [(rows, records.DELIVERIES), SERVICES, EDGES], engine)
    assert {row["service"]: row["reject"] for row in judged} == {
        host: "" if name else "service" for host, name in HOSTS.items()
    }
    rows = [row | {"client_net": at << 8} for at, row in enumerate(rows)]
    tables = [engine.rows_of(*each) for each in ((rows, records.DELIVERIES), ([], records.PLACES), SERVICES)]
    found = ordered(stepped(engine, delivered, tables))
    names = [name for name in HOSTS.values() if name]
    assert {row["service"]: (row["bytes"], row["clients"]) for row in found} == {
        name: (1000 * names.count(name), names.count(name)) for name in names
    }


@pytest.mark.parametrize(
    ("copies", "kept"),
    [
        ([(10, 1, 5), (10, 1, 5)], (10, 1, 5)),
        ([(10, 1, 5), (20, 0, 9), (15, 7, 1)], (20, 0, 9)),
        ([(20, 1, 9), (20, 3, 9), (20, 2, 1)], (20, 3, 9)),
        ([(20, 3, 9), (20, 3, 4)], (20, 3, 4)),
    ],
)
def test_of_rows_sent_again_the_fullest_counts(
    copies: list[tuple[int, int, int]], kept: tuple[int, int, int], engine: Engine
) -> None:
    others = [SOUND | other for other in ({"edge": "fra-1"}, {"client_net": 0}, {"minute_s": MINUTE_S + 60})]
    rows = [SOUND | dict(zip(("bytes", "sessions_started", "received_s"), copy, strict=True)) for copy in copies]
    left = [SOUND | dict(zip(("bytes", "sessions_started", "received_s"), copy, strict=True)) for copy in copies]
    left.remove(SOUND | dict(zip(("bytes", "sessions_started", "received_s"), kept, strict=True)))
    rng = random.Random(1)
    for _ in range(2):
        rng.shuffle(rows)
        shown = filled(records.DELIVERIES, *rows, *others)
        found = run(left_out, [(shown, records.DELIVERIES), SERVICES, EDGES], engine)
        duplicates = [row for row in found if row["reject"] == DUPLICATE]
        assert duplicates == ordered([row | {"reject": DUPLICATE} for row in left])


def test_bytes_are_counted_by_where_viewers_are(engine: Engine) -> None:
    places = filled(
        records.PLACES,
        {"family": 4, "net": 0x0A000000, "len": 8, "country": "CN", "region": "SH"},
        {"family": 4, "net": 0x0A141F00, "len": 24, "country": "CN", "region": "BJ"},
    )
    rows = filled(
        records.DELIVERIES,
        SOUND,
        SOUND | {"service": "room43.pull.live.example", "bytes": 5, "sessions_started": 0},
        SOUND | {"client_net": 0x0A150000, "bytes": 7},
        SOUND | {"client_net": 0x0A141F00, "bytes": 9},
        SOUND | {"client_family": 0, "client_net": 0, "client_len": 0, "bytes": 11},
        SOUND | {"minute_s": MINUTE_S + 60},
        SOUND | {"service": "nowhere.example"},
    )
    same = {"minute_s": MINUTE_S, "edge": "sha-ct", "service": "*.pull.live.example.", "sessions_started": 2}
    expected = filled(
        records.DELIVERED,
        same | {"country": "CN", "region": "SH", "bytes": 1012, "sessions_started": 4, "clients": 3},
        same | {"country": "CN", "region": "BJ", "bytes": 9, "clients": 1},
        same | {"bytes": 11, "clients": 1},
        same | {"country": "CN", "region": "SH", "minute_s": MINUTE_S + 60, "bytes": 1000, "clients": 1},
    )
    tables = [engine.rows_of(*each) for each in ((rows, records.DELIVERIES), (places, records.PLACES), SERVICES)]
    found = ordered(stepped(engine, delivered, tables))
    assert found == ordered(expected)
