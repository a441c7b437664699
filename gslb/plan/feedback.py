"""Feedback: how much heavier than planned does demand weigh at an edge, and what is there that no answer brought.

Each edge's load is taken to be ``factor × flow + background``. The flow is the demand that answers have sent there by
now: what the plan gives it, and ``late``, what moved and has not arrived (or not yet left), since viewers stay where
they are until their session ends and answers live for their TTL. The factor holds all that makes a bit of planned
demand weigh more or less than one (resolvers that are coarser than shares, players that count otherwise); the
background is load that does not respond to weights.

**The step** is one of normalised least mean squares in the two unknowns: with φ = (flow, s) and θ = (factor,
background / s), θ moves by ``gain × φ × (load − φ·θ) / max(φ·φ, (LEARNS_AT × capacity)²)``, and is cut to 0.5 … 2 and
to at least 0. s is `BACKGROUND_SCALE` of capacity: so an edge with flow puts nearly all of a surprise into its factor,
and one without into its background; in between, what stays when the flow changes ends up in the background. An edge
with little flow learns slowly: there noise is large and matters little.

**Why it is stable.** Where load = φ·θ* for some θ* in the box, each step with a gain below 2 brings θ no farther from
θ*, whatever the flow does, and the error of the next projection shrinks by (1 − gain): the usual proof of the
projection algorithm (Goodwin and Sin, *Adaptive Filtering, Prediction and Control*, 1984, §3.3); the cut is a
projection onto a
convex set that holds θ*. The loop closes through the plan, which answers to a larger factor with less flow,
and sees the load follow only after a time. That time is in the flow already, as ``late``; where it is not known well
the gain keeps the loop slow against it: at most 1 / (2·TTL) per second (an integrator of that gain behind a dead time
of one TTL has a phase margin of 61 degrees), at most a half in a round, and less by the part of the flow that is in
transit, from which nothing can be learnt.

**Pre-shed.** From 95 % of capacity servers send viewers elsewhere. What is measured there is less than what the plan
sent, so that a load below the projection teaches nothing. What is missing then was led elsewhere and comes back no
faster than what moved: it counts as late, so that it is not missed either once the load has fallen below 95 %. Where
loads are told late, servers shed by what was a minute ago, and a load may be low for no other reason. So an edge that
the plan fills to 95 % by bits as they are learns only upwards: else a factor that fell by shedding would bring more
bits, and more shedding. What such an edge could take in addition shows as soon as it is given less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from gslb.plan.problem import F64, I64, UNLIMITED, Mask

UNKNOWN: Final = -1
"""The measured load of an edge that tells none."""
LEAST: Final = 0.5
MOST: Final = 2.0
"""Factors stay between these."""
BACKGROUND_SCALE: Final = 0.1
LEARNS_AT: Final = 0.2
SHEDS_AT: Final = 0.95
"""Parts of an edge's capacity: see above."""
MOST_GAIN: Final = 0.5


@dataclass(frozen=True, slots=True)
class Learnt:
    """What is known of edges; columns of equal length. ``late_bps`` is what flows there now less what the plan gives:
    above 0 where viewers have still to leave, below where they have still to come."""

    factor: F64
    background_bps: F64
    late_bps: F64

    @staticmethod
    def nothing(edges: int) -> Learnt:
        """Before any measurement."""
        return Learnt(np.ones(edges), np.zeros(edges), np.zeros(edges))

    def load(self, flow_bps: F64) -> F64:
        """The load to be seen now, where the plan gives ``flow_bps``."""
        return self.factor * np.maximum(flow_bps + self.late_bps, 0.0) + self.background_bps

    def passed(self, seconds: float, lag_s: float) -> Learnt:
        """The same ``seconds`` later, if nothing moves: what is late has come closer, with a time constant of
        ``lag_s``."""
        return Learnt(self.factor, self.background_bps, self.late_bps * math.exp(-max(seconds, 0.0) / lag_s))

    def moved(self, before_bps: F64, after_bps: F64) -> Learnt:
        """The same after a plan that gives ``after_bps`` in place of ``before_bps``: all of the difference is late."""
        return Learnt(self.factor, self.background_bps, self.late_bps + before_bps - after_bps)

    def without(self, gone: Mask) -> Learnt:
        """The same where nothing is on the way to or from some edges."""
        return Learnt(self.factor, self.background_bps, np.where(gone, 0.0, self.late_bps))


def gain(round_s: float, ttl_s: float) -> float:
    """The part of an error that a round of ``round_s`` corrects, where answers live ``ttl_s``."""
    return min(MOST_GAIN, round_s / (2 * max(ttl_s, 1)))


def learn(known: Learnt, flow_bps: F64, load_bps: I64, capacity_bps: I64, silent: Mask, step: float) -> Learnt:
    """One round's step. ``flow_bps`` is what the plan in force gives each edge by today's demand, ``load_bps`` what was
    measured, `UNKNOWN` where nothing was; edges that are ``silent`` (down, drained) teach nothing. ``step`` is `gain`.
    """
    capacity = np.maximum(capacity_bps.astype(np.float64), 1.0)
    flow = np.maximum(flow_bps + known.late_bps, 0.0)
    error = load_bps - known.load(flow_bps)
    heard = (load_bps > UNKNOWN) & ~silent & (capacity_bps > 0)
    heard &= (error > 0) | (np.maximum(load_bps, flow_bps) < SHEDS_AT * capacity)
    transit = np.abs(known.late_bps) / np.maximum(flow_bps + np.abs(known.late_bps), 1.0)
    scale = BACKGROUND_SCALE * capacity
    power = np.maximum(flow**2 + scale**2, (LEARNS_AT * capacity) ** 2)
    taken = np.where(heard, step * (1 - np.clip(transit, 0, 1)) * error / power, 0.0)
    factor = np.clip(known.factor + taken * flow, LEAST, MOST)
    shed = (load_bps >= SHEDS_AT * capacity) & ~silent & (capacity_bps > 0) & (error < 0)
    here = np.maximum(load_bps - known.background_bps, 0.0) / known.factor
    late = np.where(shed, here - flow_bps, known.late_bps)
    return Learnt(factor, np.maximum(known.background_bps + taken * scale**2, 0.0), late)


def surprise(projected_bps: I64, load_bps: I64, capacity_bps: I64, silent: Mask) -> tuple[F64, float]:
    """Load measured less load projected as part of capacity: of each edge, NaN where it is not known, and in total,
    weighted by capacity: Σ |difference| / Σ capacity of those that are known, 0 where none is."""
    known = (load_bps > UNKNOWN) & ~silent & (capacity_bps > 0) & (capacity_bps < UNLIMITED)
    capacity = np.where(known, capacity_bps, 1).astype(np.float64)
    difference = np.where(known, (load_bps - projected_bps) / capacity, np.nan)
    if not known.any():
        return difference, 0.0
    return difference, float(np.nansum(np.abs(difference) * capacity) / capacity[known].sum())
