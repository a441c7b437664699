"""events.yaml as read → what is known to come; names are checked against services, ISPs and the inventory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from gslb.errors import Findings
from gslb.model.events import Events, Maintenance, Stream
from gslb.zone.dispatch_models import EventsModel, MaintenanceModel, StreamModel
from gslb.zone.dispatching import Inventory
from gslb.zone.inventory import IspBook
from gslb.zone.nodes import Text, quote
from gslb.zone.reading import Reading
from gslb.zone.scalars import did_you_mean

_List = Literal["streams", "maintenance"]


def events(
    reading: Reading[EventsModel] | None,
    services: Collection[str] | None,
    book: IspBook,
    inventory: Inventory,
    findings: Findings,
) -> Events:
    """The events, in the file's order; no file is none.

    ``services`` are the names of all services (text, lower case, final dot); None: not known, since a zone has faults.
    """
    if reading is None:
        return Events()
    model = reading.model
    streams = []
    for at, stream in zip(_places(reading, "streams", len(model.streams)), model.streams, strict=True):
        streams.append(_stream(reading, at, stream, services, book, findings))
    windows = []
    for at, window in zip(_places(reading, "maintenance", len(model.maintenance)), model.maintenance, strict=True):
        windows.append(_window(reading, at, window, inventory, findings))
    for section, named in (("streams", model.streams), ("maintenance", model.maintenance)):
        _names_once(reading.document.path, section, [each.name for each in named], findings)
    return Events(tuple(streams), tuple(windows))


def _places(reading: Reading[EventsModel], section: _List, count: int) -> Sequence[int]:
    """Where in the file's list each item of the model stands: items that are no mapping were left out."""
    whole = (at for at in range(count + len(reading.faults)) if (section, at) not in reading.faults)
    return [next(whole) for _ in range(count)]


def _stream(
    reading: Reading[EventsModel],
    at: int,
    stream: StreamModel,
    services: Collection[str] | None,
    book: IspBook,
    findings: Findings,
) -> Stream:
    path, document = reading.document.path, reading.document
    service = stream.service.lower().removesuffix(".") + "."
    if services is not None and service not in services and not reading.faulty("streams", at, "service"):
        hint = did_you_mean(service, sorted(services))
        findings.error(path, *document.place("streams", at, "service"), f"service: unknown {quote(service)}{hint}")
    view = stream.view
    if view.region is not None and view.country is None and not reading.faulty("streams", at, "view", "country"):
        findings.error(path, *document.place("streams", at, "view", "region"), "region: it stands without country")
    _check_times(reading, "streams", at, stream, findings)
    return Stream(
        name=str(stream.name),
        service=service,
        from_s=stream.from_,
        until_s=stream.until,
        demand_bps=stream.demand,
        country=view.country or "",
        region=view.region or "",
        isp=_isp(path, view.isp, book, findings),
        ramp_s=stream.ramp,
    )


def _window(
    reading: Reading[EventsModel], at: int, window: MaintenanceModel, inventory: Inventory, findings: Findings
) -> Maintenance:
    path, document = reading.document.path, reading.document
    place = document.key_place("maintenance", at)
    lost = reading.faulty("maintenance", at, "edge") or reading.faulty("maintenance", at, "pop")
    if window.edge is not None and window.pop is not None:
        findings.error(path, *place, "edge and pop stand both there; a window is of one of them")
    elif window.edge is None and window.pop is None and not lost:
        findings.error(path, *place, "neither edge nor pop is there; a window is of one of them")
    for key, kind, name, known in (
        ("edge", "edge", window.edge, inventory.edges),
        ("pop", "PoP", window.pop, inventory.pops),
    ):
        if name is not None and known is not None and name not in known:
            hint = did_you_mean(name, sorted(known))
            there = document.place("maintenance", at, key)
            findings.error(path, *there, f"{key}: unknown {kind} {quote(name)}{hint}")
    _check_times(reading, "maintenance", at, window, findings)
    return Maintenance(
        name=str(window.name),
        edge=str(window.edge or ""),
        pop=str(window.pop or ""),
        from_s=window.from_,
        until_s=window.until,
        drain_s=window.drain,
    )


def _check_times(
    reading: Reading[EventsModel], section: _List, at: int, event: StreamModel | MaintenanceModel, findings: Findings
) -> None:
    known = not reading.faulty(section, at, "from") and not reading.faulty(section, at, "until")
    if known and event.until <= event.from_:
        findings.error(reading.document.path, *reading.document.place(section, at, "until"), "until: not after from")


def _isp(path: str, isp: str | None, book: IspBook, findings: Findings) -> str:
    if isp is None:
        return ""
    if isp.startswith("AS") and isp[2:].isdigit():
        return book.by_asn.get(int(isp[2:]), str(isp))
    if book.known and isp not in book.names and isinstance(isp, Text):
        hint = did_you_mean(isp, sorted(book.names)) or "; ISPs are names of isps.yaml, or AS<number>"
        findings.error(path, isp.line, isp.column, f"isp: unknown ISP {quote(isp)}{hint}")
    return str(isp)


def _names_once(path: str, section: str, names: Sequence[str], findings: Findings) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen and isinstance(name, Text) and name.line:
            findings.error(path, name.line, name.column, f"name: {quote(name)} stands twice in {section}")
        seen.add(name)
