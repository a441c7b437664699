"""YAML into the tree: text stays text, every part knows its place, and what editors leave in files is taken."""

from __future__ import annotations

import pytest

from gslb.errors import Findings
from gslb.zone import parse as parsing
from gslb.zone.nodes import Document, Items, Text, quote
from gslb.zone.parse import parse


def tree(content: str | bytes) -> Document:
    findings = Findings()
    document = parse("f", content.encode() if isinstance(content, str) else content, findings)
    assert findings.errors == []
    assert not document.broken
    return document


@pytest.mark.parametrize(
    "written",
    [
        "no",
        "NO",
        "yes",
        "on",
        "Off",
        "true",
        "null",
        "~",
        "010",
        "0x1f",
        "1_000",
        "12:30",
        "1e3",
        ".inf",
        "2001-12-14",
        "=",
    ],
)
def test_scalars_stay_text(written: str) -> None:
    root = tree(f"a: {written}\n{written}: b\n").root
    assert root == {"a": written, written: "b"}


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("a: {b: [c, {d: e}]}", {"a": {"b": ["c", {"d": "e"}]}}),
        ('a: "x\\ty"', {"a": "x\ty"}),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ("a: x # no\n", {"a": "x"}),
        ("a: !!str 3\n", {"a": "3"}),
        ("a: &x {b: c}\nd: *x\n*x : y\n", None),
        ("x: &x {b: c}\nd: *x\ne: &y z\n*y : w\n", {"x": {"b": "c"}, "d": {"b": "c"}, "e": "z", "z": "w"}),
        ("\ufeffa: x\n", {"a": "x"}),
        ("a: x\r\nb: y\r\n", {"a": "x", "b": "y"}),
        ("---\na: x\n...\n", {"a": "x"}),
        ("%YAML 1.1\n---\na: x\n", {"a": "x"}),
    ],
)
def test_content(content: str, wanted: object) -> None:
    if wanted is None:
        findings = Findings()
        parse("f", content.encode(), findings)
        assert [error.reason for error in findings.errors] == ["a key must be a text"]
    else:
        assert tree(content).root == wanted


@pytest.mark.parametrize("key", ["? [d, e]\n: f", "? {d: e}\n: {f: g}", "? [d]"])
def test_the_value_of_a_key_that_is_no_text_is_dropped(key: str) -> None:
    findings = Findings()
    root = parse("f", f"a: {{b: c}}\n{key}\nh: i\n".encode(), findings).root
    assert [str(error) for error in findings.errors] == ["f:2:3: a key must be a text"]
    assert root == {"a": {"b": "c"}, "h": "i"}


def test_places() -> None:
    document = tree("zone: x\nservices:\n  pull: {pool: p, ttl: [1,\n    2]}\n")
    assert document.place("services", "pull", "ttl", 1) == (4, 5)
    assert document.place("services", "pull", "ttl", 9) == (3, 24)
    assert document.place("services", "push") == (3, 3)
    assert document.key_place("services", "pull") == (3, 3)
    assert document.key_place("services", "pull", "ttl") == (3, 19)
    assert document.key_place("services", "pull", "ttl", 0) == (3, 25)
    assert document.key_place() == (1, 1)
    assert document.place(0) == (1, 1)
    value = document.root["services"]["pull"]["ttl"]
    assert isinstance(value, Items)
    assert [(item.line, item.column, item.plain) for item in value] == [(3, 25, True), (4, 5, True)]


BYTES = [
    (b"zone: a\nttl: \xff\n", "f:2:6: not UTF-8: byte 0xff"),
    ("zone: é".encode("latin-1"), "f:1:7: not UTF-8: byte 0xe9"),
    ("zone: a".encode("utf-16"), "f:1:1: not UTF-8: byte 0xff"),
    (b"zone: a\n\x00: b", "f:2:1: control character U+0000 is not text"),
    (b"zone: a\r\nb: c\x07", "f:2:5: control character U+0007 is not text"),
    (b"zone:\n\tname: a\n", "f:2:1: YAML: a tab cannot indent; use spaces"),
    (b"", "f:0:0: the file is empty"),
    (b"# only a comment\n", "f:0:0: the file is empty"),
    (b"---\n", "f:0:0: the file is empty"),
    (b"just a text\n", "f:1:1: a file holds keys and values, not a list or a text"),
    (b"%YAML 3.0\n---\na: 1", "f:1:1: YAML: found incompatible YAML document"),
    (b'a: "\\q"\n', "f:1:5: YAML: found unknown escape character (while parsing a quoted scalar)"),
    (b'a: "\\ud800"\n', "f:1:7: YAML: found invalid Unicode character escape code (while parsing a quoted scalar)"),
    (b"[a, b]: c\n", "f:1:1: a key must be a text"),
    (b"{a: b, *x : c}\n", 'f:1:8: alias "x" names no anchor above it'),
    (b"a: [*x, b]\n", 'f:1:5: alias "x" names no anchor above it'),
]


@pytest.mark.parametrize(("content", "message"), BYTES)
def test_bytes_that_are_no_tree(content: bytes, message: str) -> None:
    findings = Findings()
    parse("f", content, findings)
    assert [str(error) for error in findings.errors] == [message]


def test_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "MAX_BYTES", 10)
    findings = Findings()
    assert parse("f", b"zone: long.example.", findings).broken
    assert [str(error) for error in findings.errors] == ["f:0:0: the file has 19 bytes; at most 10 are read"]


def test_depth_is_bounded_where_a_recursion_would_be_fatal() -> None:
    findings = Findings()
    assert parse("f", b"a: " + b"[" * 100, findings).broken
    assert [str(error) for error in findings.errors] == ["f:1:27: nested deeper than 24 levels"]
    findings = Findings()
    assert parse(
        "f", b"a: " + b"[" * 100_000, findings
    ).broken  # where libyaml may give up before it tells of the first
    assert [error.reason for error in findings.errors] == ["nested deeper than 24 levels"]


def test_depth_counts_through_aliases() -> None:
    levels = "".join(f"a{i}: &a{i} [[*a{i - 1}]]\n" for i in range(1, 14))
    findings = Findings()
    parse("f", f"a0: &a0 [x]\n{levels}".encode(), findings)
    assert [error.reason for error in findings.errors] == ["nested deeper than 24 levels"]


def test_reading_resumes_after_each_syntax_error() -> None:
    findings = Findings()
    document = parse("f", b"a: b: c\nb: 1\nc: [1, 2]]\nd: 2\ne: }\nf: 3\nb: 4\n", findings)
    assert [(error.line, error.column) for error in findings.errors] == [(1, 5), (3, 10), (5, 4), (7, 1)]
    assert {key: document.root[key] for key in "bdf"} == {"b": "1", "d": "2", "f": "3"}


def test_syntax_errors_are_bounded_too() -> None:
    findings = Findings()
    parse("f", b"a: }\n" * 1000, findings)
    assert 20 <= len(findings.errors) <= 25


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Text("a", plain=True), '"a"'),
        (Text("", plain=True), "an empty value"),
        (Text(""), '""'),
        (Text('a"b\\c\n\u202e'), '"a\\"b\\\\c\\u000a\\u202e"'),
        (Text("x" * 61), '"' + "x" * 57 + '..."'),
        (["a"], "a list"),
        ({"a": 1}, "a mapping"),
    ],
)
def test_quote(value: object, shown: str) -> None:
    assert quote(value) == shown
