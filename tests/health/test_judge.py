"""How reports age: verdicts by age, silence hold, transitions, and when time alone changes something."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.health.judge import judge
from gslb.model.inventory import HealthRules
from gslb.model.report import Report, StoreState
from gslb.snapshot import layout

NOW = 1_000_000
RULES = HealthRules()  # stale 3 s, hold 7 s, changing 60 s, silence 30 % and 3 edges
UP, UNKNOWN, DOWN, DRAIN = (
    layout.VERDICT_UP, layout.VERDICT_UNKNOWN, layout.VERDICT_DOWN, layout.VERDICT_DRAIN,
)  # fmt: skip


class Case(NamedTuple):
    """One edge's report, by its age, and what becomes of it."""

    why: str
    age_ms: int
    wanted4: int
    changing: bool = False
    health4: str = "up"
    valid_ms: int = 0
    since_ms: int = 0


CASES = [
    Case("fresh", 0, UP),
    Case("on the border", 3000, UP),
    Case("stale", 3001, UNKNOWN, changing=True),
    Case("still held", 10_000, UNKNOWN, changing=True),
    Case("over", 10_001, DOWN, changing=True),
    Case("over for a minute", 69_999, DOWN, changing=True),
    Case("over for long", 70_000, DOWN),
    Case("said down", 0, DOWN, health4="down"),
    Case("said down, then silent", 3001, DOWN, True, health4="down"),  # the other family is unknown
    Case("said drain", 0, DRAIN, health4="drain"),
    Case("said drain, silent for good", 90_000, DRAIN, health4="drain"),
    Case("a slow reporter", 53_000, UP, valid_ms=60_000),
    Case("a slow reporter, stale", 53_001, UNKNOWN, True, valid_ms=60_000),
    Case("a slow reporter, over", 60_001, DOWN, True, valid_ms=60_000),
    Case("vouched for less than a hold", 3000, UP, valid_ms=5000),
    Case("and over when it says", 5001, DOWN, True, valid_ms=5000),
    Case("vouched for less than stale", 2000, UP, valid_ms=2000),
    Case("and over at once", 2001, DOWN, True, valid_ms=2000),
    Case("a transition a moment ago", 0, UP, True, since_ms=NOW - 59_999),
    Case("a transition a minute ago", 0, UP, since_ms=NOW - 60_000),
    Case("from the future", -5000, UP),
    Case("a transition in the future", 0, UP, True, since_ms=NOW + 90_000),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_a_report_ages(case: Case) -> None:
    report = Report("a", 1, 1, NOW - case.age_ms, since_ms=case.since_ms, health4=case.health4, valid_ms=case.valid_ms)
    found = judge(["a"], ["AS"], [0], StoreState(NOW, {"a": report}, {"a": report.received_ms}), RULES)
    assert found.verdict4.tolist() == [case.wanted4]
    assert found.changing.tolist() == [case.changing]
    assert found.said.tolist() == [True]
    assert found.age_ms.tolist() == [max(0, case.age_ms)]
    if case.health4 != "up":
        assert found.verdict6.tolist() == [{3001: UNKNOWN, 90_000: DOWN}.get(case.age_ms, UP)]


def test_never_reported_is_up() -> None:
    found = judge(["a"], ["AS"], [0], StoreState(NOW), RULES)
    assert (found.verdict4[0], found.verdict6[0], found.said[0], found.changing[0]) == (UP, UP, False, False)
    assert (found.age_ms[0], found.since_ms[0]) == (0, 0)


@pytest.mark.parametrize(("age_ms", "wanted"), [(3000, UP), (3001, UNKNOWN), (10_001, DOWN)])
def test_a_vanished_report_is_silence(age_ms: int, wanted: int) -> None:
    found = judge(["a"], ["AS"], [0], StoreState(NOW, {}, {"a": NOW - age_ms}), RULES)
    assert found.verdict4.tolist() == [wanted]
    assert (found.said[0], found.gone[0]) == (True, True)


class Silence(NamedTuple):
    """Edges of one continent (or two), how long ago each was heard, and which of them are held after 20 s."""

    why: str
    ages_s: list[float]
    held: list[int]
    capacities: list[int] | None = None
    continents: str = ""
    said: str = ""
    rules: HealthRules = RULES


SILENCES = [
    Silence("one edge dies", [20, 1, 1, 1, 1], []),
    Silence("two die", [20, 20, 1, 1, 1], []),
    Silence("three of nine", [20, 20, 20, 1, 1, 1, 1, 1, 1], [0, 1, 2]),
    Silence("three of ten are not more than 30 %", [20, 20, 20, 1, 1, 1, 1, 1, 1, 1], []),
    Silence("not within stale_s", [20, 18, 14, 1, 1], []),
    Silence("just within", [20, 18, 17, 1, 1], [0, 1, 2]),
    Silence("an old one is none of them", [60, 20, 19, 18, 1, 1], [1, 2, 3]),
    Silence("a chain of windows", [26, 24, 23, 21, 20, 1], [0, 1, 2, 3, 4]),
    Silence("by capacity", [20, 20, 20, 1], [], [1, 1, 1, 97]),
    Silence("by capacity, held", [20, 20, 20, 1, 1, 1], [0, 1, 2], [9, 9, 13, 23, 23, 23]),
    Silence("unknown capacities count as the mean", [20, 20, 20, 1, 1], [0, 1, 2], [10, 0, 0, 10, 10]),
    Silence("another continent's edges do not count", [20, 20, 20, 1, 1, 1], [], None, "AABAAB"),
    Silence("a whole continent", [20, 20, 20, 1, 1, 1], [0, 1, 2], None, "AAABBB"),
    Silence("down is always obeyed", [20, 20, 20, 20, 1], [1, 2, 3], None, "", "duuuu"),
    Silence("and is no silence", [20, 20, 20, 1], [], None, "", "duuu"),
    Silence("nor is drain", [20, 20, 20, 1], [], None, "", "ruuu"),
    Silence("other rules", [20, 20, 1, 1], [0, 1], rules=replace(RULES, silence_edges=2, silence_share=0.4)),
]


@pytest.mark.parametrize("case", SILENCES, ids=lambda case: case.why)
def test_silence_of_many_is_held(case: Silence) -> None:
    edges = [f"e{number}" for number in range(len(case.ages_s))]
    said = {"d": "down", "r": "drain", "u": "up"}
    reports = {
        edge: Report(edge, 1, 1, NOW - round(age_s * 1000), health4=said[word], health6=said[word])
        for edge, age_s, word in zip(edges, case.ages_s, case.said or "u" * len(edges), strict=True)
    }
    state = StoreState(NOW, reports, {})
    continents, capacities = list(case.continents or "A" * len(edges)), case.capacities or [0] * len(edges)
    found = judge(edges, continents, capacities, state, case.rules)
    assert np.flatnonzero(found.held).tolist() == case.held
    for at, age_s in enumerate(case.ages_s):
        silent = UNKNOWN if at in case.held else DOWN
        word = (case.said or "u" * len(edges))[at]
        assert found.verdict4[at] == {"d": DOWN, "r": DRAIN}.get(word, silent if age_s > 10 else UP)


def test_verdicts_are_the_layouts() -> None:
    from gslb.health import judge as module

    names = [name for name in vars(module) if name.startswith("VERDICT_")]
    assert len(names) == 4
    assert {name: getattr(module, name) for name in names} == {name: getattr(layout, name) for name in names}


class Gap(NamedTuple):
    """A store in which nobody wrote for a while, and what becomes of one edge heard before."""

    why: str
    received_ms: int
    begin_ms: int
    end_ms: int
    age_ms: int
    wanted: int


GAPS = [
    Gap("heard at its beginning", NOW - 60_000, NOW - 60_000, NOW, 0, UP),
    Gap("heard a while before", NOW - 62_000, NOW - 60_000, NOW, 2000, UP),
    Gap("stale before", NOW - 63_001, NOW - 60_000, NOW, 3001, UNKNOWN),
    Gap("stale since", NOW - 60_000, NOW - 60_000, NOW - 3001, 3001, UNKNOWN),
    Gap("not back 10 s after", NOW - 60_000, NOW - 60_000, NOW - 10_001, 10_001, DOWN),
    Gap("dead long before", NOW - 90_000, NOW - 60_000, NOW, 30_000, DOWN),
    Gap("heard after it", NOW - 2000, NOW - 60_000, NOW - 5000, 2000, UP),
    Gap("heard at its end", NOW - 5000, NOW - 60_000, NOW - 5000, 5000, UNKNOWN),
    Gap("a store that was emptied", NOW - 10**6, 0, NOW, 0, UP),
    Gap("a store that was emptied 4 s ago", NOW - 10**6, 0, NOW - 4000, 4000, UNKNOWN),
    Gap("heard later than now", NOW + 50, NOW - 60_000, NOW, 0, UP),
]


@pytest.mark.parametrize("is_gone", [False, True], ids=["held", "gone"])
@pytest.mark.parametrize("gap", GAPS, ids=[gap.why for gap in GAPS])
def test_a_gap_ages_nobody(gap: Gap, is_gone: bool) -> None:
    reports = {} if is_gone else {"a": Report("a", 1, 1, gap.received_ms)}
    state = StoreState(NOW, reports, {"a": gap.received_ms}, gap.begin_ms, gap.end_ms)
    found = judge(["a"], ["AS"], [0], state, RULES)
    assert (found.age_ms[0], found.verdict4[0], found.gone[0]) == (gap.age_ms, gap.wanted, is_gone)


def test_a_transition_told_ahead_of_time_is_none_of_the_future() -> None:
    """A writer's clock runs 90 s ahead: what it says of now is short-lived, and a minute after it is silent nothing."""
    state = StoreState(NOW, {"a": Report("a", 1, 1, NOW, since_ms=NOW + 90_000, valid_ms=7_200_000)})
    ages = [judge(["a"], ["AS"], [0], replace(state, now_ms=NOW + after), RULES) for after in (0, 59_999, 60_000)]
    assert [found.changing[0] for found in ages] == [True, True, False]
    assert {int(found.since_ms[0]) for found in ages} == {NOW}


reports = (
    st.lists(
        st.builds(
            Report,
            edge=st.just(""), epoch=st.just(1), seq=st.just(1),
            received_ms=st.integers(NOW - 80_000, NOW),
            since_ms=st.one_of(st.just(0), st.integers(NOW - 70_000, NOW)),
            health4=st.sampled_from(["up", "down", "drain"]),
            valid_ms=st.sampled_from([0, 0, 2000, 15_000]),
        ),
        min_size=1, max_size=8,
    )
)  # fmt: skip


@settings(derandomize=True, deadline=None)
@given(reports, st.integers(0, 20_000), st.integers(0, 10**9), st.booleans())
def test_after_a_gap_all_is_as_if_there_had_been_none(
    reports: list[Report], after_ms: int, length_ms: int, is_gone: bool
) -> None:
    """NOW is when the gap began. What transitions say of short TTLs is left out: those go by time itself."""
    edges = [f"e{number}" for number in range(len(reports))]
    told = {} if is_gone else {edge: replace(each, since_ms=0) for edge, each in zip(edges, reports, strict=True)}
    seen = {edge: each.received_ms for edge, each in zip(edges, reports, strict=True)}
    without = StoreState(NOW + after_ms, told, seen)
    gap = StoreState(NOW + length_ms + after_ms, told, seen, NOW, NOW + length_ms)
    continents, capacities = ["A"] * len(edges), [1] * len(edges)
    one, other = (judge(edges, continents, capacities, state, RULES) for state in (without, gap))
    for name in ("verdict4", "verdict6", "said", "held", "gone", "changing", "age_ms"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist(), name
