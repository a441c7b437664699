"""The servers of a world: they answer as the project's own steering and draw do."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from gslbtest.simulated import small_world

from gslb.model.plan import PLAN_SUM, Plan, PlanRow
from gslb.model.report import DOWN, Report, StoreState
from gslb.policy import draw
from gslb.simulate.policies import KINDS
from gslb.simulate.steered import HASH_LEN, PREFIXES, SERVICE, START_MS, Servers, pop_rtt_ms
from gslb.snapshot.steering import Steering
from gslb.zone.names import owner

STATE = StoreState(now_ms=START_MS)
FEW = 400


def servers(name: str = "local-spill", state: StoreState = STATE) -> Servers:
    found = Servers(small_world(), KINDS[name], 20, 5, 3)
    found.steer(state, START_MS)
    return found


def reported(**changed: dict[str, Any]) -> StoreState:
    edges = [edge.id for edge in small_world().edges]
    reports = {edge: Report(edge=edge, epoch=1, seq=1, received_ms=START_MS, **changed.get(edge, {})) for edge in edges}
    return StoreState(START_MS, reports, dict.fromkeys(edges, START_MS))


def test_the_nearest_band_serves() -> None:
    world, found = small_world(), servers("nearest")
    shares = found.shares()
    assert np.allclose(shares.sum(axis=1), 1)
    least = pop_rtt_ms(world).min(axis=1)
    worst = np.where(shares > 0, pop_rtt_ms(world)[:, world.pop_of_edge], 0).max(axis=1)
    with_demand = world.demand_share > 0
    assert (worst[with_demand] <= np.maximum(1.5 * least[with_demand], least[with_demand] + 50)).all()


@pytest.mark.parametrize("name", list(KINDS))
def test_answers_fall_on_edges_by_their_shares(name: str) -> None:
    found = servers(name)
    rng = np.random.default_rng(1)
    view = np.full(20_000, 1)
    chance = rng.integers(0, 1 << 64, len(view), dtype=np.uint64)
    asked = found.ask(view, np.full(len(view), -1), np.zeros(len(view), dtype=np.int64), chance)
    got = np.bincount(asked.edge, minlength=len(small_world().edges)) / len(view)
    assert np.abs(got - found.shares()[1]).max() < 0.015
    assert set(asked.ttl_s.tolist()) == {20}


def test_one_by_one_as_the_draw_has_it() -> None:
    """The same edges that `policy.draw.pick` gives for a row that an answer is made of."""
    world, found = small_world(), servers("geo-round-robin")
    found = Servers(world, dataclasses.replace(KINDS["geo-round-robin"], hashed=True), 20, 5, 3)
    found.steer(STATE, START_MS)
    rng = np.random.default_rng(2)
    view = rng.integers(0, len(world.views), FEW)
    prefix, stream = rng.integers(0, PREFIXES, FEW), rng.integers(0, 3, FEW)
    got = found.ask(view, prefix, stream, np.zeros(FEW, dtype=np.uint64)).edge
    steering = Steering(found.sections)
    ids = [edge.id for edge in world.edges]
    hashes = found.arrays["edge"]["hash"].tolist()
    rows = found.row_of_view
    for at in range(FEW):
        row = steering.row(int(rows[view[at]]) // 2, is_v6=False)
        name = owner(f"s{stream[at]}.{SERVICE}", b"\0")
        address = (16 << 24) + (int(view[at]) << 16) + (int(prefix[at]) << 8)
        seed = draw.seed_of(name, 4, address, HASH_LEN)
        picked = draw.pick(row.edges, row.levels, row.weights, row.reciprocals, hashes, seed, 1, 0, name)
        assert ids[got[at]] == sorted(ids)[picked[0]]


def test_rendezvous_moves_only_those_whose_edge_died() -> None:
    world = small_world()
    before = servers("local-spill", reported())
    view = np.repeat(np.arange(len(world.views)), 30)
    prefix, stream = np.tile(np.arange(30), len(world.views)), np.zeros(len(view), dtype=np.int64)
    chance = np.zeros(len(view), dtype=np.uint64)
    first = before.ask(view, prefix, stream, chance)
    victim = world.edges[int(np.bincount(first.edge).argmax())].id
    dead = reported(**{victim: {"health4": DOWN, "health6": DOWN, "since_ms": START_MS}})
    before.steer(dead, START_MS)
    second = before.ask(view, prefix, stream, chance)
    there = np.array([world.edges[at].id == victim for at in first.edge])
    assert there.any()
    assert not any(world.edges[at].id == victim for at in second.edge)
    stayed = np.mean(first.edge[~there] == second.edge[~there])
    assert stayed > 0.8  # the rest is of levels that lost capacity
    assert 5 in second.ttl_s  # a transition makes answers short-lived


def test_what_did_not_change_is_not_built_again() -> None:
    found = servers("local-spill", reported())
    found.steer(reported(), START_MS)
    assert found.builds == 1
    edge = small_world().edges[0]
    found.steer(reported(**{edge.id: {"load_bps": round(0.9 * edge.capacity_bps)}}), START_MS)
    assert found.builds == 2
    assert found.plan is None


def test_a_plan_decides() -> None:
    world, found = small_world(), servers("ours")
    view = world.views[0]
    row = PlanRow(SERVICE, view.country, view.region, view.isp, ((world.edges[-1].id, PLAN_SUM),))
    plan = Plan("p1", "", START_MS, START_MS, START_MS + 3_600_000, (row,))
    found.accept(plan)
    found.steer(STATE, START_MS)
    assert found.plan == plan
    assert found.shares()[0, -1] == 1.0


def test_nobody_asks() -> None:
    nobody = np.zeros(0, dtype=np.int64)
    assert len(servers().ask(nobody, nobody, nobody, nobody.astype(np.uint64)).edge) == 0
