"""Flattening against py-radix, and CIDR pieces against netaddr."""

from __future__ import annotations

import ipaddress
import random
import socket
from collections.abc import Sequence

import netaddr
import numpy as np
import pytest
import radix
from gslbtest.examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.geo import prefix, special
from gslb.geo.prefix import Nested, Prefixes

Entry = tuple[int, int]  # first address, length


def prefixes_of(entries: Sequence[Entry], bits: int) -> Prefixes:
    """Prefixes whose facts are their place in the list, from 1; the first of equals counts."""
    rows = {entry: number for number, entry in reversed(list(enumerate(entries, 1)))}
    ordered = sorted(rows)
    return Prefixes(
        starts=np.array([start for start, _ in ordered], dtype=prefix.dtype_of(bits)),
        lens=np.array([length for _, length in ordered], dtype=np.uint8),
        facts=np.array([rows[entry] for entry in ordered], dtype=np.uint32),
        lines=np.zeros(0, dtype=np.uint32),
    )


class Oracle:
    """A py-radix tree of the same prefixes."""

    def __init__(self, entries: Sequence[Entry], bits: int) -> None:
        self.tree, self.bits = radix.Radix(), bits
        for number, (start, length) in enumerate(entries, 1):
            node = self.tree.add(packed=self.packed(start), masklen=length)
            node.data.setdefault("number", number)

    def packed(self, start: int) -> bytes:
        return start.to_bytes(4) if self.bits == 32 else (start << 64).to_bytes(16)

    def best(self, start: int, length: int) -> tuple[int, int]:
        """The number and the length of the longest prefix over start/length; (0, 0) where there is none."""
        node = self.tree.search_best(packed=self.packed(start), masklen=length)
        return (node.data["number"], node.prefixlen) if node else (0, 0)


def node_at(nested: Nested, start: int, length: int) -> int:
    node = int(nested.nodes[np.searchsorted(nested.starts, nested.starts.dtype.type(start), side="right") - 1])
    while nested.node_len[node] > length:
        node = int(nested.node_parent[node])
    return node


def assert_sound(nested: Nested, bits: int) -> None:
    assert nested.starts[0] == 0
    assert (nested.starts[1:] > nested.starts[:-1]).all()
    assert nested.node_len[0] == 0
    assert nested.node_parent[0] == 0
    rows = np.arange(1, len(nested.node_len))
    assert (nested.node_parent[rows] < rows).all()
    assert (nested.node_len[nested.node_parent[rows]] < nested.node_len[rows]).all()
    assert nested.node_len.max() <= bits


def random_entries(rng: random.Random, count: int, bits: int) -> list[Entry]:
    """Prefixes that nest a lot: most begin inside one that is already there."""
    found: list[Entry] = []
    for _ in range(count):
        length = rng.randint(0, bits)
        address = rng.getrandbits(bits)
        if found and rng.random() < 0.8:
            start, above = rng.choice(found)
            address = start | address & ((1 << (bits - above)) - 1)
            length = rng.randint(above, bits)
        found.append((address >> (bits - length) << (bits - length), length))
    return found


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize(("count", "seed"), [(1, 1), (10, 2), (300, 3), (5000, 4)])
def test_longest_match_agrees_with_radix(bits: int, count: int, seed: int) -> None:
    rng = random.Random(seed)
    entries = random_entries(rng, count, bits)
    nested = prefix.flatten([prefixes_of(entries, bits)], bits)
    oracle = Oracle(entries, bits)
    assert_sound(nested, bits)
    probes = [rng.getrandbits(bits) for _ in range(1000)] + [0, (1 << bits) - 1]
    probes += [start for start, _ in entries[:500]]
    probes += [min(start + (1 << (bits - length)), (1 << bits) - 1) for start, length in entries[:500]]
    for address in probes:
        for length in {bits, rng.randint(0, bits)}:
            start = address >> (bits - length) << (bits - length)
            node = node_at(nested, start, length)
            assert (nested.facts[0][node], nested.node_len[node]) == oracle.best(start, length)


@st.composite
def nestings(draw: st.DrawFn) -> tuple[int, list[list[Entry]], list[Entry]]:
    """Up to three layers of prefixes around a few addresses and the ends of the space, and prefixes to look up."""
    bits = draw(st.sampled_from([32, 64]))
    anchors = [0, (1 << bits) - 1, 1 << (bits - 1), *draw(st.lists(st.integers(0, (1 << bits) - 1), max_size=2))]
    near = st.tuples(st.sampled_from(anchors), st.integers(0, bits), st.integers(0, bits), st.booleans())

    def entry(parts: tuple[int, int, int, bool]) -> Entry:
        anchor, length, flip, flipped = parts
        if flipped and flip < bits:
            anchor ^= 1 << flip
        return anchor >> (bits - length) << (bits - length), length

    entries = st.lists(near.map(entry), max_size=12)
    return (
        bits,
        draw(st.lists(entries, min_size=1, max_size=3)),
        draw(st.lists(near.map(entry), min_size=1, max_size=8)),
    )


@settings(max_examples=examples(300), deadline=None, derandomize=True)
@given(nestings())
def test_every_layer_keeps_its_own_longest_match(case: tuple[int, list[list[Entry]], list[Entry]]) -> None:
    bits, layers, probes = case
    nested = prefix.flatten([prefixes_of(entries, bits) for entries in layers], bits)
    assert_sound(nested, bits)
    oracles = [Oracle(entries, bits) for entries in layers]
    known = {entry for entries in layers for entry in entries}
    assert len(nested.node_len) == len(known | {(0, 0)})
    for start, length in [*probes, *known]:
        node = node_at(nested, start, length)
        found = [int(column[node]) for column in nested.facts]
        assert found == [oracle.best(start, length)[0] for oracle in oracles]


def test_wide_and_narrow_prefixes_are_painted_alike() -> None:
    entries = [(0, 8), *((row << 8, 24) for row in range(0, 60000, 2)), (0x00010000, 16)]
    nested = prefix.flatten([prefixes_of(entries, 32)], 32)
    oracle = Oracle(entries, 32)
    for start in range(0, 60000 << 8, 997 << 4):
        assert nested.facts[0][node_at(nested, start, 32)] == oracle.best(start, 32)[0]


def test_no_layers_and_empty_layers() -> None:
    for layers in ([], [Prefixes.empty(32)]):
        nested = prefix.flatten(layers, 32)
        assert nested.starts.tolist() == [0]
        assert nested.node_len.tolist() == [0]
        assert [column.tolist() for column in nested.facts] == [[0]] * len(layers)


def intervals(draw_starts: Sequence[int], bits: int) -> np.ndarray:
    return np.array(sorted({0, *draw_starts}), dtype=prefix.dtype_of(bits))


def expected_pieces(starts: Sequence[int], values: Sequence[int], bits: int) -> list[tuple[int, int, int]]:
    version, shift = (4, 0) if bits == 32 else (6, 64)
    found = []
    for at, value in enumerate(values):
        last = (int(starts[at + 1]) if at + 1 < len(starts) else 1 << bits) - 1
        first = netaddr.IPAddress(int(starts[at]) << shift, version)
        final = netaddr.IPAddress((last << shift) | ((1 << shift) - 1), version)
        found += [(net.first >> shift, net.prefixlen, value) for net in netaddr.iprange_to_cidrs(first, final)]
    return found


@settings(max_examples=examples(300), deadline=None, derandomize=True)
@given(st.sampled_from([32, 64]).flatmap(lambda bits: st.tuples(st.just(bits), st.lists(st.one_of(
    st.integers(0, (1 << bits) - 1),
    st.builds(lambda power, delta: min(max((1 << power) + delta, 0), (1 << bits) - 1),
              st.integers(0, bits), st.integers(-2, 2)),
), max_size=12))))  # fmt: skip
def test_pieces_are_the_fewest(case: tuple[int, list[int]]) -> None:
    bits, cuts = case
    starts = intervals(cuts, bits)
    values = np.arange(len(starts), dtype=np.uint32)
    pieces = prefix.cidr_pieces(starts, values, bits)
    assert list(zip(*(column.tolist() for column in pieces), strict=True)) == expected_pieces(
        starts.tolist(), values.tolist(), bits
    )
    assert prefix.piece_counts(starts, bits).tolist() == np.bincount(pieces[2], minlength=len(starts)).tolist()


def test_pieces_of_more_intervals_than_one_turn_takes() -> None:
    starts = np.arange(0, 3 << 17, 3, dtype=np.uint32)
    values = np.arange(len(starts), dtype=np.uint32)
    pieces, lens, of_piece = prefix.cidr_pieces(starts, values, 32)
    ends = pieces.astype(np.uint64) + (np.uint64(1) << (32 - lens).astype(np.uint64))
    assert (ends[:-1] == pieces[1:]).all()
    assert ends[-1] == 1 << 32
    assert (values[np.searchsorted(starts, pieces, side="right") - 1] == of_piece).all()
    assert (starts[of_piece] <= pieces).all()


@pytest.mark.parametrize("bits", [32, 64])
def test_whole_space_is_one_piece(bits: int) -> None:
    starts, lens, values = prefix.cidr_pieces(intervals([], bits), np.array([7], dtype=np.uint32), bits)
    assert (starts.tolist(), lens.tolist(), values.tolist()) == ([0], [0], [7])


def test_nothing_has_no_pieces() -> None:
    nothing = np.zeros(0, dtype=np.uint32)
    assert [len(column) for column in prefix.cidr_pieces(nothing, nothing, 32)] == [0, 0, 0]


def test_runs_join_equal_neighbours() -> None:
    starts, values = prefix.runs(np.array([0, 5, 9, 12], dtype=np.uint32), np.array([1, 1, 2, 1], dtype=np.uint32))
    assert (starts.tolist(), values.tolist()) == ([0, 9, 12], [1, 2, 1])


def pieces_of(texts: Sequence[str]) -> dict[str, int]:
    """Rows of a table that knows the given prefixes, after carving, as text → value."""
    networks = [ipaddress.ip_network(text) for text in texts]
    bits = 32 if networks[0].version == 4 else 64
    shift = 0 if bits == 32 else 64
    entries = [(int(network.network_address) >> shift, network.prefixlen) for network in networks]
    nested = prefix.flatten([prefixes_of(entries, bits)], bits)
    carved = prefix.carve(nested.starts, nested.facts[0][nested.nodes], special.blocks(bits), bits)
    family = socket.AF_INET if bits == 32 else socket.AF_INET6
    return {
        f"{socket.inet_ntop(family, (start << shift).to_bytes(bits // 32 * 4 if bits == 32 else 16))}/{length}": value
        for start, length, value in zip(*(c.tolist() for c in prefix.cidr_pieces(*carved, bits)), strict=True)
    }


def test_private_blocks_are_carved_out() -> None:
    rows = pieces_of(["0.0.0.0/0", "10.1.0.0/16", "192.168.0.0/15"])
    private = ["10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"]
    assert [row for row, value in rows.items() if value == special.PRIVATE] == private
    assert rows["192.169.0.0/16"] == 3
    assert rows["11.0.0.0/8"] == 1
    assert not any(value == 2 for value in rows.values())


def test_ipv6_blocks_are_carved_out_and_borders_kept() -> None:
    rows = pieces_of(["::/0"])
    assert {row for row, value in rows.items() if value == special.PRIVATE} == {"fc00::/7", "fe80::/10"}
    assert {row for row, value in rows.items() if value == special.TAIL} == {"::/64", "64:ff9b::/64"}
    assert rows["2002::/16"] == 1
    assert rows["2001::/32"] == 1
    assert rows["2003::/16"] == 1  # not joined with its neighbour across the border
    assert rows["2001:1::/32"] == 1
    assert rows["4000::/2"] == 1


def test_carving_nothing_joins_only() -> None:
    starts, values = np.array([0, 5], dtype=np.uint32), np.array([1, 1], dtype=np.uint32)
    assert [column.tolist() for column in prefix.carve(starts, values, (), 32)] == [[0], [1]]
