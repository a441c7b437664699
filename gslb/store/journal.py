"""What happened, in the order in which it did: JSON lines in files of bounded size and number.

A file is named by the time of its first line, ``1795530600000.jsonl``, in ms since 1970. Its first line is a
checkpoint, from which the lines below can be understood without any other file; so the oldest file can be deleted at
any time. Each line has ``t_ms`` and ``kind``; ``t_ms`` never goes back within a file. Lines are not synced: a crash of
the machine may cost the last seconds, and a line that a crash left torn is cut off before others are appended.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from gslb.errors import GslbError
from gslb.health.override import time_text

CHECKPOINT: Final = "checkpoint"
MAX_BYTES: Final = 16 << 20
"""Of a file: when it has as many, the next is begun."""
MAX_FILES: Final = 16
AGAIN_MS: Final = 5_000
"""After a fault of writing nothing is tried for so long."""
BACK_MS: Final = 60_000
"""A clock that goes back by no more than this stands still here instead."""

_ENDING: Final = ".jsonl"
_AHEAD: Final = ".ahead"
_CHECKPOINTS: Final = 4  # of a file, what is not its checkpoint is at least so many times as long

Entry = Mapping[str, Any]
"""A line without its ``t_ms``: ``kind``, and what JSON can tell."""


class Journal:
    """The journal in a folder, for the one process that writes it. Not for two threads at once."""

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._path: Path | None = None
        self._size = 0
        self._limit = 0
        self._last_ms = 0
        self._failed_ms: int | None = None

    def append(self, clock_ms: int, entries: Iterable[Entry], checkpoint: Callable[[], Entry]) -> bool:
        """Write ``entries``, all with one time. Where they cannot follow what is written (at the start, after a fault,
        in a new file), a ``checkpoint`` is written before them: the state after these entries.

        Whether they are written: they are not, in silence, for `AGAIN_MS` after a fault. Raises ``OSError``.
        """
        if self._failed_ms is not None and 0 <= clock_ms - self._failed_ms < AGAIN_MS:
            return False
        try:
            if clock_ms < self._last_ms - BACK_MS or (self._path is not None and _size(self._path) != self._size):
                self._path = None  # the clock went far back, or somebody deleted the file or wrote into it
            elif self._path is not None and self._size >= self._limit:
                self._begin(clock_ms)
            path = self._path or self._open(clock_ms)
            at_ms = max(clock_ms, self._last_ms)
            lines = [_line(at_ms, entry) for entry in entries]
            if not self._limit:
                first = _line(at_ms, checkpoint())
                self._limit = max(self._max_bytes, _CHECKPOINTS * len(first))
                lines.insert(0, first)
            _write(path, self._size, data := b"".join(lines))
            self._size += len(data)
            self._last_ms, self._failed_ms = at_ms, None
        except OSError:
            self._path, self._failed_ms = None, clock_ms
            raise
        return True

    def _open(self, clock_ms: int) -> Path:
        """Go on with the newest file, its torn end cut off, or begin one."""
        self._limit = 0
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in files(self._folder):
            if _first_ms(path) > clock_ms + BACK_MS:  # of a clock that was ahead: newer files would seem older
                path.replace(path.with_name(path.name + _AHEAD))
        found = files(self._folder)
        if found:
            size, last_ms = _mended(found[-1])
            if 0 < size < self._max_bytes and last_ms <= clock_ms + BACK_MS:
                self._path, self._size, self._last_ms = found[-1], size, last_ms
                return found[-1]
            if not size:
                found[-1].unlink()
        return self._begin(clock_ms)

    def _begin(self, clock_ms: int) -> Path:
        """A new file, and the oldest deleted where there are too many."""
        found = files(self._folder)
        at_ms = max(clock_ms, self._last_ms if clock_ms >= self._last_ms - BACK_MS else 0)
        if found:
            at_ms = max(at_ms, _first_ms(found[-1]) + 1)
        begun = self._folder / f"{at_ms}{_ENDING}"
        self._path, self._size, self._limit, self._last_ms = begun, 0, 0, at_ms
        ahead = sorted(self._folder.glob(f"*{_ENDING}{_AHEAD}"))
        for path in (*found[: max(0, len(found) + 1 - self._max_files)], *ahead[:-1]):
            path.unlink(missing_ok=True)
        return begun


def files(folder: Path) -> list[Path]:
    """The journal's files, the oldest first."""
    return sorted((path for path in folder.glob(f"*{_ENDING}") if path.stem.isdecimal()), key=_first_ms)


def until(folder: Path, at_ms: int) -> list[dict[str, Any]]:
    """The newest checkpoint that is not later than ``at_ms``, and every line after it that is not later either.

    Raises `GslbError` where the journal begins later, and where a line that is wanted is torn; a torn last line is not
    wanted: a crash left it, or it is being written.
    """
    if not folder.is_dir() or not (found := files(folder)):
        raise GslbError(f"{folder}: nothing is in the journal yet")
    for path in reversed(found):
        if _first_ms(path) <= at_ms and (lines := _until(path, at_ms)):
            return lines
    raise GslbError(f"{folder}: the journal begins at {time_text(_first_ms(found[0]) // 1000)}")


def _until(path: Path, at_ms: int) -> list[dict[str, Any]]:
    """As `until`, of one file; empty where it has no whole line."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise GslbError(f"{path}: is no longer kept") from None
    except OSError as error:
        raise GslbError(f"{path}: cannot be read: {error.strerror}") from None
    decoder = msgspec.json.Decoder(dict[str, Any])
    lines: list[dict[str, Any]] = []
    torn = "its first line is not a checkpoint"
    *whole, _ = content.split(b"\n")
    if not whole:
        return []
    for number, text in enumerate(whole, start=1):
        try:
            line = decoder.decode(text)
            if int(line["t_ms"]) > at_ms:
                break
            if line["kind"] == CHECKPOINT:
                lines, torn = [], ""
            lines.append(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, ValueError):
            torn = torn or f"line {number} is torn"
    if torn:
        raise GslbError(f"{path}: {torn}")
    return lines


def _write(path: Path, size: int, data: bytes) -> None:
    """Append all of it to the ``size`` bytes that are there, or, so far as that can be, none of it."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(fd, left) :]
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(fd, size)
        if size == 0:
            path.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


def _line(at_ms: int, entry: Entry) -> bytes:
    return msgspec.json.encode({"t_ms": at_ms, **entry}) + b"\n"


def _size(path: Path) -> int:
    """-1 where there is no such file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _first_ms(path: Path) -> int:
    return int(path.stem)


def _mended(path: Path) -> tuple[int, int]:
    """Cut off what follows the last whole line; the bytes that are left, and the time of that line (of the file where
    it cannot be read)."""
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        os.truncate(path, end)
    last = content[content.rfind(b"\n", 0, max(0, end - 1)) + 1 : end]
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, ValueError):
        return end, max(_first_ms(path), int(msgspec.json.decode(last)["t_ms"]))
    return end, _first_ms(path)
