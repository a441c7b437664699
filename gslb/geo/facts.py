"""What one file says about addresses: facts, and the prefixes they are said of."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Final

import numpy as np

from gslb.geo.prefix import Prefixes, dtype_of
from gslb.model.view import View, ViewTable

TABLE: Final = "table"
PLACE: Final = "place"
NETWORK: Final = "network"


@dataclass(frozen=True, slots=True)
class Facts:
    """One file's facts. ``table`` row 0 is never used by a prefix; the other rows are distinct.

    ``kind`` is TABLE, PLACE or NETWORK. The prefixes of a TABLE know their lines, those of a database do not.
    """

    path: str
    kind: str
    table: ViewTable
    v4: Prefixes
    v6: Prefixes

    def family(self, bits: int) -> Prefixes:
        """The prefixes of IPv4 (32) or IPv6 (64)."""
        return self.v4 if bits == 32 else self.v6


@dataclass(frozen=True, slots=True)
class Again:
    """A prefix that a file gives a second time with another fact."""

    bits: int
    start: int
    length: int
    line: int
    first_line: int


class PrefixList:
    """Prefixes of one family in the order of a file, 13 or 17 bytes each."""

    __slots__ = ("bits", "facts", "lens", "lines", "starts")

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.starts = array("I" if bits == 32 else "Q")
        self.lens = array("B")
        self.facts = array("I")
        self.lines = array("I")

    def add(self, start: int, length: int, fact: int, line: int) -> None:
        """One more prefix."""
        self.starts.append(start)
        self.lens.append(length)
        self.facts.append(fact)
        self.lines.append(line)

    def sorted(self) -> tuple[Prefixes, list[Again]]:
        """The prefixes, each once with its first fact, and those that come again with another."""
        starts = np.frombuffer(self.starts, dtype=dtype_of(self.bits))
        lens = np.frombuffer(self.lens, dtype=np.uint8)
        facts = np.frombuffer(self.facts, dtype=np.uint32)
        lines = np.frombuffer(self.lines, dtype=np.uint32)
        order = np.lexsort((lens, starts))  # stable: equal prefixes keep the file's order
        starts, lens, facts, lines = starts[order], lens[order], facts[order], lines[order]
        fresh = np.ones(len(starts), dtype=np.bool_)
        fresh[1:] = (starts[1:] != starts[:-1]) | (lens[1:] != lens[:-1])
        first = np.flatnonzero(fresh)[np.cumsum(fresh) - 1]
        again = [
            Again(self.bits, int(starts[row]), int(lens[row]), int(lines[row]), int(lines[first[row]]))
            for row in np.flatnonzero(facts != facts[first]).tolist()
        ]
        return Prefixes(starts[fresh], lens[fresh], facts[fresh], lines[fresh]), again


class FactNumbers:
    """Facts numbered from 1 by first appearance."""

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        self._rows: dict[View, int] = {}

    def number(self, fact: View) -> int:
        """The row of a fact in the table, new or known."""
        return self._rows.setdefault(fact, len(self._rows) + 1)

    def table(self) -> ViewTable:
        """All facts so far, behind the unknown one."""
        return ViewTable.of(list(self._rows))


def longest_match(prefixes: Prefixes, start: int, source: int, bits: int) -> int | None:
    """The row of the longest prefix that covers the prefix ``start``/``source``, or None."""
    for length in range(source, -1, -1):
        first = prefixes.starts.dtype.type(start >> (bits - length) << (bits - length))
        low = np.searchsorted(prefixes.starts, first)
        high = np.searchsorted(prefixes.starts, first, side="right")
        at = int(low + np.searchsorted(prefixes.lens[low:high], length))
        if at < high and prefixes.lens[at] == length:
            return at
    return None
