"""What a query costs: our CPU beside other servers' on the same work, and every other bound on speed that we hold.

    make bench                                          # all of it, at most 15 minutes; writes docs/benchmarks.md
    python tests/bench/bench.py replay sockets          # some parts; only prints

Needs ../shared/peers, dnsperf, a C compiler, redis-server, and the servers that are to be compared. Exit 1 where a
bound is missed or could not be measured; the page says so too.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import bounds
import latency
import plot
import profiling
import rebuild
import reloading
import replay
import report
import sockets
import static
import swap
import work
import workers

DOCS = Path(__file__).parents[2] / "docs"
PARTS = {
    "sockets": sockets.measure,
    "replay": replay.measure,
    "static": static.measure,
    "workers": workers.measure,
    "swap": swap.measure,
    "latency": latency.measure,
    "reload": reloading.measure,
    "rebuild": rebuild.measure,
}
"""Each takes the folder that holds the work of the other servers, ``data`` for ours among it, and gives a `Result`."""


def main() -> int:
    """Run the parts that are asked for and give the exit code."""
    parser = argparse.ArgumentParser(description="Measure what a query costs.")
    parser.add_argument("part", nargs="*", help=f"of {', '.join(PARTS)}; without any: all, and docs/ is written")
    parser.add_argument("--profile", action="store_true", help="also where only some parts run: why a bound is missed")
    asked = parser.parse_args()
    if unknown := [part for part in asked.part if part not in PARTS]:
        parser.error(f"there is no part {unknown[0]}")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    missing = [name for name in ("dnsperf", "taskset", "cc", "redis-server") if shutil.which(name) is None]
    if not (work.SHARED / "peers/peers.sh").exists() or missing:
        print(f"bench: needs {', '.join(missing) or '../shared/peers'}; nothing was measured")
        return 1
    with tempfile.TemporaryDirectory(prefix="gslb-bench-") as name:
        folder = Path(name)
        work.peers_work(folder)
        results = [_measured(part, folder) for part in asked.part or PARTS]
        missed = [bound for result in results for bound in bounds.missed(result)]
        profiles = profiling.measure(folder, missed) if asked.profile or not asked.part else []
    text = report.render(results, profiles)
    print(text)
    if not asked.part:
        bars = [bar for result in results for bar in result.bars]
        curves = {title: points for result in results for title, points in result.curves.items()}
        (DOCS / "benchmarks.md").write_text(text, encoding="utf-8")
        (DOCS / "benchmarks.svg").write_text(plot.render(bars, curves), encoding="utf-8")
    return 1 if missed else 0


def _measured(part: str, folder: Path) -> bounds.Result:
    begun = time.monotonic()
    result = PARTS[part](folder)
    print(f"bench: {part}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
