"""The report of a benchmark run, as docs/benchmarks.md holds it."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from replay import Part


class Row(NamedTuple):
    """A server measured: CPU in µs per answered query, and the rate it reached, in queries per second."""

    title: str
    version: str
    cpu_us: float
    rate: float


def render(
    rows: Sequence[Row],
    skipped: Sequence[str],
    parts: Sequence[Part],
    bound_us: float,
    seconds: int,
    rounds: int,
    state: Sequence[str],
) -> str:
    """The page. The last row is ours; ``state`` are the lines on live state."""
    ours = rows[-1]
    verdict = "held" if ours.cpu_us <= bound_us else "MISSED"
    lines = [
        "# What a query costs",
        "",
        "Written by `make bench`; the numbers are those of one run on one machine, and say how servers compare on it.",
        "",
        f"Machine: {_processor()}, {os.cpu_count()} CPUs, Linux {platform.release()}. Load by dnsperf on CPU 0, one",
        f"worker of each server on CPU 1, loopback, UDP. Median of {rounds} runs of {seconds} s at saturation.",
        "",
        "## CPU per ECS query",
        "",
        "One name, answered from a MaxMind-format database of 158k networks by each query's Client Subnet (100,000",
        "different ones), two addresses per answer. CPU is user and system time of the server's processes, per answer.",
        "",
        "| server | version | CPU per query | rate |",
        "|---|---|---|---|",
    ]
    lines += [f"| {row.title} | {row.version} | {row.cpu_us:.1f} µs | {row.rate:,.0f} q/s |" for row in rows]
    lines += [f"| {title} | not installed | | |" for title in skipped]
    lines += [
        "",
        f"Bound for the reference path: {bound_us:.0f} µs per query. This run: {ours.cpu_us:.1f} µs: {verdict}.",
        "",
        "## Where ours goes",
        "",
        "The same queries replayed in one process, without sockets; best of three rounds. The name has one edge with",
        "two addresses per continent, as the other servers have it, so its draw has nothing to choose.",
        "",
        "| part | CPU per query |",
        "|---|---|",
    ]
    lines += [f"| {part.title} | {part.cpu_us:.1f} µs |" for part in parts]
    lines += [
        "",
        "What the first table has beyond the whole answer is sockets, the event loop, counters and the kernel.",
        "",
        *state,
        "## Not measured",
        "",
        "Latency of answers, behaviour on a network, more than one worker, TCP, static names, other mixes,",
        "reloads under load.",
        "",
        "## Again",
        "",
        "    apt-get install -y dnsperf gdnsd knot knot-module-geoip pdns-server pdns-backend-geoip",
        "    make bench",
        "",
    ]
    return "\n".join(lines)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
