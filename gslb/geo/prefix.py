"""Prefixes as arrays: nested ones flattened into disjoint intervals, and intervals cut into CIDR pieces.

Addresses are u32 (IPv4, ``bits`` 32) or u64 (the upper half of IPv6, ``bits`` 64). Intervals are given by their starts
alone: ascending, the first 0, each ending before the next, the last at the end of the address space. Ends are
inclusive wherever they are computed, for the space's own end plus one does not fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gslb.geo.special import Block

Addresses = npt.NDArray[Any]  # u32 or u64
Values = npt.NDArray[Any]
U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
Indices = npt.NDArray[np.intp]

_WIDE = 64  # cells; wider ranges are painted one by one
_CHUNK = 1 << 16  # ranges painted at a time, so that index arrays stay small


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Prefixes of one family, each with a value of its own kind (``facts``); sorted by (start, length), none twice.

    ``lines`` tells the line each came from, and is empty where there are none.
    """

    starts: Addresses
    lens: U8
    facts: U32
    lines: U32

    def __len__(self) -> int:
        return len(self.starts)

    @classmethod
    def empty(cls, bits: int) -> Prefixes:
        """No prefixes at all."""
        nothing = np.zeros(0, dtype=np.uint32)
        return cls(np.zeros(0, dtype=dtype_of(bits)), np.zeros(0, dtype=np.uint8), nothing, nothing)


@dataclass(frozen=True, slots=True)
class Nested:
    """The prefixes of several layers as one tree, and the address space cut where any of them begins or ends.

    Nodes are the distinct prefixes, shorter ones first; node 0 is the whole space. ``facts[k]`` holds, for each node,
    the value of layer k's longest prefix that covers it, 0 where none does. ``starts`` and ``nodes`` are intervals
    and the deepest node over each.
    """

    starts: Addresses
    nodes: U32
    node_len: U8
    node_parent: U32
    facts: tuple[U32, ...]


def dtype_of(bits: int) -> np.dtype[Any]:
    """The type of the addresses of a family."""
    return np.dtype(np.uint32) if bits == 32 else np.dtype(np.uint64)


def host_masks(bits: int) -> Addresses:
    """By prefix length: the bits past the prefix, all set."""
    return np.array([(1 << (bits - length)) - 1 for length in range(bits + 1)], dtype=dtype_of(bits))


def flatten(layers: Sequence[Prefixes], bits: int) -> Nested:
    """Flatten nested prefixes; their facts must be above 0.

    The space is cut at every boundary, then painted with the prefixes by ascending length. Prefixes of one length are
    disjoint, so each of the at most 65 passes is one array operation; what lies under a prefix before its pass is its
    parent.
    """
    masks = host_masks(bits)
    starts = _boundaries(layers, masks, bits)
    painted = [np.zeros(len(starts), dtype=np.uint32) for _ in layers]
    nodes = np.zeros(len(starts), dtype=np.uint32)
    orders = [_by_length(layer.lens, bits) for layer in layers]
    lens: list[U8] = []
    parents: list[U32] = []
    facts: list[list[U32]] = [[] for _ in layers]
    count = 0
    for length in range(bits + 1):
        parts: list[tuple[Indices, Indices]] = []
        for layer, (order, bounds), cells in zip(layers, orders, painted, strict=True):
            rows = order[bounds[length] : bounds[length + 1]]
            if len(rows):
                first = layer.starts[rows]
                low = np.searchsorted(starts, first)
                high = np.searchsorted(starts, first | masks[length], side="right")
                _paint(cells, low, high, layer.facts[rows])
                parts.append((low, high))
        if length == 0:
            parts = [(np.zeros(1, dtype=np.intp), np.array([len(starts)]))]
        if not parts:
            continue
        low, high = parts[0] if len(parts) == 1 else _union(parts)
        lens.append(np.full(len(low), length, dtype=np.uint8))
        parents.append(nodes[low])
        for column, cells in zip(facts, painted, strict=True):
            column.append(cells[low])
        _paint(nodes, low, high, np.arange(count, count + len(low), dtype=np.uint32))
        count += len(low)
    return Nested(
        starts=starts,
        nodes=nodes,
        node_len=np.concatenate(lens),
        node_parent=np.concatenate(parents),
        facts=tuple(np.concatenate(column) for column in facts),
    )


def runs(starts: Addresses, values: Values) -> tuple[Addresses, Values]:
    """Join neighbouring intervals of equal value."""
    keep = np.ones(len(starts), dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=keep[1:])
    return starts[keep], values[keep]


def carve(starts: Addresses, values: Values, blocks: Sequence[Block], bits: int) -> tuple[Addresses, Values]:
    """Join intervals of equal value, then lay ascending, disjoint blocks over them.

    A block's range takes its value; where that is None the values stay, but an interval begins and ends at its
    borders. Do not join the result again.
    """
    starts, values = runs(starts, values)
    if not blocks:
        return starts, values
    dtype = dtype_of(bits)
    lasts = [block.start | ((1 << (bits - block.length)) - 1) for block in blocks]
    edges = [block.start for block in blocks] + [last + 1 for last in lasts if last + 1 < 1 << bits]
    cut, laid = _inserted(starts, values, np.array(sorted(set(edges)), dtype=dtype))
    keep = np.ones(len(cut), dtype=np.bool_)
    for block, last in zip(blocks, lasts, strict=True):
        if block.value is not None:
            low = np.searchsorted(cut, dtype.type(block.start))
            high = np.searchsorted(cut, dtype.type(last), side="right")
            laid[low:high] = block.value
            keep[low + 1 : high] = False
    return cut[keep], laid[keep]


def cidr_pieces(starts: Addresses, values: Values, bits: int) -> tuple[Addresses, U8, Values]:
    """Cut each interval into the fewest CIDR blocks: (starts, lengths, values), ascending and without gaps.

    Equal neighbours are not joined (see `runs`). An interval has at most 2 × bits pieces.
    """
    counts = piece_counts(starts, bits)
    ends = np.cumsum(counts, dtype=np.intp)
    total = int(ends[-1]) if len(ends) else 0
    pieces, lens = np.empty(total, dtype=starts.dtype), np.zeros(total, dtype=np.uint8)
    pieces[:1] = 0  # what stays unless the space is cut: one piece, of length 0
    for chunk, firsts, afters in _chunks(starts):
        left, right = _halves(firsts, afters)
        _cut_up(left, firsts, ends[chunk] - counts[chunk], pieces, lens, bits)
        _cut_down(right, afters, ends[chunk], pieces, lens, bits)
    return pieces, lens, np.repeat(values, counts)


def piece_counts(starts: Addresses, bits: int) -> U8:
    """Into how many pieces `cidr_pieces` cuts each interval."""
    counts = np.empty(len(starts), dtype=np.uint8)
    for chunk, firsts, afters in _chunks(starts):
        left, right = _halves(firsts, afters)
        counts[chunk] = np.bitwise_count(left) + np.bitwise_count(right)
    return np.maximum(counts, 1)  # the whole space has as many addresses as its type cannot hold


def _chunks(starts: Addresses) -> Iterator[tuple[slice, Addresses, Addresses]]:
    """Some intervals at a time: which, their first addresses and those after their last, 0 past the space's end."""
    zero = np.zeros(1, dtype=starts.dtype)
    for begin in range(0, len(starts), _CHUNK):
        chunk = slice(begin, begin + _CHUNK)
        afters = starts[begin + 1 : begin + _CHUNK + 1]
        yield chunk, starts[chunk], afters if begin + _CHUNK < len(starts) else np.concatenate((afters, zero))


def _halves(firsts: Addresses, afters: Addresses) -> tuple[Addresses, Addresses]:
    """How many addresses of each interval lie before and behind the most aligned address in it.

    The set bits of the two numbers are the sizes of the interval's pieces: they grow up to that address, and shrink
    behind it.
    """
    below = firsts ^ afters
    for shift in (1, 2, 4, 8, 16, 32)[: 5 + (firsts.dtype.itemsize == 8)]:
        below |= below >> firsts.dtype.type(shift)
    middle = afters & ~(below >> firsts.dtype.type(1))
    return middle - firsts, afters - middle


def _cut_up(sizes: Addresses, firsts: Addresses, at: Indices, pieces: Addresses, lens: U8, bits: int) -> None:
    """Write the pieces that add up to ``sizes``, smallest first, from ``firsts`` on, to the places from ``at`` on."""
    while (more := sizes != 0).any():
        sizes, firsts, at = sizes[more], firsts[more], at[more]
        lowest = sizes & (~sizes + sizes.dtype.type(1))
        pieces[at] = firsts
        lens[at] = bits - np.bitwise_count(lowest - sizes.dtype.type(1))
        sizes, firsts, at = sizes ^ lowest, firsts + lowest, at + 1


def _cut_down(sizes: Addresses, afters: Addresses, at: Indices, pieces: Addresses, lens: U8, bits: int) -> None:
    """Likewise backwards: up to ``afters``, to the places before ``at``."""
    while (more := sizes != 0).any():
        sizes, afters, at = sizes[more], afters[more], at[more] - 1
        lowest = sizes & (~sizes + sizes.dtype.type(1))
        sizes, afters = sizes ^ lowest, afters - lowest
        pieces[at] = afters
        lens[at] = bits - np.bitwise_count(lowest - sizes.dtype.type(1))


def _boundaries(layers: Sequence[Prefixes], masks: Addresses, bits: int) -> Addresses:
    """Where any prefix begins, or the address after it: ascending, from 0."""
    dtype = dtype_of(bits)
    parts = [np.zeros(1, dtype=dtype)]
    for layer in layers:
        parts.append(layer.starts)
        lasts = layer.starts | masks[layer.lens]
        parts.append(lasts[lasts != masks[0]] + dtype.type(1))
    return _distinct(np.concatenate(parts))


def _inserted(starts: Addresses, values: Values, edges: Addresses) -> tuple[Addresses, Values]:
    """The intervals, each with its value, cut at a few ``edges`` too."""
    at = np.searchsorted(starts, edges)
    missing = starts[np.minimum(at, len(starts) - 1)] != edges
    at = at[missing]  # not 0: there begins the first interval
    return np.insert(starts, at, edges[missing]), np.insert(values, at, values[at - 1])


def _distinct(numbers: Values) -> Values:
    numbers.sort()
    keep = np.ones(len(numbers), dtype=np.bool_)
    np.not_equal(numbers[1:], numbers[:-1], out=keep[1:])
    return numbers[keep]


def _by_length(lens: U8, bits: int) -> tuple[Indices, Indices]:
    """Rows ordered by length, and where each length begins among them."""
    counts = np.bincount(lens, minlength=bits + 1)
    return np.argsort(lens, kind="stable"), np.concatenate(([0], np.cumsum(counts)))


def _union(parts: Sequence[tuple[Indices, Indices]]) -> tuple[Indices, Indices]:
    """Ranges of one pass from several layers, each once, ascending; ranges that share a low end are the same."""
    low, first = np.unique(np.concatenate([part[0] for part in parts]), return_index=True)
    return low, np.concatenate([part[1] for part in parts])[first]


def _paint(cells: U32, low: Indices, high: Indices, values: U32) -> None:
    """Set ``cells[low[i]:high[i]]`` to ``values[i]``, for disjoint ranges."""
    for begin in range(0, len(low), _CHUNK):
        chunk = slice(begin, begin + _CHUNK)
        _paint_chunk(cells, low[chunk], high[chunk], values[chunk])


def _paint_chunk(cells: U32, low: Indices, high: Indices, values: U32) -> None:
    counts = high - low
    wide = counts > _WIDE
    if wide.any():
        for begin, end, value in zip(low[wide].tolist(), high[wide].tolist(), values[wide].tolist(), strict=True):
            cells[begin:end] = value
        narrow = ~wide
        low, counts, values = low[narrow], counts[narrow], values[narrow]
    before = np.cumsum(counts) - counts
    cells[np.repeat(low - before, counts) + np.arange(int(counts.sum()))] = np.repeat(values, counts)
