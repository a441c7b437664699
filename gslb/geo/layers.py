"""The layers in which files stand, and the files of one layer laid together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gslb.errors import Findings
from gslb.geo.address import format_prefix
from gslb.geo.facts import TABLE, Facts
from gslb.geo.prefix import Prefixes
from gslb.model.view import ViewTable

U32 = npt.NDArray[np.uint32]

MAX_TIES = 20
"""Ties of one table with another that are told with their places, per family; those beyond are counted."""

_COLUMNS = ("country", "region", "isp", "continent", "asn", "lat", "lon")


class Layers(NamedTuple):
    """All files that say where clients are, best layer first.

    They are `zones/networks.csv`, the tables of `data/isp/`, the databases of places and those of networks. Within a
    layer the longest match wins, on a tie the first file by name.
    """

    networks: Facts | None = None
    isp_tables: Sequence[Facts] = ()
    places: Sequence[Facts] = ()
    asns: Sequence[Facts] = ()

    def files(self) -> list[tuple[str, list[Facts]]]:
        """Each layer that has files: what people call it, and its files by name."""
        layers: tuple[tuple[str, Sequence[Facts]], ...] = (
            ("networks", [self.networks] if self.networks else []),
            ("isp", self.isp_tables),
            ("place", self.places),
            ("network", self.asns),
        )
        return [(name, sorted(files, key=lambda facts: facts.path)) for name, files in layers if files]


class Layer(NamedTuple):
    """A layer as one: its facts, and its prefixes by family. The prefixes know no lines."""

    table: ViewTable
    v4: Prefixes
    v6: Prefixes


def stack(files: Sequence[Facts], findings: Findings) -> Layer:
    """Lay the files of one layer together; a prefix that two of them give with different facts is warned of."""
    if len(files) == 1:
        return Layer(files[0].table, files[0].v4, files[0].v6)
    strings, maps = common_strings([facts.table for facts in files])

    def texts(name: str) -> U32:
        return np.concatenate([rows[getattr(each.table, name)] for rows, each in zip(maps, files, strict=True)])

    table = ViewTable(
        strings=strings,
        country=texts("country"),
        region=texts("region"),
        isp=texts("isp"),
        continent=texts("continent"),
        asn=np.concatenate([facts.table.asn for facts in files]),
        lat=np.concatenate([facts.table.lat for facts in files]),
        lon=np.concatenate([facts.table.lon for facts in files]),
    )
    v4 = _stack_family(files, table, 32, findings)
    v6 = _stack_family(files, table, 64, findings)
    return Layer(table, v4, v6)


def common_strings(tables: Sequence[ViewTable]) -> tuple[tuple[str, ...], list[U32]]:
    """The texts of several tables, each once, and for each table the rows of its texts among them."""
    rows: dict[str, int] = {"": 0}
    maps = [np.array([rows.setdefault(text, len(rows)) for text in table.strings], dtype=np.uint32) for table in tables]
    return tuple(rows), maps


def _stack_family(files: Sequence[Facts], table: ViewTable, bits: int, findings: Findings) -> Prefixes:
    parts = [facts.family(bits) for facts in files]
    offsets = np.cumsum([0, *(len(facts.table) for facts in files[:-1])], dtype=np.uint32)
    starts = np.concatenate([part.starts for part in parts])
    lens = np.concatenate([part.lens for part in parts])
    facts = np.concatenate([part.facts + offset for part, offset in zip(parts, offsets, strict=True)])
    order = np.lexsort((lens, starts))  # stable: of equal prefixes the first file's comes first
    starts, lens, facts = starts[order], lens[order], facts[order]
    fresh = np.ones(len(starts), dtype=np.bool_)
    fresh[1:] = (starts[1:] != starts[:-1]) | (lens[1:] != lens[:-1])
    later = np.flatnonzero(~fresh)
    first = np.flatnonzero(fresh)[np.cumsum(fresh)[later] - 1]
    differ = ~_equal(table, facts[later], facts[first])
    later, first = later[differ], first[differ]
    file = np.repeat(np.arange(len(files)), [len(part) for part in parts])[order]
    for loser in range(1, len(files)):
        for winner in range(loser):
            rows = later[(file[later] == loser) & (file[first] == winner)]
            if len(rows):
                own = order[rows] - sum(len(part) for part in parts[:loser])
                _tell(files[loser], files[winner].path, bits, own, findings)
    return Prefixes(starts[fresh], lens[fresh], facts[fresh], np.zeros(0, dtype=np.uint32))


def _equal(table: ViewTable, left: U32, right: U32) -> npt.NDArray[np.bool_]:
    """Whether pairs of facts say the same; unknown coordinates (NaN) are the same as such."""
    equal = np.ones(len(left), dtype=np.bool_)
    for name in _COLUMNS:
        column = getattr(table, name)
        one, other = column[left], column[right]
        equal &= (one == other) | ((one != one) & (other != other))
    return equal


def _tell(loser: Facts, winner: str, bits: int, rows: npt.NDArray[Any], findings: Findings) -> None:
    """Warn of prefixes that an earlier file gives with other facts; a table's are named, a database's counted."""
    prefixes = loser.family(bits)
    told = rows[np.argsort(prefixes.lines[rows], kind="stable")][:MAX_TIES] if loser.kind == TABLE else rows[:0]
    for row in told.tolist():
        prefix = format_prefix(bits, int(prefixes.starts[row]), int(prefixes.lens[row]))
        reason = f"prefix: '{prefix}' has other facts in {winner}, which wins"
        findings.warn(loser.path, int(prefixes.lines[row]), 1, reason)
    if len(rows) > len(told):
        more = " more" if len(told) else ""
        count = f"{len(rows) - len(told)}{more} IPv{4 if bits == 32 else 6} prefixes"
        findings.warn(loser.path, 0, 0, f"{count} have other facts in {winner}, which wins")
