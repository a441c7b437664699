"""What edges push and what is true this minute, as the servers read it from the store."""

from __future__ import annotations

from dataclasses import dataclass, field

from gslb.model.override import Override
from gslb.model.plan import Plan

UP = "up"
DOWN = "down"
DRAIN = "drain"
VERDICTS = (UP, DOWN, DRAIN)
GAP_MS = 3000
"""Store time that passes without an entry of anyone's for longer than this ages nobody."""


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
    slow_since_ms: int = 0  # set by the store: when the edge last came back, and its slow start began; 0: never


@dataclass(frozen=True, slots=True)
class StoreState:
    """One consistent reading of a store.

    ``now_ms`` is store time: the newest entry's, which stands still while the store is unreachable. ``seen`` names
    every edge that ever reported, so that a vanished report counts as silent and not as never reported: edge → store
    time at which it was last seen. From ``gap_begin_ms`` to ``gap_end_ms`` nobody could write, or nobody did, for
    longer than `GAP_MS`: the newest such time, through which reports do not age, and the one before it where reports
    from before that may still have held when it began; ``gap_begin_ms`` 0 where it is not known when it began, since
    the store was emptied. Both are 0 where there was none. ``overrides`` are keyed by id. ``plan_base`` is the plan
    that ``plan`` is based on, while the store still keeps it; it is not kept on disk.
    """

    now_ms: int = 0
    reports: dict[str, Report] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    gap_begin_ms: int = 0
    gap_end_ms: int = 0
    overrides: dict[str, Override] = field(default_factory=dict)
    plan: Plan | None = None
    plan_base: Plan | None = None

    def heard_ms(self, received_ms: int) -> int:
        """When a report received at ``received_ms`` counts as heard: later by the part of the gap that it lay through.

        Never later than store time: a writer's clock may run ahead.
        """
        if received_ms < self.gap_end_ms:
            begin_ms = max(self.gap_begin_ms, received_ms) if self.gap_begin_ms else self.gap_end_ms
            received_ms = self.gap_end_ms if not self.gap_begin_ms else received_ms + self.gap_end_ms - begin_ms
        return min(received_ms, self.now_ms)
