"""The dispatcher of a world: what it makes of demand and reports."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pytest
from gslbtest.simulated import SMALL, small_world

from gslb.model.dispatch import DispatchRules
from gslb.model.events import Stream
from gslb.model.plan import DOWN, PLAN_SUM
from gslb.model.report import DOWN as SAYS_DOWN
from gslb.model.report import Report, StoreState
from gslb.plan.history import History
from gslb.plan.problem import GroupKey
from gslb.plan.round import Made
from gslb.simulate.dispatching import Dispatcher, recorded, scheduled
from gslb.simulate.scenario import FlashCrowd
from gslb.simulate.steered import SERVICE, START_MS, pop_rtt_ms

WORLD = small_world()
DEMAND = WORLD.demand_share * 1e9
SITES = [edge.id for edge in WORLD.edges]


def state(**changed: dict[str, Any]) -> StoreState:
    """Quiet reports, but for some edges."""
    quiet = {edge.id: Report(edge.id, 1, 1, START_MS, capacity_bps=edge.capacity_bps) for edge in WORLD.edges}
    reports = {edge: dataclasses.replace(report, **changed.get(edge, {})) for edge, report in quiet.items()}
    return StoreState(START_MS, reports, dict.fromkeys(SITES, START_MS))


def dispatcher(part: float = 1.0, limited: bool = True) -> Dispatcher:
    """One that has measured a part of `DEMAND`."""
    found = Dispatcher(WORLD, DispatchRules(), 20, 120.0, limited)
    found.measured(0, part * DEMAND)
    return found


@cache
def first() -> Made:
    return dispatcher().round(0, state(), None)


def test_views_with_demand_get_rows_of_their_cheapest_edges() -> None:
    made = first()
    rows = {row[:4]: row for row in made.plan.rows}
    keys = {(SERVICE, view.country, view.region, view.isp) for view in WORLD.views}
    assert set(rows) <= keys
    with_demand = np.flatnonzero(WORLD.demand_share > 0)
    least = pop_rtt_ms(WORLD).argmin(axis=1)
    for at in with_demand.tolist():
        view = WORLD.views[at]
        row = rows[SERVICE, view.country, view.region, view.isp]
        assert sum(weight for _, weight in row.primaries) == PLAN_SUM
        (edge, _), *_ = row.primaries
        assert WORLD.edges[SITES.index(edge)].pop == WORLD.pops[least[at]]
    assert made.report.demand_bps == pytest.approx(DEMAND.sum(), rel=1e-6)
    assert (made.report.overload_bps, made.report.unserved_bps) == (0, 0)


def test_what_is_down_gets_nothing_and_is_told() -> None:
    dead = first().plan.rows[0].primaries[0][0]
    given = dispatcher()
    before = given.round(0, state(), None).plan
    made = given.round(60, state(**{dead: {"health4": SAYS_DOWN, "health6": SAYS_DOWN}}), before)
    assert not [row for row in made.plan.rows if dead in dict(row.primaries) or dead in row.backups]
    assert [(each.edge, each.reason) for each in made.plan.forced] == [(dead, DOWN)]
    assert (made.plan.version, made.plan.base) == ("p2", "p1")


def test_reported_capacity_counts_where_it_is_less() -> None:
    edge = first().plan.rows[0].primaries[0][0]
    carried = sum(dict(row.primaries).get(edge, 0) * row.demand_bps for row in first().plan.rows) / PLAN_SUM
    made = dispatcher().round(0, state(**{edge: {"capacity_bps": round(carried / 2)}}), None)
    after = sum(dict(row.primaries).get(edge, 0) * row.demand_bps for row in made.plan.rows) / PLAN_SUM
    assert after <= 0.95 * round(carried / 2) * 1.001


@pytest.mark.parametrize(("limited", "at_most"), [(True, 0.02), (False, 1.0)])
def test_rounds_are_limited_where_they_are_to_be(limited: bool, at_most: float) -> None:
    """Every second row is where it costs more, on edges that can carry it."""
    given = dispatcher(0.1, limited)
    before = given.round(0, state(), None).plan
    rows = tuple(
        row._replace(primaries=((row.backups[-1], PLAN_SUM),)) if at % 2 else row for at, row in enumerate(before.rows)
    )
    made = given.round(60, state(), dataclasses.replace(before, rows=rows))
    assert made.report.moved_bps > 0
    assert made.report.moved_bps <= at_most * made.report.demand_bps * (1 + 1e-6)
    assert (made.report.waiting_bps > 0) == limited


def test_live_buckets_make_recorded_ones() -> None:
    times = np.arange(60, 60 + 12 * 60, 60)
    rates = np.arange(12)[:, None] * np.array([10, 1])
    keys = (GroupKey(SERVICE, "DE", "", ""), GroupKey(SERVICE, "FR", "", ""))
    found = recorded(History(times, keys, rates, 60))
    # The first lacks a minute; that from 600 s is not over.
    assert found.times_s.tolist() == [0, 300]
    assert found.demand_bps.tolist() == [[15, 1], [60, 6]]
    assert found.bucket_s == 300
    nothing = recorded(History(times[:0], keys, rates[:0], 60))
    assert nothing.demand_bps.shape == (0, 2)


FLASH = FlashCrowd(100, factor=3.0, rise_s=60, hold_s=30, countries=("JP",), announced=True)
AT_S = START_MS // 1000 + SMALL.warmup_s + 100


def share(country: str) -> float:
    return sum(
        part for view, part in zip(WORLD.views, WORLD.demand_share.tolist(), strict=True) if view.country == country
    )


@pytest.mark.parametrize(
    ("flash", "countries"),
    [
        (FLASH, ["JP"]),
        (dataclasses.replace(FLASH, countries=()), ["DE", "JP", "US"]),
        (dataclasses.replace(FLASH, announced=False), []),
        (dataclasses.replace(FLASH, countries=("FR",)), []),
    ],
)
def test_crowds_that_are_announced_stand_among_the_events(flash: FlashCrowd, countries: list[str]) -> None:
    found = scheduled(dataclasses.replace(SMALL, flashes=(flash,)), WORLD).streams
    assert found == tuple(
        Stream(
            f"flash-0-{country.lower()}",
            SERVICE,
            AT_S,
            AT_S + 90,
            round(2 * share(country) * SMALL.demand.mean_bps),
            country,
            ramp_s=60,
        )
        for country in countries
    )
