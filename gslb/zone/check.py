"""The whole of `zones/`: every file read, every fault told, and what the files mean when there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

from gslb.errors import ConfigError, Findings
from gslb.model.intent import Intent, Service, Zone
from gslb.model.inventory import Isp
from gslb.model.names import ROOT, to_text
from gslb.zone import dispatching, events, inventory, names, pools, records, services, zones
from gslb.zone.dispatch_models import DispatchModel, EventsModel
from gslb.zone.models import EdgesModel, IspsModel, Model, ZoneModel
from gslb.zone.nodes import Text, quote
from gslb.zone.parse import parse
from gslb.zone.reading import Reading, read
from gslb.zone.zonecheck import ZoneDraft, check_targets, check_zone

EDGES = "edges.yaml"
ISPS = "isps.yaml"
NETWORKS = "networks.csv"
DISPATCH = "dispatch.yaml"
EVENTS = "events.yaml"
RESERVED = (EDGES, ISPS, "slo.yaml", DISPATCH, "contracts.yaml", EVENTS)
"""Names that no zone may have."""
MAX_ZONES = 65535

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check came to. ``intent`` is None where ``findings`` has errors; ``isps`` is None where isps.yaml has.

    Errors and warnings are sorted by place, each told once.
    """

    intent: Intent | None
    findings: Findings
    isps: tuple[Isp, ...] | None


def check(files: Mapping[str, bytes], *, zones_dir: str | None = None) -> Checked:
    """Check the files of `zones/`, given as content by the path to show.

    ``zones_dir`` is the folder as shown, taken from the paths if None. Zones are its ``*.yaml`` but for the reserved
    names; files in folders below it, and of other endings, are only read where a zone includes them.
    """
    findings = Findings()
    folder = PurePosixPath(zones_dir) if zones_dir is not None else folder_of(files)
    found = {path: PurePosixPath(path) for path in sorted(files)}
    here = {path.name: shown for shown, path in found.items() if path.parent == folder}
    book, isps = _isps(here.get(ISPS), files, findings)
    edges = _edges(folder, here.get(EDGES), files, findings)
    readings = []
    for name, shown in here.items():
        if name.endswith(".yml"):
            findings.error(shown, 0, 0, f"not read: a zone's file ends in .yaml ({name[:-4]}.yaml)")
        elif name.endswith(".yaml") and name not in RESERVED:
            readings.append(read(ZoneModel, parse(shown, files[shown], findings), findings))
    if not readings:
        findings.error(str(folder), 0, 0, "no zone: there is no *.yaml but for reserved names")
    made_edges = inventory.edges(edges, book, findings) if edges is not None else ()
    placed = pools.gather(readings, edges, findings)
    pools.check_references(readings, findings)
    made_zones, included = _zones(readings, files, findings)
    _stray(found, folder, included, findings)
    stock = dispatching.inventory_of(edges, made_edges)
    rules = dispatching.rules(_read(DispatchModel, here.get(DISPATCH), files, findings), stock, findings)
    known = _service_names(readings, made_zones)
    coming = events.events(_read(EventsModel, here.get(EVENTS), files, findings), known, book, stock, findings)
    if edges is not None:
        all_services: list[Service] = [service for zone in made_zones for service in zone.services]
        pools.warn(readings, placed, made_edges, all_services, edges, findings)
    findings.errors = _settled(findings.errors)
    findings.warnings = _settled(findings.warnings)
    if findings.errors or edges is None:
        return Checked(None, findings, isps)
    intent = Intent(
        zones=tuple(made_zones),
        edges=made_edges,
        pools=tuple(placed[name].pool for name in sorted(placed)),
        isps=book.isps,
        health=inventory.health_rules(edges.model),
        rate_limit=inventory.rate_limit(edges.model),
        dispatch=rules,
        events=coming,
    )
    return Checked(intent, findings, isps)


def folder_of(files: Mapping[str, bytes]) -> PurePosixPath:
    """The folder of zones, told from the paths of its files."""
    paths = [PurePosixPath(path) for path in files]
    return min(paths, key=lambda path: len(path.parts)).parent if paths else PurePosixPath("zones")


def _settled(told: list[ConfigError]) -> list[ConfigError]:
    """Sorted by place, each once: a file that two zones include has its faults only once."""
    return [once for _, once in sorted({error.place(): error for error in told}.items())]


def _isps(
    shown: str | None, files: Mapping[str, bytes], findings: Findings
) -> tuple[inventory.IspBook, tuple[Isp, ...] | None]:
    before = len(findings.errors)
    reading = _read(IspsModel, shown, files, findings)
    book = inventory.isp_book(reading, findings)
    return book, book.isps if len(findings.errors) == before else None


def _edges(
    folder: PurePosixPath, shown: str | None, files: Mapping[str, bytes], findings: Findings
) -> Reading[EdgesModel] | None:
    if shown is None:
        findings.error(str(folder / EDGES), 0, 0, "the file is missing")
    return _read(EdgesModel, shown, files, findings)


def _read(model: type[M], shown: str | None, files: Mapping[str, bytes], findings: Findings) -> Reading[M] | None:
    return read(model, parse(shown, files[shown], findings), findings) if shown is not None else None


def _service_names(readings: list[Reading[ZoneModel]], made: Sequence[Zone]) -> set[str] | None:
    """The names of all services; None where a zone has faults that could hide one."""
    if any(reading.faulty("services") or reading.faulty("zone") for reading in readings):
        return None
    return {to_text(service.name) for zone in made for service in zone.services}


def _zones(
    readings: list[Reading[ZoneModel]], files: Mapping[str, bytes], findings: Findings
) -> tuple[list[Zone], set[str]]:
    """The zones, sorted by name, as far as they can be made, and the files they include."""
    by_name: dict[bytes, Reading[ZoneModel]] = {}
    included: set[str] = set()
    drafts: list[tuple[Reading[ZoneModel], ZoneDraft]] = []
    for reading in readings:
        path = reading.document.path
        known = _zone_name(reading, findings)
        name = known if known is not None else ROOT
        place = reading.document.place("zone")
        if known in by_name:
            reason = f"zone {quote(to_text(name))} stands in {by_name[name].document.path} already"
            findings.error(path, *place, reason)
        elif known is not None:
            by_name[known] = reading
        gathered, paths = records.gather(reading, name, files, findings)
        gathered.partial = gathered.partial or known is None
        included |= paths
        drafts.append((reading, ZoneDraft(path, place, name, gathered, services.named(reading, name, findings))))
    if len(drafts) > MAX_ZONES:
        findings.error(drafts[0][1].path, 0, 0, f"{len(drafts)} zones; at most {MAX_ZONES} fit")
    apexes = {name: reading.document.path for name, reading in by_name.items()}
    made = []
    for reading, draft in drafts:
        check_zone(draft, apexes if draft.name in apexes else {}, findings)
        settled = services.resolve(reading, draft.name, draft.services, findings)
        made.append(zones.make(reading, draft, settled, findings))
    check_targets([draft for _, draft in drafts], findings)
    return sorted(made, key=lambda zone: zone.name), included


def _zone_name(reading: Reading[ZoneModel], findings: Findings) -> bytes | None:
    """The zone's name; None where it is not known: the rest is then checked as if it were the root."""
    text = reading.model.zone
    if not isinstance(text, Text) or ("zone",) in reading.faults:
        return None
    try:
        if text == "@":
            raise ValueError('"@" is not the name of a zone')
        return names.owner(text, ROOT)
    except ValueError as error:
        findings.error(reading.document.path, text.line, text.column, f"zone: {error}")
        return None


def _stray(found: Mapping[str, PurePosixPath], folder: PurePosixPath, included: set[str], findings: Findings) -> None:
    """Warn of files that look as if they were meant to be served."""
    for shown, path in found.items():
        if path.parent != folder and path.suffix in (".yaml", ".yml"):
            findings.warn(shown, 0, 0, f"not read: a zone's file lies in {folder} itself")
        elif path.parent != folder and path.name == NETWORKS:
            findings.warn(shown, 0, 0, f"not read: {NETWORKS} lies in {folder} itself")
        elif path.suffix == ".zone" and shown not in included:
            findings.warn(shown, 0, 0, "not read: no zone includes it")
