"""What goes when it is old, what nothing names, and what is put together: never what counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from gslbtest import landed, measured
from gslbtest.landed import BEGIN_S

from gslb.measure import process, retention
from gslb.measure.engine import Engine
from gslb.measure.publish import ASKED, DEMAND
from gslb.measure.retention import DAY_S, Keep, Removed
from gslb.measure.runs import Pipeline
from gslb.measure.settings import Settings

pytestmark = pytest.mark.usefixtures("plain_demand")
KEEP = Keep(bronze=1, silver=2, gold=3, quarantine=1, lineage=1)


def _tidied(root: Path, engine: Engine, now_s: float, clock_s: float) -> Removed:
    pipeline = Pipeline(root / "tables")
    published = {**pipeline.silver, **pipeline.gold}
    removed = Removed()
    retention.forget(root / "log", pipeline.bronze, published, KEEP, "tidy", now_s, removed)
    retention.put_together(engine, published, "tidy", now_s, removed)
    retention.sweep(root / "tables", pipeline.bronze, published, KEEP, removed, lambda: clock_s)
    return removed


def _newest(tables: Path) -> float:
    """A clock by which nothing is old."""
    return max(path.stat().st_ctime for path in tables.rglob("*"))


def test_pieces_are_put_together_and_late_rows_take_them_apart(duckdb: Engine, tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    for start_s in (BEGIN_S, BEGIN_S + 300):
        landed.land(tmp_path / "log", start_s, start_s + 300)
        assert measured.run(tmp_path, duckdb, start_s + 301, span=range(start_s, start_s + 300)).ok
    rows = measured.all_rows(tables)
    now_s = BEGIN_S + 4 * 3600
    assert _tidied(tmp_path, duckdb, now_s, _newest(tables)).joined == 8
    joined = Pipeline(tables).silver
    assert [len(table.current.pieces) for table in joined.values()] == [1, 1, 1, 1]
    assert sum(joined["asked"].current.pieces[0].counts.values()) == 480
    assert measured.all_rows(tables) == rows
    assert measured.run(tmp_path, duckdb, now_s, span=range(BEGIN_S, now_s)).built == []

    landed.land_queries(tmp_path / "log", landed.queries("ns1", BEGIN_S, BEGIN_S + 300, 1001))
    done = measured.run(tmp_path, duckdb, now_s + 1, span=range(BEGIN_S, now_s))
    assert {built.batch.slices for built in done.built} == {(BEGIN_S,)}
    asked = Pipeline(tables).silver["asked"].current
    assert [sorted(piece.units) for piece in asked.pieces] == [[BEGIN_S], [BEGIN_S + 300]]
    assert sum(row["questions"] for row in measured.rows(tables, ASKED)) == 480 + 120


def test_what_is_old_goes_and_what_counts_stays(duckdb: Engine, tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    landed.land(tmp_path / "log", BEGIN_S, BEGIN_S + 300)
    assert measured.run(tmp_path, duckdb, BEGIN_S + 301).ok
    rows = measured.all_rows(tables)
    spare = tables / "gold" / "demand" / "demand-spare.parquet"
    left = tables / "silver" / "asked" / "2026-11-28T10" / ".asked.1.tmp" / "data_0.parquet"
    aside = tables / "quarantine" / "queries" / "some.parquet"
    for path in (spare, left, aside):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    now_s, clock_s = BEGIN_S + 3600, _newest(tables)
    assert _tidied(tmp_path, duckdb, now_s, clock_s + 3000).files == 0
    removed = _tidied(tmp_path, duckdb, now_s, clock_s + 3700)
    assert (removed.files, removed.bytes) == (2, 10)
    assert not spare.exists()
    assert not left.parent.exists()
    assert measured.all_rows(tables) == rows
    _tidied(tmp_path, duckdb, now_s, clock_s + DAY_S + 100)
    assert not aside.exists()
    assert not list((tables / "runs").iterdir())

    removed = _tidied(tmp_path, duckdb, BEGIN_S + DAY_S + 3600, clock_s + 2 * DAY_S)
    assert removed.entries == 6
    assert removed.files >= 6
    assert {path.suffix for path in (tables / "bronze").rglob("*") if path.is_file()} == {".json"}
    assert measured.all_rows(tables) == rows
    assert measured.run(tmp_path, duckdb, BEGIN_S + DAY_S + 3600).intake["queries"].files == 0
    late = landed.queries("ns1", BEGIN_S, BEGIN_S + 300, 1001)
    landed.land_queries(tmp_path / "log", late)
    done = measured.run(tmp_path, duckdb, BEGIN_S + DAY_S + 3601)
    assert done.intake["queries"].rejected == {"too late": 120}
    assert done.built == []
    assert measured.rows(tables, DEMAND) == rows["demand"]

    removed = _tidied(tmp_path, duckdb, BEGIN_S + 3 * DAY_S + 7200, clock_s + 3 * DAY_S)
    assert removed.pieces == 4 + 4
    assert len(list(Pipeline(tables).bronze["queries"])) == 3
    for path in (tmp_path / "log" / "queries").iterdir():
        path.unlink()
    _tidied(tmp_path, duckdb, BEGIN_S + 3 * DAY_S + 7300, clock_s + 3 * DAY_S)
    assert list(Pipeline(tables).bronze["queries"]) == []
    assert not any(measured.all_rows(tables).values())


def test_what_killed_engines_left_goes(tmp_path: Path) -> None:
    removed = Removed()
    for name in ("duckdb-left", "spark-left", "duckdb-new", "others"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"123")
    retention.sweep_scratch(tmp_path / "none", removed)
    retention.sweep_scratch(tmp_path, removed, lambda: _newest(tmp_path) + DAY_S - 60)
    assert removed.files == 0
    retention.sweep_scratch(tmp_path, removed, lambda: _newest(tmp_path) + DAY_S + 60)
    assert (removed.files, removed.bytes) == (3, 9)
    assert [path.name for path in tmp_path.iterdir()] == ["others"]


def test_tidying_takes_the_lock_and_a_name(tmp_path: Path) -> None:
    landed.land(tmp_path / "log", BEGIN_S, BEGIN_S + 300, sources="r")
    settings = Settings(log=tmp_path / "log", out=tmp_path / "tables")
    assert process.tidy(settings, BEGIN_S) == Removed()
    assert [path.name for path in (tmp_path / "tables" / "runs").iterdir()] == ["20261128T100000Z-1.json"]
