"""The report of a comparison: one HTML page without scripts, and the same numbers as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gslb import __version__
from gslb.simulate import measures
from gslb.simulate.record import Record
from gslb.simulate.scenario import POP, Scenario
from gslb.simulate.world import World

_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;color:#22303a;background:#fff;max-width:1100px;margin:2em auto;padding:0 1em}
h1{font-size:1.5em}h2{font-size:1.1em;margin-top:2em}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.25em .8em;border-bottom:1px solid #dfe5e9;text-align:right}th:first-child,td:first-child{text-align:left}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(440px,1fr));gap:1em}figure{margin:0}
figcaption{font-weight:600}svg{width:100%;height:auto}pre{background:#f4f6f8;padding:1em;overflow:auto}
"""

_ROWS: Final = (
    ("rtt_mean_ms", "round-trip time, mean", "ms"),
    ("rtt_p50_ms", "median", "ms"),
    ("rtt_p95_ms", "95 %", "ms"),
    ("rtt_p99_ms", "99 %", "ms"),
    ("overload", "overload: load above capacity, of all demand", "%"),
    ("overload_flash", "from the flash crowd until 30 min after it rose", "%"),
    ("without_edge", "demand without an edge", "%"),
    ("utilisation_max", "fullest edge, mean of a minute", "%"),
    ("churn_mean", "share of demand moved in a minute, mean", "%"),
    ("churn_max", "and at most", "%"),
    ("moved_after_s", "95 % of new sessions are off the lost PoP after", "s"),
    ("overshoot", "overshoot after the first failure, of capacity", "%"),
    ("limit_cycle", "limit cycle, amplitude of capacity", "%"),
    ("share_error_beyond_floor", "share of the worst edge beyond the floor of caches", "%"),
    ("unforced_worst_round", "plans: unforced moves in the worst round", "%"),
    ("surprise_mean", "plans: load against projection, mean", "%"),
    ("refused_plans", "plans refused by servers", ""),
)


def numbers(scenario: Scenario, records: Sequence[Record]) -> list[dict[str, Any]]:
    """What the JSON holds of each policy: `measures.summary`, and what is about this scenario's events."""
    return [measures.summary(record) | _events(scenario, record) for record in records]


def as_json(scenario: Scenario, world: World, records: Sequence[Record]) -> str:
    """The numbers, and series by minute."""
    found = {
        "scenario": scenario.name,
        "seed": scenario.seed,
        "version": __version__,
        "duration_s": scenario.duration_s,
        "world": _world(world),
        "policies": [
            told | {"series": _series(record)} for told, record in zip(numbers(scenario, records), records, strict=True)
        ],
    }
    return json.dumps(_plain(found), ensure_ascii=False, indent=1)


def as_html(
    scenario: Scenario, world: World, records: Sequence[Record], plots: Mapping[str, str], notes: Sequence[str] = ()
) -> str:
    """The page. ``plots`` are SVG elements by title, ``notes`` lines of text shown as they are."""
    told = numbers(scenario, records)
    heads = "".join(f"<th>{escape(record.title)}</th>" for record in records)
    rows = [
        f"<tr><td>{escape(title)}</td>{''.join(f'<td>{_shown(each[key], unit)}</td>' for each in told)}</tr>"
        for key, title, unit in _rows(told)
    ]
    size = _world(world)
    figures = "".join(f"<figure><figcaption>{escape(title)}</figcaption>{svg}</figure>" for title, svg in plots.items())
    text = "".join(f"<pre>{escape(chr(10).join(notes))}</pre>" for _ in notes[:1])
    about = (
        f"{size['views']} views, {size['pops']} PoPs, {size['edges']} edges of {size['capacity_gbps']} Gbps together,"
        f" {size['resolvers']} resolvers; {scenario.duration_s // 60} minutes, seed {scenario.seed}."
        f" TTL {scenario.ttl_s} s, sessions of {scenario.demand.mean_s} s in the mean."
    )
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{escape(scenario.name)}</title>'
        f"<style>{_STYLE}</style>\n<h1>{escape(scenario.name)}</h1><p>{escape(about)}</p>\n"
        f"<table><tr><th></th>{heads}</tr>\n{chr(10).join(rows)}\n</table>\n{text}"
        f'<h2>Plots</h2><div class="plots">{figures}</div>\n</html>\n'
    )


def lines(scenario: Scenario, records: Sequence[Record]) -> list[str]:
    """The table for a terminal."""
    told = numbers(scenario, records)
    kept = _rows(told)
    width = max(len(title) for _, title, _ in kept)
    columns = [max(len(record.name), 9) for record in records]
    found = [" " * width + "".join(f"  {record.name:>{size}}" for record, size in zip(records, columns, strict=True))]
    for key, title, unit in kept:
        cells = (f"  {_shown(each[key], unit):>{size}}" for each, size in zip(told, columns, strict=True))
        found.append(f"{title:<{width}}" + "".join(cells))
    return found


def _rows(told: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """The rows of the table that this scenario has something for."""
    return [row for row in _ROWS if all(row[0] in each for each in told)]


def _events(scenario: Scenario, record: Record) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if scenario.flashes:
        flash = scenario.flashes[0]
        found["overload_flash"] = measures.overload(record, flash.at_s, flash.at_s + flash.rise_s + 1800)
    if scenario.failures:
        first = scenario.failures[0]
        if first.kind == POP:
            found["moved_after_s"] = measures.moved_after_s(record, first.at_s)
        until_s = min(first.at_s + 1800, scenario.duration_s)
        found["overshoot"] = measures.overshoot(record, first.at_s, until_s - first.at_s)[1]
    return found


def _world(world: World) -> dict[str, int]:
    return {
        "views": len(world.views),
        "pops": len(world.pops),
        "edges": len(world.edges),
        "resolvers": len(world.resolver_view),
        "capacity_gbps": round(sum(edge.capacity_bps for edge in world.edges) / 1e9),
    }


def _series(record: Record) -> dict[str, Any]:
    def by_minute(values: npt.NDArray[np.float64]) -> list[int]:
        found: list[int] = np.rint(measures.by_minute(values)).astype(np.int64).tolist()
        return found

    return {
        "demand_bps": by_minute(record.demand_bps),
        "overload_bps": by_minute(record.overload_bps),
        "churn": [round(each, 6) for each in record.churn.tolist()],
        "fullest": [round(each, 4) for each in measures.utilisation(record).max(axis=1, initial=0.0).tolist()],
        "rounds": [each._asdict() for each in record.rounds],
    }


def _plain(value: Any) -> Any:
    """The same without numbers that JSON has not: null."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _shown(value: float, unit: str) -> str:
    if isinstance(value, float) and not np.isfinite(value):
        return "–" if np.isnan(value) else "never"
    if unit == "%":
        return f"{100 * value:.2f} %"
    return f"{value:g} {unit}".strip()
