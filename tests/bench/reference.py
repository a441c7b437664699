"""Where the reference path's CPU goes: the parts of an answer, each run over the same queries in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from work import World

from gslb.answer import service as steered
from gslb.answer.engine import Engine, Identity, Trace
from gslb.answer.lookup import find_name
from gslb.wire.query import Query, parse

QUERIES = 20_000
ROUNDS = 3
SOURCE = bytes([127, 0, 0, 1])


class Part(NamedTuple):
    """One part of the work and its CPU time per query, in µs."""

    title: str
    cpu_us: float


def split(world: World, packets: Sequence[bytes]) -> list[Part]:
    """Parse, lookup, draw, encode and the whole, best of a few rounds; encode is what the others leave of the whole.

    The benchmark's name has one edge per continent: its draw has nothing to choose. The last part is a draw that has.
    """
    catalog, steering = world
    engine = Engine(catalog, steering, Identity())
    packets = packets[:QUERIES]
    queries = [query for query in map(parse, packets) if isinstance(query, Query)]
    assert len(queries) == len(packets)
    entry = catalog.names[find_name(catalog, queries[0].lower, 1)[1]]
    service = catalog.services[entry.service]
    clients = [steered.locate(catalog, service, each.lower, each.ecs, SOURCE, 0) for each in queries]

    def look(query: Query) -> None:
        find_name(catalog, query.lower, query.qtype)
        steered.locate(catalog, service, query.lower, query.ecs, SOURCE, 0)

    def draw(pair: tuple[Query, Any]) -> None:
        steered.choose(catalog, steering, entry.service, pair[0].lower, pair[1].cls, pair[1].seed, False)

    five = catalog.names[catalog.find(b"\x05drawn" + queries[0].lower[5:])].service
    chosen_from = [steered.locate(catalog, catalog.services[five], each.lower, each.ecs, SOURCE, 0) for each in queries]

    def draw_of_five(pair: tuple[Query, Any]) -> None:
        steered.choose(catalog, steering, five, pair[0].lower, pair[1].cls, pair[1].seed, False)

    def reply(packet: bytes) -> None:
        engine.reply(packet, SOURCE, now_s=0, draw=0, tcp=False, trace=Trace())

    parts = [
        Part("parse", _cpu_us(parse, packets)),
        Part("lookup", _cpu_us(look, queries)),
        Part("draw", _cpu_us(draw, list(zip(queries, clients, strict=True)))),
    ]
    whole = _cpu_us(reply, packets)
    rest = whole - sum(part.cpu_us for part in parts)
    more = _cpu_us(draw_of_five, list(zip(queries, chosen_from, strict=True)))
    return [
        *parts,
        Part("encode and the rest", rest),
        Part("the whole answer", whole),
        Part("for comparison: a draw among five edges", more),
    ]


def lines(parts: Sequence[Part]) -> list[str]:
    """The split as docs/benchmarks.md holds it."""
    return [
        "### The reference path, by parts",
        "",
        "The same queries, best of three rounds. The name has one edge with two addresses per continent, as the other",
        "servers have it, so its draw has nothing to choose.",
        "",
        "| part | CPU per query |",
        "|---|---|",
        *(f"| {part.title} | {part.cpu_us:.1f} µs |" for part in parts),
        "",
    ]


def _cpu_us(work: Callable[[Any], object], items: Iterable[Any]) -> float:
    items = list(items)
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.process_time()
        for item in items:
            work(item)
        best = min(best, time.process_time() - begin)
    return best / len(items) * 1e6
