"""Asks a running server over its admin port."""

from __future__ import annotations

import http.client
import os
from pathlib import Path
from urllib.parse import urlencode

from gslb.errors import GslbError
from gslb.server.settings import Endpoint, load

TIMEOUT_S = 600.0
"""An apply waits for a build, which may take minutes for large tables."""


class Server:
    """A server's admin port. The token is `GSLB_ADMIN_TOKEN`, else what stands in STATE/admin.token."""

    def __init__(self, admin: str | None, state: Path | None, config: Path | None) -> None:
        settings, _ = load({"admin": admin, "state": state}, os.environ, config)
        self._endpoint: Endpoint = settings.admin
        self._state = settings.state

    def get(self, path: str, *, with_token: bool = True, **query: str) -> tuple[int, bytes]:
        """The HTTP code and the body."""
        return self._ask("GET", path, query, with_token)

    def post(self, path: str, **query: str) -> tuple[int, bytes]:
        """The HTTP code and the body."""
        return self._ask("POST", path, query, True)

    def _ask(self, method: str, path: str, query: dict[str, str], with_token: bool) -> tuple[int, bytes]:
        """Raises `GslbError` where nobody answers, or the token is refused."""
        headers = {"Authorization": f"Bearer {self._token()}"} if with_token else {}
        connection = http.client.HTTPConnection(self._endpoint.host, self._endpoint.port, timeout=TIMEOUT_S)
        try:
            connection.request(method, f"{path}?{urlencode(query)}" if query else path, headers=headers)
            response = connection.getresponse()
            code, body = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise GslbError(f"no server answers on {self._endpoint}: {reason}") from None
        finally:
            connection.close()
        if code == 401:
            raise GslbError(f"the server on {self._endpoint} refuses the token; it stands in its state directory")
        return code, body

    def _token(self) -> str:
        if token := os.environ.get("GSLB_ADMIN_TOKEN"):
            if not token.isascii() or not token.isprintable():
                raise GslbError("GSLB_ADMIN_TOKEN is not a token: it holds other than printable ASCII characters")
            return token
        path = self._state / "admin.token"
        try:
            return path.read_text("ascii").strip()
        except OSError as error:
            raise GslbError(f"the admin token cannot be read: {path}: {error.strerror}; name --state") from None
        except UnicodeDecodeError:
            raise GslbError(f"the admin token cannot be read: {path} holds other than ASCII characters") from None
