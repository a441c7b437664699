"""Who may send delivery logs: a file with a line for each token, ``EDGE TOKEN``, or ``* TOKEN`` for rows of any edge.

Tokens are compared by their SHA-256, so that the time which it takes tells nothing of them. No message shows one.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from gslb.errors import ConfigErrors, Findings
from gslb.model.jsontext import quoted
from gslb.store.redis_reading import is_name

ANY: Final = "*"
SHORTEST: Final = 16
"""Characters of a token: printable ASCII without blanks."""
MAX_BYTES: Final = 16 << 20
LOOK_S: Final = 2.0
"""Between two looks whether the file has changed."""


class Sender(NamedTuple):
    """Whose a token is; ``key`` is the token's SHA-256."""

    edge: str
    key: bytes

    def may_send(self, edge: str) -> bool:
        """Whether rows of this edge."""
        return self.edge in (ANY, edge)


class Tokens:
    """The tokens of a file, which is read again when it changes; while it cannot be read the former ones count.

    ``fault`` says why it could not, and is empty where it could.
    """

    def __init__(self, path: Path, monotonic_s: Callable[[], float]) -> None:
        """Raises `ConfigErrors` where it cannot be read."""
        self.fault = ""
        self._path = path
        self._monotonic_s = monotonic_s
        self._looked_s = monotonic_s()
        self._stamp = _stamp(path)
        self._senders = read(path)

    def sender(self, authorization: str) -> Sender | None:
        """Who sends a request with this header ``Authorization``; None: nobody who may."""
        self._look()
        kind, _, token = authorization.partition(" ")
        key = hashlib.sha256(token.strip().encode("utf-8", "replace")).digest()
        found = self._senders.get(key)
        if kind.lower() != "bearer" or found is None or not hmac.compare_digest(found.key, key):
            return None
        return found

    def _look(self) -> None:
        now_s = self._monotonic_s()
        if now_s - self._looked_s < LOOK_S:
            return
        self._looked_s = now_s
        stamp = _stamp(self._path)
        if stamp == self._stamp and not self.fault:
            return
        try:
            self._senders = read(self._path)
        except ConfigErrors as errors:
            self.fault = str(errors)
        else:
            self.fault, self._stamp = "", stamp


def read(path: Path) -> Mapping[bytes, Sender]:
    """The senders of a file, by the SHA-256 of their tokens; empty lines and those with a ``#`` in front are passed
    over. Raises `ConfigErrors` with every fault at once."""
    findings = Findings()
    found: dict[bytes, Sender] = {}
    lines: dict[bytes, int] = {}
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            findings.error(str(path), 0, 0, f"more than {MAX_BYTES} bytes")
            content = b""
    except OSError as error:
        findings.error(str(path), 0, 0, error.strerror or str(error))
        content = b""
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        edge, *rest = line.split()
        if edge != ANY and not is_name(edge):
            findings.error(str(path), number, 1, f"{quoted(edge)} is not the name of an edge, nor {ANY}")
        column = len(edge) + 2
        if len(rest) != 1:
            findings.error(str(path), number, column, "expected is one token behind the edge")
            continue
        (token,) = rest
        if len(token) < SHORTEST or not token.isascii() or not token.isprintable():
            reason = f"a token has at least {SHORTEST} characters, printable ASCII"
            findings.error(str(path), number, column, reason)
            continue
        key = hashlib.sha256(token.encode()).digest()
        if key in lines:
            findings.error(str(path), number, column, f"the token of line {lines[key]} again")
        lines[key] = number
        found[key] = Sender(edge, key)
    if not found and not findings.errors:
        findings.error(str(path), 0, 0, "no token in it")
    findings.raise_if_any()
    return found


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        told = path.stat()
    except OSError:
        return 0, 0, 0
    return told.st_mtime_ns, told.st_size, told.st_ino
