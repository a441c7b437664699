"""Two more questions through sockets: a static name beside NSD, and a flood of names that do not exist."""

from __future__ import annotations

from pathlib import Path

import driving
import work
from bounds import Result
from driving import FULL

OURS, NSD, POSITIVE, FLOOD = "ours", "nsd", "positive", "flood"


def measure(folder: Path) -> Result:
    """Both at saturation; ``folder`` holds the work of the other servers."""
    asked = folder / "static.bin"
    nets = work.read_networks(folder / "nets.csv")
    queries = {
        POSITIVE: work.write_queries(folder / "positive.bin", work.ecs_queries(nets)),
        FLOOD: work.write_queries(folder / "flood.bin", work.flood(nets)),
    }
    found, missing = {}, {}
    with driving.ours(folder / "static", folder / "data", "gslb") as server:
        with driving.peers(folder, driving.installed([NSD])) as servers:
            beside = driving.paired({OURS: server, **servers}, asked, FULL)
        flooded = driving.paired({POSITIVE: server, FLOOD: server}, queries, FULL)
    if NSD in beside:
        found["nsd"] = driving.ratio(beside, OURS, NSD)
    else:
        missing["nsd"] = "nsd not installed or not running"
    found["flood"] = driving.ratio(flooded, FLOOD, POSITIVE)
    rows = [
        ("gslb, static name", beside[OURS]),
        *((f"NSD {driving.version(NSD)}, static name", beside[NSD]) for _ in servers),
        ("gslb, ECS answer of a service", flooded[POSITIVE]),
        ("gslb, NXDOMAIN for random names with ECS", flooded[FLOOD]),
    ]
    lines = [
        "## Other questions",
        "",
        f"At saturation, one worker; medians of {driving.ROUNDS} rounds of {driving.SECONDS} s.",
        "",
        "| | CPU per query | rate |",
        "|---|---|---|",
        *(driving.row(*each) for each in rows),
        "",
    ]
    return Result(found, lines, missing=missing)
