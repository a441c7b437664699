"""What a record says: numbers by which policies are compared, each a plain function of `record.Record`."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from gslb.simulate.record import MINUTE_S, RTT_BORDERS_MS, Record

F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

STEADY_S: Final = 1800
"""The last seconds of a run that are looked at for steadiness."""
FAIR_SAMPLE: Final = 20
"""Sessions of which a part is told."""
_SMOOTH_S: Final = 30
CYCLE_S: Final = 3600
"""The last seconds of a run in which limit cycles are looked for."""
_PERIODS_S: Final = (60, 900)  # of a limit cycle that are looked for
_CYCLE_PART: Final = 0.02


class Steady(NamedTuple):
    """How shares stood in the last `STEADY_S`: of the worst edge, its share of all load, the share that was meant, the
    floor √(w (1 − w) H) below which single caches keep it from coming, and what the error is above the floor."""

    edge: str
    share: float
    meant: float
    floor: float
    beyond: float


class Cycle(NamedTuple):
    """A periodic swing of an edge's load that does not die out: amplitude as part of capacity, 0 without one."""

    edge: str
    amplitude: float
    period_s: float


def latency_cdf(record: Record) -> tuple[F64, F64]:
    """Borders in ms, and the part of demand below each."""
    whole = record.rtt_bps.sum(axis=0)
    return RTT_BORDERS_MS, np.concatenate([[0.0], np.cumsum(whole)[:-1]]) / max(float(whole.sum()), 1.0)


def latency_ms(record: Record, part: float) -> float:
    """The round-trip time within which ``part`` of demand is served, to the upper border of its bin."""
    whole = record.rtt_bps.sum(axis=0)
    at = int(np.searchsorted(np.cumsum(whole), part * whole.sum()))
    return float(RTT_BORDERS_MS[min(at + 1, len(RTT_BORDERS_MS) - 1)])


def mean_latency_ms(record: Record) -> float:
    """The demand-weighted mean, by the middles of bins."""
    whole = record.rtt_bps.sum(axis=0)
    middle = RTT_BORDERS_MS + np.append(np.diff(RTT_BORDERS_MS), 0.0) / 2
    return float(middle @ whole / max(float(whole.sum()), 1.0))


def overload(record: Record, from_s: int = 0, until_s: int | None = None) -> float:
    """Σ max(0, load − capacity) / Σ demand over seconds of the run."""
    span = slice(from_s, until_s)
    return float(record.overload_bps[span].sum() / max(float(record.demand_bps[span].sum()), 1.0))


def waiting(record: Record) -> float:
    """The part of demand that had no edge."""
    return float(record.waiting_bps.sum() / max(float(record.demand_bps.sum()), 1.0))


def utilisation(record: Record) -> F64:
    """Load over capacity, (M, E), in the mean of each minute."""
    return by_minute(record.load_bps) / record.capacity_bps


def by_minute(values: npt.NDArray[Any]) -> F64:
    """Means of whole minutes of what is told by second; further axes stay."""
    whole = len(values) // MINUTE_S * MINUTE_S
    found: F64 = values[:whole].reshape(-1, MINUTE_S, *values.shape[1:]).mean(axis=1, dtype=np.float64)
    return found


def churn(record: Record) -> tuple[float, float]:
    """The part of demand whose share moved in a minute: mean and most."""
    return float(record.churn.mean()), float(record.churn.max(initial=0.0))


def moves(record: Record, from_s: int = 0, until_s: int | None = None) -> tuple[float, float]:
    """The part of demand that rounds moved without need, in the worst round and in all."""
    end_s = record.seconds if until_s is None else until_s
    parts = [each.moved_bps / max(each.demand_bps, 1) for each in record.rounds if from_s <= each.at_s < end_s]
    return max(parts, default=0.0), float(sum(parts))


def moved_after_s(record: Record, at_s: int, part: float = 0.95) -> float:
    """Seconds after ``at_s`` from which on ``part`` of new sessions that keep TTLs have moved off what died then.

    They are counted together over 3 s; infinite where that never comes to be, NaN where nobody was there.
    """
    affected, moved = record.affected[at_s:], record.moved[at_s:]
    if affected.sum() < FAIR_SAMPLE:
        return float("nan")
    window = np.ones(3)
    of, away = np.convolve(affected, window)[: len(affected)], np.convolve(moved, window)[: len(moved)]
    stayed = np.flatnonzero((of > 0) & (away < part * of))
    if not len(stayed):
        return 0.0
    last = int(stayed[-1])
    return float(last + 1) if affected[last + 1 :].any() else float("inf")


def steady(record: Record) -> Steady:
    """The edge whose share is farthest off what servers meant, beyond the floor that caches set."""
    load = record.load_bps[-STEADY_S:].mean(axis=0, dtype=np.float64)
    share = load / max(float(load.sum()), 1.0)
    minutes = -(-min(STEADY_S, record.seconds) // MINUTE_S)
    meant = record.intended[-minutes:].mean(axis=0)
    floor = np.sqrt(meant * (1.0 - meant) * record.concentration_cells)
    beyond = np.abs(share - meant) - floor
    at = int(np.argmax(beyond))
    return Steady(record.edges[at], float(share[at]), float(meant[at]), float(floor[at]), max(0.0, float(beyond[at])))


def overshoot(record: Record, at_s: int, within_s: int = STEADY_S) -> tuple[str, float]:
    """By how much an edge's load went above where it ended, as part of its capacity, after what happened at ``at_s``.

    Loads are means of 30 s; an edge ends where the last ten minutes of ``within_s`` have it. Edges that had more before
    than they ended with begin at their end: leaving is no overshoot.
    """
    before = record.load_bps[max(0, at_s - 300) : max(1, at_s)].mean(axis=0, dtype=np.float64)
    after = _smoothed(record.load_bps[at_s : at_s + within_s].astype(np.float64), _SMOOTH_S)
    end = after[-600:].mean(axis=0)
    above = (after.max(axis=0) - np.maximum(end, before)) / record.capacity_bps
    at = int(np.argmax(above))
    return record.edges[at], max(0.0, float(above[at]))


def limit_cycle(record: Record) -> Cycle:
    """The largest swing of the last `CYCLE_S` that keeps its size.

    Of each edge's detrended utilisation, in two halves, the Fourier component of a period from one to 15 minutes, of
    which each half holds at least two, with the largest amplitude: a cycle is one whose period is nearly the same in
    both halves, which holds half the variance of both, and which is above 2 % of capacity and above twice the standard
    deviation that single sessions (of ``session_bps``: Σ rate² / Σ rate) and single caches make by coming, going and
    drawing anew.
    """
    used = record.load_bps[-CYCLE_S:].astype(np.float64) / record.capacity_bps
    half = len(used) // 2
    found = Cycle("", 0.0, 0.0)
    if half < 2 * _PERIODS_S[0]:
        return found
    load = used.mean(axis=0) * record.capacity_bps
    total = max(float(load.sum()), 1.0)
    share = load / total
    by_caches = share * (1.0 - share) * record.concentration_cells * total**2
    noise = np.sqrt(load * record.session_bps + by_caches) / record.capacity_bps
    first, second = _swing(used[:half]), _swing(used[half : 2 * half])
    for at, edge in enumerate(record.edges):
        amplitude = min(first[0][at], second[0][at])
        alike = 0.75 <= first[1][at] / max(second[1][at], 1e-9) <= 1.34
        strong = min(first[2][at], second[2][at]) >= 0.5
        if alike and strong and amplitude > max(_CYCLE_PART, 2 * noise[at], found.amplitude):
            found = Cycle(edge, float(amplitude), float(second[1][at]))
    return found


def summary(record: Record) -> dict[str, Any]:
    """All numbers of a policy, as the report and its JSON have them; parts are of 1, times in ms and s. What is about
    plans is NaN where there were none."""
    mean_churn, most_churn = churn(record)
    nan = float("nan")
    worst_round, all_rounds = moves(record) if record.rounds else (nan, nan)
    used = utilisation(record)
    balance = steady(record)
    cycle = limit_cycle(record)
    return {
        "policy": record.name,
        "rtt_mean_ms": round(mean_latency_ms(record), 2),
        **{f"rtt_p{round(100 * part)}_ms": round(latency_ms(record, part), 1) for part in (0.5, 0.95, 0.99)},
        "overload": overload(record),
        "without_edge": waiting(record),
        "utilisation_max": float(used.max(initial=0.0)),
        "churn_mean": mean_churn,
        "churn_max": most_churn,
        "unforced_worst_round": worst_round,
        "unforced_all_rounds": all_rounds,
        "surprise_mean": float(np.mean([each.surprise for each in record.rounds])) if record.rounds else nan,
        "refused_plans": sum(1 for each in record.rounds if each.refused) if record.rounds else nan,
        "share_error_beyond_floor": balance.beyond,
        "limit_cycle": cycle.amplitude,
        "questions": record.questions,
        "steering_builds": record.builds,
    }


def _smoothed(values: F64, seconds: int) -> F64:
    """Running means over ``seconds`` rows; the first rows over fewer."""
    total = np.cumsum(values, axis=0)
    total[seconds:] = total[seconds:] - total[:-seconds]
    return total / np.minimum(np.arange(1, len(values) + 1), seconds)[:, None]


def _swing(used: F64) -> tuple[F64, F64, F64]:
    """Of each edge, amplitude and period of the strongest component, and its part of the variance."""
    count = len(used)
    time = np.linspace(-1.0, 1.0, count)[:, None]
    centred = used - used.mean(axis=0)
    centred = centred - time * ((time * centred).sum(axis=0) / np.square(time).sum())
    power = np.square(np.abs(np.fft.rfft(centred, axis=0)) / count * 2)
    period = count / np.maximum(np.arange(len(power)), 0.5)
    usable = (period >= _PERIODS_S[0]) & (period <= min(_PERIODS_S[1], count / 2))
    power[~usable] = 0.0
    at = power.argmax(axis=0)
    edges = np.arange(used.shape[1])
    variance = centred.var(axis=0)
    part = power[at, edges] / 2 / np.where(variance > 0, variance, 1.0)
    return np.sqrt(power[at, edges]), period[at], part
