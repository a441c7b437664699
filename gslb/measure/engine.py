"""What runs the steps of `gslb.tables`: DuckDB in this process, or Spark on many machines.

An engine reads Parquet files as tables, keeps results of steps, and writes them as Parquet files again. Steps are
Ibis expressions, which both turn to SQL. With `gslb.tables` the only importer of ibis, which the extra ``[measure]``
brings; to import this without it is a `GslbError`.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import re
import shutil
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from gslb.errors import GslbError
from gslb.measure import arrow, duck
from gslb.measure.runner import TRUTH, Runner
from gslb.model import records
from gslb.store.atomic import sync_file, sync_folder

try:
    import ibis
    import ibis.expr.operations as ops
    import sqlglot.expressions as sge

    from gslb.tables.schemas import Table, schema
except ImportError:
    raise GslbError("measuring needs Ibis: install gslb[measure]") from None

MOST_FETCHED: Final = 100_000
"""Rows that Python takes from a table."""
PLANS: Final = 1000
"""Plans that are remembered."""
STEPS: Final = 8
"""Steps that are done again and again, whose SQL is remembered."""


class Written(NamedTuple):
    """A file that was written, by its name in its folder."""

    name: str
    rows: int
    bytes: int


class Engine(Protocol):
    """What runs steps. Whatever it cannot do is a `GslbError`; of a file that cannot be read it names the path."""

    name: str
    plans: deque[str]
    """The physical plans of what ran, the latest last, where they are noted: see `nested`."""

    @property
    def others(self) -> Sequence[Engine]:
        """Engines for threads of their own, as many as make sense side by side: they share its memory, what it read and
        kept, and its end. An engine is used by one thread at a time. None: it alone is meant to work."""

    def read(self, files: Sequence[Path], columns: records.Columns) -> Table:
        """The rows of Parquet files, none, one or many: just these columns, of their kinds."""

    def rows_of(self, rows: Sequence[Mapping[str, Any]], columns: records.Columns) -> Table:
        """A table of rows given here; times are aware datetimes."""

    def kept(self, table: Table) -> AbstractContextManager[Table]:
        """A table computed once, until the context is left."""

    def renew(self, kept: Table, table: Table) -> None:
        """Compute ``table``, and have it stand in the place of one that is ``kept``, which has the same columns."""

    def write(self, table: Table, folder: Path, stem: str) -> list[Written]:
        """Write a table as ``stem.parquet``, or where it is large ``stem-0.parquet`` and so on: each there whole or
        not at all, and synced. A table without rows is a file without rows."""

    def fetch(self, table: Table) -> list[dict[str, Any]]:
        """The rows of a table of at most `MOST_FETCHED`, times in UTC."""

    def plan(self, table: Table) -> str:
        """How a table would be computed."""

    def close(self) -> None:
        """End it, and remove what it kept."""


def open_engine(name: str, scratch: Path, memory_mb: int = 2048, threads: int = 2, plans: bool = False) -> Engine:
    """The engine ``duckdb`` or ``spark``. What it keeps meanwhile lies in a folder of its own in ``scratch``, which
    machines of a Spark cluster must share. DuckDB takes ``memory_mb`` and spills what does not fit; Spark goes by its
    own configuration. ``plans`` are noted where that is asked for: all is planned twice then. Raises `GslbError`."""
    scratch.mkdir(parents=True, exist_ok=True)
    own = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=scratch.resolve()))
    try:
        return _Running(name, own, _runner(name, own, memory_mb, threads), plans)
    except BaseException:
        shutil.rmtree(own, ignore_errors=True)
        raise


def nested(plan: str) -> list[str]:
    """The joins of a physical plan that compare each row with each: nested loops, cross products, and joins by range
    alone. None of the steps may need one."""
    return sorted(set(_NESTED.findall(plan)))


_NESTED: Final = re.compile(
    r"(?i:broadcast ?nested ?loop ?join|cartesian ?product|"  # Spark
    r"nested[ _]loop[ _]join|blockwise[ _]nl[ _]join|cross[ _]product|ie[ _]?join|piecewise[ _]merge[ _]join|"
    r"positional[ _]join)"  # DuckDB
)


def _runner(name: str, own: Path, memory_mb: int, threads: int) -> Runner:
    if name == "duckdb":
        return duck.opened(own, memory_mb, threads, ibis.duckdb.from_connection)
    if name == "spark":
        from gslb.measure import spark  # slow, and of another extra

        return spark.Spark(own, ibis.pyspark.from_connection)
    raise GslbError(f"engine {name!r} is none of duckdb, spark")


class _Running:
    """An `Engine`, by what runs its SQL. What it and its ``others`` name has one numbering."""

    def __init__(self, name: str, own: Path, runner: Runner, plans: bool) -> None:
        self.name = name
        self.plans: deque[str] = deque(maxlen=PLANS if plans else 0)
        self._own = own
        self._runner = runner
        self._numbers = itertools.count(1)
        self._files: dict[str, tuple[Path, ...]] = {}
        self._step_sql = functools.lru_cache(STEPS)(lambda step: self._sql(step.to_expr()))
        self.others = [self._beside(other) for other in runner.others]

    def _beside(self, runner: Runner) -> _Running:
        made = _Running(self.name, self._own, runner, plans=False)
        made.plans, made._numbers, made._files = self.plans, self._numbers, self._files
        return made

    def read(self, files: Sequence[Path], columns: records.Columns) -> Table:
        if not files:
            return self.rows_of((), columns)
        exact = arrow.checked(files, columns)
        name = f"read_{next(self._numbers)}"
        self._files[name] = tuple(files)
        with self._told(name):
            self._runner.view(name, files, columns, exact)
        return self._table(name, schema(columns))

    def rows_of(self, rows: Sequence[Mapping[str, Any]], columns: records.Columns) -> Table:
        path = self._own / f"rows-{next(self._numbers)}.parquet"
        arrow.write_rows(path, rows, columns)
        return self.read([path], columns)

    @contextlib.contextmanager
    def kept(self, table: Table) -> Iterator[Table]:
        name = f"kept_{next(self._numbers)}"
        sql = self._sql(table)
        try:
            with self._told(sql, runs=True):
                self._runner.keep(name, sql)
            yield self._table(name, _as_kept(table))
        finally:
            with contextlib.suppress(*self._runner.errors):
                self._runner.drop(name)

    def renew(self, kept: Table, table: Table) -> None:
        sql = self._step_sql(table.op())
        with self._told(sql, runs=True):
            self._runner.keep(kept.op().name, sql)

    def write(self, table: Table, folder: Path, stem: str) -> list[Written]:
        folder.mkdir(parents=True, exist_ok=True)
        hidden = folder / f".{stem}.{os.getpid()}.tmp"
        sql = self._sql(table)
        try:
            shutil.rmtree(hidden, ignore_errors=True)
            with self._told(sql, runs=True):
                self._runner.write(sql, hidden)
            return _published(hidden, folder, stem)
        except OSError as error:
            raise GslbError(f"{folder / stem}: {error.strerror or error}") from None
        finally:
            shutil.rmtree(hidden, ignore_errors=True)

    def fetch(self, table: Table) -> list[dict[str, Any]]:
        kinds = dict(table.schema().items())
        sql = f"{self._sql(table, micros=True)} LIMIT {MOST_FETCHED + 1}"
        with self._told(sql, runs=True):
            found = self._runner.rows(sql)
        if len(found) > MOST_FETCHED:
            raise GslbError(f"{self.name}: a table of more than {MOST_FETCHED} rows is not fetched")
        reads = [_at if kind.is_timestamp() else _as_it_is for kind in kinds.values()]
        return [{name: read(value) for name, read, value in zip(kinds, reads, row, strict=True)} for row in found]

    def plan(self, table: Table) -> str:
        return self._explained(self._sql(table))

    def close(self) -> None:
        for other in self.others:
            other._runner.close()
        self._runner.close()
        shutil.rmtree(self._own, ignore_errors=True)

    def _table(self, name: str, columns: Any) -> Table:
        return ops.DatabaseTable(name, schema=columns, source=self._runner.backend, namespace=ops.Namespace()).to_expr()

    def _sql(self, table: Table, micros: bool = False) -> str:
        """The SQL of a table, numbers in types that files have, for engines widen sums; times too, as ``micros``."""
        mark = self._runner.quote
        picked = []
        for name, dtype in table.schema().items():
            column, kind = f"{mark}{name}{mark}", _kind(dtype)
            is_time = micros and kind == records.TIME
            cast = f"unix_micros({column})" if is_time else f"CAST({column} AS {self._runner.types[kind]})"
            picked.append(f"{cast} AS {column}")
        return f"SELECT {', '.join(picked)} FROM ({_compiled(self._runner.backend, table)}) AS made"

    def _explained(self, sql: str) -> str:
        with self._told(sql):
            return self._runner.explain(sql)

    @contextlib.contextmanager
    def _told(self, sql: str, runs: bool = False) -> Iterator[None]:
        """Says of what fails in here which file it was, if it was one."""
        if runs and self.plans.maxlen:
            self.plans.append(self._explained(sql))
        try:
            yield
        except self._runner.errors as error:
            named = [path for name in re.findall(r"\bread_\d+\b", sql) for path in self._files.get(name, ())]
            said = " ".join(str(error).split())[:500]
            raise GslbError(arrow.broken(dict.fromkeys(named)) or f"{self.name}: {said}") from error


def _compiled(backend: Any, table: Table) -> str:
    """The SQL of a table with doubles as doubles: what Ibis writes as 0.5 is a decimal to both engines, of which Spark
    keeps six digits in a division. Seconds of a time that is written out stay decimals."""
    query = backend.compiler.to_sqlglot(table)
    for number in query.find_all(sge.Literal):
        if number.is_string or "." not in number.this or not number.this.replace(".", "", 1).isdigit():
            continue
        if not (isinstance(number.parent, sge.Func) and "TIMESTAMP" in number.parent.sql().upper()[:20]):
            number.set("this", f"{number.this}e0")
    return str(query.sql(dialect=backend.dialect))


def _published(hidden: Path, folder: Path, stem: str) -> list[Written]:
    """Move files with rows from ``hidden`` to where they belong; one without rows if there are none."""
    found = [(path, arrow.rows_in(path)) for path in sorted(hidden.glob("*.parquet"), key=_in_order)]
    found = [each for each in found if each[1]] or found[:1]
    written = []
    for at, (path, rows) in enumerate(found):
        name = f"{stem}.parquet" if len(found) == 1 else f"{stem}-{at}.parquet"
        sync_file(path)
        written.append(Written(name, rows, path.stat().st_size))
        path.replace(folder / name)
    sync_folder(folder)
    return written


def _in_order(path: Path) -> tuple[int, str]:
    return len(path.name), path.name  # of DuckDB data_0 to data_11, of Spark part-00000-… on


def _kind(dtype: Any) -> str:
    """Which of `records`' kinds the values of an expression are."""
    if dtype.is_timestamp():
        return records.TIME
    if dtype.is_string():
        return records.TEXT
    if dtype.is_integer():
        return records.WHOLE
    if dtype.is_floating():
        return records.REAL
    if dtype.is_boolean():
        return TRUTH
    raise GslbError(f"no table has columns of type {dtype}")


def _as_kept(table: Table) -> Any:
    found = {name: _kind(dtype) for name, dtype in table.schema().items()}
    wide = schema({name: kind for name, kind in found.items() if kind != TRUTH})
    return ibis.schema({name: wide.get(name, "boolean") for name in found})


def _at(micros: int | None) -> datetime | None:
    return None if micros is None else _EPOCH + timedelta(microseconds=micros)


def _as_it_is(value: Any) -> Any:
    return value


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
