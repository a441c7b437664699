"""How long a report takes to change an answer: written to a real Redis, seen over UDP, while queries and reports flow.

One edge of two is told to be down and up again, at moments without a pattern; a client asks every millisecond which of
the two it gets. Meanwhile dnsperf asks as much as it can, and the other edges report. Then it falls silent instead,
again and again: how long after stale + hold is it gone?
"""

from __future__ import annotations

import asyncio
import random
import socket
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import dns.edns
import dns.message
from bounds import Result
from gslbtest.peers import redis
from gslbtest.serving import serving

from gslb.model.report import DOWN, UP, Report
from gslb.store.opening import open_writer

ROUNDS = 300
SILENCES = 10
STALE_S, HOLD_S = 1, 1
REPORTS_PER_S = 200
EDGES = 40
LOST_S = 5.0
SETTLE_S = 0.05


class Latency(NamedTuple):
    """Times in ms from the write of a report to the first changed answer."""

    rounds: int
    median_ms: float
    p99_ms: float
    worst_ms: float
    gone_ms: float  # the longest of the times beyond stale + hold until a silent edge was answered no more


def measure(folder: Path) -> Result:
    """Run it; ``folder`` holds the work of the other servers."""
    found = _measured(folder)
    return Result({"report": found.p99_ms, "gone": found.gone_ms}, _lines(found))


def _measured(folder: Path) -> Latency:
    with redis(folder / "redis") as port:
        url = f"redis://127.0.0.1:{port}/0"
        with serving(folder / "latency", zones=zones(), data=folder / "data", arguments=["--store", url]) as server:
            line = ["dnsperf", "-B", "-s", "127.0.0.1", "-p", str(server.port), "-d", str(folder / "ecs.bin")]
            line += ["-l", "600", "-c", "4", "-q", "400", "-t", "1"]
            load = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                found = asyncio.run(_rounds(url, server.port))
            finally:
                load.terminate()
                load.wait()
    told, gone = found
    told.sort()
    return Latency(len(told), told[len(told) // 2], told[len(told) * 99 // 100], told[-1], max(gone))


async def _rounds(url: str, port: int) -> tuple[list[float], list[float]]:
    """The times in ms of each change that was told, and of each silence beyond stale + hold."""
    writer = open_writer(url)
    others = asyncio.ensure_future(_others(url))
    chance = random.Random(7)
    seq = {"one": 0, "two": 0}
    found: list[float] = []
    gone: list[float] = []

    async def tell(edge: str, health: str, valid_ms: int = 3_600_000) -> None:
        seq[edge] += 1
        outcome = await writer.report(Report(edge, 1, seq[edge], 0, health4=health, valid_ms=valid_ms))
        assert outcome.accepted, outcome.reason

    async def until(wanted: bool, begun: float) -> float:
        """Until the preferred edge is answered, or no more; the ms since ``begun``."""
        while (await _answer(sock) == preferred) is not wanted:
            assert time.perf_counter() < begun + LOST_S, "the answer never changed"
            await asyncio.sleep(0.001)
        return (time.perf_counter() - begun) * 1000

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(("127.0.0.1", port))
        for edge in seq:
            await tell(edge, UP)
        await asyncio.sleep(1)
        preferred = await _answer(sock)
        for turn in range(ROUNDS):
            begun = time.perf_counter()
            await tell(preferred, DOWN if turn % 2 == 0 else UP)
            found.append(await until(turn % 2 == 1, begun))
            await asyncio.sleep(SETTLE_S + chance.random() * 0.2)
        for _ in range(SILENCES):
            await tell(preferred, UP, valid_ms=0)
            begun = time.perf_counter()
            await until(True, begun)
            gone.append(await until(False, begun) - (STALE_S + HOLD_S) * 1000)
    others.cancel()
    await asyncio.gather(others, return_exceptions=True)
    await writer.close()
    return found, gone


async def _others(url: str) -> None:
    """The other edges' reports, each about once a second and at different moments."""
    writer = open_writer(url)
    chance = random.Random(11)
    names = [f"edge-{number}" for number in range(EDGES)]
    seq = 0
    while True:
        seq += 1
        for name in names:
            load_bps = round(chance.uniform(1e9, 30e9))
            await writer.report(Report(name, 1, seq, 0, load_bps=load_bps, capacity_bps=40_000_000_000))
            await asyncio.sleep(1 / REPORTS_PER_S)


async def _answer(sock: socket.socket) -> str:
    """Which of the two edges the client gets."""
    loop = asyncio.get_running_loop()
    query = dns.message.make_query("probe.example.test.", "A")
    query.use_edns(0, options=[dns.edns.ECSOption("8.8.8.0", 24)])
    await loop.sock_sendall(sock, query.to_wire())
    async with asyncio.timeout(LOST_S):
        reply = dns.message.from_wire(await loop.sock_recv(sock, 2000))
    return {"192.0.2.1": "one", "192.0.2.2": "two"}[reply.answer[0][0].to_text()]


def zones() -> dict[str, str]:
    """A zone of many edges: ``live`` has all but two, ``probe`` these two."""
    place = "location: {country: DE, region: HE, lat: 50.1, lon: 8.7}\n    capacity: 40Gbps\n"
    names = ["one", "two", *(f"edge-{number}" for number in range(EDGES))]
    edges = "".join(
        f"  {name}:\n    pop: fra\n    addresses: {{v4: [192.0.2.{host}]}}\n    {place}"
        for host, name in enumerate(names, 1)
    )
    pool = ", ".join(f"{name}: 1" for name in names[2:])
    zone = (
        "zone: example.test.\nsoa: {mname: ns1, rname: hostmaster}\n"
        'records:\n  "@": {NS: [ns1]}\n  ns1: {A: 192.0.2.53}\n'
        "services:\n  live: {pool: all, ttl: 30, affinity: [continent, any]}\n"
        "  probe: {pool: both, ttl: 30, affinity: [any]}\n"
        f"pools:\n  all: {{{pool}}}\n  both: {{one: 1, two: 1}}\n"
    )
    rules = f"{{stale_s: {STALE_S}, hold_s: {HOLD_S}, slow_start_s: 0}}"
    return {"example.test.yaml": zone, "edges.yaml": f"health: {rules}\nedges:\n{edges}"}


def _lines(found: Latency) -> list[str]:
    return [
        "## From a report to a changed answer",
        "",
        "A report written to Redis says that an edge is down, or up again; a client asks over UDP every millisecond.",
        f"All on this machine, with dnsperf asking as much as it can and {REPORTS_PER_S} reports a second besides;",
        f"{found.rounds} changes.",
        "",
        "| | |",
        "|---|---|",
        f"| median | {found.median_ms:.0f} ms |",
        f"| 99 % within | {found.p99_ms:.0f} ms |",
        f"| slowest | {found.worst_ms:.0f} ms |",
        "",
        "An edge that falls silent is gone when the next entry after `stale_s` + `hold_s` is there. The slowest of"
        f" {SILENCES}",
        f"was answered no more {found.gone_ms:.0f} ms after that.",
        "",
    ]
