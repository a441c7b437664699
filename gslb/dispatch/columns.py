"""Columns out of CSV texts with hundreds of thousands of rows: ids to positions, numbers to arrays, faults located."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from gslb.errors import Findings
from gslb.geo.sheet import Sheet, plain_cells
from gslb.plan.problem import F64, I64

NOT_GIVEN: Final = -1
"""The value of an empty cell, and of one at fault."""
_PLAIN_NUMBERS: Final = frozenset(b"0123456789.eE+-")


class Table:
    """A CSV file of which columns are read one by one; what is wrong is gathered, and told by `finish`.

    ``line`` has the line of each row. A table that is not ``readable`` has a header at fault, which is told already.
    """

    def __init__(
        self, path: str, text: bytes, required: Sequence[str], optional: Sequence[str], findings: Findings
    ) -> None:
        known = (*required, *optional)
        before = len(findings.errors)
        self._sheet = Sheet(path, text, known, required, findings)
        self.readable = len(findings.errors) == before
        self._cells: dict[str, list[str]] = {name: [] for name in known}
        lines: list[I64] = []
        at = {name: self._sheet.index(name) for name in known}
        width = sum(column >= 0 for column in at.values())
        for first, block in self._sheet.blocks():
            plain = plain_cells(block)
            if plain is not None and plain[0] == width:
                fields = plain[1]
                rows = len(fields) // width
                for name, column in at.items():
                    self._cells[name] += fields[column::width] if column >= 0 else [""] * rows
                lines.append(np.arange(first, first + rows))
                continue
            for line, text_line in enumerate(block.decode().split("\n"), first):
                row = self._sheet.fields(line, text_line)
                if row is not None:
                    for name, column in at.items():
                        self._cells[name].append(row[column])
                    lines.append(np.array([line]))
        self.line: I64 = np.concatenate(lines).astype(np.int64) if lines else np.zeros(0, np.int64)

    @property
    def faults(self) -> int:
        """How many faults its header and rows have so far."""
        return self._sheet.faults + (not self.readable)

    def cells(self, column: str) -> list[str]:
        """The texts of a column; empty where the table has it not."""
        return self._cells[column]

    def names(self, column: str) -> dict[str, int]:
        """A column of ids, each its own: where each is."""
        found = {name: at for at, name in enumerate(self.cells(column))}
        if len(found) < len(self.line) or "" in found:
            found = {}
            for at, name in enumerate(self.cells(column)):
                if not name:
                    self.fault(at, column, "is empty")
                elif found.setdefault(name, at) != at:
                    self.fault(at, column, f"{name!r} is in line {self.line[found[name]]} too")
        return found

    def positions(self, column: str, of: Mapping[str, int], kind: str, told_in: str) -> I64:
        """A column of ids that another table has: where; `NOT_GIVEN` where it has not, which is told."""
        cells = self.cells(column)
        found = np.fromiter((of.get(cell, NOT_GIVEN) for cell in cells), np.int64, len(cells))
        for at in np.flatnonzero(found == NOT_GIVEN).tolist():
            self.fault(at, column, f"{cells[at]!r} is no {kind} of {told_in}" if cells[at] else "is empty")
        return found

    def numbers(self, column: str, most: float, *, empty: bool = False) -> F64:
        """A column of decimal numbers from 0 to ``most``; `NOT_GIVEN` where empty, which with ``empty`` is no fault."""
        cells = self.cells(column)
        try:
            found = np.array(cells, dtype=np.float64) if cells else np.zeros(0)
            if not np.all((found >= 0) & (found <= most)) or not _PLAIN_NUMBERS.issuperset("".join(cells).encode()):
                raise ValueError
        except ValueError:
            found = np.array([self._number(at, column, cell, most, empty) for at, cell in enumerate(cells)])
        return found + 0.0  # -0 is 0

    def fault(self, at: int, column: str | None, reason: str) -> None:
        """Note what is wrong in a row, by its place."""
        self._sheet.fault(int(self.line[at]), column, reason)

    def finish(self) -> None:
        """Tell what was noted."""
        self._sheet.finish()

    def _number(self, at: int, column: str, cell: str, most: float, empty: bool) -> float:
        if not cell and empty:
            return NOT_GIVEN
        try:
            found = float(cell) if _PLAIN_NUMBERS.issuperset(cell.encode()) else math.nan
        except ValueError:
            found = math.nan
        if 0 <= found <= most:
            return found
        self.fault(at, column, f"{cell!r} is not a number from 0 to {most:g}" if cell else "is empty")
        return NOT_GIVEN


def duplicates(first: I64, second: I64, tell: Callable[[int, int], None]) -> None:
    """Tell each row whose pair is in an earlier row, and that row. Rows with `NOT_GIVEN` are passed over."""
    rows = np.flatnonzero((first >= 0) & (second >= 0))
    key = first[rows] * (1 + int(second.max(initial=0))) + second[rows]
    order = np.argsort(key, kind="stable")
    again = np.flatnonzero(np.diff(key[order]) == 0) + 1
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    for at in again.tolist():
        earliest = starts[np.searchsorted(starts, at, side="right") - 1]
        tell(int(rows[order[at]]), int(rows[order[earliest]]))
