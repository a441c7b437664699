"""dispatch.yaml as read → the rules by which plans are made; names and limits are checked against the inventory."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

from gslb.errors import Findings
from gslb.model.dispatch import DispatchRules, NodeRules, RegionRules
from gslb.model.inventory import Edge
from gslb.zone.dispatch_models import DispatchModel, NodeRulesModel, RegionRulesModel, RootRulesModel
from gslb.zone.models import EdgesModel
from gslb.zone.nodes import Text, quote
from gslb.zone.reading import Reading
from gslb.zone.scalars import did_you_mean


@dataclass(frozen=True, slots=True)
class Inventory:
    """What may be named: edges and PoPs. None: not known, since edges.yaml has faults there; then none is unknown."""

    edges: Collection[str] | None
    pops: Collection[str] | None


def inventory_of(reading: Reading[EdgesModel] | None, edges: Collection[Edge]) -> Inventory:
    """The names of the inventory as it was read."""
    if reading is None or reading.lost("edges"):
        return Inventory(None, None)
    pops = None if reading.faulty("edges") else {edge.pop for edge in edges}
    return Inventory(set(reading.written("edges")), pops)


def rules(reading: Reading[DispatchModel] | None, inventory: Inventory, findings: Findings) -> DispatchRules:
    """The rules; no file is every default."""
    if reading is None:
        return DispatchRules()
    model = reading.model
    _check_numbers(reading, findings)
    for section, nodes, known in (("edges", model.edges, inventory.edges), ("pops", model.pops, inventory.pops)):
        for name, node in nodes.items():
            kind = {"edges": "edge", "pops": "PoP"}[section]
            _check_name(reading.document.path, reading.document.key_place(section, name), kind, name, known, findings)
            _check_minimum(reading, (section, name), node, findings)
    _check_regions(reading, inventory, findings)
    for name, region in model.regions.items():
        _check_minimum(reading, ("regions", name), region, findings)
    _check_minimum(reading, ("network",), model.network, findings)
    made: dict[str, Any] = {
        "edges": _nodes(model.edges),
        "pops": _nodes(model.pops),
        "regions": {
            str(name): RegionRules(tuple(map(str, region.pops)), _node(region))
            for name, region in model.regions.items()
        },
        "network": _node(model.network),
    }
    plain = {each.name: getattr(model, each.name) for each in fields(DispatchRules) if each.name not in made}
    return DispatchRules(**plain, **made)


def _check_numbers(reading: Reading[DispatchModel], findings: Findings) -> None:
    """What two keys show only together."""
    model, document = reading.model, reading.document
    for low, high, fault in (
        ("knee", "hard", model.knee > model.hard),
        ("beta", "overload", model.beta >= model.overload),
        ("solve_limit_s", "round_s", model.solve_limit_s > model.round_s),
    ):
        if fault and not reading.faulty(low) and not reading.faulty(high):
            key, other = (low, high) if document.root.get(low) is not None else (high, low)
            sense = "above" if key == low else "below"
            if (low, high) == ("beta", "overload"):
                sense = f"not {'below' if key == low else 'above'}"
            reason = f"{key}: {getattr(model, key):g} is {sense} {other}, {getattr(model, other):g}"
            findings.error(document.path, *document.place(key), reason)


def _check_regions(reading: Reading[DispatchModel], inventory: Inventory, findings: Findings) -> None:
    owner: dict[str, str] = {}
    for name, region in reading.model.regions.items():
        for pop in region.pops:
            if not isinstance(pop, Text) or not pop.line:  # it stands for one that is missing
                continue
            place = pop.line, pop.column
            _check_name(reading.document.path, place, "PoP", pop, inventory.pops, findings)
            if owner.setdefault(pop, name) != name:
                reason = f"pops: PoP {quote(pop)} is in region {quote(owner[pop])} already"
                findings.error(reading.document.path, *place, reason)


def _check_name(
    path: str, place: tuple[int, int], kind: str, name: str, known: Collection[str] | None, findings: Findings
) -> None:
    if known is not None and name not in known:
        findings.error(path, *place, f"unknown {kind} {quote(name)}{did_you_mean(name, sorted(known))}")


def _check_minimum(
    reading: Reading[DispatchModel], where: tuple[str, ...], node: RootRulesModel, findings: Findings
) -> None:
    if node.minimum is not None and node.capacity is not None and node.minimum > node.capacity:
        place = reading.document.place(*where, "minimum")
        findings.error(reading.document.path, *place, "minimum: it is above the capacity")


def _nodes(nodes: Mapping[str, NodeRulesModel]) -> dict[str, NodeRules]:
    return {str(name): _node(node) for name, node in nodes.items()}


def _node(node: RootRulesModel | NodeRulesModel | RegionRulesModel) -> NodeRules:
    price = node.price if isinstance(node, NodeRulesModel) else None
    return NodeRules(node.capacity, node.minimum or 0, price)
