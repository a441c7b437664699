"""Measured round-trip times from networks of viewers to PoPs, as `data/rtt.csv` has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Rtt(NamedTuple):
    """One measurement: viewers of ``country|region|isp`` (empty text: any) to a PoP, in milliseconds."""

    country: str
    region: str
    isp: str
    pop: str
    rtt_ms: float


@dataclass(frozen=True, slots=True)
class RttTable:
    """All measurements, each of its (country, region, isp, pop) at most once, in the file's order."""

    rows: tuple[Rtt, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)
