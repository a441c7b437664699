"""Demand, of what was delivered, reported and asked: small cases whose answer follows from a rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from math import log
from statistics import NormalDist
from typing import Any, Final

import pytest
from gslbtest.tables import filled, stepped

from gslb.measure.engine import Engine, nested
from gslb.model import records
from gslb.tables import inference
from gslb.tables.demand import LOOKBACK_S, whole

FROM_S = 1_767_232_800
UNTIL_S = FROM_S + 300
BACK = range(FROM_S - 600, UNTIL_S, 60)
EARLY = range(FROM_S - 600, FROM_S + 180, 60)
HOUR = range(FROM_S - 3600, UNTIL_S, 60)
RUSH = range(FROM_S - 300, UNTIL_S, 60)
LATE = range(FROM_S + 180, UNTIL_S, 60)
A, B, C, D = ({"service": "s.", "country": country, "region": "R", "isp": "i"} for country in ("AA", "BB", "CC", "DD"))
FILM, NEWS = dict(A, service="film."), dict(A, service="news.")
HERE, THERE = dict(A, region="H"), dict(A, region="T")

Rows = list[dict[str, Any]]
Case = tuple[Rows, Rows, Rows]
"""Rows of `ASKED`, `DELIVERED` and `LOAD`."""
Found = dict[tuple[str, str, str, int], dict[str, Any]]
"""Rows of `DEMAND` by service, country, region, and seconds since `FROM_S`."""
Made = Callable[[str, int], Found]


def asked(edge: str, group: dict[str, str], questions: int, minutes: Sequence[int] = BACK, ecs: int = 1) -> Rows:
    """So many questions in each minute."""
    rows = [{"minute_s": at, "edge": edge, **group} for at in minutes]
    return filled(records.ASKED, *rows, ecs=ecs, questions=questions, rows=questions, arrivals=float(questions))


def sent(edge: str, group: dict[str, str], bps: float, minutes: Sequence[int] = BACK) -> Rows:
    """A delivery log of so many bits per second in each minute."""
    rows = [dict(minute_s=at, edge=edge, bytes=int(bps * 60 / 8), sessions_started=2, **group) for at in minutes]
    return filled(records.DELIVERED, *rows, clients=1)


def load(edge: str, bps: float, minutes: Sequence[int] = BACK, **said: Any) -> Rows:
    """Reports of so many bits per second."""
    rows = [{"minute_s": at, "edge": edge, "load_bps": bps, "peak_bps": int(bps)} for at in minutes]
    return filled(records.LOAD, *rows, **{"reports": 60, "capacity_bps": 10**9, **said})


def watched_bps(at_s: int) -> float:
    """Of viewers who come from the beginning of `RUSH` on, 1 Mbps in each minute: those who are still there watch ten
    minutes in the mean, log-normally, with a log-sd of 1."""
    ages_s = range(30, at_s - RUSH.start + 60, 60)
    return 1e6 * sum(1.0 - NormalDist(log(600.0) - 0.5).cdf(log(age_s)) for age_s in ages_s)


CASES: Final[dict[str, Case]] = {
    "known": (
        asked("a", A, 7) + asked("a", B, 1, [FROM_S]),
        sent("a", A, 4e6) + sent("a", B, 1e6, [FROM_S + 60]),
        load("a", 9e6),  # other than the log says: the log counts
    ),
    "one each": (
        [row for edge, group in zip("abcd", (A, B, C, D), strict=True) for row in asked(edge, group, 50)],
        sent("a", A, 11e6) + sent("b", B, 4e6),
        [row for edge, bps in zip("abcd", (11e6, 4e6, 11e6, 4e6), strict=True) for row in load(edge, bps)],
    ),
    "worth": (
        [row for edge in ("log", "mute") for group in (FILM, NEWS) for row in asked(edge, group, 3000)],
        sent("log", FILM, 30e6) + sent("log", NEWS, 10e6),
        load("log", 40e6) + load("mute", 40e6),
    ),
    "late": (
        asked("a", A, 9) + asked("a", B, 90),
        sent("a", A, 4e6, EARLY) + sent("a", B, 1e6, EARLY),
        load("a", 5e6, EARLY) + load("a", 10e6, LATE),
    ),
    "silent": (
        asked("a", A, 100) + asked("gone", B, 100) + asked("tiny", C, 1000),
        sent("a", A, 8e6),
        load("a", 8e6) + load("tiny", 1e6, [FROM_S - 600], capacity_bps=2_000_000),
    ),
    "nobody": (asked("alone", A, 5), [], load("other", 1e6)),
    "elsewhere": (
        asked("mute", HERE, 1000, ecs=0) + asked("log", THERE, 400) + asked("log", HERE, 400),
        sent("log", THERE, 1e6),
        load("mute", 10e6) + load("log", 1e6),
    ),
    "rush": (
        [row for edge in ("log", "mute") for row in asked(edge, FILM, 20_000, HOUR)]
        + [row for edge in ("log", "mute") for row in asked(edge, NEWS, 20_000, RUSH)],
        sent("log", FILM, 10e6, HOUR) + [row for at in RUSH for row in sent("log", NEWS, watched_bps(at), [at])],
        load("log", 10e6, HOUR) + [row for at in HOUR for row in load("mute", 10e6 + watched_bps(at), [at])],
    ),
    "died": (
        asked("dead", A, 100, range(FROM_S - 3600, FROM_S, 60))
        + asked("b", B, 100, range(FROM_S - 3600, UNTIL_S, 60))
        + asked("b", A, 100, range(FROM_S, UNTIL_S, 60))
        + asked("b", A, 1500, [FROM_S + 60]),  # who watched there asks again
        [],
        load("dead", 10e6, range(FROM_S - 3600, FROM_S, 60))
        + load("dead", 0.0, range(FROM_S, UNTIL_S, 60), down=1)
        + load("b", 10e6, range(FROM_S - 3600, FROM_S, 60))
        + load("b", 20e6, range(FROM_S, UNTIL_S, 60)),
    ),
}
"""Each is of a time of its own, so that one run answers for all: what a call costs here is mostly its expressions."""
APART_S: Final = 2 * LOOKBACK_S
"""Between cases: no one is in another's look-back."""


@pytest.fixture(scope="module")
def made(running: Engine) -> Made:
    """What comes out of a case in buckets of so many seconds."""
    tables = [
        running.rows_of(
            [
                row | {"minute_s": row["minute_s"] + number * APART_S}
                for number, case in enumerate(CASES.values())
                for row in case[part]
            ],
            columns,
        )
        for part, columns in enumerate((records.ASKED, records.DELIVERED, records.LOAD))
    ]
    until_s = UNTIL_S + (len(CASES) - 1) * APART_S
    found: dict[tuple[str, int], Found] = defaultdict(dict)
    for bucket_s in (300, 60):
        for row in stepped(running, whole, tables, bucket_s=bucket_s, from_s=FROM_S, until_s=until_s):
            assert list(row) == list(records.DEMAND)
            assert row["demand_bps"] == pytest.approx(row["delivered_bps"] + row["inferred_bps"])
            number, seconds = divmod(int(row["time"].timestamp()) - FROM_S, APART_S)
            if seconds < UNTIL_S - FROM_S:  # else it is of the look-back of the case after
                name = list(CASES)[number]
                found[name, bucket_s][row["service"], row["country"], row["region"], seconds] = row
    assert not any(nested(plan) for plan in running.plans)
    running.plans.clear()
    return lambda name, bucket_s: found[name, bucket_s]


def test_what_was_delivered_is_known(made: Made) -> None:
    found = made("known", 300)
    assert found.keys() == {("s.", "AA", "R", 0), ("s.", "BB", "R", 0)}
    one, other = found["s.", "AA", "R", 0], found["s.", "BB", "R", 0]
    assert one["demand_bps"] == one["delivered_bps"] == 4e6
    assert one["time"] == datetime.fromtimestamp(FROM_S, UTC)
    assert (one["source"], one["confidence"], one["sessions_started"], one["questions"]) == ("delivered", 1.0, 10, 35)
    assert other["demand_bps"] == pytest.approx(1e6 / 5)
    assert (other["sessions_started"], other["questions"]) == (2, 1)


def test_the_load_of_an_edge_is_what_its_groups_asked_for(made: Made) -> None:
    """Where Client Subnet says that an edge serves one group alone, all its load is that group's, whatever is asked."""
    found = made("one each", 300)
    by_country = {country: row["demand_bps"] for (_, country, _, _), row in found.items()}
    assert by_country == pytest.approx({"AA": 11e6, "BB": 4e6, "CC": 11e6, "DD": 4e6}, rel=0.01)
    assert [row["source"] for _, row in sorted(found.items())] == ["delivered", "delivered", "inferred", "inferred"]
    assert found["s.", "CC", "R", 0]["confidence"] == pytest.approx(0.9 - 1 / (50 * 15 + 4) ** 0.5)


def test_services_are_worth_what_logs_say_of_them(made: Made) -> None:
    """Two services are asked for alike; where there is a log, one has three times the bits."""
    found = made("worth", 300)
    assert found["film.", "AA", "R", 0]["inferred_bps"] == pytest.approx(30e6, rel=0.05)
    assert found["news.", "AA", "R", 0]["inferred_bps"] == pytest.approx(10e6, rel=0.05)
    assert found["film.", "AA", "R", 0]["source"] == "mixed"


def test_who_only_came_has_not_watched_yet(made: Made) -> None:
    """News are asked for since ten minutes: bits that are yet to come make their questions worth hardly less."""
    found = made("rush", 300)
    true = sum(map(watched_bps, range(FROM_S, UNTIL_S, 60))) / 5
    assert found["news.", "AA", "R", 0]["inferred_bps"] == pytest.approx(true, rel=0.25)
    assert found["film.", "AA", "R", 0]["inferred_bps"] == pytest.approx(10e6, rel=0.15)


def test_a_log_that_is_late_is_filled_by_what_it_was(made: Made) -> None:
    """The log of the newest two minutes is not there yet: what it was made of before, times the load of now."""
    found = made("late", 60)
    assert found["s.", "AA", "R", 120]["demand_bps"] == 4e6
    late = found["s.", "AA", "R", 180]
    assert (late["demand_bps"], late["source"]) == (pytest.approx(8e6), "inferred")
    assert late["confidence"] == pytest.approx(inference.RECENT)
    assert found["s.", "BB", "R", 240]["demand_bps"] == pytest.approx(2e6)


def test_without_a_report_questions_tell_up_to_capacity(made: Made) -> None:
    """Edge "gone" reported before and is asked for as much as "a"; "tiny" for more than it can carry."""
    found = made("silent", 300)
    assert found["s.", "BB", "R", 0]["demand_bps"] == pytest.approx(8e6)
    assert found["s.", "CC", "R", 0]["demand_bps"] == pytest.approx(2e6)
    known = 0.9 - 1 / (100 * 15 + 4) ** 0.5
    assert found["s.", "BB", "R", 0]["confidence"] == pytest.approx(known / 2)


def test_nobody_asked_and_nothing_known(made: Made) -> None:
    """Load of an edge that nobody was sent to is no demand; and of questions alone nothing follows."""
    assert made("nobody", 300) == made("nobody", 60) == {}


def test_resolvers_stand_for_viewers_of_their_isp_and_country(made: Made) -> None:
    """Of questions without Client Subnet some are of viewers elsewhere in the country, whom a poll knows."""
    inferred = {region: row["inferred_bps"] for (_, _, region, _), row in made("elsewhere", 300).items()}
    assert sum(inferred.values()) == pytest.approx(10e6)
    assert inferred["H"] > inferred["T"] > 1e6


def test_who_asks_again_because_his_edge_died_is_no_more_demand(made: Made) -> None:
    """Half of what "b" carries now is of those whom it took over, and not the more the more of them asked at once."""
    found = made("died", 300)
    assert found["s.", "AA", "R", 0]["demand_bps"] == pytest.approx(10e6, rel=0.15)
    assert found["s.", "AA", "R", 0]["demand_bps"] + found["s.", "BB", "R", 0]["demand_bps"] == pytest.approx(20e6)


@pytest.mark.parametrize("name", CASES)
def test_demand_adds_up_to_what_edges_carried(made: Made, name: str) -> None:
    """Each minute, and over five of them whatever the buckets: load where there is no log, else what was delivered."""
    _, sends, loads = CASES[name]
    asked_of = {row["edge"] for row in CASES[name][0]}
    logged = {(row["edge"], row["minute_s"]) for row in sends}
    bits: dict[int, float] = defaultdict(float)
    for row in sends:
        bits[row["minute_s"] - FROM_S] += row["bytes"] * 8
    for row in loads:
        if row["edge"] in asked_of and (row["edge"], row["minute_s"]) not in logged:
            bits[row["minute_s"] - FROM_S] += row["load_bps"] * 60
    live, whole = made(name, 60), made(name, 300)
    for second in range(0, UNTIL_S - FROM_S, 60):
        came = sum(row["demand_bps"] * 60 for key, row in live.items() if key[3] == second)
        silent = 10e6 * 60 if name == "silent" else 0.0  # what "gone" and "tiny" are taken to have carried
        assert came == pytest.approx(bits[second] + silent)
    by_minutes: dict[tuple[str, ...], float] = defaultdict(float)
    for (*group, _), row in live.items():
        by_minutes[tuple(group)] += row["demand_bps"] / 5
    assert by_minutes == pytest.approx({key[:3]: row["demand_bps"] for key, row in whole.items()}, rel=1e-9)
