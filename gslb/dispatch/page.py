"""Three small pages over HTTP: /metrics, /livez, and /readyz, which tells whether the last round went well."""

from __future__ import annotations

from gslb.dispatch import metrics
from gslb.dispatch.metrics import Told
from gslb.dispatch.rounds import FAILED
from gslb.store.page import NOT_FOUND, TEXT


def reply(path: str, told: Told) -> tuple[int, str, bytes]:
    """Code, type and text of one page."""
    match path:
        case "/metrics":
            return 200, metrics.CONTENT_TYPE, metrics.exposition(told)
        case "/livez":
            return 200, TEXT, b"ok\n"
        case "/readyz":
            if told.last is None:
                return 503, TEXT, b"no round has ended yet\n"
            if told.last.outcome == FAILED:
                return 503, TEXT, f"the last round failed: {told.last.reason}\n".encode()
            return 200, TEXT, f"{told.last.outcome}\n".encode()
    return NOT_FOUND
