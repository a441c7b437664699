"""Reports of edges as text: what a store holds and an agent pushes, checked field by field.

Fields are decimal ASCII and words (the keys of the store's report hash); in JSON, the same keys with numbers for
numbers. Keys that this version does not know are left alone, so that newer agents may say more; not so in JSON without
``epoch`` and ``seq``, which a person or a script writes: there a misspelt key would be lost in silence.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from gslb.errors import FaultyError
from gslb.health.state import Measurement
from gslb.model.jsontext import SHOWN, decoded, quoted
from gslb.model.report import UP, VERDICTS, Report

MAX_COUNT: Final = (1 << 63) - 1
"""The largest epoch, sequence number, time and count of sessions."""
MAX_BPS: Final = 10**15
MAX_TEXT: Final = 16_384
"""Characters of the longest JSON text that is read."""

_EDGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_EDGE_RULE: Final = "the name is not letters, digits, dots, hyphens and underscores, at most 63"


class _Number(NamedTuple):
    """What a numeric field may be, and what stands for it where it is absent (None: it must be there)."""

    most: int
    otherwise: int | None = 0


_NUMBERS: Final = {
    "epoch": _Number(MAX_COUNT, None),
    "seq": _Number(MAX_COUNT, None),
    "since_ms": _Number(MAX_COUNT),
    "load_bps": _Number(MAX_BPS),
    "capacity_bps": _Number(MAX_BPS),
    "headroom_milli": _Number(1000, -1),
    "sessions": _Number(MAX_COUNT),
    "valid_ms": _Number(7 * 86_400_000),
    "slow_since_ms": _Number(MAX_COUNT),
}
_WORDS: Final = ("health4", "health6")
_MEASURED: Final = ("load_bps", "capacity_bps", "sessions", "valid_ms")
_MEASUREMENT: Final = ("health", *_WORDS, *_MEASURED)


class ReportError(FaultyError):
    """A report that is refused. A fault's key is empty where the edge's name or the text as a whole is at fault."""

    def __init__(self, edge: str, faults: Iterable[tuple[str, str]]) -> None:
        self.edge = edge
        super().__init__(f"report of edge {quoted(edge)}", faults)


def read(edge: str, fields: Mapping[str, object], received_ms: int) -> Report:
    """The report that ``fields`` (texts, ASCII bytes, or whole numbers) spell, written to the store at ``received_ms``.

    ``epoch`` and ``seq`` must be there; ``health4`` and ``health6`` are up, down or drain, up where absent; rates are
    bits a second. Raises `ReportError` with every fault at once.
    """
    faults = _name_faults(edge)
    numbers = {key: _number(key, fields, rule, faults) for key, rule in _NUMBERS.items()}
    words = {key: _word(key, fields, faults) for key in _WORDS}
    if faults:
        raise ReportError(edge, faults)
    return Report(
        edge=edge,
        epoch=numbers["epoch"],
        seq=numbers["seq"],
        received_ms=received_ms,
        since_ms=numbers["since_ms"],
        health4=words["health4"],
        health6=words["health6"],
        load_bps=numbers["load_bps"],
        capacity_bps=numbers["capacity_bps"],
        headroom_milli=numbers["headroom_milli"],
        sessions=numbers["sessions"],
        valid_ms=numbers["valid_ms"],
        slow_since_ms=numbers["slow_since_ms"],
    )


def fields(report: Report) -> dict[str, str]:
    """The fields that spell a report; `read` gives it back. What was not said is left out."""
    return {key: str(value) for key, value in mapping(report).items() if key not in ("edge", "received_ms")}


def read_json(edge: str, body: str | bytes) -> Report | Measurement:
    """What a JSON text says of an edge: a report where it has ``epoch`` or ``seq``, else what a script measured.

    A report may have ``received_ms``, in ms of the store's clock, and ``edge``, which must be the one that is meant. A
    measurement's ``health`` is that of both families. Raises `ReportError` with every fault at once.
    """
    told = _decoded(edge, body)
    if "epoch" not in told and "seq" not in told:
        return _measurement(edge, told)
    faults: list[tuple[str, str]] = []
    if told.get("edge", edge) != edge:
        faults.append(("edge", f"{quoted(_text(told['edge']))} is another edge"))
    received_ms = _number("received_ms", told, _Number(MAX_COUNT), faults)
    try:
        found = read(edge, told, received_ms)
    except ReportError as error:
        raise ReportError(edge, (*faults, *error.faults)) from None
    if faults:
        raise ReportError(edge, faults)
    return found


def mapping(report: Report) -> dict[str, str | int]:
    """A report for JSON: ``edge``, ``received_ms`` and all its fields; `read_json` of its text gives it back."""
    found = {key: getattr(report, key) for key in ("edge", "received_ms", *_NUMBERS, *_WORDS)}
    if report.headroom_milli < 0:
        del found["headroom_milli"]
    return found


def _measurement(edge: str, told: Mapping[str, object]) -> Measurement:
    faults = _name_faults(edge)
    for key in told:
        if key not in _MEASUREMENT:
            near = difflib.get_close_matches(key, _MEASUREMENT, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(_MEASUREMENT)}"
            faults.append((key[:SHOWN], f"is not known; {hint}"))
    words = {key: _word(key, told, faults) for key in ("health", *_WORDS) if key in told}
    numbers: dict[str, Any] = {key: _number(key, told, _NUMBERS[key], faults) for key in _MEASURED if key in told}
    if not words and not numbers and not faults:
        faults.append(("", f"nothing is said; the keys are {', '.join(_MEASUREMENT)}"))
    if faults:
        raise ReportError(edge, faults)
    both = words.get("health")
    return Measurement(health4=words.get("health4", both), health6=words.get("health6", both), **numbers)


def _decoded(edge: str, body: str | bytes) -> dict[str, Any]:
    """Raises `ReportError` where the text is no JSON mapping."""
    if len(body) > MAX_TEXT:
        raise ReportError(edge, [("", f"the text has more than {MAX_TEXT} characters")])
    try:
        found = decoded(body, "an object")
    except ValueError as error:
        raise ReportError(edge, [("", str(error))]) from None
    if not isinstance(found, dict):
        raise ReportError(edge, [("", "not a JSON object")])
    return found


def _name_faults(edge: str) -> list[tuple[str, str]]:
    return [] if _EDGE.fullmatch(edge) else [("", _EDGE_RULE)]


def _number(key: str, told: Mapping[str, object], rule: _Number, faults: list[tuple[str, str]]) -> int:
    if key not in told:
        if rule.otherwise is None:
            faults.append((key, "is missing"))
        return rule.otherwise or 0
    text = _text(told[key])
    # Length first: int() of very long digits is slow.
    if 0 < len(text) <= 19 and text.isascii() and text.isdigit() and int(text) <= rule.most:
        return int(text)
    faults.append((key, f"{quoted(text)} is not a decimal number from 0 to {rule.most}"))
    return 0


def _word(key: str, told: Mapping[str, object], faults: list[tuple[str, str]]) -> str:
    text = _text(told.get(key, UP))
    if text not in VERDICTS:
        faults.append((key, f"{quoted(text)} is not one of {', '.join(VERDICTS)}"))
    return text


def _text(value: object) -> str:
    """A text as it is; of anything else the JSON that spells it, in short."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return value if isinstance(value, str) else str(value)
