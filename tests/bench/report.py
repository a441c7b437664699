"""The page of a benchmark run, as docs/benchmarks.md holds it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import bounds
import driving
from bounds import Result

from gslb import __version__


def render(results: Sequence[Result], profiles: Sequence[str]) -> str:
    """The page: ``profiles`` are lines that show why bounds were missed."""
    found = [
        "# What a query costs",
        "",
        "Written by `make bench`; the numbers are those of one run on one machine, and say how servers compare on it.",
        "",
        f"Machine: {_processor()}, {os.cpu_count()} CPUs, Linux {platform.release()}.",
        f"Where nothing else is said, the load runs on CPU {driving.LOAD_CPU} and one worker of each server on CPU"
        f" {driving.SERVER_CPU}; loopback, UDP.",
        "CPU is user and system time of all processes of a server, per answer.",
        "",
        "## Bounds",
        "",
        *bounds.lines(results),
        "",
    ]
    for result in results:
        found += result.lines
    found += [
        *profiles,
        "## Versions",
        "",
        "| | |",
        "|---|---|",
        f"| gslb | {__version__}, Python {sys.version.split()[0]} |",
        *(f"| {title} | {version} |" for title, version in _versions()),
        "",
        "## Not measured",
        "",
        "A network: all of this is loopback, where the kernel does the work of sender and receiver alike. More than",
        "two CPUs, TCP, IPv6 sockets, wildcard addresses (PKTINFO), cookies through sockets, latency at saturation,",
        "and reloads at saturation.",
        "",
        "## Again",
        "",
        "    apt-get install -y dnsperf gdnsd knot knot-module-geoip pdns-server pdns-backend-geoip nsd",
        "    apt-get install -y redis-server gcc libc6-dev linux-perf",
        "    make bench",
        "",
        f"The load of the sockets is this, with `-Q {driving.STEADY}` where a rate is said:",
        "",
        f"    {' '.join(driving.command('PORT', 'FILE', driving.FULL, driving.SECONDS))}",
        "",
    ]
    return "\n".join(found)


BEGIN, END = "<!-- numbers: written by make bench -->\n", "<!-- end of numbers -->\n"


def numbers(results: Sequence[Result]) -> str:
    """What stands between `BEGIN` and `END` in docs/dispatch.md and docs/querylog.md."""
    found = [
        f"One run of `make bench` on {_processor()}, {os.cpu_count()} CPUs, Python {sys.version.split()[0]}.",
        "",
        *bounds.lines(results),
        "",
    ]
    for result in results:
        found += result.lines
    return "\n".join(found)


def put(page: str, text: str) -> str:
    """A page with ``text`` in the place that is kept for numbers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{text}{END}{after}"


def _versions() -> list[tuple[str, str]]:
    found = [(driving.TITLES[key], driving.version(key)) for key in driving.installed(driving.TITLES)]
    found += [("dnsperf", driving.version_of(["dnsperf", "-h"])), ("Redis", driving.version_of(["redis-server", "-v"]))]
    compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=False).stdout
    return [*found, ("C compiler", compiler.partition("\n")[0])]


def _processor() -> str:
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()
