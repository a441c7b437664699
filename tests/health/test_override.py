"""Overrides as JSON: what is accepted, and the exact message of what is not."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.health.override import (
    MAX_SPAN_S,
    MAX_TEXT,
    OverrideError,
    mapping,
    read,
    text,
    time_s,
    time_text,
    view_pattern,
)
from gslb.model.override import Override, Target

T = 1_795_530_600  # 2026-11-24T14:30:00Z
DRAIN: dict[str, Any] = {
    "id": "fra-works", "kind": "drain", "target": {"pop": "fra"}, "from": "2026-11-24T14:30:00Z",
    "until": "2026-11-24T16:30:00Z", "over_s": 600, "author": "ana", "reason": "new switches",
}  # fmt: skip
RAMP: dict[str, Any] = {**DRAIN, "id": "r1", "kind": "ramp", "target": {"edge": "fra-1"}, "value": 250}
PIN: dict[str, Any] = {
    "id": "p1", "kind": "pin", "target": {"service": "Pull.live.example", "view": "cn|sh|as4134"}, "from": T,
    "until": T + 60, "value": ["fra-1", "fra-2"], "author": "ana", "reason": "a match",
}  # fmt: skip

READ = [
    (DRAIN, Override("fra-works", "drain", Target(pop="fra"), T, T + 7200, 600, 0, (), "ana", "new switches")),
    (RAMP, Override("r1", "ramp", Target(edge="fra-1"), T, T + 7200, 600, 250, (), "ana", "new switches")),
    (
        PIN,
        Override(
            "p1", "pin", Target(service="pull.live.example.", view="CN|SH|AS4134"), T, T + 60, 0, 0,
            ("fra-1", "fra-2"), "ana", "a match",
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("told", "wanted"), READ, ids=["drain", "ramp", "pin"])
def test_what_is_read(told: dict[str, Any], wanted: Override) -> None:
    assert read(told) == read(json.dumps(told)) == read(json.dumps(told).encode()) == wanted
    assert read(text(wanted)) == read(mapping(wanted)) == wanted


def test_the_text_is_this() -> None:
    assert text(READ[0][1]) == (
        '{"id":"fra-works","kind":"drain","target":{"pop":"fra"},"from":"2026-11-24T14:30:00Z",'
        '"until":"2026-11-24T16:30:00Z","over_s":600,"value":null,"author":"ana","reason":"new switches"}'
    )


SAME: list[dict[str, Any]] = [
    # what differs from DRAIN, and means the same
    {"value": None},
    {"from": T},
    {"from": "2026-11-24T15:30:00+01:00"},
    {"until": "2026-11-24T14:00:00-02:30"},
    {"target": {"pop": "fra", "edge": "", "service": "", "view": ""}},
    {"target": {"pop": "fra", "view": "||"}},
]


@pytest.mark.parametrize("changes", SAME)
def test_other_spellings(changes: dict[str, Any]) -> None:
    assert read({**DRAIN, **changes}) == READ[0][1]


def test_a_drain_may_be_limited() -> None:
    target = {"edge": "fra-1", "service": "*.pull.live.example.", "view": "CN||"}
    found = read({**DRAIN, "target": target})
    assert found.target == Target(edge="fra-1", service="*.pull.live.example.", view="CN||")


def test_the_author_may_be_absent_and_a_beginning_be_the_end() -> None:
    told = {key: value for key, value in DRAIN.items() if key != "author"} | {"until": T, "from": T}
    found = read(told)
    assert (found.author, found.from_s, found.until_s) == ("", T, T)


NAME = "1 to 63 letters, digits, dots, hyphens and underscores, beginning with a letter or digit"
ID = "is not 1 to 63 of a–z, 0–9, dot, hyphen and underscore, not beginning with a sign"
TIME = "is not a time, such as 2026-11-24T14:30:00Z"
VIEW = "is not country|region|isp, such as CN|SH|chinanet, CN|| or ||AS4134; a region needs its country"
KEYS = "id, kind, target, from, until, over_s, value, author, reason"
SPAN = "is not a whole number from 0 to 7776000"
MILLI = "is not a whole number from 0 to 1000, in thousandths of weight"
GONE: Any = object()

BAD: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    # a good override, what differs from it (GONE: absent), key and reason of each fault
    (DRAIN, {"id": GONE}, ["id: is missing"]),
    (DRAIN, {"id": "Fra"}, [f"id: 'Fra' {ID}"]),
    (DRAIN, {"id": "-a"}, [f"id: '-a' {ID}"]),
    (DRAIN, {"id": "a" * 64}, [f"id: '{'a' * 40}…' {ID}"]),
    (DRAIN, {"id": "a\n"}, [f"id: 'a\\n' {ID}"]),
    (DRAIN, {"id": 5}, [f"id: 5 {ID}"]),
    (DRAIN, {"kind": "halt"}, ["kind: 'halt' is not one of drain, ramp, pin"]),
    (DRAIN, {"kind": ["drain"]}, ["kind: a list is not one of drain, ramp, pin"]),
    (DRAIN, {"target": GONE}, ["target: null is not a mapping of edge or pop, service and view"]),
    (DRAIN, {"target": "fra"}, ["target: 'fra' is not a mapping of edge or pop, service and view"]),
    (DRAIN, {"target": {}}, ["target: a drain has either an edge or a pop"]),
    (RAMP, {"target": {"edge": "a", "pop": "b"}}, ["target: a ramp has either an edge or a pop"]),
    (DRAIN, {"target": {"pop": "fra", "region": "SH"}},
     ["target: 'region' is no key; the keys are edge, pop, service, view"]),
    (DRAIN, {"target": {"pop": 5}}, ["target.pop: 5 is not a text"]),
    (DRAIN, {"target": {"pop": "a b"}}, [f"target.pop: 'a b' is not a name: {NAME}"]),
    (DRAIN, {"target": {"pop": "fra", "service": "a b"}},
     ["target.service: 'a b' is not the name of a service, such as pull.live.example."]),
    (DRAIN, {"target": {"pop": "fra", "view": "CN"}}, [f"target.view: 'CN' {VIEW}"]),
    (DRAIN, {"target": {"pop": "fra", "view": "XX||"}}, [f"target.view: 'XX||' {VIEW}"]),
    (DRAIN, {"target": {"pop": "fra", "view": "|SH|"}}, [f"target.view: '|SH|' {VIEW}"]),
    (DRAIN, {"target": {"pop": "fra", "view": "CN|SHAN|"}}, [f"target.view: 'CN|SHAN|' {VIEW}"]),
    (DRAIN, {"target": {"pop": "fra", "view": "CN|SH|a b"}}, [f"target.view: 'CN|SH|a b' {VIEW}"]),
    (DRAIN, {"from": GONE}, ["from: is missing"]),
    (DRAIN, {"from": "now"}, [f"from: 'now' {TIME}"]),
    (DRAIN, {"from": "2026-11-24T14:30:00"}, [f"from: '2026-11-24T14:30:00' {TIME}"]),
    (DRAIN, {"from": "2026-02-30T14:30:00Z"}, [f"from: '2026-02-30T14:30:00Z' {TIME}"]),
    (DRAIN, {"from": "2026-11-24T14:30:00.5Z"}, [f"from: '2026-11-24T14:30:00.5Z' {TIME}"]),
    (DRAIN, {"from": "1969-12-31T23:59:59Z"}, [f"from: '1969-12-31T23:59:59Z' {TIME}"]),
    (DRAIN, {"from": -1}, [f"from: -1 {TIME}"]),
    (DRAIN, {"from": True}, [f"from: true {TIME}"]),
    (DRAIN, {"from": 1.5}, [f"from: 1.5 {TIME}"]),
    (DRAIN, {"until": 10**15}, [f"until: 1000000000000000 {TIME}"]),
    (DRAIN, {"until": T - 1}, ["until: is before from"]),
    (DRAIN, {"until": T + MAX_SPAN_S + 1}, ["until: is more than 90 days after from"]),
    (DRAIN, {"over_s": -1}, [f"over_s: -1 {SPAN}"]),
    (DRAIN, {"over_s": MAX_SPAN_S + 1}, [f"over_s: 7776001 {SPAN}"]),
    (DRAIN, {"over_s": "600"}, [f"over_s: '600' {SPAN}"]),
    (DRAIN, {"over_s": False}, [f"over_s: false {SPAN}"]),
    (PIN, {"over_s": 5}, ["over_s: 5 is not 0: a pin acts at once"]),
    (DRAIN, {"value": 0}, ["value: 0 is too much: a drain has none"]),
    (RAMP, {"value": GONE}, [f"value: null {MILLI}"]),
    (RAMP, {"value": 1001}, [f"value: 1001 {MILLI}"]),
    (RAMP, {"value": 0.25}, [f"value: 0.25 {MILLI}"]),
    (RAMP, {"value": "25%"}, [f"value: '25%' {MILLI}"]),
    (PIN, {"value": "fra-1"}, ["value: 'fra-1' is not a list of 1 to 16 edges"]),
    (PIN, {"value": []}, ["value: a list is not a list of 1 to 16 edges"]),
    (PIN, {"value": ["a", "b c", "a", 5]},
     [f"value: 'b c' is not a name: {NAME}", "value: 'a' stands twice in it", f"value: 5 is not a name: {NAME}"]),
    (PIN, {"target": {"edge": "a", "service": "s.example."}}, ["target.edge: a pin has none; value lists its edges"]),
    (PIN, {"target": {"view": "CN||"}}, ["target.service: is missing"]),
    (DRAIN, {"author": "a" * 65}, [f"author: '{'a' * 40}…' is not a text of at most 64 printable characters"]),
    (DRAIN, {"author": "a\x07"}, ["author: 'a\\x07' is not a text of at most 64 printable characters"]),
    (DRAIN, {"reason": GONE}, ["reason: is missing"]),
    (DRAIN, {"reason": " "}, ["reason: is missing"]),
    (DRAIN, {"reason": "a\nb"}, ["reason: 'a\\nb' is not a text of at most 256 printable characters"]),
    (DRAIN, {"reason": "a" * 257}, [f"reason: '{'a' * 40}…' is not a text of at most 256 printable characters"]),
    (DRAIN, {"reason": None}, ["reason: null is not a text of at most 256 printable characters"]),
    (DRAIN, {"for": "2h"}, [f"'for' is no key; the keys are {KEYS}"]),
    (
        DRAIN,
        {"kind": "?", "from": "x", "until": GONE, "over_s": None, "reason": ""},
        [
            "kind: '?' is not one of drain, ramp, pin", f"from: 'x' {TIME}", "until: is missing",
            f"over_s: null {SPAN}", "reason: is missing",
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("good", "changes", "reasons"), BAD)
def test_faults(good: dict[str, Any], changes: dict[str, Any], reasons: list[str]) -> None:
    told = {key: value for key, value in {**good, **changes}.items() if value is not GONE}
    with pytest.raises(OverrideError) as caught:
        read(told)
    named = "" if "id" in changes else f" {good['id']!r}"
    assert str(caught.value) == f"override{named}: " + "; ".join(reasons)
    assert [f"{key}: {reason}" if key else reason for key, reason in caught.value.faults] == reasons
    assert caught.value.id == ("" if "id" in changes else good["id"])


TEXTS = [
    ("{", "override: not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    (b"\xff", "override: not JSON: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ("[]", "override: a list is not a mapping"),
    ("5", "override: 5 is not a mapping"),
    ('{"id": "a", "id": "b"}', "override: not JSON: a key stands twice in a mapping"),
    (" " * (MAX_TEXT + 1), "override: the text has more than 16384 characters"),
    ('{"a":' * 3000, "override: not JSON: nested too deep"),
]


@pytest.mark.parametrize(("source", "message"), TEXTS)
def test_texts_that_are_none(source: str | bytes, message: str) -> None:
    with pytest.raises(OverrideError) as caught:
        read(source)
    assert str(caught.value) == message


@pytest.mark.parametrize(("time", "wanted"), [(0, "1970-01-01T00:00:00Z"), (253_402_300_799, "9999-12-31T23:59:59Z")])
def test_times(time: int, wanted: str) -> None:
    assert time_text(time) == wanted
    assert time_s(wanted) == time_s(time) == time


def test_a_view_pattern_that_matches_anything_is_none() -> None:
    assert view_pattern("||") == ""
    assert view_pattern("||chinanet") == "||chinanet"


names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,62}", fullmatch=True)
words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=64)
limits = {
    "service": st.sampled_from(["", "pull.live.example.", "*.a.example."]),
    "view": st.sampled_from(["", "CN||", "CN|SH|", "||AS4134", "DE|BE|any.net"]),
}
overrides = st.one_of(
    st.builds(
        Override, id=names, kind=st.just("drain"), target=st.builds(Target, edge=names, **limits),
        from_s=st.integers(T - MAX_SPAN_S, T), until_s=st.just(T), over_s=st.integers(0, MAX_SPAN_S), author=words,
        reason=words.filter(bool),
    ),
    st.builds(
        Override, id=names, kind=st.just("ramp"), target=st.builds(Target, pop=names, **limits), from_s=st.just(T),
        until_s=st.integers(T, T + MAX_SPAN_S), value_milli=st.integers(0, 1000), reason=words.filter(bool),
    ),
    st.builds(
        Override, id=names, kind=st.just("pin"),
        target=st.builds(Target, service=st.just("a.example."), view=limits["view"]), from_s=st.just(T),
        until_s=st.integers(T, T + MAX_SPAN_S), reason=words.filter(bool),
        edges=st.lists(names, min_size=1, max_size=16, unique=True).map(tuple),
    ),
)  # fmt: skip


@pytest.mark.no_cover
@settings(derandomize=True, deadline=None)
@given(overrides)
def test_what_is_written_is_read(override: Override) -> None:
    assert read(text(override)) == override


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=50), st.sampled_from([*DRAIN])),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from([*DRAIN, "x"]), inner)),
    max_leaves=12,
)


@pytest.mark.no_cover
@settings(derandomize=True, deadline=None)
@given(
    st.one_of(
        st.text(),
        st.binary(),
        st.dictionaries(st.one_of(st.sampled_from([*DRAIN]), st.text(max_size=5)), anything),
    )
)
def test_nothing_else_is_ever_raised(source: Any) -> None:
    with contextlib.suppress(OverrideError):
        read(source)
    if isinstance(source, dict):
        for good in (DRAIN, RAMP, PIN):
            with contextlib.suppress(OverrideError):
                read({**good, **source})
