"""What every store offers: the live state of a network, read whole and written one report or override at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

from gslb.errors import GslbError
from gslb.model.override import Override
from gslb.model.report import Report, StoreState

EXPIRE_MS = 7 * 86_400_000
"""A report that nobody renews vanishes after 7 days; its edge counts as silent from then on, not as never reported."""
OVERRIDE_KEPT_S = 900
"""An override is kept for this long after its end: weights come back step by step, and TTLs stay short meanwhile."""


class StoreError(GslbError):
    """A store that cannot be reached, or that refuses who asks; the text names the store, never a password."""


class Outcome(NamedTuple):
    """What became of a write. ``reason`` is empty where it was accepted, else fit for a person to read."""

    accepted: bool
    reason: str = ""


class Writer(Protocol):
    """What an agent, a script or an operator needs: write, and read back what one writes upon.

    All but ``clock_ms`` raise `StoreError` where the store cannot be reached or refuses who asks.
    """

    @property
    def clock_ms(self) -> int:
        """The store's own clock in ms since 1970, as well as it is known here; it goes on while the store is away."""

    async def latest(self, edge: str) -> Report | None:
        """The report that the store holds of an edge."""

    async def report(self, report: Report) -> Outcome:
        """Write what an edge pushes; ``received_ms`` and ``slow_since_ms`` are set by the store.

        Refused is a report that is not newer, by (epoch, seq), than the one that is held for its edge.
        """

    async def overrides(self) -> tuple[Override, ...]:
        """Every override that is kept, ended ones for `OVERRIDE_KEPT_S` among them, sorted by id."""

    async def override(self, override: Override) -> Outcome:
        """Write an override, in place of one of the same id. One to cancel is written with another ``until_s``."""

    async def close(self) -> None:
        """End all waiting. Nothing may be written afterwards."""


class Store(Writer, Protocol):
    """What a server needs: Redis or the embedded store, followed. Its methods may be called from any task of one loop.

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

    @property
    def faults(self) -> dict[str, str]:
        """What is held in the store and cannot be read: its key → why. What was good there before still counts."""

    async def state(self) -> StoreState:
        """One consistent reading. The dictionaries in it are not changed afterwards. Never waits for the network."""

    def changes(self) -> AsyncIterator[None]:
        """One item whenever something was written since the last item, or since this call, or ``connected`` changed;
        many writes may be one item. Ends when the store is closed. Each caller has its own."""
