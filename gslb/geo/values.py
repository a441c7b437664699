"""What a text of a table may mean. Each reader returns the value, or raises ValueError that quotes the text and says
what is expected; the caller adds the place."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from gslb.model.geography import CONTINENT_OF

MAX_DEMAND_BPS: Final = 10**18

_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(?:\.[0-9]{1,20})?")
_REGION = re.compile(r"[A-Z0-9]{1,3}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.0{1,9})?)?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_SERVICE = re.compile(r"[!-~]{1,1000}")


def number(text: str, low: float, high: float) -> float:
    """A decimal number between ``low`` and ``high``."""
    found = float(text) if _NUMBER.fullmatch(text) else None
    if found is None or not low <= found <= high:
        raise ValueError(f"{text!r} is not a number from {low} to {high}")
    return found


def country(text: str) -> str:
    """An ISO 3166-1 alpha-2 code, or empty."""
    if text and text not in CONTINENT_OF:
        hint = f"; did you mean {text.upper()!r}?" if text.upper() in CONTINENT_OF else ""
        raise ValueError(f"{text!r} is not an ISO 3166-1 country{hint}")
    return text


def region(text: str) -> str:
    """An ISO 3166-2 subdivision without its country, or empty."""
    if text and not _REGION.fullmatch(text):
        raise ValueError(f"{text!r} is not an ISO 3166-2 code without its country, as 'SH' or '13'")
    return text


def time_s(text: str) -> int:
    """An ISO 8601 time of whole seconds with its zone → seconds since 1970."""
    try:
        if _TIME.fullmatch(text):
            return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        pass
    raise ValueError(f"{text!r} is not a time with its zone, as '2026-01-01T18:00:00Z'")


def service(text: str) -> str:
    """The name of a service → lower case, with its final dot."""
    if not _SERVICE.fullmatch(text):
        raise ValueError(f"{text!r} is not a name")
    return text.lower().removesuffix(".") + "."


def demand_bps(text: str) -> int:
    """Bits per second, up to `MAX_DEMAND_BPS`."""
    return int(number(text, 0, MAX_DEMAND_BPS))
