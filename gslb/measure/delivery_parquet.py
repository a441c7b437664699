"""Delivery logs as Parquet, in and out.

It imports pyarrow, which the extra ``[measure]`` brings; to import this without it is a `GslbError`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gslb.errors import Findings, GslbError
from gslb.measure import arrow, pages
from gslb.measure.delivery_rows import (
    EMPTY,
    I64,
    LARGE,
    MAX_BYTES,
    MAX_SESSIONS,
    NEGATIVE,
    NO_MINUTE,
    Coded,
    Column,
    Raw,
)
from gslb.model import records

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
except ImportError:
    raise GslbError("measuring needs pyarrow: install gslb[measure]") from None

COLUMNS: Final = tuple(records.DELIVERY)
MAGIC: Final = b"PAR1"
PIECE: Final = 1 << 16
"""Rows that are read at once."""
ROW_GROUP: Final = 1 << 18
"""Rows that are written at once."""
_HABITS: Final[dict[str, Any]] = {
    "compression": "snappy",
    "use_dictionary": ["edge", "service", "minute_s", "client_family", "client_len", "received_s"],
    "write_statistics": ["minute_s"],
    "store_schema": False,
}
"""How files are written: they are small and many, so that what is left out counts."""
_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_TEXTS: Final = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)


def pieces(path: str, content: bytes, findings: Findings, max_rows: int, max_bytes: int) -> Iterator[Raw]:
    """The rows of a Parquet file, at most ``max_rows`` which take at most ``max_bytes`` when they are unpacked. What is
    wrong with the whole file goes to ``findings``."""
    try:
        with _refused():
            schema = pq.ParquetFile(pa.BufferReader(content)).schema_arrow
            if not _fits(path, schema, findings):
                return
            texts = [name for name in COLUMNS if any(each(schema.field(name).type) for each in _TEXTS)]
            file = pq.ParquetFile(pa.BufferReader(content), read_dictionary=texts)
            if reason := _too_much(content, file.metadata, max_rows, max_bytes):
                findings.error(path, 0, 0, reason)
                return
            names = schema.names
            first = 1
            # Files are small: to part the work among threads costs more than it saves.
            for batch in file.iter_batches(PIECE, columns=COLUMNS, use_threads=False):
                first += batch.num_rows
                if first > max_rows + 1:  # the footer told of fewer
                    raise GslbError(f"more than {max_rows} rows")
                yield _piece(pa.Table.from_batches([batch]), first - batch.num_rows, names)
    except GslbError as error:
        findings.error(path, 0, 0, str(error))


class Sink:
    """Writes columns of `records.DELIVERIES`, some rows at a time; see `writing`."""

    def __init__(self, writer: Any, schema: Any) -> None:
        self._writer = writer
        self._schema = schema
        self._waiting: list[Any] = []
        self._count = 0

    def add(self, columns: Mapping[str, I64 | Coded]) -> None:
        """Write rows."""
        arrays = [_array(columns[field.name]) for field in self._schema]
        self._waiting.append(pa.Table.from_arrays(arrays, schema=self._schema))
        self._count += len(arrays[0])
        if self._count >= ROW_GROUP:
            self.flush()

    def flush(self) -> None:
        """Write what waits for more."""
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting), ROW_GROUP)
            self._waiting, self._count = [], 0


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Sink]:
    """A Parquet file of `records.DELIVERIES`. Where something is raised it is removed; whoever has it count syncs it.
    Raises ``OSError``."""
    schema = arrow.arrow_schema(records.DELIVERIES)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with pa.OSFile(str(path), "wb") as file, pq.ParquetWriter(file, schema, **_HABITS) as writer:
            sink = Sink(writer, schema)
            yield sink
            sink.flush()
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _fits(path: str, schema: Any, findings: Findings) -> bool:
    """Whether every column is there, and of a type that can be read; all faults are told."""
    before = len(findings.errors)
    for name in COLUMNS:
        count = schema.names.count(name)
        if count != 1:
            findings.error(path, 0, 0, f"column {name!r} is {'missing' if not count else f'there {count} times'}")
            continue
        at, kind = schema.names.index(name), schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        text, whole = any(each(kind) for each in _TEXTS), pa.types.is_integer(kind)
        if name == "minute":
            fits, wanted = text or whole or pa.types.is_timestamp(kind), "a timestamp, text or Unix seconds"
        elif records.DELIVERY[name] == records.WHOLE:
            fits, wanted = whole, "whole numbers"
        else:
            fits, wanted = text, "text"
        if not fits:
            findings.error(path, 0, at + 1, f"{name}: is of type {kind}; expected is {wanted}")
    return len(findings.errors) == before


def _too_much(content: bytes, metadata: Any, max_rows: int, max_bytes: int) -> str:
    if metadata.num_rows > max_rows:
        return f"{metadata.num_rows} rows; at most {max_rows} are read"
    size = pages.unpacked(content, COLUMNS)
    return f"{size} bytes when unpacked; at most {max_bytes} are read" if size > max_bytes else ""


def _piece(table: Any, first: int, names: Sequence[str]) -> Raw:
    minute = table.column("minute")
    kind = minute.type.value_type if pa.types.is_dictionary(minute.type) else minute.type

    def text(row: int) -> str:
        return ",".join(_shown(table.column(name)[row]) for name in COLUMNS)

    return Raw(
        np.arange(first, first + table.num_rows),
        _coded(minute) if any(each(kind) for each in _TEXTS) else _minutes(minute),
        _coded(table.column("edge")),
        _coded(table.column("service")),
        _coded(table.column("client_prefix")),
        _whole(table.column("bytes"), MAX_BYTES),
        _whole(table.column("sessions_started"), MAX_SESSIONS),
        lambda _, column: names.index(column) + 1,
        text,
    )


def _shown(scalar: Any) -> str:
    try:
        value = scalar.as_py()
    except (ValueError, OverflowError):  # a time that no calendar here has
        value = scalar.value
    return "" if value is None else str(value)


def _coded(column: Any) -> Coded:
    """A null is the empty text; only texts that occur are told apart."""
    chunk = column.combine_chunks()
    chunk = chunk.chunk(0) if isinstance(chunk, pa.ChunkedArray) else chunk
    if not pa.types.is_dictionary(chunk.type):
        chunk = chunk.dictionary_encode()
    none = len(chunk.dictionary)
    indices = chunk.indices.fill_null(none) if chunk.null_count else chunk.indices
    codes = indices.to_numpy(False).astype(np.int64)
    if len(codes) and not 0 <= codes.min() <= codes.max() <= none - (chunk.null_count == 0):
        raise ValueError("a number that its dictionary does not have")
    used = np.zeros(none + 1, np.bool_)
    used[codes] = True
    there = np.flatnonzero(used[:none])
    distinct = [text or "" for text in chunk.dictionary.take(pa.array(there)).to_pylist()]
    return Coded((np.cumsum(used) - 1)[codes], distinct + [""] * int(used[none]))


def _minutes(column: Any) -> Column:
    """Times, those without a zone taken as UTC, or Unix seconds."""
    per_second = _PER_SECOND[column.type.unit] if pa.types.is_timestamp(column.type) else 1
    missing = _missing(column)
    ticks = _int64(column)
    seconds = ticks // per_second
    kinds = np.where(missing, EMPTY, np.where(seconds * per_second != ticks, NO_MINUTE, 0)).astype(np.int64)

    def reason(row: int) -> str:
        return "is empty" if missing[row] else f"{_shown(column[row])!r} is not the start of a minute"

    return Column(seconds, kinds, reason)


def _whole(column: Any, most: int) -> Column:
    missing = _missing(column)
    found = _int64(column)
    kinds = np.select((missing, found < 0, found > most), (EMPTY, NEGATIVE, LARGE), 0).astype(np.int64)

    def reason(row: int) -> str:
        if missing[row]:
            return "is empty; 0 is written as 0"
        shown = f"'{column[row].as_py()}'"
        return f"{shown} is negative" if found[row] < 0 else f"{shown} is above {most}"

    return Column(found, kinds, reason)


def _missing(column: Any) -> npt.NDArray[np.bool_]:
    return np.asarray(column.is_null(), np.bool_) if column.null_count else np.zeros(len(column), np.bool_)


def _int64(column: Any) -> I64:
    """Whole numbers or ticks, 0 where one is null; what is too large for them is the largest that there is."""
    if column.type == pa.uint64():
        column = pc.min_element_wise(column, pa.scalar((1 << 63) - 1, pa.uint64()), skip_nulls=False)
    column = column.cast(pa.int64())
    return np.asarray(pc.fill_null(column, 0) if column.null_count else column, np.int64)


def _array(column: I64 | Coded) -> Any:
    if isinstance(column, Coded):
        return pa.array(column.distinct, pa.string()).take(pa.array(column.codes))
    return pa.array(column, pa.int64())


@contextlib.contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise GslbError(f"not a Parquet file that can be read: {reason[:200]}") from None
