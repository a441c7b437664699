"""The law: what the compiled path does not miss, it answers as the engine does, byte for byte.

A `World` holds both to it whatever it is asked (`gslbtest.world`); here is who asks.
"""

from __future__ import annotations

import ipaddress
import random

import pytest
from gslbtest import network
from gslbtest.agreement import parsed_alike
from gslbtest.examples import examples
from gslbtest.packets import COOKIE, NSID, asks, edns, option, subnet
from gslbtest.query_rows import ROWS, Row
from gslbtest.questions import CLIENT, FOREIGN, SECRETS, draws, questions, sources, times_s
from gslbtest.smallworlds import KNOWN, NOW_MS, Small, smalls, states
from gslbtest.world import NOW_S, RESOLVER, World, world
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gslb.answer.engine import Identity, Trace
from gslb.wire.edns import COOKIE_MAX_AGE_S, COOKIE_MAX_AHEAD_S, COOKIE_RENEW_S, server_cookie
from gslb.wire.query import parse

NETWORK = [
    b"".join(bytes((len(label),)) + label.encode() for label in owner.split(".")) + b"\4live\7example\0"
    for owner in (
        "pull", "only", "x.pull", "fenced", "fenced-fb", "six", "paris", "twins", "both", "pull", "both", "www", "fen",
        "far", "out", "gone", "odd", "x.alias", "c0", "c1", "todel", "del", "host.del", "child", "www.child", "big",
        "mail", "a.deep", "deep", "x.wild", "sub.wild",
    )
] + [b"\4live\7example\0", b"\4else\4test\0"]  # fmt: skip

PATIENT = [HealthCheck.too_slow]  # a world takes long to make, and longer on a busy machine


@pytest.fixture(scope="module")
def both() -> World:
    """The engine's network on both paths, of a server that has changed its cookie secret."""
    found = world(network.ZONES, network.TABLES, identity=Identity(cookie_secrets=SECRETS))
    assert found.compiled is not None
    return found


def ask_worlds(small: Small, data: st.DataObject, ends: set[str]) -> None:
    """Ask a small world, quiet and in some state; what the answers were is added to ``ends``."""
    quiet = small.compiled()
    for each in (quiet, quiet.steered(data.draw(states(small.edges)), NOW_MS)):
        assert each.compiled is not None
        for _ in range(16):
            packet = data.draw(questions(KNOWN))
            for _ in range(2):
                source, trace = data.draw(sources), Trace()
                reply = each.ask(packet, source, now_s=data.draw(times_s), draw=data.draw(draws), trace=trace)
                if each.misses(packet, source):
                    ends.add(f"{trace.outcome}, missed")
                    continue
                ends.add(trace.outcome)
                ends.update(kind for kind in ("fail_open", "cookie_ok") if getattr(trace, kind))
                if reply is not None and reply[2] & 2:
                    ends.add("truncated")


@pytest.mark.no_cover
def test_worlds() -> None:
    """Small worlds in any state; that the compiled path comes to every kind of answer there."""
    ends = set[str]()

    @settings(derandomize=True, deadline=None, max_examples=40, suppress_health_check=PATIENT)
    @given(smalls(), st.data())
    def ask(small: Small, data: st.DataObject) -> None:
        ask_worlds(small, data, ends)

    ask()
    assert ends >= {
        "service", "static", "nodata", "nxdomain", "refused", "formerr", "notimp", "badvers", "fallback", "no_edge",
        "dropped", "fail_open", "cookie_ok", "truncated", "service, missed", "referral, missed",
    }  # fmt: skip


@pytest.mark.soak
@settings(deadline=None, max_examples=500, suppress_health_check=PATIENT)
@given(smalls(), st.data())
def test_many_worlds(small: Small, data: st.DataObject) -> None:
    ask_worlds(small, data, set())


@pytest.mark.no_cover
@settings(derandomize=True, deadline=None, max_examples=examples(1600))
@given(questions(NETWORK), sources, times_s, draws)
def test_questions(both: World, packet: bytes, source: bytes, now_s: int, draw: int) -> None:
    both.ask(packet, source, now_s=now_s, draw=draw)
    assert parsed_alike(parse(packet), packet)


PLACES = [
    # in the network's tables and around them
    "198.51.100.0", "198.51.100.127", "198.51.100.128", "198.51.100.129", "198.51.101.0", "198.52.0.0", "100.1.2.3",
    "101.0.0.0", "10.1.2.3", "127.0.0.1", "0.0.0.0", "255.255.255.255", "2001:db8:1::", "2001:db8:1:ffff::1",
    "2001:db8:2::", "2001:db8:3::", "2001:db7:ffff::", "2a00::1", "fd01::", "fe80::1", "::1", "::ffff:198.51.100.128",
    "2002:c633:6480::", "64:ff9b::c633:6480", "2001:0:c633:6480::", "ffff::",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_every_length_of_a_subnet(both: World, place: str) -> None:
    address = ipaddress.ip_address(place)
    bits = address.max_prefixlen
    for source in range(1, bits + 1):
        kept = int(address) >> (bits - source) << (bits - source)
        option = subnet(1 if bits == 32 else 2, source, kept.to_bytes(bits // 8)[: (source + 7) // 8])
        for owner, qtype in ((b"\4pull", 1), (b"\4only", 28), (b"\4both", 1)):
            both.ask(edns(option, question=asks(owner + b"\4live\7example\0", qtype)))
    both.ask(edns(question=asks(b"\4pull\4live\7example\0")), address.packed)


@pytest.mark.parametrize("secret", [*SECRETS, FOREIGN], ids=["the current", "the former", "another's"])
@pytest.mark.parametrize("border_s", [0, COOKIE_RENEW_S, COOKIE_MAX_AGE_S, -COOKIE_MAX_AHEAD_S, 2**31])
def test_every_age_of_a_cookie(both: World, secret: bytes, border_s: int) -> None:
    for age_s in (border_s - 1, border_s, border_s + 1):
        for now_s in (NOW_S, 0, 2**32 - 1, 2**32 + 7):
            for source in (RESOLVER, b"\x20\x01\x0d\xb8" + bytes(12)):
                ours = server_cookie(CLIENT, source, secret, (now_s - age_s) & 0xFFFFFFFF)
                for sent in (ours, ours[:-1] + b"\0", b"\2" + ours[1:], ours[:1] + b"abc" + ours[4:], ours + b"\0"):
                    query = edns(option(COOKIE, CLIENT + sent), question=asks(b"\4only\4live\7example\0"))
                    both.ask(query, source, now_s=now_s)
                    assert not both.misses(query, source)


def test_every_size_that_a_client_takes() -> None:
    """The first reply that fits is as long as the client takes."""
    net = world(network.ZONES, network.TABLES, identity=Identity(server_id=b"n" * 500))
    whole = set[bool]()
    for size in range(512, 800):
        query = edns(option(NSID), question=asks(b"\5paris\4live\7example\0"), size=size)
        reply = net.ask(query)
        assert reply is not None
        assert not net.misses(query)
        whole.add(reply[2] & 2 == 0)
    assert whole == {True, False}


def test_aliases_that_do_not_fit() -> None:
    """Eight of them are longer than what is sent; where they end is told all the same."""
    long = ".".join(("x" * 63, "y" * 63, "z" * 63))
    records = "".join(f"  {at}.{long}: {{CNAME: {at + 1}.{long}}}\n" for at in range(8))
    zone = "zone: live.example.\nsoa: {mname: ns1, rname: h}\nrecords:\n  '@': {NS: ns1.other.test.}\n" + records
    net = world({**network.ZONES, "zones/live.example.yaml": zone, "zones/child.yaml": zone.replace("live", "other")})
    labels = b"".join(b"\x3f" + letter * 63 for letter in (b"x", b"y", b"z"))
    codes = set[int]()
    for first in range(8):
        reply = net.ask(edns(question=asks(b"\1%d" % first + labels + b"\4live\7example\0")))
        assert reply is not None
        codes.add(reply[3] & 15)
    assert codes == {3}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.rule}, {row.case}")
def test_every_byte_of_a_row_changed(both: World, row: Row) -> None:
    packet = row.packet
    rng = random.Random(packet)
    changed = [packet, *(packet[:at] for at in range(len(packet)))]
    for at in range(len(packet)):
        values = {0, 1, 0xFF, 0xC0, packet[at] ^ 0x20, packet[at] ^ (1 << rng.randrange(8)), (packet[at] + 1) & 255}
        changed += [packet[:at] + bytes((value,)) + packet[at + 1 :] for value in values]
    for each in changed:
        assert parsed_alike(parse(each), each), each.hex()
    for each in rng.choices(changed, k=20):
        both.ask(each)
