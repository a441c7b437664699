"""DuckDB as an engine: SQL in this process, on all of its cores, spilling to disk what memory does not hold.

Connections to one database share its memory, its threads and its tables, and each is one thread's at a time. The only
importer of duckdb, which the extra ``[measure]`` brings; to import this without it is a `GslbError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gslb.errors import GslbError
from gslb.measure.runner import TRUTH
from gslb.model import records

try:
    import duckdb
except ImportError:
    raise GslbError("measuring needs DuckDB: install gslb[measure]") from None

FILE_BYTES: Final = 256 << 20
"""Files that are written are about this large at most."""
MOST_BESIDE: Final = 2
"""Statements that run side by side at most. Each uses all cores as far as it can; while one is made or written, and on
what cannot be divided, a second one keeps the others busy."""

_TYPES: Final[Mapping[str, str]] = {
    records.TIME: "TIMESTAMPTZ",
    records.TEXT: "VARCHAR",
    records.WHOLE: "BIGINT",
    records.REAL: "DOUBLE",
    TRUTH: "BOOLEAN",
}


class Duck:
    """A connection to a database in memory, and ``others`` to the same one."""

    errors: tuple[type[Exception], ...] = (duckdb.Error,)
    quote = '"'
    types = _TYPES

    def __init__(self, con: Any, backend: Any, others: Sequence[Duck] = ()) -> None:
        self._con = con
        self.backend = backend
        self.others = others
        con.execute("SET TimeZone = 'UTC'")
        con.execute("SET enable_progress_bar = false")  # in some processes it takes itself to be somebody's terminal

    def view(self, name: str, files: Sequence[Path], columns: records.Columns, exact: bool) -> None:
        """Name the rows of files."""
        casts = ", ".join(f'CAST("{each}" AS {self.types[kind]}) AS "{each}"' for each, kind in columns.items())
        paths = ", ".join(_text(_GLOB.sub(r"[\g<0>]", str(path))) for path in files)
        self._con.execute(
            f"CREATE VIEW {name} AS SELECT {casts} FROM read_parquet([{paths}], hive_partitioning = false)"
        )

    def keep(self, name: str, sql: str) -> None:
        """Compute a table, in memory as far as it fits."""
        self._con.execute(f"CREATE OR REPLACE TABLE {name} AS {sql}")

    def drop(self, name: str) -> None:
        """Forget a table that was kept."""
        self._con.execute(f"DROP TABLE IF EXISTS {name}")

    def write(self, sql: str, folder: Path) -> None:
        """Compute a table as Parquet files in a new folder."""
        self._con.execute(
            f"COPY ({sql}) TO {_text(str(folder))} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1,"
            f" FILE_SIZE_BYTES {FILE_BYTES})"
        )

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a table."""
        return list(self._con.execute(sql).fetchall())

    def explain(self, sql: str) -> str:
        """The physical plan."""
        return "\n".join(row[1] for row in self._con.execute(f"EXPLAIN {sql}").fetchall())

    def close(self) -> None:
        """End the connection; with the last one the database ends."""
        self._con.close()


def opened(own: Path, memory_mb: int, threads: int, connect: Callable[[Any], Any]) -> Duck:
    """A new database; ``connect`` makes Ibis' connection of one of DuckDB's."""
    con = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{memory_mb}MB",
            "threads": threads,
            "temp_directory": str(own / "spilled"),
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
        },
    )
    con.execute("CREATE MACRO unix_micros(time) AS epoch_us(time)")
    con.execute("CREATE MACRO xxhash64(key) AS CAST(hash(key) >> 1 AS BIGINT)")
    backend = connect(con)
    beside = min(threads, MOST_BESIDE)
    return Duck(con, backend, [Duck(con.cursor(), backend) for _ in range(beside if beside > 1 else 0)])


_GLOB: Final = re.compile(r"[*?\[]")


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
