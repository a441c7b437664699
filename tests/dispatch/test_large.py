"""A dispatcher at the size that it is made for: 50,000 groups and 500 edges, two seasons of demand in Parquet."""

from __future__ import annotations

import json
import resource
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gslbtest.process import command

from gslb.dispatch.keeping import read_plan
from gslb.model.geography import CONTINENT_OF
from gslb.model.plan import PLAN_SUM

T = 1_769_817_600
COUNTRIES = sorted(CONTINENT_OF)[:50]
VIEWS = [
    (country, f"R{region}", f"AS{isp}") for country in COUNTRIES for region in range(20) for isp in range(100, 110)
]
SERVICES = [f"s{number}" for number in range(5)]
EDGES, POPS = 500, 100


def write(folder: Path) -> Path:
    """Zones, data and demand; equal each time. The folder."""
    rng = np.random.default_rng(1)
    (folder / "zones").mkdir()
    (folder / "data" / "isp").mkdir(parents=True)
    pops = [(COUNTRIES[at % 50], rng.uniform(-40, 60), rng.uniform(-170, 170)) for at in range(POPS)]
    edges = ""
    for at in range(EDGES):
        country, lat, lon = pops[at % POPS]
        edges += (
            f"  e{at}: {{pop: p{at % POPS}, addresses: {{v4: [10.{at // 250}.{at % 250}.1]}}, capacity: 100Gbps,"
            f" isps: [AS{100 + at % 10}], location: {{country: {country}, region: R{at % 20}, lat: {lat:.2f},"
            f" lon: {lon:.2f}}}}}\n"
        )
    (folder / "zones" / "edges.yaml").write_text(f"edges:\n{edges}")
    (folder / "zones" / "big.yaml").write_text(
        "zone: big.test.\nsoa: {mname: ns1, rname: hostmaster}\n"
        "records: {'@': {NS: [ns1]}, ns1: {A: 192.0.2.250}}\nservices:\n"
        + "".join(f"  {name}: {{pool: all, affinity: [country, any], dispatch: true}}\n" for name in SERVICES)
        + f"pools:\n  all: {{{', '.join(f'e{at}: 100' for at in range(EDGES))}}}\n"
    )
    rows = [
        f"20.{at // 256}.{at % 256}.0/24,{isp},{country},{region},{lat:.2f},{lon:.2f}\n"
        for at, ((country, region, isp), lat, lon) in enumerate(
            zip(VIEWS, rng.uniform(-40, 60, len(VIEWS)), rng.uniform(-170, 170, len(VIEWS)), strict=True)
        )
    ]
    (folder / "data" / "isp" / "all.csv").write_text("prefix,isp,country,region,lat,lon\n" + "".join(rows))
    keys = [(f"{name}.big.test.", *view) for name in SERVICES for view in VIEWS]
    texts = [pa.array([key[at] for key in keys]).dictionary_encode() for at in range(4)]
    base = rng.pareto(1.2, len(keys)) + 1
    base *= EDGES * 100e9 * 0.7 / base.clip(max=300 * base.mean()).sum()
    base = base.clip(max=300 * base.mean())
    seasons = [range(T - back - 7200, T - back + 1 + 3600 * (back > 0), 300) for back in (604_800, 86_400, 0)]
    names = ["time", "service", "country", "region", "isp", "demand_bps"]
    with pq.ParquetWriter(folder / "demand.parquet", _table(names, T, texts, base).schema) as file:
        for time_s in (each for season in seasons for each in season):
            file.write_table(_table(names, time_s, texts, base * rng.lognormal(0, 0.1, len(base))))
    return folder


def _table(names: list[str], time_s: int, texts: list[pa.Array], bps: np.ndarray) -> pa.Table:
    times = pa.array(np.full(len(bps), time_s), pa.timestamp("s", "UTC"))
    return pa.table([times, *texts, pa.array(bps.astype(np.int64))], names)


@pytest.mark.soak
def test_a_large_network_is_planned(tmp_path: Path) -> None:
    folder = write(tmp_path)
    line = [
        command("gslb"), "dispatch", "--dry-run", "--at", "2026-01-31T00:06:00Z", "--json", "--zones", "zones",
        "--data", "data", "--demand", "demand.parquet", "--out", "plan.json",
    ]  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = json.loads(done.stdout)
    assert (told["rows"], told["unserved_bps"]) == (50_000, 0)
    assert told["objective"] - told["dual_bound"] <= 1e-4 * told["objective"]
    plan = read_plan(folder / "plan.json")
    assert all(sum(weight for _, weight in row.primaries) == PLAN_SUM for row in plan.rows)
    assert sum(row.demand_bps for row in plan.rows) == told["demand_bps"]
    # A round in a minute is out of the question where one takes half of it.
    assert used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime < 30
    assert used.ru_maxrss < 2 << 20
    print(
        f"{used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime:.1f} s of CPU, {used.ru_maxrss >> 10} MiB"
    )
