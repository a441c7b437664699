"""Following Redis: one full read, then the stream of entries; a full read again each 30 s and where entries are missed.

An entry is a hint: which edge, override or plan to read again. What counts is what stands under its key, so that who
may write to the stream alone speaks for nobody. Entries carry a running number; one that is not the next means that
some were lost (the stream was cut, emptied, or another server took over), and everything is read again.

All reading goes through one connection, one command after another: what is read later is newer. While a full read after
a lost connection or lost entries is under way, nothing of it is told: the time would have moved on and reports not.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from gslb.model.report import Report
from gslb.store import redis_library as library
from gslb.store import redis_reading as reading
from gslb.store.interface import StoreError
from gslb.store.redis_clock import StoreClock
from gslb.store.redis_mirror import MAX_EDGES, Mirror
from gslb.store.redis_plan import Plans
from gslb.store.redis_reading import (
    COUNT,
    EVENTS,
    MAX_OVERRIDES,
    OVERRIDE,
    PLAN_CURRENT,
    REPORT,
    SEEN,
    TAG,
    Fault,
    Gap,
    Refused,
    is_name,
    number,
)

FULL_READ_S: Final = 30.0
BLOCK_S: Final = 0.5
"""How long one question for new entries waits at Redis."""
AHEAD_MS: Final = 2000
"""Store time never runs further ahead of the store's clock than this: an entry with a later id is forged."""

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 3.0
_FULL_READS_APART_S: Final = 1.0  # between two that lost entries ask for, which anyone who may write can cause
_APART_S: Final = 0.01  # between two readings of entries, unless many wait: a storm of reports costs a hundred a second
_ENTRIES: Final = 100
_HEAVY_BYTES: Final = 1 << 20
_SLICE_S: Final = 0.05
_AWAY: Final = ("LOADING", "MASTERDOWN", "BUSY", "CLUSTERDOWN", "MOVED", "ASK", "TRYAGAIN", "NOAUTH")
"""Refusals of whatever is asked: Redis is there and yet not to be used."""


class Link(Protocol):
    """One connection, made when it is needed and after it was lost."""

    async def many(self, commands: Sequence[reading.Command], wait_s: float = 0.0) -> list[Any]:
        """As `reading.Many`; answers may take ``wait_s`` longer than usual."""

    async def drop(self) -> None:
        """Close the connection."""


class Entry(NamedTuple):
    """The id of an entry, in order of time."""

    ms: int = 0
    seq: int = 0

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"


def entry_id(text: bytes | str) -> Entry:
    """An id as Redis spells it."""
    ms, _, seq = (text.decode() if isinstance(text, bytes) else text).partition("-")
    return Entry(int(ms), int(seq))


class Follower:
    """Keeps a `Mirror` current until cancelled. ``told`` is called when it or ``connected`` has changed."""

    def __init__(self, link: Link, mirror: Mirror, clock: StoreClock, shown: str, told: Callable[[], None]) -> None:
        """``shown`` names the store."""
        self.connected = False
        self.current_s = time.monotonic()
        self.position = Entry()
        self._link = link
        self._mirror = mirror
        self._clock = clock
        self._shown = shown
        self._told = told
        self._number: int | None = None  # of the last entry; None: not known, the next may have any
        self._counted: int | None = None  # what the counter said, or should say
        self._strikes = 0
        self._lost = False
        self._entries = _ENTRIES
        self._read_at_s = 0.0
        self._touched: tuple[set[str], set[str]] = (set(), set())
        self._plans = Plans(mirror, told)

    async def run(self) -> None:
        """Connect, read all, follow; begin again, after a pause, where the connection is lost."""
        try:
            await self._run()
        finally:
            self._plans.end()

    async def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                await self._read_all(tell=False)
                self._set_connected(None)
                pause_s = _FIRST_PAUSE_S
                while True:
                    await self._step()
                    self.current_s = time.monotonic()
            except StoreError as error:
                self._set_connected(str(error))
            except Refused as error:
                self._set_connected(f"{self._shown}: {error}")
            except Exception as error:
                # Answers of a shape that no Redis gives, mostly. Following must not end, whatever it is.
                self._set_connected(f"{self._shown}: an answer that is not understood: {error!r:.200}")
            await self._link.drop()
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _set_connected(self, reason: str | None) -> None:
        self._mirror.fault(self._shown, reason)
        if self.connected is not (reason is None):
            self.connected = reason is None
            self._mirror.touch()
            if self.connected:
                self.current_s = time.monotonic()
            else:
                self._clock.forget()
        self._told()

    async def _step(self) -> None:
        now_s = time.monotonic()
        since_s = now_s - self._read_at_s
        if since_s >= FULL_READ_S or (self._lost and since_s >= _FULL_READS_APART_S):
            await self._read_all(tell=not self._lost)
            self._told()
            return
        if await self._follow(BLOCK_S):
            return
        sent_s = time.monotonic()
        told_s, counted = await self._many([("TIME",), ("GETRANGE", COUNT, 0, 16)])
        self._time(told_s, sent_s)
        # An entry may come between the two questions; then the next one for entries gives it.
        self._strikes = 0 if self._count(counted) == self._counted else self._strikes + 1
        self._lost = self._lost or self._strikes > 1

    async def _follow(self, wait_s: float) -> bool:
        """Read what entries say has changed; False where there were none. Without ``wait_s`` amid a full read."""
        block = ("BLOCK", round(wait_s * 1000)) if wait_s else ()
        asked = ("XREAD", "COUNT", self._entries, *block, "STREAMS", EVENTS, str(self.position))
        (answer,) = await self._many([asked], wait_s)
        if isinstance(answer, Refused):
            self._critical(answer, EVENTS, "the key holds no stream")
            await asyncio.sleep(wait_s)
            return False
        if not answer:
            self._mirror.fault(EVENTS, None)
            return False
        entries = answer[0][1]
        edges, overrides, planned = self._hints(entries)
        if self._lost and wait_s and time.monotonic() - self._read_at_s >= _FULL_READS_APART_S:
            await self._read_all(tell=False)
            self._told()
            return True
        await self._read_hinted(edges, overrides, planned)
        self._told()
        if wait_s and len(entries) < self._entries:
            await asyncio.sleep(_APART_S)
        return True

    def _hints(self, entries: Sequence[tuple[bytes, list[bytes]]]) -> tuple[set[str], set[str], bool]:
        edges: set[str] = set()
        overrides: set[str] = set()
        planned, size = False, 0
        for name, flat in entries:
            said = dict(zip(flat[::2], flat[1::2], strict=True)) if flat else {}
            size += sum(map(len, flat or ()))
            self.position = entry_id(name)
            running = number(said.get(b"n"))
            self._lost = self._lost or (self._number is not None and running != self._number + 1)
            if running is not None:
                self._number = self._counted = running
            self._strikes = 0
            kind = said.get(b"kind")
            planned = planned or kind == b"plan"
            for wanted, key, found in ((b"report", b"edge", edges), (b"override", b"id", overrides)):
                hinted = said.get(key, b"")[:100].decode("ascii", "replace")
                if kind == wanted and is_name(hinted):
                    found.add(hinted)
        heavy = size > _HEAVY_BYTES
        self._mirror.fault(EVENTS, f"{len(entries)} entries take {size} bytes" if heavy else None)
        self._entries = 1 if heavy else _ENTRIES
        return edges, overrides, planned

    async def _read_hinted(self, edges: set[str], overrides: set[str], planned: bool) -> None:
        # An entry from ahead is forged, or the store's clock was set.
        if self._clock.due or self.position.ms > self._clock.ms() + AHEAD_MS:
            sent_s = time.monotonic()
            (told,) = await self._many([("TIME",)])
            self._time(told, sent_s)
        gap = await reading.gap(self._many)
        found = await reading.reports(self._many, sorted(edges))
        ordered = await reading.overrides(self._many, sorted(overrides))
        if planned:
            (current,) = await self._many([("GETRANGE", PLAN_CURRENT, 0, 63)])
            await self._read_plan(current, wait=False)
        now_ms = self._bounded(self.position.ms)
        self._mirror.take_time(now_ms)
        self._mirror.take_gap(gap, self._clock.ms() + AHEAD_MS)
        self._mirror.take_reports(found, entries=True)
        self._mirror.take_overrides(ordered)
        self._touched[0].update(edges)
        self._touched[1].update(overrides)

    async def _read_all(self, *, tell: bool) -> None:
        """Everything. With ``tell``, entries that come meanwhile are followed, and told at once."""
        self._touched = (set(), set())
        sent_s = time.monotonic()
        told_s, newest, counted, current = await self._many(
            [
                ("TIME",),
                ("XREVRANGE", EVENTS, "+", "-", "COUNT", 1),
                ("GETRANGE", COUNT, 0, 16),
                ("GETRANGE", PLAN_CURRENT, 0, 63),
            ]
        )
        self._time(told_s, sent_s)
        self._critical(newest, EVENTS, "the key holds no stream")
        gap = await reading.gap(self._many)
        position, running = Entry(), None
        if newest and not isinstance(newest, Refused):
            position = entry_id(newest[0][0])
            flat = newest[0][1]
            running = number(dict(zip(flat[::2], flat[1::2], strict=True)).get(b"n"))
        tell = tell and position >= self.position  # else the stream was begun anew, or emptied
        if not tell:
            self.position, self._number = position, running
        begun = self.position
        self._counted = self._count(counted)
        self._strikes, self._lost = 0, False
        self._read_at_s = time.monotonic()
        self._mirror.fault(library.FAULT_KEY, await library.check(self._many) or None)
        found: dict[str, Any] = {}
        ordered: dict[str, Any] = {}
        slice_s = time.monotonic()
        async for keys in reading.scan(self._many, TAG + "*", MAX_EDGES + MAX_OVERRIDES + 100_000):
            edges, overrides = reading.named(keys, REPORT), reading.named(keys, OVERRIDE)
            found.update(await reading.reports(self._many, edges[: max(0, MAX_EDGES - len(found))]))
            ordered.update(await reading.overrides(self._many, overrides[: max(0, MAX_OVERRIDES - len(ordered))]))
            if tell and time.monotonic() - slice_s > _SLICE_S:
                await self._follow(0.0)
                slice_s = time.monotonic()
        seen = await reading.seen(self._many, MAX_EDGES)
        await self._read_plan(current, wait=not self.connected)
        mirror = self._mirror
        mirror.fault(SEEN, seen if isinstance(seen, Fault) else None)
        if self.position == begun:  # else entries have told of a newer time, and of a newer gap perhaps
            newest_ms = position.ms or _newest_ms(gap, found, seen, int(reading.seconds(told_s) * 1000))
            if newest_ms:
                mirror.take_time(self._bounded(newest_ms))
            mirror.take_gap(gap, self._clock.ms() + AHEAD_MS)
        mirror.take_reports({edge: found[edge] for edge in found if edge not in self._touched[0]})
        mirror.take_overrides({name: ordered[name] for name in ordered if name not in self._touched[1]})
        mirror.keep_only(_there(found) | self._touched[0], _there(ordered) | self._touched[1])
        mirror.take_seen({} if isinstance(seen, Fault) else seen)

    async def _read_plan(self, current: Any, *, wait: bool) -> None:
        """Read the plan that counts, where it is not the one that is held; with ``wait``, before this returns."""
        self._critical(current, PLAN_CURRENT, "the key holds no text")
        if isinstance(current, Refused):
            return
        await self._plans.look(self._many, current.decode("ascii", "replace"), wait=wait)

    async def _many(self, commands: Sequence[reading.Command], wait_s: float = 0.0) -> list[Any]:
        """As `reading.Many`; raises a refusal that is not about what was asked."""
        answers = await self._link.many(commands, wait_s)
        for answer in answers:
            if isinstance(answer, Refused) and answer.code in _AWAY:
                raise answer
        return answers

    def _critical(self, answer: Any, key: str, otherwise: str) -> None:
        """Tell that a key holds something else, or that it does not; raise any other refusal."""
        if isinstance(answer, Refused) and answer.code != "WRONGTYPE":
            raise answer
        self._mirror.fault(key, otherwise if isinstance(answer, Refused) else None)

    def _count(self, answer: Any) -> int | None:
        """How many entries there ever were; None where that cannot be read."""
        self._critical(answer, COUNT, "the key holds no number")
        if isinstance(answer, Refused) or not answer:
            return None
        found = number(answer)
        self._mirror.fault(COUNT, "the key holds no number" if found is None else None)
        return found

    def _time(self, told: Any, sent_s: float) -> None:
        """Take the answer to a question for the time that was sent at ``sent_s``."""
        if isinstance(told, Refused):
            raise told
        self._clock.told(reading.seconds(told), sent_s, time.monotonic())

    def _bounded(self, entry_ms: int) -> int:
        """The time of an entry, which may be forged."""
        return min(entry_ms, self._clock.ms() + AHEAD_MS)


def _newest_ms(
    gap: Gap | Fault, found: Mapping[str, Report | Fault | None], seen: Mapping[str, int] | Fault, latest_ms: int
) -> int:
    """Store time as far as other keys tell it, of a stream that was emptied; 0 where they do not. Nothing after
    ``latest_ms`` counts: it was written since."""
    times = [report.received_ms for report in found.values() if isinstance(report, Report)]
    times += [] if isinstance(seen, Fault) else seen.values()
    times += [gap.end_ms] if isinstance(gap, Gap) else []
    return max((at_ms for at_ms in times if at_ms <= latest_ms), default=0)


def _there(found: Mapping[str, Any]) -> set[str]:
    """The names under which something is held, readable or not."""
    return {name for name, value in found.items() if value is not None}
