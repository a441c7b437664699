"""A copy of what a reader of the README has before them, in which commands can be run and files edited."""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

REPO = Path(__file__).parents[3]


def checkout(folder: Path) -> Path:
    """Copy Makefile, zones, data and documents to ``folder``; its .venv is the Python that runs the tests."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("Makefile", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy2(REPO / name, folder / name)
    for name in ("zones", "data", "docs", "tests/scenarios"):
        shutil.copytree(REPO / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "gslb").symlink_to(REPO / "gslb")
    (folder / ".venv").symlink_to(sys.prefix)
    # make must find nothing to install: it would make the shared environment point at this copy.
    os.utime(folder / "pyproject.toml", (0, 0))
    if not (folder / ".venv/installed").exists():
        (folder / ".venv/installed").touch()
    return folder


@dataclass(frozen=True, slots=True)
class Step:
    """A command of a ``console`` block, what the document shows under it, and the line it stands on."""

    command: str
    shown: str
    line: int
    skipped: str  # why it is not run, or ""
    about: bool = False  # its numbers are nearly those that are shown


def steps(text: str) -> list[Step]:
    """The commands of all ``console`` blocks of a Markdown text.

    ``$`` begins a command, ``>`` continues it; what follows is its output. A block under a comment
    ``<!-- not run: reason -->`` is given with that reason, under ``<!-- about: reason -->`` numbers may differ.
    """
    found: list[Step] = []
    reason, last = "", ""
    inside = about = False
    for number, row in enumerate(text.splitlines(), 1):
        if row.startswith("```"):
            inside = not inside and row.removeprefix("```").strip() == "console"
            if inside:
                note = re.fullmatch(r"<!-- not run: (.+) -->", last)
                reason = note[1] if note else ""
                about = last.startswith("<!-- about: ")
        elif inside and row.startswith("$ "):
            found.append(Step(row[2:], "", number, reason, about))
        elif inside and row.startswith("> ") and found and not found[-1].shown:
            found[-1] = replace(found[-1], command=f"{found[-1].command}\n{row[2:]}")
        elif inside and found:
            found[-1] = replace(found[-1], shown=f"{found[-1].shown}{row}\n")
        if row.strip():
            last = row.strip()
    return found
