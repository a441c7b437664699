"""The OPT record of an answer, its options, and the server's side of DNS cookies (RFC 6891, 7873, 9018)."""

from __future__ import annotations

import hmac
import struct
from collections.abc import Sequence
from typing import Final

from siphashc import siphash

from gslb.wire import codes
from gslb.wire.query import UDP_MAX

SECRET_BYTES: Final = 16
"""Length of a cookie secret."""
COOKIE_MAX_AGE_S: Final = 3600
COOKIE_MAX_AHEAD_S: Final = 300
COOKIE_RENEW_S: Final = 1800
"""From this age on a valid cookie is answered with a fresh one (RFC 9018 section 4.3)."""

_OPT: Final = struct.Struct("!BHHBBHH")
_OPTION: Final = struct.Struct("!HH")
_DO: Final = 0x8000
_COOKIE_V1: Final = b"\x01\0\0\0"
_SCOPE_AT: Final = 7  # in a whole ECS option


def opt(do: bool, rcode: int, options: bytes) -> bytes:
    """The OPT record: version 0, our payload size, DO as asked, the upper bits of ``rcode``, whole ``options``."""
    return _OPT.pack(0, codes.OPT, UDP_MAX, rcode >> 4, 0, _DO if do else 0, len(options)) + options


def ecs_option(asked: bytes, scope: int) -> bytes:
    """The client subnet as asked, a whole option, with a scope (RFC 7871 section 7.2.1)."""
    return b"%b%c%b" % (asked[:_SCOPE_AT], scope, asked[_SCOPE_AT + 1 :])


def nsid_option(server_id: bytes) -> bytes:
    """The server's id (RFC 5001)."""
    return _OPTION.pack(codes.OPTION_NSID, len(server_id)) + server_id


def keepalive_option(timeout_ds: int) -> bytes:
    """How long an idle TCP connection is kept, in tenths of a second, at most 65535 (RFC 7828)."""
    return struct.pack("!HHH", codes.OPTION_KEEPALIVE, 2, timeout_ds)


def ede_option(code: int, text: str = "") -> bytes:
    """An extended error with text for a person (RFC 8914)."""
    extra = text.encode()
    return struct.pack("!HHH", codes.OPTION_EDE, 2 + len(extra), code) + extra


def cookie_option(client: bytes, server: bytes) -> bytes:
    """The COOKIE of an answer: the client's 8 bytes, then the server's."""
    return _OPTION.pack(codes.OPTION_COOKIE, len(client) + len(server)) + client + server


def answer_cookie(
    client: bytes, server: bytes, address: bytes, secrets: Sequence[bytes], now_s: int
) -> tuple[bool, bytes]:
    """Whether a query's cookies prove its source address, and the COOKIE option that answers them.

    ``client`` and ``server`` as in the query (``server`` may be empty), ``address`` packed, ``secrets`` the current one
    first, then those still valid, 16 bytes each; ``now_s`` since 1970. A cookie that is valid, less than half an hour
    old and made with the current secret is sent back as it came; else the option holds a fresh one.
    """
    used = _secret_of(client, server, address, secrets, now_s)
    if used != 0 or _age(server, now_s) >= COOKIE_RENEW_S:
        server = server_cookie(client, address, secrets[0], now_s)
    return used is not None, cookie_option(client, server)


def verify(client: bytes, server: bytes, address: bytes, secrets: Sequence[bytes], now_s: int) -> bool:
    """Whether a server cookie was made by us for this client and address, and is within its time."""
    return _secret_of(client, server, address, secrets, now_s) is not None


def server_cookie(client: bytes, address: bytes, secret: bytes, now_s: int) -> bytes:
    """The 16 bytes of a fresh server cookie, version 1 (RFC 9018 section 4)."""
    head = _COOKIE_V1 + (now_s & 0xFFFFFFFF).to_bytes(4)
    return head + _digest(client, head, address, secret)


def _secret_of(client: bytes, server: bytes, address: bytes, secrets: Sequence[bytes], now_s: int) -> int | None:
    """Which secret a valid server cookie was made with, or None if it is not valid.

    The reserved bytes may hold anything, and are hashed as they came.
    """
    if len(server) != 16 or server[0] != 1:
        return None
    if not -COOKIE_MAX_AHEAD_S <= _age(server, now_s) <= COOKIE_MAX_AGE_S:
        return None
    head, sent = server[:8], server[8:]
    for number, secret in enumerate(secrets):
        if hmac.compare_digest(_digest(client, head, address, secret), sent):
            return number
    return None


def _age(server: bytes, now_s: int) -> int:
    """Seconds since a cookie was made, negative ahead of our clock; serial numbers, so it survives 2106 (RFC 1982)."""
    age = (now_s - int.from_bytes(server[4:8])) & 0xFFFFFFFF
    return age - 0x100000000 if age & 0x80000000 else age


def _digest(client: bytes, head: bytes, address: bytes, secret: bytes) -> bytes:
    """SipHash-2-4 over client cookie, version, reserved bytes, time and address; least significant byte first."""
    hashed: int = siphash(secret, client + head + address)
    return hashed.to_bytes(8, "little")
