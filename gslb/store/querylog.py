"""The query log's files: `queries/SERVER-BOOT-FIRSTSEQ.parquet` and `counters/SERVER-BOOT-NUMBER.parquet` of a folder.

The only importer of pyarrow in this room, which the extra ``[log]`` brings; to import this without it is a `GslbError`.
A file is there whole or not at all and never changes; it may be removed at any time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from gslb.errors import GslbError
from gslb.model import records
from gslb.store import footer
from gslb.store.atomic import replacing

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
except ImportError:
    raise GslbError("the query log needs pyarrow: install gslb[log]") from None

QUERIES: Final = "queries"
COUNTERS: Final = "counters"
"""Folders of the log."""
SUFFIX: Final = ".parquet"
PIECE: Final = 1 << 13
"""Rows that are decoded at once."""
LATEST_US: Final = 1 << 62
_TYPES: Final = {
    records.TIME: pa.timestamp("us", tz="UTC"),
    records.TEXT: pa.string(),
    records.WHOLE: pa.int64(),
    records.REAL: pa.float64(),
}
_FEW: Final = ("qtype", "rcode", "level", "scope", "ttl_s", "weight", "client_family", "client_len", "resolver_family",
               "resolver_len")  # fmt: skip
"""Columns of numbers that have few different values."""
_GROWING: Final = ("time", "seq")
"""Those that go up by little from row to row: as differences they are smaller, and read faster."""


def schema(columns: records.Columns) -> Any:
    """The Parquet schema of a table with these columns."""
    return pa.schema([pa.field(name, _TYPES[kind], nullable=False) for name, kind in columns.items()])


def write(path: Path, columns: records.Columns, groups: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """Write a file, a row group for each of ``groups``: rows and bytes.

    A group has by column an array of whole numbers (times in µs since 1970), or of texts (codes, distinct texts).
    Nothing is written where there are no rows. Raises `OSError`.
    """
    found = schema(columns)
    rows = 0
    with replacing(path) as file:
        writer = pq.ParquetWriter(
            file,
            pa.schema([_coded(field) for field in found]),
            compression="zstd",
            compression_level=1,
            use_dictionary=[name for name, kind in columns.items() if kind == records.TEXT or name in _FEW],
            column_encoding={name: "DELTA_BINARY_PACKED" for name in _GROWING if name in columns},
            write_statistics=["time"],
            store_schema=False,
        )
        try:
            for group in groups:
                arrays = [_array(group[field.name], field.type) for field in found]
                writer.write_batch(pa.record_batch(arrays, writer.schema))
                rows += len(arrays[0])
        except BaseException:
            with contextlib.suppress(Exception):
                writer.close()
            raise
        writer.close()
        size = file.tell()
    return rows, size


def _coded(field: Any) -> Any:
    kind = pa.dictionary(pa.int32(), pa.string()) if pa.types.is_string(field.type) else field.type
    return field.with_type(kind)


def _array(values: Any, kind: Any) -> Any:
    if isinstance(values, tuple):
        codes, distinct = values
        return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(distinct, pa.string()))
    found = pa.array(np.asarray(values, np.float64 if pa.types.is_floating(kind) else np.int64))
    return found.view(kind) if pa.types.is_timestamp(kind) else found


class Segment(NamedTuple):
    """A file of the query log, the time of its first and its last record, in µs since 1970."""

    path: Path
    first_us: int
    last_us: int
    rows: int


def names(log: Path) -> dict[str, int]:
    """The names of the segments of a log, each with the time it was written, in µs since 1970.

    Raises `GslbError` where there is no log that can be read.
    """
    found = {}
    try:
        with os.scandir(log / QUERIES) as entries:
            for each in entries:
                if each.name.endswith(SUFFIX) and not each.name.startswith("."):
                    with contextlib.suppress(FileNotFoundError):
                        found[each.name] = each.stat().st_mtime_ns // 1000
    except OSError as error:
        raise GslbError(f"{log}: no query log can be read here: {error.strerror}") from None
    return found


def segments(log: Path, found: Mapping[str, int], from_us: int = 0, until_us: int = LATEST_US) -> list[Segment]:
    """Of these segments, as `names` gives them, those with records of a span of time, by their first record.

    Those that are gone meanwhile are left out. Raises `GslbError` for what is no segment.
    """
    kept = []
    for name, written_us in found.items():
        if written_us < from_us:  # records are older than their segment
            continue
        with contextlib.suppress(FileNotFoundError):
            segment = _segment(log / QUERIES / name)
            if segment.rows and segment.first_us < until_us and segment.last_us >= from_us:
                kept.append(segment)
    return sorted(kept, key=lambda segment: (segment.first_us, segment.path.name))


def last(log: Path, count: int, wanted: Wanted, found: Mapping[str, int] | None = None) -> list[dict[str, Any]]:
    """The last ``count`` records that are wanted, of whichever server, by their time; of these segments alone, where
    they are given, as `names` gives them. Raises `GslbError`."""
    kept: list[dict[str, Any]] = []
    if not count:
        return kept
    found = names(log) if found is None else found
    for name, written_us in sorted(found.items(), key=lambda item: item[1], reverse=True):
        if len(kept) >= count and (not kept or written_us < _us(kept[0]["time"])):
            break
        for segment in segments(log, {name: written_us}):
            for some in rows(segment, wanted):
                kept = sorted([*kept, *some], key=lambda row: (row["time"], row["server"], row["seq"]))[-count:]
    return kept


def _segment(path: Path) -> Segment:
    with _refused(path):
        had = pq.read_schema(path)
        if lacking := [field.name for field in schema(records.QUERIES) if _kind(had, field.name) != field.type]:
            raise ValueError(f"no such columns: {', '.join(lacking)}")
        groups = footer.of_file(path)
        spans = [group.chunk("time").span for group in groups]
        if None in spans:
            raise ValueError("it does not tell the times of its records")
        firsts, lasts = zip(*filter(None, spans), strict=True) if spans else ((0,), (0,))
    return Segment(path, min(firsts), max(lasts), sum(group.rows for group in groups))


def _kind(had: Any, name: str) -> Any:
    at = had.get_field_index(name)
    return had.field(at).type if at >= 0 else None


def _us(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


class Wanted(NamedTuple):
    """Which records are wanted.

    ``equal`` has by column the values one of which it must be, ``within`` by ``client`` or ``resolver`` a network
    (family, net as `records` has it, length) that theirs must lie in, ``views`` patterns country|region|isp, of which
    one must fit; empty parts: any.
    """

    from_us: int = 0
    until_us: int = LATEST_US
    equal: Mapping[str, Sequence[Any]] = {}
    within: Mapping[str, tuple[int, int, int]] = {}
    views: Sequence[str] = ()

    def mask(self, table: Any) -> Any:
        """Which rows of a record batch."""
        time = table.column("time").view(pa.int64())
        found = pc.and_(pc.greater_equal(time, self.from_us), pc.less(time, self.until_us))
        for name, values in self.equal.items():
            column = table.column(name)
            found = pc.and_(found, pc.is_in(column, value_set=pa.array(values, column.type)))
        for name, (family, net, length) in self.within.items():
            found = pc.and_(found, pc.equal(table.column(f"{name}_family"), family))
            found = pc.and_(found, pc.greater_equal(table.column(f"{name}_len"), length))
            if length:  # as signed numbers, the addresses of a network follow each other
                last = net + (1 << (32 if family == 4 else 64) - length) - 1
                address = table.column(f"{name}_net")
                found = pc.and_(found, pc.and_(pc.greater_equal(address, net), pc.less_equal(address, last)))
        if self.views:
            view = table.column("view")
            wanted = [each for each in pc.unique(view).to_pylist() if any(_like(each, like) for like in self.views)]
            found = pc.and_(found, pc.is_in(view, value_set=pa.array(wanted, view.type)))
        return found


def rows(segment: Segment, wanted: Wanted) -> Iterator[list[dict[str, Any]]]:
    """The records of a segment that are wanted, in pieces, each a row by its columns; none of a segment that is gone.

    Raises `GslbError` where it cannot be read.
    """
    columns = list(records.QUERIES)
    with contextlib.suppress(FileNotFoundError), _refused(segment.path), pq.ParquetFile(segment.path) as file:
        for batch in file.iter_batches(PIECE, columns=columns):
            yield batch.select(columns).filter(wanted.mask(batch)).to_pylist()


def _like(view: str, pattern: str) -> bool:
    has = [*view.split("|"), "", ""]
    return all(not part or part == has[at] for at, part in enumerate(pattern.split("|")))


@contextlib.contextmanager
def _refused(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (GslbError, pa.ArrowException, OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise GslbError(f"{path}: not a segment of the query log: {reason[:200]}") from None
