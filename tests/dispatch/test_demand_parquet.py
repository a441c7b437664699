"""Demand as Parquet is what it is as CSV; every fault is told where it stands."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gslbtest.demands import DE, SH, T0, csv_of, iso, parquet_of, read, rows, told

from gslb.dispatch import parquet
from gslb.dispatch.demand import COLUMNS
from gslb.plan.problem import GroupKey

KINDS: list[tuple[str, dict[str, pa.DataType]]] = [
    ("texts", {}),
    ("dictionaries", dict.fromkeys(COLUMNS[:5], pa.dictionary(pa.int32(), pa.string()))),
    ("large texts, floats", {"service": pa.large_string(), "demand_bps": pa.float64()}),
    ("views of texts", {"time": pa.string_view(), "isp": pa.string_view()}),
    ("unsigned", {"demand_bps": pa.uint64()}),
    ("decimals", {"demand_bps": pa.decimal128(20, 2)}),
    *((f"times in {unit}", {"time": pa.timestamp(unit, "UTC")}) for unit in ("s", "ms", "us", "ns")),
    ("times without a zone", {"time": pa.timestamp("us")}),
    ("dictionaries of numbers", {"demand_bps": pa.dictionary(pa.int32(), pa.int64())}),
    ("dictionaries of large texts", {"isp": pa.dictionary(pa.int8(), pa.large_string())}),
]


@pytest.mark.parametrize(("what", "types"), KINDS)
def test_parquet_is_as_the_csv(tmp_path: Path, what: str, types: dict[str, pa.DataType]) -> None:
    table: list[tuple[Any, ...]] = list(rows())
    if types and pa.types.is_timestamp(types.get("time", pa.string())):
        table = [(datetime.fromisoformat(row[0]).replace(tzinfo=None), *row[1:]) for row in table]
    path = parquet_of(table, tmp_path / "demand.parquet", types)
    (tmp_path / "demand.csv").write_text(csv_of(rows()))
    found, wanted = read(path), read(tmp_path / "demand.csv")
    assert told(found, path) == [], what
    assert (found.history.keys, found.history.times_s.tolist()) == (
        wanted.history.keys,
        wanted.history.times_s.tolist(),
    )
    assert found.history.demand_bps.tolist() == wanted.history.demand_bps.tolist()
    assert found.age_s == wanted.age_s


def test_what_is_not_known_any_more_is_warned_of(tmp_path: Path) -> None:
    table = [*rows(1), *((iso(T0), "c.example.", "DE", "", f"x{at}", 1) for at in range(2))]
    table += [(iso(T0), "a.example.", "DE", "", isp, 7) for isp in ("chinanat", "AS4134", "chinanet")]
    no_isp = "isp: 'chinanat' is neither in isps.yaml nor AS<number>; did you mean 'chinanet'?"
    wanted = {
        5: "'c.example.' is no service; its rows are passed over",
        7: f"{no_isp}; its demand counts as of no ISP",
    }
    path = tmp_path / "demand.csv"
    path.write_text(csv_of(table))
    parquet = parquet_of(table, tmp_path / "demand.parquet")
    for each in (path, parquet):
        found = read(each, T0 + 360)
        text = "\n".join(told(found, each))
        assert not found.findings.errors
        assert wanted[5] in text
        assert wanted[7] in text
        by_key = dict(zip(found.history.keys, found.history.demand_bps[0].tolist(), strict=True))
        # What only means the same is added up.
        assert by_key == {SH: 3_000_000, DE: 2_000_007, GroupKey("a.example.", "DE", "", "chinanet"): 14}


PARQUET_BAD: list[tuple[dict[str, Any], list[str]]] = [
    ({"demand_bps": [float("nan"), -1.0, None]},
     ["1:6: demand_bps: 'nan' is not a number", "2:6: demand_bps: '-1.0' is negative",
      "3:6: demand_bps: is empty; 0 is written as 0"]),
    ({"demand_bps": [10**15 + 1, 5, -7]},
     ["1:6: demand_bps: '1000000000000001' is above 1000000000000000", "3:6: demand_bps: '-7' is negative"]),
    ({"demand_bps": ["1", "2", "3"]}, ["0:6: demand_bps: is of type text; expected is number"]),
    ({"service": [1, 2, 3], "region": [True, True, False]},
     ["0:2: service: is of type number; expected is text", "0:4: region: is of type bool; expected is text"]),
    ({"time": [datetime(2026, 1, 1, 0, 0, 7), None, datetime(2026, 1, 1, 0, 0, 0, 5)]},
     ["1:1: time: 2026-01-01T00:00:07Z does not begin a bucket: not a multiple of 300 s", "2:1: time: is empty",
      "3:1: time: has a fraction of a second"]),
    ({"time": [iso(T0), "soon", None]},
     ["2:1: time: 'soon' is not a time with its zone, as '2026-01-01T18:00:00Z'",
      "3:1: time: '' is not a time with its zone, as '2026-01-01T18:00:00Z'"]),
    ({"time": pa.array([1 << 62] * 3).cast(pa.timestamp("us"))},  # of which Python knows no day
     ["1:1: time: has a fraction of a second", "2:1: time: has a fraction of a second",
      "3:1: time: has a fraction of a second"]),
    ({"country": ["CN", "cn", "CN"]}, ["2:3: country: 'cn' is not an ISO 3166-1 country; did you mean 'CN'?"]),
    ({"isp": ["chinanet", "chinanet", "AS1"]}, ["2:1: the same bucket and group stand on line 1 already"]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "reasons"), PARQUET_BAD)
def test_parquet_at_fault(tmp_path: Path, changes: dict[str, Any], reasons: list[str]) -> None:
    columns: dict[str, list[Any]] = {
        "time": [iso(T0)] * 3, "service": ["a.example."] * 3, "country": ["CN"] * 3, "region": ["SH"] * 3,
        "isp": ["AS1", "AS2", "AS3"], "demand_bps": [5, 5, 5],
    }  # fmt: skip
    path = tmp_path / "demand.parquet"
    pq.write_table(pa.table(columns | changes), path)
    assert told(read(path), path) == [f"! demand.parquet:{reason}" for reason in reasons]


def test_parquet_without_columns_and_what_is_none(tmp_path: Path) -> None:
    path = tmp_path / "demand.parquet"
    pq.write_table(pa.table({"time": [iso(T0)], "service": ["a."], "region": [None], "demand_bps": [1]}), path)
    wanted = ["column 'country' is missing", "column 'isp' is missing"]
    assert told(read(path), path) == [f"! demand.parquet:0:0: {reason}" for reason in wanted]
    path.write_bytes(path.read_bytes()[:-20])
    assert told(read(path), path)[0].startswith("! demand.parquet:0:0: not a Parquet file that can be read: ")
    pq.write_table(pa.table([pa.array([1]), pa.array([1])], names=["time", "time"]), path)
    assert "column 'time' is there 2 times" in told(read(path), path)[-1]


def test_an_empty_parquet_and_columns_of_nulls(tmp_path: Path) -> None:
    path = parquet_of(
        [], tmp_path / "demand.parquet", dict.fromkeys(COLUMNS[:5], pa.string()) | {"demand_bps": pa.int64()}
    )
    assert told(read(path), path) == ["! demand.parquet:0:0: there is no demand in it: not one bucket"]
    parquet_of([(iso(T0), "a.example.", "DE", None, None, 2_000_000)], path)
    assert read(path, T0 + 360).history.keys == (DE,)


def test_of_many_faults_of_a_kind_the_first_are_told(tmp_path: Path) -> None:
    table = [(*row[:5], -1) for row in rows(60)]
    found = told(read(parquet_of(table, tmp_path / "demand.parquet")), tmp_path)
    assert len(found) == 100 + 1
    assert "! demand.parquet:0:6: demand_bps: 80 more faults of this kind" in found


@pytest.mark.parametrize("kind", [pa.string(), pa.timestamp("s"), pa.timestamp("ns", "UTC")], ids=str)
@pytest.mark.parametrize("statistics", [True, False])
def test_parquet_in_row_groups_and_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: pa.DataType, statistics: bool
) -> None:
    monkeypatch.setattr(parquet, "PIECE", 3)
    count = 900  # three days: most of it no forecast looks at
    columns = {name: [row[at] for row in rows(count)] for at, name in enumerate(COLUMNS)}
    if kind != pa.string():
        columns["time"] = [datetime.fromisoformat(text).replace(tzinfo=None) for text in columns["time"]]
    path = tmp_path / "demand.parquet"
    table = pa.table({name: pa.array(column, kind if name == "time" else None) for name, column in columns.items()})
    pq.write_table(table, path, row_group_size=700, use_dictionary=["service", "isp"], write_statistics=statistics)
    (tmp_path / "demand.csv").write_text(csv_of(rows(count)))
    now_s = T0 + count * 300 + 60
    found, wanted = read(path, now_s), read(tmp_path / "demand.csv", now_s)
    assert told(found, path) == []
    assert len(found.history.times_s) < 100
    assert found.history.times_s.tolist() == wanted.history.times_s.tolist()
    assert np.array_equal(found.history.demand_bps, wanted.history.demand_bps)


def test_of_what_no_forecast_looks_at_times_and_rates_are_checked_alone(tmp_path: Path) -> None:
    table: list[tuple[Any, ...]] = [list(row) for row in rows(900)]
    table[0][2], table[1][5], table[-1][2] = "xx", -1, "yy"
    path = parquet_of(table, tmp_path / "demand.parquet")
    assert told(read(path, T0 + 900 * 300 + 60), path) == [
        "! demand.parquet:2:6: demand_bps: '-1' is negative",
        "! demand.parquet:2700:3: country: 'yy' is not an ISO 3166-1 country",
    ]


WITHOUT = """
import sys
sys.modules["pyarrow"] = None
from pathlib import Path
from gslb.dispatch import demand
from gslb.geo.isps import IspNames
for name in sys.argv[2:]:
    found = demand.read(Path(name), IspNames([]), {"a.example.": True}, int(sys.argv[1]), 900)
    print([error.reason for error in found.findings.errors])
"""


def test_without_the_extra_a_csv_is_read_and_parquet_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "demand.csv").write_text(csv_of([(iso(T0), "a.example.", "DE", "", "", 5)]))
    parquet_of(rows(), tmp_path / "demand.parquet")
    paths = [str(tmp_path / name) for name in ("demand.csv", "demand.parquet")]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(T0 + 360), *paths], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n['reading Parquet needs pyarrow: install gslb[dispatch]']\n"
