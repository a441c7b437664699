"""Asks a running server over its admin port."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from gslb.errors import GslbError
from gslb.server.settings import load
from gslb.store.admin_port import AdminPort, Reply

TIMEOUT_S = 600.0
"""An apply waits for a build, which may take minutes for large tables."""


def given_token() -> str:
    """`GSLB_ADMIN_TOKEN`, empty where it is not set. Raises `GslbError` where it is none."""
    token = os.environ.get("GSLB_ADMIN_TOKEN", "")
    if not token.isascii() or not token.isprintable():
        raise GslbError("GSLB_ADMIN_TOKEN is not a token: it holds other than printable ASCII characters")
    return token


class Server:
    """A server's admin port. The token is `GSLB_ADMIN_TOKEN`, else what stands in STATE/admin.token."""

    def __init__(
        self, admin: str | None, state: Path | None, config: Path | None, timeout_s: float = TIMEOUT_S
    ) -> None:
        settings, _ = load({"admin": admin, "state": state}, os.environ, config)
        self._port = AdminPort(settings.admin.host, settings.admin.port, timeout_s)
        self._state = settings.state

    @property
    def place(self) -> str:
        """Address and port."""
        return self._port.place

    def get(self, path: str, query: Mapping[str, str] | None = None, *, with_token: bool = True) -> Reply:
        """The reply to a question. Raises `GslbError` where nobody answers, or the token is refused."""
        return self._port.ask("GET", path, self.token() if with_token else None, query)

    def post(self, path: str, body: bytes = b"", **query: str) -> Reply:
        """As `get`, for what changes something."""
        return self._port.ask("POST", path, self.token(), query, body)

    def delete(self, path: str) -> Reply:
        """As `get`, for what ends something."""
        return self._port.ask("DELETE", path, self.token())

    def token(self) -> str:
        """What the port asks for. Raises `GslbError` where it cannot be read."""
        if token := given_token():
            return token
        path = self._state / "admin.token"
        try:
            return path.read_text("ascii").strip()
        except OSError as error:
            raise GslbError(f"the admin token cannot be read: {path}: {error.strerror}; name --state") from None
        except UnicodeDecodeError:
            raise GslbError(f"the admin token cannot be read: {path} holds other than ASCII characters") from None
