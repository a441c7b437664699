"""Catalog sections made by hand, for tests of steering: pools, levels and classes without zones or geography."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gslb.policy.draw import edge_hash
from gslb.snapshot import layout

GBPS = 10**9


@dataclass(frozen=True)
class Edge:
    """An edge of the inventory; families are those it has an address of."""

    id: str
    v4: bool = True
    v6: bool = True
    capacity_bps: int = 40 * GBPS
    sessions: int = 0
    continent: str = "AS"


@dataclass(frozen=True)
class Policy:
    """A pool and its classes: ``weights`` by edge, and the levels of each class in the pool's order (255: never)."""

    weights: dict[str, int]
    levels: Sequence[Sequence[int]]
    panic: float = 0.2
    closed: bool = False


def sections(
    edges: Sequence[Edge],
    policies: Sequence[Policy],
    health: tuple[float, float, float, float, int, int] = (3, 7, 60, 0.3, 3, 90),
) -> dict[str, npt.NDArray[Any]]:
    """The sections of a catalog that steering reads. Edges come out sorted by id, as in every catalog."""
    edges = sorted(edges, key=lambda edge: edge.id)
    row = {edge.id: at for at, edge in enumerate(edges)}
    texts = ["", *row, *sorted({edge.continent for edge in edges})]
    encoded = [text.encode() for text in texts]
    table = np.zeros(len(edges), dtype=layout.EDGE)
    for at, edge in enumerate(edges):
        table[at]["hash"], table[at]["id"] = edge_hash(edge.id), texts.index(edge.id)
        table[at]["capacity_bps"], table[at]["capacity_sessions"] = edge.capacity_bps, edge.sessions
        table[at]["rr4_count"], table[at]["rr6_count"] = edge.v4, edge.v6
        table[at]["continent"] = texts.index(edge.continent)
    rows = np.zeros(len(policies), dtype=layout.POLICY)
    members: list[tuple[int, int]] = []
    levels: list[int] = []
    classes = 0
    for at, policy in enumerate(policies):
        pool = sorted((row[edge], weight) for edge, weight in policy.weights.items())
        assert list(policy.weights) == sorted(policy.weights), "write pools sorted, as levels follow them"
        rows[at]["edge"], rows[at]["edge_count"] = len(members), len(pool)
        rows[at]["level"], rows[at]["classes"], rows[at]["row"] = len(levels), len(policy.levels), classes
        rows[at]["panic_milli"] = round(policy.panic * 1000)
        rows[at]["flags"] = layout.SERVICE_CLOSED if policy.closed else 0
        members += pool
        levels += [level for of_class in policy.levels for level in of_class]
        classes += len(policy.levels)
    return {
        "string": np.frombuffer(b"".join(encoded), dtype=np.uint8),
        "string_at": np.cumsum([0, *map(len, encoded)], dtype=np.uint32),
        "edge": table,
        "service": np.zeros(0, dtype=layout.SERVICE),
        "policy": rows,
        "policy_edge": np.array([edge for edge, _ in members], dtype=np.uint16),
        "policy_weight": np.array([weight for _, weight in members], dtype=np.uint32),
        "policy_level": np.array(levels, dtype=np.uint8),
        "class_multi": np.ones(classes, dtype=np.uint8),
        "health": np.array(health, dtype=np.float32),
    }
