"""A trial of a configuration: every probe and source once, and what would be pushed. No store is asked."""

from __future__ import annotations

import asyncio
from typing import Any

from gslb.agent import probes
from gslb.agent.config import Config, Source
from gslb.agent.run import Watched, watched
from gslb.agent.sources import Reader, SourceError, load_reader, sessions_reader
from gslb.agent.standing import family_up
from gslb.model.report import DOWN, UP

BETWEEN_S = 1.0
"""Between the two readings of a counter."""


async def tried(config: Config) -> tuple[dict[str, Any], bool]:
    """What was found, for JSON, and whether all of it is well."""
    each = watched(config)
    outcomes, load, sessions = await asyncio.gather(
        asyncio.gather(*map(_outcome, each)),
        _number(config.load, load_reader),
        _number(config.sessions, sessions_reader),
    )
    found = {
        "edge": config.edge,
        "health4": _word(each, 0),
        "health6": _word(each, 1),
        "capacity_bps": config.capacity_bps,
        "load_bps": load,
        "sessions": sessions,
        "probes": outcomes,
    }
    numbers = [value for value in (load, sessions) if value is not None]
    is_well = all(outcome["up"] for outcome in outcomes) and all(isinstance(value, int) for value in numbers)
    return found, is_well


async def _outcome(each: Watched) -> dict[str, Any]:
    reason = await probes.run(each.check, each.probe.timeout_s)
    each.standing.note(not reason)
    return {"probe": each.name, "up": not reason, "reason": reason}


async def _number(source: Source | None, reader_of: Any) -> int | str | None:
    """The number, why there is none, or None where none is asked for."""
    if source is None:
        return None
    reader: Reader = reader_of(source)
    try:
        value = await reader()
        if value is None:
            await asyncio.sleep(BETWEEN_S)
            value = await reader()
    except SourceError as error:
        return str(error)
    return value if value is not None else "the counter went back"


def _word(each: tuple[Watched, ...], family: int) -> str:
    up = family_up(one.standing for one in each if (one.target.four, one.target.six)[family])
    return DOWN if up is False else UP
