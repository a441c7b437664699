"""What is expected: by shape and level, from live demand, with scheduled streams; and what maintenance leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gslb.model.events import Events, Maintenance, Stream
from gslb.plan.forecast import LAST, LIVE, LIVE_SEASON, SEASON, STREAM, Forecast, forecast
from gslb.plan.history import DAY_S, WEEK_S, History, needed
from gslb.plan.problem import F64, I64, GroupKey, Sites
from gslb.plan.schedule import kept_part, maintenance_capacity, stream_part

T0 = 1_767_225_600
G = 10**9
SH, DE, FR = (GroupKey("a.", "CN", "SH", "x"), GroupKey("a.", "DE", "BE", ""), GroupKey("a.", "FR", "", "y"))
OTHER = GroupKey("b.", "DE", "", "")
NOW = T0 + 9 * DAY_S + 18 * 3600
NONE = Events()


def shape(times_s: Any) -> F64:
    """Demand over a day: 1 at its peak at 20:00 UTC, 0.28 at its trough."""
    return np.asarray(0.64 + 0.36 * np.cos((np.asarray(times_s) / 3600 - 20) / 24 * 2 * np.pi))


def table(times_s: Any, demand: dict[GroupKey, Any], bucket_s: int = 300) -> History:
    """Buckets of ``times_s`` in which each group asks for a value, or for an array of them."""
    keys = tuple(sorted(demand))
    columns = [np.broadcast_to(np.asarray(demand[key], dtype=np.float64), len(times_s)) for key in keys]
    rates = np.rint(np.array(columns).T).astype(np.int64).reshape(len(times_s), len(keys))
    return History(np.asarray(times_s, dtype=np.int64), keys, rates, bucket_s)


def buckets(until_s: int, count: int, bucket_s: int = 300) -> I64:
    return until_s - bucket_s * np.arange(count, 0, -1, dtype=np.int64)


def of(found: Forecast) -> dict[GroupKey, tuple[int, str]]:
    return {
        key: (bps, word) for key, bps, word in zip(found.keys, found.demand_bps.tolist(), found.made_of, strict=True)
    }


def test_without_a_season_it_is_the_last_value() -> None:
    history = table(buckets(NOW, 3), {SH: [1 * G, 2 * G, 3 * G], DE: 5 * G})
    found = forecast(history, None, NONE, NOW)
    assert of(found) == {SH: (3 * G, LAST), DE: (5 * G, LAST)}
    assert found.at_s == NOW + 90
    assert found.window_bps.tolist() == [[1 * G, 5 * G], [2 * G, 5 * G], [3 * G, 5 * G]]
    assert found.measured_bps.tolist() == [3 * G, 5 * G]
    assert found.groups.keys == found.keys
    assert found.counts() == {LAST: 2}


def test_what_nobody_asks_for_is_left_out() -> None:
    history = table(buckets(NOW, 40), {SH: [G, *[0] * 39], DE: [*[0] * 20, G, *[0] * 19], FR: 0})
    assert of(forecast(history, None, NONE, NOW)) == {DE: (0, LAST)}
    nothing = forecast(table([], {}), None, NONE, NOW)
    assert (nothing.keys, nothing.demand_bps.tolist(), nothing.window_bps.shape) == ((), [], (0, 0))
    assert nothing.measured_bps.shape == (0,)


SEASONS = [
    pytest.param(2 * DAY_S, 1.0, id="as yesterday"),
    pytest.param(2 * DAY_S, 1.5, id="more than yesterday"),
    pytest.param(8 * DAY_S, 0.5, id="less than yesterday and a week ago"),
]


@pytest.mark.parametrize(("span_s", "today"), SEASONS)
@pytest.mark.parametrize("hour", [0, 6, 8, 14, 20])
def test_the_shape_of_a_season_at_the_level_of_now(span_s: int, today: float, hour: int) -> None:
    now_s = T0 + 9 * DAY_S + hour * 3600
    times_s = buckets(now_s, span_s // 300)
    level = np.where(times_s > now_s - 7200, today, 1.0) * 100 * G
    found = forecast(table(times_s, {SH: shape(times_s + 150) * level}), None, NONE, now_s)
    bps, word = of(found)[SH]
    assert word == SEASON
    assert bps == pytest.approx(shape(now_s + 90) * today * 100 * G, rel=0.01)


LEAPS = [
    pytest.param(1, 7, (7, SEASON), id="seven times yesterday"),
    pytest.param(1, 1000, (1000, LAST), id="a thousand times: yesterday tells nothing"),
    pytest.param(7, 1, (1, SEASON), id="a seventh"),
    pytest.param(1000, 1, (1, LAST), id="a thousandth"),
    pytest.param(1, 0, (0, SEASON), id="silence stays silence"),
    pytest.param(0, 1, (1, LAST), id="new"),
]


@pytest.mark.parametrize(("then", "today", "wanted"), LEAPS)
def test_the_season_of_another_time_altogether_is_none(then: int, today: int, wanted: tuple[int, str]) -> None:
    times_s = buckets(NOW, 2 * 288)
    history = table(times_s, {SH: np.where(times_s > NOW - 3600, today * G, then * G), DE: G})
    assert of(forecast(history, None, NONE, NOW))[SH] == (wanted[0] * G, wanted[1])


@pytest.mark.parametrize("part", [0.2, 0.5, 2.0, 7.0])
def test_a_leap_is_followed_at_once(part: float) -> None:
    """Three buckets ago, two, and in the newest alone: what was before it is no part of the level."""
    for buckets_ago in (1, 2, 3):
        times_s = buckets(NOW - NOW % 300, 2 * 288)
        history = table(times_s, {SH: np.where(times_s >= times_s[-buckets_ago], part * 20 * G, 20 * G)})
        ((bps, word),) = of(forecast(history, None, NONE, NOW)).values()
        assert bps == pytest.approx(part * 20 * G, rel=0.28 if buckets_ago > 2 else 0.001)
        assert word == SEASON


def test_a_gap_in_the_season_is_no_season() -> None:
    times_s = buckets(NOW, 2 * 288)
    for gap in (times_s - (NOW - DAY_S), times_s - (NOW - DAY_S - 1500)):
        kept = np.abs(gap) > 1200
        found = forecast(table(times_s[kept], {SH: 7 * G}), None, NONE, NOW)
        assert of(found) == {SH: (7 * G, LAST)}
    one = np.abs(times_s - (NOW - DAY_S)) > 200  # a single bucket is bridged
    assert of(forecast(table(times_s[one], {SH: 7 * G}), None, NONE, NOW)) == {SH: (7 * G, SEASON)}


def test_live_demand_is_the_level() -> None:
    times_s = buckets(NOW - 600, 2 * 288)
    history = table(times_s, {SH: shape(times_s + 150) * 100 * G, DE: 10 * G, FR: 4 * G})
    live_s = buckets(NOW - 30, 10, 60)
    live = table(live_s, {SH: shape(live_s + 30) * 300 * G, DE: 9 * G, OTHER: G}, 60)
    found = of(forecast(history, live, NONE, NOW))
    assert found[SH][0] == pytest.approx(shape(NOW + 90) * 300 * G, rel=0.01)
    assert found[SH][1] == LIVE_SEASON
    assert found[DE] == (9 * G, LIVE_SEASON)
    assert found[FR] == (0, LIVE_SEASON)  # no row in a bucket that is known is no demand
    assert found[OTHER] == (G, LIVE)


def test_live_demand_weighs_its_newest_bucket_most_and_changes_within_bounds() -> None:
    live = table(buckets(NOW, 4, 60), {SH: [100 * G, 0, 0, 7 * G]}, 60)
    assert of(forecast(table([], {}), live, NONE, NOW)) == {SH: (4 * G, LIVE)}
    times_s = buckets(NOW, 2 * 288)
    jump = np.where(times_s >= NOW - DAY_S, 100 * G, G)
    found = of(forecast(table(times_s, {SH: jump}), table(buckets(NOW, 3, 60), {SH: G}, 60), NONE, NOW))
    assert found[SH][0] <= 2 * G


def noise_error(live: bool, seed: int) -> tuple[float, float]:
    """Mean absolute error of all groups over a day, as part of all demand: of the forecast and of the last value."""
    rng = np.random.default_rng(seed)
    groups = 60
    keys = tuple(GroupKey("a.", "CN", "", f"AS{at:03}") for at in range(1, groups + 1))
    size = rng.pareto(1.2, groups) * G + G
    times_s = T0 + 300 * np.arange(9 * 288)
    day = np.exp(rng.normal(0, 0.1, (9, groups)))  # each day has its own level
    mean = shape(times_s + 150)[:, None] * size * day[(times_s - T0) // DAY_S]
    measured = np.rint(mean * np.exp(rng.normal(0, 0.05, mean.shape))).astype(np.int64)
    wrong = naive = whole = 0.0
    for hour in range(24):
        now_s = T0 + 8 * DAY_S + hour * 3600 + 600
        known = times_s + 300 <= now_s - 300  # as late as the pipeline is
        kept = needed(times_s[known])
        history = History(times_s[known][kept], keys, measured[known][kept], 300)
        truth = shape(now_s + 90) * size * day[8]
        seen: History | None = None
        if live:
            live_s = buckets(now_s - 30, 5, 60)
            rates = shape(live_s + 30)[:, None] * size * day[8] * np.exp(rng.normal(0, 0.05, (5, groups)))
            seen = History(live_s, keys, np.rint(rates).astype(np.int64), 60)
        last = (seen if seen is not None else history).demand_bps[-1]
        wrong += np.abs(forecast(history, seen, NONE, now_s).demand_bps - truth).sum()
        naive += np.abs(last - truth).sum()
        whole += truth.sum()
    return wrong / whole, naive / whole


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_errs_less_than_the_last_value(live: bool, seed: int) -> None:
    wrong, naive = noise_error(live, seed)
    assert wrong < 0.9 * naive
    assert wrong < 0.05


BEGIN = NOW + 90 - 600
"""Streams below have begun ten minutes before the time that is forecast."""


def stream(**given: Any) -> Stream:
    usual: dict[str, Any] = {"service": "a.", "from_s": BEGIN, "until_s": BEGIN + 7200, "demand_bps": 30 * G}
    return Stream("final", **usual | given)


def steady(until_s: int = NOW, days: int = 0) -> History:
    return table(buckets(until_s, 24 + 288 * days), {SH: 20 * G, DE: 10 * G, OTHER: 5 * G})


SPREAD = [
    pytest.param({}, {SH: 40 * G, DE: 20 * G, OTHER: 5 * G}, id="over all that watch the service"),
    pytest.param({"country": "DE"}, {SH: 20 * G, DE: 40 * G, OTHER: 5 * G}, id="in one country"),
    pytest.param({"country": "CN", "region": "SH", "isp": "x"}, {SH: 50 * G, DE: 10 * G, OTHER: 5 * G}, id="one view"),
    pytest.param(
        {"country": "US", "isp": "AS1"},
        {SH: 20 * G, DE: 10 * G, OTHER: 5 * G, GroupKey("a.", "US", "", "AS1"): 30 * G},
        id="where nobody watched anything",
    ),
    pytest.param(
        {"service": "c."},
        {SH: 20 * G, DE: 10 * G, OTHER: 5 * G}
        | {
            GroupKey("c.", "CN", "SH", "x"): pytest.approx(30 * G * 20 / 35, abs=1),
            GroupKey("c.", "DE", "BE", ""): pytest.approx(30 * G * 10 / 35, abs=1),
            GroupKey("c.", "DE", "", ""): pytest.approx(30 * G * 5 / 35, abs=1),
        },
        id="of a service that nobody watched",
    ),
    pytest.param({"ramp_s": 1200}, {SH: 30 * G, DE: 15 * G, OTHER: 5 * G}, id="half of its rise"),
    pytest.param({"until_s": BEGIN + 300}, {SH: 20 * G, DE: 10 * G, OTHER: 5 * G}, id="over"),
    pytest.param({"from_s": NOW + 91}, {SH: 20 * G, DE: 10 * G, OTHER: 5 * G}, id="not yet"),
]


@pytest.mark.parametrize(("given", "wanted"), SPREAD)
def test_a_stream_that_is_not_measured_yet_comes_on_top(given: dict[str, Any], wanted: dict[GroupKey, Any]) -> None:
    found = of(forecast(steady(BEGIN), None, Events(streams=(stream(**given),)), NOW))
    assert {key: bps for key, (bps, _) in found.items()} == wanted
    changed = {key for key, (_, word) in found.items() if word == STREAM}
    assert changed == {key for key, bps in wanted.items() if bps != {SH: 20 * G, DE: 10 * G, OTHER: 5 * G}.get(key)}


MEASURED = [
    pytest.param(1.0, 40 * G, id="as scheduled: not counted twice"),
    pytest.param(0.0, 40 * G, id="not there yet: counted once"),
    pytest.param(0.5, 40 * G, id="half of it there"),
    pytest.param(2.0, 60 * G, id="more than scheduled: what is measured holds"),
]


@pytest.mark.parametrize(("part", "bps"), MEASURED)
@pytest.mark.parametrize("days", [0, 2])
def test_a_stream_that_is_measured_is_not_added_again(part: float, bps: int, days: int) -> None:
    live_s = buckets(NOW, 3, 60)
    live = table(live_s, {SH: 20 * G + part * 20 * G, DE: 10 * G + part * 10 * G, OTHER: 5 * G}, 60)
    history = steady(NOW - NOW % 300 - 300, days)
    found = of(forecast(history, live, Events(streams=(stream(),)), NOW))
    assert found[SH][0] == pytest.approx(bps, rel=0.001)
    assert found[DE][0] == pytest.approx(bps / 2, rel=0.001)


def test_a_long_stream_stands_on_the_seasons_and_spoils_none() -> None:
    long = stream(from_s=NOW - 3 * 3600, until_s=NOW + 3600)
    times_s = buckets(NOW, 2 * 288)
    history = table(times_s, {SH: np.where(times_s >= long.from_s, 50 * G, 20 * G)})
    assert of(forecast(history, None, Events(streams=(long,)), NOW)) == {SH: (50 * G, SEASON)}
    day_after = forecast(
        table(
            buckets(NOW + DAY_S, 3 * 288), {SH: np.where(buckets(NOW + DAY_S, 3 * 288) < NOW + 3600, 50 * G, 20 * G)}
        ),
        None,
        Events(streams=(long,)),
        NOW + DAY_S,
    )
    assert of(day_after) == {SH: (20 * G, LAST)}  # yesterday at this time was no ordinary day


def test_a_long_stream_without_any_season_stands_alone() -> None:
    long = stream(from_s=NOW - 3 * 3600, until_s=NOW + 3600)
    found = of(forecast(table(buckets(NOW, 24), {SH: 2 * G}), None, Events(streams=(long,)), NOW))
    assert found == {SH: (30 * G, STREAM)}


def test_streams_of_one_service_add_up() -> None:
    both = Events(streams=(stream(country="DE"), stream(country="DE", demand_bps=G)))
    assert of(forecast(steady(BEGIN), None, both, NOW))[DE] == (41 * G, STREAM)


AFTER = [
    pytest.param({}, 50 * G, id="for the same viewers: what the one before had does not count again"),
    pytest.param({"country": "CN"}, 50 * G, id="for some of them"),
    pytest.param({"country": "FR"}, 70 * G, id="for others: what they ask for stays"),
    pytest.param({"until_s": BEGIN - 900}, 70 * G, id="over for a while: what is there now has other reasons"),
]


@pytest.mark.parametrize(("given", "bps"), AFTER)
def test_a_stream_right_after_another_stands_on_what_was_before_both(given: dict[str, Any], bps: int) -> None:
    former = stream(**{"from_s": BEGIN - 3600, "until_s": BEGIN, "demand_bps": 20 * G} | given)
    times_s = buckets(NOW - NOW % 300, 24)
    history = table(times_s, {SH: np.where((times_s >= former.from_s) & (times_s < BEGIN), 40 * G, 20 * G)})
    found = of(forecast(history, None, Events(streams=(former, stream(country="CN"))), NOW))
    assert found[SH] == (bps, STREAM)


PARTS = [(-1, 0.0), (0, 0.0), (150, 0.5), (300, 1.0), (1000, 1.0), (1150, 0.5), (1300, 0.0), (5000, 0.0)]


@pytest.mark.parametrize(("at_s", "part"), PARTS)
def test_the_part_of_a_stream(at_s: int, part: float) -> None:
    assert stream_part(Stream("x", "a.", T0, T0 + 1000, G, ramp_s=300), T0 + at_s) == pytest.approx(part)
    sudden = Stream("x", "a.", T0, T0 + 1000, G)
    assert stream_part(sudden, T0 + at_s) == (1.0 if 0 <= at_s <= 1000 else 0.0)


def test_a_stream_shorter_than_its_ramp_never_reaches_its_height() -> None:
    short = Stream("x", "a.", T0, T0 + 100, G, ramp_s=200)
    assert [stream_part(short, T0 + at_s) for at_s in (50, 100, 200, 300)] == pytest.approx([0.25, 0.5, 0.25, 0])


WINDOWS = [(-1801, 1.0), (-1800, 1.0), (-900, 0.5), (-18, 0.01), (0, 0.0), (599, 0.0), (600, 1.0)]


@pytest.mark.parametrize(("at_s", "part"), WINDOWS)
def test_what_a_window_leaves(at_s: int, part: float) -> None:
    assert kept_part(Maintenance("m", "e1", "", T0, T0 + 600), T0 + at_s) == pytest.approx(part)
    sudden = kept_part(Maintenance("m", "e1", "", T0, T0 + 600, 0), T0 + at_s)
    assert sudden == (0.0 if 0 <= at_s < 600 else 1.0)


def test_what_windows_leave_of_each_edge() -> None:
    none = np.zeros(0, dtype=np.int64)
    sites = Sites(
        edges=("e1", "e2", "e3"),
        pops=("fra", "lhr"),
        regions=(),
        pop_of_edge=np.array([0, 0, 1]),
        region_of_pop=np.array([-1, -1]),
        edge_capacity_bps=np.full(3, G),
        pop_capacity_bps=none,
        region_capacity_bps=none,
    )
    events = Events(
        maintenance=(
            Maintenance("a", "", "fra", NOW + 900, NOW + 1000),
            Maintenance("b", "e2", "", NOW + 450, NOW + 1000),
            Maintenance("c", "e2", "", NOW + 1790, NOW + 2000),
            Maintenance("d", "gone", "", NOW, NOW + 1000),
            Maintenance("e", "", "gone", NOW, NOW + 1000),
        )
    )
    assert maintenance_capacity(events, sites, NOW).tolist() == [0.5, 0.25, 1.0]
    assert maintenance_capacity(NONE, sites, NOW).tolist() == [1.0, 1.0, 1.0]


def test_a_week_ago_alone_is_a_season_too() -> None:
    times_s = np.concatenate([buckets(NOW - WEEK_S + 3600, 24), buckets(NOW, 12)])
    demand = np.where(times_s < NOW - DAY_S, 4 * G, 6 * G)
    assert of(forecast(table(times_s, {SH: demand}), None, NONE, NOW)) == {SH: (6 * G, SEASON)}
