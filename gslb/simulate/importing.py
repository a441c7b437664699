"""Outside data, text in: PoPs, round trips and demand, every fault told at its place.

A scenario names such files in `imports:`; `outside_of` reads them, and `world_of` makes its world.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from gslb.errors import ConfigError, Findings
from gslb.geo import tables
from gslb.geo.isps import IspNames
from gslb.geo.sheet import Sheet
from gslb.model.geography import CONTINENT_OF
from gslb.simulate import failing, geography, world
from gslb.simulate.geography import Facts, Metro
from gslb.simulate.outside import Outside, Site
from gslb.simulate.scenario import Scenario
from gslb.simulate.world import World

F64 = npt.NDArray[np.float64]

POP_COLUMNS = ("code", "city", "country", "country_code", "latitude", "longitude", "pricing_region", "capacity_bps")
REQUIRED_POP_COLUMNS = ("code", "country_code", "latitude", "longitude")
MS_OF = {"ms": 1.0, "s": 1000.0}
_SAME_METRO_KM = 100.0
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_MAX_ERRORS = 20


def world_of(scenario: Scenario, path: str, open_file: Callable[[str], bytes], facts: Facts | None = None) -> World:
    """The world of a scenario; ``open_file`` gives the content of a file that it names.

    Raises `ConfigErrors` for faults of such files, `ConfigError` of the scenario at ``path`` where it makes no world.
    """
    facts = facts or geography.shipped()
    given = outside_of(scenario, open_file, world.metros_of(scenario.world, facts))
    try:
        found = world.build(scenario.world, facts, scenario.demand.mean_bps, scenario.seed, given)
        for failure in scenario.failures:
            failing.struck(failure, found)
    except ValueError as error:
        raise ConfigError(path, 0, 0, f"world: {error}") from error
    return found


def outside_of(scenario: Scenario, open_file: Callable[[str], bytes], metros: Sequence[Metro]) -> Outside:
    """The outside data of a scenario. Raises `ConfigErrors` with the faults of all files."""
    findings, names = Findings(), scenario.imports
    sites = read_pops(names.pops, open_file(names.pops), metros, findings) if names.pops else None
    isps = IspNames.unknown()
    rtt = tables.read_rtt(names.rtt, open_file(names.rtt), isps, findings) if names.rtt else None
    demand = tables.read_demand(names.demand, open_file(names.demand), isps, findings) if names.demand else None
    paths = None
    if names.rtt_matrix:
        matrix = read_matrix(names.rtt_matrix, open_file(names.rtt_matrix), findings, MS_OF[names.rtt_matrix_unit])
        paths = paths_of(matrix)
        if not len(paths) and not findings.errors:
            findings.error(names.rtt_matrix, 0, 0, "no round trip between two nodes is above 0")
    findings.raise_if_any()
    return Outside(sites, rtt, paths, None if demand is None else tuple(demand))


def read_pops(path: str, text: bytes, metros: Sequence[Metro], findings: Findings) -> tuple[Site, ...]:
    """PoPs from a CSV table with `POP_COLUMNS`, of which `REQUIRED_POP_COLUMNS` must be there; degrees and bps.

    A PoP's name is its code in lower case. Its region is that of the nearest of ``metros`` in its country within
    100 km, so that viewers and edges of one city share it; elsewhere none.
    """
    sheet = Sheet(path, text, POP_COLUMNS, REQUIRED_POP_COLUMNS, findings)
    found: dict[str, Site] = {}
    for line, fields in sheet.rows():
        code, country = fields[sheet.index("code")], fields[sheet.index("country_code")]
        lat = geography.number(sheet, line, fields, "latitude", -90, 90)
        lon = geography.number(sheet, line, fields, "longitude", -180, 180)
        bps: float | None = 0.0
        if fields[sheet.index("capacity_bps")]:
            bps = geography.number(sheet, line, fields, "capacity_bps", 1, 1e18)
        if not _CODE.fullmatch(code):
            sheet.fault(line, "code", f"{code!r} is not a name of letters and digits")
        elif code.lower() in found:
            sheet.fault(line, "code", f"{code!r} stands twice")
        elif country not in CONTINENT_OF:
            sheet.fault(line, "country_code", f"{country!r} is not an ISO 3166-1 country")
        elif lat is not None and lon is not None and bps is not None:
            region = _region(country, lat, lon, metros)
            found[code.lower()] = Site(code.lower(), country, region, lat, lon, int(bps))
    before = sheet.faults
    sheet.finish()
    if not found and not before and not findings.errors:
        findings.error(path, 0, 0, "the table holds no PoP")
    return tuple(found.values())


def read_matrix(path: str, text: bytes, findings: Findings, ms_per_unit: float = 1.0) -> F64:
    """A square matrix of round trips between nodes, numbers apart by blanks, a line for a row → ms.

    What is no measurement (NaN, below 0) becomes NaN. A fault makes the matrix empty.
    """
    rows: list[list[float]] = []
    errors: list[tuple[int, int, str]] = []
    lines = [(number, line) for number, line in enumerate(text.split(b"\n"), 1) if line.strip()]
    for number, line in lines:
        row = []
        for token in re.finditer(rb"\S+", line):
            try:
                row.append(float(token[0]))
            except ValueError:
                shown = token[0].decode("utf-8", "backslashreplace")
                errors.append((number, token.start() + 1, f"{shown!r} is not a number"))
        if len(row) != len(lines) and not errors:
            errors.append((number, 1, f"{len(row)} numbers in a matrix of {len(lines)} lines"))
        rows.append(row)
    if not lines:
        errors.append((0, 0, "the file is empty"))
    for number, column, reason in errors[:_MAX_ERRORS]:
        findings.error(path, number, column, reason)
    if errors:
        return np.zeros((0, 0))
    found = np.array(rows) * ms_per_unit
    return np.where(np.isfinite(found) & (found >= 0), found, math.nan)


def paths_of(matrix: F64) -> F64:
    """The round trips between different nodes of a matrix, each pair once or twice as it stands, sorted; only those
    above 0."""
    between = matrix[~np.eye(len(matrix), dtype=np.bool_)]
    return np.sort(between[between > 0])


def _region(country: str, lat: float, lon: float, metros: Sequence[Metro]) -> str:
    own = [metro for metro in metros if metro.country == country]
    if not own:
        return ""
    km = geography.distance_km(
        np.array([lat]),
        np.array([lon]),
        np.array([metro.lat for metro in own]),
        np.array([metro.lon for metro in own]),
    )[0]
    nearest = int(np.argmin(km))
    return own[nearest].code if km[nearest] <= _SAME_METRO_KM else ""
