"""From the files to a catalog: the whole way, every fault of every file on it, and no file opened but databases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy.typing as npt

from gslb.errors import Findings
from gslb.geo import mmdb, resolvers, tables
from gslb.geo.facts import PLACE, Facts
from gslb.geo.isps import IspNames
from gslb.geo.layers import Layers
from gslb.geo.view import Geography, merge
from gslb.model.demand import Demand
from gslb.model.intent import Intent
from gslb.model.names import to_text
from gslb.model.rtt import RttTable
from gslb.snapshot import catalog, layout, places
from gslb.zone import check


@dataclass(frozen=True, slots=True)
class Files:
    """What all files say, as far as they could be read; ``findings`` are the faults of all of them.

    ``intent`` is None where `zones/` has errors.
    """

    findings: Findings
    intent: Intent | None
    layers: Layers
    resolvers: Sequence[resolvers.ResolverShare]
    rtt: RttTable
    demand: Sequence[Demand]


def read(
    zone_files: Mapping[str, bytes],
    tables_by_path: Mapping[str, bytes],
    databases: Sequence[tuple[str, Path]],
    findings: Findings | None = None,
    zones_dir: str | None = None,
) -> Files:
    """Read every file; what is found is added to ``findings``, which may tell already of files that could not be had.

    ``zones_dir`` is the folder of zones as people know it, for when there is nothing in it.
    ``zone_files`` are those of `zones/` and ``tables_by_path`` those of `data/`, by the path to show; ``databases`` the
    MMDB files by the path to show and the one to open.
    """
    checked = check.check(zone_files, zones_dir=zones_dir)
    findings = findings or Findings()
    findings.errors += checked.findings.errors
    findings.warnings += checked.findings.warnings
    isps = IspNames(checked.isps) if checked.isps is not None else IspNames.unknown()
    pops = {edge.pop for edge in checked.intent.edges} if checked.intent is not None else None
    folder = PurePath(zones_dir) if zones_dir is not None else check.folder_of(zone_files)
    networks: Facts | None = None
    if (path := str(folder / check.NETWORKS)) in zone_files:
        networks = tables.read_networks(path, zone_files[path], isps, findings)
    isp_tables: list[Facts] = []
    shares: Sequence[resolvers.ResolverShare] = ()
    rtt = RttTable()
    demand: Sequence[Demand] = ()
    for path, text in sorted(tables_by_path.items()):
        match PurePath(path).parts[-2:]:
            case ("isp", _):
                isp_tables.append(tables.read_networks(path, text, isps, findings))
            case (*_, "resolvers.csv"):
                shares = tables.read_resolvers(path, text, findings)
            case (*_, "rtt.csv"):
                rtt = tables.read_rtt(path, text, isps, findings, pops)
            case (*_, "demand.csv"):
                demand = tables.read_demand(path, text, isps, findings)
    found = [mmdb.read(path, isps, findings, shown=shown) for shown, path in sorted(databases)]
    layers = Layers(
        networks=networks,
        isp_tables=isp_tables,
        places=[facts for facts in found if facts is not None and facts.kind == PLACE],
        asns=[facts for facts in found if facts is not None and facts.kind != PLACE],
    )
    return Files(findings, checked.intent, layers, shares, rtt, demand)


def build(files: Files) -> dict[str, npt.NDArray[Any]] | None:
    """The sections of the catalog, as `draft`."""
    made = draft(files)
    return made.arrays() if made else None


def draft(files: Files) -> catalog.Draft | None:
    """The catalog to be written, or None where ``files.findings`` has errors, one of which may be found only here."""
    geography: Geography = merge(files.layers, files.findings)
    if files.findings.errors or files.intent is None:
        return None
    try:
        return catalog.build(files.intent, geography, resolvers.build(files.resolvers, geography), files.rtt)
    except places.TooManyGeometriesError as error:
        zone, service = next(
            (zone, service)
            for zone in files.intent.zones
            for service in zone.services
            if places.policy_key(service) == error.first
        )
        files.findings.error(zone.path, 0, 0, f"service {to_text(service.name)}: {error}")
        return None


def in_memory(arrays: Mapping[str, npt.NDArray[Any]], generation: bytes = bytes(32)) -> memoryview:
    """A catalog packed into one buffer, as its file would hold it; for those that keep it to themselves."""
    return memoryview(b"".join(layout.pack(layout.CATALOG_MAGIC, generation, arrays)))
