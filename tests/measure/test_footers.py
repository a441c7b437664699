"""What the footers of landed files tell: rows by slice, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gslb.errors import GslbError
from gslb.measure import footers
from gslb.model import records
from gslb.store import footer

T0 = 1_767_225_600
COLUMNS = {"minute_s": records.WHOLE, "edge": records.TEXT}
TIMED = {"time": records.TIME, "edge": records.TEXT}

SLICES = [
    # seconds past T0, rows of a group, rows by slice past T0
    ([0, 10, 299], 3, {0: 3}),
    ([290, 310], 2, {0: 2, 300: 2}),  # a short file counts for each slice that it may touch
    ([0, 10, 4000], 3, {0: 2, 3900: 1}),  # of a longer one times are read
    ([0, 4000, 10], 2, {0: 2, 3900: 1}),
    ([], 1, {}),
]


@pytest.mark.parametrize("timed", [False, True], ids=["seconds", "times"])
@pytest.mark.parametrize(("past_s", "group", "wanted"), SLICES)
def test_rows_by_slice(past_s: list[int], group: int, wanted: dict[int, int], timed: bool, tmp_path: Path) -> None:
    begin = datetime.fromtimestamp(T0, UTC)
    times = [begin + timedelta(seconds=each) for each in past_s]
    column = (
        pa.array(times, pa.timestamp("us", "UTC")) if timed else pa.array([T0 + each for each in past_s], pa.int64())
    )
    name, columns = ("time", TIMED) if timed else ("minute_s", COLUMNS)
    path = tmp_path / "file.parquet"
    table = pa.table({name: column, "edge": pa.array(["a"] * len(past_s), pa.string())})
    with pq.ParquetWriter(path, table.schema) as writer:
        writer.write_table(table, row_group_size=group)
        writer.write_table(table.slice(0, 0))
    found = footers.seen(path, columns, name)
    assert (found.rows, found.bytes) == (len(past_s), path.stat().st_size)
    assert {start_s - T0: rows for start_s, rows in found.slices.items()} == wanted
    assert [edge for (edge,) in footers.rows(path, ["edge"])] == ["a"] * len(past_s)


REFUSED = [
    (b"no table", "not a Parquet file that can be read: "),
    (None, "columns are missing: edge"),
]


@pytest.mark.parametrize(("content", "told"), REFUSED)
def test_what_is_refused(content: bytes | None, told: str, tmp_path: Path) -> None:
    path = tmp_path / "file.parquet"
    if content is None:
        pq.write_table(pa.table({"minute_s": pa.array([T0], pa.int64())}), path)
    else:
        path.write_bytes(content)
    with pytest.raises(GslbError, match=told):
        footers.seen(path, COLUMNS, "minute_s")


def test_a_file_whose_parts_cannot_be_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "file.parquet"
    pq.write_table(pa.table({"minute_s": pa.array([T0], pa.int64()), "edge": ["a"]}), path)
    monkeypatch.setattr(footer, "of_file", lambda _: [])
    with pytest.raises(GslbError, match="not a Parquet file that can be read: its row groups cannot be counted"):
        footers.seen(path, COLUMNS, "minute_s")
