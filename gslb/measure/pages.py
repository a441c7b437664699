"""How large a Parquet file is when it is unpacked, by the headers of its pages.

The footer says so too, but whoever sends a file can let it say anything; what a page's header says is what a reader
takes memory for. Read here by hand: pyarrow ends the process where what a footer tells of a column is damaged. The
format: https://github.com/apache/parquet-format, whose structures are in Thrift's compact form.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Final, NamedTuple

from gslb.errors import GslbError

MAX_PAGES: Final = 100_000
MAX_FOOTER: Final = 4 << 20
_MAX_HEADER: Final = 1 << 16
_DEPTH: Final = 12
_TAIL: Final = 8  # the length of the footer, and "PAR1"

# Fields of the footer and of what is in it
_GROUPS, _COLUMNS, _META, _PATH, _SIZE, _DATA_AT, _DICTIONARY_AT = 4, 1, 3, 3, 7, 9, 11
# Fields of the header of a page
_UNPACKED, _PACKED = 2, 3
_ENCODING: Final = {5: 2, 8: 4}  # of the two kinds of pages with data: their field, and in it that of the encoding
_DELTA_TEXTS: Final = 7
"""An encoding in which a text is told by what it has in common with the one before: a few bytes may be a gigabyte."""

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET = range(1, 11)
_STRUCT: Final = 12
_BROKEN: Final = (IndexError, KeyError, ValueError, TypeError, AttributeError)


class Chunk(NamedTuple):
    """A column of a row group: its name, and where its pages lie in the file."""

    column: str
    begin: int
    size: int


def unpacked(content: bytes, columns: Container[str]) -> int:
    """Bytes of all pages of these columns together, once they are unpacked.

    Raises `GslbError` where a footer or a page is not what it should be, where there are more than `MAX_PAGES`, and
    where texts are encoded in a way that tells nothing of their size.
    """
    total, count = 0, 0
    for chunk in chunks(content):
        if chunk.column not in columns:
            continue
        at, end = chunk.begin, chunk.begin + chunk.size
        if not 0 <= at <= end <= len(content):
            raise GslbError(f"column {chunk.column}: its pages do not lie in the file")
        while at < end:
            header, at = _header(chunk.column, content, at, end)
            at += header[_PACKED]
            total += header[_UNPACKED]
            count += 1
            if count > MAX_PAGES:
                raise GslbError(f"more than {MAX_PAGES} pages")
    return total


def chunks(content: bytes) -> list[Chunk]:
    """What a file's footer tells of its columns. Raises `GslbError`."""
    size = int.from_bytes(content[-_TAIL:-4], "little")
    if size > MAX_FOOTER:
        raise GslbError(f"a footer of {size} bytes; at most {MAX_FOOTER} are read")
    try:
        footer, _ = _struct(content[-_TAIL - size : -_TAIL], 0, _DEPTH)
        metas = [column[_META] for group in footer.get(_GROUPS, ()) for column in group[_COLUMNS]]
        return [
            Chunk(
                ".".join(name.decode() for name in meta[_PATH]),
                min(filter(None, (meta.get(_DICTIONARY_AT), meta[_DATA_AT]))),
                meta[_SIZE],
            )
            for meta in metas
        ]
    except _BROKEN:
        raise GslbError("its footer cannot be read") from None


def _header(column: str, content: bytes, at: int, end: int) -> tuple[dict[int, Any], int]:
    """The fields of a page's header, and where the page begins."""
    try:
        found, size = _struct(content[at : min(end, at + _MAX_HEADER)], 0, _DEPTH)
        if found[_PACKED] < 0 or found[_UNPACKED] < 0 or at + size + found[_PACKED] > end:
            raise ValueError
        encodings = [found[field].get(inner) for field, inner in _ENCODING.items() if field in found]
    except _BROKEN:
        raise GslbError(f"column {column}: the header of a page cannot be read") from None
    if _DELTA_TEXTS in encodings:
        raise GslbError(f"column {column}: the encoding DELTA_BYTE_ARRAY is not read")
    return found, at + size


def _struct(data: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """Values by field, and where the structure ends. Raises `ValueError` where it nests too deep or has what no
    structure here has, IndexError where it does not end."""
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
        return _struct(data, at, depth - 1)
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
    found = 0
    for shift in range(0, 70, 7):
        found |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return found, at
    raise ValueError
