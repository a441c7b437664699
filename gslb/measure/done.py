"""What a run did, and the same as a record of it and ``--json`` have it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from gslb.measure import quality
from gslb.measure.landing import Intake
from gslb.measure.manifest import Piece, instant
from gslb.measure.quality import Verdict
from gslb.measure.silver import Built


@dataclass(slots=True)
class Done:
    """What a run did. ``built`` are batches of silver, ``pieces`` what was published of gold; ``faults`` what could
    not be done."""

    run: str
    began_s: float
    intake: dict[str, Intake] = field(default_factory=dict)
    built: list[Built] = field(default_factory=list)
    pieces: list[tuple[str, Piece]] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    demand_until_s: int = 0
    live_until_s: int = 0

    @property
    def ok(self) -> bool:
        """Whether all went well: nothing failed, and no gate stopped a table."""
        return not self.faults and not quality.stops(self.verdicts)


def summary(done: Done) -> dict[str, Any]:
    """A run as keys and values."""
    return {
        "run": done.run,
        "ok": done.ok,
        "began": instant(int(done.began_s)),
        "seconds": {step: round(took_s, 3) for step, took_s in done.seconds.items()},
        "faults": done.faults,
        "sources": {source: _intake(intake) for source, intake in done.intake.items()},
        "built": {source: _built(batches) for source, batches in _by_source(done.built).items()},
        "tables": _tables(done.pieces),
        "gates": dict(Counter(verdict.level for verdict in done.verdicts)),
        "stopped": [f"{each.table}: {each.gate}: {each.text}" for each in quality.stops(done.verdicts)],
        "demand_until": instant(done.demand_until_s) if done.demand_until_s else None,
        "demand_live_until": instant(done.live_until_s) if done.live_until_s else None,
    }


def _intake(intake: Intake) -> dict[str, Any]:
    return {
        "files": intake.files,
        "rows": intake.rows,
        "bytes": intake.bytes,
        "rejected": intake.rejected,
        "refused": [{"file": name, "reason": reason} for name, reason in intake.refused],
    }


def _by_source(built: list[Built]) -> dict[str, list[Built]]:
    found: dict[str, list[Built]] = {}
    for each in built:
        found.setdefault(each.source, []).append(each)
    return found


def _built(batches: list[Built]) -> dict[str, Any]:
    rejected: Counter[str] = Counter()
    for each in batches:
        rejected.update(each.rejected)
    return {
        "slices": sum(len(each.batch.slices) for each in batches),
        "rows": sum(each.rows for each in batches),
        "duplicates": sum(each.duplicates for each in batches),
        "rejected": dict(sorted(rejected.items())),
    }


def _tables(pieces: list[tuple[str, Piece]]) -> dict[str, Any]:
    found: dict[str, dict[str, int]] = {}
    for name, piece in pieces:
        told = found.setdefault(name, {"pieces": 0, "rows": 0, "bytes": 0})
        told["pieces"] += 1
        told["rows"] += piece.rows
        told["bytes"] += piece.bytes
    return found
