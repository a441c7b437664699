"""What lands on disk, and what does not: names, room, and a disk that will not have it."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from gslbtest.logged import T_US, ring_records

from gslb.server import frames
from gslb.server.querylog import landing
from gslb.server.querylog.landing import Count, Landed, Lander

BOOT = "00112233aabbccdd"
MUCH = 10**9


def lander(folder: Path, server: str = "ns1", most: int = MUCH, free: int = 0) -> Lander:
    return Lander(frames.Record(server, BOOT, str(folder), "info", 100, 1.0, most, free), 5)


def listed(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("server", "stem"),
    [
        ("ns1.example", "ns1.example"),
        ("a/../b c", "a_.._b_c"),
        ("..hidden", "hidden"),
        ("...", "_"),
        ("ü" * 200, "_" * 100),
    ],
)
def test_names(tmp_path: Path, server: str, stem: str) -> None:
    """Whatever a server is called, its files lie in the folder, and the rows have its name."""
    one = lander(tmp_path, server)
    one.segment(ring_records([{}, {}])[1:], {})
    one.count(7, Count(T_US, 10, 8, 1))
    assert listed(tmp_path) == [
        f"counters/{stem}-{BOOT}-000000000007.parquet",
        f"queries/{stem}-{BOOT}-000000000002.parquet",
    ]
    (row,) = pq.read_table(tmp_path / f"counters/{stem}-{BOOT}-000000000007.parquet").to_pylist()
    assert {**row, "time": 0} == {
        "time": 0, "server": server, "boot_id": BOOT, "queries": 10, "logged": 8, "lost": 1, "last_seq": 9,
    }  # fmt: skip
    (row,) = pq.read_table(next((tmp_path / "queries").iterdir())).to_pylist()
    assert (row["server"], row["boot_id"], row["seq"], row["weight"]) == (server, BOOT, 2, 5)


def test_a_segment_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    """A process that was killed between its segment and its noting so leaves it to its successor."""
    found = ring_records([{"catalog": 9, "service": 1}, {}, {}])
    first = lander(tmp_path).segment(found, {})
    assert first == Landed(2, first.size, 1, 0)  # of the first, no catalog is known
    (path,) = (tmp_path / "queries").iterdir()
    before = path.stat()
    assert lander(tmp_path).segment(found, {}) == first
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_nothing_known_is_an_empty_segment(tmp_path: Path) -> None:
    landed = lander(tmp_path).segment(ring_records([{"catalog": 9, "service": 1}] * 3), {})
    assert (landed.rows, landed.unknown) == (0, 3)


def test_the_oldest_make_room(tmp_path: Path) -> None:
    """Of this server alone, of whatever boot; others' files and what is no file of the log stay."""
    (tmp_path / "queries").mkdir()
    (tmp_path / "counters").mkdir()
    names = [f"queries/ns1-{'1' * 16}-{number:012d}.parquet" for number in range(4)]
    names += [f"counters/ns1-{'1' * 16}-000000000001.parquet"]
    others = ["queries/ns2-0011223344556677-000000000001.parquet", "queries/ns1-x.parquet", "queries/ns1.txt"]
    for age, name in enumerate([*names, *others]):
        path = tmp_path / name
        path.write_bytes(bytes(400_000))
        os.utime(path, (1000 - age, 1000 - age))
    landed = lander(tmp_path, most=1_000_000).segment(ring_records([{}]), {})
    assert landed.removed == 3
    assert listed(tmp_path) == sorted([*names[:2], *others, f"queries/ns1-{BOOT}-000000000001.parquet"])


def test_many_small_files_make_room_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked for now and then, with whatever is written."""
    monkeypatch.setattr(landing, "MOST_FILES", 3)
    one = lander(tmp_path)
    told = Count(T_US, 0, 0, 0)
    assert [one.count(number, told) for number in range(1, 7)] == [0] * 6  # it has looked a moment ago
    monkeypatch.setattr(landing, "LOOK_S", 0.0)
    assert one.count(7, told) == 3
    assert len(listed(tmp_path)) == 4


def test_half_written_files_of_this_server_are_cleared(tmp_path: Path) -> None:
    folder = tmp_path / "queries"
    folder.mkdir()
    theirs = [f".ns1-b-{BOOT}-1.parquet.12.tmp", f".ns2-{BOOT}-1.parquet.12.tmp", f"ns1-{BOOT}-1.parquet"]
    for name in (f".ns1-{BOOT}-1.parquet.12.tmp", *theirs):
        (folder / name).touch()
    lander(tmp_path).clear()
    assert listed(tmp_path) == [f"queries/{name}" for name in theirs]


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of this process may grow beyond 1000 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_cannot_grow(tmp_path: Path, small_files: None) -> None:
    with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        lander(tmp_path).segment(ring_records([{}] * 1000), {})
    assert listed(tmp_path) == []


@pytest.mark.parametrize("queries", [True, False], ids=["the folder", "the folder above"])
def test_a_folder_that_is_a_file(tmp_path: Path, *, queries: bool) -> None:
    folder = tmp_path / "log"
    if queries:
        folder.mkdir()
    (folder / "queries" if queries else folder).write_text("")
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        lander(folder).segment(ring_records([{}]), {})


def test_a_disk_that_others_need(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    with pytest.raises(OSError, match="of the disk are free") as found:
        lander(tmp_path, free=disk.f_blocks * disk.f_frsize + 1).segment(ring_records([{}]), {})
    assert found.value.errno == errno.ENOSPC
