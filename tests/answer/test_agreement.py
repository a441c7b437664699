"""Servers agree with each other, A agrees with AAAA, and fences hold: over many clients, through the engine."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys

import pytest
from gslbtest import network
from gslbtest.packets import asks, edns, subnet
from gslbtest.reading import read
from gslbtest.world import World, world

from gslb.model.report import Report, StoreState

NAMES = [b"\x04pull", b"\x04only", b"\x06fenced", b"\x03six", b"\x05paris", b"\x04both", b"\x01s\x04pull"]


def clients(count: int, seed: int) -> list[bytes]:
    """Client subnets, IPv4 /24 and IPv6 /48, near the network's facts and far from them."""
    rng = random.Random(seed)
    fours = [
        rng.choice((b"\xc6\x33", b"\x64" + rng.randbytes(1), rng.randbytes(2))) + rng.randbytes(1) for _ in range(count)
    ]
    sixes = [b"\x20\x01\x0d\xb8\0" + bytes((rng.randrange(4),)) for _ in range(count // 4)]
    return [subnet(1, 24, four) for four in fours] + [subnet(2, 48, six) for six in sixes]


def reply(net: World, name: bytes, qtype: int, option: bytes) -> bytes:
    found = net.ask(edns(option, question=asks(name + b"\x04live\x07example\0", qtype)))
    assert found is not None
    return found


def digest() -> str:
    """One hash over many replies, A and AAAA, in a state with an edge nearly full."""
    full = Report("ber-2", 1, 1, 5000, load_bps=9 * 10**9)
    net = world(network.ZONES, network.TABLES, state=StoreState(5000, {"ber-2": full}, {"ber-2": 5000}))
    total = hashlib.sha256()
    for option in clients(300, 5):
        for name in NAMES:
            total.update(reply(net, name, 1, option) + reply(net, name, 28, option))
    return total.hexdigest()


@pytest.mark.no_cover
def test_two_processes_give_the_same_answers() -> None:
    """Whatever the interpreter's own hashing is seeded with."""
    script = "from importlib import util; import sys\n" \
        f"spec = util.spec_from_file_location('agreement', {__file__!r})\n" \
        "module = util.module_from_spec(spec); spec.loader.exec_module(module); print(module.digest())"  # fmt: skip
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {digest()}


def edges_of(net: World, answer: bytes, is_v6: bool) -> list[int]:
    """The edge rows whose addresses stand in a reply."""
    size = 28 if is_v6 else 16
    found = []
    for row, edge in enumerate(net.catalog.edges):
        at, count = (edge.rr6, edge.rr6_count) if is_v6 else (edge.rr4, edge.rr4_count)
        records = [
            bytes(net.catalog.blob[at + number * size + 12 : at + (number + 1) * size]) for number in range(count)
        ]
        if any(record in answer for record in records):
            found.append(row)
    return found


@pytest.mark.parametrize("name", [b"\x04pull", b"\x04both", b"\x01s\x04pull"])
def test_a_and_aaaa_agree_where_the_edge_serves_both(net: World, name: bytes) -> None:
    for option in clients(200, 6):
        fours = edges_of(net, reply(net, name, 1, option), is_v6=False)
        sixes = edges_of(net, reply(net, name, 28, option), is_v6=True)
        for four, six in zip(fours, sixes, strict=True):
            assert four == six or not net.catalog.edges[four].rr6_count or not net.catalog.edges[six].rr4_count


@pytest.mark.no_cover
def test_scope_is_the_same_for_a_and_aaaa_and_in_every_state(net: World) -> None:
    reports = {
        edge: Report(edge, 1, 1, 5000, health4=health, health6="down") for edge, health in
        (("ber-1", "down"), ("ber-2", "drain"), ("nyc-1", "up"))
    }  # fmt: skip
    other = net.steered(StoreState(5000, reports, dict.fromkeys(reports, 5000)), 5000)
    for option in clients(100, 7):
        for name in NAMES:
            replies = [reply(each, name, qtype, option) for each in (net, other) for qtype in (1, 28)]
            scopes = {line for each in replies for line in read(each) if line.startswith("ecs ")}
            assert len(scopes) == 1


def test_nothing_outside_a_fence_in_any_state(net: World) -> None:
    """An edge fenced to US is never given to a client whose country is another or unknown."""
    down = {
        edge: Report(edge, 1, 1, 5000, health4="down", health6="down")
        for edge in net.catalog.edge_ids
        if edge != "nyc-1"
    }
    fenced = net.catalog.edge_ids.index("nyc-1")
    for state in (StoreState(), StoreState(5000, down, dict.fromkeys(down, 5000))):
        steered = net.steered(state, 5000)
        for option in clients(150, 8):
            view = option[4:6] == b"\0\1" and option[8:9] == b"\x64"
            for name in (b"\x04pull", b"\x06fenced"):
                given = edges_of(steered, reply(steered, name, 1, option), is_v6=False)
                assert view or fenced not in given
