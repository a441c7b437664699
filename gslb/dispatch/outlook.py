"""What a round plans for: demand read, put through the gates, and forecast; or why it may not be believed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gslb.dispatch import demand
from gslb.errors import Findings
from gslb.geo.isps import IspNames
from gslb.model.dispatch import DispatchRules
from gslb.model.events import Events
from gslb.model.plan import PlanInput
from gslb.plan import intake
from gslb.plan.forecast import Forecast, forecast


@dataclass(frozen=True, slots=True)
class Outlook:
    """``forecast`` is None where ``findings`` has errors: the last plan is to stay. ``inputs`` are the tables that were
    read, by name, whether they may be believed or not; ``age_s`` is how long ago the newest bucket of demand ended."""

    forecast: Forecast | None
    inputs: Mapping[str, PlanInput]
    findings: Findings

    @property
    def age_s(self) -> float:
        """In seconds; 0 where there is no bucket."""
        return self.inputs[demand.DEMAND].age_s


def look(
    demand_path: Path,
    live_path: Path | None,
    isps: IspNames,
    services: Mapping[str, bool],
    rules: DispatchRules,
    events: Events,
    now_s: float,
) -> Outlook:
    """The demand of the next round. ``services`` are all services by name, and whether each is planned.

    Streams of services that are not planned are no matter of plans. Live demand is left out, with a warning, where it
    is older than the rules allow; any other fault of it is an error, as of demand itself.
    """
    streams = tuple(stream for stream in events.streams if services.get(stream.service))
    found = demand.read(demand_path, isps, services, now_s, rules.demand_late_s, streams=streams)
    inputs = {demand.DEMAND: found.input}
    findings = Findings()
    _gather(findings, found.findings)
    live = None
    if live_path is not None:
        read = demand.read(live_path, isps, services, now_s, math.inf, demand.LIVE, streams)
        inputs[demand.LIVE] = read.input
        _gather(findings, read.findings)
        if read.age_s > rules.live_late_s:
            ago = f"its newest bucket ended {read.age_s:.0f} s ago; at most {rules.live_late_s} s are taken"
            findings.warn(str(live_path), 0, 0, f"not used: {ago}")
        elif not findings.errors:
            live = read.history
            for fault in intake.agree(live, found.history, streams):
                findings.error(str(live_path), 0, 0, fault.reason)
    if findings.errors:
        return Outlook(None, inputs, findings)
    expected = forecast(found.history, live, replace(events, streams=streams), now_s, rules.round_s)
    return Outlook(expected, inputs, findings)


def _gather(into: Findings, found: Findings) -> None:
    into.errors += found.errors
    into.warnings += found.warnings
