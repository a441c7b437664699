"""Walking a message's sections with every length checked; for what the parser of queries does not take on the fly."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

HEADER: Final = struct.Struct("!HHHHHH")
FIXED: Final = struct.Struct("!HHIH")
"""What follows a record's owner: type, class, TTL, rdata length."""

_MAX_NAME: Final = 255


class MalformedError(ValueError):
    """The bytes are not a DNS message."""


class Record(NamedTuple):
    """Where one record lies: the offset of its owner, and of its type, with which its fixed part begins."""

    rtype: int
    owner: int
    fixed: int


def question_end(packet: bytes, at: int) -> int:
    """The offset behind the question at ``at``: name, type and class.

    Raises `MalformedError` where it is cut short, or the name is compressed, over 255 bytes or otherwise broken.
    """
    start = at
    try:
        while length := packet[at]:
            if length > 63:  # a pointer, or one of the label types that never were (RFC 6891 section 5)
                raise MalformedError
            at += length + 1
    except IndexError:
        raise MalformedError from None
    at += 5
    if at - start > _MAX_NAME + 4 or at > len(packet):
        raise MalformedError
    return at


def records(packet: bytes, at: int, count: int) -> Iterator[Record]:
    """The ``count`` records from ``at``, which must be the rest of the message.

    Raises `MalformedError` as soon as one does not fit, and at the end if bytes are left. A record is yielded before
    its rdata is known to fit, so that a broken OPT is seen too: only a walk that ends vouches for all.
    """
    lengths: dict[int, int] = {}
    for _ in range(count):
        owner, at = at, name_end(packet, at, lengths)
        if at + FIXED.size > len(packet):
            raise MalformedError
        rtype, _, _, length = FIXED.unpack_from(packet, at)
        yield Record(rtype, owner, at)
        at += FIXED.size + length
    if at != len(packet):
        raise MalformedError


def name_end(packet: bytes, at: int, lengths: dict[int, int]) -> int:
    """The offset behind the name at ``at``, which may be compressed (RFC 1035 section 4.1.4).

    Pointers must lead backwards, each before the last, to bytes that lie between the header and this name; the whole
    name may have 255 bytes. Raises `MalformedError` otherwise.

    ``lengths`` remembers, for one message, the length of the name from each place that was met, so that names that
    share their ends, however many, cost no more than the message has bytes.
    """
    met = []
    end = 0  # known once a pointer was met
    start = lowest = at
    try:
        while at not in lengths:
            if end and at >= start:
                raise MalformedError
            met.append(at)
            octet = packet[at]
            if octet >= 192:
                end = end or at + 2
                at = (octet & 63) << 8 | packet[at + 1]
                if not HEADER.size <= at < lowest:
                    raise MalformedError
                lowest = at
            elif octet >= 64:
                raise MalformedError
            elif octet:
                at += octet + 1
            else:
                end = end or at + 1
                lengths[at] = 1
    except IndexError:
        raise MalformedError from None
    length = lengths[at]
    for place in reversed(met):
        octet = packet[place]
        if 0 < octet < 64:
            length += octet + 1
        lengths[place] = length
    if length > _MAX_NAME:
        raise MalformedError
    return end
