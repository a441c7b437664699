"""Where people live and by whom they are connected: the facts of the world, and distances on it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from gslb.errors import Findings
from gslb.geo.sheet import Sheet
from gslb.model.geography import CONTINENT_OF

F64 = npt.NDArray[np.float64]

EARTH_KM: Final = 6371.0
"""Mean radius."""
FIXED, MOBILE = "fixed", "mobile"

METRO_COLUMNS = ("code", "name", "country", "lat", "lon", "population")
ISP_COLUMNS = ("country", "isp", "access", "share")


class Metro(NamedTuple):
    """A metropolitan area; ``code`` is unique and stands for the region in the keys of its views."""

    code: str
    name: str
    country: str
    lat: float
    lon: float
    population: int


class Network(NamedTuple):
    """An ISP in a country: ``share`` is its part of the demand of each metro there; they sum to 1."""

    isp: str
    mobile: bool
    share: float


@dataclass(frozen=True, slots=True)
class Facts:
    """The metros, most populous first, and the networks of each of their countries."""

    metros: tuple[Metro, ...]
    networks: dict[str, tuple[Network, ...]]


def shipped() -> Facts:
    """The facts that come with this package."""
    folder = files("gslb.simulate") / "facts"
    findings = Findings()
    found = read(
        (folder / "metros.csv").read_bytes(), (folder / "isps.csv").read_bytes(), findings, ("metros.csv", "isps.csv")
    )
    findings.raise_if_any()
    return found


def read(metros: bytes, isps: bytes, findings: Findings, paths: tuple[str, str]) -> Facts:
    """Facts from the texts of two CSV tables, `METRO_COLUMNS` and `ISP_COLUMNS`; faults go to ``findings``."""
    of_country = _networks(paths[1], isps, findings)
    found = sorted(_metros(paths[0], metros, findings), key=lambda metro: (-metro.population, metro.code))
    usual = of_country.get("", ())
    return Facts(
        tuple(found),
        {
            country: tuple(
                Network(f"{country.lower()}-{network.isp}", network.mobile, network.share)
                for network in of_country.get(country, usual)
            )
            for country in sorted({metro.country for metro in found})
        },
    )


def distance_km(lat: F64, lon: F64, other_lat: F64, other_lon: F64) -> F64:
    """Great-circle distances between two sets of places, shape (places, others); degrees in (haversine)."""
    here, there = np.radians(lat)[:, None], np.radians(other_lat)[None, :]
    across = np.radians(lon)[:, None] - np.radians(other_lon)[None, :]
    half = np.sin((here - there) / 2) ** 2 + np.cos(here) * np.cos(there) * np.sin(across / 2) ** 2
    found: F64 = 2 * EARTH_KM * np.arcsin(np.sqrt(np.clip(half, 0.0, 1.0)))
    return found


def number(sheet: Sheet, line: int, fields: list[str], column: str, low: float, high: float) -> float | None:
    """The number in a column of a row, from ``low`` to ``high``; else None, and told."""
    text = fields[sheet.index(column)]
    try:
        found = float(text)
    except ValueError:
        found = np.nan
    if low <= found <= high:
        return found
    sheet.fault(line, column, f"{text!r} is not a number from {low:g} to {high:g}")
    return None


def _metros(path: str, text: bytes, findings: Findings) -> list[Metro]:
    sheet = Sheet(path, text, METRO_COLUMNS, METRO_COLUMNS, findings)
    found: dict[str, Metro] = {}
    for line, fields in sheet.rows():
        code, name, country = (fields[sheet.index(column)] for column in METRO_COLUMNS[:3])
        lat = number(sheet, line, fields, "lat", -90, 90)
        lon = number(sheet, line, fields, "lon", -180, 180)
        population = number(sheet, line, fields, "population", 1, 1e9)
        if not (len(code) == 3 and code.isascii() and code.isalnum() and code.upper() == code):
            sheet.fault(line, "code", f"{code!r} is not three capital letters or digits")
        elif code in found:
            sheet.fault(line, "code", f"{code!r} stands twice")
        elif country not in CONTINENT_OF:
            sheet.fault(line, "country", f"{country!r} is not an ISO 3166-1 country")
        elif lat is not None and lon is not None and population is not None:
            found[code] = Metro(code, name, country, lat, lon, int(population))
    sheet.finish()
    return list(found.values())


def _networks(path: str, text: bytes, findings: Findings) -> dict[str, tuple[Network, ...]]:
    sheet = Sheet(path, text, ISP_COLUMNS, ISP_COLUMNS, findings)
    found: dict[str, list[Network]] = {}
    for line, fields in sheet.rows():
        country, isp, access = (fields[sheet.index(column)] for column in ISP_COLUMNS[:3])
        share = number(sheet, line, fields, "share", 0, 1)
        if country and country not in CONTINENT_OF:
            sheet.fault(line, "country", f"{country!r} is not an ISO 3166-1 country")
        elif access not in (FIXED, MOBILE):
            sheet.fault(line, "access", f"{access!r} is not {FIXED} or {MOBILE}")
        elif share is not None:
            found.setdefault(country, []).append(Network(isp, access == MOBILE, share))
    sheet.finish()
    return {country: _normal(networks) for country, networks in found.items()}


def _normal(networks: list[Network]) -> tuple[Network, ...]:
    """Largest share first, in sum 1."""
    total = sum(network.share for network in networks) or 1.0
    ordered = sorted(networks, key=lambda network: -network.share)
    return tuple(Network(each.isp, each.mobile, each.share / total) for each in ordered)
