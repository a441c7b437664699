"""Names in presentation form: ours against dnspython's reading of them."""

from __future__ import annotations

import dns.exception
import dns.name
import pytest
from gslbtest.examples import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gslb.model.names import ROOT, to_text
from gslb.zone import names

ORIGIN = b"\x04live\x07example\0"

ROWS = [
    ("@", ORIGIN),
    (".", ROOT),
    ("www", b"\x03www" + ORIGIN),
    ("WWW", b"\x03WWW" + ORIGIN),
    ("www.", b"\x03www\0"),
    ("a.b", b"\x01a\x01b" + ORIGIN),
    ("*.a", b"\x01*\x01a" + ORIGIN),
    ("a\\.b", b"\x03a.b" + ORIGIN),
    ("a\\046b", b"\x03a.b" + ORIGIN),
    ("a\\000b", b"\x03a\0b" + ORIGIN),
    ("a\\@b", b"\x03a@b" + ORIGIN),
    ("_tcp", b"\x04_tcp" + ORIGIN),
    ("a+b", b"\x03a+b" + ORIGIN),
    ("x" * 63, b"\x3f" + b"x" * 63 + ORIGIN),
]


@pytest.mark.parametrize(("text", "wire"), ROWS)
def test_wire(text: str, wire: bytes) -> None:
    assert names.wire(text, ORIGIN) == wire
    assert names.owner(text, ORIGIN) == wire.lower()


@pytest.mark.parametrize(
    "text", ["", "..", "a..b", ".a", "a\\", "a\\25", "a\\256", "a b", "a\tb", "ü", "x" * 64, "a." * 127 + "a"]
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(ValueError, match=r'^"'):
        names.wire(text, ORIGIN)


@settings(derandomize=True, deadline=None, max_examples=examples(500))
@given(st.text(alphabet="ab.\\0123 @*-_A\"'()", max_size=40))
@example("a" * 63 + ".")
@example("\\@")
def test_as_dnspython_reads_it(text: str) -> None:
    try:
        wanted = dns.name.from_text(text, dns.name.from_text("live.example.")).to_wire() if text else None
    except dns.exception.DNSException:
        wanted = None
    try:
        found = names.wire(text, ORIGIN)
    except ValueError:
        found = None
    assert found == wanted or (found is None and " " in text)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=20), max_size=8))
def test_text_and_back(labels: list[bytes]) -> None:
    name = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    assert names.wire(to_text(name), ORIGIN) == name
