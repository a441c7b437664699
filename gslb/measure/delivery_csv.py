"""Delivery logs as CSV, read a block of lines at a time by `gslb.geo.sheet`; lines that are no rows are rejected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from gslb.errors import Findings
from gslb.geo.sheet import Sheet, offset, plain_cells
from gslb.measure.delivery_rows import I64, MAX_BYTES, MAX_SESSIONS, Coded, Raw, numbers
from gslb.measure.rejects import Rejects
from gslb.model import records

COLUMNS: Final = tuple(records.DELIVERY)
MAX_COLUMNS: Final = 1000
"""That a header may name."""
MAX_LINE: Final = 1 << 16
"""Bytes of a line; one of a whole file would be taken apart into more cells than there is memory."""
NOT_A_ROW: Final = "not a row"
"""How a line is counted that has another number of columns than the header, is no CSV, or too long."""
_BLOCK: Final = 1 << 21  # bytes of a block whose lines are not


def pieces(path: str, content: bytes, findings: Findings, rejects: Rejects, max_rows: int = 1 << 62) -> Iterator[Raw]:
    """The rows of a CSV file, of about ``max_rows`` lines at most; ``path`` is how it is called in messages.

    What is wrong with the whole file goes to ``findings``, and then there are no rows; lines that are no rows go to
    ``rejects``.
    """
    if content.count(b",", 0, content.find(b"\n") + 1 or len(content)) >= MAX_COLUMNS:
        findings.error(path, 1, 0, f"the header names more than {MAX_COLUMNS} columns")
        return
    sheet = _Lines(path, content, COLUMNS, COLUMNS, findings, others=True)
    if findings.errors:
        return
    at = [sheet.index(column) for column in COLUMNS]
    for first, block in sheet.blocks():
        if first - 2 > max_rows:
            findings.error(path, 0, 0, f"more than {max_rows} lines")
            return
        block = block.replace(b"\r\n", b"\n")
        plain = plain_cells(block) if len(block) <= _BLOCK else None
        if plain is not None and plain[0] == sheet.width:
            width, cells = plain
            lines = np.arange(first, first + len(cells) // width)
            yield _piece(sheet, block, first, lines, [cells[index::width] for index in at])
        else:
            yield from _slowly(sheet, block, first, at, rejects)


class _Lines(Sheet):
    """A sheet that keeps what is wrong with a line for whoever reads that line."""

    wrong = ""

    @property
    def width(self) -> int:
        """Columns that the header names."""
        return self._width

    def fault(self, line: int, column: str | None, reason: str) -> None:
        """Note why a line is no row."""
        self.wrong = reason


def _slowly(sheet: _Lines, block: bytes, first: int, at: Sequence[int], rejects: Rejects) -> Iterator[Raw]:
    rows: list[list[str]] = []
    lines: list[int] = []
    for line, text in enumerate(block.decode().split("\n"), first):
        if len(text) > MAX_LINE:
            rejects.add(line, 1, NOT_A_ROW, f"it is longer than {MAX_LINE} characters", text)
            continue
        fields = sheet.fields(line, text)
        if fields is not None:
            rows.append(fields)
            lines.append(line)
        elif sheet.wrong:
            rejects.add(line, 1, NOT_A_ROW, sheet.wrong, text)
            sheet.wrong = ""
    if rows:
        yield _piece(sheet, block, first, np.array(lines), [[row[index] for row in rows] for index in at])


def _piece(sheet: _Lines, block: bytes, first: int, lines: I64, cells: Sequence[list[str]]) -> Raw:
    """Some rows; the text of the block is taken apart again where one is to be shown."""
    texts: list[str] = []

    def text(row: int) -> str:
        if not texts:
            texts.extend(block.decode().split("\n"))
        return texts[int(lines[row]) - first].rstrip("\r")

    return Raw(
        lines,
        _coded(cells[0]),
        _coded(cells[1]),
        _coded(cells[2]),
        Coded(np.arange(len(lines)), cells[3]),  # nearly each has another
        numbers(cells[4], MAX_BYTES),
        numbers(cells[5], MAX_SESSIONS),
        lambda row, column: offset(text(row), sheet.index(column)) + 1,
        text,
    )


def _coded(cells: list[str]) -> Coded:
    number = {text: code for code, text in enumerate(dict.fromkeys(cells))}
    return Coded(np.fromiter(map(number.__getitem__, cells), np.int64, len(cells)), list(number))
