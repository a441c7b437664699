"""What a Parquet file tells of itself: how many rows there are, and of which time.

It imports pyarrow, which the extra ``[measure]`` brings; to import this without it is a `GslbError`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from gslb.errors import GslbError
from gslb.measure import arrow
from gslb.model import records
from gslb.store import footer

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
except ImportError:
    raise GslbError("measuring needs pyarrow: install gslb[measure]") from None

SPAN_S: Final = 2 * records.SLICE_S
"""What a footer says of times is believed up to this span; of a longer one the times themselves are read."""

_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


class Seen(NamedTuple):
    """A file: its rows, its bytes, and how many rows lie in each slice, by the slice's start in seconds since 1970.
    Of a short file the rows count for each slice that it may touch."""

    rows: int
    bytes: int
    slices: dict[int, int]


def seen(path: Path, columns: records.Columns, time: str) -> Seen:
    """Look at a file of a table whose column ``time`` is a time, or seconds since 1970. Raises `GslbError` with the
    reason where it is not Parquet, is torn, or has other columns."""
    try:
        arrow.checked([path], columns)
    except GslbError as error:
        raise GslbError(str(error).removeprefix(f"{path}: ")) from None
    try:
        groups = footer.of_file(path)
        with pq.ParquetFile(path) as file:
            if file.num_row_groups != len(groups):
                raise ValueError("its row groups cannot be counted")
            found: dict[int, int] = {}
            for at, group in enumerate(groups):
                for start_s, count in _slices(file, at, group, time, columns[time] == records.TIME):
                    found[start_s] = found.get(start_s, 0) + count
            return Seen(file.metadata.num_rows, path.stat().st_size, found)
    except (GslbError, pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise GslbError(f"not a Parquet file that can be read: {reason[:200]}") from None


def rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """The values of some columns, row by row."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=list(columns)):
            yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)


def _slices(file: Any, at: int, group: footer.Group, time: str, is_time: bool) -> Iterator[tuple[int, int]]:
    """Slices of a row group, and rows in each."""
    if not group.rows:
        return
    per_second = _PER_SECOND[file.schema_arrow.field(time).type.unit] if is_time else 1
    told = group.chunk(time)
    if told.span is not None and not told.nulls:
        low_s, high_s = (value // per_second for value in told.span)
        if 0 <= high_s - low_s <= SPAN_S:
            first, last = _start(low_s), _start(high_s)
            for start_s in range(first, last + 1, records.SLICE_S):
                yield start_s, group.rows
            return
    column = file.read_row_group(at, columns=[time]).column(0)
    whole = pc.cast(column, pa.int64())
    numbers = pc.floor(pc.divide(pc.cast(whole, pa.float64()), float(records.SLICE_S * per_second)))
    for each in pc.value_counts(numbers.combine_chunks()).to_pylist():
        if each["values"] is not None:
            yield int(each["values"]) * records.SLICE_S, each["counts"]


def _start(time_s: int) -> int:
    return time_s - time_s % records.SLICE_S
