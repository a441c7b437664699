"""Private blocks and embedded IPv4, as wire.md and design.md section 3.5 list them."""

from __future__ import annotations

import ipaddress
import itertools
import random

import pytest

from gslb.geo import special
from gslb.snapshot import layout


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


@pytest.mark.parametrize(
    ("address", "source", "length"),
    [
        ("10.0.0.0", 8, 8),
        ("10.255.255.255", 32, 8),
        ("10.0.0.0", 7, 0),  # reaches beyond the block
        ("9.255.255.255", 32, 0),
        ("11.0.0.0", 32, 0),
        ("172.16.0.0", 12, 12),
        ("172.31.255.0", 24, 12),
        ("172.15.255.0", 24, 0),
        ("172.32.0.0", 24, 0),
        ("172.16.0.0", 11, 0),
        ("192.168.0.0", 16, 16),
        ("192.167.0.0", 16, 0),
        ("192.169.0.0", 16, 0),
        ("100.64.0.0", 10, 10),
        ("100.127.255.255", 32, 10),
        ("100.63.255.0", 24, 0),
        ("100.128.0.0", 24, 0),
        ("127.0.0.1", 32, 8),
        ("169.254.9.0", 24, 16),
        ("169.253.9.0", 24, 0),
        ("0.0.0.0", 0, 0),
        ("192.0.2.0", 24, 0),  # documentation prefixes are ordinary
        ("198.51.100.0", 24, 0),
        ("203.0.113.0", 24, 0),
        ("198.18.0.0", 15, 0),
        ("224.0.0.1", 32, 0),
        ("::1", 128, 128),
        ("::1", 127, 0),
        ("::", 128, 0),
        ("fc00::", 7, 7),
        ("fdff:ffff::", 48, 7),
        ("fc00::", 6, 0),
        ("fe80::", 10, 10),
        ("febf:ffff::1", 128, 10),
        ("fe80::", 9, 0),
        ("fec0::", 16, 0),
        ("fe7f::", 16, 0),
        ("2001:db8::", 32, 0),
        ("::ffff:10.1.2.3", 128, 104),
        ("::ffff:10.0.0.0", 104, 104),
        ("::ffff:10.0.0.0", 103, 0),
        ("::ffff:192.0.2.1", 128, 0),
        ("::10.1.2.3", 128, 0),  # the IPv4-compatible form is no embedded form here
        ("2002:a00::", 24, 24),
        ("2002:a01:203::", 48, 24),
        ("2002:a00::", 23, 0),
        ("2002:c0a8:1::", 64, 32),
        ("64:ff9b::192.168.1.1", 128, 112),
        ("64:ff9b::8.8.8.8", 128, 0),
        ("2001::f5ff:ffff", 128, 104),  # Teredo: the client is inverted; f5 stands for 10
        ("2001:0:4136:e378:8000:63bf:3f57:fefd", 128, 112),  # 192.168.1.2
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", 128, 0),  # 192.0.2.45, RFC 4380's own example
    ],
)
def test_private_blocks(address: str, source: int, length: int) -> None:
    assert special.private_length(packed(address), source) == length


@pytest.mark.parametrize(
    ("address", "inner", "offset"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1", 96),
        ("::fffe:192.0.2.1", None, 0),
        ("::192.0.2.1", None, 0),
        ("2002:c000:201::1", "192.0.2.1", 16),
        ("2003:c000:201::1", None, 0),
        ("64:ff9b::192.0.2.1", "192.0.2.1", 96),
        ("64:ff9b:1::192.0.2.1", None, 0),  # RFC 8215's block is not among them
        ("64:ff9b::1:0:0", None, 0),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "192.0.2.45", 96),
        ("2001:1::1", None, 0),
        ("2001:db8::1", None, 0),
        ("::1", None, 0),
    ],
)
def test_embedded_ipv4(address: str, inner: str | None, offset: int) -> None:
    found = special.embedded(packed(address))
    assert found == (None if inner is None else (int(ipaddress.ip_address(inner)), offset))
    assert special.may_embed(int.from_bytes(packed(address)[:8])) or found is None


def test_may_embed_is_false_elsewhere() -> None:
    assert not special.may_embed(int.from_bytes(packed("2001:db8::1")[:8]))
    assert not special.may_embed(1)


@pytest.mark.parametrize(
    ("address", "length"),
    [
        ("::1", 128),
        ("::", 128),
        ("::2", 127),
        ("::3", 127),
        ("::4", 126),
        ("::ffff:0:0", 96),
        ("::ffff:255.255.255.255", 96),
        ("::fffe:0:0", 96),
        ("::1:0:0:0", 80),  # bit 79 is the first beyond both blocks' shared zeros
        ("::8000:0:0:0", 65),
        ("::ffff:ffff:ffff:ffff", 65),
        ("64:ff9b::", 96),
        ("64:ff9b::1.2.3.4", 96),
        ("64:ff9b::1:0:0", 96),
        ("64:ff9b::8000:0:0:0", 65),
    ],
)
def test_tail_length(address: str, length: int) -> None:
    number = int(ipaddress.ip_address(address))
    assert special.tail_length(number >> 64, number & (1 << 64) - 1) == length


@pytest.mark.no_cover
def test_tail_length_is_the_longest_block_of_one_kind() -> None:
    """Against counting: the shortest length at which the block around an address holds nothing of another block."""
    carved = {
        "::/64": [ipaddress.IPv6Network("::1/128"), ipaddress.IPv6Network("::ffff:0:0/96")],
        "64:ff9b::/64": [ipaddress.IPv6Network("64:ff9b::/96")],
    }
    rng = random.Random(11)
    for text, blocks in carved.items():
        base = int(ipaddress.IPv6Network(text).network_address)
        for _ in range(3000):
            near = rng.choice(blocks)
            number = int(near.network_address) ^ rng.getrandbits(rng.randint(1, 64)) if rng.random() < 0.9 else base
            expected = next(
                length
                for length in range(65, 129)
                for block in [ipaddress.IPv6Network((number >> (128 - length) << (128 - length), length))]
                if all(not block.overlaps(other) or block.subnet_of(other) for other in blocks)
                and all(not block.subnet_of(other) or block.prefixlen <= other.prefixlen for other in blocks)
            )
            assert special.tail_length(number >> 64, number & (1 << 64) - 1) == expected, hex(number)


def test_loopback() -> None:
    assert special.is_loopback(packed("::1"))
    assert not special.is_loopback(packed("::2"))


def test_values_are_the_snapshots() -> None:
    assert special.PRIVATE == layout.CLASS_PRIVATE
    assert special.TAIL == layout.CLASS_TAIL


@pytest.mark.parametrize("bits", [32, 64])
def test_blocks_are_ascending_and_disjoint(bits: int) -> None:
    blocks = special.blocks(bits)
    for block, following in itertools.pairwise(blocks):
        assert block.start + (1 << (bits - block.length)) <= following.start
    assert all(block.start % (1 << (bits - block.length)) == 0 for block in blocks)
