"""What comes from outside in place of what would be drawn: PoPs, round trips and demand, and how a world takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gslb.model.demand import Demand
from gslb.model.rtt import RttTable

F64 = npt.NDArray[np.float64]


class ViewPlace(NamedTuple):
    """Viewers of one network in one metro. ``region`` is the metro's code. The views of public resolvers' sites have no
    demand: what such a resolver asks without Client Subnet, the server sees as coming from there."""

    name: str
    metro: str
    country: str
    region: str
    isp: str
    mobile: bool


@dataclass(frozen=True, slots=True)
class Site:
    """A PoP as it is asked for or imported; ``capacity_bps`` 0: what demand and the rules make it."""

    pop: str
    country: str
    region: str
    lat: float
    lon: float
    capacity_bps: int = 0


@dataclass(frozen=True, slots=True)
class Outside:
    """Outside data; None where there is none.

    ``rtt`` holds round trips as viewers measure them. ``paths_ms`` are round trips between anonymous places, of which
    only the distribution counts. Of ``demand`` the mean over its times counts.
    """

    sites: tuple[Site, ...] | None = None
    rtt: RttTable | None = None
    paths_ms: F64 | None = None
    demand: tuple[Demand, ...] | None = None


def measured_ms(table: RttTable, views: Sequence[ViewPlace], pops: Sequence[str]) -> F64:
    """What a table says of views and PoPs, shape (views, PoPs), NaN where it says nothing.

    The most exact row counts: country|region|isp, then country||isp, country|region|, country||, as servers have it.
    """
    by_key: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in table.rows:
        by_key.setdefault((row.country, row.region, row.isp), {})[row.pop] = row.rtt_ms
    found = np.full((len(views), len(pops)), np.nan)
    for at, view in enumerate(views):
        country, region, isp = view.country, view.region, view.isp
        for key in ((country, "", ""), (country, region, ""), (country, "", isp), (country, region, isp)):
            known = by_key.get(key, {})
            for column, pop in enumerate(pops):
                found[at, column] = known.get(pop, found[at, column])
    return found


def spread_like(paths_ms: F64, sample_ms: F64) -> F64:
    """Paths in the same order, from the shortest to the longest, whose distribution is that of a sample."""
    rank = np.empty(paths_ms.size, dtype=np.int64)
    rank[np.argsort(paths_ms, axis=None, kind="stable")] = np.arange(paths_ms.size)
    found: F64 = np.quantile(sample_ms, (rank + 0.5) / max(1, paths_ms.size)).reshape(paths_ms.shape)
    return found


def demand_shares(rows: Sequence[Demand], views: Sequence[ViewPlace], share: F64) -> F64:
    """Each view's part of all demand by a table; it sums to 1.

    A row goes to the views of its country, and of its region and ISP where the world knows those; among several it is
    split by ``share``, their parts in the drawn world. Rows of countries that the world does not have are left out.
    Raises ValueError where that leaves nothing.
    """
    asked: dict[tuple[str, str, str], int] = {}
    for row in rows:
        key = (row.country, row.region, row.isp)
        asked[key] = asked.get(key, 0) + row.demand_bps
    country = np.array([view.country for view in views])
    region = np.array([view.region for view in views])
    isp = np.array([view.isp for view in views])
    found = np.zeros(len(views))
    for key, total in asked.items():
        mine = np.where(country == key[0], share, 0.0)
        for column, text in ((region, key[1]), (isp, key[2])):
            narrower = np.where(column == text, mine, 0.0)
            if text and narrower.any():
                mine = narrower
        if mine.any():
            found += total * mine / mine.sum()
    if not found.any():
        raise ValueError("none of the demand is in a country of this world")
    parts: F64 = found / found.sum()
    return parts
