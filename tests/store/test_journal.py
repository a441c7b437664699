"""The journal: what is written is read back, over rotation, restarts, crashes, full disks and clocks that go wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gslb.errors import GslbError
from gslb.store import journal
from gslb.store.journal import AGAIN_MS, BACK_MS, CHECKPOINT, Journal

T = 1_795_530_600_000  # 2026-11-24T14:30:00Z


class Counter:
    """Something to keep a journal of: a number that grows; a checkpoint tells it, lines tell by how much."""

    def __init__(self, folder: Path, max_bytes: int = 1 << 20, max_files: int = 16) -> None:
        self.journal = Journal(folder, max_bytes, max_files)
        self.folder = folder
        self.value = 0

    def add(self, at_ms: int, amount: int = 1, pad: int = 0) -> bool:
        self.value += amount
        entry = {"kind": "add", "amount": amount, "pad": "x" * pad}
        return self.journal.append(at_ms, [entry], lambda: {"kind": CHECKPOINT, "value": self.value})

    def restarted(self) -> Counter:
        found = Counter(self.folder, self.journal._max_bytes, self.journal._max_files)
        found.value = self.value
        return found


def value(folder: Path, at_ms: int) -> int:
    """The number at a time, from the journal alone. A checkpoint has what the lines of its time say already."""
    first, *lines = journal.until(folder, at_ms)
    assert first["kind"] == CHECKPOINT
    return int(first["value"]) + sum(line["amount"] for line in lines if line["t_ms"] > first["t_ms"])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_is_written(tmp_path: Path) -> None:
    counter = Counter(tmp_path / "journal")
    assert counter.add(T, 5)
    assert counter.add(T + 10, 2)
    (path,) = journal.files(tmp_path / "journal")
    assert path.name == f"{T}.jsonl"
    assert lines(path) == [
        {"t_ms": T, "kind": "checkpoint", "value": 5},
        {"t_ms": T, "kind": "add", "amount": 5, "pad": ""},
        {"t_ms": T + 10, "kind": "add", "amount": 2, "pad": ""},
    ]


def test_any_time_can_be_asked_for(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    for at in range(10):
        counter.add(T + 100 * at)
    for at in range(10):
        assert value(tmp_path, T + 100 * at) == value(tmp_path, T + 100 * at + 99) == at + 1
    assert value(tmp_path, T + 10**9) == 10


def test_files_are_bounded_in_size_and_number(tmp_path: Path) -> None:
    counter = Counter(tmp_path, max_bytes=1000, max_files=3)
    for at in range(100):
        counter.add(T + at, pad=100)
    found = journal.files(tmp_path)
    assert len(found) == 3
    assert all(path.stat().st_size < 1300 for path in found)
    assert all(lines(path)[0]["kind"] == CHECKPOINT for path in found)
    oldest = int(found[0].stem)
    for at_ms in range(oldest, T + 100):
        assert value(tmp_path, at_ms) == at_ms - T + 1
    with pytest.raises(GslbError) as raised:
        journal.until(tmp_path, oldest - 1)
    assert str(raised.value) == f"{tmp_path}: the journal begins at 2026-11-24T14:30:00Z"


def test_many_files_in_one_millisecond(tmp_path: Path) -> None:
    counter = Counter(tmp_path, max_bytes=1, max_files=4)
    for _ in range(40):
        counter.add(T, pad=200)
    assert len(journal.files(tmp_path)) == 4
    assert value(tmp_path, T + 1000) == 40


def test_a_checkpoint_that_is_longer_than_a_file(tmp_path: Path) -> None:
    """Else every line would have one before it."""
    writer = Journal(tmp_path, max_bytes=10)
    for at in range(20):
        writer.append(T + at, [{"kind": "add"}], lambda: {"kind": CHECKPOINT, "pad": "x" * 1000})
    (path,) = journal.files(tmp_path)
    assert [line["kind"] for line in lines(path)] == [CHECKPOINT, *["add"] * 20]


def test_a_restart_goes_on_in_the_same_file(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    counter.add(T, 5)
    counter = counter.restarted()
    counter.value = 100  # what happened meanwhile, nobody saw
    counter.add(T + 50, 1)
    (path,) = journal.files(tmp_path)
    assert [line["kind"] for line in lines(path)] == [CHECKPOINT, "add", CHECKPOINT, "add"]
    assert [value(tmp_path, at_ms) for at_ms in (T, T + 49, T + 50)] == [5, 5, 101]


@pytest.mark.parametrize("lost", [1, 2, 10, 30])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, lost: int) -> None:
    counter = Counter(tmp_path)
    counter.add(T, 5)
    counter.add(T + 10, 1)
    path = tmp_path / f"{T}.jsonl"
    os.truncate(path, path.stat().st_size - lost)
    assert value(tmp_path, T + 20) == 5
    counter = counter.restarted()
    counter.add(T + 30, 1)
    assert [line["kind"] for line in lines(path)] == [CHECKPOINT, "add", CHECKPOINT, "add"]
    assert [value(tmp_path, at_ms) for at_ms in (T + 20, T + 30)] == [5, 7]


@pytest.mark.parametrize("size", [0, 1, 20])
def test_a_torn_first_line(tmp_path: Path, size: int) -> None:
    """A crash while a file is begun: until the restart, the file before it tells what is known."""
    counter = Counter(tmp_path, max_bytes=1)
    counter.add(T, 5, pad=500)
    counter.add(T + 10, 1, pad=500)
    newest = tmp_path / f"{T + 10}.jsonl"
    os.truncate(newest, size)
    assert value(tmp_path, T + 20) == 5
    counter = counter.restarted()
    counter.add(T + 30, 1)
    assert [value(tmp_path, at_ms) for at_ms in (T + 20, T + 30)] == [5, 7]
    assert names(tmp_path) == [f"{T}.jsonl", f"{T + 30}.jsonl"]


TORN = [b"", b"{", b"\xff", b"[]", b"null", b"{}", b'{"t_ms":5}', b'{"t_ms":"x","kind":"add"}']


@pytest.mark.parametrize("torn", TORN)
def test_a_torn_line_amid_others_is_told_until_the_next_checkpoint(tmp_path: Path, torn: bytes) -> None:
    counter = Counter(tmp_path)
    for at in range(4):
        counter.add(T + at)
    path = tmp_path / f"{T}.jsonl"
    good = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*good[:3], torn, *good[4:], b""]))
    assert value(tmp_path, T) == 1
    for at_ms in (T + 1, T + 3):  # nobody knows of what time it was
        with pytest.raises(GslbError) as raised:
            journal.until(tmp_path, at_ms)
        assert str(raised.value) == f"{path}: line 4 is torn"
    counter = counter.restarted()
    counter.add(T + 5)
    assert value(tmp_path, T + 5) == 5


def test_a_line_that_is_last_may_be_foreign_too(tmp_path: Path) -> None:
    path = tmp_path / f"{T}.jsonl"
    path.write_bytes(b"nonsense\n")
    with pytest.raises(GslbError) as raised:
        journal.until(tmp_path, T)
    assert str(raised.value) == f"{path}: its first line is not a checkpoint"
    Counter(tmp_path).add(T + 5)
    assert value(tmp_path, T + 5) == 1


def test_other_files_are_let_be(tmp_path: Path) -> None:
    (tmp_path / "notes.jsonl").write_text("mine")
    (tmp_path / f"{T}.jsonl.gz").write_text("mine")
    counter = Counter(tmp_path, max_bytes=1, max_files=1)
    for at in range(5):
        counter.add(T + at, pad=200)
    assert names(tmp_path) == [f"{T}.jsonl.gz", f"{T + 4}.jsonl", "notes.jsonl"]


NOTHING = [lambda folder: None, lambda folder: folder.mkdir(), lambda folder: folder.write_text("no folder")]


@pytest.mark.parametrize("make", NOTHING)
def test_nothing_yet(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "journal")
    with pytest.raises(GslbError, match=r"journal: nothing is in the journal yet$"):
        journal.until(tmp_path / "journal", T)


def test_what_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"{T}.jsonl").mkdir()
    with pytest.raises(GslbError, match=r"\.jsonl: cannot be read: Is a directory$"):
        journal.until(tmp_path, T)
    inner = journal.files
    monkeypatch.setattr(journal, "files", lambda folder: [*inner(folder), tmp_path / f"{T + 5}.jsonl"])
    with pytest.raises(GslbError, match=r"\.jsonl: is no longer kept$"):
        journal.until(tmp_path, T + 9)


class Disk:
    """The module ``os`` as the journal sees it, with room on the disk for some bytes."""

    def __init__(self, room: int) -> None:
        self.room = room

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def write(self, fd: int, data: memoryview) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        taken = os.write(fd, data[: self.room])
        self.room -= taken
        return taken


def test_a_full_disk_is_told_and_the_lines_that_fit_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter(tmp_path)
    counter.add(T)
    disk = Disk(room=30)
    monkeypatch.setattr(journal, "os", disk)
    with pytest.raises(OSError, match="No space left"):
        counter.add(T + 10)
    assert lines(tmp_path / f"{T}.jsonl")[-1]["t_ms"] == T
    assert not counter.add(T + 20), "quiet for a while"
    with pytest.raises(OSError, match="No space left"):
        counter.add(T + 10 + AGAIN_MS)
    disk.room = 10**6
    assert not counter.add(T + 11 + AGAIN_MS)
    assert counter.add(T + 10 + 2 * AGAIN_MS)
    assert value(tmp_path, T + 9 + 2 * AGAIN_MS) == 1
    assert value(tmp_path, T + 10 + 2 * AGAIN_MS) == 6


def test_a_full_disk_leaves_no_file_without_a_first_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(room=5)
    monkeypatch.setattr(journal, "os", disk)
    counter = Counter(tmp_path)
    with pytest.raises(OSError, match="No space left on device"):
        counter.add(T)
    assert journal.files(tmp_path) == []
    disk.room = 10**6
    assert counter.add(T + AGAIN_MS)
    assert value(tmp_path, T + AGAIN_MS) == 2


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        Counter(tmp_path / "file/journal").add(T)


@pytest.mark.parametrize("whole", [True, False], ids=["folder", "file"])
def test_what_is_deleted_is_begun_anew(tmp_path: Path, whole: bool) -> None:
    folder = tmp_path / "journal"
    counter = Counter(folder)
    counter.add(T)
    (folder / f"{T}.jsonl").unlink()
    if whole:
        folder.rmdir()
    counter.add(T + 10)
    assert value(folder, T + 10) == 2


def test_a_clock_that_goes_back_a_little_stands_still(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    for at_ms in (T, T - 500, T - BACK_MS, T + 1):
        counter.add(at_ms)
    assert [line["t_ms"] for line in lines(tmp_path / f"{T}.jsonl")] == [T, T, T, T, T + 1]
    counter = counter.restarted()
    counter.add(T - 500)
    assert [line["t_ms"] for line in lines(tmp_path / f"{T}.jsonl")][-2:] == [T + 1, T + 1]


@pytest.mark.parametrize("restart", [False, True])
def test_a_clock_that_was_far_ahead(tmp_path: Path, restart: bool) -> None:
    counter = Counter(tmp_path, max_bytes=200)
    hour_ms = 3_600_000
    counter.add(T)
    for at in range(3):
        counter.add(T + hour_ms + at, pad=200)
    if restart:
        counter = counter.restarted()
    counter.add(T + 1000, 10)
    counter.add(T + 2000, 10)
    assert [value(tmp_path, T + at_ms) for at_ms in (0, 999, 1000, 2000, hour_ms)] == [1, 1, 14, 24, 24]
    ahead = [name for name in names(tmp_path) if name.endswith(".ahead")]
    assert len(ahead) == 1, "what was written by that clock is set aside, the last of it"
