"""A worker's counters, by what they mean."""

from __future__ import annotations

from gslb.server import cells

EDGES = 10
"""Of so many edge slots the counters are told."""


def counted(memory: memoryview) -> dict[str, int]:
    """Every cell that is not 0, added up over the blocks of ``memory``."""
    found = _named()
    blocks = cells.blocks(memory)
    sums = {name: sum(block[at] for block in blocks) for name, at in found.items()}
    return {name: value for name, value in sums.items() if value}


def _named() -> dict[str, int]:
    found = {}
    for t, transport in enumerate(cells.TRANSPORTS):
        for f, family in enumerate(cells.FAMILIES):
            for q, qtype in enumerate(cells.QTYPE_LABELS):
                found[f"{transport} {family} {qtype}"] = cells.queries_at(t, f) + q
        for r, rcode in enumerate(cells.RCODE_LABELS):
            found[f"{transport} {rcode}"] = cells.replies_at(t) + r
    for o, outcome in enumerate(cells.OUTCOMES):
        found[outcome] = cells.OUTCOME + o
    for row, action in enumerate(cells.LIMITED):
        found[f"limit {action}"] = cells.LIMIT + row
    for row, reason in enumerate(cells.MISSED):
        found[f"missed {reason}"] = cells.MISS + row
    found |= cells.SCALAR
    for slot in range(EDGES):
        found[f"edge slot {slot}"] = cells.EDGES + slot
    return found
