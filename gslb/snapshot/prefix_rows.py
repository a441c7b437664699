"""The prefix rows of every geometry: which class an address belongs to, in maximal CIDR pieces of one class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gslb.geo import prefix, special
from gslb.geo.view import Geography, Located
from gslb.snapshot import layout

U32Array = npt.NDArray[np.uint32]

_FAMILIES: Final = ((32, 4), (64, 6))


class PrefixRows:
    """The sections row*: private and odd blocks are carved out of the pieces.

    They are made part by part and counted beforehand, so that a file can take them as they come: those of a million
    prefixes and many policies are most of a catalog, and more than everything else that a build holds.
    """

    def __init__(self, class_of_view: Sequence[U32Array], geography: Geography) -> None:
        """``class_of_view`` gives, for each geometry, the class of each view."""
        self._class_of_view = class_of_view
        self._located = {bits: geography.family(bits) for bits, _ in _FAMILIES}
        self._counts = {
            bits: [
                int(prefix.piece_counts(self._carved(of_view, bits)[0], bits).sum(dtype=np.int64))
                for of_view in class_of_view
            ]
            for bits, _ in _FAMILIES
        }

    @property
    def lengths(self) -> dict[str, int]:
        """How many rows each section has."""
        return {
            f"row{family}_{column}": sum(self._counts[bits])
            for bits, family in _FAMILIES
            for column in ("start", "len", "class")
        }

    def spans(self, bits: int) -> list[tuple[int, int]]:
        """First row and rows of each geometry, for IPv4 (32) or IPv6 (64)."""
        counts = self._counts[bits]
        return [(sum(counts[:at]), count) for at, count in enumerate(counts)]

    def parts(self) -> Iterator[tuple[str, int, npt.NDArray[Any]]]:
        """All rows: name of the section, place of the first row in it, rows. No more than one geometry's at a time."""
        for bits, family in _FAMILIES:
            for of_view, (first, _) in zip(self._class_of_view, self.spans(bits), strict=True):
                starts, lens, classes = prefix.cidr_pieces(*self._carved(of_view, bits), bits)
                yield f"row{family}_start", first, starts
                yield f"row{family}_len", first, lens
                yield f"row{family}_class", first, classes

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All rows as whole sections."""
        found = {name: np.empty(length, dtype=layout.CATALOG_SECTIONS[name]) for name, length in self.lengths.items()}
        for name, first, rows in self.parts():
            found[name][first : first + len(rows)] = rows
        return found

    def _carved(self, of_view: U32Array, bits: int) -> tuple[prefix.Addresses, prefix.Values]:
        located: Located = self._located[bits]
        classes = of_view[located.node_view]
        return prefix.carve(located.starts, classes[located.nodes], special.blocks(bits), bits)
