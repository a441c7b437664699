"""What dispatch's solver costs, how good it is, and what it does with noise: two kinds of instance of each size.

Every job runs in a process of its own, so that its memory is that of the job alone:

    python tests/bench/solver.py bare|rounds|large places|scattered      # prints what it found, as JSON
"""

from __future__ import annotations

import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from bounds import Result
from gslbtest.highs import optima
from gslbtest.instances import KINDS, instance
from gslbtest.oracle import linear

from gslb.model.dispatch import DispatchRules
from gslb.plan.bare import bare_rules
from gslb.plan.optimize import Solution, optimize
from gslb.plan.problem import Arcs, Groups

SIZE = (50_000, 500, 8)
LARGE = (100_000, 1000, 16)
"""Groups, edges, candidates of each group."""
ROUNDS = 30
SIGMA = 0.1
SEED = 5
HIGHS_S = 600
"""The most that HiGHS may take."""

Found = Mapping[str, float]


def measure(_: Path) -> Result:
    """All jobs, one after the other; they need no files."""
    jobs = {(job, kind): _child(job, kind) for kind in KINDS for job in JOBS}

    def each(job: str, key: str) -> list[float]:
        return [jobs[job, kind][key] for kind in KINDS if key in jobs[job, kind]]

    found = {
        "solve": max(each("rounds", "cpu_s") + each("bare", "cpu_s")),
        "solve_large": max(each("large", "cpu_s")),
        "solve_memory": max(each("large", "rss_mb")),
        "noise_moved": max(each("rounds", "moved")),
        "noise_regret": max(each("rounds", "regret")),
    }
    missing = {}
    if len(each("bare", "highs_s")) == len(KINDS):
        found["solve_gap"] = max(each("bare", "above"))
        found["solve_highs"] = min(jobs["bare", kind]["highs_s"] / jobs["bare", kind]["cpu_s"] for kind in KINDS)
    else:
        missing = dict.fromkeys(("solve_gap", "solve_highs"), f"HiGHS took more than {HIGHS_S} s")
    return Result(found, _lines(jobs), missing=missing)


def bare(kind: str) -> Found:
    """The bare form by ours and by HiGHS as it comes: CPU of both, and how far ours is above its optimum, in %."""
    sites, groups, arcs = instance(kind, *SIZE)
    rules = bare_rules()
    ours = optimize(sites, groups, arcs, rules, time.process_time)
    found = {"cpu_s": _cpu_s(ours), "bound": 100 * (ours.objective / ours.dual_bound - 1)}
    with tempfile.TemporaryDirectory() as folder:
        try:
            (theirs,) = optima([linear(sites, groups, arcs, rules)], Path(folder), HIGHS_S)
        except subprocess.TimeoutExpired:
            return found
    return found | {"highs_s": theirs.cpu_s, "above": 100 * (ours.objective / theirs.objective - 1)}


def rounds(kind: str) -> Found:
    """The production form: a plan, and rounds after it in which each group's demand is its own with noise, independent
    of the round before. The dearest solution, and of rounds in the mean: demand moved, and what the plan costs more
    than the best one would that need not move anything (both without the price of moving), in %."""
    sites, groups, arcs = instance(kind, *SIZE)
    rules = DispatchRules()
    rng = np.random.default_rng(SEED)
    plan = optimize(sites, groups, arcs, rules, time.process_time)
    cpu, moved, regret, bound = [_cpu_s(plan)], [], [], []
    before = groups
    for _ in range(ROUNDS):
        noise = rng.lognormal(0, SIGMA, len(groups.keys))
        now = Groups(groups.keys, np.rint(groups.demand_bps * noise).astype(np.int64))
        best = optimize(sites, now, arcs, rules, time.process_time)
        plan = optimize(sites, now, _after(arcs, before, plan), rules, time.process_time)
        cpu += [_cpu_s(best), _cpu_s(plan)]
        moved.append(100 * plan.moved_bps / now.demand_bps.sum())
        regret.append(100 * (_unmoved(plan) / _unmoved(best) - 1))
        bound.append(100 * (plan.objective / plan.dual_bound - 1))
        before = now
    return {
        "cpu_s": max(cpu), "mean_cpu_s": float(np.mean(cpu)), "bound": max(bound),
        "moved": float(np.mean(moved)), "most_moved": max(moved),
        "regret": float(np.mean(regret)), "most_regret": max(regret), "last_regret": regret[-1],
    }  # fmt: skip


def large(kind: str) -> Found:
    """Twice the groups and edges, twice the candidates: CPU of the dearer of a first plan and one after noise, and the
    most memory that the process had."""
    sites, groups, arcs = instance(kind, *LARGE)
    rules = DispatchRules()
    plan = optimize(sites, groups, arcs, rules, time.process_time)
    noise = np.random.default_rng(SEED).lognormal(0, SIGMA, len(groups.keys))
    now = Groups(groups.keys, np.rint(groups.demand_bps * noise).astype(np.int64))
    after = optimize(sites, now, _after(arcs, groups, plan), rules, time.process_time)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return {"cpu_s": max(_cpu_s(plan), _cpu_s(after)), "rss_mb": most}


JOBS = {"bare": bare, "rounds": rounds, "large": large}


def _after(arcs: Arcs, groups: Groups, plan: Solution) -> Arcs:
    """The arcs as the round after a plan knows them: the share of each."""
    return dataclasses.replace(arcs, share=plan.flow_bps / np.maximum(groups.demand_bps, 1)[arcs.group])


def _cpu_s(found: Solution) -> float:
    return found.build_s + found.solve_s


def _unmoved(found: Solution) -> float:
    return found.objective - found.parts.churn


def _child(job: str, kind: str) -> Found:
    command = [sys.executable, __file__, job, kind]
    found: Found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return found


def _lines(jobs: Mapping[tuple[str, str], Found]) -> list[str]:
    groups, edges, candidates = SIZE
    rows = [
        "### The solver",
        "",
        f"{groups:,} groups × {edges} edges × {candidates} candidates, demand 85 % of what edges can carry; PoPs carry",
        "95 % of their edges, regions 97 % of their PoPs; hard limits are 95 % of each. *Places*: viewers in cities,",
        "edges in PoPs, costs by distance; *scattered*: candidates and costs by chance. CPU of building and solving,",
        "one thread.",
        "",
        f"| | {' | '.join(KINDS)} |",
        f"|---|{'---|' * len(KINDS)}",
    ]

    def row(title: str, job: str, text: str, *keys: str) -> None:
        cells = [
            text.format(*(jobs[job, kind][key] for key in keys)) if keys[0] in jobs[job, kind] else "–"
            for kind in KINDS
        ]
        rows.append(f"| {title} | {' | '.join(cells)} |")

    row("production form, dearest of all rounds (mean)", "rounds", "{:.2f} s ({:.2f})", "cpu_s", "mean_cpu_s")
    row("and above its own dual bound, most of all rounds", "rounds", "{:.6f} %", "bound")
    row("bare form", "bare", "{:.2f} s", "cpu_s")
    row("bare form by HiGHS", "bare", "{:.2f} s", "highs_s")
    row("bare form, ours above the optimum that HiGHS finds", "bare", "{:.6f} %", "above")
    row("bare form, ours above its own dual bound", "bare", "{:.6f} %", "bound")
    row(f"{LARGE[0]:,} × {LARGE[1]:,} × {LARGE[2]}, production form", "large", "{:.1f} s, {:.0f} MB", "cpu_s", "rss_mb")
    row(
        f"noise σ = {SIGMA}, {ROUNDS} rounds: moved in the mean (most)",
        "rounds",
        "{:.2f} % ({:.2f})",
        "moved",
        "most_moved",
    )
    row(
        "and regret in the mean (most, last)",
        "rounds",
        "{:.2f} % ({:.2f}, {:.2f})",
        "regret",
        "most_regret",
        "last_regret",
    )
    return [
        *rows,
        "",
        "Noise is log-normal and of each group and round by itself, around demand that stays; the limit of moves in a",
        "round is off, ρ is the default. Regret is what a plan costs more than the best for the demand of its round.",
        "",
    ]


if __name__ == "__main__":
    print(json.dumps(JOBS[sys.argv[1]](sys.argv[2])))
