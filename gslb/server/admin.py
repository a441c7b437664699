"""The admin port: liveness and metrics for anyone who can reach it, the rest for those who hold the token.

    GET  /livez /readyz /metrics
    GET  /v1/status /v1/edges /v1/services
    GET  /v1/explain?name=…&subnet=…&type=A|AAAA&at=2026-11-24T14:30:00Z
    POST /v1/reload
    POST /v1/apply?force=true|false
    GET  /v1/overrides
    POST /v1/overrides?force=true|false
    DELETE /v1/overrides/ID
    GET  /v1/plans /v1/plans/VERSION /v1/plans/current
    POST /v1/plans?sha256=…&token=…
    PUT  /v1/leases/NAME /v1/freeze
    DELETE /v1/leases/NAME?holder=…
    GET  /v1/events?after=ID&n=N&limit=N
    GET, PUT /v1/edges/EDGE/report

Under /v1 a request carries ``Authorization: Bearer <STATE/admin.token>``; reports are taken with
STATE/report.token too. A plan's body is what `gslb.plan.published` makes of it. What is answered there says in
``gslb-clock-ms`` what the store's clock is, for those who write through this server.
"""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Protocol

import msgspec
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from gslb.server import live, overrides, publishing, reports
from gslb.server.events import Entries
from gslb.server.metrics import CONTENT_TYPE
from gslb.server.overrides import Orders
from gslb.server.publishing import Publishing
from gslb.server.refusal import Refused
from gslb.server.reports import Reports
from gslb.server.status import ReloadStatus, Status
from gslb.store.admin_port import CLOCK, SHA256
from gslb.store.events import LIMIT
from gslb.store.serving import serve as serve

CODES = {"ok": 200, "pending": 409, "failed": 422, "starting": 503}
"""The HTTP code of what a reload came to."""

_NO_TOKEN = "the admin token is missing or wrong"
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Control(Protocol):
    """What the admin port needs of the control process."""

    reports: Reports
    orders: Orders
    plans: Publishing
    entries: Entries

    @property
    def clock_ms(self) -> int:
        """The store's clock, in ms since 1970."""

    def status(self) -> Status:
        """What the server says of itself."""

    async def metrics(self) -> bytes:
        """The Prometheus exposition."""

    async def edges(self) -> live.Edges:
        """Every edge as answers see it."""

    async def services(self) -> live.Services:
        """Every service as answers see it."""

    async def explain(self, name: str, subnet: str, qtype: str, at_ms: int | None = None) -> object:
        """Why a client gets what it gets, or got at a time in ms since 1970."""

    async def reload(self, *, force: bool = False) -> ReloadStatus:
        """Read the files now."""


def build_app(control: Control, token: str, report_token: str) -> FastAPI:
    """The application. ``token`` is what /v1 asks for, ``report_token`` is good for reports alone.

    What ``control`` refuses by `Refused` becomes a reply.
    """
    app = FastAPI(title="gslb", docs_url=None, redoc_url=None, openapi_url=None)
    _probes(app, control)
    app.include_router(_router(control, token))
    app.include_router(_orders(control, token))
    app.include_router(_plans(control, token))
    # Pushed each second by every edge there is: past everything that FastAPI does for other paths.
    app.router.routes.insert(0, _reports(control, (token, report_token)))

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        return _json(control, error.body, error.code)

    return app


def _probes(app: FastAPI, control: Control) -> None:
    @app.get("/livez")
    async def livez() -> Response:
        return Response("live\n", media_type="text/plain")

    @app.get("/readyz")
    async def readyz() -> Response:
        ready = control.status().ready
        return Response("ready\n" if ready else "not ready\n", 200 if ready else 503, media_type="text/plain")

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(await control.metrics(), headers={"content-type": CONTENT_TYPE})


def _router(control: Control, token: str) -> APIRouter:
    router = _guarded(token)

    @router.get("/status")
    async def status() -> Response:
        return _json(control, control.status())

    @router.get("/edges")
    async def edges() -> Response:
        return _json(control, await control.edges())

    @router.get("/services")
    async def services() -> Response:
        return _json(control, await control.services())

    @router.get("/explain")
    async def explain(
        name: Annotated[str, Query(max_length=1024)],
        subnet: Annotated[str, Query(max_length=64)] = "",
        qtype: Annotated[Literal["A", "AAAA"], Query(alias="type")] = "A",
        at: Annotated[str, Query(max_length=40)] = "",
    ) -> Response:
        return _json(control, await control.explain(name, subnet, qtype, _time_ms(at) if at else None))

    @router.get("/events")
    async def events(
        after: Annotated[str, Query(max_length=40)] = "0-0",
        n: Annotated[int, Query(ge=0, lt=1 << 53)] = 0,
        limit: Annotated[int, Query(ge=1)] = LIMIT,
    ) -> Response:
        return _json(control, await control.entries.after(after, n, limit))

    @router.post("/reload")
    async def reload() -> Response:
        done = await control.reload()
        return _json(control, done, CODES[done.state])

    @router.post("/apply")
    async def apply(force: bool = False) -> Response:
        done = await control.reload(force=force)
        return _json(control, done, CODES[done.state])

    return router


def _orders(control: Control, token: str) -> APIRouter:
    router = _guarded(token)

    @router.get("/overrides")
    async def kept() -> Response:
        return _json(control, await control.orders.kept())

    @router.post("/overrides")
    async def order(request: Request, force: bool = False) -> Response:
        body = await _body(request, overrides.MAX_BODY)
        return _json(control, await control.orders.order(body, force=force))

    @router.delete("/overrides/{name}")
    async def cancel(name: str) -> Response:
        return _json(control, await control.orders.cancel(name))

    return router


def _plans(control: Control, token: str) -> APIRouter:
    router = _guarded(token)

    @router.get("/plans")
    async def kept() -> Response:
        return _json(control, await control.plans.kept())

    @router.get("/plans/{version}")
    async def plan(version: str) -> Response:
        data, sha256 = await control.plans.plan(version)
        told = {CLOCK: str(control.clock_ms), SHA256: sha256}
        return Response(data, 200, told, media_type="application/zstd")

    @router.post("/plans")
    async def publish(
        request: Request,
        sha256: Annotated[str, Query(max_length=64)] = "",
        token: Annotated[int | None, Query(ge=0, lt=1 << 53)] = None,
    ) -> Response:
        body = await _body(request, publishing.MAX_BODY)
        return _json(control, await control.plans.publish(body, sha256, token))

    @router.put("/leases/{name}")
    async def take(name: str, request: Request) -> Response:
        return _json(control, await control.plans.take(name, await _body(request, publishing.MAX_ORDER)))

    @router.delete("/leases/{name}")
    async def drop(name: str, holder: Annotated[str, Query(max_length=256)]) -> Response:
        return _json(control, await control.plans.drop(name, holder))

    @router.put("/freeze")
    async def freeze(request: Request) -> Response:
        return _json(control, await control.plans.freeze(await _body(request, publishing.MAX_ORDER)))

    return router


def _reports(control: Control, tokens: tuple[str, ...]) -> Route:
    async def report(request: Request) -> Response:
        if not _is_authorised(request, tokens):
            return _json(control, {"detail": _NO_TOKEN}, 401, **_CHALLENGE)
        edge = request.path_params["edge"]
        try:
            if request.method != "PUT":
                return _json(control, await control.reports.held(edge))
            control.reports.admit(edge)
            return _json(control, await control.reports.take(edge, await _body(request, reports.MAX_BODY)))
        except Refused as error:
            later = {"Retry-After": "1"} if error.code == 429 else {}
            return _json(control, error.body, error.code, **later)

    return Route("/v1/edges/{edge}/report", report, methods=["GET", "PUT"])


def _guarded(token: str) -> APIRouter:
    def authorised(request: Request) -> None:
        if not _is_authorised(request, (token,)):
            raise HTTPException(401, _NO_TOKEN, _CHALLENGE)

    return APIRouter(prefix="/v1", dependencies=[Depends(authorised)])


def _is_authorised(request: Request, tokens: tuple[str, ...]) -> bool:
    given = request.headers.get("authorization", "").encode("latin-1", "replace")
    matches = [hmac.compare_digest(given, f"Bearer {token}".encode()) for token in tokens]  # each, to take equal time
    return any(matches)


async def _body(request: Request, longest: int) -> bytes:
    """Raises `Refused` where it is longer, without reading the rest."""
    found = bytearray()
    try:
        async for piece in request.stream():
            found += piece
            if len(found) > longest:
                raise Refused(413, f"the body has more than {longest} bytes")
    except ClientDisconnect:
        raise Refused(400, "the body ends before it is whole") from None
    return bytes(found)


def _time_ms(text: str) -> int:
    """RFC 3339 with an offset, fractions of a second allowed → ms since 1970. Raises `Refused`."""
    try:
        found = datetime.fromisoformat(text)
        found = found.astimezone(UTC) if found.tzinfo is not None else found
    except (ValueError, OverflowError):
        found = datetime.min
    if found.tzinfo is None:
        raise Refused(400, f"{text!r} is not a time, such as 2026-11-24T14:30:00Z")
    return round((found - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)


def _json(control: Control, value: Any, code: int = 200, **headers: str) -> Response:
    told = {CLOCK: str(control.clock_ms), **headers}
    return Response(msgspec.json.encode(value), code, told, media_type="application/json")
