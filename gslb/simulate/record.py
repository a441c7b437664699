"""What a run leaves behind: series by second and by minute, and what each round of dispatch did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

RTT_BORDERS_MS: Final = np.concatenate([np.arange(0.0, 100.0, 1.0), np.geomspace(100.0, 1000.0, 93)])
"""Borders of the bins in which round-trip times are counted; what is above the last falls into it."""
MINUTE_S: Final = 60


class RoundRecord(NamedTuple):
    """One round: when, in bits per second what moved by choice and by force, waits, is asked for, is above hard limits
    by the plan, and stayed unserved; by how much load differed from the projection (part of capacity); how many PoPs
    could not be lost; why servers refused it, empty where they did not."""

    at_s: int
    demand_bps: int
    moved_bps: int
    forced_bps: int
    waiting_bps: int
    overload_bps: int
    unserved_bps: int
    surprise: float
    shortfalls: int
    refused: str


@dataclass(frozen=True, slots=True)
class Record:
    """One policy's run of ``seconds`` (T) from ``begin_s`` on, of which M are whole minutes.

    By second: ``load_bps`` (T, E); ``demand_bps`` (T,), what all sessions that should run ask for; ``overload_bps``
    (T,) load above true capacity; ``waiting_bps`` (T,) of sessions without an edge; ``begun`` (T,) sessions that got
    one and ``failed`` (T,) attempts at a dead one or none; of new sessions from caches that keep TTLs and answered with
    an edge when it died: how many there are, ``affected`` (T,), and got another one, ``moved`` (T,).

    By minute: ``rtt_bps`` (M, bins) load by round-trip time; ``intended`` (M, E) the share of demand that servers mean
    an edge to have; ``churn`` (M,) the part of demand whose share moved since the minute before.

    ``session_bps`` is Σ rate² / Σ rate of sessions; ``concentration`` H = Σ share² of caches, ``concentration_cells``
    that of their entries, since each name is drawn for itself.
    """

    name: str
    title: str
    begin_s: int
    edges: tuple[str, ...]
    capacity_bps: F64
    load_bps: F32
    demand_bps: F64
    overload_bps: F64
    waiting_bps: F64
    begun: F64
    failed: F64
    affected: F64
    moved: F64
    rtt_bps: F64
    intended: F64
    churn: F64
    rounds: tuple[RoundRecord, ...]
    session_bps: float
    concentration: float
    concentration_cells: float
    questions: int
    builds: int

    @property
    def seconds(self) -> int:
        """How long the run was."""
        return len(self.demand_bps)


class Recorder:
    """A record in the making. Seconds before ``begin_s`` are not kept."""

    def __init__(self, begin_s: int, end_s: int, edges: int) -> None:
        self.begin_s = begin_s
        seconds, minutes = end_s - begin_s, -(-(end_s - begin_s) // MINUTE_S)
        self.load_bps = np.zeros((seconds, edges), dtype=np.float32)
        names = ("demand_bps", "overload_bps", "waiting_bps", "begun", "failed", "affected", "moved")
        self.by_second = {name: np.zeros(seconds) for name in names}
        self.rtt_bps = np.zeros((minutes, len(RTT_BORDERS_MS)))
        self.intended = np.zeros((minutes, edges))
        self.churn = np.zeros(minutes)
        self.rounds: list[RoundRecord] = []

    def second(self, now_s: int, load_bps: F64, **values: float) -> None:
        """Keep the load of a second, and count ``values``."""
        if now_s >= self.begin_s:
            self.load_bps[now_s - self.begin_s] = load_bps
        self.count(now_s, **values)

    def count(self, now_s: int, **values: float) -> None:
        """Add to what is kept of a second."""
        if now_s >= self.begin_s:
            for name, value in values.items():
                self.by_second[name][now_s - self.begin_s] += value

    def minute(self, now_s: int, rtt_ms: F64, rate_bps: F64, intended: F64, churn: float) -> None:
        """Keep a minute: round-trip times of sessions with their rates, and the rest."""
        at, rest = divmod(now_s - self.begin_s, MINUTE_S)
        if at >= 0 and rest == 0:
            bins = np.searchsorted(RTT_BORDERS_MS, rtt_ms, side="right") - 1
            self.rtt_bps[at] = np.bincount(np.maximum(bins, 0), weights=rate_bps, minlength=len(RTT_BORDERS_MS))
            self.intended[at] = intended
            self.churn[at] = churn
