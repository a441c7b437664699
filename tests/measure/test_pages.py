"""How large a Parquet file is when it is unpacked, whatever its footer says."""

from __future__ import annotations

import io
import random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gslb.errors import GslbError
from gslb.measure import pages
from gslb.measure.pages import Chunk


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, **options)
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
    assert [chunk.column for chunk in pages.chunks(content)] == list("abcd") * told.num_row_groups


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
    footer = struct({4: [{1: [{3: told}]}]})
    return b"PAR1" + page + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def page(unpacked: int, packed: int, *, content: int | None = None) -> bytes:
    return struct({1: 0, 2: unpacked, 3: packed, 5: {1: 1, 2: 0}}) + bytes(packed if content is None else content)


def test_a_footer_may_lie() -> None:
    content = file(page(1 << 30, 10) + page(1 << 30, 0))
    assert pages.chunks(content) == [Chunk("a", 4, len(page(1 << 30, 10) + page(1 << 30, 0)))]
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


def test_any_bytes() -> None:
    """Nothing but a refusal comes of a file that was damaged."""
    rng = random.Random(7)
    columns = {"a": [f"e{at}" for at in range(50)], "b": [1.5] * 50}
    sound = [parquet(columns), parquet(columns, data_page_version="2.0", compression="none")]
    refused = 0
    for _ in range(400):
        content = bytearray(rng.choice(sound))
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        try:
            assert pages.unpacked(bytes(content), columns) >= 0
        except GslbError:
            refused += 1
    assert 20 < refused < 400
