"""Where the time goes, by perf's software clock: for the page of a run that missed a bound."""

from __future__ import annotations

import io
import os
import pstats
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import driving
import replay
import sockets
import work
from bounds import Bound

SECONDS = 3
SHOWN = 14
REPLAYED = frozenset(("own", "own_million", "growth", "names", "metered"))
SOCKETS = frozenset(("peer_rate", "peer_full", "echo", "pdns", "nsd", "flood", "workers"))
BUILT = frozenset(("reload", "reload_lost", "peak"))
"""Bounds that these profiles explain: of work in process, of work that has the kernel in it, of a build."""


def measure(folder: Path, missed: list[Bound]) -> list[str]:
    """The profiles that show why these bounds were missed, as lines of the page; nothing where there are none."""
    keys = {bound.key for bound in missed}
    if not keys & (REPLAYED | SOCKETS | BUILT):
        return []
    lines = ["## Profiles of what was missed", ""]
    if keys & BUILT:
        lines += _built(folder)
    if not shutil.which("perf"):
        return [*lines, "perf is not installed.", ""]
    queries = folder / "ecs.bin"

    def driven(server: driving.Server) -> None:
        begin = threading.Thread(target=driving.drive, args=(server, queries, driving.FULL, SECONDS + 1))
        begin.start()
        lines.extend(_profile(folder, f"{server.title}, ECS queries at saturation", driving.family(server.pid)))
        begin.join()

    if keys & SOCKETS:
        with driving.echo(folder) as floor:
            driven(floor)
        with driving.peers(folder, driving.installed(sockets.RIVALS)) as servers:
            for peer in servers.values():
                driven(peer)
        with driving.ours(folder / "profiled", folder / "data", "gslb, compiled path") as server:
            driven(server)
    if keys & REPLAYED:
        world = work.built(folder / "replayed", work.zones(), folder / "data")
        asked = replay.side(world, work.read_queries(queries))
        ended = threading.Event()
        busy = threading.Thread(target=lambda: [replay.best([asked], 1) for _ in iter(ended.is_set, True)])
        busy.start()
        lines += _profile(folder, "gslb, replayed", [os.getpid()])
        ended.set()
        busy.join()
    return lines


def _built(folder: Path) -> list[str]:
    """Where the build of the big network goes, by functions with all that they call."""
    state, record = folder / "reload/state", folder / "build.profile"
    state.mkdir()
    arguments = [str(folder / "reload/zones"), str(folder / "reload/data"), str(state)]
    subprocess.run([sys.executable, "-m", "cProfile", "-o", str(record), "-m", "gslb.server.build", *arguments],
                   check=True, stdout=subprocess.DEVNULL)  # fmt: skip
    said = io.StringIO()
    pstats.Stats(str(record), stream=said).sort_stats("cumtime").print_stats("gslb/")
    rows = [row.split(maxsplit=5) for row in said.getvalue().splitlines() if re.search(r"gslb/\w+/\w+\.py:", row)]
    return [
        "The build of the big network by cProfile, seconds with all that is called; it slows the build down:",
        "",
        *(f"    {float(row[3]):6.2f}  {row[5].rpartition('gslb/')[2]}" for row in rows[:SHOWN]),
        "",
    ]


def _profile(folder: Path, title: str, pids: Sequence[int]) -> list[str]:
    """What these processes do for the next seconds, as lines of the page."""
    record = folder / "perf.data"
    line = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "1999", "-o", str(record), "-p", ",".join(map(str, pids))]
    subprocess.run([*line, "--", "sleep", str(SECONDS)], check=True, capture_output=True)
    line = ["perf", "report", "-i", str(record), "--stdio", "--no-children", "-F", "overhead,dso,symbol"]
    said = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    rows = [row.strip() for row in said.splitlines() if re.match(r" +[\d.]+%", row)]
    return [f"{title}:", "", *(f"    {row}" for row in rows[:SHOWN]), ""]
