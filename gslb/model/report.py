"""What edges push and what is true this minute, as the servers read it from the store."""

from __future__ import annotations

from dataclasses import dataclass, field

UP = "up"
DOWN = "down"
DRAIN = "drain"
VERDICTS = (UP, DOWN, DRAIN)


@dataclass(frozen=True, slots=True)
class Report:
    """What an edge pushed last.

    ``(epoch, seq)`` orders the reports of an edge: an older one is refused. ``since_ms`` is store time of the last
    transition of either family. ``received_ms`` is the store's clock when it was written. ``headroom_milli`` is the
    writer's slew-limited headroom, 0–1000; -1 when the writer gave none and it follows from load and capacity.
    """

    edge: str
    epoch: int
    seq: int
    received_ms: int
    since_ms: int = 0
    health4: str = UP
    health6: str = UP
    load_bps: int = 0
    capacity_bps: int = 0
    headroom_milli: int = -1
    sessions: int = 0
    valid_ms: int = 0  # how long the writer vouches for it; 0: stale + hold of the health rules


@dataclass(frozen=True, slots=True)
class StoreState:
    """One consistent reading of a store.

    ``now_ms`` is store time: the newest entry's, which stands still while the store is unreachable. ``seen`` names
    every edge that ever reported, so that a vanished report counts as silent and not as never reported: edge → store
    time at which it was last seen.
    """

    now_ms: int = 0
    reports: dict[str, Report] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
