"""The admin port: liveness and metrics for anyone who can reach it, the rest for those who hold the token.

    GET  /livez /readyz /metrics
    GET  /v1/status
    GET  /v1/explain?name=…&subnet=…&type=A|AAAA
    POST /v1/reload
    POST /v1/apply?force=true|false

Under /v1 a request carries ``Authorization: Bearer <STATE/admin.token>``.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import socket
from collections.abc import Iterator
from typing import Any, Literal, Protocol

import msgspec
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response

from gslb.errors import GslbError
from gslb.server.metrics import CONTENT_TYPE
from gslb.server.status import ReloadStatus, Status

CODES = {"ok": 200, "pending": 409, "failed": 422, "starting": 503}
"""The HTTP code of what a reload came to."""


class Control(Protocol):
    """What the admin port needs of the control process."""

    def status(self) -> Status:
        """What the server says of itself."""

    def metrics(self) -> bytes:
        """The Prometheus exposition."""

    def explain(self, name: str, subnet: str, qtype: str) -> object:
        """Why a client gets what it gets; raises `GslbError` for a question that cannot be asked."""

    async def reload(self, *, force: bool = False) -> ReloadStatus:
        """Read the files now."""


def build_app(control: Control, token: str) -> FastAPI:
    """The application. ``token`` is what /v1 asks for."""
    app = FastAPI(title="gslb", docs_url=None, redoc_url=None, openapi_url=None)
    expected = f"Bearer {token}".encode()

    def authorised(request: Request) -> None:
        given = request.headers.get("authorization", "").encode("latin-1", "replace")
        if not hmac.compare_digest(given, expected):
            raise HTTPException(401, "the admin token is missing or wrong", {"WWW-Authenticate": "Bearer"})

    router = APIRouter(prefix="/v1", dependencies=[Depends(authorised)])

    @app.get("/livez")
    async def livez() -> Response:
        return Response("live\n", media_type="text/plain")

    @app.get("/readyz")
    async def readyz() -> Response:
        ready = control.status().ready
        return Response("ready\n" if ready else "not ready\n", 200 if ready else 503, media_type="text/plain")

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(control.metrics(), headers={"content-type": CONTENT_TYPE})

    @router.get("/status")
    async def status() -> Response:
        return _json(control.status())

    @router.get("/explain")
    async def explain(
        name: str = Query(max_length=1024),
        subnet: str = Query("", max_length=64),
        qtype: Literal["A", "AAAA"] = Query("A", alias="type"),
    ) -> Response:
        try:
            return _json(control.explain(name, subnet, qtype))
        except GslbError as error:
            raise HTTPException(400, str(error)) from None

    @router.post("/reload")
    async def reload() -> Response:
        done = await control.reload()
        return _json(done, CODES[done.state])

    @router.post("/apply")
    async def apply(force: bool = False) -> Response:
        done = await control.reload(force=force)
        return _json(done, CODES[done.state])

    app.include_router(router)
    return app


async def serve(app: FastAPI, sock: socket.socket, stopped: asyncio.Event) -> None:
    """Serve ``app`` on a listening socket until ``stopped``."""
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=2)
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[sock]))
    await stopped.wait()
    server.should_exit = True
    await task


class _Server(uvicorn.Server):
    """Leaves signals alone: they are the control process's to handle."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _json(value: Any, code: int = 200) -> Response:
    return Response(msgspec.json.encode(value), code, media_type="application/json")
