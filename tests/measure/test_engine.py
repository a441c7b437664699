"""Engines: Parquet in, tables kept, Parquet out, and what is said of files that are none."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gslb.measure.duck
from gslb.errors import GslbError
from gslb.measure import arrow
from gslb.measure import engine as engines
from gslb.measure.engine import Engine, nested, open_engine
from gslb.model import records

COLUMNS = {"time": records.TIME, "name": records.TEXT, "count": records.WHOLE, "share": records.REAL}
AT = datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC)
ROWS = [
    {"time": AT, "name": "b", "count": -(1 << 63), "share": 0.1},
    {"time": AT.replace(year=1969), "name": "", "count": (1 << 63) - 1, "share": -0.0},
    {"time": AT.replace(hour=2), "name": "ü's", "count": 0, "share": 1e300},
]


@pytest.fixture
def duck(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine("duckdb", tmp_path / "scratch", memory_mb=256, plans=True)
    yield engine
    engine.close()
    assert list((tmp_path / "scratch").iterdir()) == []


def by_name(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: str(row["name"]))


def test_rows_come_back_as_they_were(duck: Engine, tmp_path: Path) -> None:
    table = duck.rows_of(ROWS, COLUMNS)
    assert by_name(duck.fetch(table)) == by_name(ROWS)
    assert [row["time"].tzinfo for row in duck.fetch(table)] == [UTC] * 3
    (written,) = duck.write(table, tmp_path / "out", "a")
    path = tmp_path / "out" / "a.parquet"
    assert written == (path.name, 3, path.stat().st_size)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert [(each.name, each.type) for each in pq.read_schema(path)] == [
        (each.name, each.type) for each in arrow.arrow_schema(COLUMNS)
    ]
    assert by_name(duck.fetch(duck.read([path, path], COLUMNS).distinct())) == by_name(ROWS)


def test_no_files_are_a_table_without_rows_and_that_is_a_file_without_rows(duck: Engine, tmp_path: Path) -> None:
    table = duck.read([], COLUMNS)
    assert duck.fetch(table) == []
    (written,) = duck.write(table, tmp_path, "none")
    assert written.rows == 0
    assert duck.fetch(duck.read([tmp_path / written.name], COLUMNS)) == []


def test_large_tables_are_several_files_in_order(duck: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gslb.measure.duck, "FILE_BYTES", 1 << 12)
    rows = duck.rows_of([{"at": at * at * 7919 % 999_983} for at in range(300_000)], {"at": records.WHOLE})
    written = duck.write(rows.order_by("at"), tmp_path, "a")
    assert [each.name for each in written] == [f"a-{at}.parquet" for at in range(len(written))]
    assert len(written) > 1
    assert sum(each.rows for each in written) == 300_000
    found = [number for each in written for number in pq.read_table(tmp_path / each.name)["at"].to_pylist()]
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (pa.array([1, 2], pa.int32()), records.WHOLE),
        (pa.array([1, 2], pa.uint64()), records.WHOLE),
        (pa.array([1.5, 2.5], pa.float32()), records.REAL),
        (pa.array([1, 2], pa.int8()), records.REAL),
        (pa.array(["a", "b"]).dictionary_encode(), records.TEXT),
        (pa.array([1, 2], pa.timestamp("ms")), records.TIME),
        (pa.array([1, 2], pa.timestamp("us", "Asia/Shanghai")), records.TIME),
    ],
)
def test_narrower_columns_are_widened(duck: Engine, tmp_path: Path, written: Any, read: str) -> None:
    pq.write_table(pa.table({"x": written}), tmp_path / "a.parquet")
    found = duck.fetch(duck.read([tmp_path / "a.parquet"], {"x": read}).order_by("x"))
    per_second = {"ms": 1000, "us": 1_000_000}[written.type.unit] if read == records.TIME else 0
    times = [datetime.fromtimestamp(at / per_second, UTC) for at in (1, 2)] if per_second else []
    assert [row["x"] for row in found] == (times or written.to_pylist())


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"a": [1]}, "columns are missing: b"),
        ({"a": [1], "b": ["x"], "c": [2], "d": [3]}, "columns are not known: c, d"),
        ({"a": ["1"], "b": ["x"]}, "column a is string, not int64"),
        ({"a": [1], "b": [2]}, "column b is int64, not string"),
    ],
)
def test_files_of_other_columns_are_named(duck: Engine, tmp_path: Path, columns: Any, fault: str) -> None:
    good = {"a": records.WHOLE, "b": records.TEXT}
    arrow.write_rows(tmp_path / "good.parquet", [{"a": 1, "b": "x"}], good)
    pq.write_table(pa.table(columns), tmp_path / "bad.parquet")
    (tmp_path / "none.parquet").write_bytes(b"a,b\n1,x\n")
    paths = [tmp_path / name for name in ("good.parquet", "bad.parquet", "none.parquet", "gone.parquet")]
    with pytest.raises(GslbError) as raised:
        duck.read(paths, good)
    bad, none, gone = str(raised.value).splitlines()
    assert bad == f"{paths[1]}: {fault}"
    assert none.startswith(f"{paths[2]}: not a Parquet file that can be read: ")
    assert gone.startswith(f"{paths[3]}: not a Parquet file that can be read: ")


def test_a_file_with_torn_rows_is_named_when_they_are_read(duck: Engine, tmp_path: Path) -> None:
    good, torn = tmp_path / "good [1]*?'.parquet", tmp_path / "torn.parquet"
    columns = {"a": records.WHOLE}
    for path in (good, torn):
        arrow.write_rows(path, [{"a": at} for at in range(10_000)], columns)
    content = bytearray(torn.read_bytes())
    content[20:2000] = bytes(1980)
    torn.write_bytes(content)
    table = duck.read([good, torn], columns)
    sound = duck.read([good], columns)
    assert duck.fetch(sound.agg(rows=sound.count())) == [{"rows": 10_000}]
    with pytest.raises(GslbError, match=rf"^{torn}: "):
        duck.fetch(table.agg(a=table.a.sum()))
    with pytest.raises(GslbError, match=rf"^{torn}: "):
        duck.write(table, tmp_path / "out", "a")
    assert list((tmp_path / "out").iterdir()) == []


def test_sums_are_whole_numbers_and_too_large_ones_are_refused(duck: Engine, tmp_path: Path) -> None:
    table = duck.rows_of(ROWS, COLUMNS)
    positive = table.filter(table["count"] > 0)
    with duck.kept(positive.agg(total=positive["count"].sum())) as kept:
        assert dict(kept.schema().items()) == {"total": ibis.dtype("int64")}
        duck.write(kept, tmp_path, "sum")
    assert pq.read_table(tmp_path / "sum.parquet").to_pylist() == [{"total": (1 << 63) - 1}]
    both = positive.union(positive)
    with pytest.raises(GslbError, match=r"^duckdb: "):
        duck.write(both.agg(total=both["count"].sum()), tmp_path, "more")
    assert not (tmp_path / "more.parquet").exists()


def test_what_is_kept_is_computed_once_and_gone_afterwards(duck: Engine) -> None:
    table = duck.rows_of(ROWS, COLUMNS)
    with duck.kept(table.mutate(large=table["count"] > 0)) as kept:
        assert [row["large"] for row in duck.fetch(kept.order_by("count"))] == [False, False, True]
        assert dict(kept.schema().items())["large"] == ibis.dtype("boolean")
    with pytest.raises(GslbError, match=r"^duckdb: Catalog Error: "):
        duck.fetch(kept)
    with pytest.raises(RuntimeError, match="on the way"), duck.kept(table) as kept:
        raise RuntimeError("on the way")
    with pytest.raises(GslbError, match=r"^duckdb: Catalog Error: "):
        duck.fetch(kept)


def test_what_is_kept_may_give_way_to_what_is_made_of_it(duck: Engine) -> None:
    rows = duck.rows_of([{"a": 1}, {"a": 2}], {"a": records.WHOLE})
    with duck.kept(rows) as kept, duck.kept(kept.agg(a=kept.a.sum())) as whole:
        doubled, added = kept.mutate(a=kept.a * 2), kept.agg(a=kept.a.sum())
        for factor in (2, 4, 8):
            duck.renew(kept, doubled)
            duck.renew(whole, added)
            assert sorted(row["a"] for row in duck.fetch(kept)) == [factor, 2 * factor]
            assert duck.fetch(whole) == [{"a": 3 * factor}]
        for at in range(2 * engines.STEPS):
            duck.renew(whole, kept.agg(a=kept.a.sum() + at))
        assert duck.fetch(whole) == [{"a": 24 + 2 * engines.STEPS - 1}]


def test_columns_that_no_file_has_are_refused(duck: Engine) -> None:
    table = duck.rows_of(ROWS, COLUMNS)
    with pytest.raises(GslbError, match="no table has columns of type array<string>"):
        duck.fetch(table.select(names=ibis.array([table["name"]])))


def test_large_results_are_not_fetched(duck: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "MOST_FETCHED", 2)
    with pytest.raises(GslbError, match="a table of more than 2 rows is not fetched"):
        duck.fetch(duck.rows_of(ROWS, COLUMNS))


def test_rows_that_do_not_fit_are_refused(duck: Engine) -> None:
    with pytest.raises(GslbError, match="rows that do not fit their columns"):
        duck.rows_of([{**ROWS[0], "count": "many"}], COLUMNS)


def test_plans_tell_of_joins_of_each_row_with_each(duck: Engine) -> None:
    table = duck.rows_of([{"a": at} for at in range(1000)], {"a": records.WHOLE})
    other = table.select(b="a")
    for found, joins in [
        (table.join(other, table.a == other.b), []),
        (table.semi_join(other, table.a == other.b), []),
        (table.join(other, table.a < other.b), ["Piecewise Merge Join"]),
        (table.join(other, (table.a < other.b) | (table.a == 3)), ["Blockwise Nl Join"]),
        (table.cross_join(other), ["Cross Product"]),
    ]:
        assert nested(duck.plan(found)) == joins
        duck.fetch(found.limit(1))
    assert nested(duck.plans[-1]) == ["Cross Product"]


def test_plans_are_noted_where_that_is_asked_for(tmp_path: Path) -> None:
    engine = open_engine("duckdb", tmp_path / "scratch", memory_mb=256)
    with contextlib.closing(engine):
        assert engine.fetch(engine.rows_of([{"a": 1}], {"a": records.WHOLE})) == [{"a": 1}]
        assert not engine.plans


def test_names_of_plans_that_spark_has() -> None:
    assert nested("+- BroadcastNestedLoopJoin BuildRight, Inner") == ["BroadcastNestedLoopJoin"]
    assert nested("+- CartesianProduct (a < b)") == ["CartesianProduct"]


def test_times_are_utc_wherever_it_runs(duck: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    table = duck.rows_of(ROWS, COLUMNS)
    found = duck.fetch(table.select("name", hour=table.time.hour().cast("int64")))
    assert sorted(row["hour"] for row in found) == [1, 1, 2]


def test_an_unknown_engine_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(GslbError, match="engine 'sqlite' is none of duckdb, spark"):
        open_engine("sqlite", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("absent", "wanted", "extra"),
    [("duckdb", "engine", "measure"), ("ibis", "engine", "measure"), ("pyarrow", "arrow", "measure")],
)
def test_without_the_extra_it_says_what_to_install(absent: str, wanted: str, extra: str) -> None:
    code = f"import sys; sys.modules['{absent}'] = None\nimport gslb.measure.{wanted}"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.stderr.rstrip().endswith(f"install gslb[{extra}]")
