"""Every syntax rule for queries as a row: bytes, and what `gslb.wire.query.parse` makes of them."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from gslb.wire.query import Ecs, Refusal
from gslbtest.packets import (
    COOKIE,
    ECS,
    ID,
    IXFR,
    KEEPALIVE,
    NAME,
    NSID,
    OPT,
    RD,
    SOA,
    TSIG,
    TXT,
    A,
    asks,
    edns,
    opt,
    option,
    packet,
    rr,
    subnet,
    with_records,
)

FORMERR, NOTIMP, BADVERS = 1, 4, 16
C8 = b"clientck"


class Row(NamedTuple):
    rule: str
    """The row of the rules that it stands for."""
    case: str
    packet: bytes
    expected: Refusal | dict[str, Any] | None


def query(rule: str, case: str, asked: bytes, **fields: Any) -> Row:
    """A row whose packet is a query; ``fields`` are those of `Query` that the row is about."""
    return Row(rule, case, asked, fields)


def refusal(
    rule: str, case: str, asked: bytes, rcode: int, *, echo: bytes | None = None, opt: bool = True, do: bool = False
) -> Row:
    """A row whose packet is refused: question echoed and OPT sent back unless said otherwise."""
    flags = struct.unpack_from("!H", asked, 2)[0]
    return Row(rule, case, asked, Refusal(rcode, ID, flags, asks() if echo is None else echo, opt, do, None))


def unread(rule: str, case: str, asked: bytes, rcode: int = FORMERR) -> Row:
    """A row whose packet is refused by a header alone."""
    return refusal(rule, case, asked, rcode, echo=b"", opt=False)


def client(family: int, source: int, address: bytes, sent: bytes) -> dict[str, Any]:
    return {"ecs": Ecs(family, source, address, subnet(family, source, sent))}


def ixfr(*records: bytes, counts: tuple[int, int, int, int]) -> bytes:
    return packet(asks(qtype=IXFR), *records, counts=counts)


NET4, NET6 = b"\xc6\x33\x64", b"\x20\x01\x0d\xb8\0\x01\x02"
LONGEST = (b"\x3f" + b"x" * 63) * 3 + b"\x3d" + b"x" * 61 + b"\0"
MANY_LABELS = b"\x01a" * 127 + b"\0"
TOO_LONG = (b"\x3f" + b"x" * 63) * 3 + b"\x3e" + b"x" * 62 + b"\0"
BYTES_254 = LONGEST.replace(b"\x3d" + b"x" * 61, b"\x3c" + b"x" * 60)
BYTES_253 = LONGEST.replace(b"\x3d" + b"x" * 61, b"\x3b" + b"x" * 59)
SOA_RDATA = b"\xc0\x0c" + b"\x02hm\xc0\x0c" + struct.pack("!5I", 7, 1, 2, 3, 4)
TSIG_RR = rr(TSIG, b"\x08hmac-md5\0" + bytes(16), b"\x03key\0", 255)

IXFR_SOA = rr(SOA, SOA_RDATA, NAME)
SUBNET = subnet(1, 24, NET4)
THERE = client(1, 24, NET4 + b"\0", NET4)

ASKS_IXFR = asks(qtype=IXFR)

assert len(LONGEST) == len(MANY_LABELS) == 255
assert len(TOO_LONG) == 256

DROPPED = "QR set, or under 12 bytes"
OPCODES = "opcode: NOTIFY, UPDATE and others"
COUNTS = "other QDCOUNT ≠ 1; ANCOUNT or NSCOUNT ≠ 0 in a QUERY (IXFR's SOA aside)"
BROKEN = "compressed, over-long or broken question name; bytes after the message"
ORDER = "order of checks"
PLAIN = "query without ECS"
CASE = "letter case of the question; labels may hold any byte"
VERSION = "OPT version > 0"
TWO_OPT = "two OPT records; OPT with a name other than the root"
SIZE = "UDP size < 512"
UNKNOWN = "unknown options and flags"
OPTIONS = "option syntax"
COOKIES = "COOKIE"
ECS_BAD = "ECS: under 4 bytes; source; scope; address bytes; bits; family"
ECS_ZERO = "ECS: source 0, family 1, 2 or 0"
ECS_GOOD = "ECS: family, source, address verbatim"
ECS_TWO = "two ECS options"
OTHERS = "other records in the additional section"

QUERIES = [
    query(
        PLAIN,
        "no OPT",
        packet(asks()),
        id=ID,
        flags=RD,
        qname=NAME,
        lower=NAME.lower(),
        qtype=A,
        qclass=1,
        question=asks(),
        opt=False,
        limit=512,
        do=False,
        client_cookie=b"",
        server_cookie=b"",
        nsid=False,
        keepalive=False,
        ecs=None,
        tsig=False,
    ),
    query(PLAIN, "OPT without options", edns(), opt=True, ecs=None, limit=1232, qname=NAME),
    query(PLAIN, "the root", packet(asks(b"\0", 2)), qname=b"\0", lower=b"\0", qtype=2),
    query(PLAIN, "class CH", packet(asks(NAME, TXT, 3)), qtype=TXT, qclass=3),
    query(PLAIN, "bits that no query needs", packet(asks(), flags=0x06FF), flags=0x06FF),
    query(
        CASE, "0x20", packet(asks(b"\x03WwW\0")), qname=b"\x03WwW\0", lower=b"\x03www\0", question=asks(b"\x03WwW\0")
    ),
    query(CASE, "any byte", packet(asks(b"\x05\x00.\xff\\@\0")), qname=b"\x05\x00.\xff\\@\0"),
    query(CASE, "63 letters", packet(asks(b"\x3f" + b"A" * 63 + b"\0")), lower=b"\x3f" + b"a" * 63 + b"\0"),
    query(CASE, "255 bytes", edns(question=asks(LONGEST)), qname=LONGEST),
    query(CASE, "127 labels", edns(question=asks(MANY_LABELS)), qname=MANY_LABELS),
    query(SIZE, "0", edns(size=0), limit=512),
    query(SIZE, "511", edns(size=511), limit=512),
    query(SIZE, "513", edns(size=513), limit=513),
    query(SIZE, "1231", edns(size=1231), limit=1231),
    query(SIZE, "65535", edns(size=65535), limit=1232),
    query(UNKNOWN, "DO", edns(flags=0x8000), do=True),
    query(UNKNOWN, "other flags", edns(flags=0x7FFF), do=False),
    query(UNKNOWN, "options", edns(option(65001, b"x" * 9), option(12, bytes(5)), option(0)), opt=True, ecs=None),
    query(UNKNOWN, "extended rcode in a query", with_records(rr(OPT, b"", rclass=1232, ttl=0xFF000000)), opt=True),
    query("NSID", "data in the query ignored", edns(option(NSID, b"me")), nsid=True),
    query("edns-tcp-keepalive", "empty, as clients send it", edns(option(KEEPALIVE)), keepalive=True),
    query("edns-tcp-keepalive", "with a timeout", edns(option(KEEPALIVE, b"\0\x64")), keepalive=True),
    query(COOKIES, "client's alone", edns(option(COOKIE, C8)), client_cookie=C8, server_cookie=b""),
    query(COOKIES, "16 bytes", edns(option(COOKIE, C8 + b"s" * 8)), client_cookie=C8, server_cookie=b"s" * 8),
    query(COOKIES, "40 bytes", edns(option(COOKIE, C8 + b"s" * 32)), client_cookie=C8, server_cookie=b"s" * 32),
    query(
        COOKIES,
        "the first counts",
        edns(option(COOKIE, C8), option(COOKIE, b"x" * 16)),
        client_cookie=C8,
        server_cookie=b"",
    ),
    query(
        COOKIES, "only the first must be well-formed", edns(option(COOKIE, C8), option(COOKIE, b"x")), client_cookie=C8
    ),
    query(ECS_GOOD, "IPv4 /24", edns(SUBNET), **THERE),
    query(ECS_GOOD, "IPv4 /32", edns(subnet(1, 32, NET4 + b"\x07")), **client(1, 32, NET4 + b"\x07", NET4 + b"\x07")),
    query(ECS_GOOD, "IPv4 /1", edns(subnet(1, 1, b"\x80")), **client(1, 1, b"\x80\0\0\0", b"\x80")),
    query(ECS_GOOD, "IPv4 /22", edns(subnet(1, 22, NET4)), **client(1, 22, NET4 + b"\0", NET4)),
    query(ECS_GOOD, "IPv6 /56", edns(subnet(2, 56, NET6)), **client(2, 56, NET6 + bytes(9), NET6)),
    query(ECS_GOOD, "IPv6 /128", edns(subnet(2, 128, b"\xff" * 16)), **client(2, 128, b"\xff" * 16, b"\xff" * 16)),
    query(
        ECS_GOOD,
        "beside others",
        edns(option(NSID), option(COOKIE, C8), SUBNET, option(12)),
        nsid=True,
        client_cookie=C8,
        **THERE,
    ),
    query(ECS_ZERO, "family 1", edns(subnet(1, 0)), **client(1, 0, bytes(4), b"")),
    query(ECS_ZERO, "family 2", edns(subnet(2, 0)), **client(2, 0, bytes(16), b"")),
    query(ECS_ZERO, "family 0", edns(subnet(0, 0)), **client(0, 0, b"", b"")),
    query(ECS_TWO, "the first counts", edns(SUBNET, subnet(2, 56, NET6)), **THERE),
    query(ECS_TWO, "only the first must be well-formed", edns(SUBNET, subnet(9, 99)), **THERE),
    query("TSIG present", "behind OPT", with_records(opt(), TSIG_RR), tsig=True, opt=True),
    query("TSIG present", "without OPT", with_records(TSIG_RR), tsig=True, opt=False),
    query("AXFR, IXFR", "AXFR", packet(asks(qtype=252)), qtype=252),
    query(
        "AXFR, IXFR", "IXFR's SOA", ixfr(rr(SOA, SOA_RDATA, b"\xc0\x0c"), counts=(1, 0, 1, 0)), qtype=IXFR, opt=False
    ),
    query("AXFR, IXFR", "IXFR's SOA and OPT", ixfr(IXFR_SOA, opt(), counts=(1, 0, 1, 1)), qtype=IXFR, opt=True),
    query(OTHERS, "before OPT", with_records(rr(A, bytes(4), NAME), opt(SUBNET)), **THERE),
    query(OTHERS, "after OPT, owner compressed", with_records(opt(), rr(A, bytes(4), b"\x01a\xc0\x11")), opt=True),
    query(OTHERS, "without OPT", with_records(rr(A, bytes(4), b"\xc0\x0c")), opt=False),
    query(
        OTHERS,
        "owner compressed twice over",
        with_records(rr(A, b"", b"\x01b\xc0\x0c"), rr(A, b"", b"\xc0\x23"), opt()),
        opt=True,
    ),
    query(
        OTHERS,
        "owner of 255 bytes by compression",
        with_records(opt(), rr(A, b"", b"\x01a\xc0\x0c"), question=asks(BYTES_253)),
        opt=True,
    ),
]

REFUSALS = [
    Row(DROPPED, "nothing", b"", None),
    Row(DROPPED, "11 bytes", packet(asks())[:11], None),
    Row(DROPPED, "a response", packet(asks(), flags=0x8000), None),
    Row(DROPPED, "a response of another opcode", packet(asks(), flags=0xA000), None),
    refusal(OPCODES, "NOTIFY", packet(asks(qtype=SOA), flags=0x2400), NOTIMP, echo=asks(qtype=SOA), opt=False),
    refusal(
        OPCODES,
        "UPDATE with records and OPT",
        packet(asks(qtype=SOA), rr(A, b"", b"\xc0\x0c", 255), opt(flags=0x8000), counts=(1, 0, 1, 1), flags=0x2800),
        NOTIMP,
        echo=asks(qtype=SOA),
        do=True,
    ),
    unread(OPCODES, "15, header alone", packet(counts=(0, 0, 0, 0), flags=0x7900), NOTIMP),
    unread(OPCODES, "question not readable", packet(b"\x40", flags=0x0800), NOTIMP),
    refusal(
        OPCODES, "two questions", packet(asks(), asks(), opt(), counts=(2, 0, 0, 1), flags=0x1000), NOTIMP, echo=b""
    ),
    unread(COUNTS, "QDCOUNT 0", packet(counts=(0, 0, 0, 0))),
    refusal(COUNTS, "QDCOUNT 0 with OPT, no COOKIE", packet(opt(option(NSID)), counts=(0, 0, 0, 1)), FORMERR, echo=b""),
    unread(COUNTS, "QDCOUNT 2", packet(asks(), asks(), counts=(2, 0, 0, 0))),
    refusal(COUNTS, "QDCOUNT 2 with OPT", packet(asks(), asks(), opt(), counts=(2, 0, 0, 1)), FORMERR, echo=b""),
    unread(COUNTS, "QDCOUNT 65535", packet(asks(), counts=(65535, 0, 0, 0))),
    refusal(COUNTS, "ANCOUNT 1", packet(asks(), rr(A, bytes(4), NAME), opt(), counts=(1, 1, 0, 1)), FORMERR),
    refusal(COUNTS, "ANCOUNT 1 of IXFR", ixfr(IXFR_SOA, counts=(1, 1, 0, 0)), FORMERR, echo=ASKS_IXFR, opt=False),
    refusal(COUNTS, "ANCOUNT 1, nothing there", packet(asks(), counts=(1, 1, 0, 0)), FORMERR, opt=False),
    refusal(COUNTS, "OPT counted as an answer", packet(asks(), opt(), counts=(1, 1, 0, 0)), FORMERR),
    refusal(COUNTS, "NSCOUNT 1", packet(asks(), IXFR_SOA, opt(), counts=(1, 0, 1, 1)), FORMERR),
    refusal(
        COUNTS, "IXFR with A", ixfr(rr(A, bytes(4), NAME), counts=(1, 0, 1, 0)), FORMERR, echo=ASKS_IXFR, opt=False
    ),
    refusal(COUNTS, "IXFR with two SOA", ixfr(IXFR_SOA * 2, counts=(1, 0, 2, 0)), FORMERR, echo=ASKS_IXFR, opt=False),
    refusal(
        COUNTS,
        "IXFR's SOA without its last number",
        ixfr(rr(SOA, SOA_RDATA[:-4], NAME), opt(), counts=(1, 0, 1, 1)),
        FORMERR,
        echo=ASKS_IXFR,
    ),
    refusal(
        COUNTS,
        "IXFR's SOA with a byte more",
        ixfr(rr(SOA, SOA_RDATA + b"\0", NAME), opt(), counts=(1, 0, 1, 1)),
        FORMERR,
        echo=ASKS_IXFR,
    ),
    refusal(COUNTS, "ARCOUNT 1, nothing there", packet(asks(), counts=(1, 0, 0, 1)), FORMERR, opt=False),
    unread(BROKEN, "pointer as name", packet(asks(b"\xc0\x0c"))),
    unread(BROKEN, "pointer behind a label", edns(question=asks(b"\x01a\xc0\x0c"))),
    unread(BROKEN, "label type 01", packet(asks(b"\x41" + b"x" * 65 + b"\0"))),
    unread(BROKEN, "label type 10", packet(asks(b"\x81" + b"x" * 129 + b"\0"))),
    unread(BROKEN, "256 bytes", edns(question=asks(TOO_LONG))),
    unread(BROKEN, "label past the end", packet(b"\x05abc")),
    unread(BROKEN, "no root", packet(b"\x03abc")),
    unread(BROKEN, "type cut short", packet(asks()[:-3])),
    refusal(BROKEN, "a byte after the question", packet(asks(), b"\0"), FORMERR, opt=False),
    refusal(BROKEN, "a byte after OPT", edns() + b"\0", FORMERR),
    refusal(BROKEN, "a second OPT, not counted", edns() + opt(), FORMERR),
    refusal(BROKEN, "OPT not counted", packet(asks(), opt()), FORMERR, opt=False),
    refusal(TWO_OPT, "two", with_records(opt(flags=0x8000), opt()), FORMERR, do=True),
    refusal(TWO_OPT, "owner a name", with_records(opt(owner=b"\x01a\0")), FORMERR),
    refusal(TWO_OPT, "owner a pointer to a root", with_records(opt(owner=b"\xc0\x1e")), FORMERR),
    refusal(OPTIONS, "rdata past the end", edns(option(NSID, b"abc"))[:-1], FORMERR),
    refusal(OPTIONS, "option past the rdata", edns(b"\0\x03\0\x04abc"), FORMERR),
    refusal(OPTIONS, "half an option", edns(option(NSID) + b"\0\x03\0"), FORMERR),
    refusal(OPTIONS, "an unknown option past the rdata", edns(SUBNET, b"\xff\xff\xff\xff"), FORMERR),
    refusal(VERSION, "1", edns(version=1), BADVERS),
    refusal(VERSION, "255, with DO", edns(version=255, flags=0x8000), BADVERS, do=True),
    unread(ORDER, "opcode before QDCOUNT", packet(flags=0x2000, counts=(3, 3, 3, 3)), NOTIMP),
    refusal(ORDER, "option syntax before version", edns(b"\0\x03\0\x04abc", version=1), FORMERR),
    refusal(ORDER, "version before ECS", edns(subnet(9, 99), version=1), BADVERS),
    refusal(ORDER, "version before COOKIE", edns(option(COOKIE, b"x"), version=1), BADVERS),
    refusal(ORDER, "QDCOUNT before version", packet(opt(version=1), counts=(0, 0, 0, 1)), FORMERR, echo=b""),
    refusal(COOKIES, "empty", edns(option(COOKIE)), FORMERR),
    refusal(COOKIES, "7 bytes", edns(option(COOKIE, b"x" * 7)), FORMERR),
    refusal(COOKIES, "9 bytes", edns(option(COOKIE, b"x" * 9)), FORMERR),
    refusal(COOKIES, "15 bytes", edns(option(COOKIE, b"x" * 15)), FORMERR),
    refusal(COOKIES, "41 bytes", edns(option(COOKIE, b"x" * 41)), FORMERR),
    refusal(COOKIES, "the first is bad", edns(option(COOKIE), option(COOKIE, C8)), FORMERR),
    refusal(ECS_BAD, "empty", edns(option(ECS)), FORMERR),
    refusal(ECS_BAD, "3 bytes", edns(option(ECS, b"\0\1\0")), FORMERR),
    refusal(ECS_BAD, "source 33", edns(subnet(1, 33, bytes(5))), FORMERR),
    refusal(ECS_BAD, "source 129", edns(subnet(2, 129, bytes(17))), FORMERR),
    refusal(ECS_BAD, "scope not 0", edns(subnet(1, 24, NET4, scope=24)), FORMERR),
    refusal(ECS_BAD, "scope not 0, source 0", edns(subnet(1, 0, scope=1)), FORMERR),
    refusal(ECS_BAD, "a byte too few", edns(subnet(1, 24, NET4[:2])), FORMERR),
    refusal(ECS_BAD, "a byte too many", edns(subnet(1, 24, NET4 + b"\0")), FORMERR),
    refusal(ECS_BAD, "source 0 with an address", edns(subnet(1, 0, b"\0")), FORMERR),
    refusal(ECS_BAD, "a bit past source", edns(subnet(1, 23, b"\xc6\x33\x65")), FORMERR),
    refusal(ECS_BAD, "a bit past source, IPv6", edns(subnet(2, 33, b"\x20\x01\x0d\xb8\x40")), FORMERR),
    refusal(ECS_BAD, "family 3", edns(subnet(3, 24, NET4)), FORMERR),
    refusal(ECS_BAD, "family 3, source 0", edns(subnet(3, 0)), FORMERR),
    refusal(ECS_BAD, "family 0, source 8", edns(subnet(0, 8, b"\x0a")), FORMERR),
    refusal(ECS_BAD, "family 256", edns(subnet(256, 0)), FORMERR),
    refusal(ECS_TWO, "the first is bad", edns(subnet(1, 99), SUBNET), FORMERR),
    refusal(OTHERS, "owner points forward", with_records(rr(A, b"", b"\xc0\x30"), opt()), FORMERR, opt=False),
    refusal(OTHERS, "owner points at itself", with_records(opt(), rr(A, b"", b"\xc0\x2e")), FORMERR),
    refusal(
        OTHERS,
        "owner points at bytes that run into it",
        with_records(rr(A, b"", b"\x01\0\xc0\x20"), opt()),
        FORMERR,
        opt=False,
    ),
    refusal(OTHERS, "owner points into the header", with_records(opt(), rr(A, b"", b"\xc0\x04")), FORMERR),
    refusal(
        OTHERS,
        "owner of 256 bytes by compression",
        with_records(opt(), rr(A, b"", b"\x01a\xc0\x0c"), question=asks(BYTES_254)),
        FORMERR,
        echo=asks(BYTES_254),
    ),
    refusal(OTHERS, "rdata past the end", with_records(opt(), rr(A, bytes(4)))[:-1], FORMERR),
    refusal(OTHERS, "label type 01 in an owner", with_records(opt(), rr(A, b"", b"\x41a\0")), FORMERR),
]

ROWS = QUERIES + REFUSALS
