"""Rows of a file that are not taken: which, why, and how many."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

TOLD: Final = 10_000
"""Rejects of a file that are kept one by one; those beyond are counted."""
RAW_CHARACTERS: Final = 500
"""Of a rejected row that are kept."""


class Reject(NamedTuple):
    """A row that was not taken. ``line`` is a row's number in Parquet; ``reason`` tells all that is wrong with it,
    ``kind`` the first of it, as it is counted."""

    path: str
    line: int
    column: int
    kind: str
    reason: str
    raw: str

    @property
    def place(self) -> str:
        """``path:line:column``."""
        return f"{self.path}:{self.line}:{self.column}"

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


class Rejects:
    """Rows of a file that were not taken: the first `TOLD` of them, and how many of each kind there are."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.told: list[Reject] = []
        self.counts: Counter[str] = Counter()

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.counts.total()

    def add(self, line: int, column: int, kind: str, reason: str, raw: str) -> None:
        """Note a row."""
        self.counts[kind] += 1
        if len(self.told) < TOLD:
            self.told.append(Reject(self.path, line, column, kind, reason, raw[:RAW_CHARACTERS]))
