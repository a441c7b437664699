"""Parquet files seen from outside an engine: whether their columns are what a table has, which of them is broken, and
small ones written from Python.

It imports pyarrow, which the extra ``[measure]`` brings; to import this without it is a `GslbError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy.typing as npt

from gslb.errors import GslbError
from gslb.model import records
from gslb.store.atomic import replacing

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError:
    raise GslbError("measuring needs pyarrow: install gslb[measure]") from None

PIECE: Final = 1 << 16
"""Rows that are written at once."""


def checked(files: Iterable[Path], columns: records.Columns) -> bool:
    """Read the footers of ``files``. True where each has just the types of ``columns``; False where some are of other
    widths. Raises `GslbError`, a line for each file that is no Parquet, lacks one of ``columns``, has others, or has
    one of another kind: the path and what is wrong."""
    exact = True
    faults = []
    for path in files:
        try:
            exact &= _exact(path, columns)
        except GslbError as error:
            faults.append(f"{path}: {error}")
    if faults:
        raise GslbError("\n".join(faults))
    return exact


def broken(files: Iterable[Path]) -> str:
    """The first of ``files`` whose rows cannot be read, with the reason; empty where all can. It reads all of them."""
    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                for _ in file.iter_batches(PIECE):
                    pass
        except (pa.ArrowException, OSError, ValueError) as error:
            return f"{path}: {_said(error)}"
    return ""


def rows_in(path: Path) -> int:
    """How many rows a Parquet file says it has. Raises `GslbError`."""
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError) as error:
        raise GslbError(f"{path}: {_said(error)}") from None


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]], columns: records.Columns) -> int:
    """Write rows to a Parquet file, whole or not at all; times are aware datetimes. Returns how many. Raises
    `GslbError` where a value does not fit its column, ``OSError``."""
    schema = arrow_schema(columns)
    written = 0
    left = iter(rows)
    with replacing(path) as file, pq.ParquetWriter(file, schema, compression="zstd", compression_level=1) as writer:
        while piece := list(islice(left, PIECE)):
            writer.write_table(_table(piece, schema))
            written += len(piece)
    return written


class Texts(NamedTuple):
    """A column of texts: which of ``texts`` each row has."""

    codes: npt.NDArray[Any]
    texts: Sequence[str]


def write_columns(path: Path, found: Mapping[str, npt.NDArray[Any] | Texts], columns: records.Columns) -> None:
    """Write a table of numpy columns to a Parquet file, whole or not at all. Raises ``OSError``."""
    schema = arrow_schema(columns)
    arrays = []
    for field in schema:
        column = found[field.name]
        if isinstance(column, Texts):
            made = pa.DictionaryArray.from_arrays(
                pa.array(column.codes, pa.int32()), pa.array(column.texts, pa.string())
            )
        else:
            made = pa.array(column)
        arrays.append(made.cast(field.type))
    with replacing(path) as file:
        pq.write_table(pa.table(arrays, schema=schema), file, compression="zstd", compression_level=1)


def arrow_schema(columns: records.Columns) -> Any:
    """The Arrow schema of a table."""
    return pa.schema([(name, _TYPES[kind]) for name, kind in columns.items()])


_TYPES: Final = {
    records.TIME: pa.timestamp("us", tz="UTC"),
    records.TEXT: pa.string(),
    records.WHOLE: pa.int64(),
    records.REAL: pa.float64(),
}
_FITS: Final = {
    records.TIME: lambda kind: pa.types.is_timestamp(kind) and kind.unit in ("ms", "us"),
    records.TEXT: lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
    records.WHOLE: pa.types.is_integer,
    records.REAL: lambda kind: pa.types.is_floating(kind) or pa.types.is_integer(kind),
}


def _exact(path: Path, columns: records.Columns) -> bool:
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise GslbError(_said(error)) from None
    names: Sequence[str] = schema.names
    missing = [name for name in columns if name not in names]
    if missing:
        raise GslbError(f"columns are missing: {', '.join(missing)}")
    other = [name for name in names if name not in columns]
    if other or len(names) > len(columns):
        raise GslbError(f"columns are not known: {', '.join(other) or 'one is there twice'}")
    exact = True
    for name, kind in columns.items():
        found = schema.field(name).type
        found = found.value_type if pa.types.is_dictionary(found) else found
        if not _FITS[kind](found):
            raise GslbError(f"column {name} is {found}, not {_TYPES[kind]}")
        exact &= found == _TYPES[kind]
    return exact


def _table(rows: Sequence[Mapping[str, Any]], schema: Any) -> Any:
    try:
        return pa.Table.from_pydict(
            {field.name: pa.array([row[field.name] for row in rows], field.type) for field in schema}, schema=schema
        )
    except (pa.ArrowException, OverflowError, TypeError) as error:
        raise GslbError(f"rows that do not fit their columns: {error}") from None


def _said(error: Exception) -> str:
    reason = (getattr(error, "strerror", None) if isinstance(error, OSError) else None) or " ".join(str(error).split())
    return f"not a Parquet file that can be read: {reason[:200]}"
