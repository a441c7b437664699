"""Steering swaps under load: reports change steering as often as it can change, and no query may notice."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import statistics
import urllib.request
from pathlib import Path
from typing import NamedTuple

import driving
import latency
import steady
from bounds import Result
from gslbtest.peers import redis
from gslbtest.serving import Server, serving
from steady import Steady

from gslb.model.report import Report
from gslb.store.opening import open_writer

ROUNDS = 7
SECONDS = 3
REPORTS_PER_S = 40
BEFORE_S = 1.0


class Pair(NamedTuple):
    """A round without swaps and one with them, and how many there were a second.

    ``waited`` is the part of the time that the thread which answers was ready and had no CPU, in each of the two.
    """

    quiet: Steady
    swapping: Steady
    swaps_per_s: float
    waited: tuple[float, float]


def measure(folder: Path) -> Result:
    """Rounds without and with swaps in turns; ``folder`` holds the work of the other servers."""
    with redis(folder / "swap-redis") as redis_port:
        url = f"redis://127.0.0.1:{redis_port}/0"
        with serving(
            folder / "swap", zones=latency.zones(), data=folder / "data", arguments=["--store", url]
        ) as server:
            queries = folder / "ecs.bin"
            steady.asked(server.port, queries, BEFORE_S, folder)
            pairs = [asyncio.run(_round(url, server, queries, folder)) for _ in range(ROUNDS)]
    ratio = statistics.median(pair.swapping.p99_us / pair.quiet.p99_us for pair in pairs)
    return Result({"swap_lost": sum(pair.swapping.lost for pair in pairs), "swap_p99": ratio}, _lines(pairs))


async def _round(url: str, server: Server, queries: Path, folder: Path) -> Pair:
    pid, port, admin = server.process.pid, server.port, server.admin
    waited = [driving.waited_ns(pid)]
    quiet = await asyncio.to_thread(steady.asked, port, queries, SECONDS, folder)
    waited.append(driving.waited_ns(pid))
    reporting = asyncio.ensure_future(_report(url))
    await asyncio.sleep(BEFORE_S)
    before = await asyncio.to_thread(_swaps, admin)
    waited.append(driving.waited_ns(pid))
    begun = asyncio.get_running_loop().time()
    swapping = await asyncio.to_thread(steady.asked, port, queries, SECONDS, folder)
    waited.append(driving.waited_ns(pid))
    seconds = asyncio.get_running_loop().time() - begun
    swaps = await asyncio.to_thread(_swaps, admin) - before
    reporting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reporting
    await asyncio.sleep(BEFORE_S)
    parts = ((waited[1] - waited[0]) / 1e9 / SECONDS, (waited[3] - waited[2]) / 1e9 / SECONDS)
    return Pair(quiet, swapping, swaps / seconds, parts)


async def _report(url: str) -> None:
    """The reports of all edges, their loads changing."""
    writer = open_writer(url)
    rng = random.Random(13)
    epoch = (await writer.latest("edge-0") or Report("edge-0", 0, 0, 0)).epoch + 1
    seq = 0
    try:
        while True:
            seq += 1
            for number in range(latency.EDGES):
                load_bps = round(rng.uniform(25e9, 38e9))
                report = Report(f"edge-{number}", epoch, seq, 0, load_bps=load_bps, capacity_bps=40_000_000_000)
                outcome = await writer.report(report)
                assert outcome.accepted, outcome.reason
                await asyncio.sleep(1 / REPORTS_PER_S)
    finally:
        await writer.close()


def _swaps(admin: int) -> float:
    """How many steering snapshots were made so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics") as reply:
        text = reply.read().decode()
    found = re.search(r"^gslb_steering_builds_total (\S+)", text, re.MULTILINE)
    assert found, "no metric tells of steering"
    return float(found[1])


def _lines(pairs: list[Pair]) -> list[str]:
    quiet, swapping = [pair.quiet for pair in pairs], [pair.swapping for pair in pairs]
    rows = [
        (title, sum(each.sent for each in runs), sum(each.lost for each in runs),
         *(statistics.median(getattr(each, name) for each in runs) / 1000 for name in ("p50_us", "p99_us", "p999_us")),
         100 * statistics.median(pair.waited[at] for pair in pairs))
        for at, (title, runs) in enumerate((("quiet", quiet), ("swapping", swapping)))
    ]  # fmt: skip
    return [
        "## Steering swaps under load",
        "",
        f"{driving.STEADY:,} queries a second; {len(pairs)} rounds of {SECONDS} s without and with reports that change"
        " steering:",
        f"{statistics.median(pair.swaps_per_s for pair in pairs):.1f} swaps a second. Server, load, Redis and the edges"
        " that report share the two CPUs.",
        "",
        "| | sent | lost | median | 99 % within | 99.9 % within | without a CPU |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {title} | {sent:,} | {lost:,} | {p50:.2f} ms | {p99:.2f} ms | {p999:.2f} ms | {waited:.1f} % |"
            for title, sent, lost, p50, p99, p999, waited in rows
        ),
        "",
        "The last column: the part of the time in which the thread that answers was ready and other work had its CPU.",
        "",
    ]
