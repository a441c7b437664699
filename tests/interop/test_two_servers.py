"""Two servers that read one store answer alike: started apart, one of them restarted midway, through random events."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gslbtest.asking import addresses, ask
from gslbtest.peers import redis
from gslbtest.process import SOON_S
from gslbtest.serving import Server, serving

from gslb.model.override import KIND_DRAIN, KIND_PIN, KIND_RAMP, Override, Target
from gslb.model.report import DOWN, DRAIN, UP, Report
from gslb.store.interface import Writer
from gslb.store.opening import open_writer

EDGES = [f"{pop}-{number}" for pop in ("fra", "ams", "par") for number in (1, 2)]
PLACES = {"fra": "{country: DE, region: HE, lat: 50.1, lon: 8.7}", "ams": "{country: NL, lat: 52.4, lon: 4.9}",
          "par": "{country: FR, region: IDF, lat: 48.9, lon: 2.3}"}  # fmt: skip
ZONES = {
    "edges.yaml": "health: {stale_s: 1, hold_s: 1, changing_s: 2, slow_start_s: 4}\nedges:\n"
    + "".join(
        f"  {edge}:\n    pop: {edge[:3]}\n"
        f'    addresses: {{v4: [203.0.113.{host}], v6: ["2001:db8::{host}"]}}\n'
        f"    location: {PLACES[edge[:3]]}\n    capacity: 10Gbps\n"
        for host, edge in enumerate(EDGES, 1)
    ),
    "networks.csv": "prefix,country,region\n198.51.0.0/16,DE,HE\n198.52.0.0/16,NL,\n198.53.0.0/16,FR,IDF\n",
    "live.example.yaml": (
        "zone: live.example.\nsoa: {mname: ns1, rname: hostmaster}\n"
        'records:\n  "@": {NS: [ns1]}\n  ns1: {A: 192.0.2.53}\n'
        "services:\n  pull: {pool: all, ttl: 20, affinity: [country, any]}\n"
        '  "*.pull": {like: pull, spread: 1}\n'
        f"pools:\n  all: {{{', '.join(f'{edge}: {10 * host}' for host, edge in enumerate(EDGES, 1))}}}\n"
    ),
}
QUESTIONS = [
    (name, rtype, f"198.{51 + country}.{third}.0/24")
    for name in ("pull.live.example.", "match-7.pull.live.example.")
    for rtype in ("A", "AAAA")
    for country in range(3)
    for third in range(0, 256, 32)
]
CHECKS = 8
"""How often the servers are compared; between, a dozen events."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[str]:
    """A real Redis; its URL."""
    with redis(tmp_path / "redis") as port:
        yield f"redis://127.0.0.1:{port}/0"


class Events:
    """Random reports and overrides of a network, from a seed."""

    def __init__(self, writer: Writer) -> None:
        self.chance = random.Random(20)
        self.writer = writer
        self.seq = 0
        self.silent: set[str] = set()

    async def some(self) -> None:
        for _ in range(12):
            match self.chance.randrange(6):
                case 0:
                    await self._override()
                case 1:
                    self.silent ^= {self.chance.choice(EDGES)}
                case _:
                    await self._reports()
            await asyncio.sleep(0.05)

    async def _reports(self) -> None:
        for edge in EDGES:
            if edge in self.silent:
                continue
            self.seq += 1
            words = self.chance.choices((UP, DOWN, DRAIN), (6, 1, 1), k=2)
            load_bps = self.chance.choice((0, 4, 9)) * 10**9
            outcome = await self.writer.report(Report(edge, 1, self.seq, 0, 0, *words, load_bps, 10**10))
            assert outcome.accepted, outcome.reason

    async def _override(self) -> None:
        now_s = self.writer.clock_ms // 1000
        kind = self.chance.choice((KIND_DRAIN, KIND_RAMP, KIND_PIN))
        from_s = now_s + self.chance.choice((-5, 0, 1))
        until_s = max(now_s, from_s) + self.chance.randrange(1, 6)
        self.seq += 1
        name = f"{kind}-{self.chance.randrange(3)}"
        if kind == KIND_PIN:
            target, edges = Target(service="pull.live.example.", view="NL||"), (self.chance.choice(EDGES),)
        else:
            target, edges = self.chance.choice((Target(edge=self.chance.choice(EDGES)), Target(pop="ams"))), ()
        over_s = 0 if kind == KIND_PIN else self.chance.choice((0, 3))
        order = Override(name, kind, target, from_s, until_s, over_s, 250, edges, "me", "a test")
        assert (await self.writer.override(order)).accepted


def answers(server: Server) -> list[tuple[list[str], int]]:
    """The addresses and the TTL of each question's answer."""
    found = []
    for name, rtype, subnet in QUESTIONS:
        message = ask(server.port, name, rtype, subnet=subnet)
        found.append((addresses(message), message.answer[0].ttl))
    return found


def agree(one: Server, other: Server) -> list[tuple[list[str], int]]:
    """What both answer. The state may move on between two readings, so that it may take some tries."""
    until = time.monotonic() + SOON_S
    while True:
        before, between, after = answers(one), answers(other), answers(one)
        if before == after == between:
            return before
        assert time.monotonic() < until, [
            row for row in zip(QUESTIONS, after, between, strict=True) if row[1] != row[2]
        ]


async def test_two_servers_on_one_store(tmp_path: Path, store: str) -> None:
    writer = open_writer(store)
    events = Events(writer)
    arguments = ["--store", store]
    seen = []
    try:
        with serving(tmp_path / "one", zones=ZONES, arguments=arguments) as one:
            await events.some()
            for turn in range(CHECKS):
                # The second server is a new process each other time, and has the state directory of the one before.
                if turn % 2 == 0:
                    other = serving(tmp_path / "other", zones=ZONES, arguments=arguments)
                    server = other.__enter__()
                    events.silent.clear()
                try:
                    await events.some()
                    seen.append(await asyncio.to_thread(agree, one, server))
                finally:
                    if turn % 2:
                        other.__exit__(None, None, None)
    finally:
        await writer.close()
    distinct = {tuple(tuple(row[0]) for row in each) for each in seen}
    assert len(distinct) > CHECKS // 2, "the events did move the answers"
