"""Rise and fall of a probe, and what a family's probes make of it together; rates of counters."""

from __future__ import annotations

import pytest

from gslb.agent.rate import Rate
from gslb.agent.standing import Standing, family_up

ROWS = [
    # (rise, fall), outcomes, and what the probe is taken to say after each: + up, - down
    ((2, 3), "+", "+"),
    ((2, 3), "-", "-"),
    ((2, 3), "+--+--+", "+++++++"),
    ((2, 3), "+---", "+++-"),
    ((2, 3), "+---+-++", "+++---" + "-+"),
    ((1, 1), "+-+-", "+-+-"),
    ((3, 1), "-++-+++-", "-" * 6 + "+-"),
]


@pytest.mark.parametrize(("rules", "outcomes", "wanted"), ROWS)
def test_rise_and_fall(rules: tuple[int, int], outcomes: str, wanted: str) -> None:
    standing = Standing(*rules)
    said = ""
    for outcome in outcomes:
        before = standing.up
        assert standing.note(outcome == "+") == (standing.up != before)
        said += "+" if standing.up else "-"
    assert said == wanted


def test_what_is_seeded_counts_as_said() -> None:
    standing = Standing(2, 2)
    standing.seed(False)
    assert [standing.note(True), standing.up, standing.note(True), standing.up] == [False, False, True, True]
    standing.note(False)
    standing.seed(True)
    assert [standing.note(False), standing.up] == [False, True]


FAMILIES = [
    ([], None),
    ([True], True),
    ([True, True], True),
    ([True, None], None),
    ([None], None),
    ([True, False], False),
    ([None, False], False),
]


@pytest.mark.parametrize(("ups", "wanted"), FAMILIES)
def test_families(ups: list[bool | None], wanted: bool | None) -> None:
    assert family_up([Standing(1, 1, up) for up in ups]) is wanted


RATES = [
    ("steady", [(0, 0, None), (1, 100, 100), (2, 200, 100)]),
    ("the first is no rate", [(50, 9e18, None)]),
    ("jumps are spread over 3 s", [(0, 0, None), (1, 0, 0), (2, 300, 150), (3, 300, 100), (4, 300, 100), (5, 300, 0)]),
    ("readings far apart", [(0, 0, None), (10, 1000, 100), (20, 3000, 200)]),
    ("wrapped at 32 bits", [(0, 4294967000, None), (1, 4294967290, 290), (2, 704, None), (3, 1704, 1000)]),
    ("reset", [(0, 500, None), (1, 600, 100), (2, 0, None), (3, 100, 100)]),
    ("standing still", [(0, 7, None), (1, 7, 0), (2, 7, 0)]),
    ("time stands still", [(0, 0, None), (0, 100, None), (1, 200, 100)]),
    ("time goes back", [(5, 0, None), (4, 100, None), (6, 300, 100)]),
]


@pytest.mark.parametrize(("title", "steps"), RATES, ids=[title for title, _ in RATES])
def test_rates(title: str, steps: list[tuple[float, float, float | None]]) -> None:
    rate = Rate(3.0)
    assert [rate.note(value, now_s) for now_s, value, _ in steps] == [wanted for *_, wanted in steps]


def test_a_rate_remembers_little() -> None:
    rate = Rate(3.0)
    for number in range(10_000):
        rate.note(number, number / 10)
    assert len(rate._readings) < 40
