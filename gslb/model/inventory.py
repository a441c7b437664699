"""What operators own: edges, their places, the ISPs they know by name, and the rules of health."""

from __future__ import annotations

from dataclasses import dataclass

ANY_ISP = "any"


@dataclass(frozen=True, slots=True)
class Location:
    """Where an edge stands: ISO 3166-1 country, ISO 3166-2 subdivision without the country, degrees."""

    country: str
    region: str
    lat: float
    lon: float
    continent: str


@dataclass(frozen=True, slots=True)
class Edge:
    """A cluster that serves viewers, as `zones/edges.yaml` has it.

    ``v4`` and ``v6`` are packed addresses (4 and 16 bytes). ``isps`` holds names of `zones/isps.yaml`, ``AS<n>`` or
    ``any``. ``fence`` lists the only countries whose clients it may serve; empty: all.
    """

    id: str
    pop: str
    v4: tuple[bytes, ...]
    v6: tuple[bytes, ...]
    location: Location
    isps: tuple[str, ...] = ()
    capacity_bps: int = 0
    capacity_sessions: int | None = None
    fence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Isp:
    """An ISP by its short name, with the AS numbers and the database names that mean it."""

    name: str
    asns: tuple[int, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HealthRules:
    """How reports age (design: section 4, State). Times in seconds, ``silence_share`` a fraction of capacity;
    ``slow_start_s``, in whole seconds, is how long an edge that comes back takes to its full weight, 0 = at once."""

    stale_s: float = 3.0
    hold_s: float = 7.0
    changing_s: float = 60.0
    silence_share: float = 0.3
    silence_edges: int = 3
    slow_start_s: int = 90


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Response rate limiting of errors and NXDOMAIN, per client prefix (/24, /56) and kind of answer."""

    per_second: int
    slip: int = 2
    window_s: int = 15
    allow: tuple[str, ...] = ()
