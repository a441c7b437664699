"""What every store offers: the live state of a network, read whole and written one report at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

from gslb.model.report import Report, StoreState

EXPIRE_MS = 7 * 86_400_000
"""A report that nobody renews vanishes after 7 days; its edge counts as silent from then on, not as never reported."""


class Outcome(NamedTuple):
    """What became of a write. ``reason`` is empty where it was accepted, else fit for a person to read."""

    accepted: bool
    reason: str = ""


class Store(Protocol):
    """Redis or the embedded store; `state` and `report` may be called from any task of one event loop.

    Store time is the store's own clock at its newest entry, in ms since 1970: it stands still while nothing is written
    and while the store cannot be reached. Ages count against it, never against a reader's clock.
    """

    @property
    def now_ms(self) -> int:
        """Store time as last known; 0 before the first entry."""

    @property
    def connected(self) -> bool:
        """Whether the store can be reached. While it cannot, `state` gives what was read last."""

    @property
    def age_s(self) -> float:
        """Seconds since the state was last known to be current; 0 while connected."""

    async def state(self) -> StoreState:
        """One consistent reading. The dictionaries in it are not changed afterwards."""

    async def report(self, report: Report) -> Outcome:
        """Write what an edge pushes; ``received_ms`` is set by the store.

        Refused is a report that is not newer, by (epoch, seq), than the one that is held for its edge.
        """

    def changes(self) -> AsyncIterator[None]:
        """One item whenever something was written since the last item, or since this call; many writes may be one
        item. Ends when the store is closed. Each caller has its own."""

    async def close(self) -> None:
        """End all waiting. Nothing may be written afterwards."""
