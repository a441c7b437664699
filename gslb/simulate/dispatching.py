"""The dispatcher of a simulated world: the project's own forecast and rounds, from demand as the servers see it.

Demand is counted by the view from which its questions come (that of the client behind Client Subnet, else that of the
resolver): what steers it is a plan row of that view.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from gslb.health.judge import VERDICT_UNKNOWN, judge
from gslb.model.dispatch import DispatchRules
from gslb.model.events import Events, Stream
from gslb.model.inventory import HealthRules
from gslb.model.plan import DOWN, Plan
from gslb.model.report import StoreState
from gslb.plan.costs import route_costs
from gslb.plan.forecast import forecast
from gslb.plan.history import WINDOW_S, History
from gslb.plan.problem import NOWHERE, UNLIMITED, GroupKey, Sites
from gslb.plan.round import Candidates, Live, Made, Round, plan_round
from gslb.simulate.scenario import Scenario
from gslb.simulate.steered import SERVICE, START_MS, pop_rtt_ms
from gslb.simulate.world import World, belonging

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

NO_EVENTS: Final = Events()
_BUCKET_S: Final = 300
"""How long a bucket of recorded demand is, beside the live ones of a round's length."""


class Dispatcher:
    """Makes plans, each upon the one that it was told to count. ``ttl_s`` and ``session_s`` as `Round` has them."""

    def __init__(
        self,
        world: World,
        rules: DispatchRules,
        ttl_s: int,
        session_s: float,
        limited: bool,
        events: Events = NO_EVENTS,
    ) -> None:
        self._world, self._rules, self._limited = world, rules, limited
        self._ttl_s, self._session_s = ttl_s, session_s
        self._ids = tuple(edge.id for edge in world.edges)
        self._capacity = np.array([edge.capacity_bps for edge in world.edges], dtype=np.int64)
        self._keys = [GroupKey(SERVICE, view.country, view.region, view.isp) for view in world.views]
        self._view_of = {key: at for at, key in enumerate(self._keys)}
        self._edge, self._cost = candidates(world, rules)
        self._buckets: list[tuple[int, I64]] = []
        self._number = 0
        self._events = events

    def measured(self, now_s: int, demand_bps: F64) -> None:
        """A bucket of ``round_s`` seconds has ended, in which ``demand_bps`` (V,) was asked for in the mean."""
        begun_s = START_MS // 1000 + now_s - self._rules.round_s
        self._buckets = [
            *((at_s, demand) for at_s, demand in self._buckets if at_s >= begun_s - WINDOW_S),
            (begun_s, np.rint(demand_bps).astype(np.int64)),
        ]

    def round(self, now_s: int, state: StoreState, before: Plan | None) -> Made:
        """The next plan, in the time of the world."""
        order = sorted(range(len(self._keys)), key=lambda at: self._keys[at])
        keys = tuple(self._keys[at] for at in order)
        times = np.array([begun_s for begun_s, _ in self._buckets], dtype=np.int64)
        table = np.array([demand[order] for _, demand in self._buckets], dtype=np.int64)
        live = History(times, keys, table, self._rules.round_s)
        expected = forecast(recorded(live), live, self._events, START_MS / 1000 + now_s, self._rules.round_s)
        views = np.array([self._view_of[key] for key in expected.keys], dtype=np.int64)
        width = self._edge.shape[1]
        sites, live_edges = self._sites(state)
        self._number += 1
        given = Round(
            version=f"p{self._number}",
            now_ms=START_MS + now_s * 1000,
            sites=sites,
            live=live_edges,
            groups=expected.groups,
            candidates=Candidates(
                np.repeat(np.arange(len(views)), width), self._edge[views].reshape(-1), self._cost[views].reshape(-1)
            ),
            rules=self._rules,
            before=before,
            inputs={},
            ttl_s=self._ttl_s,
            history_bps=expected.window_bps,
            measured_bps=expected.measured_bps,
            limited=self._limited,
            session_s=self._session_s,
        )
        return plan_round(given, lambda: 0.0)

    def _sites(self, state: StoreState) -> tuple[Sites, Live]:
        """Edges as the store has them now: their capacity, and why nothing may stay there."""
        continents = [edge.location.continent for edge in self._world.edges]
        judged = judge(self._ids, continents, self._capacity.tolist(), state, HealthRules())
        reports = [state.reports.get(edge) for edge in self._ids]
        says = np.array([report.capacity_bps if report else 0 for report in reports], dtype=np.int64)
        load = np.array([report.load_bps if report else -1 for report in reports], dtype=np.int64)
        capacity = np.where(says > 0, np.minimum(says, self._capacity), self._capacity)
        leaving = tuple("" if verdict <= VERDICT_UNKNOWN else DOWN for verdict in judged.verdict4.tolist())
        alive = np.array([not why for why in leaving], dtype=np.bool_)
        pops = len(self._world.pops)
        sites = Sites(
            edges=self._ids,
            pops=self._world.pops,
            regions=(),
            pop_of_edge=self._world.pop_of_edge,
            region_of_pop=np.full(pops, NOWHERE, dtype=np.int64),
            edge_capacity_bps=np.where(alive, capacity, 0),
            pop_capacity_bps=np.full(pops, UNLIMITED, dtype=np.int64),
            region_capacity_bps=np.zeros(0, dtype=np.int64),
            usable=alive,
        )
        return sites, Live(leaving, np.where(judged.verdict4 > 0, -1, load))


def recorded(live: History) -> History:
    """The same demand in buckets of 300 s; only those that are over."""
    bucket = live.times_s // _BUCKET_S
    over = live.times_s[-1:].max(initial=0) + live.bucket_s >= (bucket + 1) * _BUCKET_S
    times, of = np.unique(bucket[over], return_inverse=True)
    table = np.zeros((len(times), len(live.keys)), dtype=np.int64)
    np.add.at(table, of, live.demand_bps[over])
    parts = np.bincount(of, minlength=len(times))
    return History(times * _BUCKET_S, live.keys, table // np.maximum(parts, 1)[:, None], _BUCKET_S)


def candidates(world: World, rules: DispatchRules) -> tuple[I64, F64]:
    """The edges of least round-trip time of each view, in the order of edges, and their costs: both (V, n)."""
    rtt_ms = pop_rtt_ms(world)[:, world.pop_of_edge]
    count = min(rules.candidates, len(world.edges))
    edge = np.sort(np.argsort(rtt_ms, axis=1, kind="stable")[:, :count], axis=1)
    in_isp, at_home = belonging(world.views, world.edges)
    rows = np.arange(len(world.views))[:, None]
    price = np.full(edge.shape, rules.price)
    return edge, route_costs(rules, rtt_ms[rows, edge], in_isp[rows, edge], at_home[rows, edge], price)


def scheduled(scenario: Scenario, world: World) -> Events:
    """What the dispatcher knows of the flash crowds that are announced: a stream for each country, of the demand that
    the crowd's height adds to the country's mean."""
    by_country: dict[str, float] = {}
    for view, share in zip(world.views, world.demand_share.tolist(), strict=True):
        by_country[view.country] = by_country.get(view.country, 0.0) + share * scenario.demand.mean_bps
    streams = []
    for number, flash in enumerate(scenario.flashes):
        begin_s = START_MS // 1000 + scenario.warmup_s + flash.at_s
        for country in (flash.countries or tuple(sorted(by_country))) if flash.announced else ():
            more_bps = round(by_country.get(country, 0.0) * (flash.factor - 1.0))
            if more_bps:
                until_s = begin_s + flash.rise_s + flash.hold_s
                name = f"flash-{number}-{country.lower()}"
                streams.append(Stream(name, SERVICE, begin_s, until_s, more_bps, country, ramp_s=flash.rise_s))
    return Events(tuple(streams))
