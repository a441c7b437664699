"""Two workers beside one: CPU per query. On two CPUs one of the two workers shares its own with the load."""

from __future__ import annotations

from pathlib import Path

import driving
from bounds import Result
from driving import FULL

CLIENTS = 64
ONE, TWO = "one", "two"


def measure(folder: Path) -> Result:
    """Both servers may use both CPUs, at saturation; the kernel spreads the sockets of the load over the workers."""
    data = folder / "data"
    with (
        driving.ours(folder / "one", data, "gslb, one worker", pinned=False) as one,
        driving.ours(folder / "two", data, "gslb, two workers", pinned=False, workers=2) as two,
    ):
        drives = driving.paired({ONE: one, TWO: two}, folder / "ecs.bin", FULL, clients=CLIENTS)
    lines = [
        "## Two workers",
        "",
        f"At saturation, {CLIENTS} sockets of the load, no server pinned. This machine has two CPUs and dnsperf fills",
        "one of them, so the second worker takes its time from the load: the rate says nothing about two CPUs.",
        "",
        "| | CPU per query | rate |",
        "|---|---|---|",
        *(driving.row(server.title, drives[key]) for key, server in ((ONE, one), (TWO, two))),
        "",
    ]
    return Result({"workers": driving.ratio(drives, TWO, ONE)}, lines)
