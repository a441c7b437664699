"""The chooser between the compiled path and the reference.

The law: ``fast(q) is MISS or fast(q) == engine(q)``, byte for byte, for the same snapshots, time and draw; None is an
answer too, and means that none is sent. There is no compiled path yet, so every query misses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, final

OFF_SWITCH: Final = "GSLB_NO_EXTENSIONS"
"""Environment variable; any value but empty and 0 keeps to the reference path."""


@final
class Miss:
    """The type of `MISS`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISS"


MISS: Final = Miss()
"""Not for this path: the engine answers."""


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment lets the compiled path be used."""
    return environment.get(OFF_SWITCH, "") in ("", "0")


def answer(packet: bytes, source: bytes, now_s: int, draw: int) -> bytes | Miss | None:
    """The reply to a packet from the packed address ``source``, or `MISS`."""
    return MISS
