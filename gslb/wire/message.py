"""The bytes of answers: records in the form that snapshots store, and messages put together from them.

A stored record is: owner as a pointer to offset 12 (where the question's name lies), type, class, TTL, rdata length and
uncompressed rdata. A run of records is such records end to end.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, Final

from dnslib import RD, RR, TXT
from dnslib.label import DNSBuffer, DNSLabel

from gslb.wire import codes, edns
from gslb.wire.query import Query, Refusal
from gslb.wire.sections import HEADER

QNAME_AT: Final = HEADER.size
"""Offset of the question's name."""
RDATA_AT: Final = 12
"""Offset of the rdata in a stored record."""

Records = tuple[int, bytes]
"""How many records, and the run of them."""
NONE: Final[Records] = (0, b"")
ANY_ANSWER: Final[Records] = (1, b"\xc0\x0c\0\x0d\0\x01\0\0\x0e\x10\0\x09\x07RFC8482\0")
"""HINFO "RFC8482" "", TTL 3600: what a question for ANY gets (RFC 8482 section 4.2)."""

_POINTER: Final = struct.Struct("!H")
_TTL: Final = struct.Struct("!I")
_TXT_STRING: Final = 255
_OWNER: Final = DNSLabel([b"owner"])


def rr(rtype: int, ttl_s: int, rdata: bytes, rclass: int = codes.CLASS_IN) -> bytes:
    """One stored record of any type but OPT; ``rdata`` in uncompressed wire form, at most 65535 bytes."""
    return _pack(rtype, ttl_s, rclass, RD(rdata))


def negative_soa(soa_ttl_s: int, negative_ttl_s: int, rdata: bytes) -> bytes:
    """A zone's SOA as it goes with negative answers, its TTL the least that any of the three says (RFC 2308, 3–5)."""
    minimum_s: int = _TTL.unpack(rdata[-4:])[0]
    return rr(codes.SOA, min(soa_ttl_s, negative_ttl_s, minimum_s), rdata)


def txt(lines: Iterable[str], room: int, rclass: int = codes.CLASS_CH) -> Records:
    """A TXT record with TTL 0 for each line, so that dig prints it as one; long lines go on in the next string.

    At most ``room`` bytes (from about 100 on): what does not fit is counted in a last line.
    """
    packed = [_txt_record(line, rclass) for line in lines]
    sizes = [len(record) for record in packed]
    total = sum(sizes)
    if total <= room:
        return len(packed), b"".join(packed)
    kept = len(packed)
    note = b""
    while kept and total + len(note) > room:
        kept -= 1
        total -= sizes[kept]
        note = _txt_record(f"... and {len(packed) - kept} more lines", rclass)
    return kept + 1, b"".join(packed[:kept]) + note


def pointer(offset: int) -> bytes:
    """An owner that stands at ``offset`` of the message, below 16384 (RFC 1035 section 4.1.4)."""
    return _POINTER.pack(0xC000 + offset)


def pointer_to_suffix(name_length: int, suffix_length: int, at: int = QNAME_AT) -> bytes:
    """An owner that is the last ``suffix_length`` bytes of the name of ``name_length`` bytes that stands at ``at``."""
    return _POINTER.pack(0xC000 + at + name_length - suffix_length)


def repoint(run: bytes | memoryview, owner: bytes, ttl_s: int | None = None) -> bytes:
    """A run of stored records with another owner (a `pointer`, or a whole wire name) and, if given, another TTL."""
    ttl = None if ttl_s is None else _TTL.pack(ttl_s)
    pieces: list[bytes | memoryview] = []
    at = 0
    while at < len(run):
        end = at + RDATA_AT + (run[at + 10] << 8 | run[at + 11])
        pieces.append(owner)
        if ttl is None:
            pieces.append(run[at + 2 : end])
        else:
            pieces += (run[at + 2 : at + 6], ttl, run[at + 10 : end])
        at = end
    return b"".join(pieces)


def overhead(query: Query, options: bytes) -> int:
    """Bytes of the answer besides the records of its sections: header, question, and OPT with whole ``options``."""
    return HEADER.size + len(query.question) + (len(edns.opt(False, 0, options)) if query.opt else 0)


def assemble(
    query: Query,
    rcode: int,
    limit: int,
    *,
    aa: bool = True,
    answer: Records = NONE,
    authority: Records = NONE,
    additional: Records = NONE,
    options: bytes = b"",
) -> bytes:
    """The whole answer to a query, at most ``limit`` bytes: `Query.limit` over UDP, 65535 over TCP.

    What does not fit is not cut: TC is set and the sections are empty, OPT and its ``options`` kept. OPT and
    ``options`` go out only to a query that had OPT; an ``rcode`` above 15 needs one.
    """
    flags = codes.QR | query.flags & (codes.OPCODE | codes.RD) | rcode & 15
    if aa:
        flags |= codes.AA
    opt = edns.opt(query.do, rcode, options) if query.opt else b""
    question = query.question
    records = answer[1] + authority[1] + additional[1]
    counts = answer[0], authority[0], additional[0] + query.opt
    if HEADER.size + len(question) + len(records) + len(opt) > limit:
        flags |= codes.TC
        records = b""
        counts = 0, 0, int(query.opt)
    return HEADER.pack(query.id, flags, 1 if question else 0, *counts) + question + records + opt


def refuse(refusal: Refusal, options: bytes = b"") -> bytes:
    """The whole reply to a packet that is no query; ``options`` go out only with an OPT."""
    opt = edns.opt(refusal.do, refusal.rcode, options) if refusal.opt else b""
    flags = codes.QR | refusal.flags & (codes.OPCODE | codes.RD) | refusal.rcode & 15
    question = refusal.question
    return HEADER.pack(refusal.id, flags, 1 if question else 0, 0, 0, int(refusal.opt)) + question + opt


def _txt_record(line: str, rclass: int) -> bytes:
    data = line.encode()
    strings = [data[at : at + _TXT_STRING] for at in range(0, len(data), _TXT_STRING)] or [b""]
    return _pack(codes.TXT, 0, rclass, TXT(strings))


def _pack(rtype: int, ttl_s: int, rclass: int, rdata: Any) -> bytes:
    """One record by dnslib, whose memory of names is told that the owner stood at offset 12 already."""
    buffer = DNSBuffer()
    buffer.names[_OWNER.label] = QNAME_AT
    RR(_OWNER, rtype, rclass, ttl_s, rdata).pack(buffer)
    return bytes(buffer.data)
