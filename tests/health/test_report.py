"""Reports as text: what is accepted, and the exact message of what is not."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.health.report import MAX_TEXT, ReportError, fields, mapping, read, read_json
from gslb.health.state import Measurement
from gslb.model.report import VERDICTS, Report

FULL = {
    "epoch": "1700000000", "seq": "42", "since_ms": "1700000123456", "health4": "up", "health6": "drain",
    "load_bps": "3100000000", "capacity_bps": "40000000000", "headroom_milli": "750", "sessions": "2100",
    "valid_ms": "60000", "slow_since_ms": "1700000100000",
}  # fmt: skip


def test_a_whole_report() -> None:
    wanted = Report(
        edge="sha-ct", epoch=1700000000, seq=42, received_ms=99, since_ms=1700000123456, health4="up", health6="drain",
        load_bps=3_100_000_000, capacity_bps=40_000_000_000, headroom_milli=750, sessions=2100, valid_ms=60_000,
        slow_since_ms=1700000100000,
    )  # fmt: skip
    assert read("sha-ct", FULL, 99) == wanted
    assert fields(wanted) == FULL


def test_the_shortest_report() -> None:
    assert read("a", {"epoch": "0", "seq": "0"}, 5) == Report(edge="a", epoch=0, seq=0, received_ms=5)


def test_bytes_and_keys_of_later_versions() -> None:
    told = {"epoch": b"1", "seq": b"2", "health4": b"down", "color": b"\xff"}
    assert read("a", told, 5) == Report(edge="a", epoch=1, seq=2, received_ms=5, health4="down")


COUNT = "is not a decimal number from 0 to 9223372036854775807"
MILLI = "is not a decimal number from 0 to 1000"
BPS = "is not a decimal number from 0 to 1000000000000000"

ROWS: list[tuple[str, dict[str, str | bytes | None], str]] = [
    # edge, fields that differ from a good report (None: absent), the message
    ("a", {"epoch": None}, "report of edge 'a': epoch: is missing"),
    ("a", {"seq": ""}, f"report of edge 'a': seq: '' {COUNT}"),
    (
        "a",
        {"seq": "9223372036854775808"},
        f"report of edge 'a': seq: '9223372036854775808' {COUNT}",
    ),
    ("a", {"load_bps": "-3"}, f"report of edge 'a': load_bps: '-3' {BPS}"),
    ("a", {"load_bps": "1e9"}, f"report of edge 'a': load_bps: '1e9' {BPS}"),
    ("a", {"load_bps": "١٢"}, f"report of edge 'a': load_bps: '١٢' {BPS}"),
    ("a", {"load_bps": " 1"}, f"report of edge 'a': load_bps: ' 1' {BPS}"),
    (
        "a",
        {"capacity_bps": "1000000000000001"},
        f"report of edge 'a': capacity_bps: '1000000000000001' {BPS}",
    ),
    ("a", {"headroom_milli": "1001"}, f"report of edge 'a': headroom_milli: '1001' {MILLI}"),
    ("a", {"headroom_milli": "-1"}, f"report of edge 'a': headroom_milli: '-1' {MILLI}"),
    ("a", {"health4": "UP"}, "report of edge 'a': health4: 'UP' is not one of up, down, drain"),
    ("a", {"health6": b"\xff"}, "report of edge 'a': health6: '\\\\xff' is not one of up, down, drain"),
    (
        "a",
        {"valid_ms": "604800001"},
        "report of edge 'a': valid_ms: '604800001' is not a decimal number from 0 to 604800000",
    ),
    (
        "a",
        {"sessions": "9" * 10_000},
        f"report of edge 'a': sessions: '{'9' * 40}…' {COUNT}",
    ),
    (
        "a",
        {"epoch": "x", "health4": "?", "sessions": "y"},
        f"report of edge 'a': epoch: 'x' {COUNT};"
        f" sessions: 'y' {COUNT};"
        " health4: '?' is not one of up, down, drain",
    ),
    (
        "a b",
        {},
        "report of edge 'a b': the name is not letters, digits, dots, hyphens and underscores, at most 63",
    ),
    (
        "",
        {"seq": "z"},
        "report of edge '': the name is not letters, digits, dots, hyphens and underscores, at most 63;"
        f" seq: 'z' {COUNT}",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("edge", "changes", "message"), ROWS)
def test_faults(edge: str, changes: dict[str, str | bytes | None], message: str) -> None:
    told = {key: value for key, value in {**FULL, **changes}.items() if value is not None}
    with pytest.raises(ReportError) as caught:
        read(edge, told, 0)
    assert str(caught.value) == message
    assert caught.value.edge == edge
    assert {key for key, _ in caught.value.faults} - {""} == set(changes)


@settings(derandomize=True, deadline=None)
@given(
    st.builds(
        Report,
        edge=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True),
        epoch=st.integers(0, 2**63 - 1),
        seq=st.integers(0, 2**63 - 1),
        received_ms=st.just(7),
        since_ms=st.integers(0, 2**63 - 1),
        health4=st.sampled_from(VERDICTS),
        health6=st.sampled_from(VERDICTS),
        load_bps=st.integers(0, 10**15),
        capacity_bps=st.integers(0, 10**15),
        headroom_milli=st.integers(-1, 1000),
        sessions=st.integers(0, 2**63 - 1),
        valid_ms=st.integers(0, 7 * 86_400_000),
        slow_since_ms=st.integers(0, 2**63 - 1),
    )
)
def test_what_is_written_is_read(report: Report) -> None:
    assert read(report.edge, fields(report), 7) == report
    assert read_json(report.edge, json.dumps(mapping(report))) == report


@settings(derandomize=True, deadline=None)
@given(st.text(max_size=30), st.dictionaries(st.sampled_from([*FULL, "other"]), st.one_of(st.text(), st.binary())))
def test_nothing_else_is_ever_raised(edge: str, told: dict[str, str | bytes]) -> None:
    with contextlib.suppress(ReportError):
        read(edge, told, 0)


MEASURED: list[tuple[str, Measurement]] = [
    ('{"health": "up"}', Measurement(health4="up", health6="up")),
    ('{"health": "drain", "health6": "down"}', Measurement(health4="drain", health6="down")),
    ('{"health4": "down"}', Measurement(health4="down")),
    ('{"load_bps": 0}', Measurement(load_bps=0)),
    (
        '{"load_bps": 3100000000, "capacity_bps": "40000000000", "sessions": 12, "valid_ms": 60000}',
        Measurement(load_bps=3_100_000_000, capacity_bps=40_000_000_000, sessions=12, valid_ms=60_000),
    ),
]


@pytest.mark.parametrize(("body", "wanted"), MEASURED, ids=[body for body, _ in MEASURED])
def test_a_measurement_in_json(body: str, wanted: Measurement) -> None:
    assert read_json("a", body) == read_json("a", body.encode()) == wanted


def test_a_report_in_json() -> None:
    body = '{"edge": "a", "epoch": 1, "seq": 2, "received_ms": 9, "health6": "drain", "load_bps": 5, "color": "red"}'
    assert read_json("a", body) == Report("a", 1, 2, 9, health6="drain", load_bps=5)
    assert read_json("a", '{"epoch": 0, "seq": 0}') == Report("a", 0, 0, 0)


SAYABLE = "health, health4, health6, load_bps, capacity_bps, sessions, valid_ms"
JSON_ROWS = [
    # edge, body, what is wrong
    ("a", "", "not JSON: Expecting value: line 1 column 1 (char 0)"),
    ("a", "5", "not a JSON object"),
    ("a", '{"load_bps": 1, "load_bps": 2}', "not JSON: a key stands twice in an object"),
    ("a", "[" * 9000, "not JSON: nested too deep"),
    ("a", " " * (MAX_TEXT + 1), "the text has more than 16384 characters"),
    ("a", "{}", f"nothing is said; the keys are {SAYABLE}"),
    ("a", '{"helth": "up"}', "helth: is not known; did you mean health?"),
    ("a", '{"x": 1}', f"x: is not known; the keys are {SAYABLE}"),
    ("a", '{"headroom_milli": 5}', f"headroom_milli: is not known; the keys are {SAYABLE}"),
    ("a", '{"health": null}', "health: 'null' is not one of up, down, drain"),
    ("a", '{"load_bps": 1.5}', f"load_bps: '1.5' {BPS}"),
    ("a", '{"load_bps": true}', f"load_bps: 'true' {BPS}"),
    ("a", '{"load_bps": -1}', f"load_bps: '-1' {BPS}"),
    ("a", '{"load_bps": null}', f"load_bps: 'null' {BPS}"),
    ("a", '{"load_bps": [1]}', f"load_bps: '[1]' {BPS}"),
    (
        "a b",
        '{"health4": "on", "sessions": "many", "y": 0}',
        "the name is not letters, digits, dots, hyphens and underscores, at most 63;"
        f" y: is not known; the keys are {SAYABLE}; health4: 'on' is not one of up, down, drain;"
        f" sessions: 'many' {COUNT}",
    ),
    ("a", '{"epoch": 1}', "seq: is missing"),
    ("a", '{"seq": 1.0}', f"epoch: is missing; seq: '1.0' {COUNT}"),
    (
        "a",
        '{"edge": "b", "epoch": 1, "seq": "x", "received_ms": -1}',
        f"edge: 'b' is another edge; received_ms: '-1' {COUNT}; seq: 'x' {COUNT}",
    ),
    ("a", '{"edge": 7, "epoch": 1, "seq": 1}', "edge: '7' is another edge"),
]


@pytest.mark.parametrize(("edge", "body", "message"), JSON_ROWS)
def test_faults_in_json(edge: str, body: str, message: str) -> None:
    with pytest.raises(ReportError) as caught:
        read_json(edge, body)
    assert str(caught.value) == f"report of edge {edge!r}: {message}"


@settings(derandomize=True, deadline=None)
@given(
    st.one_of(
        st.binary(),
        st.dictionaries(
            st.sampled_from([*FULL, "health", "other"]),
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers())),
        ).map(lambda told: json.dumps(told).encode()),
    )
)
def test_no_json_raises_anything_else(body: bytes) -> None:
    with contextlib.suppress(ReportError):
        read_json("a", body)
