"""Whatever comes in: no exception, at most one reply, well-formed, and larger than the query only where it answers."""

from __future__ import annotations

import random

import pytest
from gslbtest.examples import examples
from gslbtest.packets import COOKIE, NSID, asks, edns, opt, option, packet, subnet
from gslbtest.query_rows import QUERIES, REFUSALS
from gslbtest.reading import read
from gslbtest.world import NOW_S, RESOLVER, World
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.answer.engine import Trace
from gslb.wire import edns as edns_options

pytestmark = pytest.mark.no_cover  # ten thousand questions, of which the fewest reach a line that no other does

PULL = b"\x04pull\x04live\x07example\0"
CLIENT = b"clientck"
SEEDS = [row.packet for row in (*QUERIES, *REFUSALS)] + [
    edns(subnet(1, 24, b"\xc6\x33\x64"), option(NSID), option(COOKIE, CLIENT), question=asks(PULL)),
    packet(asks(b"\x03del\x04live\x07example\0")),
]
ERRORS = frozenset((1, 4, 5, 9))


def well_behaved(net: World, query: bytes, *, tcp: bool = False) -> None:
    reply = net.ask(query, tcp=tcp)
    if reply is None:
        assert len(query) < 12 or query[2] & 0x80
        return
    if not reply[2] & 0x78:  # dnspython reads other opcodes' messages by rules of their own
        read(reply.replace(subnet(0, 0), subnet(1, 0)))  # and knows no family 0
    assert reply[:2] == query[:2]
    assert reply[2] & 0x80
    if reply[3] & 15 in ERRORS:
        room = 11 + 4 + 2 + 16 + 20  # OPT, EDE, COOKIE's server half, NSID's data: what EDNS adds to an echo
        assert len(reply) <= len(query) + room


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_every_byte_changed(net: World, seed: int) -> None:
    rng = random.Random(seed)
    query = SEEDS[seed]
    for at in range(len(query)):
        values = (query[at] ^ (1 << rng.randrange(8)), 0xFF, 0, query[at] ^ 0x20)
        for value in values[: examples(16)]:
            well_behaved(net, query[:at] + bytes((value,)) + query[at + 1 :])
    for at in range(len(query)):
        well_behaved(net, query[:at])


@settings(max_examples=examples(300), deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_any_bytes(net: World, query: bytes, tcp: bool) -> None:
    well_behaved(net, query, tcp=tcp)


def cookie_of(reply: bytes) -> tuple[bytes, bytes]:
    line = next(line for line in read(reply) if line.startswith("cookie "))
    _, client, server = line.split()
    return bytes.fromhex(client), bytes.fromhex(server)


@pytest.mark.parametrize(
    ("what", "server", "later_s", "proven", "same"),
    [
        ("none yet", None, 0, False, False),
        ("ours", "ours", 0, True, True),
        ("ours, half an hour old", "ours", 1800, True, False),
        ("ours, too old", "ours", 3601, False, False),
        ("ours, from the future", "ours", -301, False, False),
        ("another's", "foreign", 0, False, False),
    ],
)
def test_cookies(net: World, what: str, server: str | None, later_s: int, proven: bool, same: bool) -> None:
    """RFC 7873 and RFC 9018: a good cookie proves the address, any other is answered with a fresh one."""
    first = net.ask(edns(option(COOKIE, CLIENT), question=asks(PULL)))
    assert first is not None
    client, ours = cookie_of(first)
    assert client == CLIENT
    sent = {None: b"", "ours": ours, "foreign": b"\1" + ours[1:-1] + bytes((ours[-1] ^ 1,))}[server]
    trace = Trace()
    reply = net.ask(edns(option(COOKIE, CLIENT + sent), question=asks(PULL)), now_s=NOW_S + later_s, trace=trace)
    assert reply is not None
    fresh = cookie_of(reply)[1]
    assert (trace.cookie_ok, fresh == ours) == (proven, same or server is None or server == "foreign")
    assert edns_options.verify(CLIENT, fresh, RESOLVER, (bytes(range(16)),), NOW_S + later_s)


def test_cookie_alone(net: World) -> None:
    """RFC 7873 section 5.4: no question, a COOKIE; the other options are answered too."""
    query = packet(opt(option(COOKIE, CLIENT), option(NSID), subnet(1, 24, b"\xc6\x33\x64")), counts=(0, 0, 0, 1))
    trace = Trace()
    reply = net.ask(query, trace=trace)
    assert reply is not None
    lines = read(reply)
    assert lines[0] == "NOERROR qr rd"
    assert [line.split()[0] for line in lines[1:]] == ["opt", "ecs", "cookie", "nsid"]
    assert trace.outcome == "cookie"
