"""Times, durations, rates and parts as operators type them, and as they are shown."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

DAY_S: Final = 86_400
_UNIT_S: Final = {"d": DAY_S, "h": 3600, "m": 60, "s": 1}
_LONGEST_S: Final = 10**9
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PART: Final = re.compile(r"(\d{1,10})([dhms])", re.ASCII)
_CLOCK: Final = re.compile(r"(\d\d):(\d\d)(?::(\d\d))?", re.ASCII)

DURATION_HELP: Final = "such as 90s, 10m, 2h or 1h30m"
TIME_HELP: Final = "14:30 (UTC), +10m or 2026-11-24T14:30:00Z"
AT_HELP: Final = "14:30 (UTC), -10m or 2026-11-24T14:30:00Z"


def duration_s(text: str) -> int:
    """``90``, ``90s``, ``10m``, ``1h30m``, ``1d`` → seconds. Raises `ValueError` with the reason."""
    parts = _PART.findall(text)
    units = [unit for _, unit in parts]
    if text.isascii() and text.isdigit() and len(text) <= 10:
        total = int(text)
    elif parts and "".join(map("".join, parts)) == text and units == [unit for unit in _UNIT_S if unit in units]:
        total = sum(int(number) * _UNIT_S[unit] for number, unit in parts)
    else:
        raise ValueError(f"{text!r} is not a duration, {DURATION_HELP}")
    if total > _LONGEST_S:
        raise ValueError(f"{text!r} is too long")
    return total


def duration_text(seconds: int) -> str:
    """The shortest text that `duration_s` reads: ``1h30m``; ``0s``."""
    found = ""
    for unit, size in _UNIT_S.items():
        if count := seconds // size:
            found += f"{count}{unit}"
            seconds -= count * size
    return found or "0s"


def rate_text(bps: int) -> str:
    """``3.1 Gbps``."""
    for unit, size in (("Tbps", 10**12), ("Gbps", 10**9), ("Mbps", 10**6), ("kbps", 10**3)):
        if bps >= size:
            return f"{bps / size:.4g} {unit}"
    return f"{bps} bps"


def part_text(part: float) -> str:
    """``12.3%``: what is there at all does not look like nothing, and what is not all does not look like all."""
    percent = 100 * part
    if 0 < percent < 0.05:
        return "<0.1%"
    if 99.95 <= percent < 99.9999:
        return ">99.9%"
    return f"{percent:.1f}%".replace(".0%", "%")


def coming_s(text: str, clock_s: int) -> int:
    """When something is to begin, in seconds since 1970 where it is ``clock_s`` now: ``now``, ``+10m``, the next
    ``14:30`` in UTC, or an RFC 3339 time of whole seconds. Raises `ValueError` with the reason."""
    if text == "now":
        return clock_s
    if text.startswith("+"):
        return clock_s + duration_s(text[1:])
    if _CLOCK.fullmatch(text):
        found_s = _today_s(text, clock_s)
        return found_s if found_s >= clock_s else found_s + DAY_S
    found_ms = _rfc3339_ms(text)
    if found_ms is None or found_ms % 1000:
        raise ValueError(f"{text!r} is not a time: now, {TIME_HELP}")
    return found_ms // 1000


def past_ms(text: str, clock_ms: int) -> int:
    """When something was, in ms since 1970: ``-10m``, the last ``14:30`` in UTC, or an RFC 3339 time. Raises
    `ValueError` with the reason."""
    if text.startswith("-"):
        return clock_ms - 1000 * duration_s(text[1:])
    if _CLOCK.fullmatch(text):
        found_s = _today_s(text, clock_ms // 1000)
        return 1000 * (found_s if found_s <= clock_ms // 1000 else found_s - DAY_S)
    found_ms = _rfc3339_ms(text)
    if found_ms is None:
        raise ValueError(f"{text!r} is not a time: {AT_HELP}")
    return found_ms


def is_relative(text: str) -> bool:
    """Whether the meaning of a past time depends on what time it is."""
    return text.startswith("-") or bool(_CLOCK.fullmatch(text))


def rfc3339(time_ms: int) -> str:
    """Milliseconds since 1970 in UTC, with a fraction where there is one: ``2026-11-24T14:30:00.250Z``."""
    found = _EPOCH + timedelta(milliseconds=time_ms)
    return found.isoformat(timespec="milliseconds" if time_ms % 1000 else "seconds").replace("+00:00", "Z")


def _today_s(text: str, clock_s: int) -> int:
    """A time of the day that ``clock_s`` lies in. Raises `ValueError` where a day has no such time."""
    hours, minutes, seconds = (int(part or 0) for part in text.split(":") + ["0"] * (2 - text.count(":")))
    if hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError(f"{text!r} is not a time of the day")
    return clock_s - clock_s % DAY_S + 3600 * hours + 60 * minutes + seconds


def _rfc3339_ms(text: str) -> int | None:
    """None where it is none, or before 1970."""
    try:
        found = datetime.fromisoformat(text)
        ms = (found - _EPOCH) // timedelta(milliseconds=1) if found.tzinfo else -1
    except (ValueError, OverflowError):
        return None
    return ms if ms >= 0 and "T" in text else None
