"""The affinity ``nearest``: bands of measured and of estimated round-trip time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.model.inventory import Edge, Location
from gslb.model.rtt import Rtt, RttTable
from gslb.model.view import View, ViewTable
from gslb.policy import nearest
from gslb.policy.affinity import NEVER, levels


def edge(pop: str, lat: float, lon: float, country: str = "DE", continent: str = "EU", fence: str = "") -> Edge:
    place = Location(country, "", lat, lon, continent)
    return Edge(f"{pop}-1", pop, (b"\xcb\0\x71\x01",), (), place, fence=tuple(fence.split()))


FRA = edge("fra", 50.1, 8.7)
LHR = edge("lhr", 51.5, -0.1, "GB")
IAD = edge("iad", 39.0, -77.5, "US", "NA")
NRT = edge("nrt", 35.7, 139.7, "JP", "AS")
EDGES = [FRA, LHR, IAD, NRT]
NOTHING = RttTable()


def found(
    view: View, rtt: RttTable = NOTHING, edges: list[Edge] = EDGES, weights: tuple[int, ...] = (1, 1, 1, 1)
) -> list[int]:
    """Levels of one view beside others."""
    table = ViewTable.of([View(lat=1.0, lon=2.0), view, View("BR")])
    return levels(table, edges, weights, ("nearest",), rtt)[2].tolist()


MEASURED = RttTable(
    (
        Rtt("DE", "", "", "fra", 9.0),
        Rtt("DE", "", "", "lhr", 17.0),
        Rtt("DE", "BE", "", "lhr", 22.0),
        Rtt("DE", "", "dtag", "lhr", 41.0),
        Rtt("DE", "BE", "dtag", "lhr", 55.0),
        Rtt("DE", "BE", "dtag", "iad", 5.0),
        Rtt("", "", "", "nrt", 1.0),
    )
)
BERLIN = (52.5, 13.4)
ROWS = [
    # why, view, table, bands of fra, lhr, iad, nrt
    ("by distance: 422, 929, 6,732, 8,917 km", View("DE", "BE", "x", lat=52.5, lon=13.4), NOTHING, [1, 2, 10, 11]),
    ("at the site: 0, 637, 6,555, 9,331 km", View("DE", lat=50.1, lon=8.7), NOTHING, [0, 1, 9, 11]),
    ("coordinates unknown: country, continent", View("DE", continent="EU"), NOTHING, [4, 9, 15, 15]),
    ("country unknown too", View(continent="AS"), NOTHING, [15, 15, 15, 9]),
    ("nothing known", View(), NOTHING, [15, 15, 15, 15]),
    ("measured for the country", View("DE", "HE", "x", lat=52.5, lon=13.4), MEASURED, [1, 3, 10, 11]),
    ("for the region", View("DE", "BE", "x", lat=52.5, lon=13.4), MEASURED, [1, 4, 10, 11]),
    ("for the carrier", View("DE", "HE", "dtag", lat=52.5, lon=13.4), MEASURED, [1, 6, 10, 11]),
    ("for the carrier in the region", View("DE", "BE", "dtag", lat=52.5, lon=13.4), MEASURED, [1, 7, 0, 11]),
    ("measured, where it is unknown", View("DE", "BE", "x", continent="EU"), MEASURED, [1, 4, 15, 15]),
    ("no country, no row", View(isp="dtag", lat=52.5, lon=13.4), MEASURED, [1, 2, 10, 11]),
]


@pytest.mark.parametrize(("why", "view", "rtt", "wanted"), ROWS, ids=[row[0] for row in ROWS])
def test_bands(why: str, view: View, rtt: RttTable, wanted: list[int]) -> None:
    assert found(view, rtt) == wanted


def test_fences_and_weight_0_hold() -> None:
    edges = [FRA, edge("lhr", 51.5, -0.1, "GB", fence="GB"), IAD, NRT]
    assert found(View("DE", lat=50.1, lon=8.7), NOTHING, edges, (0, 1, 1, 1)) == [NEVER, NEVER, 9, 11]


@pytest.mark.parametrize(
    ("rtt_ms", "band"), [(0.1, 0), (5.0, 0), (5.001, 1), (10, 1), (12.5, 2), (300, 14), (300.1, 15), (9999, 15)]
)
def test_borders_belong_to_the_band_below(rtt_ms: float, band: int) -> None:
    assert nearest.band_of(rtt_ms) == band


@settings(derandomize=True, deadline=None)
@given(st.floats(-90, 90, width=32), st.floats(-180, 180, width=32), st.floats(-90, 90), st.floats(-180, 180))
def test_distance_agrees_with_the_haversine_formula(lat: float, lon: float, to_lat: float, to_lon: float) -> None:
    a = math.sin(math.radians(to_lat - lat) / 2) ** 2
    a += math.cos(math.radians(lat)) * math.cos(math.radians(to_lat)) * math.sin(math.radians(to_lon - lon) / 2) ** 2
    rtt_ms = 2 * 6371.0 * math.asin(min(1.0, math.sqrt(a))) * nearest.MS_PER_KM
    band = levels(
        ViewTable.of([View("DE", lat=lat, lon=lon)]), [edge("a", to_lat, to_lon)], [1], ("nearest",), NOTHING
    )[1, 0]
    # Both are rounded; a border may fall between them by a hair.
    assert band in {nearest.band_of(rtt_ms * (1 - 1e-9) - 1e-9), nearest.band_of(rtt_ms * (1 + 1e-9) + 1e-9)}


def test_views_of_one_place_are_computed_alike() -> None:
    table = ViewTable.of([View("DE", isp=f"AS{n}", lat=52.5, lon=13.4) for n in range(1, 50)])
    of_views = levels(table, EDGES, [1] * 4, ("nearest",), MEASURED)
    assert np.all(of_views[1:] == of_views[1])
