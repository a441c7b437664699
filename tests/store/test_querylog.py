"""The query log's files: whole or not there, read back as written, pruned by time, filtered exactly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gslbtest.logged import NOTHING, T_US, columns, segment

from gslb.errors import GslbError
from gslb.model import records
from gslb.store import querylog
from gslb.store.querylog import Wanted

S_US = 1_000_000


def seqs(log: Path, wanted: Wanted) -> list[int]:
    found = querylog.segments(log, querylog.names(log), wanted.from_us, wanted.until_us)
    return [row["seq"] for each in found for rows in querylog.rows(each, wanted) for row in rows]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rows = [{"seq": seq, "time": T_US + seq, "edge": "sha" if seq % 2 else "fra"} for seq in range(1, 6)]
    path = segment(tmp_path, "a-1", rows, group=2)
    table = pq.read_table(path)
    assert table.schema.equals(querylog.schema(records.QUERIES))
    assert [
        {**row, "time": row["time"].value if hasattr(row["time"], "value") else row["time"]}
        for row in table.select([name for name in NOTHING if name != "time"]).to_pylist()
        for row in [{**row, "time": 0}]
    ] == [{**NOTHING, **row, "time": 0} for row in rows]
    assert table["time"].cast(pa.int64()).to_pylist() == [row["time"] for row in rows]
    told = pq.read_metadata(path)
    assert told.num_row_groups == 3
    edge = told.row_group(0).column(told.schema.names.index("edge"))
    assert "DICTIONARY" in str(edge.encodings)
    assert edge.compression == "ZSTD"
    assert list(path.parent.iterdir()) == [path]
    (found,) = querylog.segments(tmp_path, querylog.names(tmp_path))
    assert found == (path, T_US + 1, T_US + 5, 5)


def test_counters_have_their_schema(tmp_path: Path) -> None:
    row = {"time": T_US, "server": "ns1", "boot_id": "b", "queries": 5, "logged": 4, "lost": 1, "last_seq": 5}
    path = tmp_path / "counters/x.parquet"
    assert querylog.write(path, records.COUNTERS, [columns([row], records.COUNTERS)])[0] == 1
    assert pq.read_table(path).schema.equals(querylog.schema(records.COUNTERS))


def test_a_fault_leaves_nothing(tmp_path: Path) -> None:
    def groups() -> Any:
        yield columns([NOTHING])
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        querylog.write(tmp_path / "queries/a.parquet", records.QUERIES, groups())
    assert list((tmp_path / "queries").iterdir()) == []


ROWS: list[dict[str, Any]] = [
    {"seq": 1, "service": "pull.live.example.", "edge": "sha", "view": "CN|SH|chinanet"},
    {"seq": 2, "service": "pull.live.example.", "edge": "fra", "view": "DE||dtag", "client_net": 0xCB007100},
    {"seq": 3, "service": "*.pull.live.example.", "edge": "", "level": -1, "view": "CN||", "client_len": 20,
     "client_net": 0xC6336000},
    {"seq": 4, "service": "", "edge": "", "view": "", "rcode": 3, "client_family": 0, "client_net": 0, "client_len": 0},
    {"seq": 5, "qtype": 28, "view": "SH|CN|chinanet", "client_family": 6, "client_net": 0x20010DB800010000,
     "client_len": 48},
    {"seq": 6, "client_family": 6, "client_net": -(1 << 56), "client_len": 56, "resolver_family": 6,
     "resolver_net": 0x20010DB800020000, "resolver_len": 56, "plan": "p1"},
]  # fmt: skip
FILTERS = [
    (Wanted(), [1, 2, 3, 4, 5, 6]),
    (Wanted(equal={"service": ["*.pull.live.example.", ""]}), [3, 4]),
    (Wanted(equal={"edge": ["sha"], "qtype": [28]}), [5]),
    (Wanted(equal={"rcode": [3, 5]}), [4]),
    (Wanted(equal={"plan": ["p1", "p2"]}), [6]),
    (Wanted(equal={"server": ["ns2"]}), []),
    (Wanted(views=["CN||"]), [1, 3, 6]),
    (Wanted(views=["CN|SH|"]), [1, 6]),
    (Wanted(views=["||dtag", "|CN|"]), [2, 5]),
    (Wanted(views=["DE"]), [2]),
    (Wanted(within={"client": (4, 0xC6330000, 16)}), [1, 3]),
    (Wanted(within={"client": (4, 0xC6336400, 24)}), [1]),  # a /20 does not lie within a /24
    (Wanted(within={"client": (4, 0, 0)}), [1, 2, 3]),
    (Wanted(within={"client": (6, 0x20010DB800000000, 32)}), [5]),
    (Wanted(within={"client": (6, 0, 0)}), [5, 6]),
    (Wanted(within={"client": (6, -(1 << 56), 8)}), [6]),
    (Wanted(within={"client": (6, -(1 << 63), 1)}), [6]),
    (Wanted(within={"resolver": (6, 0x20010DB800020000, 56)}), [6]),
    (Wanted(within={"resolver": (4, 0xC0000200, 32)}), []),
    (Wanted(from_us=T_US + 2, until_us=T_US + 4), [2, 3]),
]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    segment(folder, "a-1", [{**row, "time": T_US + row["seq"]} for row in ROWS])
    return folder


@pytest.mark.parametrize(("wanted", "found"), FILTERS)
def test_filters(log: Path, wanted: Wanted, found: list[int]) -> None:
    assert seqs(log, wanted) == found


def test_segments_are_pruned(tmp_path: Path) -> None:
    for number in (3, 1, 2):
        segment(tmp_path, f"a-{number}", [{"seq": number, "time": T_US + number * S_US}])
    segment(tmp_path, "empty", [])
    (tmp_path / "queries/.a-9.parquet.tmp").write_bytes(b"half")
    (tmp_path / "queries/.b.parquet").write_bytes(b"half")
    names = querylog.names(tmp_path)
    assert sorted(names) == ["a-1.parquet", "a-2.parquet", "a-3.parquet", "empty.parquet"]
    for span, found in [
        ((0, querylog.LATEST_US), [1, 2, 3]),
        ((T_US + 2 * S_US, querylog.LATEST_US), [2, 3]),
        ((0, T_US + 2 * S_US), [1]),
        ((T_US + 2 * S_US, T_US + 2 * S_US + 1), [2]),
    ]:
        kept = querylog.segments(tmp_path, names, *span)
        assert [each.first_us - T_US for each in kept] == [number * S_US for number in found]
    # what was written before a time holds nothing of it, and need not be opened
    path = tmp_path / "queries/a-2.parquet"
    path.write_bytes(b"torn")
    os.utime(path, (1, 1))
    assert len(querylog.segments(tmp_path, querylog.names(tmp_path), T_US)) == 2
    (tmp_path / "queries/a-3.parquet").unlink()  # removed after its name was read
    names.pop("a-2.parquet")
    assert [each.path.name for each in querylog.segments(tmp_path, names)] == ["a-1.parquet"]


@pytest.mark.parametrize(("count", "found"), [(0, []), (1, [6]), (3, [4, 5, 6]), (100, [1, 2, 3, 4, 5, 6])])
def test_the_last(tmp_path: Path, count: int, found: list[int]) -> None:
    """Of two servers whose segments overlap, and one that is older and need not be opened."""
    for server, numbers in (("b", (2, 4, 6)), ("a", (1, 3, 5))):
        rows = [{"seq": number, "time": T_US + number * S_US, "server": server} for number in numbers]
        os.utime(segment(tmp_path, server, rows), (T_US / S_US + 10, T_US / S_US + 10))
    old = tmp_path / "queries/old.parquet"
    if count < 6:
        old.write_bytes(b"torn")
        os.utime(old, (1, 1))
    assert [row["seq"] for row in querylog.last(tmp_path, count, Wanted())] == found


@pytest.mark.parametrize("content", [b"", b"no Parquet" * 10, None], ids=["empty", "text", "other columns"])
def test_what_is_no_segment_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "queries/a.parquet"
    path.parent.mkdir()
    if content is None:
        pq.write_table(pa.table({"time": ["now"], "edge": ["sha"]}), path)
    else:
        path.write_bytes(content)
    with pytest.raises(GslbError, match=r"a\.parquet: not a segment of the query log: "):
        querylog.segments(tmp_path, querylog.names(tmp_path))


def test_no_log(tmp_path: Path) -> None:
    with pytest.raises(GslbError, match="no query log can be read here: No such file or directory"):
        querylog.names(tmp_path)


def test_a_segment_that_is_gone_has_no_rows(tmp_path: Path) -> None:
    path = segment(tmp_path, "a", [{}])
    (found,) = querylog.segments(tmp_path, querylog.names(tmp_path))
    path.unlink()
    assert list(querylog.rows(found, Wanted())) == []
