"""A server's admin port as something to write to, for those who cannot reach the store itself."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from gslb.errors import GslbError
from gslb.health import override as override_reading
from gslb.health import report as report_reading
from gslb.model.override import Override
from gslb.model.plan import Plan
from gslb.model.report import Report
from gslb.store import admin_plans
from gslb.store.interface import Freeze, Lease, Outcome, StoreError
from gslb.store.redis_clock import StoreClock

TIMEOUT_S: Final = 5.0
THREADS: Final = 4
"""Requests of a writer at one time; who gives one up leaves it behind until `TIMEOUT_S`."""
CLOCK: Final = "gslb-clock-ms"
"""The header of a reply that says what the store's clock is."""

SHA256: Final = "gslb-sha256"
"""The header of a reply that is a plan: the SHA-256 of it."""
PLAN_TIMEOUT_S: Final = 30.0

_REFUSED: Final = (400, 404, 409, 413, 422, 429)  # the request is at fault, not the server
_JSON: Final = {"Content-Type": "application/json"}


class Reply(NamedTuple):
    """HTTP code, body, the store's clock in ms since 1970, None where the reply does not say it, and the SHA-256 of a
    plan, in hexadecimal."""

    code: int
    body: bytes
    clock_ms: int | None
    sha256: str = ""


class AdminPort:
    """Requests to one admin port, each over a connection of its own. ``place`` names it: ``192.0.2.1:8053``."""

    def __init__(self, host: str, port: int, timeout_s: float = TIMEOUT_S) -> None:
        self.place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._host = host
        self._port = port
        self._timeout_s = timeout_s

    def ask(
        self,
        method: str,
        path: str,
        token: str | None,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float | None = None,
    ) -> Reply:
        """Wait for the reply. Raises `StoreError` where nobody answers in time, or the token is refused."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout_s or self._timeout_s)
        try:
            target = f"{path}?{urlencode(query, errors='surrogateescape')}" if query else path
            connection.request(method, target, body or None, headers | (_JSON if body else {}))
            response = connection.getresponse()
            clock_ms, sha256 = _whole(response.getheader(CLOCK, "")), response.getheader(SHA256, "")
            found = Reply(response.status, response.read(), clock_ms, sha256)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise StoreError(f"no server answers on {self.place}: {reason}") from None
        finally:
            connection.close()
        if found.code == 401:
            raise StoreError(f"the server on {self.place} refuses the token; it stands in its state directory")
        return found


class AdminWriter:
    """An `interface.Writer` over the admin port at ``http://HOST:PORT``.

    ``token`` is the server's admin token, or for reports alone its report token. An override that would leave clients
    of a service without a healthy edge is refused here: nobody is there to insist.
    """

    def __init__(self, url: str, token: str, timeout_s: float = TIMEOUT_S) -> None:
        """Raises `GslbError` for a URL or a token that cannot be one."""
        if not token or not token.isascii() or not token.isprintable():
            raise GslbError(f"{_shown(url)}: a token of printable ASCII characters is needed to write there")
        self._port = AdminPort(*address(url), timeout_s)
        self._token = token
        self._clock = StoreClock()
        self._closed = False
        # Of its own: names that nobody resolves take all threads that asyncio has, and one must be left to write.
        self._threads = ThreadPoolExecutor(THREADS, "admin-port")

    @property
    def clock_ms(self) -> int:
        """The clock of the server's store, by its latest replies; this machine's before the first."""
        return self._clock.ms()

    async def latest(self, edge: str) -> Report | None:
        """As `Writer.latest`; None too for an edge that the server does not know."""
        reply = await self._ask("GET", _report_path(edge))
        if reply.code == 404:
            return None
        self._check(reply)
        try:
            found = report_reading.read_json(edge, reply.body)
        except report_reading.ReportError as error:
            raise self._unreadable(error) from None
        if not isinstance(found, Report):
            raise self._unreadable("a report without epoch and seq")
        return found

    async def report(self, report: Report) -> Outcome:
        """As `Writer.report`; refused too for an edge that the server does not know, and what comes too often."""
        body = json.dumps(report_reading.mapping(report)).encode()
        return self._outcome(await self._ask("PUT", _report_path(report.edge), body))

    async def overrides(self) -> tuple[Override, ...]:
        """As `Writer.overrides`."""
        reply = await self._ask("GET", "/v1/overrides")
        self._check(reply)
        try:
            found = read_kept(reply.body)
        except ValueError as error:
            raise self._unreadable(error) from None
        if not found.connected:
            raise StoreError(f"the server on {self._port.place} cannot reach its store")
        return found.overrides

    async def override(self, override: Override) -> Outcome:
        """As `Writer.override`; refused too where the server finds fault with it. ``reason`` tells everything."""
        return self._outcome(await self._ask("POST", "/v1/overrides", override_reading.text(override).encode()))

    async def plan(self, version: str | None = None) -> Plan | None:
        """As `Publisher.plan`."""
        path = f"/v1/plans/{quote(version or admin_plans.CURRENT, safe='')}"
        reply = await self._ask("GET", path, timeout_s=PLAN_TIMEOUT_S)
        if reply.code == 404:
            return None
        self._check(reply)
        try:
            return await asyncio.to_thread(admin_plans.read, reply.body, reply.sha256)
        except GslbError as error:
            raise self._unreadable(error) from None

    async def plan_versions(self) -> tuple[str, ...]:
        """As `Publisher.plan_versions`."""
        return (await self._plans()).versions

    async def publish(self, plan: Plan, token: int | None = None) -> Outcome:
        """As `Publisher.publish`."""
        try:
            data, sha256 = await asyncio.to_thread(admin_plans.write, plan)
        except GslbError as error:
            return Outcome(False, str(error))
        query = {"sha256": sha256} | ({} if token is None else {"token": str(token)})
        return self._outcome(await self._ask("POST", "/v1/plans", data, query, PLAN_TIMEOUT_S))

    async def take_lease(self, name: str, holder: str, lasting_ms: int) -> Lease:
        """As `Publisher.take_lease`."""
        body = json.dumps({"holder": holder, "lasting_ms": lasting_ms}).encode()
        reply = await self._ask("PUT", _lease_path(name), body)
        if reply.code in _REFUSED:
            raise GslbError(detail(reply))
        self._check(reply)
        try:
            return admin_plans.read_lease(reply.body)
        except ValueError as error:
            raise self._unreadable(error) from None

    async def drop_lease(self, name: str, holder: str) -> Outcome:
        """As `Publisher.drop_lease`."""
        return self._outcome(await self._ask("DELETE", _lease_path(name), query={"holder": holder}))

    async def freeze(self, until_ms: int, author: str, reason: str) -> Outcome:
        """As `Publisher.freeze`."""
        body = json.dumps({"until_ms": until_ms, "author": author, "reason": reason}).encode()
        return self._outcome(await self._ask("PUT", "/v1/freeze", body))

    async def frozen(self) -> Freeze | None:
        """As `Publisher.frozen`."""
        return (await self._plans()).frozen

    async def close(self) -> None:
        """As `Writer.close`."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _plans(self) -> admin_plans.Kept:
        reply = await self._ask("GET", "/v1/plans")
        self._check(reply)
        try:
            return admin_plans.read_kept(reply.body)
        except ValueError as error:
            raise self._unreadable(error) from None

    async def _ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        query: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Reply:
        if self._closed:
            raise StoreError(f"the connection to the server on {self._port.place} is closed")
        sent_s = time.monotonic()
        loop = asyncio.get_running_loop()
        asked = (method, path, self._token, query, body, timeout_s)
        reply = await loop.run_in_executor(self._threads, self._port.ask, *asked)
        if reply.clock_ms is not None:
            self._clock.told(reply.clock_ms / 1000, sent_s, time.monotonic())
        return reply

    def _outcome(self, reply: Reply) -> Outcome:
        if reply.code in _REFUSED:
            return Outcome(False, detail(reply))
        self._check(reply)
        return Outcome(True)

    def _check(self, reply: Reply) -> None:
        if reply.code != 200:
            raise StoreError(f"the server on {self._port.place}: {detail(reply)}")

    def _unreadable(self, reason: object) -> StoreError:
        return StoreError(f"the server on {self._port.place} gives what cannot be read: {reason}")


class Kept(NamedTuple):
    """Overrides as a server gives them, sorted by id; ``connected`` tells whether it can reach its store."""

    overrides: tuple[Override, ...]
    clock_ms: int
    connected: bool


def read_kept(body: bytes) -> Kept:
    """The reply to ``GET /v1/overrides``. Raises `ValueError` with the reason where it is none."""
    try:
        told = json.loads(body)
        rows = [{key: value for key, value in row.items() if key != "state"} for row in told["overrides"]]
        return Kept(tuple(map(override_reading.read, rows)), int(told["clock_ms"]), bool(told["connected"]))
    except override_reading.OverrideError as error:
        raise ValueError(str(error)) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("not a list of overrides") from None


def detail(reply: Reply) -> str:
    """What a server says is wrong, for a person."""
    try:
        found: Any = json.loads(reply.body)["detail"]
        if isinstance(found, list):  # FastAPI's own findings about a request
            found = "; ".join(f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in found)
    except (ValueError, KeyError, TypeError, RecursionError):
        found = reply.body.decode("utf-8", "replace").strip()
    return str(found) or f"HTTP {reply.code}"


def address(url: str) -> tuple[str, int]:
    """Host and port of ``http://HOST:PORT``. Raises `GslbError` for anything else."""
    try:
        split = urlsplit(url)
        host, port = split.hostname, split.port
    except ValueError:
        host, port = None, None
    if not host or not port or url.rstrip("/") != f"http://{split.netloc}" or "@" in split.netloc:
        raise GslbError(f"{_shown(url)}: not the URL of an admin port, such as http://127.0.0.1:8053")
    return host, port


def _shown(url: str) -> str:
    """Without what stands before an @, which may be a password."""
    return repr(f"http://…@{url.rpartition('@')[2]}" if "@" in url else url)


def _report_path(edge: str) -> str:
    return f"/v1/edges/{quote(edge, safe='')}/report"


def _lease_path(name: str) -> str:
    return f"/v1/leases/{quote(name, safe='')}"


def _whole(text: str) -> int | None:
    return int(text) if 0 < len(text) <= 15 and text.isascii() and text.isdigit() else None
