"""Reports of edges as text: what a store holds and an agent pushes, checked field by field.

Fields are decimal ASCII and words (the keys of the store's report hash). Keys that this version does not know are left
alone, so that newer agents may say more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from gslb.errors import GslbError
from gslb.model.report import UP, VERDICTS, Report

MAX_COUNT: Final = (1 << 63) - 1
"""The largest epoch, sequence number, time and count of sessions."""
MAX_BPS: Final = 10**15

_EDGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SHOWN: Final = 40  # characters of a refused value that are quoted


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
}
_WORDS: Final = ("health4", "health6")


class ReportError(GslbError):
    """A report that is refused. ``faults`` are pairs of key and reason, at least one; the key is empty where the edge's
    name itself is at fault. The text names the edge and each key."""

    def __init__(self, edge: str, faults: Iterable[tuple[str, str]]) -> None:
        self.edge = edge
        self.faults = tuple(faults)
        told = "; ".join(f"{key}: {reason}" if key else reason for key, reason in self.faults)
        super().__init__(f"report of edge {_quoted(edge)}: {told}")


def read(edge: str, fields: Mapping[str, str | bytes], received_ms: int) -> Report:
    """The report that ``fields`` spell, written to the store at ``received_ms``.

    ``epoch`` and ``seq`` must be there; ``health4`` and ``health6`` are up, down or drain, up where absent; rates are
    bits a second. Raises `ReportError` with every fault at once.
    """
    faults: list[tuple[str, str]] = []
    if not _EDGE.fullmatch(edge):
        faults.append(("", "the name is not letters, digits, dots, hyphens and underscores, at most 63"))
    numbers = {key: _number(key, fields.get(key), rule, faults) for key, rule in _NUMBERS.items()}
    words = {key: _word(key, fields.get(key), faults) for key in _WORDS}
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
    )


def fields(report: Report) -> dict[str, str]:
    """The fields that spell a report; `read` gives it back. What was not said is left out."""
    found = {key: str(getattr(report, key)) for key in _NUMBERS}
    if report.headroom_milli < 0:
        del found["headroom_milli"]
    return found | {key: getattr(report, key) for key in _WORDS}


def _number(key: str, value: str | bytes | None, rule: _Number, faults: list[tuple[str, str]]) -> int:
    if value is None:
        if rule.otherwise is None:
            faults.append((key, "is missing"))
        return rule.otherwise or 0
    text = _text(value)
    # Length first: int() of very long digits is slow.
    if 0 < len(text) <= 19 and text.isascii() and text.isdigit() and int(text) <= rule.most:
        return int(text)
    faults.append((key, f"{_quoted(text)} is not a decimal number from 0 to {rule.most}"))
    return 0


def _word(key: str, value: str | bytes | None, faults: list[tuple[str, str]]) -> str:
    text = UP if value is None else _text(value)
    if text not in VERDICTS:
        faults.append((key, f"{_quoted(text)} is not one of {', '.join(VERDICTS)}"))
    return text


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
