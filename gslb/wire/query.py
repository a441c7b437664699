"""The parser for every query: strict, without I/O, and never raising.

The checks come in a fixed order, and the first that fails decides: too short or a response (no reply at all); opcode;
number of questions; question; records, OPT and option syntax; EDNS version; contents of COOKIE and ECS. What is left to
the engine is class, zone, and TSIG.

The syntax of every option is checked, but contents only of the first COOKIE and the first ECS: the others don't count.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from gslb.wire import codes
from gslb.wire.sections import FIXED, HEADER, MalformedError, Record, name_end, question_end, records

UDP_MIN: Final = 512
"""What every client takes (RFC 1035 section 2.3.4); smaller announcements count as this (RFC 6891 section 6.2.3)."""
UDP_MAX: Final = 1232
"""What we send at most, and announce: fits the smallest IPv6 MTU."""

_OPT_START: Final = b"\0\0\x29"  # owner: the root; type: OPT
_DO: Final = 0x8000
_TYPE_CLASS: Final = struct.Struct("!HH")
_OPTION: Final = struct.Struct("!HH")
_OPT: Final = struct.Struct("!2xHxBHH")  # payload size, version, flags, rdata length
_ECS: Final = struct.Struct("!4xHBB")  # family, source, scope


class Ecs(NamedTuple):
    """A valid client subnet (RFC 7871 section 6).

    ``family`` is 1 (IPv4), 2 (IPv6) or, with source 0 only, 0; ``source`` the prefix length; ``address`` its bytes,
    padded with zeros to 4 or 16 (none for family 0); ``option`` the whole option as sent, code and length included.
    """

    family: int
    source: int
    address: bytes
    option: bytes


class Query(NamedTuple):
    """A well-formed query of opcode QUERY and, where it has an OPT record, of EDNS version 0."""

    id: int
    flags: int
    """The header's second word, as sent."""
    qname: bytes
    """As asked, its letter case kept: uncompressed wire form."""
    lower: bytes
    """The same in lower case, for looking up."""
    qtype: int
    qclass: int
    question: bytes
    """The question section, to be echoed."""
    opt: bool
    """Whether it has an OPT record, and so the answer has one."""
    limit: int
    """Bytes that the answer over UDP may have: 512 without OPT, else the announced size within 512–1232."""
    do: bool
    client_cookie: bytes
    """8 bytes, or empty when there is no COOKIE."""
    server_cookie: bytes
    """8 to 32 bytes, not verified, or empty."""
    nsid: bool
    """Whether it asks for the server's id."""
    keepalive: bool
    """Whether it offers edns-tcp-keepalive; means nothing over UDP."""
    ecs: Ecs | None
    tsig: bool
    """Whether it is signed."""


class Refusal(NamedTuple):
    """The reply due to a packet that is no query we can read: header, question if readable, OPT if one was found.

    It has no records, no ECS and no AA.
    """

    rcode: int
    """FORMERR, NOTIMP or BADVERS; NOERROR for a query for a cookie alone (RFC 7873 section 5.4)."""
    id: int
    flags: int
    """The header's second word, as sent: opcode and RD go back."""
    question: bytes
    """The question section to echo, or empty."""
    opt: bool
    do: bool
    query: Query | None
    """With NOERROR: the options to answer to; its question is empty, its types 0."""


def parse(packet: bytes) -> Query | Refusal | None:
    """What a packet asks, the refusal it gets, or None when it gets nothing."""
    if len(packet) < HEADER.size:
        return None
    ident, flags, qdcount, ancount, nscount, arcount = HEADER.unpack_from(packet)
    if flags & codes.QR:
        return None
    if flags & codes.OPCODE:
        return refusal(packet, codes.NOTIMP)
    try:
        if qdcount == 1:
            at = question_end(packet, HEADER.size)
            question = packet[HEADER.size : at]
            qname = question[:-4]
            qtype, qclass = _TYPE_CLASS.unpack_from(packet, at - 4)
        elif qdcount == 0:
            at, question, qname, qtype, qclass = HEADER.size, b"", b"", 0, 0
        else:
            raise MalformedError
        if ancount:
            raise MalformedError

        opt_at, tsig = _records(packet, at, qtype, nscount, arcount)
        if opt_at:
            size, version, extended, length = _OPT.unpack_from(packet, opt_at)
            cookie, ecs_option, nsid, keepalive = _options(packet, opt_at + FIXED.size, length)
        else:
            size = version = extended = 0
            cookie = ecs_option = None
            nsid = keepalive = False
        if qdcount == 0 and cookie is None:
            raise MalformedError
        if version:
            return refusal(packet, codes.BADVERS)

        if cookie is None:
            cookie = b""
        elif len(cookie) != 8 and not 16 <= len(cookie) <= 40:
            raise MalformedError
        ecs = None if ecs_option is None else _ecs(ecs_option)
    except MalformedError:
        return refusal(packet, codes.FORMERR)
    query = Query(
        ident,
        flags,
        qname,
        qname.lower(),
        qtype,
        qclass,
        question,
        opt_at != 0,
        max(UDP_MIN, min(size, UDP_MAX)),
        extended & _DO != 0,
        cookie[:8],
        cookie[8:],
        nsid,
        keepalive,
        ecs,
        tsig,
    )
    return query if qdcount else Refusal(codes.NOERROR, ident, flags, b"", True, query.do, query)


def refusal(packet: bytes, rcode: int) -> Refusal:
    """The reply with ``rcode`` to a packet of 12 bytes or more, with as much of it as can be read.

    The question is echoed when there is exactly one. OPT goes back wherever one is found, even a broken one: without
    it a client may conclude that we speak no EDNS (RFC 6891 section 7).
    """
    ident, flags, qdcount, ancount, nscount, arcount = HEADER.unpack_from(packet)
    question = b""
    opt = do = False
    at = HEADER.size
    try:
        for _ in range(qdcount):
            at = question_end(packet, at)
        if qdcount == 1:
            question = packet[HEADER.size : at]
        for record in records(packet, at, ancount + nscount + arcount):
            if record.rtype == codes.OPT:
                opt, do = True, packet[record.fixed + 6] & 0x80 != 0
                break
    except MalformedError:
        pass
    return Refusal(rcode, ident, flags, question, opt, do, None)


def _records(packet: bytes, at: int, qtype: int, nscount: int, arcount: int) -> tuple[int, bool]:
    """The offset of the fixed part of the OPT record (0: none), and whether there is a TSIG record.

    The only record outside the additional section may be the SOA of IXFR (RFC 1995 section 3). OPT is one at most, and
    its owner is the root itself, no pointer to it (RFC 6891 section 6.1.1); other records are skipped.
    """
    if (
        arcount == 1
        and nscount == 0
        and packet.startswith(_OPT_START, at)
        and at + 11 <= len(packet)
        and at + 11 + _OPT.unpack_from(packet, at + 1)[3] == len(packet)
    ):
        return at + 1, False  # nearly every query: the walk below would find the same
    if nscount and (nscount > 1 or qtype != codes.IXFR):
        raise MalformedError
    opt_at = 0
    tsig = False
    for number, record in enumerate(records(packet, at, nscount + arcount)):
        if number < nscount:
            _check_soa(packet, record)
        elif record.rtype == codes.OPT:
            if opt_at or packet[record.owner]:
                raise MalformedError
            opt_at = record.fixed
        elif record.rtype == codes.TSIG:
            tsig = True
    return opt_at, tsig


def _check_soa(packet: bytes, record: Record) -> None:
    """`MalformedError` unless the record is SOA and its rdata two names and five numbers."""
    start = record.fixed + FIXED.size
    end = start + FIXED.unpack_from(packet, record.fixed)[3]
    if record.rtype != codes.SOA or name_end(packet, name_end(packet, start, {}), {}) + 20 != end:
        raise MalformedError


def _options(packet: bytes, at: int, length: int) -> tuple[bytes | None, bytes | None, bool, bool]:
    """The data of the first COOKIE, the whole first ECS option, and whether NSID and keepalive are there."""
    cookie = ecs = None
    nsid = keepalive = False
    end = at + length
    while at < end:
        if at + 4 > end:
            raise MalformedError
        code, length = _OPTION.unpack_from(packet, at)
        stop = at + 4 + length
        if stop > end:
            raise MalformedError
        if code == codes.OPTION_ECS:
            ecs = ecs or packet[at:stop]
        elif code == codes.OPTION_COOKIE:
            cookie = packet[at + 4 : stop] if cookie is None else cookie
        elif code == codes.OPTION_NSID:
            nsid = True
        elif code == codes.OPTION_KEEPALIVE:
            keepalive = True
        at = stop
    return cookie, ecs, nsid, keepalive


def _ecs(option: bytes) -> Ecs:
    """The client subnet in a whole option; `MalformedError` unless exactly as RFC 7871 section 6 has it."""
    if len(option) < 8:
        raise MalformedError
    family, source, scope = _ECS.unpack_from(option)
    sent = option[8:]
    if scope or len(sent) != (source + 7) >> 3:
        raise MalformedError
    if family == codes.FAMILY_V4 and source <= 32:
        address = sent.ljust(4, b"\0")
    elif family == codes.FAMILY_V6 and source <= 128:
        address = sent.ljust(16, b"\0")
    elif family == codes.FAMILY_NONE and not source:
        address = b""
    else:
        raise MalformedError
    if source & 7 and sent[-1] & 0xFF >> (source & 7):  # a bit set past the prefix
        raise MalformedError
    return Ecs(family, source, address, option)
