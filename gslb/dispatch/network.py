"""The network as its files tell it: what is planned, which edges serve it, and where viewers are.

`zones/` and `data/` are read whole, as servers read them, and again when one of their digests changes; files with
errors leave what was read before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gslb.dispatch.whereabouts import Whereabouts
from gslb.errors import Findings, GslbError
from gslb.geo.isps import IspNames
from gslb.geo.layers import Layers
from gslb.geo.view import merge
from gslb.model.dispatch import DispatchRules, NodeRules
from gslb.model.intent import Intent, Service
from gslb.model.inventory import Edge
from gslb.model.names import to_text
from gslb.model.plan import PlanInput
from gslb.model.rtt import RttTable
from gslb.snapshot import compile as files_of_catalog
from gslb.store.files import Sources, read_sources

_NOT_READ: Final = "data/demand.csv"  # it changes every few minutes, and is read by each round itself


@dataclass(frozen=True, slots=True)
class Planned:
    """A service that is planned: its name in text, and its pool, edges as positions in `Network.edges`."""

    name: str
    service: Service
    edges: tuple[int, ...]
    weights: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Network:
    """All that a round needs of the files. ``edges`` are sorted by id; ``services`` says of each service whether it is
    planned; ``sha256`` is of all files read."""

    intent: Intent
    edges: tuple[Edge, ...]
    planned: Mapping[str, Planned]
    services: Mapping[str, bool]
    isps: IspNames
    rtt: RttTable
    whereabouts: Whereabouts
    layers: Layers
    sha256: str

    @property
    def rules(self) -> DispatchRules:
        """The content of `zones/dispatch.yaml`."""
        return self.intent.dispatch

    @property
    def ttl_s(self) -> int:
        """The longest TTL of the services that are planned, in seconds; 1 where there are none."""
        return max((each.service.ttl_s for each in self.planned.values()), default=1)

    @property
    def input(self) -> PlanInput:
        """As a plan names the files among its inputs."""
        return PlanInput(0.0, self.sha256)

    def node(self, edge: int) -> NodeRules:
        """What operators order of an edge."""
        return self.rules.edges.get(self.edges[edge].id, NodeRules())

    def price(self, edge: int) -> float:
        """What a Mbps·month costs there: the edge's own price, its PoP's, or that of all."""
        pop = self.rules.pops.get(self.edges[edge].pop, NodeRules())
        for price in (self.node(edge).price, pop.price):
            if price is not None:
                return price
        return self.rules.price


def read(zones: Path, data: Path) -> Network:
    """Read both folders. Raises `ConfigErrors` with all their faults."""
    sources = read_sources(zones, data)
    return _network(sources, zones, _digest(sources))


@dataclass(slots=True)
class NetworkReader:
    """Reads the files again where they changed. ``fault`` says why the newest reading was not taken; empty: it was."""

    zones: Path
    data: Path
    state: Path | None = None
    fault: str = ""
    _network: Network | None = field(default=None)
    _refused: str = ""

    def read(self) -> Network:
        """The network by the files that are there now, or, while those have errors, as it was before. Raises
        `GslbError` where there is none before."""
        sources = read_sources(self.zones, self.data, state=self.state)
        digest = _digest(sources)
        if self._network is not None and self._network.sha256 == digest:
            self.fault = self._refused = ""
        elif self._network is None or digest != self._refused:
            try:
                self._network = _network(sources, self.zones, digest)
                self.fault = self._refused = ""
            except GslbError as error:
                self.fault, self._refused = str(error), digest
                if self._network is None:
                    raise
        assert self._network is not None
        return self._network


def planned_of(intent: Intent, edges: Sequence[Edge]) -> dict[str, Planned]:
    """The services with ``dispatch: true``, by name."""
    at = {edge.id: number for number, edge in enumerate(edges)}
    pools = {pool.name: pool for pool in intent.pools}
    found = {}
    for zone in intent.zones:
        for service in zone.services:
            if service.dispatch:
                weights = pools[service.pool].weights
                name = to_text(service.name)
                found[name] = Planned(
                    name, service, tuple(at[edge] for edge, _ in weights), tuple(weight for _, weight in weights)
                )
    return found


def _digest(sources: Sources) -> str:
    text = "".join(f"{digest} {name}\n" for name, digest in sorted(sources.digests.items()) if name != _NOT_READ)
    faults = "".join(f"{error}\n" for error in sources.findings.errors)
    return hashlib.sha256((text + faults).encode("utf-8", "surrogateescape")).hexdigest()


def _network(sources: Sources, zones: Path, sha256: str) -> Network:
    findings = Findings()
    findings.errors += sources.findings.errors
    tables = {path: text for path, text in sources.tables.items() if path != sources.shown.get(_NOT_READ)}
    files = files_of_catalog.read(sources.zone_files, tables, sources.databases, findings, str(zones))
    geography = merge(files.layers, findings)
    findings.raise_if_any()
    assert files.intent is not None
    intent = files.intent
    edges = tuple(sorted(intent.edges, key=lambda edge: edge.id))
    planned = planned_of(intent, edges)
    services = {to_text(service.name): service.dispatch for zone in intent.zones for service in zone.services}
    return Network(
        intent,
        edges,
        planned,
        services,
        IspNames(intent.isps),
        files.rtt,
        Whereabouts.of(geography.views),
        files.layers,
        sha256,
    )
