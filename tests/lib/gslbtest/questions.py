"""Packets for Hypothesis: questions for some names, most of them right, with everything that may go with a question."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from gslb.wire.edns import COOKIE_MAX_AGE_S, COOKIE_MAX_AHEAD_S, COOKIE_RENEW_S, server_cookie
from gslbtest.packets import COOKIE, ECS, ID, KEEPALIVE, NSID, RD, TSIG, A, asks, opt, option, rr, subnet
from gslbtest.world import NOW_S, RESOLVER

SECRETS = (bytes(range(16)), bytes(range(100, 116)))
"""Cookie secrets of a server that has changed its own once."""
FOREIGN = b"not our secret!!"
CLIENT = b"clientck"
AAAA = 28
QTYPES = [*[A] * 16, *[AAAA] * 12, 2, 5, 6, 12, 13, 15, 16, 33, 43, 46, 64, 65, 257, 250, 251, 252, 255, 0, 65535]
LABELS = [b"x", b"*", b"\0.\xff", b"y" * 63, b"www", b"_25"]
EMBEDDING = [bytes(10) + b"\xff\xff", b"\x20\x02", b"\x20\x01\0\0", b"\0\x64\xff\x9b" + bytes(8), bytes(12)]
PUBLIC6 = [b"\x20\x01\x0d\xb8", b"\x2a\x02", b"\xfc\x12", b"\xfe\x80", bytes(8), b"\0\x64\xff\x9b\0\1", b"\xff\x02"]
PUBLIC4 = [b"\xc6\x33", b"\xc6\x33\x64", b"\x64", b"\x0a\x01", b"\x7f\0\0\1", b"\xac\x1f", b"\xe0", b"\0", b"\xc0\0\2"]
SOURCES = [
    RESOLVER, bytes((198, 51, 100, 7)), bytes((10, 0, 0, 1)), bytes((100, 9, 9, 9)),
    b"\x20\x01\x0d\xb8\0\1" + bytes(10), b"\x20\x01\x0d\xb8\xff\xff" + bytes(10), b"\x2a\x02" + bytes(14),
    bytes(15) + b"\1", bytes(10) + b"\xff\xff\xc6\x33\x64\x07", b"\x20\x02\xc6\x33" + bytes(12),
]  # fmt: skip
sources = st.sampled_from([*[RESOLVER] * 5, *SOURCES])
times_s = st.sampled_from([NOW_S] * 9 + [0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32 + 7])
draws = st.integers(0, 2**64 - 1)


@st.composite
def names(draw: Any, known: Sequence[bytes]) -> bytes:
    """A name among the ``known``, below, above or beside them, in letters of any case; at times over-long."""
    name: bytes = draw(st.sampled_from(known))
    for _ in range(draw(st.sampled_from([0] * 20 + [1, 1, 2, 5]))):
        label = draw(st.sampled_from(LABELS))
        name = bytes((len(label),)) + label + name
    if draw(st.integers(0, 19)) == 0 and name[0]:
        name = name[1 + name[0] :]
    upper = draw(st.integers(0, 2 ** len(name) - 1)) if draw(st.booleans()) else 0
    letters = bytes(byte - 32 if upper >> at & 1 and 97 <= byte <= 122 else byte for at, byte in enumerate(name))
    # The length of a label is no letter, but may look like one.
    at = 0
    while name[at]:
        letters = letters[:at] + name[at : at + 1] + letters[at + 1 :]
        at += 1 + name[at]
    return letters


@st.composite
def subnets(draw: Any) -> bytes:
    """A valid client subnet, public, private or with IPv4 inside."""
    if draw(st.integers(0, 11)) == 0:
        return subnet(draw(st.sampled_from([0, 1, 2])), 0)
    family = draw(st.sampled_from([1, 1, 1, 2, 2]))
    size = 4 if family == 1 else 16
    heads = PUBLIC4 if family == 1 else [*PUBLIC6, *PUBLIC6, *EMBEDDING]
    address = (draw(st.sampled_from(heads)) + draw(st.binary(min_size=size, max_size=size)))[:size]
    source = draw(st.one_of(st.integers(1, 8 * size), st.sampled_from([24, 32] if family == 1 else [48, 56, 64, 128])))
    kept = int.from_bytes(address) >> (8 * size - source) << (8 * size - source)
    return subnet(family, source, kept.to_bytes(size)[: (source + 7) // 8])


@st.composite
def cookies(draw: Any) -> bytes:
    """A COOKIE option: the client's alone, or with ours of any age and secret, at times broken."""
    kind = draw(st.sampled_from(["client", "ours", "ours", "broken"]))
    if kind == "client":
        return option(COOKIE, CLIENT)
    if kind == "broken":
        return option(COOKIE, draw(st.binary(max_size=44)))
    borders = [0, COOKIE_RENEW_S, COOKIE_MAX_AGE_S, -COOKIE_MAX_AHEAD_S, 2**31]
    age_s = draw(st.sampled_from(borders)) + draw(st.integers(-1, 1))
    secret = draw(st.sampled_from([*SECRETS, *SECRETS, FOREIGN]))
    made = server_cookie(CLIENT, draw(st.one_of(st.just(RESOLVER), sources)), secret, (NOW_S - age_s) & 0xFFFFFFFF)
    if draw(st.integers(0, 7)) == 0:
        made = bytes((made[0] ^ draw(st.integers(0, 1)),)) + b"\1\2\3" + made[4:]
    return option(COOKIE, CLIENT + made)


@st.composite
def options(draw: Any) -> bytes:
    """The options of one OPT record."""
    found = []
    if draw(st.integers(0, 3)):
        found.append(draw(subnets()))
    if draw(st.integers(0, 2)) == 0:
        found.append(draw(cookies()))
    if draw(st.integers(0, 3)) == 0:
        found.append(option(NSID, draw(st.sampled_from([b"", b"me"]))))
    if draw(st.integers(0, 9)) == 0:
        raw = st.builds(option, st.sampled_from([0, ECS, COOKIE, KEEPALIVE, 12, 65001]), st.binary(max_size=22))
        found += draw(st.lists(st.one_of(raw, raw, subnets(), st.binary(max_size=5)), min_size=1, max_size=3))
        found = draw(st.permutations(found))
    return b"".join(found)


@st.composite
def opts(draw: Any) -> bytes:
    """An OPT record, at times of another version or owner."""
    return opt(
        draw(options()),
        size=draw(st.sampled_from([1232, 1232, 1400, 4096, 0, 511, 512, 513, 700, 1231, 1233, 65535])),
        version=draw(st.sampled_from([0] * 40 + [1, 255])),
        flags=draw(st.sampled_from([0, 0x8000, 0x7FFF])),
        owner=draw(st.sampled_from([b"\0"] * 40 + [b"\1a\0", b"\xc0\x0c"])),
    )


others = st.sampled_from(
    [
        rr(A, bytes(4)), rr(A, bytes(4), b"\1a\0"), rr(16, b"\3abc", b"\3www\4test\0", 255), rr(A, b"", b"\xc0\x0c"),
        rr(TSIG, b"\x08hmac-md5\0" + bytes(16), b"\3key\0", 255), rr(A, b"", b"\x41a\0"), rr(6, b"\0\0" + bytes(20)),
    ]
)  # fmt: skip
"""Records that stand in few queries."""


@st.composite
def questions(draw: Any, known: Sequence[bytes]) -> bytes:
    """A packet that asks for one of some names or one near them; one of a few is broken."""
    odd = draw(st.integers(0, 7)) == 0
    qtype = draw(st.one_of(st.sampled_from(QTYPES), st.integers(0, 65535)) if odd else st.sampled_from(QTYPES))
    question = asks(draw(names(known)), qtype, draw(st.sampled_from([1] * 30 + [3, 4, 255])))
    records = [draw(opts())] if draw(st.integers(0, 4)) else []
    flags, counts = RD, [1, 0, 0, 0]
    if odd:
        records = draw(st.permutations([*records, *draw(st.lists(st.one_of(others, opts()), max_size=2))]))
        flags = draw(st.sampled_from([0, RD, 0x0070, 0x07FF, 0x2400, 0x2800, 0x8000, 0x7900]))
    counts[3] = len(records)
    if odd and draw(st.booleans()):
        counts[draw(st.integers(0, 3))] = draw(st.integers(0, 3))
    made = struct.pack("!HH4H", ID, flags, *counts) + question + b"".join(records)
    if odd and draw(st.booleans()):
        made = made[: draw(st.integers(0, len(made)))] + draw(st.binary(max_size=3))
    return made
