"""The report: numbers as text, JSON and HTML, and plots."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from gslbtest.simulated import SMALL, a_round, record, small_world

from gslb.simulate import report
from gslb.simulate.plots import plots
from gslb.simulate.record import Record
from gslb.simulate.scenario import Failure, FlashCrowd

FULL = np.full((180, 2), 50.0)
FULL[60:90, 0] = 110.0
RECORDS = (
    record(FULL / 2, name="nearest", title="nearest"),
    record(FULL, rounds=(a_round(0, 20), a_round(60, 5, "shift")), churn=np.array([0.0, 0.25, 0.0])),
)
EVENTFUL = dataclasses.replace(
    SMALL, name="a <b> & c", failures=(Failure("pop", 60, 90),), flashes=(FlashCrowd(30, rise_s=60),)
)
VOID = {"meta", "br", "hr", "img", "link", "input"}


class WellFormed(HTMLParser):
    """Fails where an element is closed that is not the innermost one; notes what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    return plots(RECORDS)


def test_plots_are_svg_and_the_same_for_the_same(drawn: dict[str, str]) -> None:
    assert [title.split(":")[0].split(",")[0] for title in drawn] == [
        "Round-trip time", "Load of the fullest edge", "Overload", "Share of demand moved in a minute",
        "Edges by utilisation",
    ]  # fmt: skip
    for svg in drawn.values():
        root = ElementTree.fromstring(svg)
        assert root.tag.endswith("}svg")
        assert "nearest" in "".join(root.itertext())
        assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) > 5
    assert plots(RECORDS) == drawn


def test_the_page_is_well_formed_and_holds_all(drawn: dict[str, str]) -> None:
    page = report.as_html(EVENTFUL, small_world(), RECORDS, drawn, ["notes > here", "two"])
    seen = WellFormed()
    seen.feed(page)
    seen.close()
    assert seen.open == []
    assert seen.seen.count("svg") == seen.seen.count("figure") == len(drawn)
    assert "script" not in seen.seen
    text = "".join(seen.texts)
    assert "a <b> & c" in text
    assert "notes > here\ntwo" in text
    for _, title, _ in report._ROWS:
        assert title in text
    assert f"{len(small_world().views)} views, 3 PoPs, 6 edges" in text
    plain = report.as_html(SMALL, small_world(), RECORDS, {})
    assert "<pre>" not in plain
    assert "flash crowd" not in plain


def as_json(records: Sequence[Record]) -> dict[str, Any]:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    found: dict[str, Any] = json.loads(report.as_json(EVENTFUL, small_world(), records), parse_constant=refuse)
    return found


def test_json_holds_numbers_and_series() -> None:
    found = as_json(RECORDS)
    assert (found["scenario"], found["seed"], found["duration_s"]) == ("a <b> & c", 3, 180)
    assert found["world"]["edges"] == 6
    nearest, ours = found["policies"]
    assert (nearest["policy"], nearest["overload"], nearest["series"]["rounds"]) == ("nearest", 0, [])
    assert ours["moved_after_s"] is None  # nobody was there: not a number
    assert ours["overload"] == pytest.approx(300 / FULL.sum())
    assert ours["overload_flash"] == pytest.approx(300 / FULL[30:].sum())
    assert ours["overshoot"] > 0
    series = ours["series"]
    assert series["demand_bps"] == [100, 130, 100]
    assert series["overload_bps"] == [0, 5, 0]
    assert series["churn"] == [0, 0.25, 0]
    assert series["fullest"] == [0.5, 0.8, 0.5]
    assert [each["refused"] for each in series["rounds"]] == ["", "shift"]
    assert report.as_json(EVENTFUL, small_world(), RECORDS) == report.as_json(EVENTFUL, small_world(), RECORDS)


def test_the_table_for_a_terminal() -> None:
    never = record(FULL, affected=np.full(180, 5.0), name="nearest")
    lines = report.lines(EVENTFUL, [never, RECORDS[1]])
    assert lines[0].split() == ["nearest", "ours"]
    assert len({len(line) for line in lines}) == 1
    cells = {line[:50].strip(): line[50:].split("  ")[-1].strip() for line in lines}
    assert cells["median"] == "11 ms"
    (left,) = [line for line in lines if line.startswith("95 % of new sessions")]
    assert left.split()[-2:] == ["never", "–"]
    (worst,) = [line for line in lines if line.startswith("plans: unforced")]
    assert worst.split()[-3:] == ["–", "2.00", "%"]
    assert lines[-1].split()[-2:] == ["–", "1"]
    assert not [line for line in report.lines(SMALL, RECORDS) if "flash" in line or "overshoot" in line]


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.12345, "%", "12.35 %"),
        (20.0, "ms", "20 ms"),
        (3, "", "3"),
        (math.inf, "s", "never"),
        (math.nan, "s", "–"),
        (math.nan, "%", "–"),
    ],
)
def test_numbers_as_people_read_them(value: float, unit: str, shown: str) -> None:
    assert report._shown(value, unit) == shown


def test_a_failure_that_is_no_lost_pop_has_an_overshoot_only() -> None:
    scenario = dataclasses.replace(SMALL, failures=(Failure("link", 60, 90),))
    (told,) = report.numbers(scenario, RECORDS[1:])
    assert "overshoot" in told
    assert "moved_after_s" not in told
