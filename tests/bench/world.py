"""Policies in the simulated world: what plans do when a PoP is lost, in a closed loop, in a flash crowd, and where they
send clients of public resolvers. The scenarios are those of tests/scenarios, whatever they say.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from bounds import Result

from gslb.simulate import mapping, measures
from gslb.simulate.importing import world_of
from gslb.simulate.running import run
from gslb.simulate.scenario import Scenario, read_scenario

SCENARIOS = Path(__file__).parents[1] / "scenarios"
CORNERS = ((20, 120), (20, 1800), (60, 600), (300, 120), (300, 1800))
"""TTLs and mean lengths of sessions of the closed loop, in seconds."""
FULLER = 1.3
"""All capacity over mean demand of a second closed loop, beside 1.6: no bound is held to it, and it says where it ends.
"""
FRESH_S = 2
"""How old reports are in a second flash crowd."""
OTHER_SEEDS = (12, 13)
"""The flash crowd in other worlds of the same kind: no bound is held to them either."""
DISTURBED_S = 1800
MAPPINGS = ("mapping", "mapping-planned")

Found = Mapping[str, float]


class Job(NamedTuple):
    """A run of a policy in a frozen scenario, of which a few things are changed."""

    scenario: str
    policy: str = "ours"
    ttl_s: int | None = None
    mean_s: int | None = None
    capacity_ratio: float | None = None
    report_delay_s: int | None = None
    seed: int | None = None


LOOPS = tuple(Job("closed-loop", ttl_s=ttl_s, mean_s=mean_s) for ttl_s, mean_s in CORNERS)
FULL_LOOPS = tuple(each._replace(capacity_ratio=FULLER) for each in LOOPS if each.mean_s == min(CORNERS)[1])
FLASHES = tuple(
    Job("flash", policy, report_delay_s=delay_s, seed=seed)
    for delay_s, seed in ((None, None), (FRESH_S, None), *((None, seed) for seed in OTHER_SEEDS))
    for policy in ("local-spill", "ours")
)
LOSS = Job("pop-loss")


def measure(_: Path) -> Result:
    """All runs, in as many processes as there are CPUs; they need no files."""
    jobs = (*LOOPS, *FULL_LOOPS, *FLASHES, LOSS)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        maps = [pool.submit(_mapped, name) for name in MAPPINGS]
        of = dict(zip(jobs, pool.map(ran, jobs), strict=True))
        steps = dict(zip(MAPPINGS, (each.result() for each in maps), strict=True))
    found = {
        "pop_moved": 100 * of[LOSS]["moved"],
        "pop_left": of[LOSS]["left_s"],
        "loop_cycle": 100 * max(of[job]["cycle"] for job in LOOPS),
        "loop_overshoot": 100 * max(of[job]["overshoot"] for job in LOOPS),
        "loop_share": 100 * max(of[job]["share"] for job in LOOPS),
        "flash_local": 100 * of[FLASHES[0]]["flash"],
        "flash": 100 * of[FLASHES[1]]["flash"],
        "mapping": 100 * max(step.excess for each in steps.values() for step in each),
    }
    return Result(found, [*_lines(of), *_mapping_lines(steps)])


def ran(job: Job) -> Found:
    """What one run showed; parts are of 1."""
    scenario = changed(job)
    record = run(scenario, world_of(scenario, job.scenario, _nothing), job.policy)
    cycle, balance = measures.limit_cycle(record), measures.steady(record)
    found = {"cycle": cycle.amplitude, "period_s": cycle.period_s, "share": balance.beyond, "floor": balance.floor}
    found["fullest"] = float(measures.utilisation(record).max())
    events = [each.at_s for each in (*scenario.failures, *scenario.flashes)]
    found["overshoot"] = max(measures.overshoot(record, at_s, DISTURBED_S)[1] for at_s in events)
    if scenario.flashes:
        flash = scenario.flashes[0]
        found["flash"] = measures.overload(record, flash.at_s, flash.at_s + flash.rise_s + DISTURBED_S)
    else:
        at_s = scenario.failures[0].at_s
        found["moved"] = measures.moves(record, at_s)[0]
        found["left_s"] = measures.moved_after_s(record, at_s) - scenario.ttl_s
    return found


def changed(job: Job) -> Scenario:
    """The scenario of a job."""
    path = SCENARIOS / f"{job.scenario}.yaml"
    scenario = read_scenario(path.name, path.read_bytes())
    demand, world = scenario.demand, scenario.world
    if job.mean_s is not None:
        demand = dataclasses.replace(demand, mean_s=job.mean_s)
    if job.capacity_ratio is not None:
        world = dataclasses.replace(world, capacity_ratio=job.capacity_ratio)
    ttl_s = scenario.ttl_s if job.ttl_s is None else job.ttl_s
    delay_s = scenario.report_delay_s if job.report_delay_s is None else job.report_delay_s
    seed = scenario.seed if job.seed is None else job.seed
    return dataclasses.replace(scenario, demand=demand, world=world, ttl_s=ttl_s, report_delay_s=delay_s, seed=seed)


def _mapped(name: str) -> tuple[mapping.Step, ...]:
    path = SCENARIOS / f"{name}.yaml"
    return mapping.of_scenario(read_scenario(path.name, path.read_bytes()), path.name)


def _nothing(name: str) -> bytes:
    raise FileNotFoundError(name)


def _lines(of: Mapping[Job, Found]) -> list[str]:
    loss = of[LOSS]
    return [
        "### The simulated world",
        "",
        "Runs of the frozen scenarios in tests/scenarios.",
        "",
        f"**The largest PoP lost** (`pop-loss.yaml`): in the worst round {100 * loss['moved']:.2f} % of demand moved"
        f" without need; 95 % of new sessions that keep TTLs were off it {loss['left_s']:.0f} s after a TTL.",
        "",
        "**Closed loop** (`closed-loop.yaml`): half of the largest PoP is lost, later more viewers come.",
        "",
        "| capacity / demand | TTL | sessions | limit cycle | overshoot | share error beyond the floor | the floor |",
        "|---|---|---|---|---|---|---|",
        *(_loop(job, of[job]) for job in (*LOOPS, *FULL_LOOPS)),
        "",
        "No bound is held to the last rows: they show where it ends.",
        "",
        "**Flash crowd** (`flash.yaml`): load above capacity until 30 minutes after it rose, of all demand.",
        "",
        "| seed | reports are | local spill | ours | fullest edge, ours |",
        "|---|---|---|---|---|",
        *(
            f"| {changed(ours).seed} | {changed(ours).report_delay_s} s old | {100 * of[local]['flash']:.2f} % "
            f"| {100 * of[ours]['flash']:.2f} % | {100 * of[ours]['fullest']:.0f} % |"
            for local, ours in zip(FLASHES[::2], FLASHES[1::2], strict=True)
        ),
        "",
        "The bounds are held to the first row; the others show what it rests on.",
        "",
    ]


def _loop(job: Job, found: Found) -> str:
    scenario = changed(job)
    cycle = f"{100 * found['cycle']:.1f} % in {found['period_s']:.0f} s" if found["cycle"] else "none"
    return (
        f"| {scenario.world.capacity_ratio} | {scenario.ttl_s} s | {scenario.demand.mean_s // 60} min | {cycle} "
        f"| {100 * found['overshoot']:.1f} % | {100 * found['share']:.2f} % | {100 * found['floor']:.2f} % |"
    )


def _mapping_lines(steps: Mapping[str, Sequence[mapping.Step]]) -> list[str]:
    of = list(steps.values())
    last = [each[-1] for each in of]
    rows: list[tuple[str, list[str], str]] = [
        (
            "distance to the edge by resolver, against Client Subnet",
            [f"{each.nearer:.1f} ×" for each in last],
            f"{mapping.AKAMAI_DISTANCE:g} ×",
        ),
        (
            "99th percentile of paths, more PoPs, Client Subnet",
            [f"{100 * mapping.change(each, mapping.PLANNED):+.0f} %" for each in of],
            f"{100 * mapping.AKAMAI_P99_ECS:+.0f} %",
        ),
        (
            "the same by resolver",
            [f"{100 * mapping.change(each, mapping.RESOLVER):+.0f} %" for each in of],
            f"{100 * mapping.AKAMAI_P99_RESOLVER:+.0f} % at most",
        ),
        (
            "mean round trip of plans above the ideal, worst",
            [f"{100 * max(step.excess for step in each):.2f} %" for each in of],
            "",
        ),
    ]
    counts = f"{of[0][0].pops} to {of[0][-1].pops} PoPs"
    return [
        f"**Mapping of public resolvers' clients**, {counts}, beside Akamai's (SIGCOMM 2015), of another network:",
        "their figures say what a world like this should show, and are no bounds.",
        "",
        f"| | {' | '.join(f'`{name}.yaml`' for name in steps)} | Akamai |",
        "|---|---|---|---|",
        *(f"| {title} | {' | '.join(cells)} | {theirs} |" for title, cells, theirs in rows),
        "",
    ]
