"""What Redis holds → reports, overrides, a plan; every value bounded before it is asked for.

Nothing here opens a connection: commands go through `Many`, which sends them at once and returns the answers in order.
A value that cannot be read is a `Fault`, the text of which names what is wrong; who keeps the last good one decides.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from gslb.errors import FaultyError, GslbError
from gslb.health import override as override_text
from gslb.health import report as report_text
from gslb.model.override import Override
from gslb.model.plan import Plan
from gslb.model.report import Report

TAG: Final = "{gslb}:"
"""What every key begins with; one hash tag, so that all lie together in a cluster."""
REPORT: Final = TAG + "report:"
OVERRIDE: Final = TAG + "override:"
PLAN: Final = TAG + "plan:"
PLAN_CURRENT: Final = TAG + "plan:current"
PLAN_VERSIONS: Final = TAG + "plan:versions"
LEASE: Final = TAG + "lease:"
FREEZE: Final = TAG + "freeze"
EVENTS: Final = TAG + "events"
COUNT: Final = TAG + "events:n"
SEEN: Final = TAG + "seen"
GAP: Final = TAG + "gap"

MAX_OVERRIDES: Final = 10_000
MAX_PLAN_BYTES: Final = 16 << 20
"""The longest plan that is read, compressed."""
PLAN_S: Final = 10.0
"""How much longer than usual a plan may take to come."""

_FIELDS: Final = (
    "epoch", "seq", "since_ms", "load_bps", "capacity_bps", "headroom_milli", "sessions", "valid_ms", "slow_since_ms",
    "health4", "health6", "received_ms",
)  # fmt: skip
_LONGEST: Final = 64  # bytes of a field that is read; also those of a hash that Redis keeps as a list
_MAX_MS: Final = (1 << 53) - 1
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")

Command = tuple[str | bytes | int, ...]


class Many(Protocol):
    """Sends commands at once."""

    async def __call__(self, commands: Sequence[Command], wait_s: float = 0.0) -> list[Any]:
        """The answers in order, a `Refused` where one was; they may take ``wait_s`` longer than usual. Raises
        `interface.StoreError`."""


class Refused(Exception):
    """Redis answered with an error; ``code`` is its first word: NOPERM, WRONGTYPE, READONLY, ERR."""

    def __init__(self, text: str) -> None:
        super().__init__(text[:300])
        self.code = text.partition(" ")[0]


class Fault(str):
    """Why something that is held cannot be read."""

    __slots__ = ()


class Gap(NamedTuple):
    """The newest time without entries, as `StoreState` has it."""

    begin_ms: int = 0
    end_ms: int = 0


async def reports(many: Many, edges: Sequence[str]) -> dict[str, Report | Fault | None]:
    """The report of each edge, None where there is none. One without ``received_ms`` has 0: it was written by hand.

    A hash that Redis does not keep as a short list may have values of any length: those are measured first.
    """
    keys = [REPORT + edge for edge in edges]
    found: dict[str, Report | Fault | None] = dict.fromkeys(edges)
    short: list[str] = []
    for edge, key, kept in zip(edges, keys, await many([("OBJECT", "ENCODING", key) for key in keys]), strict=True):
        if isinstance(kept, Refused) and kept.code == "NOPERM":
            raise kept
        if kept in (b"listpack", b"ziplist"):
            short.append(edge)
        elif kept in (b"hashtable", b"listpackex"):
            if (reason := await _too_long(many, key)) is None:
                short.append(edge)
            else:
                found[edge] = reason
        elif kept is not None and not isinstance(kept, Refused):
            found[edge] = Fault("the key holds no hash")
    answers = await many([("HMGET", REPORT + edge, *_FIELDS) for edge in short])
    for edge, values in zip(short, answers, strict=True):
        found[edge] = _report(edge, values)
    return found


async def overrides(many: Many, names: Sequence[str]) -> dict[str, Override | Fault | None]:
    """The override under each name, None where there is none."""
    longest = override_text.MAX_TEXT
    answers = await many([("GETRANGE", OVERRIDE + name, 0, longest) for name in names])
    found: dict[str, Override | Fault | None] = {}
    for name, value in zip(names, answers, strict=True):
        if isinstance(value, Refused):
            found[name] = _refused(value, "the key holds no text")
        elif not value:
            found[name] = None
        else:
            try:
                read = override_text.read(value)
                found[name] = read if read.id == name else Fault(f"id: {read.id!r} is not that of the key")
            except GslbError as error:
                found[name] = _told(error)
    return found


async def plan_digest(many: Many, version: str) -> str | Fault:
    """The SHA-256 that stands beside a plan."""
    if not is_name(version):
        return Fault(f"{version!r} is not the version of a plan")
    (length,) = await many([("HSTRLEN", PLAN + version, "sha256")])
    if isinstance(length, Refused):
        return _refused(length, "the key holds no hash")
    if length == 0:
        return Fault("sha256: is missing")
    (value,) = await many([("HGET", PLAN + version, "sha256")]) if length == 64 else [b""]
    digest = value.decode("ascii", "replace") if isinstance(value, bytes) else ""
    return digest if _SHA256.fullmatch(digest) else Fault("sha256: is not 64 hexadecimal digits")


async def plan_base(many: Many, version: str) -> str:
    """The version that stands beside a plan as its base; empty where there is none that is a name."""
    (length,) = await many([("HSTRLEN", PLAN + version, "base")])
    if not isinstance(length, int) or not 0 < length <= _LONGEST:
        return ""
    (value,) = await many([("HGET", PLAN + version, "base")])
    base = value.decode("ascii", "replace") if isinstance(value, bytes) else ""
    return base if is_name(base) else ""


async def plan_data(many: Many, version: str) -> bytes | Fault:
    """A plan as it was published."""
    (length,) = await many([("HSTRLEN", PLAN + version, "data")])
    if not isinstance(length, int) or not 0 < length <= MAX_PLAN_BYTES:
        return Fault(f"data: is not 1 to {MAX_PLAN_BYTES} bytes")
    (data,) = await many([("HGET", PLAN + version, "data")], PLAN_S)
    return data if isinstance(data, bytes) else Fault("data: is missing")


async def plan(version: str, sha256: str, data: bytes) -> Plan | Fault:
    """The plan that data spells; read in a thread, since a large one takes a second or more."""
    from gslb.plan import published

    try:
        found = await asyncio.to_thread(published.read, data, sha256)
    except GslbError as error:
        return _told(error)
    except Exception as error:
        return Fault(f"reading it met a fault of this program: {error!r:.200}")
    return found if found.version == version else Fault(f"version: {found.version!r} is not that of the key")


async def scan(many: Many, pattern: str, most: int) -> AsyncIterator[list[str]]:
    """The keys of a pattern, in batches; a key may come twice. Ends once ``most`` were found."""
    cursor, count = b"0", 0
    while True:
        (answer,) = await many([("SCAN", cursor, "MATCH", pattern, "COUNT", 500)])
        if isinstance(answer, Refused):
            raise answer
        cursor, keys = answer
        if keys:
            count += len(keys)
            yield [key.decode("utf-8", "backslashreplace") for key in keys]
        if cursor == b"0" or count >= most:
            return


async def seen(many: Many, most: int) -> dict[str, int] | Fault:
    """When each edge was last seen, for the edges that ever reported."""
    (size,) = await many([("MEMORY", "USAGE", SEEN, "SAMPLES", 100)])
    if isinstance(size, int) and size > 1024 * most:
        return Fault(f"takes {size} bytes; at most {1024 * most} are read")
    found: dict[str, int] = {}
    cursor = b"0"
    while True:
        (answer,) = await many([("HSCAN", SEEN, cursor, "COUNT", 500)])
        if isinstance(answer, Refused):
            return _refused(answer, "the key holds no hash")
        cursor, flat = answer
        for edge, value in zip(flat[::2], flat[1::2], strict=True):
            at_ms = number(value)
            if at_ms is not None and len(edge) <= _LONGEST and is_name(name := edge.decode("ascii", "replace")):
                found[name] = at_ms
        if cursor == b"0" or len(found) >= most:
            return found


async def gap(many: Many) -> Gap | Fault:
    """The newest time without entries."""
    fields = ("begin_ms", "end_ms")
    lengths = await many([("HSTRLEN", GAP, field) for field in fields])
    for length in lengths:
        if isinstance(length, Refused):
            return _refused(length, "the key holds no hash")
    if lengths == [0, 0]:
        return Gap()
    times: list[int | None] = [None, None]
    if max(lengths) <= _LONGEST:
        (values,) = await many([("HMGET", GAP, *fields)])
        times = [number(value) for value in values]
    begin_ms, end_ms = times
    if begin_ms is None or end_ms is None or begin_ms > end_ms:
        return Fault("begin_ms and end_ms are not two times in ms since 1970")
    return Gap(begin_ms, end_ms)


def seconds(told: Any) -> float:
    """The answer to ``TIME``, in seconds since 1970."""
    whole, micro = told
    return int(whole) + int(micro) / 1e6


def named(keys: Iterable[str], prefix: str) -> list[str]:
    """What is named by those keys that have the prefix."""
    found = [key.removeprefix(prefix) for key in keys if key.startswith(prefix)]
    return [name for name in found if is_name(name)]


def number(value: object) -> int | None:
    """A decimal number that fits a double, as Redis functions count; None for anything else."""
    if isinstance(value, bytes) and len(value) <= 16 and value.isdigit():
        found = int(value)
        return found if found <= _MAX_MS else None
    return None


def is_name(text: str) -> bool:
    """Whether something is named so: an edge, an override, a plan."""
    return _NAME.fullmatch(text) is not None


def _report(edge: str, values: Any) -> Report | Fault | None:
    if isinstance(values, Refused):
        return _refused(values, "the key holds no hash")
    told = {key: value for key, value in zip(_FIELDS, values, strict=True) if value is not None}
    received = told.pop("received_ms", None)
    if not told:
        return None if received is None else Fault("epoch: is missing; seq: is missing")
    received_ms = 0 if received is None else number(received)
    if received_ms is None:
        return Fault("received_ms: is not a time in ms since 1970")
    try:
        return report_text.read(edge, told, received_ms)
    except GslbError as error:
        return _told(error)


async def _too_long(many: Many, key: str) -> Fault | None:
    lengths = await many([("HSTRLEN", key, field) for field in _FIELDS])
    long = [
        f"{field}: is {length} bytes long, at most {_LONGEST} are read"
        for field, length in zip(_FIELDS, lengths, strict=True)
        if isinstance(length, int) and length > _LONGEST
    ]
    return Fault("; ".join(long)) if long else None


def _refused(error: Refused, otherwise: str) -> Fault:
    """Raises it again where nothing may be read at all."""
    if error.code == "NOPERM":
        raise error
    return Fault(otherwise if error.code == "WRONGTYPE" else str(error))


def _told(error: GslbError) -> Fault:
    """The faults alone: whose they are, the key says."""
    return Fault((error.told if isinstance(error, FaultyError) else str(error))[:500])
