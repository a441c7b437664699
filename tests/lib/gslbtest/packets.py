"""Queries put together byte by byte, right or wrong, without any DNS library."""

from __future__ import annotations

import struct

ID = 0x1A2B
RD = 0x0100
NAME = b"\x04PuLl\x04live\x07example\0"
"""The name asked when none is given; its root stands at offset 30, and records begin at offset 35."""

A, SOA, TXT, OPT, TSIG, IXFR = 1, 6, 16, 41, 250, 251
NSID, ECS, COOKIE, KEEPALIVE = 3, 8, 10, 11


def asks(name: bytes = NAME, qtype: int = A, qclass: int = 1) -> bytes:
    """A question."""
    return name + struct.pack("!HH", qtype, qclass)


def packet(*parts: bytes, counts: tuple[int, int, int, int] = (1, 0, 0, 0), flags: int = RD) -> bytes:
    """A header, then ``parts`` as they are."""
    return struct.pack("!HH4H", ID, flags, *counts) + b"".join(parts)


def rr(rtype: int, rdata: bytes = b"", owner: bytes = b"\0", rclass: int = 1, ttl: int = 0) -> bytes:
    """A record."""
    return owner + struct.pack("!HHIH", rtype, rclass, ttl, len(rdata)) + rdata


def opt(*options: bytes, size: int = 1400, version: int = 0, flags: int = 0, owner: bytes = b"\0") -> bytes:
    """An OPT record."""
    return rr(OPT, b"".join(options), owner, size, version << 16 | flags)


def option(code: int, data: bytes = b"") -> bytes:
    """An EDNS option."""
    return struct.pack("!HH", code, len(data)) + data


def subnet(family: int, source: int, address: bytes = b"", scope: int = 0) -> bytes:
    """An ECS option; ``address`` as it is, whatever ``source`` says."""
    return option(ECS, struct.pack("!HBB", family, source, scope) + address)


def with_records(*additional: bytes, question: bytes | None = None) -> bytes:
    """A query with records in its additional section."""
    return packet(asks() if question is None else question, *additional, counts=(1, 0, 0, len(additional)))


def edns(*options: bytes, question: bytes | None = None, size: int = 1400, version: int = 0, flags: int = 0) -> bytes:
    """A query with one OPT record that holds ``options``."""
    return with_records(opt(*options, size=size, version=version, flags=flags), question=question)
