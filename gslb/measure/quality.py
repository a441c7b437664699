"""Verdicts of the gates, and their history: a line of JSON for each in ``TABLES/quality/history.jsonl``, newest last.

A table that a gate stops is not published: what counted before goes on to count.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from gslb.errors import GslbError
from gslb.store.atomic import write_atomic

OK, WARN, STOP = "ok", "warn", "stop"
LEVELS: Final = (OK, WARN, STOP)
MOST_LINES: Final = 50_000
"""The history is cut to so many lines when it has twice as many."""
_LINE_BYTES: Final = 400  # about; the file is only looked at closely when it may be too long


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a gate found of a table in one run: ``level``, the ``value`` that it looked at (None: it is no number) with
    the ``limit`` that holds, and of which time, in seconds since 1970. ``text`` says it to a person."""

    table: str
    gate: str
    level: str
    value: float | None
    limit: float
    text: str
    run: str
    at_s: int
    from_s: int
    until_s: int


def stops(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Those that stop their table."""
    return [verdict for verdict in verdicts if verdict.level == STOP]


def note(tables: Path, verdicts: Sequence[Verdict]) -> None:
    """Add verdicts to the history. Raises `OSError`."""
    if not verdicts:
        return
    path = _path(tables)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        if file.tell() and not _ends_whole(path):
            file.write(b"\n")  # who wrote last was killed meanwhile
        file.write(b"".join(msgspec.json.encode(verdict) + b"\n" for verdict in verdicts))
        file.flush()
        os.fsync(file.fileno())
        long = file.tell() > 2 * MOST_LINES * _LINE_BYTES
    if long:
        lines = path.read_bytes().splitlines(keepends=True)
        if len(lines) > 2 * MOST_LINES:
            write_atomic(path, lines[-MOST_LINES:])


def history(tables: Path) -> list[Verdict]:
    """All verdicts, oldest first; lines that were torn are passed over. Raises `GslbError` where none can be read."""
    path = _path(tables)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise GslbError(f"{path}: cannot be read: {error.strerror}") from None
    return list(_decoded(content))


def newest(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Of each table and gate the verdict of the last run that looked, the worst where it looked more than once; by
    name."""
    found: dict[tuple[str, str], Verdict] = {}
    for verdict in verdicts:
        key = verdict.table, verdict.gate
        before = found.get(key)
        if before is None or before.run != verdict.run or LEVELS.index(verdict.level) >= LEVELS.index(before.level):
            found[key] = verdict
    return [found[key] for key in sorted(found)]


def _decoded(content: bytes) -> Iterator[Verdict]:
    decode = msgspec.json.Decoder(Verdict).decode
    for line in content.splitlines():
        with contextlib.suppress(msgspec.DecodeError):
            yield decode(line)


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _path(tables: Path) -> Path:
    return tables / "quality" / "history.jsonl"
