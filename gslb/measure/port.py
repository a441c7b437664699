"""Measure's own port.

    POST /v1/delivery   a delivery log: text/csv or application/vnd.apache.parquet, Content-Encoding: gzip if packed
    GET  /livez /readyz /metrics

A body carries ``Authorization: Bearer TOKEN``; see `gslb.measure.tokens` for whose rows it may have. A reply is JSON.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from gslb.measure.receiving import KINDS, MAX_BODY, Receiver, Refused
from gslb.store.serving import serve as serve

BODY_S: Final = 30.0
"""For how long a body may take to come."""
READ_AT_ONCE: Final = 16
"""Bodies that are read at one time; further ones are put off. So they take 256 MiB at most."""
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def build_app(
    receiver: Receiver, metrics: Callable[[], bytes], ready: Callable[[], str], body_s: float = BODY_S
) -> Starlette:
    """The application, which `serve` serves. ``metrics`` gives the Prometheus exposition, ``ready`` why the process is
    not ready, empty where it is."""
    thread = ThreadPoolExecutor(1, "delivery")  # one after the other: what they take stays bounded
    slots = asyncio.Semaphore(READ_AT_ONCE)

    async def delivery(request: Request) -> Response:
        try:
            reply, size = await taken(request)
        except Refused as error:
            receiver.count(error.code)
            # What is left of a body that nobody reads would be taken for the next request.
            return _json(error.body, error.code, {**error.headers, "Connection": "close"})
        receiver.count(200, reply, size)
        return _json(reply)

    async def taken(request: Request) -> tuple[dict[str, Any], int]:
        sender = receiver.begin(request.headers.get("authorization", ""))
        try:
            kind, encoding = _form(request)
            if slots.locked():
                raise Refused(503, f"{READ_AT_ONCE} bodies are read at this time", {"Retry-After": "1"})
            async with slots:
                body = await _body(request, body_s)
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(thread, receiver.take, sender, kind, encoding, body), len(body)
        finally:
            receiver.end(sender)

    async def livez(_: Request) -> Response:
        return Response("live\n", media_type="text/plain")

    async def readyz(_: Request) -> Response:
        reason = ready()
        return Response(f"{reason or 'ready'}\n", 503 if reason else 200, media_type="text/plain")

    async def exposition(_: Request) -> Response:
        return Response(metrics(), headers={"content-type": METRICS_TYPE})

    return Starlette(
        routes=[
            Route("/v1/delivery", delivery, methods=["POST"]),
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", exposition),
        ]
    )


def _form(request: Request) -> tuple[str, str]:
    """Type and packing of a body. Raises `Refused`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in KINDS:
        raise Refused(415, f"the type of the body is not one of {', '.join(KINDS)}")
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise Refused(415, "the encoding of the body is not gzip", {"Accept-Encoding": "gzip"})
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length[:20]) > MAX_BODY:
        raise _too_long()
    return kind, encoding.replace("identity", "")


async def _body(request: Request, body_s: float) -> bytes:
    """Raises `Refused` where it is too long, without reading the rest, and where it does not come in time."""
    found = bytearray()
    try:
        async with asyncio.timeout(body_s):
            async for piece in request.stream():
                found += piece
                if len(found) > MAX_BODY:
                    raise _too_long()
    except TimeoutError:
        raise Refused(408, f"the body did not come within {body_s:g} s") from None
    except ClientDisconnect:
        raise Refused(400, "the body ends before it is whole") from None
    return bytes(found)


def _too_long() -> Refused:
    return Refused(413, f"the body has more than {MAX_BODY} bytes")


def _json(value: Any, code: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), code, headers, media_type="application/json")
