"""Parquet files whose footers are damaged."""

from __future__ import annotations


def hollow(content: bytes, *columns: str) -> bytes:
    """A file that says of columns, which may be null as they were written, that they may not: pyarrow ends the process
    where it is asked for what such a file tells of one, for its counts of nulls do not fit."""
    for column in columns:
        name = bytes([0x18, len(column)]) + column.encode()
        assert content.count(b"\x25\x02" + name) == 1
        content = content.replace(b"\x25\x02" + name, b"\x25\x00" + name)
    return content


def modest(content: bytes) -> bytes:
    """A file that says it has one row in all; it must have 64 to 8191."""
    rows = content.index(b"\x16", content.index(b"schema", len(content) - 8 - int.from_bytes(content[-8:-4], "little")))
    while content[rows + 1] < 128 or content[rows + 2] > 127 or content[rows + 3] != 0x19:  # the row groups follow
        rows = content.index(b"\x16", rows + 1)
    return content[: rows + 1] + b"\x82\x00" + content[rows + 3 :]
