"""Rise and fall: what a row of a probe's outcomes makes of it, and what all probes make of a family's health."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(slots=True)
class Standing:
    """What one probe is taken to say. ``up`` is None before its first outcome, which is believed at once; then it takes
    ``fall`` failures in a row to be down and ``rise`` successes in a row to be up again. ``against`` counts those that
    contradict ``up``."""

    rise: int
    fall: int
    up: bool | None = None
    against: int = 0

    def note(self, succeeded: bool) -> bool:
        """Take an outcome in; whether ``up`` changed by it."""
        if succeeded == self.up:
            self.against = 0
            return False
        self.against += 1
        if self.up is not None and self.against < (self.rise if succeeded else self.fall):
            return False
        self.up, self.against = succeeded, 0
        return True

    def seed(self, up: bool) -> None:
        """Take ``up`` for what it said so far."""
        self.up, self.against = up, 0


def family_up(standings: Iterable[Standing]) -> bool | None:
    """A family is down where one of its probes is, and up where all are; None: nothing is known, or nothing probed."""
    found = [standing.up for standing in standings]
    if False in found:
        return False
    return True if found and None not in found else None
