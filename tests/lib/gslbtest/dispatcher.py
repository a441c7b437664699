"""A small network to dispatch: three edges in two countries, two groups of viewers, and demand of now."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from gslb.dispatch.settings import Settings
from gslb.plan.round import Made, Round

SERVICE = "pull.live.example."
ZONES = {
    "edges.yaml": """health: {slow_start_s: 0}
edges:
  fra-1:
    pop: fra
    addresses: {v4: [203.0.113.1], v6: ["2001:db8::1"]}
    location: {country: DE, region: HE, lat: 50.1, lon: 8.7}
    isps: [dtag]
    capacity: 10Gbps
  fra-2:
    pop: fra
    addresses: {v4: [203.0.113.2]}
    location: {country: DE, region: HE, lat: 50.1, lon: 8.7}
    capacity: 10Gbps
  par-1:
    pop: par
    addresses: {v4: [203.0.113.3]}
    location: {country: FR, region: IDF, lat: 48.9, lon: 2.3}
    isps: [any]
    capacity: 20Gbps
    fence: [FR, DE]
""",
    "isps.yaml": "isps: {dtag: {asns: [3320]}}\n",
    "networks.csv": "prefix,isp,country,region,lat,lon\n"
    "198.51.0.0/16,dtag,DE,HE,50.0,8.0\n198.52.0.0/16,,FR,IDF,48,2\n",
    "live.example.yaml": """zone: live.example.
soa: {mname: ns1, rname: hostmaster}
records:
  "@": {NS: [ns1]}
  ns1: {A: 192.0.2.53}
services:
  pull: {pool: all, ttl: 20, affinity: [country, any], dispatch: true}
  other: {pool: all}
pools:
  all: {fra-1: 100, fra-2: 50, par-1: 100}
""",
    "dispatch.yaml": "churn: 0.1\n",
}
GROUPS = {"DE,HE,dtag": 4_000_000_000, "FR,IDF,": 2_000_000_000}


def network(folder: Path, zones: Mapping[str, str] | None = None, groups: Mapping[str, int] | None = None) -> Path:
    """The files of it, and `folder`/demand.csv of now; the folder."""
    (folder / "zones").mkdir(parents=True, exist_ok=True)
    (folder / "data").mkdir(exist_ok=True)
    for name, text in (ZONES | dict(zones or {})).items():
        (folder / "zones" / name).write_text(text)
    measured(folder, groups)
    return folder


def measured(folder: Path, groups: Mapping[str, int] | None = None, buckets: int = 6) -> Path:
    """Write demand that ended lately."""
    path = folder / "demand.csv"
    path.write_text("\n".join(_rows(groups or GROUPS, buckets)) + "\n")
    return path


def measured_live(path: Path, rates: Sequence[int | str]) -> Path:
    """Write live demand of one group, a rate a minute, which ended lately."""
    newest_s = int(time.time()) // 60 * 60
    rows = [
        f"{_at(newest_s - 60 * back)},{SERVICE},DE,HE,dtag,{rate}\n"
        for back, rate in zip(range(len(rates), 0, -1), rates, strict=True)
    ]
    path.write_text("time,service,country,region,isp,demand_bps\n" + "".join(rows))
    return path


def settings(folder: Path, store: str) -> Settings:
    """Of a dispatcher on it that tells no metrics."""
    return Settings(folder / "zones", folder / "data", folder / "state", store, folder / "demand.csv", metrics=None)


def slow(given: Round, clock: Callable[[], float]) -> Made:
    """A solver that never ends."""
    time.sleep(3600)
    raise AssertionError


def dying(given: Round, clock: Callable[[], float]) -> Made:
    """One that is killed."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def failing(given: Round, clock: Callable[[], float]) -> Made:
    """One that fails."""
    raise ValueError("numbers are too large")


def _rows(groups: Mapping[str, int], buckets: int) -> Iterator[str]:
    yield "time,service,country,region,isp,demand_bps"
    newest_s = int(time.time()) // 300 * 300
    for back in range(buckets, 0, -1):
        for view, bps in groups.items():
            yield f"{_at(newest_s - 300 * back)},{SERVICE},{view},{bps}"


def _at(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
