"""The draw on the compiled path, in rows made by hand: golden vectors, ties, the widest numbers, 16 edges, spreads."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from gslbtest.examples import examples
from gslbtest.packets import asks, edns, packet, subnet
from gslbtest.world import RESOLVER, World, world
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.answer import fast
from gslb.answer.engine import Engine, Identity
from gslb.policy import draw
from gslb.snapshot import layout
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.compile import in_memory
from gslb.snapshot.layout import STEERING_WIDTH
from gslb.snapshot.steering import Steering

GOLDEN = json.loads((Path(__file__).parents[1] / "policy/draw_vectors.json").read_text(encoding="utf-8"))
NAME = bytes.fromhex(GOLDEN["name"])
IDS = sorted(GOLDEN["edge_hashes"]) + [f"x{at:02d}" for at in range(11)]
HUGE = draw.MAX_RECIPROCAL


def network() -> World:
    """A service over 20 edges of one address each, the last byte of which is the edge's row."""
    edges = "".join(
        f"  {each}: {{pop: p, location: {{country: DE, lat: 1, lon: 1}}, capacity: 1Gbps, "
        f"addresses: {{v4: [203.0.113.{at}], v6: ['2001:db8::{at:x}']}}}}\n"
        for at, each in enumerate(IDS)
    )
    pool = ", ".join(f"{each}: 1" for each in IDS)
    zone = (
        "zone: live.example.\nsoa: {mname: ns1, rname: h}\nrecords: {'@': {NS: ns1.other.test.}}\n"
        f"services: {{pull: {{pool: all, affinity: [any]}}}}\npools: {{all: {{{pool}}}}}\n"
    )
    return world({"zones/edges.yaml": "edges:\n" + edges, "zones/live.yaml": zone})


class Row(NamedTuple):
    """A row of steering, of any numbers."""

    edges: Sequence[int]
    levels: Sequence[int]
    weights: Sequence[int]
    reciprocals: Sequence[int]


BASE = network()


def steered(row: Row, hashes: Sequence[int] | None = None, **service: int) -> World:
    """`BASE` with one row for everybody, other hashes of edges, and other fields of the service."""
    arrays = {name: array.copy() for name, array in BASE.catalog.arrays.items()}
    for field, value in service.items():
        arrays["service"][field] = value
    if hashes is not None:
        arrays["edge"]["hash"] = hashes
    catalog = Catalog(in_memory(arrays))
    made = {name: array.copy() for name, array in BASE.steering.arrays.items()}
    for name, values in row._asdict().items():
        section = made[name.removesuffix("s")].reshape(-1, STEERING_WIDTH)
        section[:] = 0
        section[:, : len(values)] = values
    made["count"][:] = len(row.edges)
    steering = Steering(memoryview(b"".join(layout.pack(layout.STEERING_MAGIC, catalog.generation, made))))
    identity = Identity()
    snapshot, why = fast.compiled({})
    assert snapshot is not None, why
    return World(catalog, steering, Engine(catalog, steering, identity), snapshot(catalog, steering, identity))


def drawn(net: World, question: bytes, seed: int = 0) -> list[int]:
    """The edges in a reply of the compiled path, in their order."""
    net.ask(question, draw=seed)
    reply = net.compiled.answer(question, RESOLVER, 0, seed) if net.compiled is not None else None
    assert isinstance(reply, bytes)
    assert reply[2] & 2 == 0
    size = 16 if question[len(NAME) + 13] == 1 else 28
    first = 12 + len(NAME) + 4
    return [reply[first + number * size + size - 1] for number in range(reply[7])]


@pytest.mark.parametrize("row", GOLDEN["rows"], ids=lambda row: f"{len(row['edges'])} edges")
@pytest.mark.parametrize("at", range(len(GOLDEN["seeds"])))
def test_golden_vectors(row: dict[str, Any], at: int) -> None:
    """By the seed of each client, and where it is a public one also by its subnet."""
    client, seed = GOLDEN["seeds"][at]["client"], int(GOLDEN["seeds"][at]["seed"], 16)
    family, address, hash_len = client
    made = Row(row["edges"], row["levels"], row["weights"], row["reciprocals"])
    picks = [each for each in row["picks"] if each["client"] == client]
    assert picks
    for pick in picks:
        net = steered(made, answers=pick["answers"], spread=pick["spread"], **{f"hash_len{family}": hash_len})
        assert drawn(net, packet(asks(NAME)), seed) == pick["edges"]
        if family == 4:
            packed, source = ipaddress.IPv4Address(address), 32
        else:
            packed, source = ipaddress.IPv6Address(address << 64), 64
        if packed.is_global or family == 6 or address >> 24 == 198:
            asked = edns(subnet(1 if family == 4 else 2, source, packed.packed[: source // 8]), question=asks(NAME, 28))
            assert drawn(net, asked) == pick["edges"]


def by_hand(count: int, weights: Sequence[int], reciprocals: Sequence[int], levels: Sequence[int] = ()) -> Row:
    return Row(range(count), levels or [0] * count, weights, reciprocals)


WIDEST = by_hand(STEERING_WIDTH, [2**32 - 1] * STEERING_WIDTH, [HUGE] * STEERING_WIDTH)
TABLE = [
    # what, row, answers, spread
    ("one edge of two that weigh the most", by_hand(2, [2**32 - 1, 1], [65536, HUGE]), 2, 0),
    ("sixteen edges", by_hand(16, [1] * 16, [65536] * 16), 1, 0),
    ("sixteen edges, all of them", by_hand(16, [1] * 16, [65536] * 16), 16, 0),
    ("more answers than edges", by_hand(3, [3, 2, 1], [65536, 98304, 196608]), 16, 0),
    ("the widest numbers", WIDEST, 16, 0),
    ("the widest products of a spread", WIDEST, 16, 3),
    ("a spread that caps reciprocals", by_hand(3, [1, 2**32 - 1, 7], [HUGE, HUGE - 1, HUGE]), 3, 1),
    ("a spread as wide as a level", by_hand(4, [5, 5, 5, 5], [65536] * 4, [0, 0, 1, 1]), 4, 2),
    ("a spread wider than the row", by_hand(4, [5, 6, 7, 8], [104858, 87382, 74899, 65536]), 2, 255),
    ("a spread on each of sixteen levels", by_hand(16, [9] * 16, [65536] * 16, range(16)), 16, 1),
    ("fewer edges after a spread than answers", by_hand(6, [1] * 6, [65536] * 6, [0, 0, 0, 1, 1, 1]), 5, 1),
    # 65537 × 2 / 3 is 43691.3, so with hashes alike there is a tie just where that is rounded up.
    ("a spread rounds up, no less", Row([5, 6, 3], [0, 0, 1], [2, 1, 9], [65537, 131072, 43692]), 1, 1),
    ("a spread rounds up, no more", Row([5, 6, 8], [0, 0, 1], [2, 1, 9], [65537, 131072, 43692]), 1, 1),
    ("edges not in order", Row([19, 0, 7, 3], [1, 1, 2, 2], [4, 3, 2, 1], [65536, 87382, 131072, 262144]), 4, 1),
]  # fmt: skip
HASHES = {"their own": BASE.catalog.edge_hashes, "all alike": [7] * 20, "two kinds": [7, 9] * 10}


@pytest.mark.parametrize("hashes", HASHES)
@pytest.mark.parametrize(("what", "row", "answers", "spread"), TABLE, ids=[row[0] for row in TABLE])
def test_rows(what: str, row: Row, answers: int, spread: int, hashes: str) -> None:
    held = HASHES[hashes]
    net = steered(row, held, answers=answers, spread=spread)
    for seed in (0, 1, 2**63, 2**64 - 1, 0x0123456789ABCDEF, *(draw.mix64(number) for number in range(40))):
        assert drawn(net, packet(asks(NAME)), seed) == draw.pick(*row, held, seed, answers, spread, NAME)


@pytest.mark.parametrize("hash_len", [0, 1, 63, 64])
def test_lengths_of_an_ipv6_hash(hash_len: int) -> None:
    net = steered(by_hand(16, [1] * 16, [65536] * 16), hash_len6=hash_len)
    for number in range(30):
        address = draw.mix64(number) >> 3 | 1 << 61  # a public one
        asked = edns(subnet(2, 64, address.to_bytes(8)), question=asks(NAME))
        seed = draw.seed_of(NAME, 6, address, hash_len)
        assert drawn(net, asked) == draw.pick(
            range(16), [0] * 16, [1] * 16, [65536] * 16, BASE.catalog.edge_hashes, seed, 1, 0, NAME
        )


@st.composite
def rows(draw_: Any) -> tuple[Row, list[int]]:
    """A row of 2 to 16 edges, and the hashes of all edges, some of which are alike."""
    edges = draw_(st.lists(st.integers(0, 19), min_size=2, max_size=STEERING_WIDTH, unique=True))
    numbers = st.one_of(st.sampled_from([1, 65535, 2**16, 2**32 - 1]), st.integers(1, 2**32 - 1))
    weights = draw_(st.lists(numbers, min_size=len(edges), max_size=len(edges)))
    levels = sorted(draw_(st.lists(st.integers(0, 5), min_size=len(edges), max_size=len(edges))))
    real = draw.reciprocals(np.array([weights], dtype=np.uint32))[0].tolist()
    hashes = draw_(st.lists(st.one_of(st.sampled_from([7, 9]), st.integers(0, 2**64 - 1)), min_size=20, max_size=20))
    return Row(edges, levels, weights, draw_(st.sampled_from([real, real, weights]))), hashes


@settings(derandomize=True, deadline=None, max_examples=examples(240))
@given(rows(), st.integers(1, 16), st.integers(0, 17), st.lists(st.integers(0, 2**64 - 1), min_size=4, max_size=4))
def test_any_row(made: tuple[Row, list[int]], answers: int, spread: int, seeds: list[int]) -> None:
    row, hashes = made
    net = steered(row, hashes, answers=answers, spread=spread)
    for seed in seeds:
        assert drawn(net, packet(asks(NAME)), seed) == draw.pick(*row, hashes, seed, answers, spread, NAME)
