"""Addresses that name nobody, and IPv6 addresses that carry an IPv4 one.

The scalar functions run once per query: plain integers and bytes, no objects. An IPv6 address is 16 packed bytes or
its upper and lower 64 bits; the tables know the upper half alone.
"""

from __future__ import annotations

from typing import Final, NamedTuple

PRIVATE: Final = 0xFFFFFFFF
"""Value of a block whose addresses name nobody; the snapshot's CLASS_PRIVATE."""
TAIL: Final = 0xFFFFFFFE
"""Value of a /64 that holds blocks longer than /64; the snapshot's CLASS_TAIL. `tail_length` tells them apart."""


class Block(NamedTuple):
    """A block to lay over a table: its first address, its length, and its value; None only bars joins across it."""

    start: int
    length: int
    value: int | None


_PRIVATE4 = (
    (0x0A000000, 8),  # 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16: RFC 1918
    (0x64400000, 10),  # 100.64.0.0/10: RFC 6598
    (0x7F000000, 8),  # 127.0.0.0/8: RFC 1122
    (0xA9FE0000, 16),  # 169.254.0.0/16: RFC 3927
    (0xAC100000, 12),
    (0xC0A80000, 16),
)
_PRIVATE4_BY_OCTET = {start >> 24: (start >> (32 - length), length) for start, length in _PRIVATE4}
_BLOCKS4 = tuple(Block(start, length, PRIVATE) for start, length in _PRIVATE4)

_NAT64_HI = 0x0064FF9B_00000000  # 64:ff9b::/64, whose first /96 is RFC 6052's
_BLOCKS6 = (
    Block(0, 64, TAIL),  # ::1 (RFC 4291) and ::ffff:0:0/96 (RFC 4291 section 2.5.5.2)
    Block(_NAT64_HI, 64, TAIL),
    Block(0x20010000_00000000, 32, None),  # Teredo: RFC 4380
    Block(0x20020000_00000000, 16, None),  # 6to4: RFC 3056
    Block(0xFC00_0000_00000000, 7, PRIVATE),  # RFC 4193
    Block(0xFE80_0000_00000000, 10, PRIVATE),  # RFC 4291 section 2.5.6
)


def blocks(bits: int) -> tuple[Block, ...]:
    """The blocks carved out of every row, ascending and disjoint; ``bits`` is 32 (IPv4) or 64 (upper half of IPv6)."""
    return _BLOCKS4 if bits == 32 else _BLOCKS6


def may_embed(hi: int) -> bool:
    """Whether an IPv6 address with these upper 64 bits can carry an IPv4 address or be ::1."""
    return hi == 0 or hi >> 48 == 0x2002 or hi >> 32 == 0x20010000 or hi == _NAT64_HI


def embedded(packed: bytes) -> tuple[int, int] | None:
    """The IPv4 address inside a packed IPv6 address and the offset of its first bit, or None.

    Known are IPv4-mapped ::ffff:0:0/96 (RFC 4291), 6to4 2002::/16 (RFC 3056), NAT64 64:ff9b::/96 (RFC 6052) and
    Teredo 2001::/32, whose client stands inverted in the last 32 bits (RFC 4380 section 4). A prefix covers the
    IPv4 address, at least in part, when it is longer than the offset.
    """
    if packed.startswith(b"\x20\x02"):
        return int.from_bytes(packed[2:6]), 16
    if packed.startswith(b"\x20\x01\0\0"):
        return int.from_bytes(packed[12:]) ^ 0xFFFFFFFF, 96
    if packed.startswith((b"\0\0\0\0\0\0\0\0\0\0\xff\xff", b"\0\x64\xff\x9b\0\0\0\0\0\0\0\0")):
        return int.from_bytes(packed[12:]), 96
    return None


def is_loopback(packed: bytes) -> bool:
    """Whether a packed IPv6 address is ::1."""
    return packed == b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"


def private_length(packed: bytes, source: int) -> int:
    """The length of the private block that the prefix ``packed``/``source`` lies in, or 0 where it lies in none.

    ``packed`` is 4 or 16 bytes. The blocks are 10/8, 172.16/12, 192.168/16, 100.64/10, 127/8, 169.254/16, ::1/128,
    fc00::/7 and fe80::/10, the IPv4 ones in their embedded forms too; a length counts on the address as given.
    """
    if len(packed) == 4:
        length = _private4(int.from_bytes(packed))
        return length if length <= source else 0
    inner = embedded(packed)
    if inner is not None:
        address, offset = inner
        length = _private4(address)
        return offset + length if length and offset + length <= source else 0
    if packed[0] & 0xFE == 0xFC:
        return 7 if source >= 7 else 0
    if packed[0] == 0xFE and packed[1] & 0xC0 == 0x80:
        return 10 if source >= 10 else 0
    return 128 if source == 128 and is_loopback(packed) else 0


def tail_length(hi: int, lo: int) -> int:
    """The length, 65 to 128, of the largest block around an address of ::/64 or 64:ff9b::/64 that is all of one kind.

    The kinds are ::1, ::ffff:0:0/96 and the rest of ::/64; 64:ff9b::/96 and the rest of 64:ff9b::/64. ``hi`` and
    ``lo`` are the address's halves. Outside a block, the piece begins one bit past the longest prefix shared with one.
    """
    if hi == _NAT64_HI:
        return min(96, _shared_length(lo, 0) + 1)
    if lo == 1:
        return 128
    mapped = min(96, _shared_length(lo, 0xFFFF_00000000) + 1)
    return mapped if lo >> 32 == 0xFFFF else max(mapped, _shared_length(lo, 1) + 1)


def _shared_length(lo: int, other: int) -> int:
    """How many leading bits of two addresses are equal, given that their upper halves are."""
    return 128 - (lo ^ other).bit_length()


def _private4(address: int) -> int:
    found = _PRIVATE4_BY_OCTET.get(address >> 24)
    return found[1] if found is not None and address >> (32 - found[1]) == found[0] else 0
