"""Scenarios: what each key means, the exact words for each fault, and that every frozen scenario can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from gslb.errors import ConfigErrors
from gslb.model.dispatch import DispatchRules
from gslb.simulate.resolvers import ResolverRules
from gslb.simulate.rtt import RttRules
from gslb.simulate.scenario import (
    Demand,
    Failure,
    FlashCrowd,
    Imports,
    MappingRules,
    Scenario,
    read_scenario,
)
from gslb.simulate.world import WorldRules

ALL = b"""
name: everything
seed: 7
duration: 2h
warmup: 5m
world:
  metros: 50
  countries: [JP, US]
  pops: 12
  edges_per_pop: 3
  placement: random
  capacity_ratio: 1.5
  rtt:
    {base_ms: 1, ms_per_1000_km: 2, log_sd: 0.3, fixed_ms: 4, mobile_ms: 5, mismatch_home_ms: 6, mismatch_abroad_ms: 7}
  resolvers: {public: 30%, local: 0.5, far: 0.1, ecs: 0.25, sites: 9, detour: 0.2}
imports: {pops: p.csv, rtt: r.csv, rtt_matrix: m.txt, rtt_matrix_unit: s, demand: d.csv}
demand:
  {sessions: 100, mean: 20m, sigma: 0.5, rates: [1Mbps, 3Mbps],
   streams: 5, zipf: 1.4, peak_to_trough: 3, start_hour: 1.5}
flashes: [{at: 10m, factor: 5, rise: 60, hold: 70, fall: 80, countries: JP, stream: 4}, {at: 0}]
failures:
  - {kind: pop, at: 1h}
  - {kind: grey, at: 20m, lasts: 10m, pop: nyc, loss: 0.9}
  - {kind: stale, at: 20m, lasts: 9h, edge: nyc-1}
mapping: {pops: [3, 6], worlds: 2, estimate_log_sd: 0.1}
policies: [ours, nearest]
ttl: 30
changing_ttl: 3
violators: 10%
violators_keep: 30m
prefixes: 4
report_delay: 3
dispatch: {alpha: 0.05, churn: 0.2}
limits: off
"""


def test_every_key() -> None:
    assert read_scenario("x/y.yaml", ALL) == Scenario(
        name="everything",
        seed=7,
        duration_s=7200,
        warmup_s=300,
        world=WorldRules(
            50, ("JP", "US"), 12, 3, "random", 1.5, RttRules(1, 2, 0.3, 4, 5, 6, 7),
            ResolverRules(0.3, 0.5, 0.1, 0.25, 9, 0.2),
        ),
        imports=Imports("p.csv", "r.csv", "m.txt", "s", "d.csv"),
        demand=Demand(100, 1200, 0.5, (10**6, 3 * 10**6), 5, 1.4, 3, 1.5),
        flashes=(FlashCrowd(600, 5, 60, 70, 80, ("JP",), 4), FlashCrowd(0)),
        failures=(
            Failure("pop", 3600, 7200, "largest"),
            Failure("grey", 1200, 1800, "nyc", "", 0.9),
            Failure("stale", 1200, 7200, "", "nyc-1"),
        ),
        mapping=MappingRules((3, 6), 2, 0.1),
        policies=("ours", "nearest"),
        ttl_s=30,
        changing_ttl_s=3,
        violators=0.1,
        violators_keep_s=1800,
        prefixes=4,
        report_delay_s=3,
        dispatch=DispatchRules(alpha=0.05, churn=0.2),
        limited=False,
    )  # fmt: skip


def test_what_is_not_written_is_the_default() -> None:
    assert read_scenario("x/y.yaml", b"seed: 1\nmapping: {}\n") == Scenario("y", 1, mapping=MappingRules())
    assert Demand().mean_bps == 20_000 * 2_750_000


FAULTS = [
    # text behind "seed: 1", what is told
    ("duration: 0", "s:2:11: duration: 0 s is not from 1 s to 604800 s"),
    ("wrold: {}", 's:2:1: unknown key "wrold"; did you mean "world"?'),
    ("world: {pops: 0}", 's:2:15: pops: "0" is not a whole number from 1 to 1000'),
    (
        "world: {resolvers: {public: 30%, local: 0.8, far: 0.1}}",
        "s:2:20: resolvers: public, local and far are together 1.2 of all demand",
    ),
    ("flashes: [{at: 1h}]", "s:2:16: at: 3600 s is not before the end, 3600 s"),
    ("flashes: [{factor: 2}]", 's:2:11: key "at" is missing'),
    ("flashes: [{at: 0, stream: 20}]", "s:2:27: stream: 20 is no stream; there are 20, from 0"),
    ("failures: [{kind: fire, at: 0}]", 's:2:19: kind: "fire" is not one of pop, link, grey, stale'),
    ("failures: [{kind: pop, at: 2h}]", "s:2:28: at: 7200 s is not before the end, 3600 s"),
    (
        "failures: [{kind: pop, at: 0, pop: a, edge: b}]",
        "s:2:45: edge: a failure is of a PoP or of an edge, not of both",
    ),
    ("demand: {rates: []}", "s:2:17: rates: an empty list holds no rate; leave the key out"),
    ("demand: {zipf: x}", 's:2:16: zipf: "x" is not a number from 0 to 3'),
    ("mapping: {pops: [2, 1]}", "s:2:17: pops: the numbers do not rise"),
    ("policies: [our]", 's:2:12: policies: "our" is not one of nearest, geo-round-robin, local-spill, ours; did you'),
    ("dispatch: {knee: 0.99}", "s:2:18: knee: 0.99 is above hard, 0.95"),
    ("dispatch: {alpha: -1}", 's:2:19: alpha: "-1" is not a number from 0 to '),
    ("limits: maybe", 's:2:9: limits: "maybe" is not one of on, off'),
    ("seed: 2", 's:2:1: duplicate key "seed"; it stands on line 1 already'),
]


@pytest.mark.parametrize(("text", "told"), FAULTS, ids=[row[0] for row in FAULTS])
def test_faults(text: str, told: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        read_scenario("s", f"seed: 1\n{text}\n".encode())
    (error,) = caught.value.errors
    assert str(error).startswith(told)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigErrors) as caught:
        read_scenario("s", "\n".join(row[0] for row in FAULTS[:5]).encode())
    told = [str(error) for error in caught.value.errors]
    assert len(told) == 6
    assert told[0] == 's:1:1: key "seed" is missing'


SCENARIOS = sorted(Path(__file__).parents[1].glob("scenarios/*.yaml"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_frozen_scenarios(path: Path) -> None:
    assert read_scenario(path.name, path.read_bytes()).name
