"""What to answer, case by case: bytes in, the reply read back by dnspython. One row for each rule on the wire."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from gslbtest.packets import KEEPALIVE, NSID, asks, edns, opt, option, packet, rr, subnet, with_records
from gslbtest.reading import read
from gslbtest.world import World

A, NS, CNAME, SOA, MX, TXT, AAAA, DS, HTTPS, AXFR, IXFR, ANY = 1, 2, 5, 6, 15, 16, 28, 43, 65, 252, 251, 255
BERLIN4, GERMANY4, US4 = bytes((198, 51, 100)), bytes((198, 51, 7)), bytes((100, 1, 2))
BERLIN6 = bytes.fromhex("20010db80001")
SOA_LINE = "live.example. 60 SOA ns1.live.example. hostmaster.live.example. 7"
CLIENT = b"clientck"


def name(text: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode() for label in text.split(".") if label) + b"\0"


def ask(text: str, qtype: int = A, *options: bytes, **more: int) -> bytes:
    """A query with EDNS."""
    return edns(*options, question=asks(name(text), qtype), **more)


def plain(text: str, qtype: int = A, qclass: int = 1) -> bytes:
    """A query without EDNS."""
    return packet(asks(name(text), qtype, qclass))


def ecs4(address: bytes, source: int) -> bytes:
    return subnet(1, source, address[: (source + 7) // 8])


def ecs6(address: bytes, source: int) -> bytes:
    return subnet(2, source, address.ljust(16, b"\0")[: (source + 7) // 8])


class Row(NamedTuple):
    rule: str
    query: bytes
    expected: list[str]
    tcp: bool = False


def soa(ttl_s: int = 60) -> str:
    return f"ns live.example. {ttl_s} SOA ns1.live.example. hostmaster.live.example. 7"


PULL_BERLIN = "an pull.live.example. 20 A 203.0.113.1"
ROWS = [
    # Client subnets
    Row("location: exact scope", ask("pull.live.example", A, ecs4(BERLIN4, 24)),
        ["NOERROR qr aa rd", "an pull.live.example. 20 A 203.0.113.1", "ecs 198.51.100.0/24/25"]),
    Row("location: IPv6", ask("pull.live.example", AAAA, ecs6(BERLIN6, 48)),
        ["NOERROR qr aa rd", "an pull.live.example. 20 AAAA 2001:db8:e::1", "ecs 2001:db8:1::/48/48"]),
    Row("location: an exception of one address", ask("only.live.example", A, ecs4(BERLIN4 + b"\x80", 32)),
        ["NOERROR qr aa rd", "an only.live.example. 20 A 203.0.113.1", "ecs 198.51.100.128/32/6"]),
    Row("source 0, family 1", ask("pull.live.example", A, subnet(1, 0)),
        ["NOERROR qr aa rd", PULL_BERLIN, "ecs 0.0.0.0/0/0"]),
    Row("source 0, family 2", ask("pull.live.example", A, subnet(2, 0)),
        ["NOERROR qr aa rd", PULL_BERLIN, "ecs ::/0/0"]),
    Row("private", ask("pull.live.example", A, ecs4(bytes((10, 1, 2)), 24)),
        ["NOERROR qr aa rd", PULL_BERLIN, "ecs 10.1.2.0/24/8"]),
    Row("private, 172.16/12", ask("pull.live.example", A, ecs4(bytes((172, 20)), 16)),
        ["NOERROR qr aa rd", PULL_BERLIN, "ecs 172.20.0.0/16/12"]),
    Row("private, mapped", ask("pull.live.example", A, ecs6(bytes(10) + b"\xff\xff\x0a\x01", 112)),
        ["NOERROR qr aa rd", PULL_BERLIN, "ecs ::ffff:10.1.0.0/112/104"]),
    Row("private, IPv6", ask("pull.live.example", A, ecs6(b"\xfd\x01\x02", 24)),
        ["NOERROR qr aa rd", PULL_BERLIN, "ecs fd01:200::/24/7"]),
    Row("private, ::1", ask("pull.live.example", A, ecs6(bytes(15) + b"\1", 128)),
        ["NOERROR qr aa rd", PULL_BERLIN, "ecs ::1/128/128"]),
    Row("embedded, mapped", ask("pull.live.example", A, ecs6(bytes(10) + b"\xff\xff" + BERLIN4, 120)),
        ["NOERROR qr aa rd", PULL_BERLIN, "ecs ::ffff:198.51.100.0/120/121"]),
    Row("embedded, 6to4", ask("pull.live.example", A, ecs6(b"\x20\x02" + BERLIN4, 40)),
        ["NOERROR qr aa rd", PULL_BERLIN, "ecs 2002:c633:6400::/40/41"]),
    Row("two ECS options", ask("pull.live.example", A, ecs4(BERLIN4, 24), ecs4(US4, 24)),
        ["NOERROR qr aa rd", PULL_BERLIN, "ecs 198.51.100.0/24/25"]),
    Row("query without ECS", ask("pull.live.example"), ["NOERROR qr aa rd", PULL_BERLIN]),
    Row("name that does not depend on location", ask("mail.live.example", A, ecs4(BERLIN4, 24)),
        ["NOERROR qr aa rd", "an mail.live.example. 300 A 192.0.2.25", "an mail.live.example. 300 A 192.0.2.26",
         "ecs 198.51.100.0/24/0"]),
    Row("negative answer: scope 0", ask("nowhere.live.example", A, ecs4(BERLIN4, 24)),
        ["NXDOMAIN qr aa rd", soa(), "ecs 198.51.100.0/24/0"]),
    Row("referral: scope 0", ask("x.del.live.example", A, ecs4(BERLIN4, 24)),
        ["NOERROR qr rd", "ns del.live.example. 300 NS ns.del.live.example.",
         "ns del.live.example. 300 NS ns1.other.test.",
         "ar ns.del.live.example. 300 A 198.51.100.53", "ar ns.del.live.example. 300 AAAA 2001:db8:d::53",
         "ecs 198.51.100.0/24/0"]),
    Row("refused: scope 0, EDE 20", ask("www.else.test", A, ecs4(BERLIN4, 24)),
        ["REFUSED qr rd", "ecs 198.51.100.0/24/0", "ede 20"]),
    Row("source shorter than the row's scope", ask("pull.live.example", A, ecs4(BERLIN4, 23)),
        ["NOERROR qr aa rd", "an pull.live.example. 20 A 203.0.113.1", "ecs 198.51.100.0/23/25"]),
    Row("CNAME to a service", ask("www.live.example", A, ecs4(BERLIN4, 24)),
        ["NOERROR qr aa rd", "an www.live.example. 300 CNAME pull.live.example.", PULL_BERLIN,
         "ecs 198.51.100.0/24/25"]),
    Row("ECS of a query that is refused its syntax", ask("pull.live.example", A, subnet(1, 33, bytes(5))),
        ["FORMERR qr rd"]),
    # EDNS and header
    Row("OPT version > 0", ask("pull.live.example", A, ecs4(BERLIN4, 24), version=1), ["BADVERS qr rd"]),
    Row("two OPT records", with_records(opt(), opt(), question=asks(name("pull.live.example"))), ["FORMERR qr rd"]),
    Row("unknown options and flags", ask("only.live.example", A, option(65001, b"x"), flags=0x7FFF),
        ["NOERROR qr aa rd", "an only.live.example. 20 A 203.0.113.1"]),
    Row("AD, CD, Z cleared, RD copied", packet(asks(name("mail.live.example"), MX), flags=0x0070),
        ["NOERROR qr aa", soa()]),
    Row("opcode NOTIFY", packet(asks(name("live.example"), SOA), flags=0x2400), ["NOTIMP qr NOTIFY"]),
    Row("QDCOUNT 2", packet(asks(name("a.test")), asks(name("a.test")), counts=(2, 0, 0, 0)), ["FORMERR qr rd"]),
    Row("bytes after the message", plain("live.example") + b"\0", ["FORMERR qr rd"]),
    Row("other classes", plain("live.example", A, 4), ["REFUSED qr rd"]),
    Row("class ANY", plain("live.example", A, 255), ["REFUSED qr rd"]),
    Row("name outside all zones, no OPT", plain("else.test"), ["REFUSED qr rd"]),
    Row("the root", plain(""), ["REFUSED qr rd"]),
    Row("above a zone", plain("example"), ["REFUSED qr rd"]),
    Row("ANY", plain("live.example", ANY), ['NOERROR qr aa rd', 'an live.example. 3600 HINFO "RFC8482" ""']),
    Row("ANY of a service", plain("pull.live.example", ANY),
        ["NOERROR qr aa rd", 'an pull.live.example. 3600 HINFO "RFC8482" ""']),
    Row("ANY of an alias", plain("www.live.example", ANY),
        ["NOERROR qr aa rd", 'an www.live.example. 3600 HINFO "RFC8482" ""']),
    Row("ANY of an empty non-terminal", plain("deep.live.example", ANY), ["NOERROR qr aa rd", soa()]),
    Row("letter case", plain("MAIL.LiVe.example"),
        ["NOERROR qr aa rd", "an MAIL.LiVe.example. 300 A 192.0.2.25", "an MAIL.LiVe.example. 300 A 192.0.2.26"]),
    Row("NSID", ask("only.live.example", A, option(NSID, b"data")),
        ["NOERROR qr aa rd", "an only.live.example. 20 A 203.0.113.1", "nsid gslb"]),
    Row("TSIG", with_records(opt(), rr(250, b"\x08hmac-md5\0" + bytes(16), b"\x03key\0", 255),
                             question=asks(name("live.example"))), ["NOTAUTH qr rd"]),
    Row("AXFR", plain("live.example", AXFR), ["REFUSED qr rd"]),
    Row("IXFR", plain("live.example", IXFR), ["REFUSED qr rd"]),
    # Names
    Row("NODATA", plain("mail.live.example", TXT), ["NOERROR qr aa rd", soa()]),
    Row("empty non-terminal", plain("deep.live.example"), ["NOERROR qr aa rd", soa()]),
    Row("NXDOMAIN", plain("x.mail.live.example"), ["NXDOMAIN qr aa rd", soa()]),
    Row("NXDOMAIN below an empty non-terminal", plain("b.deep.live.example"), ["NXDOMAIN qr aa rd", soa()]),
    Row("127 labels", plain(".".join("a" * 116) + ".live.example"), ["NXDOMAIN qr aa rd", soa()]),
    Row("apex", plain("live.example", NS),
        ["NOERROR qr aa rd", "an live.example. 300 NS ns1.live.example.", "an live.example. 300 NS ns2.other.test."]),
    Row("SOA", plain("live.example", SOA),
        ["NOERROR qr aa rd", "an live.example. 300 SOA ns1.live.example. hostmaster.live.example. 7"]),
    Row("wildcard", plain("x.y.wild.live.example"), ["NOERROR qr aa rd", "an x.y.wild.live.example. 300 A 192.0.2.99"]),
    Row("wildcard, NODATA", plain("x.wild.live.example", MX), ["NOERROR qr aa rd", soa()]),
    Row("wildcard, asked for itself", plain("*.wild.live.example", TXT),
        ["NOERROR qr aa rd", 'an *.wild.live.example. 300 TXT "wild"']),
    Row("wildcard does not reach past a name that is there", plain("x.sub.wild.live.example"),
        ["NXDOMAIN qr aa rd", soa()]),
    Row("wildcard alias", plain("x.alias.live.example"),
        ["NOERROR qr aa rd", "an x.alias.live.example. 300 CNAME mail.live.example.",
         "an mail.live.example. 300 A 192.0.2.25", "an mail.live.example. 300 A 192.0.2.26"]),
    Row("delegation, at the cut", plain("del.live.example", NS),
        ["NOERROR qr rd", "ns del.live.example. 300 NS ns.del.live.example.",
         "ns del.live.example. 300 NS ns1.other.test.",
         "ar ns.del.live.example. 300 A 198.51.100.53", "ar ns.del.live.example. 300 AAAA 2001:db8:d::53"]),
    Row("delegation, glue is no answer", plain("ns.del.live.example"),
        ["NOERROR qr rd", "ns del.live.example. 300 NS ns.del.live.example.",
         "ns del.live.example. 300 NS ns1.other.test.",
         "ar ns.del.live.example. 300 A 198.51.100.53", "ar ns.del.live.example. 300 AAAA 2001:db8:d::53"]),
    Row("DS at the cut", plain("del.live.example", DS),
        ["NOERROR qr aa rd", "an del.live.example. 300 DS 12345 13 2"
         " 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"]),
    Row("DS at a cut to a zone of ours", plain("child.live.example", DS), ["NOERROR qr aa rd", soa()]),
    Row("DS at an apex whose parent is not ours", plain("live.example", DS), ["NOERROR qr aa rd", soa()]),
    Row("a zone below a zone", plain("www.child.live.example"),
        ["NOERROR qr aa rd", "an www.child.live.example. 100 A 192.0.2.66"]),
    Row("a zone below a zone, NXDOMAIN", plain("x.child.live.example"),
        ["NXDOMAIN qr aa rd", "ns child.live.example. 30 SOA ns1.live.example. hostmaster.child.live.example. 3"]),
    # Aliases
    Row("CNAME, asked for itself", plain("www.live.example", CNAME),
        ["NOERROR qr aa rd", "an www.live.example. 300 CNAME pull.live.example."]),
    Row("CNAME out of our zones", plain("out.live.example"),
        ["NOERROR qr aa rd", "an out.live.example. 300 CNAME elsewhere.test."]),
    Row("CNAME to a name that is not there", plain("gone.live.example"),
        ["NXDOMAIN qr aa rd", "an gone.live.example. 300 CNAME nowhere.live.example.", soa()]),
    Row("CNAME to a name without the type", plain("odd.live.example", TXT),
        ["NOERROR qr aa rd", "an odd.live.example. 300 CNAME mail.live.example.", soa()]),
    Row("CNAME below a delegation", plain("todel.live.example"),
        ["NOERROR qr aa rd", "an todel.live.example. 300 CNAME host.del.live.example."]),
    Row("CNAME of CNAME to a service", plain("far.live.example"),
        ["NOERROR qr aa rd", "an far.live.example. 300 CNAME www.live.example.",
         "an www.live.example. 300 CNAME pull.live.example.", PULL_BERLIN]),
    Row("8 CNAMEs", plain("c1.live.example"),
        ["NOERROR qr aa rd",
         *(f"an c{n}.live.example. 300 CNAME c{n + 1}.live.example." for n in range(1, 8)),
         "an c8.live.example. 300 CNAME mail.live.example.",
         "an mail.live.example. 300 A 192.0.2.25", "an mail.live.example. 300 A 192.0.2.26"]),
    Row("9 CNAMEs: what was found", plain("c0.live.example"),
        ["NOERROR qr aa rd", *(f"an c{n}.live.example. 300 CNAME c{n + 1}.live.example." for n in range(8))]),
    # Services
    Row("service asked for another type", ask("pull.live.example", HTTPS, ecs4(BERLIN4, 24)),
        ["NOERROR qr aa rd", soa(), "ecs 198.51.100.0/24/0"]),
    Row("no edge of the family", ask("six.live.example", A, ecs4(BERLIN4, 24)),
        ["NOERROR qr aa rd", soa(5), "ecs 198.51.100.0/24/6"]),
    Row("no edge of the family, the other one", ask("six.live.example", AAAA, ecs4(BERLIN4, 24)),
        ["NOERROR qr aa rd", "an six.live.example. 20 AAAA 2001:db8:e::6", "ecs 198.51.100.0/24/6"]),
    Row("outside the fence", ask("fenced.live.example", A, ecs4(BERLIN4, 24)),
        ["NOERROR qr aa rd", soa(5), "ecs 198.51.100.0/24/25"]),
    Row("outside the fence, fallback", ask("fenced-fb.live.example", A, ecs4(BERLIN4, 24)),
        ["NOERROR qr aa rd", "an fenced-fb.live.example. 5 A 192.0.2.80", "ecs 198.51.100.0/24/25"]),
    Row("outside the fence, fallback of IPv6", ask("fenced-fb.live.example", AAAA, ecs4(BERLIN4, 24)),
        ["NOERROR qr aa rd", "an fenced-fb.live.example. 5 AAAA 2001:db8::80", "ecs 198.51.100.0/24/25"]),
    Row("inside the fence", ask("fenced.live.example", A, ecs4(US4, 24)),
        ["NOERROR qr aa rd", "an fenced.live.example. 20 A 203.0.113.5", "ecs 100.1.2.0/24/10"]),
    Row("at most max_records", ask("paris.live.example", A),
        ["NOERROR qr aa rd", *(f"an paris.live.example. 20 A 203.0.113.{n}" for n in (3, 13, 23, 33))]),
    Row("two edges that share their addresses", ask("twins.live.example"),
        ["NOERROR qr aa rd", "an twins.live.example. 20 A 203.0.113.77", "an twins.live.example. 20 A 203.0.113.78"]),
    Row("CNAME to a service that has no edge to give", ask("fen.live.example"),
        ["NOERROR qr aa rd", "an fen.live.example. 300 CNAME fenced.live.example.", soa(5)]),
    # Sizes
    Row("does not fit UDP", ask("big.live.example", TXT, ecs4(BERLIN4, 24)),
        ["NOERROR qr aa tc rd", "ecs 198.51.100.0/24/0"]),
    Row("does not fit UDP, no OPT", plain("big.live.example", TXT), ["NOERROR qr aa tc rd"]),
    Row("TCP gives the whole", plain("big.live.example", TXT),
        ["NOERROR qr aa rd", *(f'an big.live.example. 300 TXT "{n:03d} {"x" * 120}"' for n in range(12))], tcp=True),
    Row("keepalive over TCP", ask("only.live.example", A, option(KEEPALIVE)),
        ["NOERROR qr aa rd", "an only.live.example. 20 A 203.0.113.1", "option 11 0064"], tcp=True),
    Row("no keepalive over UDP", ask("only.live.example", A, option(KEEPALIVE)),
        ["NOERROR qr aa rd", "an only.live.example. 20 A 203.0.113.1"]),
    # Class CH
    Row("id.server", plain("id.server", TXT, 3), ["NOERROR qr aa rd", 'an id.server. 0 TXT "gslb"']),
    Row("version.bind", plain("version.bind", TXT, 3), ["NOERROR qr aa rd", 'an version.bind. 0 TXT "gslb"']),
    Row("id.server, another type", plain("id.server", A, 3), ["REFUSED qr rd"]),
    Row("explanations are not for everybody", plain("pull.live.example", TXT, 3), ["REFUSED qr rd"]),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.rule)
def test_answer(net: World, row: Row) -> None:
    reply = net.ask(row.query, tcp=row.tcp)
    assert reply is not None
    lines = [line for line in read(reply) if not line.startswith(("?", "opt "))]
    assert [_short(line) for line in lines] == row.expected


def _short(line: str) -> str:
    """An SOA without the numbers behind its serial."""
    return " ".join(line.split()[:7]) if " SOA " in line else line
