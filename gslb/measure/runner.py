"""What an engine is to its own side: something that runs SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from gslb.model import records

TRUTH: Final = "truth"
"""What tables between steps may have beside the kinds of `records`: true and false."""


class Runner(Protocol):
    """What of an engine is its own: it runs SQL, which may call ``unix_micros``, the microseconds since 1970 of a time,
    and ``xxhash64``, a number for a struct. What fails is one of ``errors``."""

    errors: tuple[type[Exception], ...]
    backend: Any
    """Ibis' own connection."""
    quote: str
    """What stands around names."""
    types: Mapping[str, str]
    """How it calls the kinds of `records`."""

    @property
    def others(self) -> Sequence[Runner]:
        """The same for threads of their own: see `Engine`. They are closed before it is."""

    def view(self, name: str, files: Sequence[Path], columns: records.Columns, exact: bool) -> None:
        """Name the rows of Parquet files, at least one, each with these columns, ``exact``ly of their types or not."""

    def keep(self, name: str, sql: str) -> None:
        """Compute a table and name it; one that has the name, and may be read for it, gives way."""

    def drop(self, name: str) -> None:
        """Forget a table that was kept."""

    def write(self, sql: str, folder: Path) -> None:
        """Compute a table as ``*.parquet`` in a new folder, whose order is by name."""

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a table."""

    def explain(self, sql: str) -> str:
        """The physical plan."""

    def close(self) -> None:
        """End it."""
