"""The admin port's application without a socket, over a store and a catalog, and asking it by its ASGI interface."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from gslb.server import live
from gslb.server.admin import build_app
from gslb.server.events import Entries
from gslb.server.overrides import Orders
from gslb.server.publishing import Publishing
from gslb.server.reports import Reports
from gslb.server.status import ReloadStatus, Status
from gslb.snapshot.catalog import Catalog
from gslb.store.interface import Store
from gslb.store.memory import MemoryStore

TOKEN = "token-of-the-operator"
REPORT_TOKEN = "token-of-the-edges"


@dataclass(frozen=True)
class Said:
    """A reply: HTTP code, headers by lower-case name, body."""

    code: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


@dataclass
class Desk:
    """A control process (`gslb.server.admin.Control`) that has reports, orders and plans, and is not ready. Its clock
    is that of ``clock_s``; reloads end in ``reload_state``."""

    catalog: Catalog | None = None
    store: Store = field(default_factory=MemoryStore)
    clock_s: float = 0.0
    reload_state: str = "ok"

    def __post_init__(self) -> None:
        known = self.catalog.edge_ids if self.catalog else ()
        self.reports = Reports(self.store, known.__contains__, lambda: self.clock_s)
        self.plans = Publishing(self.store)
        self.entries = Entries(self.store)
        self.orders = Orders(self.store, lambda: self.catalog)
        self.app = build_app(self, TOKEN, REPORT_TOKEN)

    @property
    def clock_ms(self) -> int:
        """The store's clock."""
        return self.store.clock_ms

    def status(self) -> Status:
        """Of a server that is not ready."""
        return Status("0", "id", 1, 0.0, False, (), "", "memory://")

    async def metrics(self) -> bytes:
        """None."""
        return b""

    async def edges(self) -> live.Edges:
        """Nothing is served."""
        raise AssertionError("nobody asks for edges here")

    async def services(self) -> live.Services:
        """Nothing is served."""
        raise AssertionError("nobody asks for services here")

    async def explain(self, name: str, subnet: str, qtype: str, at_ms: int | None = None) -> object:
        """What was asked."""
        return {"name": name, "subnet": subnet, "type": qtype, "at_ms": at_ms}

    async def reload(self, *, force: bool = False) -> ReloadStatus:
        """Ends as it is to."""
        return ReloadStatus(state=self.reload_state, counts={"forced": int(force)})

    async def ask(self, method: str, path: str, token: str | None = TOKEN, body: bytes | str = b"") -> Said:
        """Ask the application; ``token`` None sends none."""
        pieces = [body.encode() if isinstance(body, str) else body]
        return await call(self.app, method, path, token, pieces)


async def call(app: Any, method: str, path: str, token: str | None, pieces: list[bytes], *, whole: bool = True) -> Said:
    """One request over the ASGI interface; its body comes in ``pieces``, and breaks off behind them where it is not
    ``whole``."""
    path, _, query = path.partition("?")
    headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "query_string": query.encode(), "scheme": "http", "root_path": "",
        "headers": headers,
    }  # fmt: skip
    coming = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    coming += [{"type": "http.request", "body": b"", "more_body": False}] if whole else [{"type": "http.disconnect"}]
    sent: list[Any] = []

    async def receive() -> dict[str, object]:
        await asyncio.sleep(0)
        return coming.pop(0) if coming else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    told = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return Said(sent[0]["status"], told, b"".join(each.get("body", b"") for each in sent[1:]))
