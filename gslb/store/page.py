"""A few small pages over HTTP, such as /metrics, served by a thread while a daemon goes on with its work."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from gslb.errors import GslbError

TEXT: Final = "text/plain; charset=utf-8"
NOT_FOUND: Final = (404, TEXT, b"not found\n")
_TIMEOUT_S: Final = 10.0


@contextlib.contextmanager
def serving(where: tuple[str, int] | None, reply: Callable[[str], tuple[int, str, bytes]]) -> Iterator[int]:
    """Serve pages in a thread meanwhile: ``reply`` gives code, type and text of a path, from any thread. The port, 0
    where ``where`` is None. Raises `GslbError` where it is taken."""
    if where is None:
        yield 0
        return

    family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET

    class Page(BaseHTTPRequestHandler):
        timeout = _TIMEOUT_S

        def do_GET(self) -> None:
            code, kind, text = reply(self.path.partition("?")[0])
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
