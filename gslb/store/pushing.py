"""One push of somebody who keeps no memory of his own: a script, or a person. What the store holds is the memory."""

from __future__ import annotations

from typing import Final

from gslb.health.state import Measurement, WriterRules, resume, step
from gslb.model.report import Report
from gslb.policy.headroom import left_milli
from gslb.store.interface import Outcome, Writer

TRIES: Final = 2
"""Somebody else may write between our reading and our writing; once more is enough but where an agent pushes too."""


async def push(writer: Writer, edge: str, measurement: Measurement) -> tuple[Report, Outcome]:
    """Write what follows from the report that is held of ``edge`` and a measurement: the report, and what became of it.

    Refused is what came too late again and again. Raises `StoreError` as ``writer`` does.
    """
    for left in reversed(range(TRIES)):
        memory = resume(edge, await writer.latest(edge))
        report = step(memory, measurement, WriterRules(), writer.clock_ms, left_milli).report
        outcome = await writer.report(report)
        if outcome.accepted or not left:
            break
    return report, outcome
