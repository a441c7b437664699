"""Demand of a simulated network, recovered from its logs and held against what its viewers really asked for."""

from __future__ import annotations

import dataclasses

import pytest
from gslbtest import truth
from gslbtest.simulated import SMALL
from gslbtest.tables import stepped

from gslb.measure.engine import Engine
from gslb.model import records
from gslb.tables.demand import LOOKBACK_S, whole


@pytest.fixture(scope="module")
def network() -> truth.Network:
    """A small network of half an hour in which a PoP dies."""
    demand_of = dataclasses.replace(SMALL.demand, sessions=3000, streams=8, regional=0.5, uneven=0.3)
    resolvers = dataclasses.replace(SMALL.world.resolvers, public=0.3, local=0.5, far=0.0, ecs=0.8)
    return truth.made(
        dataclasses.replace(
            SMALL,
            duration_s=1500,
            demand=demand_of,
            world=dataclasses.replace(SMALL.world, resolvers=resolvers),
            prefixes=32,
            violators_ecs=False,
        )
    )


@pytest.mark.soak
def test_demand_of_a_simulated_network_is_recovered(engine: Engine, network: truth.Network) -> None:
    tables = truth.cleaned(network, network.halves(1))
    from_s, until_s = network.begin_s + 900, network.until_s
    assert from_s - LOOKBACK_S < network.begin_s
    inputs = [
        engine.rows_of(tables[name], columns)
        for name, columns in (("asked", records.ASKED), ("delivered", records.DELIVERED), ("load", records.LOAD))
    ]
    found = stepped(engine, whole, inputs, bucket_s=300, from_s=from_s, until_s=until_s)
    true = {tuple(row[:-1]): row[-1] for row in truth.groups(network, 300, from_s)}
    view = ("country", "region", "isp")
    mine = {(int(row["time"].timestamp()), row["service"], *(row[name] for name in view)): row for row in found}
    total = sum(true.values())
    assert sum(row["demand_bps"] for row in mine.values()) == pytest.approx(total, rel=0.001)
    off = sum(abs((mine[key]["demand_bps"] if key in mine else 0.0) - bps) for key, bps in true.items())
    known = sum(row["delivered_bps"] for row in mine.values())
    assert 0.2 < known / total < 0.8
    assert off / total < 0.2
    expected = sum((1 - row["confidence"]) * row["demand_bps"] for row in mine.values())
    assert 0.3 < off / expected < 3
