"""How large a Parquet file is when it is unpacked, by the headers of its pages.

The footer says so too, but whoever sends a file can let it say anything; what a page's header says is what a reader
takes memory for.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Final

from gslb.errors import GslbError
from gslb.store import footer

MAX_PAGES: Final = 100_000
_MAX_HEADER: Final = 1 << 16

# Fields of the header of a page
_UNPACKED, _PACKED = 2, 3
_ENCODING: Final = {5: 2, 8: 4}  # of the two kinds of pages with data: their field, and in it that of the encoding
_DELTA_TEXTS: Final = 7
"""An encoding in which a text is told by what it has in common with the one before: a few bytes may be a gigabyte."""


def unpacked(content: bytes, columns: Container[str]) -> int:
    """Bytes of all pages of these columns together, once they are unpacked.

    Raises `GslbError` where a footer or a page is not what it should be, where there are more than `MAX_PAGES`, and
    where texts are encoded in a way that tells nothing of their size.
    """
    total, count = 0, 0
    for chunk in (each for group in footer.groups(content) for each in group.chunks):
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


def _header(column: str, content: bytes, at: int, end: int) -> tuple[dict[int, Any], int]:
    """The fields of a page's header, and where the page begins."""
    try:
        found, size = footer.struct(content[at : min(end, at + _MAX_HEADER)])
        if found[_PACKED] < 0 or found[_UNPACKED] < 0 or at + size + found[_PACKED] > end:
            raise ValueError
        encodings = [found[field].get(inner) for field, inner in _ENCODING.items() if field in found]
    except footer.BROKEN:
        raise GslbError(f"column {column}: the header of a page cannot be read") from None
    if _DELTA_TEXTS in encodings:
        raise GslbError(f"column {column}: the encoding DELTA_BYTE_ARRAY is not read")
    return found, at + size
