"""Instances of the bare problem as CSV tables: what is read, every fault with its place, and what is written."""

from __future__ import annotations

import csv
from collections.abc import Mapping

import numpy as np
import pytest
from gslbtest.instances import PLACES, instance
from gslbtest.rounds import no_clock

from gslb.dispatch.solving import Instance, flows_text, read_instance, solve, summary
from gslb.errors import ConfigErrors
from gslb.plan.bare import bare_rules
from gslb.plan.optimize import Solution
from gslb.plan.problem import UNLIMITED

GROUPS = "group,demand_bps\na,1000000\nb,2500000\n"
ARCS = "group,edge,cost\na,x,1\na,y,2\nb,x,1\nb,y,1.5\n"
EDGES = "edge,capacity_bps,pop,pop_capacity_bps\nx,1000000,p,\ny,2000000,q,3000000\n"


def read(**texts: str | bytes) -> Instance:
    files: Mapping[str, str | bytes] = {"groups": GROUPS, "arcs": ARCS, "edges": EDGES} | texts
    return read_instance({
        name: (f"{name}.csv", text if isinstance(text, bytes) else text.encode()) for name, text in files.items()
    })  # fmt: skip


def table(found: Instance) -> list[list[object]]:
    """All that an instance holds, as lists."""
    sites, groups, arcs = found.sites, found.groups, found.arcs
    return [
        [key.service for key in groups.keys], groups.demand_bps.tolist(), arcs.group.tolist(), arcs.edge.tolist(),
        arcs.cost.tolist(), list(sites.edges), sites.edge_capacity_bps.tolist(), sites.pop_of_edge.tolist(),
        list(sites.pops), sites.pop_capacity_bps.tolist(),
    ]  # fmt: skip


PLAIN = [
    ["a", "b"], [1_000_000, 2_500_000], [0, 0, 1, 1], [0, 1, 0, 1], [1.0, 2.0, 1.0, 1.5],
    ["x", "y"], [1_000_000, 2_000_000], [0, 1], ["p", "q"], [UNLIMITED, 3_000_000],
]  # fmt: skip


def rearranged(text: str) -> str:
    """The columns of a table the other way round."""
    return "".join(",".join(reversed(line.split(","))) + "\n" for line in text.splitlines())


@pytest.mark.parametrize(
    "texts",
    [
        {},
        {"groups": rearranged(GROUPS), "arcs": rearranged(ARCS), "edges": rearranged(EDGES)},
        {name: text.replace("\n", "\r\n") for name, text in (("groups", GROUPS), ("arcs", ARCS), ("edges", EDGES))},
        {"groups": b"\xef\xbb\xbf" + GROUPS.encode(), "arcs": ARCS.rstrip("\n")},
        {"groups": 'group,demand_bps\n"a","1e6"\n\nb,2500000.2\n', "arcs": ARCS.replace(",", " , ")},
        {"edges": EDGES.replace("1000000,p", "1000000.9,p").replace("3000000", "3e6")},
    ],
)
def test_a_table_as_people_write_it(texts: dict[str, str | bytes]) -> None:
    assert table(read(**texts)) == PLAIN


def test_arcs_in_any_order() -> None:
    assert table(read(arcs="group,edge,cost\nb,x,1\na,x,1\nb,y,1.5\na,y,2\n")) == PLAIN


@pytest.mark.parametrize(
    ("edges", "pop_of_edge", "pops", "limits"),
    [
        ("edge,capacity_bps\nx,1\ny,2\n", [0, 0], ("",), [UNLIMITED]),
        ("edge,capacity_bps,pop\nx,1,p\ny,2,\n", [0, 1], ("p", ""), [UNLIMITED, UNLIMITED]),
        ("edge,capacity_bps,pop,pop_capacity_bps\nx,1,p,\ny,2,p,7\n", [0, 0], ("p",), [7]),
    ],
)
def test_pops_may_be_left_out(edges: str, pop_of_edge: list[int], pops: tuple[str, ...], limits: list[int]) -> None:
    sites = read(edges=edges).sites
    assert (sites.pop_of_edge.tolist(), sites.pops, sites.pop_capacity_bps.tolist()) == (pop_of_edge, pops, limits)


FAULTS: list[tuple[dict[str, str], list[str]]] = [
    ({"arcs": ARCS + "q,x,1\nb,r,1\n,x,1\n"},
     ["arcs.csv:6:1: group: 'q' is no group of groups.csv", "arcs.csv:7:3: edge: 'r' is no edge of edges.csv",
      "arcs.csv:8:1: group: is empty"]),
    ({"arcs": ARCS + "a,x,2\na,x,3\n"},
     ["arcs.csv:6:1: the same pair as line 2", "arcs.csv:7:1: the same pair as line 2"]),
    ({"groups": GROUPS + "c,1\n"}, ["groups.csv:4:1: group: no row of arcs.csv is of 'c'"]),
    ({"groups": GROUPS + "c,0\n"}, []),
    ({"groups": GROUPS + "a,3\n,4\n"},
     ["groups.csv:4:1: group: 'a' is in line 2 too", "groups.csv:5:1: group: is empty"]),
    ({"groups": "group,demand_bps\na,-1\nb,nan\n"},
     ["groups.csv:2:3: demand_bps: '-1' is not a number from 0 to 1e+18",
      "groups.csv:3:3: demand_bps: 'nan' is not a number from 0 to 1e+18"]),
    ({"groups": "group,demand_bps\na,inf\nb,1_0\n"},
     ["groups.csv:2:3: demand_bps: 'inf' is not a number from 0 to 1e+18",
      "groups.csv:3:3: demand_bps: '1_0' is not a number from 0 to 1e+18"]),
    ({"groups": "group,demand_bps\na,\nb,1e19\n"},
     ["groups.csv:2:3: demand_bps: is empty", "groups.csv:3:3: demand_bps: '1e19' is not a number from 0 to 1e+18"]),
    ({"arcs": ARCS.replace("1.5", "-e")}, ["arcs.csv:5:5: cost: '-e' is not a number from 0 to 1e+12"]),
    ({"edges": EDGES.replace("2000000,q,3000000", "much,q,-3")},
     ["edges.csv:3:3: capacity_bps: 'much' is not a number from 0 to 1e+18",
      "edges.csv:3:10: pop_capacity_bps: '-3' is not a number from 0 to 1e+18"]),
    ({"edges": EDGES + "z,1,q,4\nw,1,,5\n"},
     ["edges.csv:4:7: pop_capacity_bps: pop 'q' has 3000000 in line 3",
      "edges.csv:5:6: pop_capacity_bps: the row has no pop"]),
    ({"groups": "group\na\n", "arcs": "", "edges": "edge,capacity_bps,price\nx,1,2\ny,1,2\n"},
     ["arcs.csv:1:1: no header: the first line must name the columns, of group,edge,cost",
      "edges.csv:1:19: unknown column 'price'; known are edge, capacity_bps, pop, pop_capacity_bps",
      "groups.csv:1:1: column 'demand_bps' is missing"]),
    # Of a table whose rows cannot be read nothing is told in another.
    ({"arcs": 'group,edge,cost\na,x\nb,x,"1\n'},
     ["arcs.csv:2:1: 2 columns, the header names 3", "arcs.csv:3:1: not CSV: unexpected end of data"]),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "faults"), FAULTS)
def test_every_fault_is_told_where_it_is(texts: dict[str, str], faults: list[str]) -> None:
    try:
        read(**texts)
        told = []
    except ConfigErrors as errors:
        told = str(errors).splitlines()
    assert told == faults


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(text.splitlines()))


def found_of(given: Instance, **rules: float) -> tuple[Solution, list[list[str]], dict[str, float | int]]:
    chosen = bare_rules(**rules)
    found = solve(given, chosen, no_clock)
    return found, rows(flows_text(given, found)), summary(found, chosen)


def test_what_is_written_and_told() -> None:
    _, flows, told = found_of(read())
    assert flows == [["group", "edge", "bps"], ["a", "x", "1000000"], ["b", "x", "500000"], ["b", "y", "2000000"]]
    assert told.pop("dual_bound") == pytest.approx(50_004.5, rel=1e-9)
    assert told == {
        "objective": 4.5, "overload_bps": 500_000, "overload_cost": 1e5, "total": 50_004.5, "build_s": 0, "solve_s": 0,
    }  # fmt: skip


def test_the_objective_has_the_terms_that_are_asked_for() -> None:
    easy = read(edges="edge,capacity_bps\nx,2000000\ny,2000000\n")
    assert found_of(easy)[2]["objective"] == pytest.approx(1 + 1 + 1.5 * 1.5)
    dearer = found_of(easy, knee=0.5, beta=0.2)[2]
    assert dearer["objective"] == pytest.approx(1 + 1 + 1.5 * 1.5 + 0.2 * 1.5)
    assert dearer["dual_bound"] == pytest.approx(dearer["objective"], rel=1e-4)


def test_names_with_commas_and_quotes_come_back() -> None:
    given = read(
        groups='group,demand_bps\n"a,1",5\n"say ""b""",6\n',
        arcs='group,edge,cost\n"a,1",x,1\n"say ""b""","y,",1\n',
        edges='edge,capacity_bps\nx,10\n"y,",10\n',
    )
    assert found_of(given)[1][1:] == [["a,1", "x", "5"], ['say "b"', "y,", "6"]]


def test_a_larger_one_comes_out_as_it_went_in() -> None:
    sites, groups, arcs = instance(PLACES, 500, 40, 8, 0.6)
    flows = iter(arcs.cost.tolist())
    given = read(
        groups="group,demand_bps\n" + "".join(f"g{at},{bps}\n" for at, bps in enumerate(groups.demand_bps.tolist())),
        arcs="edge,cost,group\n" + "".join(
            f"e{edge},{next(flows)!r},g{group}\n"
            for group, edge in zip(arcs.group.tolist(), arcs.edge.tolist(), strict=True)
        ),
        edges="edge,capacity_bps,pop,pop_capacity_bps\n" + "".join(
            f"e{at},{bps},p{pop},{sites.pop_capacity_bps[pop]}\n"
            for at, (bps, pop) in enumerate(
                zip(sites.edge_capacity_bps.tolist(), sites.pop_of_edge.tolist(), strict=True)
            )
        ),
    )  # fmt: skip
    assert given.arcs.cost.tolist() == arcs.cost.tolist()
    found, flows_rows, told = found_of(given)
    summed = dict.fromkeys((key.service for key in given.groups.keys), 0)
    for group, _, bps in flows_rows[1:]:
        summed[group] += int(bps)
    assert list(summed.values()) == groups.demand_bps.tolist()
    assert min(int(bps) for *_, bps in flows_rows[1:]) > 0
    assert told["overload_bps"] == 0
    assert told["objective"] == pytest.approx(float(np.dot(found.flow_bps, arcs.cost)) / 1e6, rel=1e-12)
    assert 0 <= told["objective"] - told["dual_bound"] <= 1e-4 * told["dual_bound"]
