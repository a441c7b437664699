"""What zones and data say, as tables: made once of equal files, kept, and as before while files have faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gslbtest.tables import ordered

from gslb.errors import ConfigErrors
from gslb.measure import facts
from gslb.measure.engine import Engine
from gslb.measure.silver import Facts

ZONE = """
zone: live.example.
soa: {mname: ns1, rname: hostmaster}
records:
  "@": {NS: [ns1]}
  ns1: {A: 192.0.2.53}
services:
  pull: {pool: all, ttl: 15}
  "*.pull": {like: pull}
pools:
  all: {sha-ct: 100, fra-1: 100}
"""
EDGES = """
edges:
  sha-ct:
    pop: sha
    addresses: {v4: [203.0.113.10]}
    location: {country: CN, region: SH, lat: 31.2, lon: 121.5}
    isps: [AS1, AS2]
    capacity: 40Gbps
  fra-1:
    pop: fra
    addresses: {v4: [203.0.113.20]}
    location: {country: DE, lat: 50, lon: 8}
    capacity: 10Gbps
"""
NETWORKS = "prefix,country,isp\n10.0.0.0/8,CN,\n10.1.0.0/16,CN,AS1\n2001:db8::/32,DE,\n"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    zones, data = tmp_path / "zones", tmp_path / "data"
    zones.mkdir()
    data.mkdir()
    (zones / "live.example.yaml").write_text(ZONE)
    (zones / "edges.yaml").write_text(EDGES)
    (zones / "networks.csv").write_text(NETWORKS)
    return zones, data


def read(folders: tuple[Path, Path], engine: Engine) -> Facts:
    return facts.read(*folders, engine, folders[0].parent / "facts")


def made(folders: tuple[Path, Path]) -> list[str]:
    """The folders that are kept, by name."""
    return sorted(path.name for path in (folders[0].parent / "facts").iterdir() if path.is_dir())


def test_the_tables_hold_what_the_files_say(folders: tuple[Path, Path], duckdb: Engine) -> None:
    found = read(folders, duckdb)
    assert not found.fault
    assert duckdb.fetch(found.services.order_by("service")) == [
        {"service": "*.pull.live.example.", "ttl_s": 15},
        {"service": "pull.live.example.", "ttl_s": 15},
    ]
    assert duckdb.fetch(found.edges.order_by("edge")) == [
        {"edge": "fra-1", "pop": "fra", "country": "DE", "region": "", "isps": "", "capacity_bps": 10**10},
        {
            "edge": "sha-ct",
            "pop": "sha",
            "country": "CN",
            "region": "SH",
            "isps": "AS1 AS2",
            "capacity_bps": 4 * 10**10,
        },
    ]
    assert ordered(duckdb.fetch(found.places)) == [
        {"family": 4, "net": 0x0A000000, "len": 8, "country": "CN", "region": "", "isp": ""},
        {"family": 4, "net": 0x0A010000, "len": 16, "country": "CN", "region": "", "isp": "AS1"},
        {"family": 6, "net": 0x20010DB8 << 32, "len": 32, "country": "DE", "region": "", "isp": ""},
    ]


def test_equal_files_are_read_once(folders: tuple[Path, Path], duckdb: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read(folders, duckdb)
    with monkeypatch.context() as patched:
        patched.setattr(facts, "columns", lambda *_: pytest.fail("made again"))
        assert read(folders, duckdb).digest == first.digest
        (folders[1] / "demand.csv").write_text("rubbish")  # nothing that the tables hold
        assert read(folders, duckdb).digest == first.digest
    before = made(folders)
    (folders[0] / "networks.csv").write_text(NETWORKS + "11.0.0.0/8,FR,\n")
    assert read(folders, duckdb).digest != first.digest
    assert len(made(folders)) == 1
    assert made(folders) != before


def test_what_a_file_says_otherwise_is_the_same(folders: tuple[Path, Path], duckdb: Engine) -> None:
    first = read(folders, duckdb)
    (folders[0] / "networks.csv").write_text(NETWORKS + "10.2.0.0/16,CN,\n")  # as the /8 around it
    assert read(folders, duckdb).digest == first.digest


def test_files_with_faults_leave_what_was_before(folders: tuple[Path, Path], duckdb: Engine) -> None:
    first = read(folders, duckdb)
    (folders[0] / "networks.csv").write_text(NETWORKS + "rubbish,XX,\n")
    found = read(folders, duckdb)
    assert found.digest == first.digest
    assert found.fault.splitlines() == [
        f"{folders[0]}/networks.csv:5:1: prefix: 'rubbish' is not an IP prefix",
        f"{folders[0]}/networks.csv:5:9: country: 'XX' is not an ISO 3166-1 country",
    ]
    assert len(duckdb.fetch(found.places)) == 3


def test_without_any_before_faults_are_raised(folders: tuple[Path, Path], duckdb: Engine) -> None:
    (folders[0] / "edges.yaml").write_text("edges: [")
    with pytest.raises(ConfigErrors, match=r"edges\.yaml"):
        read(folders, duckdb)


@pytest.mark.parametrize("torn", ["_current.json", "places.parquet"])
def test_what_is_torn_is_made_again(torn: str, folders: tuple[Path, Path], duckdb: Engine) -> None:
    first = read(folders, duckdb)
    (path,) = (folders[0].parent / "facts").rglob(torn)
    path.write_bytes(b"{") if torn.endswith(".json") else path.unlink()
    again = read(folders, duckdb)
    assert again.digest == first.digest
    assert len(duckdb.fetch(again.places)) == 3


def test_the_digest_is_of_all_values() -> None:
    def digest(net: int, text: str) -> str:
        places = {"net": np.array([net], dtype=np.int64), "country": facts.Texts(np.zeros(1, np.int32), (text,))}
        return facts.FactColumns(places, {}, {}).digest

    assert digest(1, "CN") == digest(1, "CN")
    assert len({digest(1, "CN"), digest(2, "CN"), digest(1, "DE")}) == 3
