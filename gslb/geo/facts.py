"""What one file says about addresses: facts, and the prefixes they are said of."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from gslb.geo.prefix import Prefixes, dtype_of
from gslb.model.view import View, ViewTable

U32 = npt.NDArray[np.uint32]
Indices = npt.NDArray[np.intp]

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


class FactColumns:
    """Facts in the order of a file, 32 bytes each; a million distinct ones fit easily."""

    __slots__ = ("_asn", "_continent", "_country", "_isp", "_lat", "_lon", "_region", "_strings")

    def __init__(self) -> None:
        self._strings: dict[str, int] = {"": 0}
        self._country, self._region, self._isp, self._continent, self._asn = (array("I") for _ in range(5))
        self._lat, self._lon = array("d"), array("d")

    def text(self, text: str) -> int:
        """The number by which `add` knows a text."""
        return self._strings.setdefault(text, len(self._strings))

    def add(self, country: int, region: int, continent: int, isp: int, asn: int, lat: float, lon: float) -> int:
        """One more fact, texts by their numbers, coordinates NaN where unknown; returns its number, counted from 0."""
        self._country.append(country)
        self._region.append(region)
        self._isp.append(isp)
        self._continent.append(continent)
        self._asn.append(asn)
        self._lat.append(lat)
        self._lon.append(lon)
        return len(self._lon) - 1

    def add_view(self, view: View) -> int:
        """One more fact, as a view; returns its number."""
        text = self.text
        lat, lon = math.nan if view.lat is None else view.lat, math.nan if view.lon is None else view.lon
        places = text(view.country), text(view.region), text(view.continent)
        return self.add(*places, text(view.isp), view.asn, lat, lon)

    def table(self) -> tuple[ViewTable, U32]:
        """The distinct facts, behind an unknown one, and for each fact added its row among them."""
        texts = [_numbers(column) for column in (self._country, self._region, self._isp, self._continent, self._asn)]
        lat, lon = (np.frombuffer(column, dtype=np.float64) + 0.0 for column in (self._lat, self._lon))  # no -0.0
        first, row_of = distinct([*texts, lat, lon])
        country, region, isp, continent, asn = (_behind(0, column[first]) for column in texts)
        lat, lon = _behind(math.nan, lat[first]), _behind(math.nan, lon[first])
        table = ViewTable(tuple(self._strings), country, region, isp, continent, asn, lat, lon)
        return table, row_of + np.uint32(1)


class Again(NamedTuple):
    """A prefix that a file gives a second time with another fact."""

    bits: int
    start: int
    length: int
    line: int
    first_line: int


class PrefixList:
    """Prefixes of one family in the order of a file, 13 or 17 bytes each. All may be added some at a time."""

    __slots__ = ("_facts", "_lens", "_lines", "_starts", "bits")

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self._starts = array("I" if bits == 32 else "Q")
        self._lens = array("B")
        self._facts = array("I")
        self._lines = array("I")

    def add(self, starts: npt.ArrayLike, lens: npt.ArrayLike, facts: npt.ArrayLike, lines: npt.ArrayLike) -> None:
        """More prefixes, an element of each column for each; ``facts`` count the facts of the file."""
        for column, values in ((self._starts, starts), (self._lens, lens), (self._facts, facts), (self._lines, lines)):
            column.frombytes(np.asarray(values, dtype=column.typecode).tobytes())

    def sorted(self, row_of: U32) -> tuple[Prefixes, list[Again]]:
        """The prefixes, each once with its first fact, and those that come again with another.

        ``row_of`` gives the row of each fact of the file.
        """
        starts = np.frombuffer(self._starts, dtype=dtype_of(self.bits))
        lens = np.frombuffer(self._lens, dtype=np.uint8)
        order = np.lexsort((lens, starts))  # stable: equal prefixes keep the file's order
        starts, lens, facts, lines = (
            starts[order], lens[order], row_of[_numbers(self._facts)[order]], _numbers(self._lines)[order]
        )  # fmt: skip
        fresh = np.ones(len(starts), dtype=np.bool_)
        fresh[1:] = (starts[1:] != starts[:-1]) | (lens[1:] != lens[:-1])
        first = np.flatnonzero(fresh)[np.cumsum(fresh) - 1]
        again = [
            Again(self.bits, int(starts[row]), int(lens[row]), int(lines[row]), int(lines[first[row]]))
            for row in np.flatnonzero(facts != facts[first]).tolist()
        ]
        return Prefixes(starts[fresh], lens[fresh], facts[fresh], lines[fresh]), again


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


def distinct(columns: Sequence[npt.NDArray[Any]]) -> tuple[Indices, U32]:
    """The first row of each distinct combination of columns, and for each row the number of its combination.

    Columns are u32 or f64; of the latter every NaN is one value.
    """
    code = np.zeros(len(columns[0]), dtype=np.uint64)
    first = np.zeros(0, dtype=np.intp)
    for column in columns:
        numbers = column if column.dtype == np.uint32 else np.unique(column, return_inverse=True)[1]
        code = (code << np.uint64(32)) | numbers.astype(np.uint64)
        _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
        code = inverse.astype(np.uint64)
    return first, code.astype(np.uint32)


def _numbers(column: array[int]) -> U32:
    return np.frombuffer(column, dtype=np.uint32)


def _behind(value: float, column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.concatenate((np.array([value], dtype=column.dtype), column))
