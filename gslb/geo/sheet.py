"""CSV tables with a header: rows out, every fault with its line and column."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Iterator, Sequence

from gslb.errors import Findings

MAX_FAULTS = 10_000
"""Faults told of one file; what is beyond is only counted, so that a wrong file cannot fill the memory."""


class Sheet:
    """A CSV table (RFC 4180; UTF-8 with or without a byte order mark, lines ending in LF or CRLF).

    The header names the columns, in any order. A record is one line: a quoted value may hold commas and quotes, not
    line ends. Faults are gathered and told by `finish`.
    """

    def __init__(
        self, path: str, text: bytes, known: Sequence[str], required: Sequence[str], findings: Findings
    ) -> None:
        self.path = path
        self.at: dict[str, int] = {}
        """Column name → its place among a row's fields; empty when the header is no header."""
        self._text = text.removeprefix(b"\xef\xbb\xbf")
        self._findings = findings
        self._faults: list[tuple[int, int, str]] = []
        self._count = 0
        self._width = 0
        self._strip = b" " in text or b"\t" in text
        if self._decodes():
            self._read_header(known, required)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line number and fields of each row that has as many as the header; empty lines are passed over."""
        if not self.at:
            return
        width, strip = self._width, self._strip
        for line, text in self._lines(after=1):
            if '"' in text:
                try:
                    fields = next(csv.reader((text,), strict=True))
                except csv.Error as error:
                    self.fault(line, None, f"not CSV: {error}")
                    continue
            else:
                fields = text.split(",")
            if len(fields) != width:
                self.fault(line, None, f"{_counted(len(fields))}, the header names {width}")
                continue
            yield line, [field.strip() for field in fields] if strip else fields

    def fault(self, line: int, column: str | None, reason: str) -> None:
        """Note an error about a value of a row, or about the whole row."""
        self._count += 1
        if len(self._faults) < MAX_FAULTS:
            at = -1 if column is None else self.at.get(column, -1)
            self._faults.append((line, at, reason if column is None else f"{column}: {reason}"))

    def finish(self) -> None:
        """Tell all faults; the column of each is where its value begins, counted in characters."""
        if not self._faults:
            return
        lines = self._text.split(b"\n")
        for line, at, reason in self._faults:
            text = lines[line - 1].decode()
            self._findings.error(self.path, line, 1 if at < 0 else _offset(text, at) + 1, reason)
        if self._count > len(self._faults):
            more = self._count - len(self._faults)
            self._findings.error(self.path, 0, 0, f"{more} more errors in this file are not shown")

    def place(self, line: int, column: str) -> tuple[int, int]:
        """Line and column where a value begins."""
        return line, _offset(self._text.split(b"\n", line)[line - 1].decode(), self.at[column]) + 1

    def _decodes(self) -> bool:
        try:
            self._text.decode()
        except UnicodeDecodeError as error:
            line = self._text.count(b"\n", 0, error.start) + 1
            before = self._text[self._text.rfind(b"\n", 0, error.start) + 1 : error.start].decode()
            self._findings.error(self.path, line, len(before) + 1, "not UTF-8 text")
            return False
        return True

    def _lines(self, after: int) -> Iterator[tuple[int, str]]:
        stream = io.TextIOWrapper(io.BytesIO(self._text), encoding="utf-8", newline="\n")
        for line, text in enumerate(stream, 1):
            if line > after and (bare := text.rstrip("\r\n")):
                yield line, bare

    def _read_header(self, known: Sequence[str], required: Sequence[str]) -> None:
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
            column = _offset(first, index) + 1
            if name in at:
                self._findings.error(self.path, 1, column, f"column {name!r} is named twice")
            elif name in known:
                at[name] = index
            else:
                hint = f"did you mean {guessed[name][0]!r}?" if guessed[name] else f"known are {', '.join(known)}"
                self._findings.error(self.path, 1, column, f"unknown column {name!r}; {hint}")
        for index, name in enumerate(names):  # read on as if it had been spelt right: one fault must not hide others
            if guessed.get(name):
                at.setdefault(guessed[name][0], index)
        missing = [name for name in required if name not in at]
        for name in missing:
            self._findings.error(self.path, 1, 1, f"column {name!r} is missing")
        if not missing:
            self.at, self._width = at, len(names)


def _counted(fields: int) -> str:
    return "1 column" if fields == 1 else f"{fields} columns"


def _offset(text: str, index: int) -> int:
    """Where field ``index`` of a line begins, past its leading blanks."""
    at = quotes = 0
    while index:
        index -= text[at] == "," and quotes % 2 == 0
        quotes += text[at] == '"'
        at += 1
    return at + len(text[at:]) - len(text[at:].lstrip(" \t"))
