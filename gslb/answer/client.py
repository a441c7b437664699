"""Where a query's client is, as one geometry sees it: class, scope and the prefix that the draw is keyed by."""

from __future__ import annotations

from typing import NamedTuple

from gslb.geo import special
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.layout import CLASS_PRIVATE, CLASS_TAIL


class Place(NamedTuple):
    """A prefix as a geometry sees it.

    ``cls`` is its class, or CLASS_PRIVATE where the prefix names nobody. ``row_cls`` and ``row_len`` are those of the
    row that holds its first address, an IPv4 row where ``offset`` is above 0; the scope is ``offset`` plus ``row_len``
    or, where the row's class has a choice and its row is shorter, the service's ``hash_len`` of the row's family.
    ``address`` is the first address, an IPv4 one as 32 bits and of an IPv6 one the upper 64, ``length`` the prefix's
    own length on it; ``offset`` is where its bits begin in the address that was asked about.
    """

    cls: int
    row_cls: int
    row_len: int
    family: int
    address: int
    length: int
    offset: int


def place(catalog: Catalog, geometry: int, packed: bytes, source: int) -> Place:
    """Where the prefix ``packed``/``source`` is; ``packed`` is 4 or 16 bytes, zero beyond the prefix.

    IPv4 that an IPv6 address carries is taken for it where the prefix reaches into it; the scope inside such a block
    always counts by its IPv4 rows, so that scopes stay disjoint (design, section 3.5).
    """
    if len(packed) == 4:
        return _place4(catalog, geometry, int.from_bytes(packed), source, 0)
    hi = int.from_bytes(packed[:8])
    if special.may_embed(hi):
        inner = special.embedded(packed)
        if inner is not None:
            address, offset = inner
            if source > offset:
                kept = min(source - offset, 32)
                return _place4(catalog, geometry, address >> (32 - kept) << (32 - kept), kept, offset)
            row_cls, row_len = catalog.row(geometry, 4, address)
            return Place(catalog.class_of(geometry, 6, hi, source), row_cls, row_len, 6, hi, source, offset)
    row_cls, row_len = catalog.row(geometry, 6, hi)
    if row_cls == CLASS_TAIL:
        row_len = special.tail_length(hi, int.from_bytes(packed[8:]))
        row_cls = CLASS_PRIVATE if special.is_loopback(packed) else catalog.class_of(geometry, 6, hi, 64)
        cls = row_cls if source >= row_len else catalog.class_of(geometry, 6, hi, source)
        return Place(cls, row_cls, row_len, 6, hi, source, 0)
    cls = row_cls if source >= row_len else catalog.class_of(geometry, 6, hi, source)
    return Place(cls, row_cls, row_len, 6, hi, source, 0)


def _place4(catalog: Catalog, geometry: int, address: int, source: int, offset: int) -> Place:
    row_cls, row_len = catalog.row(geometry, 4, address)
    cls = row_cls if source >= row_len else catalog.class_of(geometry, 4, address, source)
    return Place(cls, row_cls, row_len, 4, address, source, offset)


def resolver_prefix(catalog: Catalog, packed: bytes) -> tuple[int, int, int]:
    """The prefix (family, address, length) that stands for a resolver: that of `data/resolvers.csv`, else itself."""
    family, address, length = _key(packed)
    return catalog.resolver_client(family, address) or (family, address, length)


def _key(packed: bytes) -> tuple[int, int, int]:
    """An address as the tables are keyed: family, address, length; IPv4 inside IPv6 comes out as IPv4."""
    if len(packed) == 4:
        return 4, int.from_bytes(packed), 32
    hi = int.from_bytes(packed[:8])
    inner = special.embedded(packed) if special.may_embed(hi) else None
    return (4, inner[0], 32) if inner is not None else (6, hi, 64)
