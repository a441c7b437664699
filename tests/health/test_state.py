"""The writer's side of health: rise and fall, verdicts, headroom that moves slowly, and what a restart keeps."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest
from gslbtest.examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.health.state import MAX_STEP_MS, Measurement, Memory, WriterRules, resume, step
from gslb.model.report import DOWN, DRAIN, UP, VERDICTS, Report
from gslb.policy.headroom import left_milli

T0 = 1_790_000_000_000  # of the store's clock, in ms
RULES = WriterRules()
G = 10**9


def pushed(memory: Memory, measurement: Measurement, now_ms: int, rules: WriterRules = RULES) -> Memory:
    return step(memory, measurement, rules, now_ms, left_milli)


# One letter a probe of IPv4: + succeeded, - failed, . none was made; u, d, r are verdicts: up, down, drain.
PROBES: list[tuple[str, str, WriterRules]] = [
    # what happened, and the health that was pushed after each
    ("+++", "uuu", RULES),
    ("---", "uud", RULES),
    ("--+--+--", "uuuuuuuu", RULES),
    ("--+---", "uuuuud", RULES),
    ("---+-++", "uuddddu", RULES),
    ("---++---", "uudduuud", RULES),
    ("--.-", "uuud", RULES),  # what was not probed neither counts nor breaks the row
    ("---+.+", "uudddu", RULES),
    ("d", "d", RULES),
    ("d+-+", "dddd", RULES),
    ("d++", "ddu", RULES),
    ("du", "du", RULES),
    ("--u--", "uuuuu", RULES),  # a verdict starts the count anew
    ("--u---", "uuuuud", RULES),
    ("---+d+", "uudddd", RULES),
    ("r++++", "rrrrr", RULES),  # probes end no drain, nor make it a failure, which failing open would use
    ("r-----", "rrrrrr", RULES),
    ("r--u-", "rrruu", RULES),
    ("rd++", "rddu", RULES),
    ("-", "d", WriterRules(rise=1, fall=1)),
    ("-+-+", "dudu", WriterRules(rise=1, fall=1)),
    ("-----++++", "uuuuddddu", WriterRules(rise=4, fall=5)),
]  # fmt: skip
WORDS = {"u": UP, "d": DOWN, "r": DRAIN}


def measured(sign: str, *, is_v6: bool = False) -> Measurement:
    probe, verdict = {"+": True, "-": False}.get(sign), WORDS.get(sign)
    return Measurement(probe6=probe, health6=verdict) if is_v6 else Measurement(probe4=probe, health4=verdict)


@pytest.mark.parametrize("is_v6", [False, True], ids=["v4", "v6"])
@pytest.mark.parametrize(("signs", "wanted", "rules"), PROBES, ids=[row[0] for row in PROBES])
def test_rise_and_fall(signs: str, wanted: str, rules: WriterRules, is_v6: bool) -> None:
    memory = resume("a", None)
    found, others = "", set()
    for at, sign in enumerate(signs):
        memory = pushed(memory, measured(sign, is_v6=is_v6), T0 + 1000 * at, rules)
        four, six = memory.report.health4, memory.report.health6
        found += {UP: "u", DOWN: "d", DRAIN: "r"}[six if is_v6 else four]
        others.add(four if is_v6 else six)
    assert found == wanted
    assert others == {UP}, "the family of which nothing was said"


@settings(derandomize=True, deadline=None, max_examples=examples(300))
@given(
    st.lists(st.sampled_from("+-.udr"), max_size=60),
    st.lists(st.sampled_from("+-.udr"), max_size=60),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_rise_and_fall_are_exact(fours: list[str], sixes: list[str], rise: int, fall: int) -> None:
    rules = WriterRules(rise, fall)
    memory = resume("a", None)
    words, results = [UP, UP], ["", ""]  # the oracle: the results since the last verdict, as texts
    for at, signs in enumerate(zip(fours, sixes, strict=False)):
        one, other = (measured(sign, is_v6=is_v6) for sign, is_v6 in zip(signs, (False, True), strict=True))
        memory = pushed(memory, replace(one, probe6=other.probe6, health6=other.health6), T0 + at, rules)
        for family, sign in enumerate(signs):
            if sign in WORDS:
                words[family], results[family] = WORDS[sign], ""
            elif sign != ".":
                results[family] += sign
                if words[family] != DRAIN and results[family].endswith("-" * fall):
                    words[family] = DOWN
                elif words[family] != DRAIN and results[family].endswith("+" * rise):
                    words[family] = UP
        assert [memory.report.health4, memory.report.health6] == words


def test_since_is_the_last_transition_of_either_family() -> None:
    memory = resume("a", None)
    for at, (measurement, wanted) in enumerate(
        [
            (Measurement(health4=UP), 0),
            (Measurement(health4=DOWN), 1000),
            (Measurement(health4=DOWN, load_bps=5), 1000),
            (Measurement(health6=DRAIN), 3000),
            (Measurement(health4=UP), 4000),
            (Measurement(probe4=False), 4000),
            (Measurement(probe4=False), 4000),
            (Measurement(probe4=False), 7000),
        ]
    ):
        memory = pushed(memory, measurement, T0 + 1000 * at)
        assert memory.report.since_ms == (T0 + wanted if wanted else 0), at
        assert memory.report.seq == at + 1


def test_what_is_not_said_stays() -> None:
    first = pushed(resume("a", None), Measurement(None, None, None, None, 3 * G, 40 * G, 200, 60_000), T0)
    wanted = Report(
        "a", 0, 1, 0, load_bps=3 * G, capacity_bps=40 * G, headroom_milli=1000, sessions=200, valid_ms=60_000
    )
    assert first.report == wanted
    assert pushed(first, Measurement(), T0).report == replace(wanted, seq=2)
    assert pushed(first, Measurement(load_bps=0, sessions=0, valid_ms=0), T0).report == replace(
        wanted, seq=2, load_bps=0, sessions=0, valid_ms=0
    )


class Move(NamedTuple):
    """Headroom as it was, what the load leaves now, after how long, and what is pushed."""

    why: str
    before_milli: int
    load_gbps: float
    elapsed_ms: int
    wanted_milli: int
    capacity_gbps: int = 100


MOVES = [
    Move("as it was", 1000, 80, 1000, 1000),
    Move("down, within reach", 1000, 80.3, 1000, 980),
    Move("down at most 5 % in a second", 1000, 95, 1000, 950),
    Move("half of that in half of it", 1000, 95, 500, 975),
    Move("in a millisecond a part of a thousandth, rounded down", 1000, 95, 1, 999),
    Move("up, within reach", 500, 87.45, 1000, 503),
    Move("up at most 1 % in a second", 0, 10, 1000, 10),
    Move("up in 10 s", 0, 10, 10_000, 100),
    Move("nothing in no time", 700, 95, 0, 700),
    Move("nor when the clock went back", 700, 95, -5000, 700),
    Move("as if now, where it was far ahead", 700, 95, -MAX_STEP_MS - 1, 700),
    Move("after a long time, down to where it belongs", 1000, 95, 3_600_000, 0),
    Move("but up no more than in a minute", 0, 10, 3_600_000, 600),
    Move("over capacity", 100, 300, 10_000, 0),
    Move("no capacity is known", 700, 95, 1000, -1, capacity_gbps=0),
    Move("capacity was not known", -1, 87.5, 1000, 500),
]


@pytest.mark.parametrize("move", MOVES, ids=[move.why for move in MOVES])
def test_headroom_moves_slowly(move: Move) -> None:
    micro = move.before_milli * 1000 if move.before_milli >= 0 else -1
    memory = Memory(Report("a", 1, 1, T0, headroom_milli=move.before_milli), headroom_micro=micro, clock_ms=T0)
    told = Measurement(load_bps=round(move.load_gbps * G), capacity_bps=move.capacity_gbps * G)
    assert pushed(memory, told, T0 + move.elapsed_ms).report.headroom_milli == move.wanted_milli


def test_the_first_headroom_is_what_the_load_leaves() -> None:
    told = Measurement(load_bps=875, capacity_bps=1000)
    assert pushed(resume("a", None), told, T0).report.headroom_milli == 500


def test_a_clock_that_was_far_ahead_stops_nothing_for_long() -> None:
    memory = pushed(resume("a", None), Measurement(load_bps=0, capacity_bps=100), T0 + 10**9)
    for second in range(1, 4):
        memory = pushed(memory, Measurement(load_bps=100), T0 + 1000 * second)
    assert memory.report.headroom_milli == 900


def test_small_steps_lose_nothing() -> None:
    memory = pushed(resume("a", None), Measurement(load_bps=95, capacity_bps=100), T0)
    for now_ms in range(T0, T0 + 30_001, 3):
        memory = pushed(memory, Measurement(load_bps=0), now_ms)
    assert memory.report.headroom_milli == 300  # 30 s at 1 % a second, in steps of 0.03 thousandths


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, Measurement]]:
    """Times in ms after T0, not always forward, and measurements at them, of an edge of 1000 bits a second."""
    times, now_ms = [], 0
    for elapsed_ms in draw(st.lists(st.one_of(st.integers(0, 3000), st.integers(-500, 200_000)), max_size=40)):
        now_ms += elapsed_ms
        times.append(now_ms)
    loads = st.one_of(st.none(), st.integers(0, 1200))
    return [(now_ms, Measurement(load_bps=draw(loads), capacity_bps=1000)) for now_ms in times]


@settings(derandomize=True, deadline=None, max_examples=examples(300))
@given(histories(), st.booleans())
def test_headroom_is_never_faster_than_it_may(history: list[tuple[int, Measurement]], restarts: bool) -> None:
    memory = resume("a", None)
    seen: list[tuple[int, int]] = []
    for now_ms, measurement in history:
        memory = pushed(memory, measurement, T0 + now_ms)
        if restarts:  # as a script: all it remembers is what the store holds, written at once
            memory = resume("a", replace(memory.report, received_ms=memory.clock_ms))
        seen.append((memory.clock_ms, memory.report.headroom_milli))
    for at, (then_ms, then) in enumerate(seen):
        assert 0 <= then <= 1000
        for now_ms, now in seen[at + 1 :]:
            # Thousandths are rounded down, so that less than one may seem to come from nowhere; once for each restart.
            slack = len(seen) if restarts else 1
            assert then - now < 50 * (now_ms - then_ms) / 1000 + slack
            assert now - then < 10 * (now_ms - then_ms) / 1000 + 1


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.integers(0, 1200), st.integers(0, 1200), st.integers(500, 5000))
def test_headroom_arrives(before: int, load: int, step_ms: int) -> None:
    memory = pushed(resume("a", None), Measurement(load_bps=before, capacity_bps=1000), T0)
    for at in range(1, 100_000 // step_ms + 2):
        memory = pushed(memory, Measurement(load_bps=load), T0 + at * step_ms)
    assert memory.report.headroom_milli == left_milli(load, 1000)


@pytest.mark.no_cover
@settings(derandomize=True, deadline=None)
@given(histories(), st.lists(st.sampled_from([None, True, False]), min_size=40, max_size=40))
def test_equal_inputs_make_equal_reports(history: list[tuple[int, Measurement]], probes: list[bool | None]) -> None:
    def run() -> list[Memory]:
        found = [resume("a", None)]
        for (now_ms, measurement), probe in zip(history, probes, strict=False):
            found.append(pushed(found[-1], replace(measurement, probe4=probe), T0 + now_ms))
        return found

    assert run() == run()


@settings(derandomize=True, deadline=None)
@given(st.lists(st.sampled_from("+-udr"), max_size=20), st.integers(0, 10**10))
def test_silence_never_resets(signs: list[str], silence_ms: int) -> None:
    memory = resume("a", None)
    for at, sign in enumerate(signs):
        memory = pushed(memory, measured(sign), T0 + 1000 * at)
    after = pushed(memory, Measurement(), T0 + 1000 * len(signs) + silence_ms)
    assert (after.report.health4, after.against4) == (memory.report.health4, memory.against4)
    assert after.report.since_ms == memory.report.since_ms


HELD = Report(
    "a", 7, 42, T0, since_ms=T0 - 5, health4=DOWN, health6=DRAIN, load_bps=9, capacity_bps=10, headroom_milli=400,
    sessions=3, valid_ms=60_000, slow_since_ms=T0 - 9,
)  # fmt: skip


@pytest.mark.parametrize(
    ("epoch", "probed", "wanted"),
    [
        (None, None, HELD),
        (9, None, replace(HELD, epoch=9, seq=0)),
        (7, None, replace(HELD, epoch=8, seq=0)),  # a clock that runs behind the one of the writer before
        (9, (True, True), replace(HELD, epoch=9, seq=0)),
        (9, (False, False), replace(HELD, epoch=9, seq=0, health4=UP)),  # nobody would ever lift it; a drain stays
        (9, (True, False), replace(HELD, epoch=9, seq=0)),
    ],
)
def test_a_writer_goes_on_from_what_is_held(
    epoch: int | None, probed: tuple[bool, bool] | None, wanted: Report
) -> None:
    assert resume("a", HELD, epoch=epoch, probed=probed) == Memory(wanted, 0, 0, 400_000, T0)


def test_a_writer_begins_with_nothing() -> None:
    assert resume("a", None) == Memory(Report("a", 0, 0, 0))
    assert resume("a", None, epoch=5, probed=(True, False)) == Memory(Report("a", 5, 0, 0))


@pytest.mark.parametrize("word", VERDICTS)
def test_what_is_pushed_next_is_newer(word: str) -> None:
    for memory in (resume("a", HELD), resume("a", HELD, epoch=3)):
        report = pushed(memory, Measurement(health4=word, health6=word), T0 + 1).report
        assert (report.epoch, report.seq) > (HELD.epoch, HELD.seq)
        assert report.since_ms == T0 + 1
