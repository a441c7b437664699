"""A steered answer: from a client and a service to edges, scope and TTL. The engine and the explanation share it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gslb.answer.client import place, resolver_prefix
from gslb.policy.draw import pick, seed_of
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.layout import CLASS_PRIVATE, ROW_CHANGING, ROW_FAIL_OPEN
from gslb.snapshot.rows import ServiceRow
from gslb.snapshot.steering import Steering
from gslb.wire.query import Ecs


class Located(NamedTuple):
    """Whose answer it is: the class, the scope to tell, and the draw's seed.

    ``prefix`` (family, address, length) is what was located. ``public`` is False where that stands for the resolver and
    not for a public client subnet; then the seed is the query's own random number. ``offset`` is where an IPv4 prefix
    begins in the IPv6 address that carries it, and the scope counts on: else 0.
    """

    cls: int
    scope: int
    seed: int
    prefix: tuple[int, int, int]
    public: bool
    offset: int = 0


def locate(catalog: Catalog, service: ServiceRow, name: bytes, ecs: Ecs | None, source: bytes, draw: int) -> Located:
    """Find a query's client for a service.

    ``name`` is the lower-case wire name asked for, ``source`` the resolver's packed address, ``draw`` a random u64.
    """
    policy = catalog.policies[service.policy]
    geometry = policy.geometry
    if ecs is None or not ecs.source:
        return _of_resolver(catalog, geometry, source, 0, draw)
    at = place(catalog, geometry, ecs.address, ecs.source)
    in_v4_row = at.family == 4 or at.offset
    least = service.hash_len4 if in_v4_row else service.hash_len6
    scope = at.row_len
    if scope < least and at.row_cls != CLASS_PRIVATE and catalog.class_multi[policy.row + at.row_cls]:
        scope = least
    if at.cls == CLASS_PRIVATE:
        return _of_resolver(catalog, geometry, source, at.offset + scope, draw)
    hash_len = service.hash_len4 if at.family == 4 else service.hash_len6
    seed = seed_of(name, at.family, at.address, hash_len)
    offset = at.offset if at.family == 4 else 0
    return Located(at.cls, at.offset + scope, seed, (at.family, at.address, at.length), True, offset)


def _of_resolver(catalog: Catalog, geometry: int, source: bytes, scope: int, draw: int) -> Located:
    prefix = resolver_prefix(catalog, source)
    return Located(catalog.class_of(geometry, *prefix), scope, draw, prefix, False)


class Choice(NamedTuple):
    """The edges of an answer, best first, with the TTL; no edges: the fallback or nothing is due.

    ``fail_open`` is True where edges are given although too little of the pool is available; ``level`` is the affinity
    level of the first.
    """

    edges: Sequence[int]
    ttl_s: int
    fail_open: bool
    level: int = 0


def choose(catalog: Catalog, steering: Steering, number: int, name: bytes, cls: int, seed: int, is_v6: bool) -> Choice:
    """Draw the edges for a class and family; ``number`` is the service's row."""
    service = catalog.services[number]
    row = steering.row(steering.first(number, catalog.policies[service.policy].row) + cls, is_v6)
    fail_open = bool(row.flags & ROW_FAIL_OPEN)
    ttl_s = service.changing_ttl_s if row.flags & (ROW_CHANGING | ROW_FAIL_OPEN) else service.ttl_s
    if row.count == 1:
        return Choice(row.edges, ttl_s, fail_open, row.levels[0])
    if not row.count:
        return Choice((), service.changing_ttl_s, False)
    edges = pick(
        row.edges,
        row.levels,
        row.weights,
        row.reciprocals,
        catalog.edge_hashes,
        seed,
        service.answers,
        service.spread,
        name,
    )
    return Choice(edges, ttl_s, fail_open, row.levels[row.edges.index(edges[0])])
