"""What a new catalog changes against an old one: records, services, edges, and which clients move from edge to edge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import dns.rdatatype
import msgspec
import numpy.typing as npt

from gslb.model.demand import Demand
from gslb.model.names import to_text
from gslb.snapshot import moves
from gslb.snapshot.contents import Contents, RecordSet, ServiceFacts

Arrays = Mapping[str, npt.NDArray[Any]]

RecordKey = tuple[bytes, int, bool]

ADDED, REMOVED, CHANGED, READDRESSED = "added", "removed", "changed", "readdressed"
_PER_NETWORK = 256.0  # addresses in a /24
_SHOWN_FLOWS = 12
_LEAST_SHOWN = 0.0005


class HasArrays(Protocol):
    """A catalog, as far as a comparison goes: its sections by name."""

    @property
    def arrays(self) -> Arrays:
        """The sections of `layout.CATALOG_SECTIONS`."""


class RecordChange(msgspec.Struct, frozen=True):
    """A record set that is added, removed or changed: owner and type, and how many records it has after (before, if
    removed)."""

    name: str
    rtype: str
    change: str
    count: int


class KeyChange(msgspec.Struct, frozen=True):
    """A key of a service and what it says before and after."""

    key: str
    old: str
    new: str


class EdgeChange(msgspec.Struct, frozen=True):
    """An edge that is added, removed, or keeps its name and gets other addresses: then its clients do not count as
    moved."""

    edge: str
    change: str


class Flow(msgspec.Struct, frozen=True):
    """Clients that go from one edge to another; an empty name: no edge. ``fraction`` is of the service's known space
    (or demand)."""

    old: str
    new: str
    fraction: float


class ServiceDiff(msgspec.Struct, frozen=True):
    """One service. ``change`` is added, removed, changed (its keys or its pool) or empty.

    ``networks`` is the known space in IPv4 /24s and ``fraction`` the part of it that moves; ``max_change`` is the
    smaller of what the old and the new catalog let move. ``demand_bps`` is None without demand of this service, else
    the mean demand that could be placed, ``demand_fraction`` the part of it that moves; ``unplaced`` names the demand's
    keys without address space in the new catalog. An added service moves nobody; from a removed one all clients go to
    no edge.
    """

    service: str
    change: str = ""
    keys: tuple[KeyChange, ...] = ()
    networks: float = 0.0
    fraction: float = 0.0
    max_change: float = 1.0
    flows: tuple[Flow, ...] = ()
    demand_bps: float | None = None
    demand_fraction: float = 0.0
    demand_flows: tuple[Flow, ...] = ()
    unplaced: tuple[str, ...] = ()


class Diff(msgspec.Struct, frozen=True):
    """All of it; every list is sorted by name. `lines` is the same for people."""

    records: tuple[RecordChange, ...]
    edges: tuple[EdgeChange, ...]
    services: tuple[ServiceDiff, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing changes that a client could see."""
        return not self.records and not self.edges and not any(each.change or each.flows for each in self.services)

    def lines(self) -> Iterator[str]:
        """One change a line, what moves clients last."""
        for record in self.records:
            yield f"record {record.name} {record.rtype} {record.change}, {_counted(record.count, 'record')}"
        for edge in self.edges:
            yield f"edge {edge.edge} {edge.change}" + (
                ", its clients stay with it" if edge.change == READDRESSED else ""
            )
        moved: dict[tuple[Flow, ...], str] = {}
        for service in self.services:
            yield from _service_lines(service, moved.setdefault(service.flows, service.service))
        if self.empty:
            yield "no change"


def diff(old: HasArrays, new: HasArrays, demand: Sequence[Demand] = ()) -> Diff:
    """Compare two catalogs; ``demand`` are the rows of `data/demand.csv`, where there are any."""
    before, after = Contents(old.arrays), Contents(new.arrays)
    return Diff(
        records=tuple(_records(before.records(), after.records())),
        edges=tuple(_edges(before.edges(), after.edges())),
        services=tuple(_services(before, after, demand)),
    )


def _records(old: Mapping[RecordKey, RecordSet], new: Mapping[RecordKey, RecordSet]) -> Iterator[RecordChange]:
    changed = [key for key in old.keys() | new.keys() if old.get(key) != new.get(key)]
    for key in sorted(changed, key=lambda key: (to_text(key[0]), *key[1:])):
        name, rtype, _ = key
        held = new.get(key) or old[key]
        type_text = dns.rdatatype.to_text(dns.rdatatype.RdataType.make(rtype))
        yield RecordChange(to_text(name), type_text, _change(key, old, new), held.size)


def _edges(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> Iterator[EdgeChange]:
    for edge in sorted(old.keys() | new.keys()):
        if old.get(edge) != new.get(edge):
            change = _change(edge, old, new)
            yield EdgeChange(edge, READDRESSED if change == CHANGED else change)


def _services(before: Contents, after: Contents, demand: Sequence[Demand]) -> Iterator[ServiceDiff]:
    old, new = before.services(), after.services()
    compared = _Compared(before, after, demand)
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            yield ServiceDiff(name, ADDED)
            continue
        if name not in new:
            yield compared.removed(name, old[name])
            continue
        keys = tuple(_keys(old[name].keys, new[name].keys))
        yield compared.service(name, keys, old[name], new[name])


def _keys(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[KeyChange]:
    for key, was in old.items():
        becomes = new[key]
        if key == "weights":
            # A pool may be long: only the edges at which it changes.
            before, after = was.split(", "), becomes.split(", ")
            was = ", ".join(each for each in before if each not in after)
            becomes = ", ".join(each for each in after if each not in before)
        if was != becomes:
            yield KeyChange(key, was, becomes)


class _Compared:
    """The known space of two catalogs and what moves in it; services that share policies share the work."""

    def __init__(self, before: Contents, after: Contents, demand: Sequence[Demand]) -> None:
        self._pieces = moves.space(before.arrays, after.arrays)
        self._old = moves.Nominal(before.arrays, before.edge_ids)
        self._new = moves.Nominal(after.arrays, after.edge_ids)
        self._spread = moves.DemandSpread(after.arrays, after.texts, self._pieces)
        self._moves: dict[tuple[tuple[int, int], moves.Redraw], tuple[moves.Move, tuple[Flow, ...]]] = {}
        self._demand: dict[str, list[Demand]] = {}
        for row in demand:
            self._demand.setdefault(row.service, []).append(row)

    def removed(self, name: str, old: ServiceFacts) -> ServiceDiff:
        """A service that only the old catalog has."""
        lost = moves.leave(self._old, old.policy, self._pieces)
        return ServiceDiff(
            service=name,
            change=REMOVED,
            networks=lost.total / _PER_NETWORK,
            fraction=_part(lost.moved, lost.total),
            max_change=old.max_change,
            flows=_flows(lost),
        )

    def service(self, name: str, keys: tuple[KeyChange, ...], old: ServiceFacts, new: ServiceFacts) -> ServiceDiff:
        """What becomes of a service that both have."""
        policies = (old.policy, new.policy)
        respread = (old.spread, new.spread) if old.spread != new.spread else (0, 0)
        redraw = moves.Redraw(old.hash_len4 != new.hash_len4, *respread)
        if (policies, redraw) not in self._moves:
            made = moves.move(self._old, self._new, policies, self._pieces, self._pieces.addresses, redraw)
            self._moves[policies, redraw] = made, _flows(made)
        moved, flows = self._moves[policies, redraw]
        told = ServiceDiff(
            service=name,
            change=CHANGED if keys else "",
            keys=keys,
            networks=moved.total / _PER_NETWORK,
            fraction=_part(moved.moved, moved.total),
            max_change=min(old.max_change, new.max_change),
            flows=flows,
        )
        rows = self._demand.get(name)
        if not rows:
            return told
        weights, unplaced = self._spread.weights(rows)
        asked = moves.move(self._old, self._new, policies, self._pieces, weights, redraw)
        return msgspec.structs.replace(
            told,
            demand_bps=asked.total,
            demand_fraction=_part(asked.moved, asked.total),
            demand_flows=_flows(asked),
            unplaced=tuple(sorted(unplaced)),
        )


def _flows(moved: moves.Move) -> tuple[Flow, ...]:
    """The flows of a move, largest first."""
    ranked = sorted(moved.flows.items(), key=lambda flow: (-flow[1], flow[0]))
    return tuple(Flow(old, new, _part(amount, moved.total)) for (old, new), amount in ranked)


def _part(amount: float, total: float) -> float:
    return min(1.0, amount / total) if total > 0 else 0.0


def _change(key: object, old: Mapping[Any, object], new: Mapping[Any, object]) -> str:
    if key not in old:
        return ADDED
    return CHANGED if key in new else REMOVED


def _service_lines(service: ServiceDiff, alike: str) -> Iterator[str]:
    """``alike`` is the first service with the same flows."""
    if service.change in (ADDED, REMOVED):
        yield f"service {service.service} {service.change}"
    for key in service.keys:
        yield f"service {service.service} {key.key}: {key.old or '(none)'} -> {key.new or '(none)'}"
    if service.flows:
        yield (
            f"service {service.service} moves {service.fraction:.1%} of {service.networks:,.1f} known /24s,"
            f" {service.max_change:.1%} may move" + (f", as {alike}" if alike != service.service else "")
        )
        if alike == service.service:
            yield from _flow_lines(service.flows)
    if service.flows and service.demand_bps is not None:
        yield f"service {service.service} moves {service.demand_fraction:.1%} of {_rate(service.demand_bps)} demand"
        yield from _flow_lines(service.demand_flows)
        if service.unplaced:
            yield f"  demand without address space: {', '.join(service.unplaced)}"


def _flow_lines(flows: Sequence[Flow]) -> Iterator[str]:
    shown = [flow for flow in flows[:_SHOWN_FLOWS] if flow.fraction >= _LEAST_SHOWN]
    for flow in shown:
        yield f"  {flow.fraction:6.1%}  {flow.old or '(no edge)'} -> {flow.new or '(no edge)'}"
    rest = flows[len(shown) :]
    if rest:
        yield f"  {sum(flow.fraction for flow in rest):6.1%}  in {_counted(len(rest), 'smaller flow')}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def _rate(bps: float) -> str:
    for size, unit in ((1e12, "Tbps"), (1e9, "Gbps"), (1e6, "Mbps")):
        if bps >= size:
            return f"{bps / size:.1f} {unit}"
    return f"{bps:.0f} bps"
