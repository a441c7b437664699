"""The entries of a store in Redis: its stream, read in pages.

Whoever may write a report may also write to the stream, past the functions that check it. An entry that says more than
what stands under its edge's key, though it is no older, was forged; so is one from ahead of the clock of Redis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gslb.health import report as report_text
from gslb.model.jsontext import quoted
from gslb.model.report import Report
from gslb.store import redis_reading as reading
from gslb.store.events import JUMP_MS, KINDS, LIMIT, REPORT, Entry, Page, Position, begun_anew
from gslb.store.interface import StoreError
from gslb.store.redis_follow import Link, entry_id
from gslb.store.redis_reading import EVENTS, Command, Refused

_HEAVY_BYTES: Final = 4 << 20
_SEQ_DIGITS: Final = 15  # of ids that functions give; longer ones are forged


class RedisEvents:
    """An `events.Events` over one connection. ``shown`` names the store."""

    def __init__(self, link: Link, shown: str) -> None:
        self._link = link
        self._shown = shown
        self._limit = LIMIT

    async def after(self, position: Position, limit: int = LIMIT) -> Page:
        """As `Events.after`."""
        told, found, newest = await self._many(
            [("TIME",), self._read(str(position), limit), ("XREVRANGE", EVENTS, "+", "-", "COUNT", 1)]
        )
        clock_ms = int(reading.seconds(told) * 1000)
        entries = self._entries(found, clock_ms)
        anew = False
        if newest and entry_id(newest[0][0]) != position.id and not (entries and entries[0].n == position.n + 1):
            (oldest,) = await self._many([self._read("0-0", 1)])
            first, last = self._entries(oldest, clock_ms), [_entry(newest[0][0], newest[0][1], clock_ms)]
            anew = bool(first) and begun_anew(position, first[0], last[0], clock_ms)
            if anew:
                (found,) = await self._many([self._read("0-0", limit)])
                entries = self._entries(found, clock_ms)
        return Page(await self._unforged(entries), anew)

    async def close(self) -> None:
        """As `Events.close`."""
        await self._link.drop()

    def _read(self, after: str, limit: int) -> Command:
        return ("XREAD", "COUNT", min(limit, self._limit), "STREAMS", EVENTS, after)

    def _entries(self, answer: Any, clock_ms: int) -> list[Entry]:
        """What an answer to XREAD holds. After one that is heavy fewer are asked for."""
        rows = answer[0][1] if answer else []
        size = sum(len(each) for _, flat in rows for each in flat or ())
        self._limit = 1 if size > _HEAVY_BYTES else LIMIT
        return [_entry(name, flat, clock_ms) for name, flat in rows]

    async def _unforged(self, entries: list[Entry]) -> list[Entry]:
        newest = {each.report.edge: each for each in entries if each.report is not None}
        held = await self._held(sorted(newest))
        checked = []
        for each in entries:
            report = each.report
            now = held.get(report.edge) if report is not None else None
            if report is not None and now is not None and _is_forged(report, now):
                each = each._replace(report=None, fault=f"the store never took this report of edge {report.edge!r}")
            checked.append(each)
        return checked

    async def _held(self, edges: Sequence[str]) -> Mapping[str, Any]:
        try:
            return await reading.reports(self._many, edges) if edges else {}
        except Refused as error:
            raise StoreError(f"{self._shown}: {error}") from None

    async def _many(self, commands: Sequence[Command], wait_s: float = 0.0) -> list[Any]:
        """As `reading.Many`, for commands that Redis only refuses where it cannot be used; but those about the keys of
        edges, of which each may hold something else."""
        answers = await self._link.many(commands, wait_s)
        for command, answer in zip(commands, answers, strict=True):
            if isinstance(answer, Refused) and (EVENTS in command or command == ("TIME",)):
                reason = f"{EVENTS}: the key holds no stream" if answer.code == "WRONGTYPE" else str(answer)
                raise StoreError(f"{self._shown}: {reason}")
        return answers


def _is_forged(report: Report, held: object) -> bool:
    """Whether a report that an entry tells of was never written, by what its key holds, which was read later."""
    if not isinstance(held, Report) or not held.received_ms or held.received_ms > report.received_ms:
        return False
    if (report.epoch, report.seq) == (held.epoch, held.seq):
        return report != held
    return (report.epoch, report.seq) > (held.epoch, held.seq)


def _entry(name: bytes, flat: Sequence[bytes] | None, clock_ms: int) -> Entry:
    at = entry_id(name)
    said = dict(zip(flat[::2], flat[1::2], strict=True)) if flat else {}
    n = reading.number(said.get(b"n"))
    kind = said.get(b"kind", b"")[:40].decode("ascii", "replace")
    entry = Entry(at.ms, at.seq, n or 0, kind)
    if n is None:
        return entry._replace(fault="it has no running number")
    if kind not in KINDS:
        return entry._replace(fault=f"its kind {quoted(kind)} is not known")
    if at.ms > clock_ms + JUMP_MS or len(str(at.seq)) > _SEQ_DIGITS:
        return entry._replace(fault="it lies ahead of the store's clock")
    if kind != REPORT:
        return entry
    fields = {key.decode("ascii", "replace"): value for key, value in said.items()}
    edge = said.get(b"edge", b"")[:100].decode("ascii", "replace")
    if reading.number(said.get(b"received_ms")) != at.ms:
        return entry._replace(fault="received_ms is not the time of the entry")
    try:
        return entry._replace(report=report_text.read(edge, fields, at.ms))
    except report_text.ReportError as error:
        return entry._replace(fault=str(error)[:500])
