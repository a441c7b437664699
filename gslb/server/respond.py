"""From one packet to one reply: engine, rate limit and counters together. Nothing that comes in can raise here."""

from __future__ import annotations

import contextlib
import os
import random
import time
import zlib
from typing import TYPE_CHECKING, Protocol

import structlog

from gslb.answer.engine import Trace
from gslb.server import cells as layout
from gslb.server import ring
from gslb.server.limit import KINDS, PASS, SLIP, Limiter
from gslb.server.log import Sparing
from gslb.snapshot.layout import NONE32
from gslb.wire import codes, edns, message
from gslb.wire.query import Query, parse
from gslb.wire.sections import HEADER, MalformedError, question_end

if TYPE_CHECKING:
    from gslb.server._limit import CompiledLimiter

_QR, _OPCODE, _RD = 0x80, 0x78, 0x01  # of a header's third byte
_NO_ROOM = 0
# Where things are counted, worked out once. A tuple's index is False or True: TCP, IPv6.
_QUERIES = tuple(tuple(layout.queries_at(transport, family) for family in (0, 1)) for transport in (0, 1))
_REPLIES = tuple(layout.replies_at(transport) for transport in (0, 1))
_QTYPE_AT, _RCODE_AT = layout.QTYPE_AT, layout.RCODE_AT
_OUTCOME_AT = {outcome: layout.OUTCOME + at for outcome, at in layout.OUTCOME_AT.items()}
_OUTCOME_OTHER = layout.OUTCOME + layout.OUTCOME_OTHER


class Engine(Protocol):
    """What this module needs of `gslb.answer.engine.Engine`."""

    def reply(
        self, packet: bytes, source: bytes, *, now_s: int, draw: int, tcp: bool, trace: Trace
    ) -> bytes | None: ...


class Responder:
    """Answers for one worker, with whatever engine it was last told to `use`.

    ``cells`` are the worker's counters (`gslb.server.cells`), ``log`` its query log.
    """

    def __init__(self, cells: memoryview, log: ring.Writer | None = None) -> None:
        self._cells = cells
        self._log = log if log is not None and log.sample else None
        self._catalog = 0
        self._steering = 0
        self._engine: Engine | None = None
        self._edge_slots = memoryview(b"").cast("H")
        self._limiter: Limiter | CompiledLimiter | None = None
        self._sparing = Sparing(structlog.get_logger("gslb.server"))
        self._draw = random.Random(os.urandom(32)).getrandbits

    def use(
        self,
        engine: Engine,
        edge_slots: bytes,
        limiter: Limiter | CompiledLimiter | None,
        catalog: int = 0,
        steering: int = 0,
    ) -> None:
        """Answer with ``engine`` from now on; ``edge_slots`` (u16 per edge row) are the counters of its edges.

        ``catalog`` and ``steering`` are the numbers of its snapshots in the query log.
        """
        self._catalog = catalog
        self._steering = steering
        self._engine = engine
        self._edge_slots = memoryview(edge_slots).cast("H")
        self._limiter = limiter

    def count(self, scalar: str, by: int = 1) -> None:
        """Add to one of `cells.SCALARS`."""
        self._cells[layout.SCALAR[scalar]] += by

    def answer(self, packet: bytes, source: bytes, *, now_s: int, tcp: bool) -> bytes | None:
        """The reply to ``packet`` from the packed address ``source``, or None for none. Never raises."""
        trace = Trace()
        try:
            assert self._engine is not None
            reply = self._engine.reply(packet, source, now_s=now_s, draw=self._draw(64), tcp=tcp, trace=trace)
            return self._counted(packet, reply, source, tcp, trace)
        except Exception as error:
            self.count("engine_errors")
            self._sparing.error("a question could not be answered", type(error).__name__, exc_info=True)
            trace = Trace(rcode=codes.SERVFAIL, outcome="servfail")
            return self._counted(packet, servfail(packet), source, tcp, trace)

    def _counted(self, packet: bytes, reply: bytes | None, source: bytes, tcp: bool, trace: Trace) -> bytes | None:
        """Count the reply and, over UDP, hold it to the rate limit."""
        cells = self._cells
        replies = _REPLIES[tcp]
        cells[_QUERIES[tcp][len(source) == 16] + _QTYPE_AT.get(trace.qtype, layout.QTYPE_OTHER)] += 1
        if reply is not None and self._limiter is not None and not tcp and not trace.cookie_ok:
            reply = self._limited(packet, reply, source, trace)
        if reply is None:
            cells[replies + layout.RCODE_DROPPED] += 1
            return None
        cells[replies + _RCODE_AT.get(trace.rcode, layout.RCODE_OTHER)] += 1
        cells[_OUTCOME_AT.get(trace.outcome, _OUTCOME_OTHER)] += 1
        if trace.edge != NONE32:
            cells[layout.EDGES + self._edge_slots[trace.edge]] += 1
        if trace.fail_open:
            cells[layout.SCALAR["fail_open"]] += 1
        if trace.cookie_ok:
            cells[layout.SCALAR["cookies_valid"]] += 1
        if self._log is not None:
            self._logged(self._log, source, tcp, trace)
        return reply

    def _limited(self, packet: bytes, reply: bytes, source: bytes, trace: Trace) -> bytes | None:
        assert self._limiter is not None
        now = time.monotonic()
        if trace.outcome not in KINDS:
            if self._limiter.positive_is_over(source, now):
                self._cells[layout.LIMIT + layout.LIMITED.index("counted")] += 1
            return reply
        decision = self._limiter.decide(source, trace.outcome, now)
        if decision == PASS:
            return reply
        if decision == SLIP and (short := slipped(packet, trace.rcode)) is not None:
            self._cells[layout.LIMIT + layout.LIMITED.index("slipped")] += 1
            return short
        self._cells[layout.LIMIT + layout.LIMITED.index("dropped")] += 1
        return None

    def _logged(self, log: ring.Writer, source: bytes, tcp: bool, trace: Trace) -> None:
        """Write a record of the query log, if the question is sampled."""
        qname = zlib.crc32(trace.qname)
        resolver = int.from_bytes(source[:8])
        at = trace.client
        client = 0
        if at is not None and at.public:
            family, address, _ = at.prefix
            width = 32 if family == 4 else 64
            cut = max(0, width + at.offset - at.scope)
            client = address >> cut
        if not ring.sampled(log.sample, qname, resolver, client):
            return
        families = 2 * (len(source) == 16)
        family, address, length = (0, 0, 0) if at is None else at.prefix
        if at is not None:
            families |= (family == 6) | 4 * (not at.public) | 8 * (at.offset == 16) | 16 * (at.offset == 96)
        log.put(
            time.time_ns() // 1000,
            address,
            resolver,
            trace.service,
            0 if at is None else at.cls,
            trace.ttl_s,
            self._catalog,
            qname,
            trace.qtype,
            min(trace.edge, 0xFFFF),
            trace.rcode,
            trace.level,
            0 if at is None else at.scope,
            length,
            families,
            tcp,
            self._steering,
        )


def servfail(packet: bytes) -> bytes | None:
    """SERVFAIL with the question echoed as far as it can be read; None for what is no query (RFC 1035 section 4.1)."""
    if len(packet) < HEADER.size or packet[2] & _QR:
        return None
    asked = b""
    if packet[4:6] == b"\0\1":
        with contextlib.suppress(MalformedError):
            asked = packet[HEADER.size : question_end(packet, HEADER.size)]
    flags = bytes((_QR | packet[2] & (_OPCODE | _RD), codes.SERVFAIL))
    return packet[:2] + flags + (b"\0\1" if asked else b"\0\0") + bytes(6) + asked


def slipped(packet: bytes, rcode: int) -> bytes | None:
    """An error as an empty answer with TC set, to send a client of good faith to TCP; None where that cannot help."""
    query = parse(packet)
    if not isinstance(query, Query):
        return None
    options = edns.ecs_option(query.ecs.option, 0) if query.ecs is not None else b""
    return message.assemble(query, rcode, _NO_ROOM, aa=False, options=options)
