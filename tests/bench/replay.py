"""What an answer costs in process: what a UDP thread does for each packet, but for the system calls.

The two sides of a ratio are run in turns, and the best round of each counts: what other processes take from the caches
only ever adds.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import mix
import reference
import work
from bounds import Result
from work import World

from gslb.answer._fast.reply import Snapshot
from gslb.answer.engine import Identity
from gslb.server import _replay, cells, native, ring
from gslb.server.native import CompiledLimiter, Meters, Served

ROUNDS = 15
RESOLVERS = 10_000
LIMIT_PER_S = 1000
SAMPLE = 100
PREFIXES = (1_000, 10_000, 100_000, 1_000_000)
NAMES = (1, 100, 10_000, 100_000)
LOOPBACK = bytes((127, 0, 0, 1))
PREFIX_CURVE, NAME_CURVE = "prefixes", "names"


class Side(NamedTuple):
    """Packets, whom they are from, what answers them, and where that is counted; ``metered`` says whether it is."""

    served: Served
    meters: Meters
    packets: Sequence[bytes]
    sources: Sequence[bytes]
    metered: bool


def measure(folder: Path) -> Result:
    """Everything that is replayed; ``folder`` holds the work of the other servers."""
    here = folder / "replay"
    data = folder / "data"
    peers = work.built(here / "one", work.zones(), data)
    asked = work.read_queries(folder / "ecs.bin")
    prefix_curve = _prefix_curve(here, side(peers, asked))
    found = {"own": prefix_curve[0], "own_million": prefix_curve[-1], "growth": prefix_curve[-1] / prefix_curve[0]}
    name_curve = _name_curve(here, data, work.read_networks(folder / "nets.csv"))
    found["names"] = name_curve[NAMES.index(10_000)] / name_curve[0]
    one, metered, logged, flood, positive = best(_others(peers, asked, work.read_networks(folder / "nets.csv")))
    found["metered"] = metered / one
    shares = mix.measure(here)
    found |= {key: share.whole for key, share in shares.items()}
    curves = {
        PREFIX_CURVE: list(zip(PREFIXES, prefix_curve[1:], strict=True)),
        NAME_CURVE: list(zip(NAMES, name_curve, strict=True)),
    }
    lines = [
        "## Own work, replayed",
        "",
        "What a UDP thread does for each query but for the system calls, in one process and without sockets: parse,",
        f"find the name, find the client, draw, write. {work.QUERIES:,} different queries; best of {ROUNDS} rounds.",
        "",
        "| | CPU per query |",
        "|---|---|",
        f"| one name, 158k networks of the other servers | {prefix_curve[0]:.0f} ns |",
        *(f"| one name, {count:,} prefixes | {ns:.0f} ns |" for count, ns in curves[PREFIX_CURVE]),
        *(f"| {count:,} names, 158k networks | {ns:.0f} ns |" for count, ns in curves[NAME_CURVE]),
        f"| from {RESOLVERS:,} resolvers, without counting | {one:.0f} ns |",
        f"| the same with counters, rate limit and one in {SAMPLE} in the query log | {metered:.0f} ns |",
        f"| the same with all in the query log | {logged:.0f} ns |",
        f"| names that do not exist, against {positive:.0f} ns for one that does | {flood:.0f} ns |",
        "",
        *mix.lines(shares),
        *reference.lines(reference.split(peers, asked)),
    ]
    return Result(found, lines, curves=curves)


def side(
    world: World, packets: Sequence[bytes], sources: Sequence[bytes] = (), *, metered: bool = False, sample: int = 0
) -> Side:
    """One side of a comparison; without ``sources`` all comes from loopback, which no limit holds.

    ``metered`` is with rate limit and counters, and with a query log where ``sample`` is not 0.
    """
    snapshot = Snapshot(world.catalog, world.steering, Identity())
    limiter = CompiledLimiter(LIMIT_PER_S, 2, 15, []) if metered else None
    served = Served(snapshot, bytes(2 * len(world.catalog.edges)), limiter, 1, 1)
    counters, log = cells.create(), ring.create(sample, cells.BLOCKS)
    meters = native.meters(cells.attach(counters), ring.attach(log), 1)
    os.close(counters)
    os.close(log)
    return Side(served, meters, packets, sources or [LOOPBACK] * len(packets), metered)


def best(sides: Sequence[Side], rounds: int = ROUNDS) -> list[float]:
    """The CPU time of each side in ns per packet: the best of some rounds, the sides in turns."""
    found = [float("inf")] * len(sides)
    for _ in range(rounds):
        for at, each in enumerate(sides):
            answered, cpu_s = _replay.replay(
                each.served, each.meters, each.packets, each.sources, 1, metered_=each.metered
            )
            assert answered == len(each.packets), f"{len(each.packets) - answered} missed"
            found[at] = min(found[at], cpu_s / answered * 1e9)
    return found


def _prefix_curve(here: Path, peers: Side) -> list[float]:
    """The cost with the other servers' networks, then with each number of `PREFIXES`."""
    nets = work.networks(max(PREFIXES))
    sides = [peers]
    for count in PREFIXES:
        data = here / f"prefixes{count}"
        (data / "data/isp").mkdir(parents=True)
        (data / "data/isp/all.csv").write_text(work.table(nets[:count]), encoding="ascii")
        sides.append(side(work.built(data, work.zones(), data / "data"), work.ecs_queries(nets[:count])))
    return best(sides)


def _name_curve(here: Path, data: Path, nets: Sequence[work.Network]) -> list[float]:
    """The cost with each number of `NAMES`, all of them asked for."""
    return best(
        [
            side(work.built(here / f"names{count}", work.zones(count), data), work.ecs_queries(nets, count))
            for count in NAMES
        ]
    )


def _others(peers: World, asked: Sequence[bytes], nets: Sequence[work.Network]) -> list[Side]:
    """From many resolvers, without and with what is counted; names that do not exist, and one that does."""
    rng = random.Random(2)
    resolvers = [rng.randbytes(4) for _ in range(RESOLVERS)]
    sources = rng.choices(resolvers, k=len(asked))
    return [
        side(peers, asked, sources),
        side(peers, asked, sources, metered=True, sample=SAMPLE),
        side(peers, asked, sources, metered=True, sample=1),
        side(peers, work.flood(nets)),
        side(peers, asked),
    ]
