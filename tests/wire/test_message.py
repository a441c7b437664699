"""Answers put together here, and read back by dnspython."""

from __future__ import annotations

import struct
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest

from gslb.wire import edns, message
from gslb.wire.query import Query, parse

APEX = dns.name.from_text("live.example.").to_wire()
SOA = "ns1.live.example. hostmaster.live.example. 7 3600 600 86400 60"


def asked(name: str = "pull.live.example.", rtype: str = "A", **fields: Any) -> Query:
    found = parse(dns.message.make_query(name, rtype, **fields).to_wire())
    assert isinstance(found, Query)
    return found


def rdata(rtype: str, text: str) -> bytes:
    return dns.rdata.from_text("IN", rtype, text).to_wire()


def stored(rtype: str, ttl_s: int, *texts: str) -> bytes:
    number = dns.rdatatype.from_text(rtype)
    return b"".join(message.rr(number, ttl_s, rdata(rtype, text)) for text in texts)


def texts(section: list[Any]) -> list[str]:
    return [line for rrset in section for line in rrset.to_text().splitlines()]


@pytest.mark.parametrize(
    ("rtype", "text"),
    [
        ("A", "192.0.2.1"),
        ("AAAA", "2001:db8::1"),
        ("CNAME", "Edge.Example.net."),
        ("MX", "10 mx.live.example."),
        ("SRV", "0 5 443 sip.live.example."),
        ("TXT", '"one" "' + "x" * 255 + '" ""'),
        ("CAA", '0 issue "ca.example"'),
        ("HTTPS", "1 . alpn=h2,h3 ipv4hint=192.0.2.1"),
        ("NAPTR", '10 20 "u" "sip+E2U" "!^.*$!sip:a@b!" .'),
        ("TLSA", "3 1 1 " + "ab" * 32),
        ("SOA", SOA),
        ("NS", "label\\.with\\.dots.and\\000bytes.example."),
        ("TYPE65400", "\\# 3 abcdef"),
        ("TYPE65401", "\\# 0"),
    ],
)
def test_record_of_any_type_keeps_its_rdata(rtype: str, text: str) -> None:
    blob = stored(rtype, 300, text)
    number, data = dns.rdatatype.from_text(rtype), rdata(rtype, text)
    assert blob == b"\xc0\x0c" + struct.pack("!HHIH", number, 1, 300, len(data)) + data


def test_largest_rdata() -> None:
    assert len(message.rr(65400, 0, bytes(65535))) == 12 + 65535
    with pytest.raises(struct.error):
        message.rr(65400, 0, bytes(65536))


@pytest.mark.parametrize(
    ("soa_ttl_s", "negative_ttl_s", "expected"), [(3600, 300, 60), (30, 300, 30), (3600, 5, 5), (60, 60, 60)]
)
def test_negative_soa(soa_ttl_s: int, negative_ttl_s: int, expected: int) -> None:
    assert message.negative_soa(soa_ttl_s, negative_ttl_s, rdata("SOA", SOA)) == stored("SOA", expected, SOA)


def test_any_answer() -> None:
    query = asked(rtype="ANY")
    read = dns.message.from_wire(message.assemble(query, 0, 512, answer=message.ANY_ANSWER))
    assert texts(read.answer) == ['pull.live.example. 3600 IN HINFO "RFC8482" ""']


def test_answer() -> None:
    query = asked("PULL.live.example.", want_dnssec=True, id=7)
    run = stored("A", 0, "192.0.2.1", "192.0.2.2")
    options = edns.nsid_option(b"me")
    wire = message.assemble(query, 0, query.limit, answer=(2, message.repoint(run, b"\xc0\x0c", 20)), options=options)
    read = dns.message.from_wire(wire)
    assert read.id == 7
    assert dns.flags.to_text(read.flags) == "QR AA RD"
    assert read.question[0].name.to_text() == "PULL.live.example."
    assert texts(read.answer) == ["PULL.live.example. 20 IN A 192.0.2.1", "PULL.live.example. 20 IN A 192.0.2.2"]
    assert (read.edns, read.payload, read.ednsflags) == (0, 1232, 0x8000)
    assert len(wire) == message.overhead(query, options) + len(run)


def test_chain_of_names_and_negative_answer() -> None:
    """Each owner points at where its name stands: the question, then the rdata of the CNAME before."""
    query = asked("www.live.example.")
    first = message.rr(5, 60, rdata("CNAME", "a.live.example."))
    at = 12 + len(query.question) + message.RDATA_AT
    second = message.repoint(stored("CNAME", 60, "b.live.example."), message.pointer(at))
    target = dns.name.from_text("b.live.example.").to_wire()
    at += len(second)
    soa = message.repoint(
        stored("SOA", 60, SOA), message.pointer_to_suffix(len(target), len(APEX), at + len(first) - len(second))
    )
    read = dns.message.from_wire(message.assemble(query, 3, 1232, answer=(2, first + second), authority=(1, soa)))
    assert read.rcode() == 3
    assert texts(read.answer) == [
        "www.live.example. 60 IN CNAME a.live.example.",
        "a.live.example. 60 IN CNAME b.live.example.",
    ]
    assert texts(read.authority) == [f"live.example. 60 IN SOA {SOA}"]


@pytest.mark.parametrize("suffix", [b"\0", b"\x07example\0", APEX, b"\x04pull" + APEX])
def test_suffix_of_the_question(suffix: bytes) -> None:
    query = asked()
    owner = message.pointer_to_suffix(len(query.qname), len(suffix))
    wire = message.assemble(query, 0, 512, aa=False, authority=(1, message.repoint(stored("NS", 9, "ns.a."), owner)))
    read = dns.message.from_wire(wire)
    assert read.authority[0].name.to_wire() == suffix
    assert not read.flags & dns.flags.AA


def test_repoint_takes_whole_names_and_keeps_ttls() -> None:
    run = stored("A", 10, "192.0.2.1") + stored("TXT", 20, '"x"') + stored("AAAA", 30, "2001:db8::1")
    name = dns.name.from_text("glue.example.").to_wire()
    query = asked()
    given = memoryview(run)
    read = dns.message.from_wire(message.assemble(query, 0, 1232, additional=(3, message.repoint(given, name))))
    assert texts(read.additional) == [
        "glue.example. 10 IN A 192.0.2.1",
        'glue.example. 20 IN TXT "x"',
        "glue.example. 30 IN AAAA 2001:db8::1",
    ]
    assert message.repoint(run, b"\xc0\x0c") == run
    assert message.repoint(b"", name, 5) == b""


def test_pointers_reach_16_kilobytes_and_no_further() -> None:
    assert message.pointer(0x3FFF) == b"\xff\xff"
    with pytest.raises(struct.error):
        message.pointer(0x4000)


@pytest.mark.parametrize("with_opt", [True, False])
@pytest.mark.parametrize("spare", [0, 1, -1, 1000])
def test_truncation(with_opt: bool, spare: int) -> None:
    query = asked(use_edns=0) if with_opt else asked(use_edns=False)
    options = edns.ede_option(20) if with_opt else b""
    answer = (3, stored("A", 5, "192.0.2.1", "192.0.2.2", "192.0.2.3"))
    authority = (1, stored("NS", 5, "ns.live.example."))
    whole = message.overhead(query, options) + len(answer[1]) + len(authority[1])
    wire = message.assemble(query, 0, whole + spare, answer=answer, authority=authority, options=options)
    read = dns.message.from_wire(wire)
    cut = spare < 0
    assert bool(read.flags & dns.flags.TC) == cut
    assert len(texts(read.answer)) == (0 if cut else 3)
    assert len(texts(read.authority)) == (0 if cut else 1)
    assert read.edns == (0 if with_opt else -1)
    assert [option.otype for option in read.options] == ([15] if with_opt else [])
    assert len(wire) == (whole - len(answer[1]) - len(authority[1]) if cut else whole)


@pytest.mark.parametrize("rcode", [0, 2, 5, 9, 16, 23])
def test_rcode(rcode: int) -> None:
    read = dns.message.from_wire(message.assemble(asked(use_edns=0), rcode, 512))
    assert read.rcode() == rcode


def test_reply_to_a_query_for_a_cookie_alone() -> None:
    option = edns.cookie_option(b"clientck", b"")
    found = parse(struct.pack("!6H", 9, 0x0100, 0, 0, 0, 1) + edns.opt(False, 0, option))
    assert found is not None
    assert not isinstance(found, Query)
    assert found.query is not None
    option = edns.cookie_option(b"clientck", b"serverck")
    wire = message.refuse(found, option)
    assert wire == message.assemble(found.query, 0, found.query.limit, aa=False, options=option)
    read = dns.message.from_wire(wire)
    assert (read.id, read.rcode(), read.question, read.answer) == (9, 0, [], [])
    assert [each.to_wire() for each in read.options] == [b"clientckserverck"]


def test_txt_gives_a_record_a_line() -> None:
    query = asked("pull.live.example.", "TXT", rdclass="CH")
    lines = ["view CN|SH|chinanet", "", "x" * 300, "Zürich – 東京", "y" * 255]
    records = message.txt(lines, 2000)
    assert records[0] == 5
    read = dns.message.from_wire(message.assemble(query, 0, 4096, answer=records))
    (rrset,) = read.answer
    assert (rrset.rdclass, rrset.ttl) == (dns.rdataclass.CH, 0)
    assert [b"".join(rdata.strings).decode() for rdata in rrset] == lines
    assert [len(rdata.strings) for rdata in rrset] == [1, 1, 2, 1, 1]


@pytest.mark.parametrize("room", [100, 150, 777, 1599])
def test_txt_is_bounded(room: int) -> None:
    lines = [f"{number:03d} " + "x" * 33 for number in range(32)]
    one = len(message.txt(lines[:1], 1000)[1])
    count, run = message.txt(lines, room)
    assert len(run) <= room
    read = dns.message.from_wire(message.assemble(asked(), 0, 4096, answer=(count, run)))
    shown = [rdata.strings[0].decode() for rdata in read.answer[0]]
    assert len(shown) == count
    assert shown[:-1] == lines[: count - 1]
    assert shown[-1] == f"... and {32 - count + 1} more lines"
    assert room - len(run) < one
    assert message.txt(lines, 32 * one)[0] == 32
