"""The query log's ring: fixed-size records that a worker writes as it answers and others read at their own pace.

    header   magic 8s, version u32, bytes of a record u32, slots u64 (a power of two),
             records ever written u64, sample u64

Behind the 64 bytes of the header the records lie, record n in slot n modulo slots. A writer never waits: who reads too
slowly finds records overwritten and knows how many by their numbers. One writer, any number of readers.

Of the questions answered, those are written whose hash over resolver, scope and name falls within one in ``sample``: a
resolver's questions for a name and a client subnet are written all or not at all. Sample 0 writes nothing.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gslb.policy.draw import mix64

VERSION: Final = 1
MAGIC: Final = b"GSLBLOG\0"
HEADER: Final = struct.Struct("<8sIIQQQ24x")
WRITTEN_AT: Final = 24
"""Where the number of records ever written stands in the header."""
SLOTS: Final = 16384
NONE32: Final = 0xFFFFFFFF

RECORD: Final = np.dtype(
    [
        ("number", "<u8"),  # from 1 on; 0 while the record is being written
        ("time_us", "<u8"),  # Unix time
        ("client", "<u8"),  # the prefix located: 32 bits of IPv4 or the upper 64 of IPv6
        ("resolver", "<u8"),  # the source address, likewise
        ("service", "<u4"),  # row of the catalog, or NONE32: the fields up to `level` and client's mean nothing then
        ("class", "<u4"),
        ("ttl_s", "<u4"),
        ("catalog", "<u4"),  # the number that the control process gave it: which rows are meant
        ("qname", "<u4"),  # CRC-32 of the lower-case wire name
        ("qtype", "<u2"),
        ("edge", "<u2"),  # row of the catalog, or 65535: none
        ("rcode", "u1"),
        ("level", "u1"),
        ("scope", "u1"),
        ("client_length", "u1"),
        ("families", "u1"),  # bits: 1 the client's prefix is IPv6, 2 the resolver's is, 4 the client is the resolver;
        # 8, 16 its IPv4 begins at bit 16 or 96 of an IPv6 address, on which the scope counts
        ("transport", "u1"),  # 0 UDP, 1 TCP
        ("steering", "<u2"),  # likewise, modulo 2¹⁶: which weights decided
    ]
)
assert RECORD.itemsize == 64

_MASK = (1 << 64) - 1
RESOLVER, CLIENT = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F  # odd, so that nothing of either is lost
_RECORD = struct.Struct("<QQQQIIIIIHHBBBBBBH")


def create(sample: int, rings: int, slots: int = SLOTS) -> int:
    """A descriptor of so many empty rings, one for each thread that writes."""
    fd = os.memfd_create("gslb-query-log", os.MFD_CLOEXEC)
    size = HEADER.size + slots * RECORD.itemsize
    os.ftruncate(fd, rings * size)
    for number in range(rings):
        os.pwrite(fd, HEADER.pack(MAGIC, VERSION, RECORD.itemsize, slots, 0, sample), number * size)
    return fd


def attach(fd: int) -> list[memoryview]:
    """The rings behind a descriptor, which may be closed; `Writer` and `Reader` take one each."""
    memory = memoryview(mmap.mmap(fd, 0))
    size = HEADER.size + HEADER.unpack_from(memory)[3] * RECORD.itemsize
    return [memory[at : at + size] for at in range(0, len(memory), size)]


def sampled(sample: int, qname: int, resolver: int, client: int) -> bool:
    """Whether a question is written: the hash of the name's CRC-32, resolver, and client prefix cut to the scope."""
    return mix64((resolver * RESOLVER ^ client * CLIENT ^ qname) & _MASK) <= most(sample)


def most(sample: int) -> int:
    """The largest u64 that one in ``sample`` values is at most; 0 for a sample of 0."""
    return ((1 << 64) - 1) // sample if sample else 0


class Writer:
    """Writes what the reference path answers."""

    def __init__(self, ring: memoryview) -> None:
        self._ring = ring
        self._slots, self._written, self.sample = HEADER.unpack_from(ring)[3:]

    def put(self, *fields: int) -> None:
        """Write a record: its fields from ``time_us`` on."""
        at = HEADER.size + self._written % self._slots * RECORD.itemsize
        self._written += 1
        self._ring[at : at + 8] = bytes(8)
        _RECORD.pack_into(self._ring, at, 0, *fields)
        self._ring[at : at + 8] = self._written.to_bytes(8, "little")
        self._ring[WRITTEN_AT : WRITTEN_AT + 8] = self._written.to_bytes(8, "little")


class Reader:
    """Reads a ring from its oldest record on; ``lost`` counts those overwritten before they were read."""

    def __init__(self, ring: memoryview, after: int = 0) -> None:
        """``after`` is the number of the last record that somebody has read before."""
        magic, version, size, self._slots, _, self.sample = HEADER.unpack_from(ring)
        if (magic, version, size) != (MAGIC, VERSION, RECORD.itemsize):
            raise ValueError(f"not a query log of version {VERSION}")
        self._ring = ring
        self._records: npt.NDArray[Any] = np.frombuffer(ring, RECORD, offset=HEADER.size)
        self._next = after + 1
        self.lost = 0

    @property
    def last(self) -> int:
        """The number of the last record that was read, or lost."""
        return self._next - 1

    def read(self) -> npt.NDArray[Any]:
        """The records written since the last call, in order."""
        written = self._written()
        first = max(self._next, written - self._slots + 1)
        found: npt.NDArray[Any] = self._records[(np.arange(first, written + 1) - 1) % self._slots].copy()
        # What was overwritten meanwhile has another number, or is too near the writer to be trusted.
        oldest = self._written() - self._slots + 2
        found = found[(found["number"] == np.arange(first, written + 1)) & (found["number"] >= max(oldest, 0))]
        self.lost += written + 1 - self._next - len(found)
        self._next = written + 1
        return found

    def _written(self) -> int:
        return int.from_bytes(self._ring[WRITTEN_AT : WRITTEN_AT + 8], "little")
