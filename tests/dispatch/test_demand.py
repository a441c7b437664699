"""Demand in: a CSV and a folder with its manifest; every fault is told where it stands."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from gslbtest.demands import DE, HEADER, SH, T0, csv_of, iso, parquet_of, read, rows, told

from gslb.dispatch import demand, manifest
from gslb.dispatch.demand import DEMAND, LIVE
from gslb.errors import FaultyError


def test_a_csv(tmp_path: Path) -> None:
    path = tmp_path / "demand.csv"
    path.write_text(csv_of(rows()))
    found = read(path)
    assert told(found, path) == []
    assert found.history.keys == (SH, DE)
    assert found.history.times_s.tolist() == [T0, T0 + 300, T0 + 600]
    assert found.history.demand_bps.tolist() == [[3_000_000 + at, 2_000_000 + at] for at in range(3)]
    assert found.history.bucket_s == 300
    assert found.input == (60.0, hashlib.sha256(path.read_bytes()).hexdigest())


def test_columns_go_by_name_and_others_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "demand.csv"
    path.write_text(
        "viewers,demand_bps,isp,region,country,service,time\r\n"
        f'1,2000000.4,AS4134,SH,CN,A.Example,{iso(T0)[:-1]}.000Z\r\n2,"5",,,DE,a.example.,2026-01-01T08:00+08:00\r\n'
    )
    found = read(path, T0 + 360)
    assert told(found, path) == []
    assert found.history.demand_bps.tolist() == [[2_000_000, 5]]
    assert found.history.keys == (SH, DE)


def folder(path: Path, **changes: Any) -> Path:
    """A folder as a pipeline writes it: 4 buckets, of which the last has no row."""
    path.mkdir()
    (path / "one.csv").write_text(csv_of(rows(2)))
    parquet_of(rows(3)[6:], path / "two.parquet")
    written = {
        "format": 1, "table": "demand", "run": "r1", "bucket_s": 300, "from": iso(T0), "until": iso(T0 + 1200),
        "buckets": [iso(T0 + 300 * at) for at in range(4)], "files": ["one.csv", "two.parquet"],
    } | changes  # fmt: skip
    current = {key: value for key, value in written.items() if value is not None}
    (path / manifest.CURRENT).write_text(json.dumps(current))
    return path


def test_a_folder(tmp_path: Path) -> None:
    path = folder(tmp_path / "demand", buckets=[iso(T0 + 300 * at) for at in (2, 0, 1)])
    found = read(path)
    assert told(found, path) == []
    assert found.history.demand_bps.tolist() == [[3_000_000 + at, 2_000_000 + at] for at in range(3)]


def test_no_row_is_no_demand_where_the_manifest_names_the_bucket(tmp_path: Path) -> None:
    path = folder(tmp_path / "demand")
    found = read(path, T0 + 1260)
    assert found.history.demand_bps[-1].tolist() == [0, 0]
    assert [str(error) for error in found.findings.errors] == [
        f"{path}:0:0: all demand, 0 bps, is less than 1/20 of what it was, 5 Mbps"
    ]
    # One that has not ended is not looked at.
    assert told(read(path, T0 + 1000), path) == []


MANIFESTS = [
    ({"format": 2, "table": "demand_live", "bucket_s": 60},
     ['format: 2 is not 1', "table: 'demand_live' is not 'demand'", "bucket_s: 60 is not 300"]),
    ({"format": True, "run": ""}, ["format: true is not 1", "run: '' is not a text"]),
    ({"run": None, "files": None}, ["run: is missing", "files: is missing"]),
    ({"from": "now"}, ["from: 'now' is not a time with its zone, as '2026-01-01T18:00:00Z'"]),
    ({"until": iso(T0 - 300)}, ["until: lies before from"]),
    ({"until": iso(T0 + 1000)}, ["buckets: one lies outside of from and until"]),
    ({"buckets": [iso(T0 + 1)]}, ["buckets: one does not begin at a multiple of 300 s"]),
    ({"buckets": [iso(T0), iso(T0)]}, ["buckets: a value stands twice in the list"]),
    ({"buckets": 3}, ["buckets: 3 is not a list of at most 1000000"]),
    ({"files": ["../one.csv"]}, ["files: '../one.csv' is not the name of a CSV or Parquet file beside the manifest"]),
    ({"files": [1]}, ["files: 1 is not a text"]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "reasons"), MANIFESTS)
def test_manifests_at_fault(tmp_path: Path, changes: dict[str, Any], reasons: list[str]) -> None:
    path = folder(tmp_path / "demand", **changes)
    assert told(read(path), path) == sorted(f"! _current.json:0:0: {reason}" for reason in reasons)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[]", "not a mapping of keys to values"),
        (b"{", "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b'{"run": 1, "run": 1}', "not JSON: a key stands twice in the manifest"),
    ],
)
def test_what_is_no_manifest(content: bytes, reason: str) -> None:
    with pytest.raises(FaultyError) as refused:
        manifest.read(content, DEMAND, 300)
    assert refused.value.faults == (("", reason),)


def test_a_newer_run_may_take_the_place_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder(tmp_path / "demand", buckets=[iso(T0 + 300 * at) for at in range(3)])
    current = path / manifest.CURRENT
    newer = current.read_text().replace("two.parquet", "three.parquet")
    real = demand._content

    def content(asked: Path) -> bytes:
        if asked.name == "two.parquet":  # the pipeline is quicker
            asked.rename(path / "three.parquet")
            current.write_text(newer)
        return real(asked)

    monkeypatch.setattr(demand, "_content", content)
    found = read(path)
    assert told(found, path) == []
    assert found.history.demand_bps.shape == (3, 2)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    path = folder(tmp_path / "demand", files=["one.csv", "three.csv"])
    assert [str(error).rsplit(": ", 1)[1] for error in read(path).findings.errors] == ["No such file or directory"]
    (path / manifest.CURRENT).unlink()
    assert [str(error).rsplit(": ", 1)[1] for error in read(path).findings.errors] == ["No such file or directory"]
    nowhere = read(tmp_path / "nowhere.csv")
    assert told(nowhere, tmp_path) == ["! nowhere.csv:0:0: cannot be read: No such file or directory"]
    assert nowhere.age_s == 0


ROW = f"{iso(T0)},a.example.,CN,SH,chinanet,5000000"
BAD = [
    ("time,service,country,region,demand_bps\n", ["1:1: column 'isp' is missing"]),
    (
        HEADER.replace("service", "servise") + f"\n{ROW}\n",
        ["1:6: unknown column 'servise'; did you mean 'service'?"],
    ),
    (f"{HEADER}\n{ROW[:-7]}nan\n", ["2:48: demand_bps: 'nan' is not a number"]),
    (f"{HEADER}\n{ROW[:-7]}-5\n", ["2:48: demand_bps: '-5' is negative, or not a number"]),
    (f"{HEADER}\n{ROW[:-7]}\n", ["2:48: demand_bps: is empty; 0 is written as 0"]),
    (f"{HEADER}\n{ROW[:-7]}1e9\n", ["2:48: demand_bps: '1e9' is not a number from 0 to 1000000000000000"]),
    (f"{HEADER}\n{ROW}000000000\n",
     ["2:48: demand_bps: '5000000000000000' is not a number from 0 to 1000000000000000"]),
    (f"{HEADER}\n{ROW}\n{ROW}\n", ["3:1: the same bucket and group stand on line 2 already"]),
    (f"{HEADER}\n{ROW.replace(':00Z', ':07Z')}\n{ROW}\n",
     ["2:1: time: 2026-01-01T00:00:07Z does not begin a bucket: not a multiple of 300 s"]),
    (f"{HEADER}\n{ROW.replace('Z', '')}\n{ROW}\n",
     ["2:1: time: '2026-01-01T00:00:00' is not a time with its zone, as '2026-01-01T18:00:00Z'"]),
    (f"{HEADER}\n{ROW.replace('CN', 'cn')}\n{ROW.replace('SH', 'Shanghai')}\n",
     ["2:33: country: 'cn' is not an ISO 3166-1 country; did you mean 'CN'?",
      "3:36: region: 'Shanghai' is not an ISO 3166-2 code without its country, as 'SH' or '13'"]),
    (f"{HEADER}\n{ROW.replace('a.example.', 'a example')}\n", ["2:22: service: 'a example' is not a name"]),
    (f"{HEADER}\n{ROW},1\n", ["2:1: 7 columns, the header names 6"]),
    (f"{HEADER}\n", ["0:0: there is no demand in it: not one bucket"]),
    (f"{HEADER}\n{ROW.replace('T00', 'T02')}\n",
     ["2:1: the bucket of 2026-01-01T02:00:00Z lies in the future: now it is 2026-01-01T00:16:00Z"]),
    (csv_of([*rows(2), (iso(T0 + 600), "a.example.", "CN", "SH", "chinanet", 3_000_000_000_000),
             (iso(T0 + 600), "a.example.", "DE", "", "", 2_000_000)]),
     ["8:1: a.example. CN|SH|chinanet: 3 Tbps is 1000000 × what it was, 3 Mbps",
      "8:1: all demand, 3 Tbps, is 600000 × what it was, 5 Mbps"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "reasons"), BAD)
def test_csv_at_fault(tmp_path: Path, text: str, reasons: list[str]) -> None:
    path = tmp_path / "demand.csv"
    path.write_text(text)
    assert told(read(path), path) == [f"! demand.csv:{reason}" for reason in reasons]


def test_a_region_without_a_country_is_none(tmp_path: Path) -> None:
    """No plan may have a row for it: one such line must not keep all plans from being published."""
    path = tmp_path / "demand.csv"
    nowhere = [(iso(T0), "a.example.", "", region, "", bps) for region, bps in (("SH", 5), ("", 7))]
    path.write_text(csv_of([*rows(1), *nowhere]))
    found = read(path, T0 + 360)
    assert told(found, path) == ["? demand.csv:5:34: region: 'SH' has no country; its demand counts as of no region"]
    assert (found.history.keys[0], found.history.demand_bps[0, 0]) == (("a.example.", "", "", ""), 12)


def test_what_is_late_is_told_where_its_newest_bucket_stands(tmp_path: Path) -> None:
    path = tmp_path / "demand.csv"
    path.write_text(csv_of(rows()))
    late = "late: the newest bucket, of 2026-01-01T00:10:00Z, ended 901 s ago; at most 900 s are taken"
    assert told(read(path, T0 + 1801), path) == [f"! demand.csv:8:1: {late}"]
    assert read(path, T0 + 1801).age_s == 901
    assert told(read(path, T0 + 1800), path) == []


def test_live_demand_has_buckets_of_a_minute(tmp_path: Path) -> None:
    path = tmp_path / "live.csv"
    path.write_text(csv_of(rows(3, 60)))
    found = read(path, T0 + 200, 90, LIVE)
    assert told(found, path) == []
    assert (found.history.bucket_s, found.age_s) == (60, 20)
    assert "not a multiple of 300 s" in told(read(path, T0 + 200), path)[0]
