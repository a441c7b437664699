"""The draw: which edge of a row a client gets. This module is normative; every other implementation gives its bytes.

All integers are unsigned; sums and products are modulo 2^64 unless said to fit.

1. ``seed`` = SipHash-2-4 under `KEY` of: the lower-case wire name, one byte 4 or 6 (the family of the client's
   prefix), the client's prefix cut to ``hash_len`` bits, as 4 bytes (IPv4) or the 8 upper bytes (IPv6), big-endian,
   the rest zero. Without a public Client Subnet the seed is a random number per query instead.
2. Each edge has ``hash`` = SipHash-2-4 under `KEY` of its id in UTF-8.
3. ``x = mix64(seed ^ hash)``; ``score = LOG_TABLE[x >> 48] * reciprocal``, which fits 64 bits. The smallest score
   wins; of equal scores, the lower edge row (rows are sorted by id). K answers are the K smallest, in order.
4. ``reciprocal = min(2^32 - 1, ceil(wmax * 2^16 / w))``, wmax the largest weight of the row.
5. ``spread: N`` first keeps, within each level of the row, the N edges with the smallest
   ``mix64(SipHash(KEY, lower-case wire name) ^ hash)``, of equal ones the lower edge row. Of a level that lost edges,
   reciprocals become ``min(2^32 - 1, ceil(reciprocal * kept / all))``, the sums of the level's kept and of all its
   weights: the level keeps its share.

``LOG_TABLE[i] = floor(-log2((2i + 1) / 2^17) * 2^26)`` for 16-bit i. With u = (2i + 1) / 2^17 uniform in (0, 1),
-log2(u) / w is exponential with rate proportional to w, so the smallest falls on an edge with probability w / Σw, and a
change of one weight moves only the clients that this edge wins or loses: weighted rendezvous hashing (Thaler and
Ravishankar 1998; Efraimidis and Spirakis 2006). Where the row's largest weight changes, all reciprocals are rounded
anew, which moves less than one client in a thousand besides. The table is made by integer squaring; there is no libm
anywhere.

``mix64`` is the finaliser of MurmurHash3 (Appleby, in the public domain).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import siphashc

KEY: Final = b"gslb draw key v1"
MAX_RECIPROCAL: Final = (1 << 32) - 1

U64 = npt.NDArray[np.uint64]

_MASK: Final = (1 << 64) - 1
_MIX1: Final = 0xFF51AFD7ED558CCD
_MIX2: Final = 0xC4CEB9FE1A85EC53
_FRACTION_BITS: Final = 26
_siphash: Callable[[bytes, bytes], int] = siphashc.siphash


def edge_hash(edge_id: str) -> int:
    """An edge's part of every draw, u64."""
    return _siphash(KEY, edge_id.encode())


def seed_of(name: bytes, family: int, address: int, hash_len: int) -> int:
    """A client's part of a draw, u64.

    ``name`` is the lower-case wire name; ``family`` 4 or 6, of the client's prefix and not of the question;
    ``address`` 32 bits of IPv4 or the upper 64 of IPv6; ``hash_len`` at most so many.
    """
    if family == 4:
        cut = 32 - hash_len
        return _siphash(KEY, name + b"\4" + (address >> cut << cut).to_bytes(4))
    cut = 64 - hash_len
    return _siphash(KEY, name + b"\6" + (address >> cut << cut).to_bytes(8))


def pick(
    edges: Sequence[int],
    levels: Sequence[int],
    weights: Sequence[int],
    reciprocals: Sequence[int],
    hashes: Sequence[int],
    seed: int,
    answers: int,
    spread: int,
    name: bytes,
) -> list[int]:
    """The edges drawn from a steering row, best first: min(``answers``, candidates) edge rows.

    ``edges``, ``levels``, ``weights`` and ``reciprocals`` are the row, of equal length and not empty; ``hashes`` gives
    the hash of every edge row. ``spread`` 0 keeps all edges; ``name`` is the lower-case wire name that narrows them.
    """
    if spread:
        edges, reciprocals = narrow(edges, levels, weights, reciprocals, hashes, spread, name)
    if answers == 1:
        best, chosen = 1 << 64, -1
        for edge, reciprocal in zip(edges, reciprocals, strict=True):
            x = seed ^ hashes[edge]
            x = (x ^ x >> 33) * _MIX1 & _MASK
            # mix64 ends with x ^= x >> 33, which leaves the 16 upper bits alone.
            score = _LOG[((x ^ x >> 33) * _MIX2 & _MASK) >> 48] * reciprocal
            if score <= best and (score < best or edge < chosen):
                best, chosen = score, edge
        return [chosen]
    scored = sorted(zip(scores(edges, reciprocals, hashes, seed), edges, strict=True))
    return [edge for _, edge in scored[:answers]]


def scores(edges: Sequence[int], reciprocals: Sequence[int], hashes: Sequence[int], seed: int) -> list[int]:
    """The score of each edge of a row, u64; the smallest wins."""
    return [
        _LOG[mix64(seed ^ hashes[edge]) >> 48] * reciprocal for edge, reciprocal in zip(edges, reciprocals, strict=True)
    ]


def narrow(
    edges: Sequence[int],
    levels: Sequence[int],
    weights: Sequence[int],
    reciprocals: Sequence[int],
    hashes: Sequence[int],
    spread: int,
    name: bytes,
) -> tuple[list[int], list[int]]:
    """What ``spread`` leaves of a row for a name: edges in the row's order, and their reciprocals."""
    by_level: dict[int, list[int]] = {}
    for at, level in enumerate(levels):
        by_level.setdefault(level, []).append(at)
    name_hash = _siphash(KEY, name)
    kept_edges: list[int] = []
    kept_reciprocals: list[int] = []
    for members in by_level.values():
        if len(members) <= spread:
            kept_edges += [edges[at] for at in members]
            kept_reciprocals += [reciprocals[at] for at in members]
            continue
        ranked = sorted((mix64(name_hash ^ hashes[edges[at]]), edges[at], at) for at in members)
        kept = sorted(at for _, _, at in ranked[:spread])
        kept_sum = sum(weights[at] for at in kept)
        whole_sum = sum(weights[at] for at in members)
        kept_edges += [edges[at] for at in kept]
        kept_reciprocals += [min(MAX_RECIPROCAL, -(-reciprocals[at] * kept_sum // whole_sum)) for at in kept]
    return kept_edges, kept_reciprocals


def shares(reciprocals: Sequence[int], answers: int) -> list[float]:
    """The real share of each edge of a row under ``answers`` answers, where a client takes one of them at random.

    ``reciprocals`` are the row's, after `narrow` where the service spreads. For one answer this is the weight's part
    of the sum. For K it is the chance to be among the K over K, exact for successive drawing without replacement:
    summed over every set that can have been drawn already, at most 2^16 of them.
    """
    count = len(reciprocals)
    drawn = min(answers, count)
    rates = np.array([1.0 / reciprocal for reciprocal in reciprocals])
    if drawn == count:
        return [1.0 / count] * count
    sets: npt.NDArray[np.int64] = np.zeros(1, dtype=np.int64)
    chances: npt.NDArray[np.float64] = np.ones(1)
    among = np.zeros(count)
    for _ in range(drawn):
        grown_sets, grown_chances = [], []
        has = (sets[:, None] >> np.arange(count)) & 1
        left = rates.sum() - (has * rates).sum(axis=1)
        for at in range(count):
            without = has[:, at] == 0
            step = chances[without] * rates[at] / left[without]
            among[at] += step.sum()
            grown_sets.append(sets[without] | (1 << at))
            grown_chances.append(step)
        sets, place = np.unique(np.concatenate(grown_sets), return_inverse=True)
        chances = np.zeros(len(sets))
        np.add.at(chances, place.reshape(-1), np.concatenate(grown_chances))
    return [float(each) for each in among / drawn]


def reciprocals(weights: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
    """Reciprocals of rows of weights, shape (rows, width) both; 0 where the weight is 0."""
    wide = weights.astype(np.uint64)
    dividend = wide.max(axis=1, initial=0, keepdims=True) << np.uint64(16)
    divisor = np.maximum(wide, np.uint64(1))
    # The rounded quotient is off by less than one; the products are below 2^49 and put it right.
    found = np.ceil(dividend.astype(np.float64) / divisor.astype(np.float64)).astype(np.uint64)
    found += found * divisor < dividend
    found -= (found * divisor - dividend) >= divisor
    return np.where(wide > 0, np.minimum(found, np.uint64(MAX_RECIPROCAL)), np.uint64(0)).astype(np.uint32)


def picks(hashes: U64, reciprocals: npt.NDArray[Any], seeds: U64) -> npt.NDArray[np.intp]:
    """`pick` of one answer without spread for many seeds at once: for each, the place of the edge in the row.

    ``hashes`` and ``reciprocals`` are those of the row's edges, here in the order of edge rows, which settles ties.
    """
    best = np.full(len(seeds), _MASK, dtype=np.uint64)
    found = np.zeros(len(seeds), dtype=np.intp)
    for at, (edge, reciprocal) in enumerate(zip(hashes, reciprocals, strict=True)):
        x = seeds ^ edge
        for factor in (_MIX1, _MIX2):
            x = (x ^ x >> np.uint64(33)) * np.uint64(factor)
        score = LOG_TABLE[x >> np.uint64(48)].astype(np.uint64) * np.uint64(reciprocal)
        wins = score < best
        best[wins] = score[wins]
        found[wins] = at
    return found


def mix64(x: int) -> int:
    """The finaliser of MurmurHash3: a permutation of u64 in which every bit depends on every other."""
    x = (x ^ x >> 33) * _MIX1 & _MASK
    x = (x ^ x >> 33) * _MIX2 & _MASK
    return x ^ x >> 33


def _log_table() -> npt.NDArray[np.uint32]:
    """`LOG_TABLE`: binary digits of log2 by repeated squaring of 64-bit mantissas (Knuth, TAOCP, section 1.2.2).

    A mantissa y in [1, 2) is kept as y × 2^63, rounded down. The rounding of the first square grows to 2^-37 of the
    last one; a test compares all 65,536 entries with exact arithmetic.
    """
    one, low = np.uint64(1), np.uint64(0xFFFFFFFF)
    odd = 2 * np.arange(1 << 16, dtype=np.uint64) + one
    whole: U64 = np.zeros(len(odd), dtype=np.uint64)
    for bit in range(17):
        whole[odd >> np.uint64(bit) != 0] = bit
    mantissa = odd << (np.uint64(63) - whole)
    log = whole
    for _ in range(_FRACTION_BITS):
        high, rest = mantissa >> np.uint64(32), mantissa & low
        cross, square = high * rest, rest * rest
        below = (cross << np.uint64(33)) + square
        above = high * high + (cross >> np.uint64(31)) + (below < square)
        carry = above >> np.uint64(63)
        mantissa = np.where(carry == one, above, above << one | below >> np.uint64(63))
        log = log << one | carry
    inexact = (odd != one).astype(np.uint64)  # only log2(1) ends
    found: U64 = (np.uint64(17) << np.uint64(_FRACTION_BITS)) - log - inexact
    return found.astype(np.uint32)


LOG_TABLE: Final = _log_table()
_LOG: Final[list[int]] = LOG_TABLE.tolist()
