"""Three small pages over HTTP: /metrics, /livez, and /readyz, which tells whether the last round went well."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from gslb.dispatch import metrics
from gslb.dispatch.metrics import Told
from gslb.dispatch.rounds import FAILED
from gslb.errors import GslbError

_TEXT: Final = "text/plain; charset=utf-8"
_TIMEOUT_S: Final = 10.0


def reply(path: str, told: Told) -> tuple[int, str, bytes]:
    """Code, type and text of one page."""
    match path.partition("?")[0]:
        case "/metrics":
            return 200, metrics.CONTENT_TYPE, metrics.exposition(told)
        case "/livez":
            return 200, _TEXT, b"ok\n"
        case "/readyz":
            if told.last is None:
                return 503, _TEXT, b"no round has ended yet\n"
            if told.last.outcome == FAILED:
                return 503, _TEXT, f"the last round failed: {told.last.reason}\n".encode()
            return 200, _TEXT, f"{told.last.outcome}\n".encode()
    return 404, _TEXT, b"not found\n"


@contextlib.contextmanager
def serving(where: tuple[str, int] | None, told: Callable[[], Told]) -> Iterator[int]:
    """Serve them in a thread meanwhile; the port, 0 where ``where`` is None. Raises `GslbError` where it is taken."""
    if where is None:
        yield 0
        return

    family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET

    class Page(BaseHTTPRequestHandler):
        timeout = _TIMEOUT_S

        def do_GET(self) -> None:
            code, kind, text = reply(self.path, told())
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Nobody is told of each scrape."""

    class Server(ThreadingHTTPServer):
        address_family = family
        daemon_threads = True

    try:
        server = Server(where, Page)
    except OSError as error:
        raise GslbError(f"{where[0]} port {where[1]}: metrics cannot be told there: {error.strerror}") from None
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
