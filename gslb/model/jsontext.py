"""JSON as people and stores hand it over: read strictly, and quoted in short where it is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

SHOWN: Final = 40
"""Characters of a refused value that are quoted."""


def decoded(text: str | bytes, what: str = "a mapping") -> Any:
    """What a JSON text spells; ``what`` names its objects. Raises `ValueError` with the reason, also where a key stands
    twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError(f"a key stands twice in {what}")
        return found

    try:
        return json.loads(text, object_pairs_hook=once)
    except RecursionError:
        raise ValueError("not JSON: nested too deep") from None
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None


def is_whole(value: object, most: int) -> bool:
    """Whether it is a whole number from 0 to ``most``."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def quoted(value: object) -> str:
    """A value as messages show it."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str):
        return repr(value if len(value) <= SHOWN else value[:SHOWN] + "…")
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)[:SHOWN]
