"""Every bound that `make bench` holds us to, in one table; each part of the benchmark finds the values for its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Bound(NamedTuple):
    """``limit`` is the most that may be found, or where ``at_least``, the least; found values have ``digits``."""

    key: str
    work: str
    limit: float
    unit: str
    digits: int = 0
    at_least: bool = False

    def holds(self, found: float) -> bool:
        """Whether a value is within."""
        return found >= self.limit if self.at_least else found <= self.limit

    def show(self, found: float) -> str:
        """A value as people read it."""
        return f"{found:,.{self.digits}f} {self.unit}"


TABLE = (
    Bound("own", "own work per ECS answer, replayed, 158k prefixes", 400, "ns"),
    Bound("own_million", "own work per ECS answer, replayed, 1,000,000 prefixes", 400, "ns"),
    Bound("growth", "growth from 158k to 1,000,000 prefixes, replayed", 1.3, "×", 3),
    Bound("names", "10,000 services instead of 1, replayed", 1.1, "×", 3),
    Bound("metered", "counters, rate limit and query log, replayed", 1.06, "×", 3),
    Bound("log_lost", "query log 1:1 at 20,000 q/s: answers without a record in a segment", 0, "records"),
    Bound("log_row", "and CPU of the process that writes, per record", 2, "µs", 2),
    Bound("log_producer", "and CPU of the worker per query, against without a log", 1.06, "×", 3),
    Bound("mix_shipped", "share answered by the compiled path, mix, shipped zone", 99, "%", 2, at_least=True),
    Bound("mix_generated", "share answered by the compiled path, mix, generated zone", 99, "%", 2, at_least=True),
    Bound("peer_rate", "ECS query at 50,000 q/s, against the better of gdnsd and Knot", 0.95, "×", 3),
    Bound("peer_full", "ECS query at saturation, against the better of gdnsd and Knot", 0.95, "×", 3),
    Bound("echo", "ECS query at saturation, against the echo", 1.15, "×", 3),
    Bound("pdns", "PowerDNS against ours, ECS query, at the load where it is nearer", 3, "×", 1, at_least=True),
    Bound("reference", "ECS query on the reference path at saturation", 40, "µs", 1),
    Bound("nsd", "static name at saturation, against NSD", 1.0, "×", 3),
    Bound("flood", "flood of names that do not exist, against our positive answer", 1.1, "×", 3),
    Bound("workers", "CPU per query with two workers, against one", 1.1, "×", 3),
    Bound("swap_lost", "lost in 10 steering swaps a second at 50,000 q/s", 0, "queries"),
    Bound("swap_p99", "99th percentile in 10 steering swaps a second, against quiet", 1.2, "×", 3),
    Bound("report", "from a report in the store to the answer at full load, 99 % within", 250, "ms"),
    Bound("gone", "a silent edge is gone after `stale_s` + `hold_s` and", 1000, "ms"),
    Bound("reload", "reload of 1,000,000 prefixes, 10,000 names, 16 policies", 10, "s", 1),
    Bound("reload_lost", "lost in such a reload at 50,000 q/s", 0, "queries"),
    Bound("rest", "memory of all processes at rest with it", 600, "MB"),
    Bound("peak", "and at most while reloading, against rest", 2, "×", 3),
    Bound("rebuild", "a steering rebuild, 20,000 classes × 16 edges", 60, "ms"),
    Bound("solve", "dispatch, 50,000 groups × 500 edges × 8, CPU of building and solving", 3, "s", 2),
    Bound("solve_gap", "its bare form, above HiGHS's optimum", 0.01, "%", 6),
    Bound("solve_highs", "and CPU of HiGHS as it comes, against ours", 5, "×", 1, at_least=True),
    Bound("solve_large", "dispatch, 100,000 groups × 1,000 edges × 16", 20, "s", 1),
    Bound("solve_memory", "and the most memory of its process", 1500, "MB"),
    Bound("noise_moved", "demand moved a round, noise of σ = 0.1, 30 rounds, mean", 1.2, "%", 2),
    Bound("noise_regret", "and what plans cost more than the best, mean", 0.5, "%", 2),
    Bound("pop_moved", "largest PoP lost: unforced moves in the worst round after, of demand", 1.5, "%", 2),
    Bound("pop_left", "until 95 % of new sessions that keep TTLs are off it, past a TTL", 5, "s"),
    Bound("loop_cycle", "closed loop, TTL 20–300 s, sessions 2–30 min: limit cycle, of capacity", 0, "%", 2),
    Bound("loop_overshoot", "and overshoot after a disturbance, of capacity", 10, "%", 1),
    Bound("loop_share", "and error of shares in 30 steady minutes, beyond the floor", 2, "%", 2),
    Bound("flash", "flash crowd: load above capacity, of demand, ours", 1, "%", 2),
    Bound("flash_local", "and local spill in the same scenario", 3, "%", 2, at_least=True),
    Bound("hour_wall", "measure: an hour of 50,000,000 questions to all tables, 2 CPUs", 60, "s", 1),
    Bound("hour_cpu", "and its CPU", 120, "s", 1),
    Bound("hour_memory", "and the most memory", 4096, "MB"),
    Bound("day_growth", "memory of a run in a day's second half, against hours 2 to 12, medians", 1.1, "×", 3),
    Bound("mapping", "public resolvers' clients: mean round trip above ideal mapping's", 2, "%", 2),
    Bound("truth_demand", "demand, half of edges without delivery logs, top 95 %, worst half: error", 5, "%", 2),
    Bound("truth_dispatch", "and dispatch on it costs more than on the truth, on the truth, worst", 2, "%", 2),
)


class Result(NamedTuple):
    """What a part of the benchmark found.

    ``found`` are values by `Bound.key`; ``lines`` its section of the page; ``bars`` are servers and CPU in µs per
    query, ``curves`` a title and points each (how many, ns); ``missing`` are keys that could not be measured, and why.
    """

    found: Mapping[str, float]
    lines: Sequence[str]
    bars: Sequence[tuple[str, float]] = ()
    curves: Mapping[str, Sequence[tuple[int, float]]] = {}
    missing: Mapping[str, str] = {}


def missed(result: Result) -> list[Bound]:
    """The bounds that a part did not hold; what could not be measured is not held."""
    return [
        bound
        for bound in TABLE
        if bound.key in result.missing or (bound.key in result.found and not bound.holds(result.found[bound.key]))
    ]


def lines(results: Sequence[Result]) -> list[str]:
    """The table of all bounds that these parts measured."""
    found = {key: value for result in results for key, value in result.found.items()}
    missing = {key: why for result in results for key, why in result.missing.items()}
    rows = ["| work | bound | this run | |", "|---|---|---|---|"]
    for bound in TABLE:
        limit = f"{'≥' if bound.at_least else '≤'} {bound.limit:g} {bound.unit}"
        if bound.key in missing:
            rows.append(f"| {bound.work} | {limit} | {missing[bound.key]} | not measured |")
        elif bound.key in found:
            verdict = "held" if bound.holds(found[bound.key]) else "MISSED"
            rows.append(f"| {bound.work} | {limit} | {bound.show(found[bound.key])} | {verdict} |")
    return rows
