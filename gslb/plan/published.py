"""Published plans: how a dispatcher puts weights into the store, and how servers read them. Zstandard over JSON.

``{"format": 1, "version", "base", "issued_at_ms", "effective_at_ms", "hold_until_ms", "inputs", "forced", …, "rows":
[[service, country, region, isp, [[edge, weight], …], [backup, …]], …]}``. The weights of a row sum to `PLAN_SUM`. What
stands beside the rows is `gslb.plan.beside`'s. Keys that are not known are let be.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, Final

import msgspec
import zstandard

from gslb.errors import FaultyError
from gslb.model.geography import CONTINENT_OF
from gslb.model.jsontext import decoded, is_whole
from gslb.model.plan import MAX_EDGES, PLAN_SUM, Plan, PlanRow
from gslb.plan import beside
from gslb.plan.beside import NAME, SHA256, listed

FORMAT: Final = 1
MAX_TEXT: Final = 32 << 20
"""Bytes of the longest JSON that is read, unpacked."""
MAX_ROWS: Final = 200_000
MAX_FAULTS: Final = 20
"""Faults that are told; reading ends there."""

_MAX_LISTS: Final = 4_400_000  # more than `MAX_ROWS` need; so unpacked JSON stays below some hundreds of MB
_MAX_MS: Final = (1 << 53) - 1
_LEVEL: Final = 6
_WINDOW: Final = MAX_TEXT  # memory that unpacking may take

_SERVICE: Final = re.compile(r"[!-@\[-~]{1,1020}\.")
_REGION: Final = re.compile(r"[A-Z0-9]{0,3}")
_NAME_RULE: Final = "1 to 63 letters, digits, dots, hyphens and underscores, beginning with a letter or digit"
_TIMES: Final = ("issued_at_ms", "effective_at_ms", "hold_until_ms")
_COLUMNS: Final = "service, country, region, isp, weights, backups"


class PlanError(FaultyError):
    """A plan that is refused. ``version`` is empty where it is not known."""

    def __init__(self, version: str, faults: Iterable[tuple[str, str]]) -> None:
        self.version = version
        super().__init__(f"plan {listed(version)}" if version else "plan", faults)


def read(data: bytes, sha256: str) -> Plan:
    """The plan in ``data``, as `write` makes it; ``sha256`` is the checksum that was published with it, in hexadecimal.

    Raises `PlanError` with the first `MAX_FAULTS` faults, each with its place: ``rows[3].weights``.
    """
    if hashlib.sha256(data).hexdigest() != sha256:
        reason = "differs from that of the data" if SHA256.fullmatch(sha256) else "is not 64 hexadecimal digits"
        raise PlanError("", [("sha256", reason)])
    return _Reading(_decoded(_unpacked(data))).plan()


def write(plan: Plan) -> tuple[bytes, str]:
    """A plan as it is published, and its SHA-256 in hexadecimal; `read` gives it back.

    Raises `PlanError` where `read` would.
    """
    told = _mapping(plan)
    _Reading(told).plan()
    text = msgspec.json.encode(told)
    if len(text) > MAX_TEXT:
        raise PlanError(plan.version, [("rows", f"the plan has {len(text)} bytes; at most {MAX_TEXT} are read")])
    data = zstandard.ZstdCompressor(level=_LEVEL).compress(text)
    return data, hashlib.sha256(data).hexdigest()


def check(plan: Plan) -> None:
    """Raises `PlanError` where `write` would, but for a plan that is too long."""
    _Reading(_mapping(plan)).plan()


def is_version(text: str) -> bool:
    """Whether a plan may be named so."""
    return NAME.fullmatch(text) is not None


def _mapping(plan: Plan) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": plan.version,
        "base": plan.base,
        **{key: getattr(plan, key) for key in _TIMES},
        **beside.mapping(plan),
        "rows": [[*row[:4], [list(pair) for pair in row.primaries], list(row.backups)] for row in plan.rows],
    }


class _FullError(Exception):
    """So many faults are enough."""


class _Reading:
    """One reading of a mapping, with the faults it found."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self._told = told
        self._faults: list[tuple[str, str]] = []
        self._version = ""
        self._names: dict[str, str] = {}  # one object for all that are equal: rows repeat the same few
        self._edges: dict[str, str] = {}  # those that are fit to name an edge, likewise

    def plan(self) -> Plan:
        found = self._told.get("format")
        if found != FORMAT or isinstance(found, bool):
            raise PlanError("", [("format", f"{listed(found)} is not {FORMAT}, the one that this version reads")])
        try:
            plan = self._plan()
        except _FullError:
            self._faults.append(("", f"more may be wrong: reading ends after {MAX_FAULTS} faults"))
        if self._faults:
            raise PlanError(self._version, self._faults)
        return plan

    def _plan(self) -> Plan:
        version = self._told.get("version")
        if isinstance(version, str) and NAME.fullmatch(version):
            self._version = version
        else:
            self._fault("version", f"{listed(version)} is not a name: {_NAME_RULE}")
        base = self._told.get("base", "")
        if not isinstance(base, str) or (base and not NAME.fullmatch(base)):
            self._fault("base", f"{listed(base)} is neither empty nor a name: {_NAME_RULE}")
        times = [self._time(key) for key in _TIMES]
        for (before, early), (key, late) in pairwise(zip(_TIMES, times, strict=True)):
            if early is not None and late is not None and late < early:
                self._fault(key, f"is before {before}")
        told, fault = self._told, self._fault
        made_of, moved = beside.inputs(told, fault), beside.forced(told, fault)
        edges, caps = beside.edges(told, fault), beside.caps(told, fault)
        issued_at_ms, effective_at_ms, hold_until_ms = (each or 0 for each in times)
        return Plan(
            self._version,
            str(base),
            issued_at_ms,
            effective_at_ms,
            hold_until_ms,
            self._rows(),
            made_of,
            moved,
            edges,
            caps,
        )

    def _time(self, key: str) -> int | None:
        value = self._told.get(key)
        if is_whole(value, _MAX_MS):
            return int(self._told[key])
        self._fault(key, f"{listed(value)} is not a time in ms since 1970" if key in self._told else "is missing")
        return None

    def _rows(self) -> tuple[PlanRow, ...]:
        told = self._told.get("rows")
        if not isinstance(told, list):
            self._fault("rows", f"{listed(told)} is not a list" if "rows" in self._told else "is missing")
            return ()
        if len(told) > MAX_ROWS:
            self._fault("rows", f"has {len(told)} rows; at most {MAX_ROWS} are read")
            return ()
        demands = beside.demands(self._told, len(told), self._fault)
        costs = beside.costs(self._told, len(told), self._fault)
        places: dict[tuple[str, str, str, str], int] = {}
        found = []
        for at, row in enumerate(told):
            if not isinstance(row, list) or len(row) != 6:
                self._fault(f"rows[{at}]", f"{listed(row)} is not a list of {_COLUMNS}")
                continue
            key = self._key(at, row)
            first = places.setdefault(key, at)
            if first != at:
                self._fault(f"rows[{at}]", f"is of the same service, country, region and isp as rows[{first}]")
            primaries = self._fit(row[4]) or self._primaries(f"rows[{at}].weights", row[4])
            taken = {edge for edge, _ in primaries}
            backups = self._fit_backups(row[5], taken)
            if backups is None:
                backups = self._backups(f"rows[{at}].backups", row[5], taken)
            if len(costs[at]) not in (0, len(primaries) + len(backups)):
                self._fault(f"costs[{at}]", f"has {len(costs[at])} costs for {len(primaries) + len(backups)} edges")
            found.append(PlanRow(*key, primaries, backups, demands[at], tuple(costs[at])))
        return tuple(found)

    def _key(self, at: int, row: list[Any]) -> tuple[str, str, str, str]:
        service, country, region, isp = row[:4]
        if not isinstance(service, str) or not _SERVICE.fullmatch(service):
            rule = "the name of a service in lower case with its final dot, such as pull.live.example."
            self._fault(f"rows[{at}].service", f"{listed(service)} is not {rule}")
        if not isinstance(country, str) or (country and country not in CONTINENT_OF):
            self._fault(f"rows[{at}].country", f"{listed(country)} is neither empty nor a country, such as CN")
        if not isinstance(region, str) or not _REGION.fullmatch(region):
            self._fault(f"rows[{at}].region", f"{listed(region)} is neither empty nor a region, such as SH")
        elif region and not country:
            self._fault(f"rows[{at}].region", "has no country")
        if not isinstance(isp, str) or (isp and not NAME.fullmatch(isp)):
            self._fault(f"rows[{at}].isp", f"{listed(isp)} is neither empty nor a name: {_NAME_RULE}")
        service, country, region, isp = (self._one(str(each)) for each in (service, country, region, isp))
        return service, country, region, isp

    def _fit(self, told: Any) -> tuple[tuple[str, int], ...]:
        """The weights of a row in which all is well, as of nearly all; else nothing, for `_primaries` to say why."""
        known, total = self._edges, 0
        if type(told) is not list or len(told) > MAX_EDGES:
            return ()
        try:
            found = tuple([(known[edge], weight) for edge, weight in told])
        except (KeyError, TypeError, ValueError):  # among others of an edge that is met for the first time
            return ()
        for _, weight in found:
            if type(weight) is not int or weight < 0:
                return ()
            total += weight
        return found if total == PLAN_SUM and len(dict(found)) == len(found) else ()

    def _fit_backups(self, told: Any, primaries: set[str]) -> tuple[str, ...] | None:
        """As `_fit`; None where something may be wrong."""
        if type(told) is not list or len(told) > MAX_EDGES:
            return None
        try:
            found = tuple([self._edges[edge] for edge in told])
        except (KeyError, TypeError):
            return None
        return found if len(primaries.union(found)) == len(primaries) + len(found) else None

    def _primaries(self, place: str, told: object) -> tuple[tuple[str, int], ...]:
        if not isinstance(told, list) or not 1 <= len(told) <= MAX_EDGES:
            self._fault(place, f"{listed(told)} is not a list of 1 to {MAX_EDGES} pairs of edge and weight")
            return ()
        found: dict[str, int] = {}
        before = len(self._faults)
        for at, pair in enumerate(told):
            if not isinstance(pair, list) or len(pair) != 2:
                self._fault(f"{place}[{at}]", f"{listed(pair)} is not a pair of edge and weight")
                continue
            edge, weight = pair
            if self._edge(f"{place}[{at}]", edge, found):
                found[self._edges.setdefault(edge, edge)] = weight
            if not is_whole(weight, PLAN_SUM):
                self._fault(f"{place}[{at}]", f"{listed(weight)} is not a whole number from 0 to {PLAN_SUM}")
        if len(self._faults) == before and (total := sum(found.values())) != PLAN_SUM:
            self._fault(place, f"sum to {total}, not to {PLAN_SUM}")
        return tuple(found.items())

    def _backups(self, place: str, told: object, primaries: set[str]) -> tuple[str, ...]:
        if not isinstance(told, list) or len(told) > MAX_EDGES:
            self._fault(place, f"{listed(told)} is not a list of at most {MAX_EDGES} edges")
            return ()
        found: dict[str, int] = {}
        for at, edge in enumerate(told):
            if self._edge(f"{place}[{at}]", edge, primaries | found.keys()):
                found[self._edges.setdefault(edge, edge)] = at
        return tuple(found)

    def _edge(self, place: str, edge: object, others: Iterable[str]) -> bool:
        if not isinstance(edge, str) or not NAME.fullmatch(edge):
            self._fault(place, f"{listed(edge)} is not a name: {_NAME_RULE}")
        elif edge in others:
            self._fault(place, f"{listed(edge)} stands in the row already")
        else:
            return True
        return False

    def _one(self, text: str) -> str:
        return self._names.setdefault(text, text)

    def _fault(self, key: str, reason: str) -> None:
        if len(self._faults) == MAX_FAULTS:
            raise _FullError
        self._faults.append((key, reason))


def _unpacked(data: bytes) -> bytes:
    """Never more than `MAX_TEXT` bytes are unpacked, whatever the data says of its size."""
    try:
        with zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(io.BytesIO(data)) as reader:
            text = reader.read(MAX_TEXT + 1)
    except zstandard.ZstdError as error:
        raise PlanError("", [("", f"not Zstandard: {error}")]) from None
    if len(text) > MAX_TEXT:
        raise PlanError("", [("", f"unpacks to more than {MAX_TEXT} bytes")])
    if text.count(b"[") + text.count(b"{") > _MAX_LISTS:
        raise PlanError("", [("", f"has more than {_MAX_LISTS} lists and mappings")])
    return bytes(text)


def _decoded(text: bytes) -> Mapping[str, Any]:
    try:
        found = decoded(text.decode())
    except UnicodeDecodeError as error:
        raise PlanError("", [("", f"not JSON: {error}")]) from None
    except ValueError as error:
        raise PlanError("", [("", str(error))]) from None
    if not isinstance(found, dict):
        raise PlanError("", [("", f"{listed(found)} is not a mapping")])
    return found
