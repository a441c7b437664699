"""What a Parquet file tells of itself, damaged or not, and how large it is when it is unpacked."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gslbtest.damaged import hollow

from gslb.dispatch.parquet import Table
from gslb.errors import GslbError
from gslb.measure import footers, pages
from gslb.model import records
from gslb.store import footer, querylog
from gslb.store.footer import Chunk, Group


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    return parquet_of(pa.table(columns), **options)


def parquet_of(table: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


FORMS: list[dict[str, Any]] = [
    {},
    {"data_page_version": "2.0"},
    {"use_dictionary": False, "compression": "gzip"},
    {"compression": "none", "write_statistics": False},
    {"row_group_size": 100, "write_page_index": True, "write_page_checksum": True},
    {"use_dictionary": False, "column_encoding": {"a": "DELTA_LENGTH_BYTE_ARRAY"}},
]


@pytest.mark.parametrize("options", FORMS, ids=str)
def test_what_writers_write(options: dict[str, Any]) -> None:
    """The footer counts headers too, which are few bytes each."""
    columns = {
        "a": [f"e{at % 9}" for at in range(1000)],
        "b": list(range(1000)),
        "c": [None] * 1000,
        "d": [True] * 1000,
    }
    content = parquet(columns, **options)
    told = pq.ParquetFile(io.BytesIO(content)).metadata
    wanted = sum(told.row_group(at).total_byte_size for at in range(told.num_row_groups))
    found = pages.unpacked(content, columns)
    assert 0.7 * wanted < found < wanted
    assert found == sum(pages.unpacked(content, [name]) for name in columns)
    groups = footer.groups(content)
    assert [group.rows for group in groups] == [told.row_group(at).num_rows for at in range(told.num_row_groups)]
    for at, group in enumerate(groups):
        assert [chunk.column for chunk in group.chunks] == list("abcd")
        statistics = told.row_group(at).column(1).statistics
        assert group.chunk("b").span == (None if statistics is None else (statistics.min, statistics.max))


def test_an_encoding_that_tells_nothing_of_sizes() -> None:
    content = parquet({"a": ["x", "xy"]}, use_dictionary=False, column_encoding={"a": "DELTA_BYTE_ARRAY"})
    with pytest.raises(GslbError, match="column a: the encoding DELTA_BYTE_ARRAY is not read"):
        pages.unpacked(content, ["a"])
    assert pages.unpacked(content, ["b"]) == 0


def whole(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def signed(number: int) -> bytes:
    return whole(number << 1 if number >= 0 else (-number << 1) - 1)


def struct(fields: dict[int, Any]) -> bytes:
    """A structure in Thrift's compact form: numbers, bytes, structures, lists of one kind."""
    return b"".join(bytes([kind(value)]) + signed(field) + plain(value) for field, value in fields.items()) + b"\0"


def kind(value: Any) -> int:
    return {int: 6, bytes: 8, list: 9, dict: 12}[type(value)]


def plain(value: Any) -> bytes:
    if isinstance(value, int):
        return signed(value)
    if isinstance(value, bytes):
        return whole(len(value)) + value
    if isinstance(value, dict):
        return struct(value)
    return bytes([0xF0 | kind(value[0])]) + whole(len(value)) + b"".join(map(plain, value))


def file(page: bytes, size: int | None = None, at: int | None = 4) -> bytes:
    """A file of one column ``a`` with these bytes for pages."""
    told = {3: [b"a"], 7: len(page) if size is None else size} | ({} if at is None else {9: at})
    end = struct({4: [{1: [{3: told}], 3: 7}]})
    return b"PAR1" + page + end + len(end).to_bytes(4, "little") + b"PAR1"


def page(unpacked: int, packed: int, *, content: int | None = None) -> bytes:
    return struct({1: 0, 2: unpacked, 3: packed, 5: {1: 1, 2: 0}}) + bytes(packed if content is None else content)


def test_a_footer_may_lie() -> None:
    content = file(page(1 << 30, 10) + page(1 << 30, 0))
    size = len(page(1 << 30, 10) + page(1 << 30, 0))
    assert footer.groups(content) == [Group(7, [Chunk("a", 4, size, None, None)])]
    assert pages.unpacked(content, ["a"]) == 2 << 30


DEEP: dict[int, Any] = {}
for _ in range(20):
    DEEP = {2: DEEP}
BROKEN = "column a: the header of a page cannot be read"
FAULTY = [
    (file(page(1, 10), size=10**6), "column a: its pages do not lie in the file"),
    (file(page(1, 10), at=-5), "column a: its pages do not lie in the file"),
    (file(page(1, 10, content=9)), BROKEN),
    (file(page(-1, 10)), BROKEN),
    (file(page(1, -10, content=0)), BROKEN),
    (file(b"\xff" * 30), BROKEN),
    (file(struct({1: 0, 2: 5})), BROKEN),
    (file(struct({1: 0, 2: 5, 3: b"x"})), BROKEN),
    (file(struct(DEEP)), BROKEN),
    (file(b"\x1b\x00\x00"), BROKEN),  # a map
    (file(b"\x19\xf6\xff\xff\x7f"), BROKEN),  # a list that is longer than all
    (b"PAR1", "its footer cannot be read"),
    (b"PAR1" + b"\xff\xff\xff\x7fPAR1", "a footer of 2147483647 bytes; at most 4194304 are read"),
    (b"PAR1\x15\x05\x00\x00\x00PAR1", "its footer cannot be read"),
    (file(page(1, 10), at=None), "its footer cannot be read"),
]


@pytest.mark.parametrize(("content", "reason"), FAULTY)
def test_what_cannot_be_read(content: bytes, reason: str) -> None:
    with pytest.raises(GslbError) as raised:
        pages.unpacked(content, ["a"])
    assert str(raised.value) == reason


def test_pages_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MAX_PAGES", 3)
    assert pages.unpacked(file(page(1, 0) * 3), ["a"]) == 3
    with pytest.raises(GslbError, match="more than 3 pages"):
        pages.unpacked(file(page(1, 0) * 4), ["a"])


T0 = datetime(2026, 11, 29, 6, tzinfo=UTC)
KINDS = {records.TIME: [T0, T0], records.TEXT: ["a", "b"], records.WHOLE: [1, 2], records.REAL: [1.5, 2.5]}


READERS: dict[str, Callable[[Path], Any]] = {
    "measure": lambda path: footers.seen(path, records.QUERIES, "time").rows,
    "dispatch": lambda path: Table(path.read_bytes(), ["time"]).whole("time"),
    "log": lambda path: querylog.last(path.parent.parent, 1, querylog.Wanted()),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_footer_that_ends_pyarrow(tmp_path: Path, reader: str) -> None:
    """Where it is asked for a column's values' span: it ends the process, and nobody could refuse the file."""
    path = tmp_path / "queries/one.parquet"
    path.parent.mkdir()
    columns = {name: KINDS[kind] for name, kind in records.QUERIES.items()}
    nullable = pa.schema([field.with_nullable(True) for field in querylog.schema(records.QUERIES)])
    content = parquet_of(pa.table(columns, nullable))
    path.write_bytes(content)
    assert READERS[reader](path)
    path.write_bytes(hollow(content, *columns))
    if reader == "measure":
        assert READERS[reader](path) == 2  # it does not look into the columns
        return
    with pytest.raises(GslbError, match="histogram size mismatch"):
        READERS[reader](path)


SPANS = [
    # of a column of times as it is written: the newest second that is told of it
    (pa.array([T0, None], pa.timestamp("us", "UTC")), int(T0.timestamp())),
    (pa.array([T0], pa.timestamp("ms")), int(T0.timestamp())),
    (pa.array([-1], pa.timestamp("us", "UTC")), -1),
    (pa.array([1 << 62], pa.timestamp("us", "UTC")), None),  # past the year 9999
    (pa.array([None], pa.timestamp("us", "UTC")), None),
    (pa.array([], pa.timestamp("us", "UTC")), None),
    (pa.array([1]), None),
]


@pytest.mark.parametrize(("times", "latest"), SPANS)
def test_the_newest_second(times: Any, latest: int | None) -> None:
    assert Table(parquet({"t": times}), ["t"]).latest("t") == latest


def test_any_bytes() -> None:
    """Nothing but a refusal comes of a file that was damaged."""
    rng = random.Random(7)
    columns = {"a": [f"e{at}" for at in range(50)], "b": [1.5] * 50}
    sound = [parquet(columns), parquet(columns, data_page_version="2.0", compression="none")]
    refused = 0
    for _ in range(150):
        content = bytearray(rng.choice(sound))
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        try:
            assert pages.unpacked(bytes(content), columns) >= 0
        except GslbError:
            refused += 1
    assert 10 < refused < 150
