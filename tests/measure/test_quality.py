"""Verdicts and their history, and what a gate does to a table that it stops."""

from __future__ import annotations

from pathlib import Path

import pytest
from gslbtest import landed, measured
from gslbtest.landed import BEGIN_S

from gslb.errors import GslbError
from gslb.measure import quality
from gslb.measure.engine import Engine
from gslb.measure.publish import DEMAND
from gslb.measure.quality import OK, STOP, WARN, Verdict


def _verdict(run: str, level: str, gate: str = "missing", table: str = "queries") -> Verdict:
    return Verdict(
        table=table, gate=gate, level=level, value=0.5, limit=0.1, text="told", run=run, at_s=1, from_s=0, until_s=300
    )


def test_of_each_gate_the_worst_of_the_newest_run_holds() -> None:
    history = [
        _verdict("1", STOP), _verdict("1", STOP, "rejected"), _verdict("2", OK), _verdict("2", WARN),
        _verdict("2", OK), _verdict("2", OK, table="asked"),
    ]  # fmt: skip
    found = [(each.table, each.gate, each.run, each.level) for each in quality.newest(history)]
    assert found == [
        ("asked", "missing", "2", OK), ("queries", "missing", "2", WARN), ("queries", "rejected", "1", STOP)
    ]  # fmt: skip
    assert [each.gate for each in quality.stops(quality.newest(history))] == ["rejected"]


def test_the_history_is_whole_lines_and_not_endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert quality.history(tmp_path) == []
    quality.note(tmp_path, [])
    assert not (tmp_path / "quality").exists()
    first = [_verdict(str(number), OK) for number in range(3)]
    quality.note(tmp_path, first)
    path = tmp_path / "quality" / "history.jsonl"
    with path.open("ab") as file:
        file.write(b'{"table": "torn')
    quality.note(tmp_path, [_verdict("3", WARN)])
    assert quality.history(tmp_path) == [*first, _verdict("3", WARN)]
    monkeypatch.setattr(quality, "MOST_LINES", 4)
    monkeypatch.setattr(quality, "_LINE_BYTES", 10)
    quality.note(tmp_path, [_verdict(str(number), OK) for number in range(4, 9)])
    assert [each.run for each in quality.history(tmp_path)] == ["5", "6", "7", "8"]
    path.unlink()
    path.mkdir()
    with pytest.raises(GslbError, match="cannot be read: Is a directory"):
        quality.history(tmp_path)


def test_a_bad_table_never_replaces_a_good_one(duckdb: Engine, tmp_path: Path) -> None:
    """Demand that misses what edges carried: plain demand would not."""
    log, tables = tmp_path / "log", tmp_path / "tables"
    landed.land(log, BEGIN_S, BEGIN_S + 300)
    with measured.plainly():
        assert measured.run(tmp_path, duckdb, BEGIN_S + 301).ok
        before = measured.rows(tables, DEMAND)
        landed.land(log, BEGIN_S + 300, BEGIN_S + 600)
        with measured.plainly(factor=3.0):
            stopped = measured.run(tmp_path, duckdb, BEGIN_S + 601)
        assert not stopped.ok
        assert {each.table for each in quality.stops(stopped.verdicts)} == {"demand", "demand_live"}
        assert measured.rows(tables, DEMAND) == before
        (aside,) = (tables / "quarantine" / "demand").iterdir()
        assert aside.name == f"demand-20261128T100000Z-{stopped.run}.parquet"
        assert {each.level for each in quality.newest(quality.history(tables)) if each.table == "demand"} >= {STOP}
        assert measured.run(tmp_path, duckdb, BEGIN_S + 602).ok
    assert len(measured.rows(tables, DEMAND)) == 2 * len(before)
    assert not quality.stops(quality.newest(quality.history(tables)))
