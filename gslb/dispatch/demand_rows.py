"""Rows of demand, of whatever files: what their texts mean, and the table they make together."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from gslb.dispatch import manifest
from gslb.errors import Findings
from gslb.geo import values
from gslb.geo.isps import IspNames
from gslb.plan import intake
from gslb.plan.history import History, dense, needed
from gslb.plan.problem import I64, GroupKey

Raw = tuple[str, str, str, str]
"""Service, country, region, ISP as a file has them."""
Tell = Callable[[str, str], None]
"""Takes a column and what is wrong with its value."""


class DemandRows:
    """Rows of all files together: columns of numbers, and what the texts behind them mean."""

    def __init__(self, isps: IspNames, services: Mapping[str, bool], bucket_s: int, findings: Findings) -> None:
        self._isps = isps
        self._services = services
        self._bucket_s = bucket_s
        self._findings = findings
        self._codes: dict[Raw, int] = {}
        self._keys: list[GroupKey] = []
        self._warned: set[str] = set()
        self._parts: list[tuple[str, I64, I64, I64, I64]] = []  # path, lines, times, codes, rates

    def group(self, raw: Raw, tell: Tell, warn: Tell) -> int:
        """The number of a group by its four texts; what is wrong with them is told the first time. −1: passed over."""
        code = self._codes.get(raw)
        if code is None:
            key = self._key(raw, tell, warn)
            code = -1
            if key is not None:
                code = len(self._keys)
                self._keys.append(key)
            self._codes[raw] = code
        return code

    def _key(self, raw: Raw, tell: Tell, warn: Tell) -> GroupKey | None:
        found: list[str] = []
        for column, text, convert in zip(
            ("service", "country", "region"), raw, (values.service, values.country, values.region), strict=False
        ):
            try:
                found.append(convert(text))
            except ValueError as error:
                tell(column, str(error))
        isp = ""
        try:
            isp = self._isps.read(raw[3])[0] if raw[3] else ""
        except ValueError as error:
            self._once(raw[3], warn, "isp", f"{error}; its demand counts as of no ISP")
        if len(found) < 3:
            return None
        service, country, region = found
        if region and not country:  # nobody looks up such a row, and no plan may have it
            self._once(f"|{region}", warn, "region", f"{region!r} has no country; its demand counts as of no region")
            region = ""
        if service not in self._services:
            self._once(service, warn, "service", f"{service!r} is no service; its rows are passed over")
            return None
        return GroupKey(service, country, region, isp) if self._services[service] else None

    def _once(self, text: str, warn: Tell, column: str, reason: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            warn(column, reason)

    def time_fault(self, time_s: int, known: frozenset[int] | None) -> str:
        """What is wrong with the start of a bucket; empty: nothing."""
        if time_s % self._bucket_s:
            return f"{intake.instant(time_s)} does not begin a bucket: not a multiple of {self._bucket_s} s"
        if known is not None and time_s not in known:
            return f"{intake.instant(time_s)} is not among the buckets of {manifest.CURRENT}"
        return ""

    def add(self, path: str, lines: I64, times_s: I64, codes: I64, bps: I64) -> None:
        """Rows of a file that are sound."""
        self._parts.append((path, lines, times_s, codes, bps))

    def history(self, known: I64 | None) -> History:
        """The table of all rows, whose buckets are ``known``; None: those that occur. What stands twice is told."""
        empty = np.zeros(0, dtype=np.int64)
        times_s, codes, bps = (np.concatenate([empty, *(part[at] for part in self._parts)]) for at in (2, 3, 4))
        self._twice(times_s, codes)
        buckets = np.unique(times_s if known is None else known)
        buckets = buckets[needed(buckets)]
        mine = codes >= 0
        return dense(times_s[mine], codes[mine], bps[mine], self._keys, buckets, self._bucket_s)

    def _twice(self, times_s: I64, codes: I64) -> None:
        """Texts are compared as they stand; names that only mean the same are added up."""
        rows = np.flatnonzero(codes >= 0)
        if not len(rows):
            return
        cells = (times_s[rows] - times_s[rows].min()) // self._bucket_s * len(self._keys) + codes[rows]
        same = np.diff(np.sort(cells)) == 0
        if not same.any():
            return
        order = rows[np.argsort(cells, kind="stable")]
        for at in np.flatnonzero(same).tolist()[:100]:
            first, again = sorted((int(order[at]), int(order[at + 1])))
            path, line = self._row(again)
            where, before = self._row(first)
            beside = f"on line {before}" if where == path else f"in {where} on line {before}"
            self._findings.error(path, line, 1, f"the same bucket and group stand {beside} already")

    def _row(self, at: int) -> tuple[str, int]:
        for path, lines, *_ in self._parts:
            if at < len(lines):
                return path, int(lines[at])
            at -= len(lines)
        raise IndexError(at)

    def place(self, fault: intake.Fault, path: str) -> tuple[str, int, int]:
        """Where a fault of the whole table shows: its first row, or the table."""
        for shown, lines, times_s, codes, _ in self._parts:
            found = np.flatnonzero(times_s == fault.time_s) if fault.time_s is not None else np.zeros(0, dtype=np.int64)
            for at in found.tolist():
                code = int(codes[at])
                if fault.key is None or (code >= 0 and self._keys[code] == fault.key):
                    return shown, int(lines[at]), 1
        return path, 0, 0
