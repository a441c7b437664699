"""The affinity ``nearest``: edges in bands of round-trip time, measured where a table has it, else from distance.

An estimate is the great circle times `MS_PER_KM`: light takes 1 ms there and back over 100 km of fibre, and cables are
taken to be half as long again as the great circle. Bands keep edges that are about equally far on one level, where
weights decide between them; they are narrow near the client and wide far off.

Coordinates become bands without libm: sines by a polynomial, and chords compared with the chords of the borders. Each
step is one IEEE 754 operation, so every machine draws the same lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from gslb.model.inventory import Edge
from gslb.model.rtt import RttTable
from gslb.model.view import View, ViewTable

BORDERS_MS: Final = (5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0, 120.0, 150.0, 200.0, 250.0, 300.0)
"""Upper ends of the bands, each within its band; what is above the last one is the last band, 15."""
MS_PER_KM: Final = 0.015
SAME_COUNTRY_MS: Final = 30.0
"""Taken for a client of unknown coordinates to an edge in its country."""
SAME_CONTINENT_MS: Final = 100.0
"""And to an edge on its continent; every other edge is in the last band."""

LAST_BAND: Final = len(BORDERS_MS)
_EARTH_KM: Final = 6371.0
_PI: Final = 3.141592653589793
_NOT_MEASURED: Final = 255

F64 = npt.NDArray[np.float64]
Bands = npt.NDArray[np.uint8]


def bands(
    views: ViewTable, edges: Sequence[Edge], rtt: RttTable, kinds: ViewTable, of_view: npt.NDArray[np.intp]
) -> Bands:
    """The band of each edge for each view, uint8 of shape (views, edges), 0 the nearest.

    ``kinds`` holds one view of each kind that differs in what the RTT table and the places of edges tell apart;
    ``of_view`` is the kind of each view. A measurement to the edge's PoP counts before any estimate, the most exact
    one that there is for the PoP: country|region|isp, then country||isp, country|region|, country||.
    """
    found = np.empty((len(views), len(edges)), dtype=np.uint8)
    measured = _measured(kinds, edges, rtt)
    assumed = _assumed(kinds, edges)
    unknown = np.isnan(views.lat) | np.isnan(views.lon)
    at = _unit(np.where(unknown, 0.0, views.lat), np.where(unknown, 0.0, views.lon))
    by_site: dict[tuple[float, float], Bands] = {}
    for number, edge in enumerate(edges):
        site = (edge.location.lat, edge.location.lon)
        if site not in by_site:
            by_site[site] = _from_distance(at, *site)
        estimate = np.where(unknown, assumed[of_view, number], by_site[site])
        known = measured[of_view, number]
        found[:, number] = np.where(known == _NOT_MEASURED, estimate, known)
    return found


def band_of(rtt_ms: float) -> int:
    """The band of one round-trip time."""
    return int(np.searchsorted(np.array(BORDERS_MS), rtt_ms, side="left"))


def _measured(kinds: ViewTable, edges: Sequence[Edge], rtt: RttTable) -> Bands:
    found = np.full((len(kinds), len(edges)), _NOT_MEASURED, dtype=np.uint8)
    by_key: dict[tuple[str, str, str], dict[str, int]] = {}
    for row in rtt.rows:
        by_key.setdefault((row.country, row.region, row.isp), {})[row.pop] = band_of(row.rtt_ms)
    if by_key:
        for at in range(len(kinds)):
            found[at] = _best_known(kinds.view(at), edges, by_key)
    return found


def _best_known(
    view: View, edges: Sequence[Edge], by_key: Mapping[tuple[str, str, str], Mapping[str, int]]
) -> list[int]:
    country, region, isp = view.country, view.region, view.isp
    keys = ((country, region, isp), (country, "", isp), (country, region, ""), (country, "", ""))
    tables = [by_key[key] for key in keys if country and key in by_key]
    return [next((table[edge.pop] for table in tables if edge.pop in table), _NOT_MEASURED) for edge in edges]


def _assumed(kinds: ViewTable, edges: Sequence[Edge]) -> Bands:
    """Bands for clients without coordinates."""
    found = np.full((len(kinds), len(edges)), LAST_BAND, dtype=np.uint8)
    number = {text: at for at, text in enumerate(kinds.strings) if text}
    for at, edge in enumerate(edges):
        for column, text, rtt_ms in (
            (kinds.continent, edge.location.continent, SAME_CONTINENT_MS),
            (kinds.country, edge.location.country, SAME_COUNTRY_MS),
        ):
            if text in number:
                found[column == number[text], at] = band_of(rtt_ms)
    return found


def _from_distance(at: tuple[F64, F64, F64], lat: float, lon: float) -> Bands:
    """The bands of points on the unit sphere by their chord to a place."""
    site = _unit(np.array([lat]), np.array([lon]))
    square = np.zeros(len(at[0]))
    for ours, theirs in zip(at, site, strict=True):
        gap = ours - theirs
        square = square + gap * gap
    return np.searchsorted(_BORDER_CHORDS, square, side="left").astype(np.uint8)


def _unit(lat: F64, lon: F64) -> tuple[F64, F64, F64]:
    """Points on the unit sphere; degrees in."""
    ring = _sin(90.0 - np.abs(lat))
    return ring * _sin(90.0 - np.abs(lon)), ring * _sin(lon), _sin(lat)


def _sin(degrees: F64) -> F64:
    """The sine of angles from -180° to 180°, by its Taylor series up to the 21st power on -90° … 90°."""
    folded = np.where(degrees > 90.0, 180.0 - degrees, np.where(degrees < -90.0, -180.0 - degrees, degrees))
    x = folded * (_PI / 180.0)
    square = x * x
    total = np.ones_like(x)
    for power in range(20, 0, -2):
        total = 1.0 - total * square / float(power * (power + 1))
    return x * total


def _border_chords() -> F64:
    """Squared chords of the borders. The last border, 20,000 km, lies just short of the antipode."""
    km = np.array(BORDERS_MS) / MS_PER_KM
    half = _sin(km / _EARTH_KM / 2.0 * (180.0 / _PI))
    return 4.0 * half * half


_BORDER_CHORDS: Final = _border_chords()
