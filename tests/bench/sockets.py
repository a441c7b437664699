"""CPU per query through sockets, on the work of the other servers: one name, 158k networks, a Client Subnet each."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import driving
from bounds import Result
from driving import FULL, STEADY, Drives, Server

PEERS = ("gdnsd", "knot", "pdns")
RIVALS = ("gdnsd", "knot")
OURS, REFERENCE, ECHO = "ours", "reference", "echo"
TITLES = {OURS: "gslb, compiled path", REFERENCE: "gslb, reference path", ECHO: "echo"}


def measure(folder: Path) -> Result:
    """All servers at both loads; ``folder`` holds the work."""
    queries = folder / "ecs.bin"
    with contextlib.ExitStack() as stack:
        servers = {ECHO: stack.enter_context(driving.echo(folder))}
        servers |= stack.enter_context(driving.peers(folder, driving.installed(PEERS)))
        for key in (OURS, REFERENCE):
            server = driving.ours(folder / key, folder / "data", TITLES[key], compiled=key == OURS)
            servers[key] = stack.enter_context(server)
        full = driving.paired(servers, queries, FULL)
        # The reference path cannot answer so many: a rate it is held to would be saturation again.
        steady = driving.paired({key: servers[key] for key in servers if key != REFERENCE}, queries, STEADY)
    found, missing = {"reference": driving.median_us(full[REFERENCE])}, {}
    found["echo"] = driving.ratio(full, OURS, ECHO)
    for key, drives in (("peer_full", full), ("peer_rate", steady)):
        lacking = [peer for peer in RIVALS if peer not in drives]
        if lacking:
            missing[key] = f"{' and '.join(lacking)} not installed or not running"
        else:
            found[key] = max(driving.ratio(drives, OURS, peer) for peer in RIVALS)
    if "pdns" in full:
        found["pdns"] = min(driving.ratio(drives, "pdns", OURS) for drives in (full, steady))
    else:
        missing["pdns"] = "pdns not installed or not running"
    bars = [(server.title, driving.median_us(full[key])) for key, server in servers.items()]
    return Result(found, _lines(servers, full, steady), bars=bars, missing=missing)


def _lines(servers: Mapping[str, Server], full: Drives, steady: Drives) -> list[str]:
    rows = []
    for key, server in servers.items():
        at_rate = f"{driving.median_us(steady[key]):.2f} µs" if key in steady else ""
        to_ours = f"{driving.ratio(full, OURS, key):.2f}" if key != OURS else ""
        to_ours_steady = f"{driving.ratio(steady, OURS, key):.2f}" if key in steady and key != OURS else ""
        rows.append(
            f"| {server.title} | {driving.median_us(full[key]):.2f} µs | {driving.median_rate(full[key]):,.0f} q/s"
            f" | {to_ours} | {at_rate} | {to_ours_steady} |"
        )
    return [
        "## Through sockets",
        "",
        "One name, answered from a MaxMind-format database of 158k networks by each query's Client Subnet (100,000",
        "different ones), two addresses per answer. The echo answers nothing: it sends back what comes in.",
        f"Medians of {driving.ROUNDS} rounds of {driving.SECONDS} s for each server; ours ÷ theirs is the median of"
        " the rounds' own ratios.",
        "",
        f"| server | CPU at saturation | rate | ours ÷ theirs | CPU at {STEADY:,} q/s | ours ÷ theirs |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        "![CPU per query, and what an answer costs over prefixes and names](benchmarks.svg)",
        "",
    ]
