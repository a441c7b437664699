"""The entries of an embedded store, through its server's admin port: ``GET /v1/events?after=ID&n=N&limit=N``."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gslb.errors import GslbError
from gslb.health import report as report_text
from gslb.model.report import Report
from gslb.store.admin_port import AdminPort, address, detail
from gslb.store.events import LIMIT, Entry, Page, Position
from gslb.store.interface import StoreError

PATH = "/v1/events"


class AdminEvents:
    """An `events.Events` over the admin port at ``http://HOST:PORT``; ``token`` is the server's admin token."""

    def __init__(self, url: str, token: str) -> None:
        """Raises `GslbError` for a URL or a token that cannot be one."""
        if not token.isascii() or not token.isprintable():
            raise GslbError("the admin token is not printable ASCII characters")
        self._port = AdminPort(*address(url))
        self._token = token
        self._thread = ThreadPoolExecutor(1, "admin-events")  # of its own: names that nobody resolves take threads

    async def after(self, position: Position, limit: int = LIMIT) -> Page:
        """As `Events.after`."""
        query = {"after": str(position), "n": str(position.n), "limit": str(min(limit, LIMIT))}
        loop = asyncio.get_running_loop()
        reply = await loop.run_in_executor(self._thread, self._port.ask, "GET", PATH, self._token, query)
        if reply.code != 200:
            raise StoreError(f"the server on {self._port.place}: {detail(reply)}")
        try:
            return read(reply.body)
        except ValueError as error:
            raise StoreError(f"the server on {self._port.place} gives what cannot be read: {error}") from None

    async def close(self) -> None:
        """As `Events.close`."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def mapping(page: Page) -> dict[str, Any]:
    """A page for JSON; `read` of its text gives it back."""
    rows = []
    for each in page.entries:
        row: dict[str, Any] = {"ms": each.ms, "seq": each.seq, "n": each.n, "kind": each.kind}
        if each.report is not None:
            row["report"] = report_text.mapping(each.report)
        rows.append(row)
    return {"anew": page.anew, "entries": rows}


def read(body: bytes) -> Page:
    """A page out of JSON. Raises `ValueError` with the reason where it is none."""
    try:
        told = json.loads(body)
        return Page([_entry(row) for row in told["entries"]], bool(told["anew"]))
    except report_text.ReportError as error:
        raise ValueError(str(error)) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("not a list of entries") from None


def _entry(row: Any) -> Entry:
    found = Entry(int(row["ms"]), int(row["seq"]), int(row["n"]), str(row["kind"]))
    if "report" not in row:
        return found
    report = report_text.read_json(str(row["report"]["edge"]), json.dumps(row["report"]))
    if not isinstance(report, Report):
        raise ValueError
    return found._replace(report=report)
