"""The newest entries of the embedded store, as `gslb.store.events` tells them."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Final

from gslb.model.report import Report
from gslb.store.events import LIMIT, REPORT, Entry, Page, Position, begun_anew

KEPT: Final = 10_000
"""Entries that are kept, as in Redis; some 5 MB."""


class MemoryEvents:
    """The entries of one process. They are gone when it ends; their numbers begin at 1 again."""

    def __init__(self, kept: int = KEPT) -> None:
        self._entries: deque[Entry] = deque(maxlen=kept)
        self._n = 0

    def add(self, now_ms: int, kind: str, report: Report | None = None) -> None:
        """Note a write at a time of the store, which is never earlier than the one before."""
        self._n += 1
        last = self._entries[-1] if self._entries else None
        seq = last.seq + 1 if last is not None and last.ms == now_ms else 0
        self._entries.append(Entry(now_ms, seq, self._n, kind, report if kind == REPORT else None))

    def begin_anew(self) -> None:
        """The clock was set back. A number is passed over, for whoever follows to see."""
        self._entries.clear()
        self._n += 1

    def after(self, position: Position, limit: int, clock_ms: int) -> Page:
        """As `events.Events.after`."""
        if not self._entries:
            return Page(())
        anew = begun_anew(position, self._entries[0], self._entries[-1], clock_ms)
        if anew:
            position = Position()
        behind = 0  # entries that come after the position
        for entry in reversed(self._entries):
            if (entry.ms, entry.seq) <= position.id:
                break
            behind += 1
        begin = len(self._entries) - behind
        return Page(list(islice(self._entries, begin, begin + min(limit, LIMIT))), anew)
