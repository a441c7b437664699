"""What a store was told, entry by entry, for whoever keeps a history: read in pages, each after a position.

Every write is an entry with an id that grows (`Position`) and a running number. A number that is not the next tells of
entries that are gone: a store keeps the newest ones only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from gslb.model.report import Report

LIMIT: Final = 1000
"""Entries of a page, at most."""
JUMP_MS: Final = 10_000
"""A store whose clock was set back by more begins its entries anew; none lies further ahead of the clock than this."""
REPORT: Final = "report"
KINDS: Final = (REPORT, "override", "plan")

_POSITION: Final = re.compile(r"([0-9]{1,20})-([0-9]{1,20})")


class Position(NamedTuple):
    """Up to where somebody has read: the id of an entry, and its running number, 0 where it is not known."""

    ms: int = 0
    seq: int = 0
    n: int = 0

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"

    @property
    def id(self) -> tuple[int, int]:
        """What entries are ordered by."""
        return self.ms, self.seq


class Entry(NamedTuple):
    """An entry: ``ms`` is the store's clock when it was written, ``n`` its running number, 0 where it has none.

    ``report`` is what an entry of the kind `REPORT` says; ``fault`` why it counts for nothing, empty where it does not.
    """

    ms: int
    seq: int
    n: int
    kind: str
    report: Report | None = None
    fault: str = ""

    @property
    def position(self) -> Position:
        """The position after it."""
        return Position(self.ms, self.seq, self.n)


class Page(NamedTuple):
    """Entries that follow each other. ``anew``: the store has begun its entries anew since the position that was asked
    for, and these are the first."""

    entries: Sequence[Entry]
    anew: bool = False


class Events(Protocol):
    """Where entries are read. Raises `interface.StoreError` where the store cannot be reached or refuses who asks."""

    async def after(self, position: Position, limit: int = LIMIT) -> Page:
        """The next entries after a position, at most ``limit``; none where there are none yet."""

    async def close(self) -> None:
        """End it."""


def position(text: str, n: int = 0) -> Position:
    """An id as stores spell it: ``1700000000000-0``. Raises `ValueError`."""
    found = _POSITION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is not the id of an entry, such as 1700000000000-0")
    return Position(int(found[1]), int(found[2]), n)


def begun_anew(after: Position, oldest: Entry, newest: Entry, clock_ms: int) -> bool:
    """Whether a store that holds entries from ``oldest`` to ``newest`` has begun them anew since a position.

    Ids that lie behind the position alone do not tell: another server that was a little behind may have taken over.
    """
    if (newest.ms, newest.seq) >= after.id:
        return bool(after.n) and (oldest.ms, oldest.seq) <= after.id and oldest.n > after.n
    return oldest.n > after.n or clock_ms + JUMP_MS < after.ms
