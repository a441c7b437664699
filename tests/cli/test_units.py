"""Times, durations, rates and parts as they are typed and shown."""

from __future__ import annotations

import pytest

from gslb.cli.units import coming_s, duration_s, duration_text, part_text, past_ms, rate_text, rfc3339

NOON = 1_795_521_600  # 2026-11-24T12:00:00Z
DURATIONS = [
    ("0", 0, "0s"),
    ("90", 90, "1m30s"),
    ("90s", 90, "1m30s"),
    ("10m", 600, "10m"),
    ("2h", 7200, "2h"),
    ("1h30m", 5400, "1h30m"),
    ("1d2h3m4s", 93_784, "1d2h3m4s"),
    ("60m", 3600, "1h"),
]


@pytest.mark.parametrize(("typed", "seconds", "shown"), DURATIONS)
def test_durations(typed: str, seconds: int, shown: str) -> None:
    assert (duration_s(typed), duration_text(seconds)) == (seconds, shown)


NO_DURATION = "{!r} is not a duration, such as 90s, 10m, 2h or 1h30m"


@pytest.mark.parametrize("typed", ["", "x", "-5m", "1.5h", "5 m", "m", "1m2", "1m1h", "1m1m", "1w", "٣m", "1" * 11])
def test_no_durations(typed: str) -> None:
    with pytest.raises(ValueError, match="is not a duration") as caught:
        duration_s(typed)
    assert str(caught.value) == NO_DURATION.format(typed)


def test_a_duration_too_long() -> None:
    with pytest.raises(ValueError, match=r"^.99999d. is too long$"):
        duration_s("99999d")


COMING = [
    # typed at noon, seconds from noon
    ("now", 0),
    ("+10m", 600),
    ("+0", 0),
    ("14:30", 9000),
    ("12:00", 0),
    ("11:59", 86_340),
    ("00:00", 43_200),
    ("12:00:05", 5),
    ("2026-11-24T12:00:00Z", 0),
    ("2026-11-24T12:00:00.000Z", 0),
    ("2026-11-24T11:00:00Z", -3600),
    ("2026-11-24T15:00:00+02:00", 3600),
]


@pytest.mark.parametrize(("typed", "later_s"), COMING)
def test_times_to_come(typed: str, later_s: int) -> None:
    assert coming_s(typed, NOON) == NOON + later_s


NO_TIME = "{!r} is not a time: now, 14:30 (UTC), +10m or 2026-11-24T14:30:00Z"
NOT_COMING = [
    ("+x", "'x' is not a duration, such as 90s, 10m, 2h or 1h30m"),
    ("24:00", "'24:00' is not a time of the day"),
    ("12:60", "'12:60' is not a time of the day"),
    ("12:00:60", "'12:00:60' is not a time of the day"),
    *(
        (typed, NO_TIME.format(typed))
        for typed in (
            "",
            "soon",
            "-10m",
            "9:00",
            "2026-11-24",
            "2026-11-24T14:30:00",
            "2026-11-24 14:30:00Z",
            "2026-11-24T14:30:00.5Z",
            "2026-13-24T14:30:00Z",
            "1969-11-24T14:30:00Z",
            "0001-01-01T00:00:00+14:00",
        )
    ),
]


@pytest.mark.parametrize(("typed", "reason"), NOT_COMING)
def test_no_times_to_come(typed: str, reason: str) -> None:
    with pytest.raises(ValueError, match="not") as caught:
        coming_s(typed, NOON)
    assert str(caught.value) == reason


PAST = [
    ("-10m", -600_000),
    ("11:59", -60_000),
    ("12:00", 0),
    ("12:01", -86_340_000),
    ("2026-11-24T12:00:00.250Z", 250),
    ("2026-11-24T11:00:00Z", -3_600_000),
]


@pytest.mark.parametrize(("typed", "later_ms"), PAST)
def test_past_times(typed: str, later_ms: int) -> None:
    assert past_ms(typed, 1000 * NOON) == 1000 * NOON + later_ms


@pytest.mark.parametrize("typed", ["", "now", "+10m", "25:00", "-1x", "yesterday"])
def test_no_past_times(typed: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        past_ms(typed, 1000 * NOON)


@pytest.mark.parametrize(
    ("ms", "text"), [(1000 * NOON, "2026-11-24T12:00:00Z"), (1000 * NOON + 250, "2026-11-24T12:00:00.250Z")]
)
def test_rfc3339(ms: int, text: str) -> None:
    assert rfc3339(ms) == text


@pytest.mark.parametrize(
    ("bps", "text"),
    [
        (0, "0 bps"),
        (999, "999 bps"),
        (1500, "1.5 kbps"),
        (31 * 10**8, "3.1 Gbps"),
        (4 * 10**10, "40 Gbps"),
        (10**12, "1 Tbps"),
    ],
)
def test_rates(bps: int, text: str) -> None:
    assert rate_text(bps) == text


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (0, "0%"),
        (0.0001, "<0.1%"),
        (0.123, "12.3%"),
        (0.5, "50%"),
        (0.9999, ">99.9%"),
        (1.0, "100%"),
        (1 - 1e-12, "100%"),
    ],
)
def test_parts(part: float, text: str) -> None:
    assert part_text(part) == text
