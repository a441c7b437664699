"""How much each network of viewers asks for, as `data/demand.csv` has it."""

from __future__ import annotations

from typing import NamedTuple


class Demand(NamedTuple):
    """Traffic of one service to viewers of ``country|region|isp`` (empty text: not told apart) at one time.

    ``time_s`` counts seconds since 1970 in UTC. ``service`` is the name as the table has it, in lower case and with
    its final dot.
    """

    time_s: int
    service: str
    country: str
    region: str
    isp: str
    demand_bps: int
