"""What a query costs, beside other servers on the same work; how good plans are, and what making them costs.

    make bench                                          # all of it, about half an hour
    python tests/bench/bench.py solver world            # some parts; a page is written if all of its parts are run

Queries need ../shared/peers, dnsperf, a C compiler, redis-server, and the servers that are to be compared. Exit 1 where
a bound is missed or could not be measured; the pages, docs/benchmarks.md, docs/dispatch.md, docs/querylog.md and
docs/pipeline.md, say so too.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import bounds
import hour
import latency
import plot
import profiling
import querylog
import rebuild
import reloading
import replay
import report
import sockets
import solver
import static
import swap
import truth
import work
import workers
import world
from bounds import Result

DOCS = Path(__file__).parents[2] / "docs"
Part = Callable[[Path], Result]
QUERIES: dict[str, Part] = {
    "sockets": sockets.measure,
    "replay": replay.measure,
    "static": static.measure,
    "workers": workers.measure,
    "swap": swap.measure,
    "latency": latency.measure,
    "reload": reloading.measure,
    "rebuild": rebuild.measure,
}
"""The parts of docs/benchmarks.md. Each takes the folder that holds the work of the other servers, ``data`` for ours
among it, and gives a `Result`."""
DISPATCH: dict[str, Part] = {"solver": solver.measure, "world": world.measure}
"""The parts of docs/dispatch.md; the folder is theirs to use."""
LOG: dict[str, Part] = {"log": querylog.measure}
"""The part of docs/querylog.md; it takes the same folder as those of `QUERIES`."""
MEASURE: dict[str, Part] = {"hour": hour.measure, "day": hour.day, "truth": truth.measure}
"""The parts of docs/pipeline.md; the folder is theirs to use."""
PARTS = QUERIES | DISPATCH | LOG | MEASURE


def main() -> int:
    """Run the parts that are asked for and give the exit code."""
    parser = argparse.ArgumentParser(description="Measure what a query costs.")
    parser.add_argument("part", nargs="*", help=f"of {', '.join(PARTS)}; without any: all")
    parser.add_argument("--profile", action="store_true", help="also where only some parts run: why a bound is missed")
    asked = parser.parse_args()
    if unknown := [part for part in asked.part if part not in PARTS]:
        parser.error(f"there is no part {unknown[0]}")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    parts = asked.part or list(PARTS)
    queries = [part for part in parts if part in QUERIES]
    driven = [part for part in parts if part in QUERIES | LOG]
    missing = [name for name in ("dnsperf", "taskset", "cc", "redis-server") if shutil.which(name) is None]
    if driven and (not (work.SHARED / "peers/peers.sh").exists() or missing):
        print(f"bench: needs {', '.join(missing) or '../shared/peers'}; nothing was measured")
        return 1
    with tempfile.TemporaryDirectory(prefix="gslb-bench-") as name:
        folder = Path(name)
        if driven:
            work.peers_work(folder)
        found = {part: _measured(part, folder) for part in parts}
        missed = [bound for part in queries for bound in bounds.missed(found[part])]
        profiles = profiling.measure(folder, missed) if asked.profile or not asked.part else []
    if queries:
        _queries({part: found[part] for part in queries}, profiles)
    for page, all_parts in (("dispatch.md", DISPATCH), ("querylog.md", LOG), ("pipeline.md", MEASURE)):
        if some := {part: found[part] for part in parts if part in all_parts}:
            _numbers(page, some, whole=len(some) == len(all_parts))
    return 1 if any(bounds.missed(result) for result in found.values()) else 0


def _queries(found: dict[str, Result], profiles: list[str]) -> None:
    text = report.render(list(found.values()), profiles)
    print(text)
    if len(found) == len(QUERIES):
        bars = [bar for result in found.values() for bar in result.bars]
        curves = {title: points for result in found.values() for title, points in result.curves.items()}
        (DOCS / "benchmarks.md").write_text(text, encoding="utf-8")
        (DOCS / "benchmarks.svg").write_text(plot.render(bars, curves), encoding="utf-8")


def _numbers(name: str, found: dict[str, Result], *, whole: bool) -> None:
    """Show what was found, and write it into its page where that is all of it."""
    text = report.numbers(list(found.values()))
    print(text)
    if whole:
        page = DOCS / name
        page.write_text(report.put(page.read_text(encoding="utf-8"), text), encoding="utf-8")


def _measured(part: str, folder: Path) -> Result:
    begun = time.monotonic()
    result = PARTS[part](folder)
    print(f"bench: {part}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
