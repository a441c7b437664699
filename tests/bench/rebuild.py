"""What a whole steering rebuild costs: 20,000 classes of a pool of 16 edges, in process, with and without overrides."""

from __future__ import annotations

import random
import statistics
import time
from pathlib import Path
from typing import NamedTuple

from bounds import Result
from gslbtest.pools import GBPS, Edge, Policy, sections

from gslb.model.override import KIND_DRAIN, Override, Target
from gslb.model.report import Report, StoreState
from gslb.snapshot import steering

CLASSES = 20_000
EDGES = 16
ROUNDS = 25
NOW_MS = 1_800_000_000_000


class Rebuild(NamedTuple):
    """CPU time in ms, the median of `ROUNDS`."""

    quiet_ms: float
    draining_ms: float

    @property
    def worst_ms(self) -> float:
        """The dearer of the two."""
        return max(self)


def measure(_: Path) -> Result:
    """Build it all, again and again; it needs no files."""
    found = _measured()
    return Result({"rebuild": found.worst_ms}, _lines(found))


def _measured() -> Rebuild:
    chance = random.Random(1)
    edges = [Edge(f"e{number:02d}") for number in range(EDGES)]
    levels = [[chance.choice([0, 1, 2, 3, 4, 255]) for _ in edges] for _ in range(CLASSES)]
    catalog = sections(edges, [Policy({edge.id: 100 for edge in edges}, levels)])
    reports = {edge.id: Report(edge.id, 1, 1, NOW_MS - 100, load_bps=chance.randrange(38) * GBPS) for edge in edges}
    drain = Override("d", KIND_DRAIN, Target(edge="e03"), NOW_MS // 1000 - 5, NOW_MS // 1000 + 600, 60)
    found = []
    for overrides in ({}, {"d": drain}):
        state = StoreState(NOW_MS, reports, overrides=overrides)
        times = []
        for _ in range(ROUNDS):
            begun = time.process_time()
            steering.build(catalog, state, NOW_MS)
            times.append(time.process_time() - begun)
        found.append(statistics.median(times) * 1000)
    return Rebuild(*found)


def _lines(found: Rebuild) -> list[str]:
    return [
        "## A steering rebuild",
        "",
        f"All rows of {CLASSES:,} classes and {EDGES} edges, both families, in process; CPU, median of {ROUNDS}.",
        "",
        "| | |",
        "|---|---|",
        f"| no overrides | {found.quiet_ms:.0f} ms |",
        f"| while an edge is drained | {found.draining_ms:.0f} ms |",
        "",
    ]
