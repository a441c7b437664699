"""Parquet in: the columns of a table as numpy arrays.

The only importer of pyarrow, which the extra ``[dispatch]`` brings; to import this without it is a `GslbError`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from gslb.errors import GslbError
from gslb.plan.problem import F64, I64, Mask
from gslb.store import footer

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
except ImportError:
    raise GslbError("reading Parquet needs pyarrow: install gslb[dispatch]") from None


TEXT: Final = "text"
NUMBER: Final = "number"
TIME: Final = "time"
PIECE: Final = 1 << 20
"""Rows that are decoded at once."""


class Texts(NamedTuple):
    """A column of texts: which of ``distinct`` each row has. A null is the empty text."""

    codes: I64
    distinct: tuple[str, ...]

    def at(self, row: int) -> str:
        """The text of a row."""
        return self.distinct[int(self.codes[row])]


class Numbers(NamedTuple):
    """A column of numbers: ``whole`` where they are integers, else ``real``; 0 where ``missing``."""

    whole: I64 | None
    real: F64 | None
    missing: Mask


class Seconds(NamedTuple):
    """A column of times: seconds since 1970, rounded down, those without a zone taken as UTC; 0 where ``missing``.
    ``exact`` is False where a time has a fraction of a second."""

    seconds: I64
    missing: Mask
    exact: Mask


class Piece:
    """Some of the rows that follow each other in a file; ``first`` is the number of the first one, from 0."""

    def __init__(self, table: Any, first: int) -> None:
        self._table = table
        self.first = first

    def taken(self, rows: I64) -> Piece:
        """These rows alone, counted from ``first``, ascending."""
        return self if len(rows) == self._table.num_rows else Piece(self._table.take(pa.array(rows)), self.first)

    def texts(self, name: str) -> Texts:
        """A column of texts."""
        column = self._table.column(name)
        if not pa.types.is_dictionary(column.type):
            column = column.cast(pa.string()).dictionary_encode()
        column = column.unify_dictionaries()
        distinct: list[str | None] = column.chunk(0).dictionary.to_pylist() if column.num_chunks else []
        if column.null_count:
            distinct.append(None)
        codes = [
            np.asarray(chunk.indices.fill_null(len(distinct) - 1).cast(pa.int64()).to_numpy(), np.int64)
            for chunk in column.chunks
        ]
        return Texts(np.concatenate([np.zeros(0, np.int64), *codes]), tuple(text or "" for text in distinct))

    def numbers(self, name: str) -> Numbers:
        """A column of numbers. Integers stay exact, up to 2^63 − 1."""
        column = self._table.column(name)
        missing = _array(column.is_null(), np.bool_)
        if pa.types.is_integer(column.type):
            if column.type == pa.uint64():
                column = pc.min_element_wise(column, pa.scalar((1 << 63) - 1, pa.uint64()), skip_nulls=False)
            return Numbers(_array(pc.fill_null(column, 0).cast(pa.int64()), np.int64), None, missing)
        return Numbers(None, _array(pc.fill_null(column.cast(pa.float64()), 0.0), np.float64), missing)

    def seconds(self, name: str) -> Seconds:
        """A column of times."""
        column = self._table.column(name)
        per_second = _PER_SECOND[column.type.unit]
        missing = _array(column.is_null(), np.bool_)
        ticks = _array(pc.fill_null(column.cast(pa.int64()), 0), np.int64)
        seconds = ticks // per_second
        return Seconds(seconds, missing, seconds * per_second == ticks)


class Table:
    """A Parquet file, given as its bytes, of which ``columns`` may be read. Raises `GslbError` where it is none, now or
    when it is read."""

    def __init__(self, content: bytes, columns: Sequence[str]) -> None:
        with _refused():
            schema = pq.ParquetFile(pa.BufferReader(content)).schema_arrow
            self.names: tuple[str, ...] = tuple(schema.names)
            self._wanted = [name for name in columns if self.names.count(name) == 1]
            self._types = {name: schema.field(name).type for name in self._wanted}
            texts = [name for name, kind in self._types.items() if pa.types.is_string(kind)]
            self._file = pq.ParquetFile(pa.BufferReader(content), read_dictionary=texts)
            self._told = footer.groups(content, footer.MAX_OURS)
            if len(self._told) != self._file.num_row_groups:
                raise ValueError("its row groups cannot be counted")
        self.rows: int = self._file.metadata.num_rows
        self.groups: int = self._file.num_row_groups

    def kind(self, name: str) -> str:
        """What a column holds: `TEXT`, `NUMBER`, `TIME`, or the name of another type."""
        kind = self._types[name]
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
        if any(each(kind) for each in texts):
            return TEXT
        if any(each(kind) for each in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)):
            return NUMBER
        return TIME if pa.types.is_timestamp(kind) else str(kind)

    def whole(self, name: str) -> Piece:
        """One column of all rows."""
        with _refused():
            return Piece(self._file.read(columns=[name]), 0)

    def pieces(self, group: int, columns: Sequence[str]) -> Iterator[Piece]:
        """The rows of a row group, some `PIECE` at a time: of whatever columns the same ones."""
        first = sum(each.rows for each in self._told[:group])
        with _refused():
            for batch in self._file.iter_batches(PIECE, [group], columns):
                yield Piece(pa.Table.from_batches([batch]), first)
                first += batch.num_rows

    def latest(self, name: str) -> int | None:
        """The last second of a column of times, by what the file tells of its row groups; None where it does not."""
        spans = [each.chunk(name).span for each in self._told]
        lasts = [span[1] for span in spans if span is not None]
        if not lasts or len(lasts) < len(spans) or not pa.types.is_timestamp(self._types[name]):
            return None
        last = max(lasts) // _PER_SECOND[self._types[name].unit]
        return last if last <= _LATEST_S else None


_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_LATEST_S: Final = 253_402_300_799  # of the year 9999


@contextlib.contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except (GslbError, pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise GslbError(f"not a Parquet file that can be read: {reason[:200]}") from None


def _array(column: Any, dtype: Any) -> Any:
    return np.asarray(
        column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy(), dtype
    )
