"""docs/pipeline.md says what is: columns of tables, gates with their limits, metrics, settings and what is kept."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import pytest

from gslb.measure import metrics
from gslb.measure.judging import DEFAULT, Limit
from gslb.measure.settings import Settings
from gslb.model import records

PAGE = (Path(__file__).parents[2] / "docs" / "pipeline.md").read_text(encoding="utf-8")
TABLES = {
    "deliveries": records.DELIVERIES,
    "reports": records.REPORTS,
    "asked": records.ASKED,
    "behind": records.BEHIND,
    "delivered": records.DELIVERED,
    "load": records.LOAD,
    "demand": records.DEMAND,
    "resolvers": records.RESOLVERS,
    "edge_load": records.EDGE_LOAD,
}
NAMES = {"fresh": "stale_s"}
"""Limits whose gate has another name."""


def _rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, its own heading left out."""
    below = PAGE.split(f"\n{heading}\n", 1)[1]
    found = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert found is not None
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in found[0].splitlines()[2:]]


@pytest.mark.parametrize("name", TABLES)
def test_the_columns_of_a_table(name: str) -> None:
    told = {column.strip("`"): kind for column, kind, _ in _rows(f"### `{name}`")}
    assert told == dict(TABLES[name])
    assert list(told) == list(TABLES[name])


def test_the_limits_of_gates() -> None:
    def limit(text: str) -> tuple[float, bool]:
        word, _, value = text.partition(" ")
        return (float(value), word == "below") if text else (math.inf, False)

    told = {}
    for gate, _, _, warns, stops in _rows("## Gates"):
        name = gate.strip("`")
        (warn, low), (stop, low_too) = limit(warns), limit(stops)
        told[NAMES.get(name, name.replace("-", "_"))] = Limit(warn if warns else stop, stop, low or low_too)
    assert told == DEFAULT._asdict()


def test_the_metrics() -> None:
    told = {name.strip("`").partition("{")[0] for name, _ in _rows("## Metrics")}
    lines = metrics.exposition(metrics.Told(), 0.0).decode().splitlines()
    assert told == {line.split()[2] for line in lines if line.startswith("# TYPE")}


def test_the_settings() -> None:
    told = {key for keys, *_ in _rows("## Running it") for key in re.findall(r"`(\w+)`", keys)} - {"GSLB_"}
    assert told == {field.name for field in dataclasses.fields(Settings)}
