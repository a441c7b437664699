"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO


def write_atomic(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Write a file whole or not at all: beside it, synced, renamed, its directory synced. Raises ``OSError``."""
    with replacing(path) as file:
        file.writelines(pieces)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write and read; it takes the place of ``path`` in the end, unless something is raised."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Have what a file holds outlive a crash of the machine. Raises ``OSError``."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Have the names in a folder outlive a crash of the machine. Raises ``OSError``."""
    at_hand = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(at_hand)
    finally:
        os.close(at_hand)
