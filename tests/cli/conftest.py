"""What the command line's tests share: a small network."""

from __future__ import annotations

from pathlib import Path

import pytest
from gslbtest.serving import write_files

FILES = {
    "zones/edges.yaml": """\
edges:
  sha:
    pop: sha
    addresses: {v4: [192.0.2.10], v6: ["2001:db8::10"]}
    location: {country: CN, region: SH, lat: 31.2, lon: 121.5}
    isps: [chinanet]
    capacity: 10Gbps
  fra:
    pop: fra
    addresses: {v4: [192.0.2.20], v6: ["2001:db8::20"]}
    location: {country: DE, region: HE, lat: 50.1, lon: 8.7}
    capacity: 10Gbps
""",
    "zones/isps.yaml": "isps: {chinanet: {asns: [4134]}}\n",
    "zones/live.yaml": """\
zone: live.example.
soa: {mname: ns1, rname: hostmaster}
records:
  "@": {NS: [ns1]}
  ns1: {A: 192.0.2.53}
services:
  pull: {pool: all, affinity: [country, any]}
pools:
  all: {sha: 100, fra: 100}
""",
    "zones/networks.csv": "prefix,country,region\n198.51.100.0/24,CN,SH\n203.0.113.0/24,DE,\n2001:db8:1::/48,DE,\n",
    "data/isp/ct.csv": "prefix,isp\n198.51.100.0/25,chinanet\n",
    "data/demand.csv": """\
time,service,country,region,isp,demand_bps
2026-01-01T00:00:00Z,pull.live.example.,CN,,,1000000
""",
}


@pytest.fixture(scope="session")
def network() -> dict[str, str]:
    """The files of a small network by their paths; not to be changed."""
    return FILES


@pytest.fixture
def files() -> dict[str, str]:
    """A checkout folder: zones and data of two edges, one service and three known networks."""
    return dict(FILES)


@pytest.fixture
def checkout(tmp_path: Path, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder itself, and where the command runs."""
    write_files(tmp_path, files)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GSLB_CONFIG", raising=False)
    return tmp_path
