"""What operators intend: the checked content of `zones/`, free of text and places.

All names are lower-case uncompressed wire names; rdata is uncompressed wire form.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gslb.model.dispatch import DispatchRules
from gslb.model.events import Events
from gslb.model.inventory import Edge, HealthRules, Isp, RateLimit

NEAREST = "nearest"
AFFINITY_LEVELS = ("isp+region", "isp+country", "isp", "region", "country", "continent", "any")


@dataclass(frozen=True, slots=True)
class RRset:
    """Records of one owner and type. ``rdatas`` keep the order of the file, without duplicates."""

    owner: bytes
    rtype: int
    ttl_s: int
    rdatas: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Pool:
    """The edges a service may use, with operator weights 0–65535 (0 = never), in the file's order."""

    name: str
    weights: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Service:
    """A dynamic name. ``affinity`` is a tuple of `AFFINITY_LEVELS` or ``("nearest",)``.

    ``name`` may begin with a ``*`` label. ``fallback_v4/_v6`` are packed addresses. ``max_change`` is the fraction of
    known client space that one reload may move without a person's word.
    """

    name: bytes
    pool: str
    affinity: tuple[str, ...] = ("isp+region", "isp+country", "isp", "region", "country", "continent", "any")
    ttl_s: int = 20
    changing_ttl_s: int = 5
    hash_len_v4: int = 20
    hash_len_v6: int = 40
    answers: int = 1
    spread: int = 0
    max_records: int = 4
    panic: float = 0.2
    on_all_down: str = "open"
    fallback_v4: tuple[bytes, ...] = ()
    fallback_v6: tuple[bytes, ...] = ()
    dispatch: bool = False
    max_change: float = 0.3


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone with its static records and services.

    ``soa`` is the apex SOA RRset (one rdata, serial filled in); ``rrsets`` hold everything else, delegations
    (NS below the apex) and glue included. ``path`` is the file it came from.
    """

    name: bytes
    path: str
    soa: RRset
    negative_ttl_s: int
    rrsets: tuple[RRset, ...]
    services: tuple[Service, ...]


@dataclass(frozen=True, slots=True)
class Intent:
    """All of `zones/` after a check without errors; edges, pools and isps sorted by name. ``dispatch`` and ``events``
    act on published plans alone; servers do not read them."""

    zones: tuple[Zone, ...]
    edges: tuple[Edge, ...]
    pools: tuple[Pool, ...]
    isps: tuple[Isp, ...] = ()
    health: HealthRules = field(default_factory=HealthRules)
    rate_limit: RateLimit | None = None
    dispatch: DispatchRules = field(default_factory=DispatchRules)
    events: Events = field(default_factory=Events)
