"""Delivery logs that are sent in: who may, how often, what is taken, and where it lands.

What lands in the folder is the body as it was sent, unpacked; so that the pipeline takes it as it takes files that were
dropped there, and rejects the same rows. A file is named by its content: the same body sent again is there already.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gslb.errors import GslbError
from gslb.measure import delivery
from gslb.measure.delivery import Taken
from gslb.measure.tokens import ANY, Sender, Tokens
from gslb.store.atomic import replacing

MAX_BODY: Final = 16 << 20
"""Bytes of a body as it is sent."""
MAX_CONTENT: Final = 64 << 20
"""And once it is unpacked."""
MAX_MEMBERS: Final = 100
"""Pieces that were packed one by one."""
MAX_ROWS: Final = 1_000_000
MAX_UNPACKED: Final = 256 << 20
"""Of a body that is Parquet, which is packed itself: rows, and bytes."""
PER_SECOND: Final = 1.0
"""Bodies of one token that are taken in the long run."""
BURST: Final = 60.0
"""And at once: an hour of an edge that sends each minute."""
AT_ONCE: Final = 2
"""Bodies of one token at one time."""
TOLD: Final = 100
"""Faults that are told in a reply."""

KINDS: Final = {"text/csv": ".csv", "application/vnd.apache.parquet": ".parquet"}
"""Types of bodies, and how their files end."""
_TORN: Final = re.compile(r"\..+-[0-9a-f]{32}\.(?:csv|parquet)\.[0-9]+\.tmp")


class Refused(GslbError):
    """A request that is not taken. ``code`` is an HTTP code, ``headers`` and ``more`` go into the reply."""

    def __init__(self, code: int, detail: str, headers: dict[str, str] | None = None, **more: object) -> None:
        super().__init__(detail)
        self.code = code
        self.headers = headers or {}
        self.more = more

    @property
    def body(self) -> dict[str, object]:
        """The reply."""
        return {"detail": str(self), **self.more}


@dataclass(slots=True)
class Received:
    """What came in since the start: replies by HTTP code, bodies that landed, and rows of them."""

    replies: Counter[int] = field(default_factory=Counter)
    files: int = 0
    bytes: int = 0
    accepted: int = 0
    rejected: int = 0


class Receiver:
    """Takes bodies for a folder. Its methods but `take` belong to one loop; `take` runs in one thread at a time."""

    def __init__(
        self,
        folder: Path,
        tokens: Tokens,
        clock_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.received = Received()
        for path in folder.glob(".*.tmp"):
            if _TORN.fullmatch(path.name):  # this process was ended while it wrote; others have other names
                path.unlink(missing_ok=True)
        self._folder = folder
        self._tokens = tokens
        self._clock_s = clock_s
        self._monotonic_s = monotonic_s
        self._left: dict[bytes, tuple[float, float]] = {}  # token → bodies it may send at once, as of when
        self._under_way: Counter[bytes] = Counter()

    def begin(self, authorization: str) -> Sender:
        """Count a body against its sender's rate; `end` must follow. Raises `Refused`."""
        sender = self._tokens.sender(authorization)
        if sender is None:
            raise Refused(401, "the token is missing or wrong", {"WWW-Authenticate": "Bearer"})
        now_s = self._monotonic_s()
        left, since_s = self._left.get(sender.key, (BURST, now_s))
        left = min(BURST, left + (now_s - since_s) * PER_SECOND)
        if left < 1.0 or self._under_way[sender.key] >= AT_ONCE:
            self._left[sender.key] = (left, now_s)
            wait_s = max(1, round((1.0 - left) / PER_SECOND + 0.5))
            reason = f"{AT_ONCE} bodies at one time" if left >= 1.0 else f"{PER_SECOND:g} bodies a second"
            raise Refused(429, f"more than {reason}", {"Retry-After": str(wait_s)})
        self._left[sender.key] = (left - 1.0, now_s)
        self._under_way[sender.key] += 1
        if len(self._left) > 100_000:  # tokens that were changed long ago
            self._left.clear()
        return sender

    def end(self, sender: Sender) -> None:
        """A body was taken or refused."""
        self._under_way[sender.key] -= 1
        if not self._under_way[sender.key]:
            del self._under_way[sender.key]

    def take(self, sender: Sender, kind: str, encoding: str, body: bytes) -> dict[str, Any]:
        """Check a body, and let it land. ``kind`` is one of `KINDS`, ``encoding`` empty or ``gzip``.

        Returns the reply. Raises `Refused`: what cannot be unpacked (400), rows of another edge (403), too large (413),
        nothing that can be taken (422, with all faults up to `TOLD`), no room (507).
        """
        content = unpacked(body) if encoding == "gzip" else body
        name = "body" + KINDS[kind]
        if (kind == "text/csv") is content.startswith(delivery.PARQUET):
            raise Refused(422, f"the body is not {kind}", errors=[])
        path = self._path(sender, KINDS[kind], content)
        received_s = _there_since_s(path) or int(self._clock_s())
        taken = delivery.examined(name, content, received_s, MAX_ROWS, MAX_UNPACKED)
        _check(sender, taken)
        reply = {"accepted": taken.rows, "rejected": taken.rejects.rows, "file": "", **_told(taken)}
        if taken.rows:
            _land(path, content, received_s)
            reply["file"] = path.name
        return reply

    def count(self, code: int, reply: dict[str, Any] | None = None, size: int = 0) -> None:
        """Count a reply, and what it says of a body of ``size`` bytes."""
        told = self.received
        told.replies[code] += 1
        if reply is not None:
            told.files += bool(reply["file"])
            told.bytes += size
            told.accepted += reply["accepted"]
            told.rejected += reply["rejected"]

    def _path(self, sender: Sender, ending: str, content: bytes) -> Path:
        whose = "all" if sender.edge == ANY else sender.edge
        return self._folder / f"{whose}-{hashlib.sha256(content).hexdigest()[:32]}{ending}"


def _there_since_s(path: Path) -> int:
    """When a file came in, in seconds since 1970; 0 where it did not yet."""
    try:
        return path.stat().st_mtime_ns // 10**9
    except OSError:
        return 0


def _land(path: Path, content: bytes, received_s: int) -> None:
    """Have a file appear, unless it is there. Its time is the one that its rows were judged by, so that whoever reads
    it later rejects the same ones: of those nobody has asked whose they are. Raises `Refused`."""
    try:
        if not path.exists():
            with replacing(path) as file:
                file.write(content)
                file.flush()
                os.utime(file.fileno(), (received_s, received_s))
    except OSError as error:
        raise Refused(507, f"the body cannot be kept: {error.strerror}", {"Retry-After": "60"}) from None


def unpacked(body: bytes) -> bytes:
    """What gzip packed, of one or several members. Raises `Refused` where it cannot be, or has more than
    `MAX_CONTENT` bytes or `MAX_MEMBERS`: what follows a member is copied for each."""
    found = bytearray()
    count = 0
    while body:
        count += 1
        if count > MAX_MEMBERS:
            raise Refused(400, f"the body was packed in more than {MAX_MEMBERS} pieces")
        member = zlib.decompressobj(31)
        try:
            found += member.decompress(body, MAX_CONTENT + 1 - len(found))
        except zlib.error:
            raise Refused(400, "the body is not gzip") from None
        if len(found) > MAX_CONTENT:
            raise Refused(413, f"the body has more than {MAX_CONTENT} bytes when unpacked")
        if not member.eof:
            raise Refused(400, "the body ends before it is whole")
        body = member.unused_data
    return bytes(found)


def _check(sender: Sender, taken: Taken) -> None:
    """Raises `Refused` where nothing of it may be taken."""
    if taken.faults:
        reason = "; ".join(str(fault) for fault in taken.faults[:3])
        errors = [{"line": fault.line, "column": fault.column, "reason": fault.reason} for fault in taken.faults[:TOLD]]
        raise Refused(422, reason, errors=errors)
    others = sorted(edge for edge in taken.edges if not sender.may_send(edge))
    if others:
        shown = ", ".join(map(repr, others[:5])) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
        raise Refused(403, f"the token is that of edge {sender.edge!r}; there are rows of {shown}")
    if taken.rejects.rows and not taken.rows:
        told = _told(taken)
        raise Refused(422, f"no row can be taken; the first: {taken.rejects.told[0]}", **told)


def _told(taken: Taken) -> dict[str, Any]:
    """Rows that are rejected: the first of them, and how many there are of each kind."""
    rejects = taken.rejects
    errors = [{"line": each.line, "column": each.column, "reason": each.reason} for each in rejects.told[:TOLD]]
    return {"errors": errors, "counts": dict(rejects.counts)}
