"""Rows of ``dig`` and the answer each gets from the shipped sample: every rule that can be seen with dig.

A transcript is comments (``#``), blank lines, and rows: ``; what the row shows``, ``; dig ARGUMENTS``, then the answer
as `gslbtest.asking.Dug.lines` gives it. dig runs with ``+norec``. To write the answers anew after a change:

    make transcripts
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest
from gslbtest.asking import dig
from gslbtest.serving import Server

FOLDER = Path(__file__).parent / "transcripts"
SERIAL = re.compile(r"( SOA \S+ \S+) \d+")  # follows from the zone's content, and so from any edit
REWRITE = "GSLB_WRITE_TRANSCRIPTS"


class Row(NamedTuple):
    """One question: where it stands, what it shows, what dig is asked, what comes."""

    path: Path
    line: int
    shows: str
    arguments: tuple[str, ...]
    wanted: tuple[str, ...]


def rows(path: Path) -> list[Row]:
    """The rows of one transcript."""
    found: list[Row] = []
    shows = ""
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if text.startswith("; dig "):
            found.append(Row(path, number, shows, tuple(shlex.split(text[6:])), ()))
        elif text.startswith(";"):
            shows = text[1:].strip()
        elif text and not text.startswith("#"):
            assert found, f"{path.name}:{number}: an answer without a question"
            found[-1] = found[-1]._replace(wanted=(*found[-1].wanted, text))
    return found


ROWS = [row for path in sorted(FOLDER.glob("*.txt")) for row in rows(path)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.path.stem}-{row.line}")
def test_a_row(sample: Server, row: Row) -> None:
    said = dig(sample.port, "+norec", *row.arguments)
    lines = [SERIAL.sub(r"\1 SERIAL", line) for line in said.lines()]
    if os.environ.get(REWRITE):
        _write(row, lines)
    else:
        assert lines == list(row.wanted), f"{row.path.name}:{row.line}: {row.shows}\n{said.text}"


def test_every_row_says_what_it_shows() -> None:
    assert len(ROWS) >= 60
    assert [row for row in ROWS if not row.shows] == []
    assert len({(row.shows, row.arguments) for row in ROWS}) == len(ROWS)


def _write(row: Row, lines: list[str]) -> None:
    """Put ``lines`` in place of the row's answer."""
    texts = row.path.read_text(encoding="utf-8").splitlines()
    at = texts.index("; dig " + shlex.join(row.arguments)) + 1
    end = at
    while end < len(texts) and texts[end] and texts[end][0] not in ";#":
        end += 1
    texts[at:end] = lines
    row.path.write_text("\n".join(texts) + "\n", encoding="utf-8")
