"""What explanations know of the plan in use: it lies behind the note of a steering snapshot, made once for each plan.

Of every class of a service: which edges its row names, with weights and costs, or why the row that is meant cannot be
used; and the limits that bind. Answers need nothing of this: what they are drawn from are the rows of steering.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from gslb.model.plan import BindingCap, Plan
from gslb.snapshot import lookups
from gslb.snapshot.lookups import Arrays
from gslb.snapshot.resolved import PlannedPolicy

MAX_REASONS: Final = 1000
"""Reasons of skipped rows that are told of a service; the others share one."""
MAX_CAPS: Final = 1000
"""Limits that are told, those of the highest price."""

_MORE: Final = "it cannot be used, as many others"
_NAMED: Final = np.dtype([("edge", "<u2"), ("weight", "<u2"), ("is_backup", "u1"), ("cost", "<f4")])


class Told(NamedTuple):
    """What a plan says of one class.

    ``key`` is that of its row, empty where it has none that can be used; ``primaries`` are edge row → weight, ``costs``
    edge row → cost per Mbps·month, where known, of backups too. ``skipped`` says why the row that is meant first cannot
    be used.
    """

    key: str = ""
    primaries: Mapping[int, int] = {}
    backups: tuple[int, ...] = ()
    costs: Mapping[int, float] = {}
    skipped: str = ""


def written(arrays: Arrays, plan: Plan, policies: Mapping[int, PlannedPolicy]) -> bytes:
    """All that is told of a plan, for a catalog's sections: a line of JSON, then tables."""
    tables: list[bytes] = []
    sizes = {}
    for policy, planned in sorted(policies.items()):
        pieces = _tables(arrays, policy, planned)
        sizes[str(policy)] = [len(piece) for piece in pieces]
        tables += pieces
    caps = sorted(plan.caps, key=lambda cap: (-cap.price, cap.kind, cap.name))[:MAX_CAPS]
    line = json.dumps({"tables": sizes, "caps": [tuple(cap) for cap in caps]}, ensure_ascii=False)
    return b"".join([line.encode(), b"\n", *tables])


def caps(text: bytes) -> tuple[BindingCap, ...]:
    """The limits that bind, those of the highest price first."""
    return tuple(BindingCap(*cap) for cap in _head(text)[0].get("caps", ()))


def of_class(text: bytes, policy: int, cls: int) -> Told:
    """What is told of a class of a policy; of one without a plan, or of an empty ``text``, nothing."""
    head, at = _head(text)
    for each, sizes in head.get("tables", {}).items():
        if each == str(policy):
            ends = [*itertools.accumulate(sizes, initial=at)]
            return _told([text[begin:end] for begin, end in itertools.pairwise(ends)], cls)
        at += sum(sizes)
    return Told()


def _head(text: bytes) -> tuple[Mapping[str, Any], int]:
    """The line, and where the tables begin."""
    end = text.find(b"\n")
    return (json.loads(text[:end]), end + 1) if end >= 0 else ({}, 0)


def _tables(arrays: Arrays, policy: int, planned: PlannedPolicy) -> list[bytes]:
    """Of one policy: row and reason of each class, where each row's edges begin, the edges, keys, reasons."""
    edges, _ = lookups.pool(arrays, policy)
    at = np.concatenate([planned.primary, planned.backup], axis=1)
    there = at >= 0
    named = np.zeros(int(there.sum()), dtype=_NAMED)
    named["edge"] = edges[at[there]]
    named["weight"] = np.concatenate([planned.weight, np.zeros_like(planned.backup)], axis=1)[there]
    named["is_backup"] = np.broadcast_to(np.arange(at.shape[1]) >= planned.primary.shape[1], at.shape)[there]
    counts = there.sum(axis=1)
    known = (
        costs if len(costs) == count else itertools.repeat(math.nan, count)
        for costs, count in zip(planned.costs, counts.tolist(), strict=True)
    )
    named["cost"] = np.fromiter(itertools.chain.from_iterable(known), dtype=np.float32, count=len(named))
    first = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
    reasons = [*planned.reasons[:MAX_REASONS], _MORE]
    return [
        planned.row_of_class.astype("<i4").tobytes(),
        np.minimum(planned.skipped_of_class, len(reasons)).astype("<u2").tobytes(),
        first.astype("<u4").tobytes(),
        named.tobytes(),
        "\n".join(planned.names).encode(),
        "\n".join(reasons).encode(),
    ]


def _told(pieces: list[bytes], cls: int) -> Told:
    row = int(np.frombuffer(pieces[0], dtype="<i4")[cls])
    why = int(np.frombuffer(pieces[1], dtype="<u2")[cls])
    skipped = pieces[5].decode().split("\n")[why - 1] if why else ""
    if row < 0:
        return Told(skipped=skipped)
    begin, end = np.frombuffer(pieces[2], dtype="<u4")[row : row + 2].tolist()
    named: list[tuple[int, int, int, float]] = np.frombuffer(pieces[3], dtype=_NAMED)[begin:end].tolist()
    return Told(
        key=pieces[4].decode().split("\n")[row],
        primaries={edge: weight for edge, weight, is_backup, _ in named if not is_backup},
        backups=tuple(edge for edge, _, is_backup, _ in named if is_backup),
        costs={edge: cost for edge, _, _, cost in named if not math.isnan(cost)},
        skipped=skipped,
    )
