"""Runs of the pipeline: what they build, and that it does not matter when, how often and in which order things land."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from gslbtest import landed, measured
from gslbtest.landed import BEGIN_S

from gslb.dispatch import manifest
from gslb.errors import GslbError
from gslb.measure import gold
from gslb.measure.done import summary
from gslb.measure.engine import Engine
from gslb.measure.publish import ASKED, DEMAND, DEMAND_LIVE
from gslb.measure.runs import Pipeline, alone
from gslb.measure.silver import BATCH_ROWS, Facts

END_S = BEGIN_S + 900
"""Three slices."""
BYTES = 8_000_000 * (1 + 2) * 900 // 8
"""What edges a and b delivered until then."""


@pytest.fixture(scope="module")
def clean(planned: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All landed at once, in order, and one run; none of the tests changes it."""
    root = tmp_path_factory.mktemp("clean")
    landed.land(root / "log", BEGIN_S, END_S)
    told: list[tuple[str, int, int]] = []
    assert measured.run(root, planned, END_S + 1, progress=lambda *each: told.append(each)).ok
    assert planned.plans
    assert {("take queries", 6, 6), ("build reports", 1, 1), ("build gold", 3, 3)} <= set(told)
    return root


def test_demand_is_what_a_dispatcher_takes(clean: Path) -> None:
    for kind in (DEMAND, DEMAND_LIVE):
        folder = clean / "tables" / "gold" / kind.name
        assert kind.bucket_s is not None
        told = manifest.read((folder / "_current.json").read_bytes(), kind.name, kind.bucket_s)
        assert told.buckets_s == tuple(range(BEGIN_S, END_S, kind.bucket_s))
        assert told.until_s == END_S
        assert all((folder / name).is_file() for name in told.files)
        found = measured.rows(clean / "tables", kind)
        assert {row["service"] for row in found} == set(landed.SERVICES)
        delivered = sum(row["delivered_bps"] for row in found) * kind.bucket_s / 8
        assert delivered == pytest.approx(BYTES)
    assert sum(row["questions"] for row in measured.rows(clean / "tables", ASKED)) == 2 * 24 * 15


def test_a_second_run_has_nothing_to_do(clean: Path, duckdb: Engine) -> None:
    before = _stamps(clean / "tables")
    again = measured.run(clean, duckdb, END_S + 2)
    assert again.ok
    assert (again.built, again.pieces) == ([], [])
    assert _stamps(clean / "tables") == before


@pytest.mark.no_cover
def test_however_it_lands_the_same_tables_come_out(clean: Path, duckdb: Engine, tmp_path: Path) -> None:
    """A tenth of the rows is there twice, none is in order, and things land after their time was published."""
    log = tmp_path / "log"
    landed.land(log, BEGIN_S, BEGIN_S + 300)
    late = [next((log / "queries").glob("ns2-*.parquet")), next((log / "reports").iterdir()), next(log.glob("d*/*"))]
    moved = [(path, path.rename(path.with_name(f".{path.name}"))) for path in late]
    landed.land(log, BEGIN_S + 300, END_S, sources="dr")
    first = measured.run(tmp_path, duckdb, END_S + 1, span=range(BEGIN_S, BEGIN_S + 300))
    assert {built.batch.slices for built in first.built} == {(BEGIN_S,)}
    assert not measured.rows(tmp_path / "tables", DEMAND_LIVE)

    for path, hidden in moved:
        hidden.rename(path)
    for server in landed.SERVERS:
        rows = [
            row
            for start_s in range(BEGIN_S, END_S, 300)
            for row in landed.queries(server, start_s, start_s + 300, (start_s - BEGIN_S) * 24 // 60 + 1)
        ]
        for number, segment in enumerate(landed.disordered(rows, seed=7)):
            landed.land_queries(log, segment, f"{server}-{number}.parquet")
    landed.land_deliveries(log, landed.delivery_lines(BEGIN_S, BEGIN_S + 300), "again.csv")
    second = measured.run(tmp_path, duckdb, END_S + 1, batch_rows=700)
    assert len([built for built in second.built if built.source == "queries"]) > 1
    assert summary(second)["built"]["queries"]["duplicates"] > 2 * 24 * 5
    _alike(tmp_path, clean)

    third = measured.run(tmp_path, duckdb, END_S + 3, span=range(BEGIN_S, BEGIN_S + 300), rebuild=True)
    assert {built.batch.slices for built in third.built} == {(BEGIN_S,)}
    _alike(tmp_path, clean)


def test_demand_made_in_parts_is_the_same(duckdb: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edge is silent for minutes, and what it can carry it says only later, in another part."""
    until_s = BEGIN_S + 600
    for start_s in (BEGIN_S, BEGIN_S + 300):
        landed.land(tmp_path / "log", start_s, start_s + 300, sources="q")
        rows = landed.reports(start_s, start_s + 300)
        if start_s == BEGIN_S:
            silent = [each for each in rows if each["edge"] == "a"][6:]
            rows = [{**each, "capacity_bps": 1000} for each in rows if each not in silent]
        landed.land_reports(tmp_path / "log", rows)
    assert measured.run(tmp_path, duckdb, until_s + 1).ok
    whole = measured.all_rows(tmp_path / "tables")["demand"]
    monkeypatch.setattr(gold, "MOST_AT_ONCE", 0)
    monkeypatch.setattr(gold, "PART_S", 300)
    assert measured.run(tmp_path, duckdb, until_s + 2, span=range(BEGIN_S, until_s), rebuild=True).ok
    assert measured.all_rows(tmp_path / "tables")["demand"] == whole
    assert {row["time"].timestamp() for row in whole} == {BEGIN_S, BEGIN_S + 300}


def test_live_demand_is_that_of_the_hour(
    clean: Path, duckdb: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same slices it is fitted once for both; by itself it comes out the same."""
    fitted, spans = gold.demand.fitted, []
    monkeypatch.setattr(
        gold.demand, "fitted", lambda *told, **when: spans.append(when["from_s"]) or fitted(*told, **when)
    )
    live = measured.all_rows(clean / "tables")["demand_live"]
    for hours in (True, False):
        root = tmp_path / str(hours)
        landed.land(root / "log", BEGIN_S, END_S)
        assert measured.run(root, duckdb, END_S + 1, hours=hours).ok
        assert spans == [BEGIN_S]
        assert measured.all_rows(root / "tables")["demand_live"] == live != []
        spans.clear()


@pytest.mark.soak
def test_two_hours_of_disorder(duckdb: Engine, tmp_path: Path) -> None:
    """Half a million questions: late by up to an hour, a tenth twice, in any order; taken in a dozen runs."""
    end_s = BEGIN_S + 7200
    landed.land(tmp_path / "whole" / "log", BEGIN_S, end_s, per_minute=2000)
    assert measured.run(tmp_path / "whole", duckdb, end_s + 1).ok
    root = tmp_path / "bits"
    draw = random.Random(5)
    rows = [
        row
        for server in landed.SERVERS
        for start_s in range(BEGIN_S, end_s, 300)
        for row in landed.queries(server, start_s, start_s + 300, (start_s - BEGIN_S) * 2000 // 60 + 1, 2000)
    ]
    late: list[list[landed.Row]] = [[] for _ in range(24)]
    for row in [*rows, *draw.sample(rows, len(rows) // 10)]:
        at = int(row["time"].timestamp() - BEGIN_S) // 300
        late[min(23, at + draw.choice([0] * 9 + [draw.randrange(12)]))].append(row)
    for at, each in enumerate(late):
        start_s = BEGIN_S + 300 * at
        draw.shuffle(each)
        landed.land_queries(root / "log", each, f"mixed-{at}.parquet")
        landed.land(root / "log", start_s, start_s + 300, sources="dr")
        if at % 2:
            measured.run(root, duckdb, start_s + 301)
    assert measured.run(root, duckdb, end_s + 1).ok
    _alike(root, tmp_path / "whole")


@pytest.mark.usefixtures("plain_demand")
def test_a_bucket_that_has_not_ended_or_that_nobody_saw_is_unknown(duckdb: Engine, tmp_path: Path) -> None:
    """In one slice most rows are of an edge that is not known, and one ahead of time; its questions are not built."""
    landed.land(tmp_path / "log", BEGIN_S, BEGIN_S + 300)
    landed.land(tmp_path / "log", BEGIN_S + 300, BEGIN_S + 600, sources="d")
    landed.land(tmp_path / "log", BEGIN_S + 600, BEGIN_S + 900, sources="dr")
    landed.land(tmp_path / "log", BEGIN_S + 900, BEGIN_S + 1500)
    rows = landed.queries("ns1", BEGIN_S + 600, BEGIN_S + 900, 1)
    for row in rows[:100]:
        row["edge"] = "nobody's"
    rows[100]["time"] = datetime.fromtimestamp(BEGIN_S + 10_000, UTC)
    landed.land_queries(tmp_path / "log", rows)
    done = measured.run(tmp_path, duckdb, BEGIN_S + 1499 + 20, wait_s=20, batch_rows=200)
    folder = tmp_path / "tables" / "gold"
    told = manifest.read((folder / "demand" / "_current.json").read_bytes(), "demand", 300)
    assert told.buckets_s == (BEGIN_S, BEGIN_S + 900)
    found = summary(done)
    assert found["built"]["queries"]["rejected"] == {"edge": 100}
    assert found["sources"]["queries"]["rejected"] == {"ahead of time": 1}
    assert found["stopped"] == ["queries: unknown: 84.03% of rows name an edge or a service that files do not"]
    aside = tmp_path / "tables" / "quarantine"
    assert [path.parent.name for path in (aside / "queries").rglob("*.parquet")] == ["2026-11-28T10"]
    assert [path.name for path in (aside / "asked").iterdir()] == [f"asked-20261128T101000Z-{done.run}.parquet"]


@pytest.mark.parametrize("batch_rows", [BATCH_ROWS, 200])
def test_what_is_broken_is_put_aside_and_the_run_goes_on(
    clean: Path, duckdb: Engine, tmp_path: Path, batch_rows: int
) -> None:
    """Some of it of two batches, which are built side by side."""
    log = tmp_path / "log"
    landed.land(log, BEGIN_S, END_S)
    good = next((log / "queries").glob("ns1-*-000000000001.parquet")).read_bytes()
    torn = bytearray(good)
    torn[4:600] = bytes(596)
    for name, content in (("cut.parquet", good[:-9]), ("torn.parquet", bytes(torn)), ("empty.parquet", b"")):
        (log / "queries" / name).write_bytes(content)
    landed.land_counters(log, "ns1", BEGIN_S, 1).rename(log / "queries" / "counters.parquet")
    (log / "delivery" / "other.csv").write_text("minute,edge\n")
    (log / "delivery" / "faulty.csv").write_text(
        "minute,edge,service,client_prefix,bytes,sessions_started\n2026-11-28T10:00:00Z,a,news.example.,x,1,1\n"
    )
    (log / "reports" / "notes.txt").write_text("not looked at")
    done = measured.run(tmp_path, duckdb, END_S + 1, batch_rows=batch_rows)
    assert len([built for built in done.built if built.source == "queries"]) == (1 if batch_rows > 200 else 3)
    assert done.ok
    refused = {name: reason for intake in done.intake.values() for name, reason in intake.refused}
    assert set(refused) == {"cut.parquet", "torn.parquet", "empty.parquet", "counters.parquet", "other.csv"}
    assert refused["counters.parquet"].startswith("columns are missing: seq, service")
    assert "column 'service' is missing" in refused["other.csv"]
    aside = tmp_path / "tables" / "quarantine"
    for source, name in (("queries", "cut.parquet"), ("queries", "torn.parquet"), ("deliveries", "other.csv")):
        assert (aside / source / name).is_file()
        assert json.loads((aside / source / f"{name}.json").read_text())["reason"] == refused[name]
    (line,) = next((aside / "deliveries").glob("faulty-*.jsonl")).read_text().splitlines()
    assert json.loads(line)["place"].endswith("faulty.csv:2:38")
    assert measured.all_rows(tmp_path / "tables") == measured.all_rows(clean / "tables")
    told = summary(done)
    assert told["sources"]["deliveries"]["rejected"] == {"client_prefix: is not a prefix": 1}
    again = measured.run(tmp_path, duckdb, END_S + 2)
    assert not any(intake.refused for intake in again.intake.values())


def test_what_lies_beside_a_table_says_what_it_was_made_of(clean: Path) -> None:
    tables = clean / "tables"
    run = json.loads((tables / "gold" / "demand" / "_current.json").read_text())["run"]
    told = json.loads((tables / "gold" / "demand" / "_lineage" / f"demand-20261128T100000Z-{run}.json").read_text())
    assert (told["run"], told["engine"], told["from"]) == (run, "duckdb", "2026-11-28T10:00:00Z")
    assert told["gates"]["conserved"] in ("ok", "warn")
    (asked,) = told["inputs"]["asked"]
    assert asked["counts"] == {"rows": 720, "duplicates": 0}
    of_asked = json.loads(
        (tables / "silver/asked/_lineage" / f"asked-20261128T100000Z-{asked['run']}.json").read_text()
    )
    assert (of_asked["rows"], of_asked["facts"]) == (720, "facts")
    assert {each["name"] for each in of_asked["landed"]} == {path.name for path in (clean / "log/queries").iterdir()}
    assert json.loads((tables / "runs" / f"{run}.json").read_text())["ok"] is True


def _no_facts(_: Engine) -> Facts:
    raise GslbError("zones/edges.yaml:1:1: faulty")


@pytest.mark.usefixtures("plain_demand")
def test_facts_that_fail_and_other_facts(duckdb: Engine, tmp_path: Path) -> None:
    landed.land(tmp_path / "log", BEGIN_S, BEGIN_S + 300, sources="r")
    done = measured.run(tmp_path, duckdb, BEGIN_S + 301, _no_facts)
    assert (done.faults, done.ok) == (["facts: zones/edges.yaml:1:1: faulty"], False)
    assert done.intake["reports"].files == 1
    (tmp_path / "log" / "queries").write_text("not a folder")

    def slices(digest: str, now_s: float, **told: Any) -> int:
        done = measured.run(tmp_path, duckdb, now_s, lambda engine: landed.facts(engine, digest), **told)
        assert done.faults == [f"landing: {tmp_path / 'log' / 'queries'}: cannot be read: Not a directory"]
        return sum(len(built.batch.slices) for built in done.built)

    assert slices("first", BEGIN_S + 302) == 1
    assert slices("second", BEGIN_S + 303) == 1
    assert slices("third", BEGIN_S + 3 * 3600) == 0
    assert slices("third", BEGIN_S + 3 * 3600 + 1, span=range(BEGIN_S, BEGIN_S + 3600)) == 1


def test_a_table_that_fails_does_not_keep_the_others(
    duckdb: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise GslbError("cannot be")

    monkeypatch.setattr(gold.demand, "demand", fails)
    landed.land(tmp_path / "log", BEGIN_S, BEGIN_S + 300)
    done = measured.run(tmp_path, duckdb, BEGIN_S + 301)
    assert done.faults == ["demand: cannot be", "demand_live: cannot be"]
    assert [name for name, _ in done.pieces] == ["resolvers", "edge_load"]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with alone(tmp_path / "tables"), pytest.raises(GslbError, match="another process measures there"):
        alone(tmp_path / "tables").__enter__()
    (tmp_path / "file").write_text("")
    with pytest.raises(GslbError, match="file: cannot be used: "):
        alone(tmp_path / "file").__enter__()


@pytest.mark.parametrize(
    ("path", "content", "told"),
    [
        ("gold/demand/_current.json", "{", "not a manifest"),
        (
            "silver/asked/_current.json",
            '{"format": 2, "table": "asked", "run": "", "unit_s": 300, "pieces": []}',
            "2 is",
        ),
        ("bronze/queries/_current.json", "[]", "not a manifest"),
        ("bronze/queries/_current.json", '{"table": "other", "run": "", "gone_s": 0, "parts": {}}', "of queries"),
        (
            "bronze/queries/_current.json",
            '{"table": "queries", "run": "", "gone_s": 0, "parts": {"a": "none.json"}}',
            "none.json: cannot be read",
        ),
    ],
)
def test_a_manifest_that_cannot_be_read_is_left_alone(tmp_path: Path, path: str, content: str, told: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(content)
    with pytest.raises(GslbError, match=told):
        Pipeline(tmp_path)
    assert (tmp_path / path).read_text() == content


def _alike(found: Path, wanted: Path) -> None:
    rows, others = measured.all_rows(found / "tables"), measured.all_rows(wanted / "tables")
    for name in others:
        assert rows[name] == others[name], name


def _stamps(tables: Path) -> dict[str, int]:
    return {
        str(path.relative_to(tables)): path.stat().st_mtime_ns
        for layer in ("bronze", "silver", "gold")
        for path in (tables / layer).rglob("*")
        if path.is_file()
    }
