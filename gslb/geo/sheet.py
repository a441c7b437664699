"""CSV tables with a header: rows out, every fault with its line and column."""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterator, Sequence

import numpy as np

from gslb.errors import Findings

MAX_ERRORS = 10_000
MAX_WARNINGS = 20
"""Told of one file; what is beyond is only counted, so that a wrong file cannot fill the memory."""

_BLOCK_BYTES = 1 << 20
_FIELD = re.compile(r'"(?:[^"]|"")*"|[^,]*')  # a quote opens a value only as its first character


class _Notes:
    """The first faults of a kind, as (line, place of the field, reason), and how many there are."""

    __slots__ = ("_most", "count", "first")

    def __init__(self, most: int) -> None:
        self.first: list[tuple[int, int, str]] = []
        self.count = 0
        self._most = most

    def add(self, line: int, at: int, reason: str) -> None:
        self.count += 1
        if len(self.first) < self._most:
            self.first.append((line, at, reason))


class Sheet:
    """A CSV table (RFC 4180; UTF-8 with or without a byte order mark, lines ending in LF or CRLF).

    The header names the columns, in any order. A record is one line: a quoted value may hold commas and quotes, not
    line ends. What is wrong is gathered, and told by `finish`. With ``others``, columns of other names are passed over,
    but for those that look like one that is missing.
    """

    def __init__(
        self,
        path: str,
        text: bytes,
        known: Sequence[str],
        required: Sequence[str],
        findings: Findings,
        *,
        others: bool = False,
    ) -> None:
        self.path = path
        self._text = text.removeprefix(b"\xef\xbb\xbf")
        self._findings = findings
        self._errors = _Notes(MAX_ERRORS)
        self._warnings = _Notes(MAX_WARNINGS)
        self._at: dict[str, int] = {}
        self._width = 0
        self._strip = b" " in self._text or b"\t" in self._text
        if self._decodes():
            self._read_header(known, required, others)

    @property
    def faults(self) -> int:
        """How many errors have been noted so far."""
        return self._errors.count

    def index(self, column: str) -> int:
        """Where a column's value is among the fields of a row; that of a column the table has not is empty."""
        return self._at.get(column, -1)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line number and fields of each row that has as many as the header, and one empty field behind them.

        Empty lines are passed over; a table without a header has no rows.
        """
        for first, block in self.blocks():
            for line, text in enumerate(block.decode().split("\n"), first):
                fields = self.fields(line, text)
                if fields is not None:
                    yield line, fields

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """The lines behind the header, some thousand at a time: number of the first, and their text.

        A table without a header has none.
        """
        at, line = self._text.find(b"\n") + 1, 2
        while 0 < at < len(self._text) and self._width:
            end = self._text.find(b"\n", at + _BLOCK_BYTES) + 1 or len(self._text)
            block = self._text[at:end]
            yield line, block
            at, line = end, line + block.count(b"\n")

    def fields(self, line: int, text: str) -> list[str] | None:
        """The fields of a line, and one empty field behind them; None where it is empty, or at fault, which is told."""
        text = text.rstrip("\r\n")
        if not text:
            return None
        if '"' in text:
            try:
                fields = next(csv.reader((text,), strict=True))
            except csv.Error as error:
                self.fault(line, None, f"not CSV: {error}")
                return None
        else:
            fields = text.split(",")
        if len(fields) != self._width:
            count = "1 column" if len(fields) == 1 else f"{len(fields)} columns"
            self.fault(line, None, f"{count}, the header names {self._width}")
            return None
        if self._strip:
            fields = [field.strip() for field in fields]
        fields.append("")
        return fields

    def fault(self, line: int, column: str | None, reason: str) -> None:
        """Note an error about a value of a row, or about the whole row."""
        self._errors.add(line, self._at.get(column or "", 0), f"{column}: {reason}" if column else reason)

    def warn(self, line: int, column: str, reason: str) -> None:
        """Note something about a value that refuses nothing."""
        self._warnings.add(line, self._at.get(column, 0), f"{column}: {reason}")

    def finish(self) -> None:
        """Tell what was noted; the column of each is where its value begins, counted in characters."""
        lines: list[bytes] = []
        for notes, tell, kind in (
            (self._errors, self._findings.error, "errors"),
            (self._warnings, self._findings.warn, "warnings"),
        ):
            if notes.first and not lines:
                lines = self._text.split(b"\n")
            for line, at, reason in notes.first:
                tell(self.path, line, offset(lines[line - 1].decode(), at) + 1, reason)
            if notes.count > len(notes.first):
                tell(self.path, 0, 0, f"{notes.count - len(notes.first)} more {kind} of this file are not shown")

    def _decodes(self) -> bool:
        if self._text.isascii():
            return True
        try:
            self._text.decode()
        except UnicodeDecodeError as error:
            line = self._text.count(b"\n", 0, error.start) + 1
            before = self._text[self._text.rfind(b"\n", 0, error.start) + 1 : error.start].decode()
            self._findings.error(self.path, line, len(before) + 1, "not UTF-8 text")
            return False
        return True

    def _read_header(self, known: Sequence[str], required: Sequence[str], others: bool) -> None:
        first = self._text.split(b"\n", 1)[0].decode().rstrip("\r")
        try:
            names = [name.strip() for name in next(csv.reader((first,), strict=True), [])]
        except csv.Error:
            names = []
        guessed = {
            name: difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.75)
            for name in names
            if name not in known
        }
        if not any(name in known or guessed[name] for name in names):
            reason = f"no header: the first line must name the columns, of {','.join(known)}"
            self._findings.error(self.path, 1, 1, reason)
            return
        at: dict[str, int] = {}
        for index, name in enumerate(names):
            column = offset(first, index) + 1
            if name in at:
                self._findings.error(self.path, 1, column, f"column {name!r} is named twice")
            elif name in known:
                at[name] = index
            elif not others or not set(guessed[name]) <= set(names):
                hint = f"did you mean {guessed[name][0]!r}?" if guessed[name] else f"known are {', '.join(known)}"
                self._findings.error(self.path, 1, column, f"unknown column {name!r}; {hint}")
        for index, name in enumerate(names):  # read on as if it had been spelt right: one fault must not hide others
            if guessed.get(name):
                at.setdefault(guessed[name][0], index)
        missing = [name for name in required if name not in at]
        for name in missing:
            self._findings.error(self.path, 1, 1, f"column {name!r} is missing")
        if not missing:
            self._at, self._width = at, len(names)


def plain_cells(block: bytes) -> tuple[int, list[str]] | None:
    """Number of columns and all cells of lines that hold nothing but cells, commas and line feeds, as many each; None
    of other lines."""
    if not block.isascii() or any(odd in block for odd in (b'"', b"\r", b" ", b"\t")):
        return None
    body = block.removesuffix(b"\n")
    codes = np.frombuffer(body + b"\n", np.uint8)
    marks = codes[(codes == 44) | (codes == 10)]
    width = 1 + int(np.argmax(marks == 10))
    if len(marks) % width:
        return None
    ends = marks.reshape(-1, width) == 10
    if not ends[:, -1].all() or ends[:, :-1].any() or (width == 1 and b"\n\n" in block):
        return None
    return width, body.replace(b"\n", b",").decode().split(",")


def offset(text: str, index: int) -> int:
    """Where field ``index`` of a line begins, past its leading blanks."""
    at = 0
    for _ in range(index):
        field = _FIELD.match(text, at)
        at = (field.end() if field else at) + 1
    return at + len(text[at:]) - len(text[at:].lstrip(" \t"))
