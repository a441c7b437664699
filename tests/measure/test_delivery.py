"""Delivery logs: good rows become numbers, bad ones are rejected with place and reason, bad files as a whole."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gslbtest.damaged import modest

from gslb.measure import delivery, delivery_parquet, delivery_rows, rejects
from gslb.measure.delivery import Taken
from gslb.model import records

NOW_S = 1_795_932_000  # 2026-11-29T06:00:00Z
HEADER = "minute,edge,service,client_prefix,bytes,sessions_started"
GOOD = "2026-11-29T05:58:00Z,fra-1,cam.pull.live.example.,198.51.100.0/24,4500000000,7"
ROW = {
    "minute_s": 1_795_931_880,
    "edge": "fra-1",
    "service": "cam.pull.live.example.",
    "client_family": 4,
    "client_net": 0xC6336400,
    "client_len": 24,
    "bytes": 4_500_000_000,
    "sessions_started": 7,
    "received_s": NOW_S,
}


def taken(folder: Path, content: str | bytes, name: str = "log.csv") -> tuple[Taken, list[dict[str, Any]]]:
    """What becomes of a file, and the rows that were written."""
    path, target = folder / name, folder / "out" / "taken.parquet"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    found = delivery.take(path, NOW_S, target)
    assert target.exists() == bool(found.rows)
    assert found.rejects.path == str(path)
    rows = pq.read_table(target).to_pylist() if found.rows else []
    assert len(rows) == found.rows
    return found, rows


def changed(**values: object) -> str:
    """The good row with other values."""
    cells = dict(zip(HEADER.split(","), GOOD.split(","), strict=True))
    assert values.keys() <= cells.keys()
    return ",".join(map(str, (cells | values).values()))


def test_a_row(tmp_path: Path) -> None:
    found, rows = taken(tmp_path, f"{HEADER}\n{GOOD}\n")
    assert rows == [ROW]
    assert list(rows[0]) == list(records.DELIVERIES)
    assert (found.first_s, found.last_s, found.edges) == (ROW["minute_s"], ROW["minute_s"], {"fra-1"})
    assert (found.rejects.rows, found.faults) == (0, ())


SOUND = [
    # values of the file, columns that follow
    ({"minute": "1795931880"}, {}),
    ({"minute": "2026-11-29T05:58Z"}, {}),
    ({"minute": "2026-11-29T06:58:00+01:00"}, {}),
    ({"minute": "2026-11-29T06:05:00Z"}, {"minute_s": NOW_S + 300}),
    ({"minute": NOW_S - 400 * 86_400}, {"minute_s": NOW_S - 400 * 86_400}),
    ({"service": "CAM.Pull.live.example"}, {}),
    ({"client_prefix": "198.51.0.0/16"}, {"client_net": 0xC6330000, "client_len": 16}),
    ({"client_prefix": "0.0.0.0/0"}, {"client_net": 0, "client_len": 0}),
    ({"client_prefix": "2001:db8:1::/48"}, {"client_family": 6, "client_net": 0x20010DB800010000, "client_len": 48}),
    (
        {"client_prefix": "2001:db8:1:200::/56"},
        {"client_family": 6, "client_net": 0x20010DB800010200, "client_len": 56},
    ),
    ({"client_prefix": "fd00::/8"}, {"client_family": 6, "client_net": (0xFD << 56) - (1 << 64), "client_len": 8}),
    ({"client_prefix": ""}, {"client_family": 0, "client_net": 0, "client_len": 0}),
    ({"bytes": 0, "sessions_started": 0}, {"bytes": 0, "sessions_started": 0}),
    ({"bytes": 10**15, "sessions_started": 10**9}, {"bytes": 10**15, "sessions_started": 10**9}),
    ({"bytes": "007"}, {"bytes": 7}),
]


@pytest.mark.parametrize("count", [1, 3])
def test_sound_values(tmp_path: Path, count: int) -> None:
    """Alone, and amid rows that make a block be read slowly."""
    lines = [changed(**values) for values, _ in SOUND]
    odd = ['"2026-11-29T05:58:00Z", fra-1\t,cam.pull.live.example.,198.51.100.0/24,4500000000,"7"'] * (count - 1)
    found, rows = taken(tmp_path, "\n".join([HEADER, *lines, *odd]))
    assert [str(reject) for reject in found.rejects.told] == []
    assert rows == [{**ROW, **columns} for _, columns in SOUND] + [ROW] * (count - 1)


BAD = [
    # values, column of the fault, kind, reason
    ({"minute": ""}, 1, "minute: is empty", "minute: is empty"),
    (
        {"minute": "2026-11-29T05:58:00"},
        1,
        "minute: is not a time",
        "minute: '2026-11-29T05:58:00' is not a time with its zone, as '2026-01-01T18:00:00Z', nor in Unix seconds",
    ),
    (
        {"minute": "1795931880000"},
        1,
        "minute: is not a time",
        "minute: '1795931880000' is not a time with its zone, as '2026-01-01T18:00:00Z', nor in Unix seconds",
    ),
    (
        {"minute": "2026-11-29T05:58:01Z"},
        1,
        "minute: is not a whole minute",
        "minute: '2026-11-29T05:58:01Z' is not the start of a minute",
    ),
    (
        {"minute": "2026-11-29T06:06:00Z"},
        1,
        "minute: lies ahead",
        "minute: '2026-11-29T06:06:00Z' lies more than 300 s ahead",
    ),
    (
        {"minute": NOW_S - 400 * 86_400 - 60},
        1,
        "minute: is too old",
        "minute: '2025-10-25T05:59:00Z' is more than 400 days ago",
    ),
    (
        {"minute": 999_999_999_960},
        1,
        "minute: lies ahead",
        "minute: '999999999960' lies more than 300 s ahead",
    ),
    ({"edge": ""}, 22, "edge: is empty", "edge: is empty"),
    ({"edge": "fra/1"}, 22, "edge: is not a name", "edge: 'fra/1' is not the name of an edge"),
    ({"service": ""}, 28, "service: is empty", "service: is empty"),
    ({"service": "a\x00b"}, 28, "service: is not a name", "service: 'a\\x00b' is not the name of a service"),
    ({"service": "ä"}, 28, "service: is not a name", "service: 'ä' is not the name of a service"),
    (
        {"client_prefix": "198.51.100.1/24"},
        51,
        "client_prefix: is not a prefix",
        "client_prefix: '198.51.100.1/24' has bits set past its length; the prefix is 198.51.100.0/24",
    ),
    (
        {"client_prefix": "198.51.100.1"},
        51,
        "client_prefix: is not a prefix",
        "client_prefix: '198.51.100.1' has no length, as in 192.0.2.0/24",
    ),
    (
        {"client_prefix": "2001:db8::/96"},
        51,
        "client_prefix: is not a prefix",
        "client_prefix: '2001:db8::/96' is longer than /64",
    ),
    (
        {"client_prefix": "198.51.100.128/25"},
        51,
        "client_prefix: is too long",
        "client_prefix: '198.51.100.128/25' is longer than /24; sum up by such networks",
    ),
    (
        {"client_prefix": "2001:db8:0:1::/64"},
        51,
        "client_prefix: is too long",
        "client_prefix: '2001:db8:0:1::/64' is longer than /56; sum up by such networks",
    ),
    ({"client_prefix": "any"}, 51, "client_prefix: is not a prefix", "client_prefix: 'any' is not an IP prefix"),
    ({"bytes": ""}, 67, "bytes: is empty", "bytes: is empty; 0 is written as 0"),
    ({"bytes": "-1"}, 67, "bytes: is negative", "bytes: '-1' is negative"),
    ({"bytes": "1e9"}, 67, "bytes: is not a number", "bytes: '1e9' is not a whole number"),
    ({"bytes": "4.5"}, 67, "bytes: is not a number", "bytes: '4.5' is not a whole number"),
    ({"bytes": "٣"}, 67, "bytes: is not a number", "bytes: '٣' is not a whole number"),
    (
        {"bytes": 10**15 + 1},
        67,
        "bytes: is too large",
        "bytes: '1000000000000001' is above 1000000000000000",
    ),
    (
        {"bytes": "9" * 400},
        67,
        "bytes: is too large",
        f"bytes: '{'9' * 40}…' is above 1000000000000000",
    ),
    (
        {"sessions_started": 10**9 + 1},
        78,
        "sessions_started: is too large",
        "sessions_started: '1000000001' is above 1000000000",
    ),
    (
        {"minute": "now", "bytes": -3},
        1,
        "minute: is not a time",
        "minute: 'now' is not a time with its zone, as '2026-01-01T18:00:00Z', nor in Unix seconds;"
        " bytes: '-3' is negative",
    ),
]


def test_bad_values(tmp_path: Path) -> None:
    """All at once, each with its place; the rows between them are taken."""
    lines = [line for values, *_ in BAD for line in (changed(**values), GOOD)]
    found, rows = taken(tmp_path, "\n".join([HEADER, *lines]))
    path = tmp_path / "log.csv"
    assert [str(reject) for reject in found.rejects.told] == [
        f"{path}:{2 + 2 * at}:{column}: {reason}" for at, (_, column, _, reason) in enumerate(BAD)
    ]
    assert [reject.kind for reject in found.rejects.told] == [kind for _, _, kind, _ in BAD]
    assert [reject.raw for reject in found.rejects.told] == [changed(**values)[:500] for values, *_ in BAD]
    assert found.rejects.rows == len(BAD)
    assert rows == [ROW] * len(BAD)
    assert found.faults == ()


NO_ROWS = [
    (GOOD + ",", "7 columns, the header names 6"),
    ("only", "1 column, the header names 6"),
    (f'"{GOOD}', "not CSV: unexpected end of data"),
]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_lines_that_are_no_rows(tmp_path: Path, ending: str) -> None:
    lines = [HEADER, "", *(line for line, _ in NO_ROWS), GOOD, ""]
    found, rows = taken(tmp_path, ending.join(lines))
    path = tmp_path / "log.csv"
    assert [str(each) for each in found.rejects.told] == [
        f"{path}:{at}:1: {reason}" for at, (_, reason) in enumerate(NO_ROWS, start=3)
    ]
    assert [each.raw.rstrip("\r") for each in found.rejects.told] == [line for line, _ in NO_ROWS]
    assert found.rejects.counts == {"not a row": 3}
    assert rows == [ROW]


def test_columns_in_any_order(tmp_path: Path) -> None:
    """Others are passed over; a place is where the value stands."""
    text = (
        "\ufeffsessions_started,bytes,note,service,edge,client_prefix,minute\r\n"
        "7,4500000000,,cam.pull.live.example.,fra-1,198.51.100.0/24,2026-11-29T05:58:00Z\r\n"
        "7,4500000000,x,cam.pull.live.example.,fra-1,198.51.100.0/24,yesterday\r\n"
    )
    found, rows = taken(tmp_path, text)
    assert rows == [ROW]
    assert [(each.line, each.column) for each in found.rejects.told] == [(3, 61)]


def parquet(folder: Path, columns: dict[str, Any], **options: Any) -> bytes:
    """A Parquet file of arrays."""
    path = folder / "made.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path.read_bytes()


def good(rows: int = 1) -> dict[str, Any]:
    """Columns of good rows."""
    return {
        "minute": pa.array([datetime(2026, 11, 29, 5, 58, tzinfo=UTC)] * rows, pa.timestamp("ms", "UTC")),
        "edge": pa.array(["fra-1"] * rows),
        "service": pa.array(["cam.pull.live.example."] * rows),
        "client_prefix": pa.array(["198.51.100.0/24"] * rows),
        "bytes": pa.array([4_500_000_000] * rows, pa.uint64()),
        "sessions_started": pa.array([7] * rows, pa.int32()),
    }


FORMS: list[dict[str, Any]] = [
    {},
    {"minute": pa.array([1_795_931_880])},
    {"minute": pa.array(["2026-11-29T05:58:00Z"]).dictionary_encode()},
    {"minute": pa.array([datetime(2026, 11, 29, 5, 58)], pa.timestamp("ns"))},
    {"edge": pa.array(["fra-1"], pa.large_string())},
    {"note": pa.array([None])},
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: ",".join(map(str, form)) or "as it is")
def test_parquet(tmp_path: Path, form: dict[str, Any]) -> None:
    found, rows = taken(tmp_path, parquet(tmp_path, good() | form), "log.parquet")
    assert rows == [ROW]
    assert (found.edges, found.rejects.rows, found.faults) == ({"fra-1"}, 0, ())


BAD_CELLS = [
    # column, its values, place of the column, reason of each
    ("minute", pa.array([None], pa.timestamp("us", "UTC")), 1, "minute: is empty"),
    (
        "minute",
        pa.array([1_795_931_880_500], pa.timestamp("ms", "UTC")),
        1,
        "minute: '2026-11-29 05:58:00.500000+00:00' is not the start of a minute",
    ),
    (
        "minute",
        pa.array([(1 << 62) + 1], pa.timestamp("us", "UTC")),
        1,
        "minute: '4611686018427387905' is not the start of a minute",
    ),
    ("minute", pa.array([-60 << 40], pa.timestamp("s")), 1, "minute: '-65970697666560' is more than 400 days ago"),
    ("minute", pa.array([1_795_931_881]), 1, "minute: '2026-11-29T05:58:01Z' is not the start of a minute"),
    ("edge", pa.array([None], pa.string()), 2, "edge: is empty"),
    ("client_prefix", pa.array(["10.0.0.0/8\n"]), 4, None),
    ("client_prefix", pa.array(["10.0.0.0/8,1"]), 4, None),
    ("bytes", pa.array([None], pa.int64()), 5, "bytes: is empty; 0 is written as 0"),
    ("bytes", pa.array([-1]), 5, "bytes: '-1' is negative"),
    ("bytes", pa.array([1 << 63], pa.uint64()), 5, "bytes: '9223372036854775808' is above 1000000000000000"),
]


@pytest.mark.parametrize(("column", "values", "place", "reason"), BAD_CELLS)
def test_bad_cells_of_parquet(tmp_path: Path, column: str, values: Any, place: int, reason: str | None) -> None:
    found, rows = taken(tmp_path, parquet(tmp_path, good() | {column: values}), "log.parquet")
    reason = reason or f"client_prefix: {values[0].as_py()!r} has a length that is not a number from 0 to 32"
    assert [str(each) for each in found.rejects.told] == [f"{tmp_path / 'log.parquet'}:1:{place}: {reason}"]
    assert "cam.pull.live.example." in found.rejects.told[0].raw
    assert rows == []


WHOLE = [
    # name, content, faults
    ("log.csv", b"", ["1:1: no header: the first line must name the columns, of " + HEADER]),
    ("log.csv", GOOD.encode(), ["1:1: no header: the first line must name the columns, of " + HEADER]),
    ("log.csv", b"\x00\xff\xfe", ["1:2: not UTF-8 text"]),
    ("log.csv", f"{HEADER}\n{GOOD}\n\xff".encode("latin-1"), ["3:1: not UTF-8 text"]),
    (
        "log.csv",
        f"{HEADER.replace('client_prefix', 'client-prefix').replace(',edge', '')}\n{GOOD}".encode(),
        [
            "1:1: column 'edge' is missing",
            "1:16: unknown column 'client-prefix'; did you mean 'client_prefix'?",
        ],
    ),
    ("log.csv", f"{HEADER}{',x' * 1000}\n".encode(), ["1:0: the header names more than 1000 columns"]),
    ("log.csv", HEADER.encode() + b"," * 1_000_000, ["1:0: the header names more than 1000 columns"]),
    ("log.csv", f"{HEADER},bytes\n".encode(), ["1:58: column 'bytes' is named twice"]),
    ("log.parquet", GOOD.encode(), None),
    ("log.csv", b"PAR1" + bytes(100) + b"PAR1", None),
]


@pytest.mark.parametrize(("name", "content", "faults"), WHOLE)
def test_a_file_that_is_refused(tmp_path: Path, name: str, content: bytes, faults: list[str] | None) -> None:
    found, _ = taken(tmp_path, content, name)
    assert found.rows == 0
    if faults is None:
        (fault,) = found.faults
        assert fault.reason.startswith("not a Parquet file that can be read: ")
    else:
        assert [str(fault) for fault in found.faults] == [f"{tmp_path / name}:{fault}" for fault in faults]


def test_columns_of_parquet_are_told_all_at_once(tmp_path: Path) -> None:
    columns = good() | {"minute": pa.array([True]), "bytes": pa.array([1.5]), "service": pa.array([b"x"])}
    del columns["edge"]
    found, _ = taken(tmp_path, parquet(tmp_path, columns), "log.parquet")
    assert [str(fault).removeprefix(f"{tmp_path}/log.parquet:") for fault in found.faults] == [
        "0:0: column 'edge' is missing",
        "0:1: minute: is of type bool; expected is a timestamp, text or Unix seconds",
        "0:2: service: is of type binary; expected is text",
        "0:4: bytes: is of type double; expected is whole numbers",
    ]


def test_what_is_torn_half_way_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first rows were sound; nothing of them is left."""
    monkeypatch.setattr(delivery_parquet, "PIECE", 1000)
    columns = good(9000) | {"bytes": pa.array(random.Random(1).choices(range(10**12), k=9000))}
    content = bytearray(parquet(tmp_path, columns, row_group_size=3000, compression="zstd"))
    torn = range(len(content) * 3 // 4, len(content) * 4 // 5)
    content[torn.start : torn.stop] = bytes(len(torn))
    found, _ = taken(tmp_path, bytes(content), "log.parquet")
    assert [fault.reason[:35] for fault in found.faults] == ["not a Parquet file that can be read"]
    assert list((tmp_path / "out").iterdir()) == []


def test_any_bytes(tmp_path: Path) -> None:
    """Nothing but faults and rejects comes of a file that was damaged."""
    rng = random.Random(11)
    sound = [parquet(tmp_path, good(40), compression=name) for name in ("zstd", "none")]
    sound.append("\n".join([HEADER, *[GOOD] * 40]).encode())
    refused = 0
    for _ in range(100):
        content = bytearray(rng.choice(sound))
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        found = delivery.examined("log", bytes(content), NOW_S)
        assert found.rows + found.rejects.rows <= 41
        refused += bool(found.faults)
    assert 7 < refused < 100


BOUNDS = [
    ({"max_rows": 2}, "3 rows; at most 2 are read"),
    ({"max_unpacked": 10}, " bytes when unpacked; at most 10 are"),
]


@pytest.mark.parametrize(("bounds", "reason"), BOUNDS)
def test_parquet_has_bounds(tmp_path: Path, bounds: dict[str, int], reason: str) -> None:
    found = delivery.examined("body.parquet", parquet(tmp_path, good(3)), NOW_S, **bounds)
    (fault,) = found.faults
    assert reason in str(fault)


def test_parquet_that_tells_of_fewer_rows(tmp_path: Path) -> None:
    """Of rows that take nothing there may be any number behind one that is told."""
    content = modest(parquet(tmp_path, good(300)))
    assert delivery.examined("body.parquet", content, NOW_S, 300).rows == 300
    found = delivery.examined("body.parquet", content, NOW_S, 299)
    assert [fault.reason for fault in found.faults] == ["more than 299 rows"]


def test_csv_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of lines, though none of them be a row; and of a line, which is not taken apart."""
    monkeypatch.setattr("gslb.geo.sheet._BLOCK_BYTES", 100)
    short = f"{HEADER}\n{'a' * 10}" + "\na" * 500
    assert delivery.examined("body.csv", short.encode(), NOW_S, 501).rejects.rows == 501
    found = delivery.examined("body.csv", short.encode(), NOW_S, 300)
    assert [fault.reason for fault in found.faults] == ["more than 300 lines"]
    monkeypatch.undo()
    found = delivery.examined("body.csv", f"{HEADER}\n{',' * (3 << 20)}\n{GOOD}\n".encode(), NOW_S)
    assert (found.rows, [str(each) for each in found.rejects.told]) == (
        1, ["body.csv:2:1: it is longer than 65536 characters"],
    )  # fmt: skip


def test_a_file_has_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "MAX_FILE_BYTES", 10)
    found, _ = taken(tmp_path, HEADER)
    assert [fault.reason for fault in found.faults] == ["more than 10 bytes"]
    gone = delivery.take(tmp_path / "none.csv", NOW_S, tmp_path / "out.parquet")
    assert [str(fault) for fault in gone.faults] == [
        f"{tmp_path / 'none.csv'}:0:0: cannot be read: No such file or directory"
    ]


def test_rejects_beyond_the_first_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejects, "TOLD", 2)
    bad = [changed(bytes=-1), changed(minute="x", bytes=-1), changed(edge=""), changed(bytes=-1), "torn"]
    found, rows = taken(tmp_path, "\n".join([HEADER, *bad, GOOD]))
    assert len(found.rejects.told) == 2
    assert found.rejects.counts == {
        "bytes: is negative": 2, "minute: is not a time": 1, "edge: is empty": 1, "not a row": 1,
    }  # fmt: skip
    assert rows == [ROW]


def test_many_rows_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CSV and Parquet of the same rows, read in many pieces and with little memory for texts, are the same table."""
    monkeypatch.setattr(delivery_rows, "_MEMORY", 3)
    rng = random.Random(5)
    prefixes = ["198.51.100.0/24", "10.0.0.0/8", "2001:db8::/32", "2001:db8:9:100::/56", "", "192.0.2.0/24"]
    rows = [
        (
            f"2026-11-29T05:{rng.randrange(60):02d}:00Z",
            f"e{rng.randrange(9)}",
            f"s{rng.randrange(50)}.example.",
            rng.choice(prefixes),
            rng.randrange(10**12),
            rng.randrange(10),
        )
        for _ in range(5_000)
    ]
    text = "\n".join([HEADER, *(",".join(map(str, row)) for row in rows)])
    found, by_csv = taken(tmp_path, text)
    names = HEADER.split(",")
    columns = {name: [row[at] for row in rows] for at, name in enumerate(names)}
    path = tmp_path / "many.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=1_700)
    _, by_parquet = taken(tmp_path, path.read_bytes(), "many2.parquet")
    assert by_csv == by_parquet
    assert found.rows == len(rows)
    assert sum(row["bytes"] for row in by_csv) == sum(row[4] for row in rows)
    assert found.edges == {row[1] for row in rows}
