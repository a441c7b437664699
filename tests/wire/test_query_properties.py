"""The parser against any bytes, and against dnspython's reading of the same bytes."""

from __future__ import annotations

import dns.edns
import dns.exception
import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import pytest
from gslbtest.examples import examples
from gslbtest.packets import edns, opt, option, packet, rr, subnet, with_records
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.wire import message
from gslb.wire.query import Query, Refusal, parse
from gslb.wire.sections import MalformedError, name_end

SETTINGS = settings(derandomize=True, deadline=None, database=None, max_examples=examples(600))

labels = st.binary(min_size=1, max_size=63)
names = st.lists(labels, max_size=8).filter(lambda found: sum(map(len, found)) + len(found) < 255)
types = st.integers(0, 65535)


@st.composite
def subnets(draw: st.DrawFn) -> dns.edns.ECSOption:
    family, bits = draw(st.sampled_from([(4, 32), (6, 128)]))
    source = draw(st.integers(0, bits))
    address = draw(st.integers(0, (1 << bits) - 1)) >> (bits - source) << (bits - source)
    text = dns.ipv4.inet_ntoa if family == 4 else dns.ipv6.inet_ntoa
    return dns.edns.ECSOption(text(address.to_bytes(bits // 8)), source)


@st.composite
def cookies(draw: st.DrawFn) -> dns.edns.CookieOption:
    server = draw(st.one_of(st.just(b""), st.binary(min_size=8, max_size=32)))
    return dns.edns.CookieOption(draw(st.binary(min_size=8, max_size=8)), server)


others = st.builds(dns.edns.GenericOption, st.sampled_from([3, 11, 12, 26946]), st.binary(max_size=12))
options = st.lists(st.one_of(subnets(), cookies(), others), max_size=5)


@st.composite
def built(draw: st.DrawFn) -> dns.message.Message:
    """A query as dnspython makes it."""
    asked = dns.message.QueryMessage(id=draw(types))
    asked.flags = dns.flags.Flag(draw(st.sampled_from([0, 0x0100, 0x0130])))
    name = dns.name.Name([*draw(names), b""])
    asked.find_rrset(
        asked.question, name, draw(types), draw(st.sampled_from([1, 3, 255])), create=True, force_unique=True
    )
    if draw(st.booleans()):
        asked.use_edns(0, draw(st.sampled_from([0, 0x8000])), draw(types), options=draw(options))
    return asked


fragments = [b"\0", b"\x01a\0", b"\x02bb\xc0\x0c", b"\xc0\x0c", b"\xc0\x1e", b"\0\0\x29", b"\x01a\0\0\x01\0\x01"]
owners = st.sampled_from([b"\0", b"\0", b"\xc0\x0c", b"\x01a\xc0\x11", b"\xc0\x23", b"\x01a\0"])
sources = st.one_of(st.integers(0, 32), st.integers(0, 140))
raw_options = st.one_of(
    st.builds(option, st.sampled_from([3, 8, 10, 11, 99]), st.sampled_from([b"", b"\0" * 8, b"\1" * 16, b"\0\1\0\0"])),
    sources.flatmap(lambda n: st.builds(subnet, st.integers(1, 2), st.just(n), st.just(b"\0" * ((n + 7) // 8)))),
    st.builds(subnet, st.integers(0, 3), sources, st.binary(max_size=17), st.sampled_from([0, 0, 0, 1])),
)
versions = st.sampled_from([0, 0, 0, 0, 1])
opts = st.lists(raw_options, max_size=3).flatmap(lambda held: st.builds(opt, st.just(b"".join(held)), version=versions))
pieces = st.one_of(
    st.binary(max_size=6),
    st.sampled_from(fragments),
    opts,
    st.builds(rr, st.sampled_from([1, 6, 41, 250]), st.binary(max_size=4), owners),
)
counts = st.sampled_from([0, 1, 1, 1, 2])
jumbles = st.one_of(
    st.binary(max_size=80),
    st.builds(
        lambda parts, *numbers, flags: packet(*parts, counts=numbers, flags=flags),
        st.lists(pieces, max_size=6),
        counts,
        st.just(0),
        st.sampled_from([0, 0, 0, 1]),
        counts,
        flags=st.sampled_from([0, 0x0100, 0x0100, 0x2800, 0x8000, 0xFFFF]),
    ),
    st.lists(raw_options, max_size=4).map(lambda held: edns(*held)),
    st.lists(pieces, max_size=3).map(lambda records: with_records(*records)),
)


@SETTINGS
@given(jumbles)
def test_any_bytes_get_one_reply_at_most_and_no_larger(asked: bytes) -> None:
    found = parse(asked)
    if isinstance(found, Refusal):
        reply = message.refuse(found)
        assert len(reply) <= len(asked)
        assert reply[:2] == asked[:2]
    elif found is None:
        assert len(asked) < 12 or asked[2] & 0x80
    else:
        assert_same(found, asked)


@SETTINGS
@given(built())
def test_what_dnspython_builds_is_read_as_meant(asked: dns.message.Message) -> None:
    found = parse(asked.to_wire())
    assert isinstance(found, Query)
    assert_fields(found, asked)


@SETTINGS
@given(st.lists(pieces, max_size=8).map(b"".join), st.integers(0, 40))
def test_names_end_where_dnspython_says(body: bytes, start: int) -> None:
    """Stricter than dnspython only where a pointer leads into the header, or to bytes that run into the name."""
    whole = bytes(12) + body
    at = 12 + start
    try:
        end = name_end(whole, at, {})
    except MalformedError:
        return
    name, used = dns.name.from_wire(whole, at)
    assert end == at + used
    assert len(name.to_wire()) <= 255


@SETTINGS
@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.lists(pieces, max_size=6).map(b"".join))
def test_remembered_names_have_the_same_length(starts: list[int], body: bytes) -> None:
    whole = bytes(12) + body
    lengths: dict[int, int] = {}
    for start in starts:
        try:
            name_end(whole, 12 + start, lengths)
        except MalformedError:
            break
        assert lengths[12 + start] == len(dns.name.from_wire(whole, 12 + start)[0].to_wire())


@pytest.mark.parametrize("tail", [b"\0", b"\xc0\x0c"])
def test_many_names_with_long_ends_are_read_once(tail: bytes) -> None:
    """5,000 owners that each point at 126 labels: the places remembered are no more than the bytes there are."""
    long_name = b"\x01a" * 126 + b"\0"
    owners = rr(1, b"", long_name) + rr(1, b"", b"\xc0\x13") * 5000 + rr(1, b"", tail)
    asked = packet(b"\x01b\0\0\x01\0\x01", owners, counts=(1, 0, 0, 5002))
    found = parse(asked)
    assert isinstance(found, Query)
    lengths: dict[int, int] = {}
    at = 19
    for _ in range(5002):
        at = name_end(asked, at, lengths) + 10
    assert len(lengths) <= len(asked)
    assert at == len(asked)


def assert_same(found: Query, asked: bytes) -> None:
    """Where dnspython reads the bytes too, it reads the same; it refuses some that we take (TSIG, broken rdata)."""
    try:
        read = dns.message.from_wire(asked)
    except (dns.exception.DNSException, ValueError):
        return
    assert_fields(found, read)


def assert_fields(found: Query, read: dns.message.Message) -> None:
    question = read.question[0]
    assert (found.id, found.flags) == (read.id, int(read.flags))
    assert found.qname == question.name.to_wire()
    assert found.lower == question.name.canonicalize().to_wire()
    assert (found.qtype, found.qclass) == (question.rdtype, question.rdclass)
    assert found.opt == (read.edns >= 0)
    if not found.opt:
        return
    assert found.limit == max(512, min(read.payload, 1232))
    assert found.do == bool(read.ednsflags & 0x8000)
    held: dict[int, dns.edns.Option] = {}
    for each in read.options:
        held.setdefault(int(each.otype), each)
    assert found.nsid == (3 in held)
    assert found.keepalive == (11 in held)
    cookie, ecs = held.get(10), held.get(8)
    assert found.client_cookie + found.server_cookie == (cookie.to_wire() if cookie else b"")
    if not isinstance(ecs, dns.edns.ECSOption):
        assert found.ecs is None or found.ecs.family == 0
        return
    assert found.ecs is not None
    assert found.ecs.option[4:] == ecs.to_wire()
    assert (found.ecs.family, found.ecs.source) == (ecs.family, ecs.srclen)
    packed = dns.ipv4.inet_aton if ecs.family == 1 else dns.ipv6.inet_aton
    assert found.ecs.address == packed(ecs.address)
