"""What every store offers: the live state of a network, read whole, and written one report, override or plan at a time.

A plan is published by whoever holds the lease `DISPATCH`, with the token that the lease gave him, or by hand, without
one. Each is based on the plan that counts until then; so of two who publish at once one is refused, and who was away
while the lease passed on is refused too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

from gslb.errors import GslbError
from gslb.model.override import Override
from gslb.model.plan import Plan
from gslb.model.report import Report, StoreState

EXPIRE_MS = 7 * 86_400_000
"""A report that nobody renews vanishes after 7 days; its edge counts as silent from then on, not as never reported."""
OVERRIDE_KEPT_S = 900
"""An override is kept for this long after its end: weights come back step by step, and TTLs stay short meanwhile."""

DISPATCH = "dispatch"
"""The lease without which no dispatcher publishes."""
PLANS_KEPT = 3
"""Plans that a store keeps, the newest ones; it forgets them `EXPIRE_MS` after they were published, too."""
MAX_LASTING_MS = 600_000
"""The longest that a lease is given for at once."""
MAX_HOLDER = 128
"""Of who holds a lease: printable ASCII characters without spaces."""
MAX_WORDS = 512
"""Bytes of who froze plans, and of why: UTF-8 without control characters."""


class StoreError(GslbError):
    """A store that cannot be reached, or that refuses who asks; the text names the store, never a password."""


class Outcome(NamedTuple):
    """What became of a write. ``reason`` is empty where it was accepted, else fit for a person to read."""

    accepted: bool
    reason: str = ""


class Lease(NamedTuple):
    """Who holds a lease, and for how many ms more. ``token`` is 0 where it is not who asked."""

    token: int
    holder: str
    left_ms: int


class Freeze(NamedTuple):
    """Up to when (ms since 1970 on the store's clock) no dispatcher may publish, by whose order, and why."""

    until_ms: int
    author: str
    reason: str


class Publisher(Protocol):
    """What a dispatcher, or an operator of plans, needs. All raise `StoreError` where the store cannot be reached or
    refuses who asks."""

    async def plan(self, version: str | None = None) -> Plan | None:
        """A plan that is kept; without ``version`` the one that counts. None too for one that cannot be read."""

    async def plan_versions(self) -> tuple[str, ...]:
        """The versions of the plans that are kept, newest first: the first is the one that counts, whether or not it
        can be read, and the ``base`` of whatever is published next (that is "" where there are none)."""

    async def publish(self, plan: Plan, token: int | None = None) -> Outcome:
        """Have ``plan`` count from now on, in place of ``plan.base``.

        Refused is one that is based on another plan than the one that counts, of a version that is kept already, or
        that cannot be read. With the ``token`` of a dispatcher, also where the lease `DISPATCH` is not his or has
        ended, and while plans are frozen; None: published by hand. After a `StoreError` it is not known whether it
        counts; then `plan_versions` tells.
        """

    async def take_lease(self, name: str, holder: str, lasting_ms: int) -> Lease:
        """Take a lease that nobody holds, or prolong one's own, so that it lasts ``lasting_ms`` from now (at most
        `MAX_LASTING_MS`).

        Who prolongs it in time keeps the token; each other token is greater than all before it. Raises `GslbError` for
        a name, a holder or a time that cannot be one.
        """

    async def drop_lease(self, name: str, holder: str) -> Outcome:
        """End a lease now. Refused where it is not ``holder``'s."""

    async def freeze(self, until_ms: int, author: str, reason: str) -> Outcome:
        """Refuse what dispatchers publish, up to a time at most `EXPIRE_MS` away; one that is past ends a freeze.

        The plan that counts is let be: its own ``hold_until_ms`` is for who freezes to prolong, by publishing it again.
        """

    async def frozen(self) -> Freeze | None:
        """The freeze that acts now."""


class Writer(Publisher, Protocol):
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
