"""May a plan count: fences, order, how much it moves against which plan, and what is exempt."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest
from gslbtest.world import World, world

from gslb.model.plan import DOWN, PLAN_SUM, RELIEF, ROLLBACK, Forced, Plan, PlanRow
from gslb.snapshot import acceptance

T = 1_800_000_000_000
LIVE, TWIN = "live.x.test.", "twin.x.test."
ZONES = {
    "zones/edges.yaml": "edges:\n"
    + "".join(
        f"  {edge}: {{pop: {edge}, addresses: {{v4: [203.0.113.{host}]}}, capacity: 10Gbps,"
        f" location: {{country: {country}, lat: 50, lon: {host}}}{fence}}}\n"
        for host, (edge, country, fence) in enumerate(
            [("ber", "DE", ""), ("fra", "DE", ""), ("nyc", "US", ", fence: [US, CA]"), ("par", "FR", "")], 1
        )
    ),
    "zones/x.yaml": "zone: x.test.\nsoa: {mname: ns1, rname: h, serial: 1}\nrecords: {'@': {NS: ns1.other.test.}}\n"
    "services:\n  live: {pool: all, affinity: [country], dispatch: true}\n"
    "pools:\n  all: {ber: 100, fra: 100, nyc: 100, par: 100}\n",
}


@pytest.fixture(scope="module")
def net() -> World:
    return world(ZONES)


def row(
    view: str, demand_bps: int = 0, backups: tuple[str, ...] = (), service: str = LIVE, **percent: float
) -> PlanRow:
    """Primaries by percent; the last takes what is left of the sum."""
    weights = [round(PLAN_SUM * each / 100) for each in percent.values()]
    weights[-1] += PLAN_SUM - sum(weights)
    return PlanRow(service, *view.split("|"), tuple(zip(percent, weights, strict=True)), backups, demand_bps)


def plan(*rows: PlanRow, version: str = "v2", base: str = "v1", forced: tuple[Forced, ...] = (), at: int = T) -> Plan:
    return Plan(version, base, at, at, at + 3_600_000, rows, forced=forced)


class Shift(NamedTuple):
    """Rows of a base and of a plan, what the plan was forced to, and the part of demand that it moves."""

    why: str
    before: list[PlanRow]
    after: list[PlanRow]
    wanted: float
    forced: tuple[Forced, ...] = ()


DE, FR = row("DE||", ber=60, fra=40), row("FR||", par=100)
SHIFTS = [
    Shift("nothing", [DE, FR], [DE, FR], 0.0),
    Shift("in another order", [DE, FR], [FR, DE], 0.0),
    Shift("half of one of two rows", [DE, FR], [DE, row("FR||", par=50, fra=50)], 0.25),
    Shift("by demand", [row("DE||", 900, ber=100), row("FR||", 100, par=100)],
          [row("DE||", 300, ber=50, fra=50), row("FR||", 100, par=100)], 0.375),
    Shift("a row without demand moves nothing", [row("DE||", 9, ber=100), row("FR||", 1, par=100)],
          [row("DE||", 0, fra=100), row("FR||", 1, par=100)], 0.0),
    Shift("a base without demands: all alike", [row("DE||", ber=100), row("FR||", par=100)],
          [row("DE||", 1, ber=100), row("FR||", 999, fra=100)], 0.5),
    Shift("all of it", [DE], [row("DE||", par=100)], 1.0),
    Shift("a new edge", [DE], [row("DE||", ber=50, fra=40, par=10)], 0.1),
    Shift("a row that the base has nothing for", [DE], [DE, FR], 0.0),
    Shift("of another service", [DE], [DE, row("DE||", service=TWIN, par=100)], 0.0),
    Shift("a row that the base has a wider one for", [DE], [DE, row("DE|BE|dtag", par=100)], 0.5),
    Shift("by country and ISP before country", [DE, row("DE||dtag", par=100)],
          [DE, row("DE||dtag", par=100), row("DE|BE|dtag", par=100)], 0.0),
    Shift("a row that nothing replaces", [DE, FR], [DE], 0.5),
    Shift("with the demand that it had", [row("DE||", 1, ber=100), row("FR||", 3, par=100)],
          [row("DE||", 1, ber=100)], 0.75),
    Shift("a row that a wider one replaces", [DE, row("DE||dtag", ber=100)], [DE], 0.2),
    Shift("every row", [DE, FR], [], 1.0),
    Shift("no rows at all", [], [], 0.0),
    Shift("the first rows", [], [DE, FR], 0.0),
    Shift("forced off an edge", [DE], [row("DE||", par=100)], 0.4, (Forced("ber", DOWN, 10**9),)),
    Shift("wherever it goes", [DE], [row("DE||", fra=100)], 0.0, (Forced("ber", DOWN),)),
    Shift("off both", [DE], [row("DE||", par=100)], 0.0, (Forced("ber", DOWN), Forced("fra", RELIEF))),
    Shift("onto the edge that is named", [DE], [row("DE||", ber=100)], 0.4, (Forced("ber", RELIEF),)),
    Shift("off every edge", [DE, FR], [row("DE||", par=100)], 0.0, (Forced("", ROLLBACK),)),
    Shift("a row that nothing replaces, off a named edge", [DE, FR], [DE], 0.0, (Forced("par", DOWN),)),
]  # fmt: skip


@pytest.mark.parametrize("case", SHIFTS, ids=[case.why for case in SHIFTS])
def test_how_much_a_plan_moves(net: World, case: Shift) -> None:
    published, base = plan(*case.after, forced=case.forced), plan(*case.before, version="v1", base="v0")
    assert acceptance.shift(published, base) == pytest.approx(case.wanted, abs=2e-5)
    refusal = acceptance.judge(net.catalog.arrays, published, base, None)
    assert (refusal is not None) is (case.wanted > 0.30)
    if refusal is not None:
        text = f"it moves {case.wanted:.1%} of demand against v1; at most 30% may"
        assert refusal == (acceptance.SHIFT, text)


def moved(percent: float) -> PlanRow:
    """So much lies on fra, the rest on ber."""
    return row("DE||", ber=100 - percent, fra=percent)


LIMIT = [(0, False), (29.9, False), (30.1, True), (100, True)]


@pytest.mark.parametrize(("percent", "refused"), LIMIT)
def test_the_limit(net: World, percent: float, refused: bool) -> None:
    published, base = plan(moved(percent)), plan(moved(0), version="v1")
    assert bool(acceptance.judge(net.catalog.arrays, published, base, None)) is refused


class Reference(NamedTuple):
    """How much of a row the plan held, the base and the new plan put on another edge, versions and bases as they are
    named; and whether the new one is refused."""

    why: str
    held: tuple[str, int] | None
    base: tuple[str, str, int] | None
    percent: int
    refused: bool


REFERENCES = [
    Reference("nothing is known", None, None, 100, False),
    Reference("the base is held", ("v8", 0), ("v8", "v7", 0), 20, False),
    Reference("and it is too much", ("v8", 0), ("v8", "v7", 0), 40, True),
    Reference("the base is what counts, whatever the store says of it", ("v8", 0), ("v8", "v7", 60), 80, True),
    Reference("nothing is held: the base of the store", None, ("v8", "v7", 60), 80, False),
    Reference("and it is too much for that", None, ("v8", "v7", 20), 80, True),
    Reference("the base is not to be had: what is held", ("v5", 60), None, 80, False),
    Reference("and it is too much against what is held", ("v5", 20), None, 80, True),
    Reference("what the store gives is another plan than the base", ("v5", 20), ("v6", "v5", 80), 80, True),
    Reference("away for long: the base of the store", ("v1", 0), ("v8", "v7", 80), 90, False),
    Reference("one was missed, which may count", ("v7", 0), ("v8", "v7", 25), 50, False),
    Reference("one was refused, or would be", ("v7", 0), ("v8", "v7", 50), 60, True),
    Reference("back to near what is held", ("v7", 0), ("v8", "v7", 90), 10, False),
]


@pytest.mark.parametrize("case", REFERENCES, ids=[case.why for case in REFERENCES])
def test_against_which_plan(net: World, case: Reference) -> None:
    held = plan(moved(case.held[1]), version=case.held[0]) if case.held else None
    base = plan(moved(case.base[2]), version=case.base[0], base=case.base[1]) if case.base else None
    published = plan(moved(case.percent), version="v9", base="v8")
    assert bool(acceptance.judge(net.catalog.arrays, published, held, base)) is case.refused


OTHERS = [
    # a plan, the reason, what is said
    (plan(DE, at=T - 2500), "older", "it was issued 2 s before v1, which counts"),
    (plan(DE, at=T), "", ""),
    (plan(row("US||", nyc=100), row("CA||", nyc=100)), "", ""),
    (plan(DE, row("FR|IDF|", nyc=100)), "fence", f"edge nyc, fenced to CA US, is given to FR|IDF| of {LIVE}"),
    (plan(DE, row("DE||dtag", 0, ("nyc",), ber=100)), "fence",
     f"edge nyc, fenced to CA US, is given to DE||dtag of {LIVE}"),
    (plan(row("||", fra=100, nyc=0)), "fence", f"edge nyc, fenced to CA US, is given to || of {LIVE}"),
    (plan(row("FR||", service="gone.x.test.", nyc=100)), "fence",
     "edge nyc, fenced to CA US, is given to FR|| of gone.x.test."),
    (plan(DE, row("FR||", rio=100), row("IT||", 0, ("rio",), par=100)), "", ""),
]  # fmt: skip


@pytest.mark.parametrize(("published", "reason", "text"), OTHERS)
def test_age_and_fences(net: World, published: Plan, reason: str, text: str) -> None:
    """Every move is forced, so that only the rest is judged; an unknown edge is no reason."""
    published = replace(published, forced=(Forced("", ROLLBACK),))
    refusal = acceptance.judge(net.catalog.arrays, published, plan(DE, version="v1"), None)
    assert refusal == ((reason, text) if reason else None)
    assert not reason or reason in acceptance.REASONS


def test_files_without_fences() -> None:
    arrays = world(
        {**ZONES, "zones/edges.yaml": ZONES["zones/edges.yaml"].replace(", fence: [US, CA]", "")}
    ).catalog.arrays
    assert acceptance.judge(arrays, plan(row("FR||", nyc=100)), None, None) is None
