"""Demand in: a CSV, a Parquet file, or a folder with `_current.json` → a table of buckets by groups, or its faults.

Columns are ``time,service,country,region,isp,demand_bps``, in any order, others passed over; ``time`` is the start of
a bucket. In a folder a bucket counts as measured where the manifest names it, and what has no row in it asked for
nothing; in a bare file the buckets that occur are the ones that are known. A fault is told at the first row that has
it, as ``path:line:column``; of Parquet, as the number of the row, from 1, and of the column.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Final

import numpy as np

from gslb.dispatch import manifest
from gslb.dispatch.demand_rows import DemandRows, Raw
from gslb.errors import FaultyError, Findings, GslbError
from gslb.geo import values
from gslb.geo.isps import IspNames
from gslb.geo.sheet import Sheet
from gslb.model.events import Stream
from gslb.model.plan import PlanInput
from gslb.plan import intake
from gslb.plan.history import History
from gslb.plan.problem import I64

COLUMNS: Final = ("time", "service", "country", "region", "isp", "demand_bps")
DEMAND: Final = "demand"
LIVE: Final = "demand_live"
BUCKET_S: Final[Mapping[str, int]] = {DEMAND: 300, LIVE: 60}
MAX_BPS: Final = 10**15
"""The most that one group may ask for: 1000 Tbps."""
MAX_BYTES: Final = 4 << 30
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Demand:
    """What was read. ``history`` counts only where ``findings`` has no errors; it holds the groups of services that are
    planned, in the buckets that a forecast looks at. ``age_s`` is how long ago the newest bucket ended, ``sha256`` that
    of all bytes read."""

    history: History
    age_s: float
    sha256: str
    findings: Findings

    @property
    def input(self) -> PlanInput:
        """As a plan names it among its inputs."""
        return PlanInput(round(self.age_s, 1), self.sha256)


def read(
    path: Path,
    isps: IspNames,
    services: Mapping[str, bool],
    now_s: float,
    late_s: float,
    table: str = DEMAND,
    streams: Sequence[Stream] = (),
) -> Demand:
    """Read a table, and put it through the gates of `gslb.plan.intake`.

    ``services`` are the names of all services (lower case, final dot), and whether each is planned; rows of others are
    passed over with a warning. An ISP that is not known any more is a warning too: its demand counts as of no ISP.
    ``late_s`` is how long ago the newest bucket may have ended. ``table`` is `DEMAND` or `LIVE`. ``streams`` are those
    that were scheduled.
    """
    findings = Findings()
    rows = DemandRows(isps, services, BUCKET_S[table], findings)
    digest = hashlib.sha256()
    try:
        known = _read_files(path, table, rows, digest.update, findings)
    except OSError as error:
        findings.error(str(path), 0, 0, f"cannot be read: {error.strerror or error}")
        known = None
    history = rows.history(known)
    if not findings.errors:
        history = intake.ended(history, now_s)
        for fault in intake.gate(history, now_s, late_s, streams):
            findings.error(*rows.place(fault, str(path)), fault.reason)
    age_s = now_s - float(history.times_s[-1]) - history.bucket_s if len(history.times_s) else 0.0
    return Demand(history, age_s, digest.hexdigest(), findings)


def _read_files(
    path: Path, table: str, rows: DemandRows, digest: Callable[[bytes], None], findings: Findings
) -> I64 | None:
    """Read what ``path`` names into ``rows``; the buckets that a manifest names, or None where there is none."""
    if not path.is_dir():
        _read_file(path, _content(path), rows, None, digest, findings)
        return None
    current = path / manifest.CURRENT
    for left in reversed(range(_TRIES)):
        content = _content(current)
        try:
            found = manifest.read(content, table, BUCKET_S[table])
        except FaultyError as error:
            for key, reason in error.faults:
                findings.error(str(current), 0, 0, f"{key}: {reason}" if key else reason)
            return None
        try:
            contents = [_content(path / name) for name in found.files]
        except FileNotFoundError:
            if left:  # a newer run may have taken their place meanwhile
                continue
            raise
        digest(content)
        known = frozenset(found.buckets_s)
        for name, each in zip(found.files, contents, strict=True):
            _read_file(path / name, each, rows, known, digest, findings)
        return np.array(found.buckets_s, dtype=np.int64)
    raise AssertionError


def _content(path: Path) -> bytes:
    if path.stat().st_size > MAX_BYTES:
        raise OSError(0, f"more than {MAX_BYTES} bytes", str(path))
    return path.read_bytes()


def _read_file(
    path: Path,
    content: bytes,
    rows: DemandRows,
    known: frozenset[int] | None,
    digest: Callable[[bytes], None],
    findings: Findings,
) -> None:
    digest(content)
    if content.startswith(b"PAR1") or path.suffix == ".parquet":
        try:
            from gslb.dispatch.demand_parquet import read_parquet  # its library is large, and may be absent

            read_parquet(str(path), content, COLUMNS, MAX_BPS, rows, known, findings)
        except GslbError as error:
            findings.error(str(path), 0, 0, str(error))
    else:
        _read_csv(str(path), content, rows, known, findings)


def _read_csv(path: str, content: bytes, rows: DemandRows, known: frozenset[int] | None, findings: Findings) -> None:
    sheet = Sheet(path, content, COLUMNS, COLUMNS, findings, others=True)
    texts = itemgetter(*(sheet.index(column) for column in COLUMNS[1:5]))
    time_at, rate_at = sheet.index("time"), sheet.index("demand_bps")
    lines, times, codes, rates = array("q"), array("q"), array("q"), array("q")
    seen: dict[str, int | None] = {}
    groups: dict[Raw, int] = {}
    for line, fields in sheet.rows():
        text = fields[time_at]
        if text in seen:
            time_s = seen[text]
        else:
            time_s = seen[text] = _bucket(sheet, line, text, rows, known)
        raw = texts(fields)
        code = groups.get(raw)
        if code is None:

            def tell(column: str, reason: str, line: int = line) -> None:
                sheet.fault(line, column, reason)

            def warn(column: str, reason: str, line: int = line) -> None:
                sheet.warn(line, column, reason)

            code = groups[raw] = rows.group(raw, tell, warn)
        text = fields[rate_at]
        if text.isdigit() and text.isascii() and len(text) <= 15:
            bps = int(text)
        else:
            try:
                bps = _rate(text)
            except ValueError as error:
                sheet.fault(line, "demand_bps", str(error))
                continue
        if time_s is not None:
            lines.append(line)
            times.append(time_s)
            codes.append(code)
            rates.append(bps)
    sheet.finish()
    rows.add(path, *(np.frombuffer(each, dtype=np.int64) for each in (lines, times, codes, rates)))


def _bucket(sheet: Sheet, line: int, text: str, rows: DemandRows, known: frozenset[int] | None) -> int | None:
    """The start of a bucket; None where it is none, which is told."""
    try:
        time_s = values.time_s(text)
    except ValueError as error:
        sheet.fault(line, "time", str(error))
        return None
    if fault := rows.time_fault(time_s, known):
        sheet.fault(line, "time", fault)
        return None
    return time_s


def _rate(text: str) -> int:
    if not text:
        raise ValueError("is empty; 0 is written as 0")
    if text.lower().lstrip("+-") in ("nan", "inf", "infinity", "null", "none"):
        raise ValueError(f"{text!r} is not a number")
    if text.startswith("-"):
        raise ValueError(f"{text!r} is negative, or not a number")
    return int(values.number(text, 0, MAX_BPS))
