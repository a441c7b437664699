"""Resolvers that ask for others: the client prefix that stands for each, by `data/resolvers.csv`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from gslb.geo import special
from gslb.geo.prefix import Addresses, Prefixes, dtype_of, flatten, runs
from gslb.geo.view import Geography

U32 = npt.NDArray[np.uint32]

NOBODY: Final = 0xFFFFFFFF
"""In the rows of `Resolvers`: no client prefix is known; the snapshot's NONE32."""

Prefix = tuple[int, int, int]  # bits (32 or 64), first address, length


class ResolverShare(NamedTuple):
    """How much, 0 to 1, of the viewers behind a resolver prefix is in a client prefix."""

    resolver: Prefix
    client: Prefix
    share: float


@dataclass(frozen=True, slots=True)
class Resolvers:
    """Intervals of resolver addresses, each with a row of ``clients`` or `NOBODY`.

    ``clients`` are distinct (family 4 or 6, first address, length): a u32, or the upper 64 bits of an IPv6 address.
    """

    starts4: Addresses
    rows4: U32
    starts6: Addresses
    rows6: U32
    clients: tuple[tuple[int, int, int], ...]


def build(shares: Sequence[ResolverShare], geography: Geography) -> Resolvers:
    """Settle on one client prefix per resolver prefix; of nested resolver prefixes the longest decides.

    It is the one with the largest share among those of the dominant view: the view key whose shares sum to the most.
    Ties fall to what stands first. A 6to4 client prefix is the IPv4 prefix inside, in the answer too: as in a query.
    """
    inner = [_without_shell(share.client) for share in shares]
    keys = _view_keys(inner, geography)
    by_resolver: dict[Prefix, list[int]] = {}
    for row, share in enumerate(shares):
        by_resolver.setdefault(share.resolver, []).append(row)
    clients: dict[Prefix, int] = {}
    chosen: dict[int, list[tuple[int, int, int]]] = {32: [], 64: []}
    for (bits, start, length), rows in by_resolver.items():
        client = inner[_representative(rows, shares, keys)]
        chosen[bits].append((start, length, clients.setdefault(client, len(clients))))
    starts4, rows4 = _intervals(chosen[32], 32)
    starts6, rows6 = _intervals(chosen[64], 64)
    return Resolvers(
        starts4=starts4,
        rows4=rows4,
        starts6=starts6,
        rows6=rows6,
        clients=tuple((4 if bits == 32 else 6, start, length) for bits, start, length in clients),
    )


def _representative(rows: Sequence[int], shares: Sequence[ResolverShare], keys: Sequence[int]) -> int:
    sums: dict[int, float] = {}
    for row in rows:
        sums[keys[row]] = sums.get(keys[row], 0.0) + shares[row].share
    dominant = max(sums, key=lambda key: sums[key])  # of equals the first
    return max((row for row in rows if keys[row] == dominant), key=lambda row: shares[row].share)


def _view_keys(clients: Sequence[Prefix], geography: Geography) -> list[int]:
    """A number for the view key (country, region, ISP) of each client prefix."""
    views = np.zeros(len(clients), dtype=np.uint32)
    for bits in (32, 64):
        rows = [row for row, client in enumerate(clients) if client[0] == bits]
        addresses = np.array([clients[row][1] for row in rows], dtype=dtype_of(bits))
        lengths = np.array([clients[row][2] for row in rows], dtype=np.uint8)
        views[rows] = geography.family(bits).views_of(addresses, lengths)
    table = geography.views
    found: dict[Any, int] = {}
    columns = zip(table.country[views].tolist(), table.region[views].tolist(), table.isp[views].tolist(), strict=True)
    return [found.setdefault(key, len(found)) for key in columns]


def _without_shell(client: Prefix) -> Prefix:
    """The IPv4 prefix that a 6to4 prefix stands for, any other as it is; the other shells are longer than /64."""
    bits, start, length = client
    inner = special.embedded((start << 64).to_bytes(16)) if bits == 64 else None
    if inner is None or length <= inner[1]:
        return client
    kept = min(length - inner[1], 32)
    return 32, inner[0] >> (32 - kept) << (32 - kept), kept


def _intervals(chosen: Sequence[tuple[int, int, int]], bits: int) -> tuple[Addresses, U32]:
    """Disjoint intervals of (start, length, row); nested prefixes flattened."""
    ordered = sorted(chosen)
    prefixes = Prefixes(
        starts=np.array([start for start, _, _ in ordered], dtype=dtype_of(bits)),
        lens=np.array([length for _, length, _ in ordered], dtype=np.uint8),
        facts=np.array([row + 1 for _, _, row in ordered], dtype=np.uint32),
        lines=np.zeros(0, dtype=np.uint32),
    )
    nested = flatten([prefixes], bits)
    starts, facts = runs(nested.starts, nested.facts[0][nested.nodes])
    return starts, facts - np.uint32(1)  # 0, none, becomes NOBODY
