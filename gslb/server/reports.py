"""Reports of edges that come in over the admin port, from those who cannot reach the store themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from gslb.health import report as reading
from gslb.health.state import Measurement
from gslb.model.report import Report
from gslb.server.refusal import Refused, told_faults
from gslb.store.interface import Outcome, StoreError, Writer
from gslb.store.pushing import push

PER_SECOND = 5.0
"""Reports of one edge that are taken in the long run."""
BURST = 10.0
MAX_BODY = 4096


class Reports:
    """Takes them for edges that are ``known``, checked, at most `PER_SECOND` of each edge, and writes them."""

    def __init__(
        self, store: Writer, known: Callable[[str], bool], monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._known = known
        self._monotonic_s = monotonic_s
        self._left: dict[str, tuple[float, float]] = {}  # edge → reports it may make at once, as of when
        self._locks: dict[str, asyncio.Lock] = {}

    async def held(self, edge: str) -> dict[str, Any]:
        """The report that the store holds of an edge. Raises `Refused`."""
        self._check_edge(edge)
        try:
            report = await self._store.latest(edge)
        except StoreError as error:
            raise Refused(503, str(error)) from None
        if report is None:
            raise Refused(404, f"no report of edge {edge!r} is held")
        return reading.mapping(report)

    def admit(self, edge: str) -> None:
        """Count a report of an edge against its rate. Raises `Refused`."""
        self._check_edge(edge)
        now_s = self._monotonic_s()
        left, since_s = self._left.get(edge, (BURST, now_s))
        left = min(BURST, left + (now_s - since_s) * PER_SECOND)
        if left < 1.0:
            self._left[edge] = (left, now_s)
            raise Refused(429, f"edge {edge!r} reports more often than {PER_SECOND:g} times a second")
        self._left[edge] = (left - 1.0, now_s)

    async def take(self, edge: str, body: bytes) -> dict[str, Any]:
        """Write what ``body`` says of an edge: a whole report, or a measurement that goes on from the one held.

        Raises `Refused`: faults (400), older than what is held (409), the store cannot be reached (503).
        """
        try:
            said = reading.read_json(edge, body)
        except reading.ReportError as error:
            raise Refused(400, str(error), faults=told_faults(error.faults)) from None
        try:
            if isinstance(said, Report):
                report, outcome = said, await self._store.report(said)
            else:
                report, outcome = await self._measured(edge, said)
        except StoreError as error:
            raise Refused(503, str(error)) from None
        if not outcome.accepted:
            raise Refused(409, outcome.reason)
        return {"accepted": True, "epoch": report.epoch, "seq": report.seq}

    async def _measured(self, edge: str, measurement: Measurement) -> tuple[Report, Outcome]:
        """One measurement after the other; where another writer came in between, once more upon its report."""
        async with self._locks.setdefault(edge, asyncio.Lock()):
            return await push(self._store, edge, measurement)

    def _check_edge(self, edge: str) -> None:
        """Only edges of the catalog: so what is remembered of each stays bounded."""
        if not self._known(edge):
            raise Refused(404, f"edge {edge[:63]!r} is not in the catalog")
