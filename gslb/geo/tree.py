"""The search tree of a MaxMind DB as arrays (MaxMind DB file format 2.0): every network and the record it points to.

A real file holds millions of networks, so the tree is walked level by level, all nodes of a level at once. No node is
visited twice: a tree with a cycle or with shared branches is refused before it can take more time or memory than a
tree of its size needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gslb.errors import GslbError
from gslb.geo.prefix import Addresses, dtype_of

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]


class BrokenTreeError(GslbError):
    """Not a tree as the format has it; the text says how."""


@dataclass(frozen=True, slots=True)
class Networks:
    """The networks of one family, ascending and disjoint, and the tree's value for each."""

    starts: Addresses
    lens: U8
    values: U32


def networks(raw: U8, node_count: int, record_size: int, ip_version: int) -> tuple[Networks, Networks, int]:
    """The IPv4 networks, the IPv6 networks up to /64, and how many longer ones were left out.

    ``raw`` holds exactly the tree: ``node_count`` nodes, at least one, each of two records of ``record_size`` bits. In
    a tree of ``ip_version`` 6, ::/96 is the IPv4 space; branches elsewhere that lead to it (::ffff:0:0/96, 2002::/16
    and the like) are its aliases and passed over. Raises `BrokenTreeError`.
    """
    tree = _Tree(_records(raw, record_size), node_count)
    if ip_version == 4:
        return _joined(tree.walk(0, 32), 32), _joined([], 64), 0
    root4, depth4 = tree.zero_path()
    tree.alias = root4
    v6 = tree.walk(0, 64, leave=True)
    left_out = tree.leaves_below()
    tree.alias = None
    if root4 < node_count:
        return _joined(tree.walk(root4, 32), 32), _joined(v6, 64), left_out
    if root4 == node_count:
        return _joined([], 32), _joined(v6, 64), left_out
    whole = np.zeros(1, dtype=np.uint32), 0, np.array([root4], dtype=np.uint32)  # one record for all of IPv4
    return _joined([whole], 32), _joined(v6, 64), left_out - (depth4 > 64)


Level = tuple[Addresses, int, U32]  # starts, their one length, values


class _Tree:
    """The nodes of a file, and which of them a walk has been at."""

    def __init__(self, records: U32, node_count: int) -> None:
        self.alias: int | None = None
        """The node of ::/96, which no walk enters from elsewhere."""
        self._records = records
        self._count = node_count
        self._owner = np.full(node_count, _NOBODY, dtype=np.uint32)
        self._visits = 0
        self._below: U32 = np.zeros(0, dtype=np.uint32)

    def zero_path(self) -> tuple[int, int]:
        """The record that 96 zero bits lead to, or the first on the way that is no node; and its depth."""
        at = depth = 0
        while depth < 96 and at < self._count:
            at, depth = int(self._records[at, 0]), depth + 1
        return at, depth

    def walk(self, root: int, bits: int, leave: bool = False) -> list[Level]:
        """The networks below ``root``; ``leave`` keeps the nodes at the end of the bits for `leaves_below`."""
        dtype = dtype_of(bits)
        nodes, addresses = np.array([root], dtype=np.uint32), np.zeros(1, dtype=dtype)
        found = []
        for depth in range(1, bits + 1):
            records = self._children(nodes)
            addresses = np.repeat(addresses, 2)
            addresses[1::2] |= dtype.type(1 << (bits - depth))
            leaf = records > self._count
            if leaf.any():
                found.append((addresses[leaf], depth, records[leaf]))
            inner = self._inner(records)
            nodes, addresses = records[inner], addresses[inner]
            if not len(nodes):
                break
        if len(nodes) and not leave:
            raise BrokenTreeError("the search tree is deeper than an address has bits")
        self._below = nodes
        return found

    def leaves_below(self) -> int:
        """How many networks longer than /64 there are below the nodes that the last walk left."""
        nodes, leaves, depth = self._below, 0, 64
        while len(nodes):
            if depth == 128:
                raise BrokenTreeError("the search tree is deeper than an address has bits")
            records, depth = self._children(nodes), depth + 1
            leaves += int(np.count_nonzero(records > self._count))
            nodes = records[self._inner(records)]
        return leaves

    def _inner(self, records: U32) -> npt.NDArray[np.bool_]:
        inner = records < self._count
        return inner if self.alias is None else inner & (records != self.alias)

    def _children(self, nodes: U32) -> U32:
        """Both records of each node, in the order of addresses."""
        numbers = np.arange(self._visits, self._visits + len(nodes), dtype=np.uint32)
        self._visits += len(nodes)
        seen = (self._owner[nodes] != _NOBODY).any()
        self._owner[nodes] = numbers
        if seen or (self._owner[nodes] != numbers).any():
            raise BrokenTreeError("the search tree leads to one node in two ways")
        return self._records[nodes].reshape(-1)


_NOBODY = np.uint32(0xFFFFFFFF)


def _records(raw: U8, record_size: int) -> U32:
    """Left and right record of every node, shape (nodes, 2)."""
    if record_size == 32:
        return raw.view(">u4").astype(np.uint32).reshape(-1, 2)
    nodes = raw.reshape(-1, record_size // 4)
    right = 3 if record_size == 24 else 4  # of 28 bits, the middle byte holds the top four of both
    records = np.empty((len(nodes), 2), dtype=np.uint32)
    for side, first in enumerate((0, right)):
        records[:, side] = _big_endian(nodes, first)
    if record_size == 28:
        records[:, 0] |= (nodes[:, 3] >> 4).astype(np.uint32) << np.uint32(24)
        records[:, 1] |= (nodes[:, 3] & 15).astype(np.uint32) << np.uint32(24)
    return records


def _big_endian(nodes: npt.NDArray[Any], first: int) -> U32:
    """Three bytes of each node as a number."""
    number = nodes[:, first].astype(np.uint32)
    for column in (first + 1, first + 2):
        number = number << np.uint32(8) | nodes[:, column]
    return number


def _joined(levels: list[Level], bits: int) -> Networks:
    starts = np.concatenate([np.zeros(0, dtype=dtype_of(bits)), *(level[0] for level in levels)])
    lens = np.repeat(np.array([level[1] for level in levels], dtype=np.uint8), [len(level[0]) for level in levels])
    values = np.concatenate([np.zeros(0, dtype=np.uint32), *(level[2] for level in levels)])
    order = np.argsort(starts, kind="stable")
    return Networks(starts[order], lens[order], values[order])
