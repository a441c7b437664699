"""Prefixes and addresses as text."""

from __future__ import annotations

import ipaddress
import re

import pytest

from gslb.geo.address import format_prefix, parse_client, parse_prefix


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0.0.0.0/0", (32, 0, 0)),
        ("192.0.2.0/24", (32, 0xC0000200, 24)),
        ("255.255.255.255/32", (32, 0xFFFFFFFF, 32)),
        ("::/0", (64, 0, 0)),
        ("2001:db8::/32", (64, 0x20010DB800000000, 32)),
        ("2001:DB8:0:1::/64", (64, 0x20010DB800000001, 64)),
        ("ffff:ffff:ffff:ffff::/64", (64, 0xFFFFFFFFFFFFFFFF, 64)),
    ],
)
def test_prefix(text: str, found: tuple[int, int, int]) -> None:
    assert parse_prefix(text) == found
    assert format_prefix(*found) == str(ipaddress.ip_network(text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("192.0.2.0", "'192.0.2.0' has no length, as in 192.0.2.0/24"),
        ("2001:db8::", "'2001:db8::' has no length, as in 2001:db8::/32"),
        ("192.0.2.0/", "'192.0.2.0/' has a length that is not a number from 0 to 32"),
        ("192.0.2.0/33", "'192.0.2.0/33' has a length that is not a number from 0 to 32"),
        ("192.0.2.0/024", "'192.0.2.0/024' has a length that is not a number from 0 to 32"),
        ("192.0.2.0/-1", "'192.0.2.0/-1' has a length that is not a number from 0 to 32"),
        ("192.0.2.0/24/8", "'192.0.2.0/24/8' has a length that is not a number from 0 to 32"),
        ("192.0.2.0/255.255.255.0", "'192.0.2.0/255.255.255.0' has a length that is not a number from 0 to 32"),
        ("2001:db8::/x", "'2001:db8::/x' has a length that is not a number from 0 to 64"),
        ("2001:db8::/129", "'2001:db8::/129' has a length that is not a number from 0 to 64"),
        ("2001:db8::/65", "'2001:db8::/65' is longer than /64"),
        ("::1/128", "'::1/128' is longer than /64"),
        ("192.0.2.1/24", "'192.0.2.1/24' has bits set past its length; the prefix is 192.0.2.0/24"),
        ("2001:db8::1/32", "'2001:db8::1/32' has bits set past its length; the prefix is 2001:db8::/32"),
        ("2001:db8:1::/32", "'2001:db8:1::/32' has bits set past its length; the prefix is 2001:db8::/32"),
        ("2001:db8::1/64", "'2001:db8::1/64' has bits set past its length; the prefix is 2001:db8::/64"),
        ("1.2.3/24", "'1.2.3/24' is not an IP prefix"),
        ("01.2.3.0/24", "'01.2.3.0/24' is not an IP prefix"),
        ("256.2.3.0/24", "'256.2.3.0/24' is not an IP prefix"),
        ("1.2.3.0 /24", "'1.2.3.0 /24' is not an IP prefix"),
        ("2001:db8:::/32", "'2001:db8:::/32' is not an IP prefix"),
        ("fe80::%eth0/64", "'fe80::%eth0/64' is not an IP prefix"),
        ("örtlich/8", "'örtlich/8' is not an IP prefix"),
        ("1.2.3.0\0/24", "'1.2.3.0\\x00/24' is not an IP prefix"),
    ],
)
def test_bad_prefix(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        parse_prefix(text)


@pytest.mark.parametrize(
    ("text", "address", "length"),
    [
        ("192.0.2.1", "192.0.2.1", 32),
        ("192.0.2.77/24", "192.0.2.0", 24),
        ("192.0.2.0/0", "0.0.0.0", 0),
        ("2001:db8::1", "2001:db8::1", 128),
        ("2001:db8::1/127", "2001:db8::", 127),
        ("::ffff:192.0.2.1/128", "::ffff:192.0.2.1", 128),
    ],
)
def test_client(text: str, address: str, length: int) -> None:
    assert parse_client(text) == (ipaddress.ip_address(address).packed, length)


@pytest.mark.parametrize("text", ["", "x", "192.0.2.0/33", "192.0.2.0/", "::/129", "1.2.3.4:53", "300.1.1.1/8"])
def test_bad_client(text: str) -> None:
    with pytest.raises(ValueError, match="is not an IP address or prefix"):
        parse_client(text)
