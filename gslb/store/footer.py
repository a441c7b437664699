"""What the footer of a Parquet file tells: its row groups, where their columns lie, and the span of their values.

Read here by hand: pyarrow ends the process where what a footer tells of a column is damaged. The format:
https://github.com/apache/parquet-format, whose structures are in Thrift's compact form.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, NamedTuple

from gslb.errors import GslbError

MAX_SENT: Final = 4 << 20
"""Bytes of a footer that somebody sent."""
MAX_OURS: Final = 32 << 20
"""Of one in a file that lies on our disk; some 20,000 row groups."""
BROKEN: Final = (IndexError, KeyError, ValueError, TypeError, AttributeError)
"""What `struct` and looking into what it gives may raise."""
_DEPTH: Final = 12
_TAIL: Final = 8  # the length of the footer, and "PAR1"

# Fields of the footer and of what is in it
_GROUPS, _COLUMNS, _ROWS = 4, 1, 3
_META, _PATH, _SIZE, _DATA_AT, _DICTIONARY_AT, _STATISTICS = 3, 3, 7, 9, 11, 12
_OLD_HIGH, _OLD_LOW, _NULLS, _HIGH, _LOW = 1, 2, 3, 5, 6

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET = range(1, 11)
_STRUCT: Final = 12


class Chunk(NamedTuple):
    """A column of a row group: its name, where its pages lie in the file, and how many ``nulls`` it has, None where
    that is not told. ``span`` are its smallest and its largest value, of a column of whole numbers or times alone;
    None where they are not told."""

    column: str
    begin: int
    size: int
    nulls: int | None
    span: tuple[int, int] | None


class Group(NamedTuple):
    """A row group, and its columns in the order of the file."""

    rows: int
    chunks: list[Chunk]

    def chunk(self, column: str) -> Chunk:
        """The column of this name. Raises `GslbError`."""
        for each in self.chunks:
            if each.column == column:
                return each
        raise GslbError(f"its footer does not tell of column {column!r}")


def groups(content: bytes, most: int = MAX_SENT) -> list[Group]:
    """The row groups of a file, by the bytes of all of it or of its end. Raises `GslbError`."""
    size = int.from_bytes(content[-_TAIL:-4], "little")
    if size > most:
        raise GslbError(f"a footer of {size} bytes; at most {most} are read")
    try:
        told, _ = struct(content[-_TAIL - size : -_TAIL])
        return [
            Group(group[_ROWS], [_chunk(column[_META]) for column in group[_COLUMNS]])
            for group in told.get(_GROUPS, ())
        ]
    except BROKEN:
        raise GslbError("its footer cannot be read") from None


def of_file(path: Path) -> list[Group]:
    """As `groups`, of a file on disk. Raises `GslbError`, ``OSError``."""
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - _TAIL))
        size = min(int.from_bytes(file.read(4), "little"), MAX_OURS + 1)
        file.seek(max(0, length - _TAIL - size))
        return groups(file.read(size + _TAIL), MAX_OURS)


def _chunk(meta: dict[int, Any]) -> Chunk:
    told = meta.get(_STATISTICS, {})
    low, high = told.get(_LOW, told.get(_OLD_LOW)), told.get(_HIGH, told.get(_OLD_HIGH))
    whole = low is not None and high is not None and len(low) == len(high) and len(low) in (4, 8)
    return Chunk(
        ".".join(name.decode() for name in meta[_PATH]),
        min(filter(None, (meta.get(_DICTIONARY_AT), meta[_DATA_AT]))),
        meta[_SIZE],
        told.get(_NULLS),
        (int.from_bytes(low, "little", signed=True), int.from_bytes(high, "little", signed=True)) if whole else None,
    )


def struct(data: bytes, at: int = 0, depth: int = _DEPTH) -> tuple[dict[int, Any], int]:
    """A structure in Thrift's compact form: values by field, and where it ends. Raises `ValueError` where it nests too
    deep or has what no structure here has, IndexError where it does not end."""
    if not depth:
        raise ValueError
    found: dict[int, Any] = {}
    field = 0
    while data[at]:
        kind, step = data[at] & 15, data[at] >> 4
        at += 1
        if step:
            field += step
        else:
            field, at = _signed(data, at)
        if kind in (_TRUE, _FALSE):
            found[field] = kind == _TRUE
        else:
            found[field], at = _value(data, at, kind, depth)
    return found, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (_I16, _I32, _I64):
        return _signed(data, at)
    if kind == _BINARY:
        size, at = _whole(data, at)
        return data[at : at + size], at + size
    if kind == _STRUCT:
        return struct(data, at, depth - 1)
    if kind in (_LIST, _SET):
        count, each = data[at] >> 4, data[at] & 15
        at += 1
        if count == 15:
            count, at = _whole(data, at)
        if count > len(data):
            raise ValueError
        found = []
        for _ in range(count):
            value, at = _value(data, at, each, depth - 1)
            found.append(value)
        return found, at
    if kind in (_TRUE, _FALSE, _BYTE):  # in a list each takes a byte
        return data[at], at + 1
    if kind == _DOUBLE:
        return None, at + 8
    raise ValueError


def _signed(data: bytes, at: int) -> tuple[int, int]:
    number, at = _whole(data, at)
    return number >> 1 ^ -(number & 1), at


def _whole(data: bytes, at: int) -> tuple[int, int]:
    found = data[at]
    if found < 128:
        return found, at + 1
    found &= 127
    for shift in range(7, 70, 7):
        at += 1
        found |= (data[at] & 127) << shift
        if data[at] < 128:
            return found, at + 1
    raise ValueError
