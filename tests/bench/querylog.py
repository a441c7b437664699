"""The query log on disk: what is lost of it at a steady rate, what writing a row costs, and what it costs to answer.

One in one is logged. The process that writes and the worker share the servers' CPU.
"""

from __future__ import annotations

import contextlib
import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import driving
import replay
import work
from bounds import Result
from driving import Server
from gslbtest.process import SOON_S
from gslbtest.serving import serving

from gslb.store import querylog

RATE = 20_000
SECONDS = 40
"""Of the run that is looked at for losses: more than two segments."""
ANSWERED = r'replies_total\{.*rcode="NOERROR".*\}'
WRITER, WORKER = "gslb.server.querylog.process", "gslb.server.worker"


def measure(folder: Path) -> Result:
    """The losses and the cost of both sides; ``folder`` holds the work of the other servers."""
    queries, log = folder / "ecs.bin", folder / "logged/log"
    with _server(folder / "logged", folder / "data", ["--query-log-dir", str(log)]) as (logged, admin):
        writer = _process(logged.pid, WRITER)
        driving.drive(logged, queries, RATE, 1)
        rows, spent_ns, begun = -_written(log, admin), -driving.cpu_ns(writer), time.monotonic()
        driving.drive(logged, queries, RATE, SECONDS)
        busy = (driving.cpu_ns(writer) + spent_ns) / 1e9 / (time.monotonic() - begun)
        rows += _written(log, admin)
        row_us = (driving.cpu_ns(writer) + spent_ns) / 1000 / rows
        answered, written = _metric(admin, ANSWERED), _written(log, admin)
        segments = list((log / querylog.QUERIES).iterdir())
        size, memory_mb = sum(each.stat().st_size for each in segments) / written, _memory_mb(writer)
        with _server(folder / "unlogged", folder / "data", []) as (unlogged, _):
            pair = {
                name: Server(name, server.port, _process(server.pid, WORKER))
                for name, server in (("logged", logged), ("unlogged", unlogged))
            }
            drives = {load: driving.paired(pair, queries, load) for load in (RATE, driving.FULL)}
        _written(log, admin)
        overrun = _metric(admin, r"query_log_lost_total\{.*\}") / _metric(admin, ANSWERED)
    producer = driving.ratio(drives[RATE], "logged", "unlogged")
    full = driving.ratio(drives[driving.FULL], "logged", "unlogged")
    bare, counted, all_logged = _replayed(folder)
    found = {"log_lost": answered - written, "log_row": row_us, "log_producer": producer}
    lines = [
        "### The query log, 1:1",
        "",
        f"{RATE:,} questions a second for {SECONDS} s, each with a Client Subnet, of 158k networks; the process that",
        "writes, the worker and the control process share a CPU. Its cost is all that it does: reading the rings 20",
        "times a second, looking up views, compressing, writing.",
        "",
        "| | |",
        "|---|---|",
        f"| answered, warming up included | {answered:,} |",
        f"| records in segments | {written:,} |",
        f"| segments | {len(segments)} |",
        f"| bytes a record | {size:.1f} |",
        f"| CPU of the process that writes, a record | {row_us:.2f} µs |",
        f"| the same, of one CPU | {busy:.1%} |",
        f"| lost, by all that was asked at saturation too | {overrun:.2%} |",
        f"| its memory, buffers among it | {memory_mb:.0f} MB |",
        "",
        "What logging costs those who answer: user and system time of the worker, through sockets, with the log",
        f"against without, paired, medians of {driving.ROUNDS} rounds; and in process, without sockets.",
        "",
        "| | without | with | |",
        "|---|---|---|---|",
        *(
            f"| {title} | {driving.median_us(drives[load]['unlogged']):.2f} µs"
            f" | {driving.median_us(drives[load]['logged']):.2f} µs | {ratio:.3f} × |"
            for title, load, ratio in ((f"at {RATE:,} q/s", RATE, producer), ("at saturation", driving.FULL, full))
        ),
        f"| own work alone, replayed | {bare:.0f} ns | {all_logged:.0f} ns | {all_logged / bare:.3f} × |",
        f"| of that, counters and rate limit | {bare:.0f} ns | {counted:.0f} ns | {counted / bare:.3f} × |",
        "",
    ]
    return Result(found, lines)


@contextlib.contextmanager
def _server(folder: Path, data: Path, arguments: list[str]) -> Iterator[tuple[Server, int]]:
    """Our own server on the servers' CPU, and its admin port."""
    served = serving(folder, zones=work.zones(), data=data, arguments=arguments)
    with driving.pinned_to({driving.SERVER_CPU}) as release, served as server:
        release()
        yield Server("gslb", server.port, server.process.pid), server.admin


def _process(pid: int, module: str) -> int:
    """The child of a server that runs a module."""
    (found,) = (each for each in driving.family(pid) if module in Path(f"/proc/{each}/cmdline").read_text("ascii"))
    return found


def _written(log: Path, admin: int) -> int:
    """How many records are in segments, once none waits."""
    until = time.monotonic() + SOON_S
    while _metric(admin, "query_log_waiting"):
        assert time.monotonic() < until, "records wait for ever"
        time.sleep(0.2)
    return sum(segment.rows for segment in querylog.segments(log, querylog.names(log)))


def _metric(admin: int, pattern: str) -> int:
    """The sum of the samples whose names are like a pattern."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics") as reply:
        text = reply.read().decode()
    return round(sum(map(float, re.findall(rf"^gslb_{pattern} (\S+)", text, re.MULTILINE))))


def _memory_mb(pid: int) -> float:
    """Proportional set size: what is shared with others counts in part."""
    found = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text("ascii"), re.MULTILINE)
    return int(found[1]) / 1000 if found else 0.0


def _replayed(folder: Path) -> list[float]:
    """Own work per query in ns: bare, with counters and rate limit, with all of it logged."""
    world = work.built(folder / "log-replay", work.zones(), folder / "data")
    asked = work.read_queries(folder / "ecs.bin")
    counted = [replay.side(world, asked, metered=True, sample=sample) for sample in (0, 1)]
    return replay.best([replay.side(world, asked), *counted])
