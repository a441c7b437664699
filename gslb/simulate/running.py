"""A run: one policy in one world, second by second.

In each second, in this order: what breaks breaks and sessions whose time is up leave; those that break off with their
edge and those that begin ask their caches; agents push; servers go by what has arrived; each ``round_s`` seconds the
dispatcher makes a plan, which servers check and go by `PUBLISH_S` later. The same scenario makes the same run, and all
policies meet the same viewers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from gslb.model.plan import Plan
from gslb.simulate.caches import Caches, Units, units
from gslb.simulate.dispatching import Dispatcher, scheduled
from gslb.simulate.failing import conditions
from gslb.simulate.policies import KINDS, Kind
from gslb.simulate.record import MINUTE_S, Record, Recorder, RoundRecord
from gslb.simulate.scenario import Scenario
from gslb.simulate.sessions import Arrivals, Asking, Crowd, Flash, Habits, Watching, popularity
from gslb.simulate.steered import START_MS, Answers, Servers
from gslb.simulate.telemetry import Agents, Condition
from gslb.simulate.world import World
from gslb.snapshot import acceptance

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

PUBLISH_S: Final = 2
"""From the beginning of a round to servers that go by its plan."""
RETRY_S: Final = 3
"""A player that got no living edge asks again after so long."""
RECONNECT_S: Final = 5
"""Players whose edge dies notice within so many seconds."""
PRELUDE: Final = 20
"""Steps in which those who watch from the beginning come, so that headroom and spill can follow."""
_PRELUDE_STEP_S: Final = 10
_UNITS, _DRAWS, _RETRIES = 10, 11, 12  # streams of random numbers

Progress = Callable[[int], None]


class Witness(Protocol):
    """Who looks on at a run. Times are seconds of the run, warm-up included; the prelude is before 0."""

    def enter(self, units: Units) -> None:
        """The run begins; ``units`` are the caches that `Asking.cell` speaks of."""

    def asked(self, now_s: int, cell: I64, answers: Answers) -> None:
        """Caches ask the servers and get these answers."""

    def began(self, now_s: int, asking: Asking, edge: I64) -> None:
        """Sessions begin, each on its edge."""

    def cut(self, now_s: int, edges: Mask) -> None:
        """All sessions on these edges break off; what is left of them begins elsewhere."""

    def reported(self, now_s: int, load_bps: F64, condition: Condition) -> None:
        """Edges report."""


def run(
    scenario: Scenario,
    world: World,
    policy: str,
    progress: Progress = lambda now_s: None,
    witness: Witness | None = None,
) -> Record:
    """Run one policy; ``progress`` is told each minute how many seconds of ``warmup_s + duration_s`` are done."""
    made = _Run(scenario, world, KINDS[policy], witness)
    made.prelude()
    end_s = scenario.warmup_s + scenario.duration_s
    for now_s in range(end_s):
        made.step(now_s)
        if now_s % MINUTE_S == 0:
            progress(now_s)
    progress(end_s)
    return made.record()


class _Run:
    def __init__(self, scenario: Scenario, world: World, kind: Kind, witness: Witness | None) -> None:
        self._scenario, self._world, self._kind = scenario, world, kind
        demand = scenario.demand
        rng = np.random.default_rng((scenario.seed, _UNITS))
        self._units = units(
            world, scenario.caches, scenario.prefixes, scenario.violators, rng, violators_ecs=scenario.violators_ecs
        )
        self._witness = witness
        if witness is not None:
            witness.enter(self._units)
        told = witness.asked if witness is not None else None
        self._caches = Caches(self._units, demand.streams, scenario.violators_keep_s, told)
        self._servers = Servers(world, kind, scenario.ttl_s, scenario.changing_ttl_s, demand.streams)
        self._crowd = Crowd(
            _habits(scenario, world), world.client_share, world.utc_offset_h[world.client_view], scenario.seed
        )
        self._watching = Watching(len(world.edges))
        self._agents = Agents(tuple(edge.id for edge in world.edges), kind.loaded, scenario.report_delay_s)
        self._dispatcher: Dispatcher | None = None
        if kind.planned:
            self._dispatcher = Dispatcher(
                world,
                scenario.dispatch,
                scenario.ttl_s,
                float(demand.mean_s),
                scenario.limited,
                scheduled(scenario, world),
            )
        self._conditions = conditions(scenario, world)
        self._capacity = np.array([float(edge.capacity_bps) for edge in world.edges])
        self._dead = np.zeros(len(world.edges), dtype=np.bool_)
        self._waiting: dict[int, list[Asking]] = {}
        self._waiting_bps = 0.0
        self._affected = np.zeros(0, dtype=np.bool_)
        self._bucket = np.zeros(len(world.views))
        self._bucket_parts = 0
        self._shares: F64 | None = None
        self._coming: tuple[int, Plan] | None = None
        self._rng = np.random.default_rng((scenario.seed, _DRAWS))
        self._retries = np.random.default_rng((scenario.seed, _RETRIES))
        self._recorder = Recorder(scenario.warmup_s, scenario.warmup_s + scenario.duration_s, len(world.edges))

    def prelude(self) -> None:
        """Those who watch at second 0 come; with plans, by one that was made for them."""
        crowd = self._asking(self._crowd.watching())
        condition = self._conditions(0)
        begin_s = -PRELUDE * _PRELUDE_STEP_S
        self._push(begin_s, condition)
        if self._dispatcher is not None:
            self._dispatcher.measured(begin_s, self._demand(crowd.cell, crowd.rate_bps))
            made = self._dispatcher.round(begin_s, self._agents.known(begin_s + 10), None)
            self._servers.accept(made.plan)
        for step in range(PRELUDE):
            now_s = begin_s + step * _PRELUDE_STEP_S
            self._push(now_s, condition)
            self._servers.steer(self._agents.known(now_s + _PRELUDE_STEP_S), START_MS + now_s * 1000)
            some = crowd.take(np.arange(step, len(crowd.cell), PRELUDE))
            self._place(some, now_s)

    def step(self, now_s: int) -> None:
        """One second."""
        self._watching.end(now_s)
        condition = self._conditions(now_s)
        if (condition.dead & ~self._dead).any():
            self._break_off(now_s, condition.dead & ~self._dead)
        self._dead = condition.dead
        arrivals = self._asking(self._crowd.arriving(now_s))
        if self._affected.size and not self._dead.any():  # once the edge is back nobody is affected any more
            self._affected = np.zeros(0, dtype=np.bool_)
        self._place(arrivals, now_s, counts=True)
        for again in self._waiting.pop(now_s, ()):
            self._waiting_bps -= float(again.rate_bps.sum())
            self._place(again.take(np.flatnonzero(again.end_s > now_s)), now_s)
        self._push(now_s, condition)
        self._plan(now_s)
        self._servers.steer(self._agents.known(now_s), START_MS + now_s * 1000)
        load = np.maximum(self._watching.load_bps, 0.0)
        over = np.maximum(load - condition.true_bps, 0.0)
        self._recorder.second(
            now_s,
            load,
            demand_bps=float(load.sum()) + self._waiting_bps,
            overload_bps=float(over.sum()),
            waiting_bps=self._waiting_bps,
        )
        if now_s % MINUTE_S == 0:
            self._minute(now_s)

    def record(self) -> Record:
        """What has been recorded."""
        by_name = float(np.square(popularity(self._scenario.demand.streams, self._scenario.demand.zipf)).sum())
        rates = np.array(self._scenario.demand.rates_bps, dtype=np.float64)
        kept = self._recorder
        return Record(
            name=self._kind.name,
            title=self._kind.title,
            begin_s=kept.begin_s,
            edges=tuple(edge.id for edge in self._world.edges),
            capacity_bps=self._capacity,
            load_bps=kept.load_bps,
            **kept.by_second,
            rtt_bps=kept.rtt_bps,
            intended=kept.intended,
            churn=kept.churn,
            rounds=tuple(kept.rounds),
            session_bps=float(np.square(rates).sum() / rates.sum()),
            concentration=self._units.concentration,
            concentration_cells=self._units.concentration * by_name,
            questions=self._caches.asked,
            builds=self._servers.builds,
        )

    def _asking(self, arrivals: Arrivals) -> Asking:
        unit = _unit_of(self._units, arrivals)
        cell = self._caches.cell(unit, arrivals.stream)
        return Asking(cell, self._world.client_view[arrivals.row], arrivals.end_s, arrivals.rate_bps)

    def _place(self, asking: Asking, now_s: int, *, counts: bool = False) -> None:
        """Sessions get the edge that their cache knows, or wait where it is dead or there is none."""
        if not len(asking.cell):
            return
        edge = self._caches.look_up(asking.cell, now_s, self._servers.ask, self._rng)
        lives = (edge >= 0) & ~self._dead[edge]
        found = np.flatnonzero(lives)
        self._watching.begin(asking.take(found), edge[found])
        if self._witness is not None:
            self._witness.began(now_s, asking.take(found), edge[found])
        if len(found) < len(edge):
            self._wait(asking.take(np.flatnonzero(~lives)), now_s + RETRY_S)
        self._recorder.count(now_s, begun=len(found), failed=len(edge) - len(found))
        if counts and self._affected.size:
            hit = self._affected[asking.cell]
            self._recorder.count(now_s, affected=int(hit.sum()), moved=int((hit & lives).sum()))

    def _wait(self, asking: Asking, until_s: int) -> None:
        self._waiting.setdefault(until_s, []).append(asking)
        self._waiting_bps += float(asking.rate_bps.sum())

    def _break_off(self, now_s: int, dying: Mask) -> None:
        """Sessions on edges that die ask again, each as soon as its player has noticed."""
        cut = self._watching.cut(now_s, dying)
        if self._witness is not None:
            self._witness.cut(now_s, dying)
        self._dead = self._dead | dying
        noticed = self._retries.integers(1, RECONNECT_S + 1, len(cut.cell))
        for after in range(1, RECONNECT_S + 1):
            if len(at := np.flatnonzero(noticed == after)):
                self._wait(cut.take(at), now_s + after)
        known = self._caches.edge
        hit = (known >= 0) & dying[np.maximum(known, 0)]
        violates = np.repeat(self._units.violates, self._scenario.demand.streams)
        self._affected = hit & ~violates

    def _push(self, now_s: int, condition: Condition) -> None:
        load_bps = np.maximum(self._watching.load_bps, 0.0)
        self._agents.push(now_s, load_bps, condition)
        if self._witness is not None:
            self._witness.reported(now_s, load_bps, condition)

    def _plan(self, now_s: int) -> None:
        """Rounds of dispatch, and plans that arrive."""
        if self._dispatcher is None:
            return
        if self._coming is not None and self._coming[0] <= now_s:
            self._servers.accept(self._coming[1])
            self._coming = None
        round_s = self._scenario.dispatch.round_s
        if now_s % 10 == 0:
            count = self._watching.forget(now_s)
            self._bucket += self._demand(self._watching.cell[:count], self._watching.rate_bps[:count])
            self._bucket_parts += 1
        if now_s % round_s:
            return
        self._dispatcher.measured(now_s, self._bucket / self._bucket_parts)
        self._bucket[:] = 0.0
        self._bucket_parts = 0
        held = self._servers.plan
        made = self._dispatcher.round(now_s, self._agents.known(now_s), held)
        refusal = acceptance.judge(self._servers.arrays, made.plan, held, held, START_MS + now_s * 1000)
        report = made.report
        if now_s >= self._scenario.warmup_s:
            self._recorder.rounds.append(
                RoundRecord(
                    now_s - self._scenario.warmup_s,
                    report.demand_bps,
                    report.moved_bps,
                    report.forced_bps,
                    report.waiting_bps,
                    report.overload_bps,
                    report.unserved_bps,
                    report.surprise_total,
                    len(report.shortfalls),
                    refusal.reason if refusal is not None else "",
                )
            )
        if refusal is None:
            self._coming = now_s + PUBLISH_S, made.plan

    def _demand(self, cell: I64, rate_bps: F64) -> F64:
        """Demand by the view that servers see, (V,)."""
        view = self._units.view[cell // self._scenario.demand.streams]
        return np.bincount(view, weights=rate_bps, minlength=len(self._world.views)).astype(np.float64)

    def _minute(self, now_s: int) -> None:
        count = self._watching.forget(now_s)
        watching = self._watching
        rate = watching.rate_bps[:count]
        demand = self._demand(watching.cell[:count], rate)
        shares = self._servers.shares()
        part = demand / max(float(demand.sum()), 1.0)
        before = self._shares if self._shares is not None else shares
        churn = float(part @ np.abs(shares - before).sum(axis=1)) / 2
        self._shares = shares
        rtt_ms = self._world.rtt_ms[watching.view[:count], watching.edge[:count]]
        self._recorder.minute(now_s, rtt_ms, rate, part @ shares, churn)


def _unit_of(of: Units, arrivals: Arrivals) -> I64:
    """The cache behind which each client is."""
    count = of.count[arrivals.row]
    found: I64 = of.first[arrivals.row] + np.minimum((arrivals.part * count).astype(np.int64), count - 1)
    return found


def _habits(scenario: Scenario, world: World) -> Habits:
    demand = scenario.demand
    return Habits(
        sessions=float(demand.sessions),
        mean_s=float(demand.mean_s),
        sigma=demand.sigma,
        rates_bps=demand.rates_bps,
        streams=demand.streams,
        zipf=demand.zipf,
        peak_to_trough=demand.peak_to_trough,
        start_h=demand.start_h - scenario.warmup_s / 3600,
        flashes=_flashes(scenario, world),
        regional=demand.regional,
        home=_numbered(world, "country"),
        uneven=demand.uneven,
        uneven_networks=demand.uneven_networks,
        network=_numbered(world, "isp"),
    )


def _numbered(world: World, name: str) -> I64:
    """The number of each row's country, or of what ``name`` says."""
    values = [getattr(view, name) for view in world.views]
    number = {value: at for at, value in enumerate(sorted(set(values)))}
    return np.array([number[values[view]] for view in world.client_view.tolist()], dtype=np.int64)


def _flashes(scenario: Scenario, world: World) -> Sequence[Flash]:
    found = []
    for flash in scenario.flashes:
        views = np.array([not flash.countries or view.country in flash.countries for view in world.views])
        rows = views[world.client_view]
        at_s = flash.at_s + scenario.warmup_s
        found.append(Flash(at_s, flash.factor, flash.rise_s, flash.hold_s, flash.fall_s, rows, flash.stream))
    return found
