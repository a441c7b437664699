"""Every table in docs/policy.md is computed here by the code it describes, from the shipped zones where it can be."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gslbtest.pools import GBPS, Edge, Policy, sections

from gslb.model.geography import CONTINENT_OF
from gslb.model.intent import Intent
from gslb.model.override import KIND_DRAIN, KIND_RAMP, Override, Target
from gslb.model.plan import PLAN_SUM, Plan
from gslb.model.report import Report, StoreState
from gslb.model.rtt import RttTable
from gslb.model.view import View, ViewTable
from gslb.policy import draw, headroom, nearest, override, spill
from gslb.policy.affinity import NEVER, levels
from gslb.snapshot import layout, planning, steering
from gslb.snapshot.planning import Planned
from gslb.snapshot.resolved import PlannedPolicy
from gslb.snapshot.steering import Steering
from gslb.zone import check

REPO = Path(__file__).parents[2]
PAGE = REPO / "docs/policy.md"
UNIT = 1 << 16
NOW = 10**9
CLIENTS = 100_000


@pytest.fixture(scope="module")
def intent() -> Intent:
    """The shipped zones."""
    files = {
        path.relative_to(REPO).as_posix(): path.read_bytes() for path in (REPO / "zones").iterdir() if path.is_file()
    }
    checked = check.check(files)
    assert checked.intent is not None
    return checked.intent


def _level_table(intent: Intent) -> str:
    service = next(each for zone in intent.zones for each in zone.services if each.name.startswith(b"\x04pull"))
    pool = next(each for each in intent.pools if each.name == service.pool)
    weights = dict(pool.weights)
    edges = [edge for edge in intent.edges if edge.id in weights]
    clients = ["CN|SH|chinanet", "CN|BJ|cmcc", "CN|GD|AS64500", "DE||AS64496", "BR||", "||"]
    table = ViewTable.of([_view(client) for client in clients])
    found = levels(table, edges, [weights[edge.id] for edge in edges], service.affinity, RttTable())
    lines = []
    for client, row in zip(clients, found[1:].tolist(), strict=True):
        lines.append(client)
        for number, level in enumerate(service.affinity):
            names = [edge.id for edge, its in zip(edges, row, strict=True) if its == number]
            if names:
                lines.append(f"  {number} {level:12} {' '.join(names)}")
        never = [edge.id for edge, its in zip(edges, row, strict=True) if its == NEVER]
        lines.append(f"  - {'never':12} {' '.join(never)}")
    return "\n".join(lines)


def _view(key: str) -> View:
    country, region, isp = key.split("|")
    return View(country, region, isp, 0, CONTINENT_OF.get(country, ""))


def _bands(intent: Intent) -> str:
    borders = [*(f"{border:g}" for border in nearest.BORDERS_MS), "more"]
    km = [f"{border / nearest.MS_PER_KM:,.0f}" for border in nearest.BORDERS_MS]
    rows = zip(range(16), borders, [*km, "more"], strict=True)
    return "\n".join(["band  up to ms  up to km", *(f"{band:4}  {ms:>8}  {far:>8}" for band, ms, far in rows)])


def _headroom(intent: Intent) -> str:
    loads = [30, 32, 34, 35, 36, 38, 40]
    milli = headroom.headroom_milli(np.array(loads) * GBPS, np.full(len(loads), 40 * GBPS))
    effective = headroom.effective(np.full(len(loads), 100), milli)
    rows = zip(loads, milli.tolist(), effective.tolist(), strict=True)
    return "\n".join(
        [
            "load of 40 Gbps    used  headroom  weight 100 counts as",
            *(
                f"{load:7} Gbps     {load / 40:6.1%}  {left / 1000:8.3f}  {weight / UNIT:20.1f}"
                for load, left, weight in rows
            ),
        ]
    )


def _spilling(intent: Intent) -> str:
    supply = spill.Supply(
        nominal=np.array([160, 200, 100]) * UNIT,
        effective=np.array([40, 200, 100]) * UNIT,
        spare_kbps=np.array([0, 18, 95]) * 10**6,
        load_kbps=np.array([36, 60, 5]) * 10**6,
    )
    blocks = []
    for title, told in (
        ("with loads and capacities reported", supply),
        ("without", supply._replace(load_kbps=np.full(3, spill.UNKNOWN))),
    ):
        found = spill.spill(np.array([[0, 1, 2]], dtype=np.uint8), told)
        blocks.append(f"{title}\nlevel  nominal  effective  availability  room       share")
        for level in range(3):
            room = found.room[0, level]
            blocks.append(
                f"{level:5}  {found.nominal[0, level] / UNIT:7.0f}  {found.effective[0, level] / UNIT:9.0f}"
                f"  {found.availability[0, level]:12.2f}  {'unlimited' if np.isinf(room) else f'{room:.2f}':9}"
                f"  {found.share[0, level]:5.2f}"
            )
    return "\n".join(blocks)


STATES: list[tuple[str, dict[str, Report]]] = [
    ("nobody has reported", {}),
    ("sha-1 at 35 of 40 Gbps", {"sha-1": Report("sha-1", 1, 1, NOW, load_bps=35 * GBPS)}),
    ("sha-1 down", {"sha-1": Report("sha-1", 1, 1, NOW, health4="down", health6="down")}),
    ("sha-1 silent for 4 s", {"sha-1": Report("sha-1", 1, 1, NOW - 4000)}),
    ("sha-1 silent for 11 s", {"sha-1": Report("sha-1", 1, 1, NOW - 11_000)}),
    ("all at 39 of 40 Gbps", {e: Report(e, 1, 1, NOW, load_bps=39 * GBPS) for e in ("can", "sha-1", "sha-2")}),
    (
        "all down but can, which is at 39 of 40",
        {
            "can": Report("can", 1, 1, NOW, load_bps=39 * GBPS),
            **{e: Report(e, 1, 1, NOW, health4="down", health6="down") for e in ("sha-1", "sha-2")},
        },
    ),
    (
        "all down, sha-1 drained",
        {
            "sha-1": Report("sha-1", 1, 1, NOW, health4="drain", health6="drain"),
            **{e: Report(e, 1, 1, NOW, health4="down", health6="down") for e in ("can", "sha-2")},
        },
    ),
]


def _states(intent: Intent) -> str:
    edges = [Edge("can"), Edge("sha-1"), Edge("sha-2")]
    catalog = sections(edges, [Policy({"can": 80, "sha-1": 100, "sha-2": 60}, [[1, 0, 0]])])
    lines = []
    for why, reports in STATES:
        row = Steering(steering.build(catalog, StoreState(NOW, reports), NOW)).row(0, False)
        shares = draw.shares(row.reciprocals, 1)
        told = ", ".join(f"{edges[edge].id} {share:.1%}" for edge, share in zip(row.edges, shares, strict=True))
        flags = [
            word
            for bit, word in ((layout.ROW_FAIL_OPEN, "failing open"), (layout.ROW_CHANGING, "changing"))
            if row.flags & bit
        ]
        lines.append(f"{why}:".ljust(40) + told + (f" ({', '.join(flags)})" if flags else ""))
    return "\n".join(lines)


def _ages(intent: Intent) -> str:
    catalog = sections([Edge("a")], [Policy({"a": 1}, [[0]])])
    words = {layout.VERDICT_UP: "up", layout.VERDICT_UNKNOWN: "unknown", layout.VERDICT_DOWN: "down"}
    lines = ["age of the report  verdict  changing"]
    for age_ms in (0, 3000, 3001, 10_000, 10_001, 69_999, 70_000):
        state = StoreState(NOW, {"a": Report("a", 1, 1, NOW - age_ms)})
        found = steering.edge_state(catalog, state, NOW)[0]
        lines.append(
            f"{age_ms / 1000:15.3f} s  {words[int(found['verdict4'])]:7}  {'yes' if found['changing'] else 'no'}"
        )
    return "\n".join(lines)


def _drawn(weights: list[int]) -> np.ndarray:
    """The edge, by its place, of each of 100,000 clients of one service."""
    hashes = np.array([draw.edge_hash(f"edge-{number}") for number in range(len(weights))], dtype=np.uint64)
    name = b"\x04pull\x04live\x07example\x00"
    seeds = np.array([draw.seed_of(name, 4, number << 12, 20) for number in range(CLIENTS)], dtype=np.uint64)
    return draw.picks(hashes, draw.reciprocals(np.array([weights]))[0], seeds)


def _overrides(intent: Intent) -> str:
    seconds = [-1, 0, 150, 300, 599, 600, 3599, 3600, 3610, 3645, 3690]
    rows = [
        ("drain of an hour", Override("o", KIND_DRAIN, Target(edge="a"), NOW, NOW + 3600)),
        ("the same over ten minutes", Override("o", KIND_DRAIN, Target(edge="a"), NOW, NOW + 3600, 600)),
        ("ramp to a quarter", Override("o", KIND_RAMP, Target(edge="a"), NOW, NOW + 3600, 0, 250)),
    ]
    lines = ["seconds after the beginning".ljust(28) + "".join(f"{after:6}" for after in seconds)]
    for name, order in rows:
        lines.append(
            name.ljust(28) + "".join(f"{override.factor_milli(order, NOW + after, 90):6}" for after in seconds)
        )
    return "\n".join(lines)


def _planned(intent: Intent) -> str:
    lines = ["load of 40 Gbps    used  headroom under a plan"]
    for load in (38, 39, 40, 41, 42):
        milli = headroom.left_milli(load * GBPS, 40 * GBPS, headroom.PLANNED)
        lines.append(f"{load:7} Gbps {load / 40:10.1%} {milli / 1000:22.3f}")
    return "\n".join(lines)


def _fading(intent: Intent) -> str:
    edges = [Edge("can"), Edge("sha-1"), Edge("sha-2")]
    catalog = sections(edges, [Policy({"can": 80, "sha-1": 100, "sha-2": 60}, [[1, 0, 0]])])
    weights = [round(PLAN_SUM * part) for part in (0.6, 0.4)]
    row = PlannedPolicy(
        np.array([0]),
        *(np.array([[*told, *[filler] * (16 - len(told))]]) for told, filler in (([0, 1], -1), (weights, 0), ([], -1))),
        ("CN||",),
    )
    planned = Planned(Plan("v7", hold_until_ms=NOW), {0: row}, 0)
    lines = ["after it held      local  can    sha-1  sha-2"]
    for after_s in (0, 10, 60, 300, 450, 590, 600):
        now_ms = NOW + after_s * 1000
        found = Steering(steering.build(catalog, StoreState(NOW), now_ms, planned)).row(0, False)
        given = dict(zip(found.edges, (weight / sum(found.weights) for weight in found.weights), strict=True))
        shares = "  ".join(f"{given.get(edge, 0):5.1%}" for edge in range(3))
        lines.append(f"{after_s:11} s  {planning.faded(planned.plan, now_ms) / planning.STEPS:9.1%}  {shares}")
    return "\n".join(lines)


def _moves(intent: Intent) -> str:
    before = _drawn([100, 60, 40])
    lines = ["weights      edge-0   edge-1   edge-2   moved"]
    for weights in ([100, 60, 40], [100, 60, 20], [100, 60, 1], [150, 60, 40], [100, 60, 40]):
        after = _drawn(weights)
        parts = "   ".join(f"{np.mean(after == at):6.2%}" for at in range(3))
        lines.append(f"{'/'.join(map(str, weights)):11}  {parts}   {np.mean(after != before):6.2%}")
    return "\n".join(lines)


def _answers(intent: Intent) -> str:
    weights = [100, 60, 20, 20]
    reciprocals = draw.reciprocals(np.array([weights]))[0].tolist()
    lines = ["answers  " + "  ".join(f"weight {weight}" for weight in weights)]
    for answers in (1, 2, 3, 4):
        parts = zip(weights, draw.shares(reciprocals, answers), strict=True)
        lines.append(
            f"{answers:7}  " + "  ".join(f"{share:.1%}".rjust(len(f"weight {weight}")) for weight, share in parts)
        )
    return "\n".join(lines)


def _spread(intent: Intent) -> str:
    names = ["can", "pek", "sha-1", "sha-2", "sha-3"]
    row, weights = [1, 1, 0, 0, 0], [80, 40, 50, 50, 50]
    order = sorted(range(5), key=lambda at: row[at])
    reciprocals = draw.reciprocals(np.array([[weights[at] for at in order]]))[0].tolist()
    hashes = [draw.edge_hash(name) for name in names]
    lines = ["all edges".ljust(18) + _shared([names[at] for at in order], reciprocals)]
    for label in ("news", "match-7", "chess"):
        wire = bytes([len(label)]) + label.encode() + b"\x04pull\x04live\x07example\x00"
        kept, narrowed = draw.narrow(
            order, [row[at] for at in order], [weights[at] for at in order], reciprocals, hashes, 1, wire
        )
        lines.append(f"{label}.pull".ljust(18) + _shared([names[at] for at in kept], narrowed))
    return "\n".join(lines)


def _shared(names: list[str], reciprocals: list[int]) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in zip(names, draw.shares(reciprocals, 1), strict=True))


EXAMPLES: list[Callable[[Intent], str]] = [
    _level_table, _bands, _headroom, _spilling, _states, _ages, _overrides, _planned, _fading, _moves, _answers,
    _spread,
]  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.__name__.strip("_"))
def test_an_example(example: Callable[[Intent], str], intent: Intent) -> None:
    wanted = "\n".join(line.rstrip() for line in example(intent).splitlines())
    assert wanted in PAGE.read_text(encoding="utf-8"), wanted


def test_there_are_no_other_tables() -> None:
    assert len(re.findall(r"^```text$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)) == len(EXAMPLES)
