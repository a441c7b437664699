"""Prefixes as people write them, to numbers and back."""

from __future__ import annotations

import socket

_LENGTHS = {str(length): length for length in range(129)}
_HOSTS4 = tuple((1 << (32 - length)) - 1 for length in range(33))
_HOSTS6 = tuple((1 << (64 - length)) - 1 for length in range(65))


def parse_prefix(text: str) -> tuple[int, int, int]:
    """``text`` as (bits, start, length): bits 32 and a u32 for IPv4, 64 and the upper 64 bits for IPv6 up to /64.

    Raises ValueError, saying what is wrong with the text, for anything but a prefix in its usual form without bits
    past its length.
    """
    address, _, digits = text.partition("/")
    length = _LENGTHS.get(digits)
    try:
        if ":" not in address:
            start = int.from_bytes(socket.inet_pton(socket.AF_INET, address))
            if length is not None and length <= 32 and not start & _HOSTS4[length]:
                return 32, start, length
        elif length is not None and length <= 64:
            whole = int.from_bytes(socket.inet_pton(socket.AF_INET6, address))
            start = whole >> 64
            if not start & _HOSTS6[length] and start << 64 == whole:
                return 64, start, length
    except (OSError, ValueError):
        pass
    raise ValueError(_fault(text))


def parse_client(text: str) -> tuple[bytes, int]:
    """An address, or a prefix of any length, as (4 or 16 packed bytes, length); bits past the length are cleared.

    Raises ValueError for anything else.
    """
    address, slash, digits = text.partition("/")
    family, bits = (socket.AF_INET6, 128) if ":" in address else (socket.AF_INET, 32)
    length = _LENGTHS.get(digits) if slash else bits
    try:
        number = int.from_bytes(socket.inet_pton(family, address))
    except (OSError, ValueError):
        length = None
    if length is None or length > bits:
        raise ValueError(f"{text!r} is not an IP address or prefix")
    return (number >> (bits - length) << (bits - length)).to_bytes(bits // 8), length


def format_prefix(bits: int, start: int, length: int) -> str:
    """The text of a prefix, as `parse_prefix` reads it."""
    if bits == 32:
        return f"{socket.inet_ntop(socket.AF_INET, start.to_bytes(4))}/{length}"
    return f"{socket.inet_ntop(socket.AF_INET6, (start << 64).to_bytes(16))}/{length}"


def _fault(text: str) -> str:
    """Why ``text`` is no prefix, its value quoted."""
    if not text:
        return "is empty"
    address, slash, digits = text.partition("/")
    family, bits = (socket.AF_INET6, 128) if ":" in address else (socket.AF_INET, 32)
    try:
        number = int.from_bytes(socket.inet_pton(family, address))
    except (OSError, ValueError):
        return f"{text!r} is not an IP prefix"
    if not slash:
        return f"{text!r} has no length, as in {'2001:db8::/32' if bits == 128 else '192.0.2.0/24'}"
    length = _LENGTHS.get(digits)
    if length is None or length > bits:
        return f"{text!r} has a length that is not a number from 0 to {64 if bits == 128 else 32}"
    if length > 64:
        return f"{text!r} is longer than /64"
    network = socket.inet_ntop(family, (number >> (bits - length) << (bits - length)).to_bytes(bits // 8))
    return f"{text!r} has bits set past its length; the prefix is {network}/{length}"
