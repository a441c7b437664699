"""Anyone's own instance of the bare problem: three CSV tables in, a solution and a table of flows out."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from gslb.dispatch.columns import NOT_GIVEN, Table, duplicates
from gslb.errors import Findings
from gslb.model.dispatch import DispatchRules
from gslb.plan.optimize import Solution, optimize
from gslb.plan.problem import I64, NOWHERE, UNLIMITED, Arcs, GroupKey, Groups, Sites

MOST_BPS: Final = 1e18
MOST_COST: Final = 1e12
_ODD: Final = frozenset(',"\r\n')


@dataclass(frozen=True, slots=True)
class Instance:
    """What three tables say; ``arcs`` sorted by group, in the order of their rows."""

    sites: Sites
    groups: Groups
    arcs: Arcs


def read_instance(files: Mapping[str, tuple[str, bytes]]) -> Instance:
    """An instance of the texts of ``groups`` (group,demand_bps), ``arcs`` (group,edge,cost; cost per Mbps) and
    ``edges`` (edge,capacity_bps[,pop,pop_capacity_bps]), each with the path that is told with faults.

    Rates are rounded: demand to the nearest bit per second, capacities down. Raises `gslb.errors.ConfigErrors` with
    every fault of all three.
    """
    findings = Findings()
    groups = Table(*files["groups"], ("group", "demand_bps"), (), findings)
    edges = Table(*files["edges"], ("edge", "capacity_bps"), ("pop", "pop_capacity_bps"), findings)
    arcs = Table(*files["arcs"], ("group", "edge", "cost"), (), findings)
    group_at, edge_at = groups.names("group"), edges.names("edge")
    demand = np.rint(groups.numbers("demand_bps", MOST_BPS)).astype(np.int64)
    sites = _sites(edges, tuple(edge_at))
    cost = arcs.numbers("cost", MOST_COST)
    group = arcs.positions("group", group_at, "group", files["groups"][0]) if groups.readable else _none(arcs)
    edge = arcs.positions("edge", edge_at, "edge", files["edges"][0]) if edges.readable else _none(arcs)
    duplicates(group, edge, lambda row, earlier: arcs.fault(row, None, f"the same pair as line {arcs.line[earlier]}"))
    if not arcs.faults:  # else its rows at fault may be the missing ones
        reached = np.bincount(group, minlength=len(groups.line)) > 0
        for name, at in group_at.items():
            if demand[at] > 0 and not reached[at]:
                groups.fault(at, "group", f"no row of {files['arcs'][0]} is of {name!r}")
    for table in (groups, edges, arcs):
        table.finish()
    findings.raise_if_any()
    order = np.argsort(group, kind="stable")
    keys = tuple(GroupKey(name, "", "", "") for name in group_at)
    return Instance(sites, Groups(keys, demand), Arcs(group[order], edge[order], cost[order], np.zeros(len(order))))


def solve(instance: Instance, rules: DispatchRules, clock: Callable[[], float]) -> Solution:
    """The solution of an instance; ``rules`` of `gslb.plan.bare.bare_rules`."""
    return optimize(instance.sites, instance.groups, instance.arcs, rules, clock)


def summary(found: Solution, rules: DispatchRules) -> dict[str, float | int]:
    """What a solution comes to.

    ``objective`` is Σ cost × Mbps with every term but overload; ``overload_bps`` is the sum of what edges and PoPs
    carry above their capacity, of which a Mbps costs ``overload_cost``; ``total`` is both together, and no solution has
    a total below ``dual_bound``. Where nothing is overloaded that is a bound of the objective.
    """
    return {
        "objective": found.objective - found.parts.overload,
        "overload_bps": int(found.edges.overload_bps.sum() + found.pops.overload_bps.sum()),
        "overload_cost": rules.overload,
        "total": found.objective,
        "dual_bound": min(found.dual_bound, found.objective),
        "build_s": found.build_s,
        "solve_s": found.solve_s,
    }


def flows_text(instance: Instance, found: Solution) -> str:
    """The table group,edge,bps of all flows above 0."""
    rows = np.flatnonzero(found.flow_bps)
    groups = [key.service for key in instance.groups.keys]
    edges = instance.sites.edges
    cells = zip(
        (groups[at] for at in instance.arcs.group[rows].tolist()),
        (edges[at] for at in instance.arcs.edge[rows].tolist()),
        found.flow_bps[rows].tolist(),
        strict=True,
    )
    text = io.StringIO()
    text.write("group,edge,bps\n")
    if any(not _ODD.isdisjoint(name) for names in (groups, edges) for name in names):
        csv.writer(text, lineterminator="\n").writerows(cells)
    else:
        text.writelines(f"{group},{edge},{bps}\n" for group, edge, bps in cells)
    return text.getvalue()


def _none(table: Table) -> I64:
    return np.full(len(table.line), NOT_GIVEN)


def _sites(table: Table, edges: tuple[str, ...]) -> Sites:
    """Edges under PoPs; those without one are together under one without a name and limit."""
    capacity = np.floor(table.numbers("capacity_bps", MOST_BPS)).astype(np.int64)
    given = table.numbers("pop_capacity_bps", MOST_BPS, empty=True)
    names = table.cells("pop")
    pops: dict[str, int] = {}
    pop = np.array([pops.setdefault(name, len(pops)) for name in names], dtype=np.int64)
    limits: dict[str, tuple[float, int]] = {}
    for at in np.flatnonzero(given >= 0).tolist():
        name, limit = names[at], float(given[at])
        if not name:
            table.fault(at, "pop_capacity_bps", "the row has no pop")
            continue
        before, row = limits.setdefault(name, (limit, at))
        if before != limit:
            reason = f"pop {name!r} has {table.cells('pop_capacity_bps')[row]} in line {table.line[row]}"
            table.fault(at, "pop_capacity_bps", reason)
    return Sites(
        edges,
        tuple(pops),
        (),
        pop,
        np.full(len(pops), NOWHERE, np.int64),
        capacity,
        np.array([_floor(limits.get(name)) for name in pops], dtype=np.int64),
        np.zeros(0, np.int64),
    )


def _floor(limit: tuple[float, int] | None) -> int:
    return UNLIMITED if limit is None else int(limit[0])
