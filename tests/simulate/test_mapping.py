"""Mapping of public resolvers' clients: the ideal is the best there is, and what each way is worth beside it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gslb.errors import ConfigError
from gslb.model.dispatch import DispatchRules
from gslb.simulate import geography, mapping, world
from gslb.simulate.mapping import IDEAL, LOCAL, MOST_EXCESS, PLANNED, RESOLVER, Mapped, Step
from gslb.simulate.resolvers import ResolverRules
from gslb.simulate.rtt import RttRules
from gslb.simulate.scenario import Demand, MappingRules, Scenario
from gslb.simulate.world import WorldRules

FACTS = geography.shipped()
RULES = WorldRules(metros=60, pops=20, edges_per_pop=1, resolvers=ResolverRules(sites=6))
COUNTS = (5, 20)
MADE = mapping.compare([world.build(RULES, FACTS, 1e12, seed) for seed in (1, 2)], COUNTS, DispatchRules(), 0.05)


@pytest.mark.parametrize("step", MADE, ids=lambda step: f"{step.pops} PoPs")
def test_nothing_is_better_than_the_ideal(step: Step) -> None:
    least = step.ways[IDEAL].rtt_ms
    assert least <= step.ways[PLANNED].rtt_ms <= least * (1 + MOST_EXCESS)
    assert least <= step.ways[LOCAL].rtt_ms < step.ways[RESOLVER].rtt_ms
    assert step.nearer > 1.5
    for row in step.ways.values():
        assert row.p50_ms < row.p99_ms
        assert row.p99_ms - 35 <= row.path_p99_ms <= row.p99_ms - 8


def test_more_pops_help_with_client_subnet_and_hardly_without() -> None:
    assert mapping.change(MADE, PLANNED) < -0.3 < mapping.change(MADE, RESOLVER)
    assert MADE[1].ways[PLANNED].km < MADE[0].ways[PLANNED].km


def test_without_errors_the_plan_is_ideal() -> None:
    made = mapping.compare([world.build(RULES, FACTS, 1e12, 3)], (20,), DispatchRules(), 0.0)
    assert made[0].ways[PLANNED] == made[0].ways[IDEAL]
    assert made[0].excess == 0


def test_by_resolver_is_as_good_where_the_resolver_is_where_its_clients_are() -> None:
    near = dataclasses.replace(
        RULES, rtt=RttRules(log_sd=0.0), metros=20, resolvers=ResolverRules(sites=20, detour=0.0)
    )
    (step,) = mapping.compare([world.build(near, FACTS, 1e12, 1)], (20,), DispatchRules(), 0.0)
    assert step.ways[RESOLVER].km == pytest.approx(0, abs=200)
    assert step.ways[PLANNED].km == pytest.approx(0, abs=1e-6)


def test_a_scenario() -> None:
    scenario = Scenario(
        "x", 1, world=RULES, demand=Demand(10**6, rates_bps=(10**6,)), mapping=MappingRules(COUNTS, 2, 0.05)
    )
    assert mapping.of_scenario(scenario, "x.yaml", FACTS) == MADE
    many = dataclasses.replace(scenario, mapping=None)
    with pytest.raises(ConfigError, match=r"x\.yaml:0:0: mapping: 160 PoPs are asked for, and there are 60 metros"):
        mapping.of_scenario(many, "x.yaml")


def test_the_table() -> None:
    def mapped(*values: float) -> Mapped:
        return Mapped(*values)

    def step(pops: int, path_ms: float, km: float) -> Step:
        ways = {way: mapped(km, 40.0, 38.0, 90.0, path_ms) for way in mapping.WAYS}
        return Step(pops, {**ways, RESOLVER: mapped(800.0, 80.0, 60.0, 300.0, 200.0), IDEAL: mapped(1, 39.5, 1, 1, 1)})

    assert mapping.table([step(20, 50.0, 400.0), step(160, 30.0, 100.0)])[5:] == [
        " 160  planned         100     40.0    38.0    90.0         30.0",
        " 160  local policy    100     40.0    38.0    90.0         30.0",
        " 160  by resolver     800     80.0    60.0   300.0        200.0",
        " 160  ideal             1     39.5     1.0     1.0          1.0",
        "",
        "                                         here   Akamai",
        "distance by resolver / with ECS          8.0×     8.0×",
        "path p99 from 20 to 160 PoPs, ECS        -40%     -40%",
        "path p99 from 20 to 160 PoPs, resolver       0%     -15%",
        "mean round trip over ideal, worst       1.27%         ",
    ]


def test_quantiles_count_weight() -> None:
    values, weight = np.array([30.0, 10.0, 20.0]), np.array([0.01, 0.5, 0.49])
    assert mapping._quantiles(values, weight, (0.5, 0.501, 0.99, 0.991)) == [10, 20, 20, 30]
