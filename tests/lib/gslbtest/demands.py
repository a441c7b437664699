"""Tables of demand for tests, as files, and what reading them tells."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gslb.dispatch import demand
from gslb.dispatch.demand import COLUMNS, DEMAND, Demand
from gslb.geo.isps import IspNames
from gslb.model.inventory import Isp
from gslb.plan.problem import GroupKey

T0 = 1_767_225_600
ISPS = IspNames([Isp("chinanet", (4134,), ())])
SERVICES = {"a.example.": True, "b.example.": False}
HEADER = ",".join(COLUMNS)
SH, DE = GroupKey("a.example.", "CN", "SH", "chinanet"), GroupKey("a.example.", "DE", "", "")


def iso(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rows(count: int = 3, step_s: int = 300) -> list[tuple[str, str, str, str, str, int]]:
    """Two groups of a planned service and one of another, in ``count`` buckets."""
    return [
        (iso(T0 + step_s * at), service, country, region, isp, bps + at)
        for at in range(count)
        for service, country, region, isp, bps in (
            ("a.example.", "CN", "SH", "chinanet", 3_000_000),
            ("a.example.", "DE", "", "", 2_000_000),
            ("b.example.", "DE", "", "", 1_000_000),
        )
    ]


def csv_of(table: list[tuple[Any, ...]], header: str = HEADER) -> str:
    return "\n".join([header, *(",".join(map(str, row)) for row in table)]) + "\n"


def parquet_of(table: list[tuple[Any, ...]], path: Path, types: dict[str, pa.DataType] | None = None) -> Path:
    types = types or {}
    columns = {
        name: pa.array([row[at] for row in table], types.get(name))
        for at, name in enumerate(COLUMNS)
        if name in COLUMNS
    }
    pq.write_table(pa.table(columns), path)
    return path


def read(path: Path, now_s: float = T0 + 960, late_s: float = 900, table: str = DEMAND) -> Demand:
    return demand.read(path, ISPS, SERVICES, now_s, late_s, table)


def told(found: Demand, path: Path) -> list[str]:
    folder = str(path if path.is_dir() else path.parent) + "/"
    errors = [f"! {error}" for error in sorted(found.findings.errors, key=lambda each: each.place())]
    return [each.replace(folder, "") for each in errors + [f"? {each}" for each in found.findings.warnings]]
