"""Response rate limiting, so that forged questions cannot make this server shout at others.

Only errors and NXDOMAIN are limited, per client prefix (/24, /56) and kind of answer; positive answers are counted. An
answer over TCP, one with a valid cookie (RFC 7873 section 6) and one to an address of the allow-list is never limited.
Loopback is always on the list.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from gslb.wire import codes

PASS, DROP, SLIP = 0, 1, 2
POSITIVE = "answer"
"""The kind of answers that are only counted."""
TABLE_ROWS = 65536
ALWAYS = ("127.0.0.0/8", "::1/128")
"""Networks that are always on the list of those allowed."""
KINDS = {
    "nxdomain": codes.NXDOMAIN,
    "refused": codes.REFUSED,
    "formerr": codes.FORMERR,
    "notimp": codes.NOTIMP,
    "badvers": codes.BADVERS,
    "notauth": codes.NOTAUTH,
    "servfail": codes.SERVFAIL,
}
"""The kinds of errors that are limited, and the rcode of each."""


class Allowed:
    """Addresses that are never limited, as networks in CIDR form."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._nets: dict[int, list[tuple[int, int]]] = {4: [], 16: []}
        for text in (*ALWAYS, *networks):
            network = ipaddress.ip_network(text, strict=False)
            shift = network.max_prefixlen - network.prefixlen
            self._nets[network.max_prefixlen // 8].append((int(network.network_address) >> shift, shift))

    def __contains__(self, source: bytes) -> bool:
        value = int.from_bytes(source)
        return any(value >> shift == prefix for prefix, shift in self._nets[len(source)])


class Buckets:
    """Credit per key: ``rate`` a second, at most one second's saved, at most ``window_s`` seconds' owed.

    The table is bounded: when it is full, the row unused for longest goes.
    """

    def __init__(self, rate: float, window_s: float, rows: int = TABLE_ROWS) -> None:
        self._rate = rate
        self._floor = -rate * window_s
        self._rows = rows
        self._table: dict[tuple[bytes, str], tuple[float, float, int]] = {}

    def __len__(self) -> int:
        return len(self._table)

    def over(self, key: tuple[bytes, str], now: float) -> int:
        """Take one answer from the key's credit: 0 within it, else how many in a row were over (1, 2, …)."""
        credit, last, over = self._table.pop(key, (self._rate, now, 0))
        credit = max(self._floor, min(self._rate, credit + (now - last) * self._rate) - 1)
        over = over + 1 if credit < 0 else 0
        if len(self._table) >= self._rows:
            del self._table[next(iter(self._table))]
        self._table[key] = (credit, now, over)
        return over


class Limiter:
    """The decision over one UDP answer; ``now`` is seconds of any steady clock.

    ``per_second`` holds for all workers together: clients' ports spread their questions evenly over the workers.
    """

    def __init__(self, per_second: float, slip: int, window_s: float, allow: Iterable[str], workers: int = 1) -> None:
        self._slip = slip
        self._allowed = Allowed(allow)
        self._errors = Buckets(per_second / workers, window_s)
        self._positives = Buckets(per_second / workers, window_s)

    def decide(self, source: bytes, kind: str, now: float) -> int:
        """PASS, DROP or SLIP for an error of ``kind`` to ``source``."""
        if source in self._allowed:
            return PASS
        over = self._errors.over((_prefix(source), kind), now)
        if not over:
            return PASS
        return SLIP if self._slip and over % self._slip == 0 else DROP

    def positive_is_over(self, source: bytes, now: float) -> bool:
        """Whether a positive answer is over the rate; it is sent all the same."""
        return source not in self._allowed and self._positives.over((_prefix(source), POSITIVE), now) > 0


def _prefix(source: bytes) -> bytes:
    return source[:3] if len(source) == 4 else source[:7]
