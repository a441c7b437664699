"""What one ECS query costs: our CPU beside other servers' on the same work, and where ours goes.

    make bench              # needs ../shared/peers, dnsperf, and the peers that are to be compared

One name answered from a MaxMind-format database of 158k networks by the query's Client Subnet, two addresses per
answer, one worker on CPU 1, the load on CPU 0. Prints a report and writes it to docs/benchmarks.md. Exit 1
where a bound is missed; the report says so too.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import latency
import rebuild
import replay
import report
from gslbtest.serving import serving

REPO = Path(__file__).parents[2]
SHARED = REPO.parent / "shared"
SECONDS = 4
ROUNDS = 3
BOUND_US = 40.0


class Peer(NamedTuple):
    """A server that peers.sh starts: its program, its port there, its name for people, and how it tells its version."""

    program: str
    port: int
    title: str
    version: tuple[str, ...]


PEERS = (
    Peer("gdnsd", 5301, "gdnsd", ("gdnsd", "-V")),
    Peer("knotd", 5302, "Knot DNS", ("knotd", "-V")),
    Peer("pdns_server", 5303, "PowerDNS", ("pdns_server", "--version")),
)

EDGES = {"NA": (1, "US", "VA", 39.0, -77.5), "EU": (11, "DE", "HE", 50.1, 8.7), "AS": (21, "SG", "01", 1.35, 103.8),
         "OC": (31, "AU", "NSW", -33.9, 151.2), "AF": (41, "ZA", "GP", -26.2, 28.0)}  # fmt: skip


def main() -> int:
    """Run everything and give the exit code."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    script = SHARED / "peers/peers.sh"
    missing = [name for name in ("dnsperf", "taskset", "ss") if shutil.which(name) is None]
    if not script.exists() or missing:
        print(f"bench: needs {', '.join(missing) or '../shared/peers'}; nothing was measured")
        return 1
    with tempfile.TemporaryDirectory(prefix="gslb-bench-") as name:
        work = Path(name)
        subprocess.run([sys.executable, str(SHARED / "peers/make_work.py"), str(work)], check=True)
        rows, skipped = [], []
        _with_peers(script, work, rows, skipped)
        split = _ours(script, work, rows)
        changed = latency.measure(work, work / "ours/data", work / "ecs.bin")
    built = rebuild.measure()
    state = [*latency.lines(changed), *rebuild.lines(built)]
    text = report.render(rows, skipped, split, BOUND_US, SECONDS, ROUNDS, state)
    print(text)
    (REPO / "docs/benchmarks.md").write_text(text, encoding="utf-8")
    held = (
        rows[-1].cpu_us <= BOUND_US,
        changed.p99_ms <= latency.BOUND_MS,
        built.worst_ms <= rebuild.BOUND_MS,
    )
    return 0 if all(held) else 1


def _with_peers(script: Path, work: Path, rows: list[report.Row], skipped: list[str]) -> None:
    here = [peer for peer in PEERS if shutil.which(peer.program)]
    skipped += [peer.title for peer in PEERS if peer not in here]
    if not here:
        return
    subprocess.run([str(script), "up", str(work)], check=True, stdout=subprocess.DEVNULL)
    try:
        for peer in here:
            row = _measured(lambda port=peer.port: _drive(script, port, work), peer.title, _version(peer))
            rows.extend([row] if row else [])
            skipped += [] if row else [peer.title]
    finally:
        subprocess.run([str(script), "down", str(work)], check=False)


def _ours(script: Path, work: Path, rows: list[report.Row]) -> list[replay.Part]:
    """Our row, and the split of our cost by in-process replay on the catalog that was served."""
    data = work / "ours/data"
    (data / "geo").mkdir(parents=True)
    shutil.copy(work / "city.mmdb", data / "geo")
    os.sched_setaffinity(0, {1})
    with serving(work / "ours", zones=_zones(), data=data) as server:
        os.sched_setaffinity(0, {0, 1})
        row = _measured(lambda: _drive(script, server.port, work), "gslb, reference path", _own_version())
        assert row, server.said()
        rows.append(row)
        (catalog,) = (server.state / "catalog").glob("*.cat")
        shutil.copy(catalog, work / "catalog")
    return replay.split(work / "catalog", work / "ecs.bin")


def _measured(drive: Callable[[], tuple[float, float]], title: str, version: str) -> report.Row | None:
    """The median of some rounds, or None where the server does not run."""
    try:
        found = [drive() for _ in range(ROUNDS)]
    except subprocess.CalledProcessError:
        return None
    return report.Row(
        title, version, statistics.median(cpu for cpu, _ in found), statistics.median(qps for _, qps in found)
    )


def _drive(script: Path, port: int, work: Path) -> tuple[float, float]:
    """CPU in µs per answered query, and the rate in queries per second, of whoever listens on the port."""
    line = [str(script), "cpu", str(port), str(work / "ecs.bin"), str(SECONDS)]
    said = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    found = re.search(r"(\d+) q/s +lost (\d+) +cpu per query ([\d.]+) us", said)
    if not found:
        raise subprocess.CalledProcessError(1, line, said)
    print(said.strip(), flush=True)
    return float(found[3]), float(found[1])


def _zones() -> dict[str, str]:
    pool = ", ".join(f"{name.lower()}: 1" for name in EDGES)
    edges = "".join(
        f"  {name.lower()}:\n    pop: {name.lower()}\n    addresses: {{v4: [192.0.2.{host}, 192.0.2.{host + 1}]}}\n"
        f'    location: {{country: {country}, region: "{region}", lat: {lat}, lon: {lon}}}\n'
        for name, (host, country, region, lat, lon) in EDGES.items()
    )
    zone = (
        "zone: example.test.\nsoa: {mname: ns1, rname: hostmaster}\n"
        "records:\n"
        '  "@": {NS: [ns1]}\n  ns1: {A: 192.0.2.53}\n  static: {A: 192.0.2.99}\n'
        "services:\n  live: {pool: all, ttl: 30, affinity: [continent, any]}\n  drawn: {like: live, affinity: [any]}\n"
        f"pools:\n  all: {{{pool}}}\n"
    )
    return {"example.test.yaml": zone, "edges.yaml": f"edges:\n{edges}"}


def _version(peer: Peer) -> str:
    done = subprocess.run(peer.version, capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+(?:\.\d+)?", done.stdout + done.stderr)
    return found[0] if found else "unknown"


def _own_version() -> str:
    from gslb import __version__

    return f"{__version__}, Python {sys.version.split()[0]}"


if __name__ == "__main__":
    sys.exit(main())
