"""What is known to come: the content of `zones/events.yaml`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stream:
    """A scheduled stream: from ``from_s`` to ``until_s`` (seconds since 1970) ``demand_bps`` more of a service is asked
    for, by viewers of ``country|region|isp`` (empty: any, in proportion to what is known of them), rising and falling
    over ``ramp_s``."""

    name: str
    service: str
    from_s: int
    until_s: int
    demand_bps: int
    country: str = ""
    region: str = ""
    isp: str = ""
    ramp_s: int = 0


@dataclass(frozen=True, slots=True)
class Maintenance:
    """A window in which an edge or all edges of a PoP are not to be used; dispatch empties them within ``drain_s``
    before it. One of ``edge`` and ``pop`` is given, the other empty."""

    name: str
    edge: str
    pop: str
    from_s: int
    until_s: int
    drain_s: int = 1800


@dataclass(frozen=True, slots=True)
class Events:
    """All of them, in the file's order."""

    streams: tuple[Stream, ...] = ()
    maintenance: tuple[Maintenance, ...] = ()
