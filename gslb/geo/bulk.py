"""Many lines of a table at a time: those that begin with an IPv4 prefix in its usual form, as nearly all do; and many
IPv6 prefixes."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from gslb.geo.prefix import host_masks

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.intp]

NO_PREFIX: Final = 255
"""For the length where a line begins with anything else."""

_LINE_FEED, _COMMA, _DOT, _SLASH, _ZERO = b"\n,./0"
_PAD = b"\n" * 5  # there is always something behind a number
_LEAST = np.array([1, 0, 10, 100], dtype=np.uint64)  # a number of so many digits, none of them a leading zero
_HOSTS = host_masks(32).astype(np.uint64)
_HOSTS6 = host_masks(64).astype(np.uint64)
_LENGTHS = {str(length): length for length in range(65)}
_NOWHERE = bytes(16)


class Lines(NamedTuple):
    """Some lines of a table, an element for each; offsets count from the beginning of the text.

    ``begins`` and ``ends`` are those of the line, without its line feed. ``starts`` and ``lens`` are the IPv4 prefix
    that stands before its first comma, or alone, and ``rests`` is where that comma or the line's end is. Where
    anything else stands there ``lens`` is `NO_PREFIX`, and ``starts`` and ``rests`` mean nothing.
    """

    begins: Indices
    ends: Indices
    rests: Indices
    starts: U64
    lens: U8


def read(text: bytes) -> Lines:
    """The lines of ``text``, which is not empty; the last may lack its line feed."""
    chars = np.frombuffer(text + _PAD, dtype=np.uint8)
    ends = np.flatnonzero(chars[: len(text)] == _LINE_FEED)
    if not text.endswith(b"\n"):
        ends = np.append(ends, len(text))
    begins = np.append(0, ends[:-1] + 1)
    behind = np.flatnonzero(chars - np.uint8(_ZERO) > 9)  # what is no digit
    first = np.searchsorted(behind, begins)
    starts = np.zeros(len(ends), dtype=np.uint64)
    plain = np.ones(len(ends), dtype=np.bool_)
    at = begins
    for field in range(4):
        end = behind[first + field]
        number = _number(chars, at, end)
        plain &= (number <= 255) & (chars[end] == (_SLASH if field == 3 else _DOT))
        starts = starts << np.uint64(8) | number
        at = end + 1
    rests = behind[first + 4]
    length = _number(chars, at, rests)
    plain &= (length <= 32) & ((chars[rests] == _COMMA) | (chars[rests] == _LINE_FEED))
    plain &= starts & _HOSTS[np.where(plain, length, 0)] == 0
    return Lines(begins, ends, rests, starts, np.where(plain, length, NO_PREFIX).astype(np.uint8))


def read6(texts: Sequence[str]) -> tuple[U64, U8]:
    """The upper 64 bits and the length of IPv6 prefixes. The length is `NO_PREFIX` of whatever is none, is longer than
    /64 or has bits set past its length."""
    packed: list[bytes] = []
    lens = np.full(len(texts), NO_PREFIX, dtype=np.uint8)
    for at, text in enumerate(texts):
        address, _, digits = text.partition("/")
        try:
            packed.append(socket.inet_pton(socket.AF_INET6, address))
        except (OSError, ValueError):
            packed.append(_NOWHERE)
        else:
            lens[at] = _LENGTHS.get(digits, NO_PREFIX)
    halves = np.frombuffer(b"".join(packed), dtype=">u8").reshape(-1, 2).astype(np.uint64)
    fits = lens <= 64
    fits &= (halves[:, 0] & _HOSTS6[np.where(fits, lens, 0)] == 0) & (halves[:, 1] == 0)
    return halves[:, 0], np.where(fits, lens, NO_PREFIX).astype(np.uint8)


def _number(chars: U8, begins: Indices, ends: Indices) -> U64:
    """The numbers of one to three digits that stand there, more than any number can be where there is none."""
    digits = ends - begins
    fits = (digits >= 1) & (digits <= 3)
    number = np.zeros(len(begins), dtype=np.uint64)
    for place, power in enumerate((1, 10, 100)):
        digit = chars[ends - 1 - place] - np.uint8(_ZERO)
        number += np.where(digits > place, digit, 0).astype(np.uint64) * np.uint64(power)
    fits &= number >= _LEAST[np.where(fits, digits, 0)]
    return np.where(fits, number, np.uint64(1000))
