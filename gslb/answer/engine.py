"""The reference: a query's bytes in, the reply's bytes out. Pure: time, the draw and the source address are arguments.

The order of a reply's EDNS options is Client Subnet, COOKIE, NSID, Extended DNS Error, TCP keepalive. Owners are
pointers into the question or into the CNAME that led to them; names inside records are not compressed.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Final

from gslb.answer import service as steered
from gslb.answer.explain import explain
from gslb.answer.lookup import CUT, HIT, MAX_LINKS, OUTSIDE, WILDCARD, find_name, rrset_of
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.layout import NAME_CNAME, NONE32
from gslb.snapshot.rows import NameRow
from gslb.snapshot.steering import Steering
from gslb.wire import codes, edns, message
from gslb.wire.query import Query, Refusal, parse

_STORED4, _STORED6 = 16, 28  # bytes of a stored A and AAAA record
_TCP_LIMIT: Final = 65535
_DEBUG_ROOM: Final = 1024  # for the rest of the message around an explanation
_REFUSALS = {
    codes.NOERROR: "cookie",
    codes.FORMERR: "formerr",
    codes.NOTIMP: "notimp",
    codes.BADVERS: "badvers",
}
_SELF = {
    b"\x02id\x06server\0": "server_id",
    b"\x08hostname\x04bind\0": "server_id",
    b"\x07version\x04bind\0": "version",
    b"\x07version\x06server\0": "version",
}


@dataclass(frozen=True, slots=True)
class Identity:
    """What a server says of itself and whom it explains itself to.

    ``cookie_secrets`` are 16 bytes each, the current one first. ``keepalive_ds`` is in tenths of a second (RFC 7828).
    """

    server_id: bytes = b"gslb"
    version: bytes = b"gslb"
    cookie_secrets: tuple[bytes, ...] = (bytes(16),)
    debug_acl: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = (
        ipaddress.IPv4Network("127.0.0.0/8"),
        ipaddress.IPv6Network("::1/128"),
    )
    keepalive_ds: int = 100


@dataclass(slots=True)
class Trace:
    """What became of a query, for counters and the query log: filled in by `Engine.reply`, fresh for each query.

    ``qname`` is the lower-case wire name; ``service`` and ``edge`` are rows, and where there is a service ``client``
    is whom it was steered for; ``level`` is that of the edge named first.
    """

    qtype: int = 0
    rcode: int = 0
    outcome: str = "dropped"
    service: int = NONE32
    edge: int = NONE32
    fail_open: bool = False
    cookie_ok: bool = False
    qname: bytes = b""
    client: steered.Located | None = None
    ttl_s: int = 0
    level: int = 0


@dataclass(slots=True)
class _Reply:
    """A reply in the making; ``glue`` are records that may be left out."""

    rcode: int = codes.NOERROR
    aa: bool = True
    scope: int = 0
    answer: bytearray = field(default_factory=bytearray)
    answers: int = 0
    authority: message.Records = message.NONE
    glue: list[message.Records] = field(default_factory=list)
    ede: tuple[int, str] | None = None

    def add(self, count: int, records: bytes) -> None:
        """Append records to the answer section."""
        self.answers += count
        self.answer += records


class Engine:
    """Answers from one pair of snapshots for one server identity."""

    __slots__ = ("catalog", "identity", "steering")

    def __init__(self, catalog: Catalog, steering: Steering, identity: Identity) -> None:
        self.catalog = catalog
        self.steering = steering
        self.identity = identity

    def reply(self, packet: bytes, source: bytes, *, now_s: int, draw: int, tcp: bool, trace: Trace) -> bytes | None:
        """The reply to ``packet`` from the packed address ``source``, or None when there is none to give.

        ``now_s`` is Unix time, ``draw`` a random u64. ``trace`` is filled in. Never raises for any packet.
        """
        query = parse(packet)
        if query is None:
            return None
        if isinstance(query, Refusal):
            return self._refuse(query, source, now_s, trace)
        trace.qtype = query.qtype
        trace.qname = query.lower
        reply = _Reply()
        if query.tsig:
            _refused(reply, codes.NOTAUTH, "notauth", trace)
        elif query.qtype in (codes.AXFR, codes.IXFR):
            _refused(reply, codes.REFUSED, "refused", trace)
        elif query.qclass == codes.CLASS_IN:
            self._answer(query, source, draw, reply, trace)
        elif query.qclass == codes.CLASS_CH:
            self._debug(query, source, reply, trace)
        else:
            _refused(reply, codes.REFUSED, "refused", trace)
        return self._finish(query, reply, source, now_s, tcp, trace)

    def _answer(self, query: Query, source: bytes, draw: int, reply: _Reply, trace: Trace) -> None:
        """Follow the name, and the CNAMEs it leads to, to an answer (RFC 1034 section 4.3.2)."""
        catalog = self.catalog
        name, owner = query.lower, message.QNAME_AT
        answer_at = message.QNAME_AT + len(query.question)
        for link in range(MAX_LINKS + 1):
            found, row = find_name(catalog, name, query.qtype)
            if found == OUTSIDE:
                if not link:
                    reply.ede = (codes.EDE_NOT_AUTHORITATIVE, "")
                    _refused(reply, codes.REFUSED, "refused", trace)
                return
            entry = catalog.names[row]
            if found == CUT:
                if not link:
                    self._refer(name, entry, reply, trace)
                return
            if found not in (HIT, WILDCARD):
                reply.rcode = codes.NXDOMAIN
                trace.outcome = "nxdomain"
                self._negative(reply, entry, owner, len(name))
                return
            if entry.service != NONE32 and query.qtype in (codes.A, codes.AAAA):
                self._serve(query, name, owner, entry, source, draw, reply, trace)
                return
            if query.qtype == codes.ANY and (entry.rrset_count or entry.service != NONE32):
                count, records = message.ANY_ANSWER
                reply.add(count, message.repoint(records, message.pointer(owner)))
                trace.outcome = "static"
                return
            rrset = rrset_of(catalog, row, query.qtype)
            alias = rrset is None and entry.flags & NAME_CNAME
            if alias:
                rrset = rrset_of(catalog, row, codes.CNAME)
            if rrset is None:
                trace.outcome = "nodata"
                self._negative(reply, entry, owner, len(name))
                return
            trace.outcome = "static"
            if alias and link == MAX_LINKS:
                return
            at = len(reply.answer)
            reply.add(rrset.records, message.repoint(self._stored(rrset.blob, rrset.length), message.pointer(owner)))
            if not alias:
                return
            name = bytes(reply.answer[at + message.RDATA_AT :]).lower()
            owner = answer_at + at + message.RDATA_AT

    def _serve(
        self,
        query: Query,
        name: bytes,
        owner: int,
        entry: NameRow,
        source: bytes,
        draw: int,
        reply: _Reply,
        trace: Trace,
    ) -> None:
        """A steered answer: the addresses of the edges drawn, else the fallback, else NODATA that heals soon."""
        catalog = self.catalog
        service = catalog.services[entry.service]
        is_v6 = query.qtype == codes.AAAA
        client = steered.locate(catalog, service, name, query.ecs, source, draw)
        choice = steered.choose(catalog, self.steering, entry.service, name, client.cls, client.seed, is_v6)
        reply.scope = client.scope
        trace.outcome = "service"
        trace.service = entry.service
        trace.client, trace.ttl_s = client, choice.ttl_s
        if choice.fail_open:
            trace.fail_open = True
            reply.ede = (codes.EDE_OTHER, "failing open")
        if choice.edges:
            trace.edge, trace.level = choice.edges[0], choice.level
            rows = [catalog.edges[row] for row in choice.edges]
            held = [(row.rr6, row.rr6_count) if is_v6 else (row.rr4, row.rr4_count) for row in rows]
        else:
            trace.outcome = "fallback"
            held = [
                (service.fallback6, service.fallback6_count) if is_v6 else (service.fallback4, service.fallback4_count)
            ]
        count, records = self._addresses(held, service.max_records, _STORED6 if is_v6 else _STORED4)
        if count:
            reply.add(count, message.repoint(records, message.pointer(owner), choice.ttl_s))
            return
        trace.outcome = "no_edge"
        zone = catalog.zones[entry.zone]
        self._authority(reply, zone.brief, zone.negative_length, entry, owner, len(name))

    def _addresses(self, held: list[tuple[int, int]], most: int, size: int) -> message.Records:
        """Up to ``most`` of the stored records, ``size`` bytes each, at each of some places (where, how many).

        Edges may share an address, and a record stands in a set once (RFC 2181 section 5).
        """
        if len(held) == 1:
            at, count = held[0]
            count = min(count, most)
            return count, self._stored(at, count * size)
        distinct: dict[bytes, None] = {}
        for at, count in held:
            for number in range(min(count, most)):
                distinct[self._stored(at + number * size, size)] = None
        return len(distinct), b"".join(distinct)

    def _negative(self, reply: _Reply, entry: NameRow, owner: int, length: int) -> None:
        """The SOA that goes with NXDOMAIN and NODATA (RFC 2308 section 3)."""
        zone = self.catalog.zones[entry.zone]
        self._authority(reply, zone.negative, zone.negative_length, entry, owner, length)

    def _authority(self, reply: _Reply, blob: int, size: int, entry: NameRow, owner: int, length: int) -> None:
        """One stored SOA; its owner is the end of the name of ``length`` bytes that stands at ``owner``."""
        apex = self.catalog.names[self.catalog.zones[entry.zone].apex]
        soa_owner = message.pointer_to_suffix(length, apex.length, owner)
        reply.authority = (1, message.repoint(self._stored(blob, size), soa_owner))

    def _refer(self, name: bytes, entry: NameRow, reply: _Reply, trace: Trace) -> None:
        """A delegation with its glue (RFC 1034 section 4.2.1)."""
        catalog = self.catalog
        for row in range(entry.rrset, entry.rrset + entry.rrset_count):
            rrset = catalog.rrsets[row]
            if rrset.rtype == codes.NS:
                cut = message.pointer_to_suffix(len(name), entry.length)
                reply.authority = (rrset.records, message.repoint(self._stored(rrset.blob, rrset.length), cut))
                for glue in catalog.glue[rrset.glue : rrset.glue + rrset.glue_count]:
                    target = catalog.name_bytes(glue.name, glue.name_length)
                    reply.glue.append((glue.records, message.repoint(self._stored(glue.blob, glue.length), target)))
        reply.aa = False
        trace.outcome = "referral"

    def _debug(self, query: Query, source: bytes, reply: _Reply, trace: Trace) -> None:
        """Class CH: who we are, and to those whom it concerns, why a name is answered as it is."""
        trace.outcome = "debug"
        own = _SELF.get(query.lower)
        if query.qtype not in (codes.TXT, codes.ANY):
            _refused(reply, codes.REFUSED, "refused", trace)
        elif own is not None:
            text: bytes = getattr(self.identity, own)
            reply.add(*message.txt([text.decode("utf-8", "replace")], _TCP_LIMIT))
        elif self._may_debug(source) and find_name(self.catalog, query.lower, codes.TXT)[0] != OUTSIDE:
            told = explain(self.catalog, self.steering, query.lower, query.ecs, source)
            reply.add(*message.txt(told.lines(), _TCP_LIMIT - _DEBUG_ROOM))
        else:
            _refused(reply, codes.REFUSED, "refused", trace)

    def _may_debug(self, source: bytes) -> bool:
        address = ipaddress.ip_address(source)
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self.identity.debug_acl)

    def _stored(self, at: int, size: int) -> bytes:
        return bytes(self.catalog.blob[at : at + size])

    def _refuse(self, refusal: Refusal, source: bytes, now_s: int, trace: Trace) -> bytes:
        trace.rcode = refusal.rcode
        trace.outcome = _REFUSALS[refusal.rcode]
        if refusal.query is None:
            return message.refuse(refusal)
        return message.refuse(refusal, self._options(refusal.query, _Reply(), source, now_s, False, trace))

    def _options(self, query: Query, reply: _Reply, source: bytes, now_s: int, tcp: bool, trace: Trace) -> bytes:
        """The EDNS options of a reply, in their order."""
        identity = self.identity
        options = b"" if query.ecs is None else edns.ecs_option(query.ecs.option, reply.scope)
        if query.client_cookie:
            trace.cookie_ok, cookie = edns.answer_cookie(
                query.client_cookie, query.server_cookie, source, identity.cookie_secrets, now_s
            )
            options += cookie
        if query.nsid:
            options += edns.nsid_option(identity.server_id)
        if reply.ede is not None:
            options += edns.ede_option(*reply.ede)
        if tcp and query.keepalive:
            options += edns.keepalive_option(identity.keepalive_ds)
        return options

    def _finish(self, query: Query, reply: _Reply, source: bytes, now_s: int, tcp: bool, trace: Trace) -> bytes:
        """Add what EDNS asks for, and glue as far as it fits."""
        options = self._options(query, reply, source, now_s, tcp, trace) if query.opt else b""
        limit = _TCP_LIMIT if tcp else query.limit
        additional = self._glue_that_fits(query, reply, options, limit) if reply.glue else message.NONE
        trace.rcode = reply.rcode
        return message.assemble(
            query,
            reply.rcode,
            limit,
            aa=reply.aa,
            answer=(reply.answers, bytes(reply.answer)),
            authority=reply.authority,
            additional=additional,
            options=options,
        )

    def _glue_that_fits(self, query: Query, reply: _Reply, options: bytes, limit: int) -> message.Records:
        """Glue until the message is full; a referral without any of the glue it has is truncated (RFC 9471)."""
        room = limit - message.overhead(query, options) - len(reply.authority[1])
        count, run = 0, b""
        for more, records in reply.glue:
            if len(run) + len(records) <= room or not run:
                run += records
                count += more
        return count, run


def _refused(reply: _Reply, rcode: int, outcome: str, trace: Trace) -> None:
    """An error without records; it is no authority's word."""
    reply.rcode = rcode
    reply.aa = False
    trace.outcome = outcome
