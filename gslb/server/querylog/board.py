"""What outlives the process that writes the query log: records that wait to be written, and how far it has come.

    which u64, two copies of the state (the cells, then how far each ring is read; u64 each), two buffers of records

What changes together is written to the copy that does not count, and then ``which`` is turned over: whenever the
process is killed, its successor finds a state in which each record was given its number once. One process writes,
others may read. A buffer holds what one segment will; the active one is filled while the other, where it waits, is
written.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gslb.server import ring

CELLS: Final = (
    "given",  # the last number given to a record, lost ones among them
    "logged",  # records in segments
    "lost_ring",  # overwritten in a ring before they were read
    "lost_disk",  # there was no room for them, as the disk did not take what waits
    "lost_catalog",  # of a catalog that is not known any more
    "lost_fault",  # met a fault of this program
    "segments",  # written
    "bytes",  # written
    "removed",  # files removed for want of room
    "failures",  # attempts to write that failed
    "failing",  # 1 while the last attempt failed
    "counts",  # files of counters, for their names
    "active",  # the buffer that is filled
    "held0",  # records in the first buffer
    "held1",
    "attempts",  # to write the buffer that waits; what kills the process again and again is given up
)
LOST: Final = ("ring", "disk", "catalog", "fault")
"""Why records are lost, by the ends of cells' names."""
_AT: Final = {name: at for at, name in enumerate(CELLS)}
_PAGE: Final = 4096

Records = npt.NDArray[Any]


def create(rings: int, rows: int) -> int:
    """A descriptor of an empty board for so many rings, and segments of so many records."""
    fd = os.memfd_create("gslb-query-board", os.MFD_CLOEXEC)
    os.ftruncate(fd, _buffers_at(rings) + 2 * rows * ring.RECORD.itemsize)
    return fd


class Board:
    """The board behind a descriptor, which may be closed."""

    def __init__(self, fd: int, rings: int) -> None:
        memory = memoryview(mmap.mmap(fd, 0))
        states = np.frombuffer(memory, np.uint64, 1 + 2 * (len(CELLS) + rings))
        self._which = states[:1]
        self._states = states[1:].reshape(2, -1)
        self._buffers: Records = np.frombuffer(memory, ring.RECORD, offset=_buffers_at(rings)).reshape(2, -1)

    def __getitem__(self, cell: str) -> int:
        return int(self._states[int(self._which[0]), _AT[cell]])

    @property
    def lost(self) -> int:
        """Records that are lost, for whatever reason."""
        return sum(self["lost_" + why] for why in LOST)

    @property
    def positions(self) -> list[int]:
        """The number of the last record read from each ring."""
        found: list[int] = self._states[int(self._which[0]), len(CELLS) :].tolist()
        return found

    @property
    def room(self) -> int:
        """How many records a buffer holds."""
        return int(self._buffers.shape[1])

    def held(self, buffer: int) -> int:
        """How many records a buffer has."""
        return self["held1" if buffer else "held0"]

    def records(self, buffer: int) -> Records:
        """The records of a buffer, in place; ``number`` is the one in the query log."""
        found: Records = self._buffers[buffer, : self.held(buffer)]
        return found

    @contextlib.contextmanager
    def change(self) -> Iterator[Change]:
        """A change of several cells, which count together when the block ends without a fault."""
        now = int(self._which[0])
        self._states[1 - now] = self._states[now]
        yield Change(self._states[1 - now], self._buffers)
        self._which[0] = 1 - now


class Change:
    """A state to be."""

    def __init__(self, state: npt.NDArray[np.uint64], buffers: Records) -> None:
        self._state = state
        self._buffers = buffers

    def __getitem__(self, cell: str) -> int:
        return int(self._state[_AT[cell]])

    def __setitem__(self, cell: str, value: int) -> None:
        self._state[_AT[cell]] = value

    def add(self, cell: str, by: int = 1) -> None:
        """Add to a cell."""
        self[cell] += by

    def read(self, at: int, position: int, found: Records, lost: int) -> None:
        """Take the records of a ring up to a position; ``lost`` were overwritten before they could be read.

        Every one gets a number, lost ones the first. What finds no room is lost too.
        """
        self._state[len(CELLS) + at] = position
        self.add("lost_ring", lost)
        self.add("given", lost)
        while len(found):
            active = self["active"]
            held = self[f"held{active}"]
            taken = found[: self._buffers.shape[1] - held]
            if not len(taken) and not self.seal():
                self.add("lost_disk", len(found))
                self.add("given", len(found))
                return
            if len(taken):
                place = self._buffers[active, held : held + len(taken)]
                place[:] = taken
                place["number"] = np.arange(self["given"] + 1, self["given"] + 1 + len(taken), dtype=np.uint64)
                self.add("given", len(taken))
                self.add(f"held{active}", len(taken))
            found = found[len(taken) :]

    def seal(self) -> bool:
        """Have the active buffer wait to be written, and fill the other; False where that one still waits."""
        active = self["active"]
        if self[f"held{1 - active}"]:
            return False
        self["active"] = 1 - active
        self["attempts"] = 0
        return True


def _buffers_at(rings: int) -> int:
    return -(-8 * (1 + 2 * (len(CELLS) + rings)) // _PAGE) * _PAGE
