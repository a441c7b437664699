"""Included master files: our reading against dnspython's reading of the same zone."""

from __future__ import annotations

import dns.name
import dns.rdataset
import dns.zone
import pytest
from gslbtest.examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.errors import Findings
from gslb.model.names import to_text
from gslb.zone import master

ORIGIN = b"\x04live\x07example\0"

FILE = r"""
; a comment, and an empty line

$TTL 1h30m
@       IN SOA  ns1 hostmaster (
                2026112101 ; serial
                1h 10m
        7d 60 )
        NS      ns1             ; the owner is that of the line before
        300 IN  NS ns2.other.example.
        IN 300  NS ns3
ns1     A       192.0.2.1
        AAAA    2001:db8::1
ns3     A       192.0.2.3
$TTL 60
txt     TXT     "a;b" c\;d "e(" "" ( "f" ) ; not this
esc\.aped TXT   "quote \" and \\ and \009"
*.wild  A       192.0.2.4
sub     NS      ns.sub
ns.sub  A       192.0.2.5
https   HTTPS   1 . alpn="h2,h3" port=443
gen     TYPE65280 \# 4 ( 0A00
                0001 )
$ORIGIN deep.live.example.
@       MX      10 mail
mail    2w A    192.0.2.6
$ORIGIN deeper
x       CNAME   mail.deep.live.example.
abs.live.example. 1H A 192.0.2.7
"""


def ours(text: str) -> dict[tuple[str, int], tuple[int, set[bytes]]]:
    findings = Findings()
    found: dict[tuple[str, int], tuple[int, set[bytes]]] = {}
    for record in master.read("f", text.encode(), ORIGIN, 300, findings):
        found.setdefault((to_text(record.owner), record.rtype), (record.ttl_s, set()))[1].add(record.rdata)
    assert findings.errors == []
    return found


def test_as_dnspython_reads_it() -> None:
    zone = dns.zone.from_text(FILE, "live.example.", relativize=False)
    theirs = {
        (name.to_text().lower(), int(found.rdtype)): {record.to_wire() for record in found}
        for name, found in zone.iterate_rdatasets()
    }
    found = ours(FILE)
    assert {key: rdatas for key, (_, rdatas) in found.items()} == theirs
    assert found["ns1.live.example.", 1][0] == 5400
    assert found["live.example.", 2][0] == 5400
    assert found["txt.live.example.", 16][0] == 60
    assert found["mail.deep.live.example.", 1][0] == 1209600
    assert found["abs.live.example.", 1][0] == 3600


TTLS = [
    ("a A 192.0.2.1", 300),  # the zone's
    ("b 60 A 192.0.2.2\na A 192.0.2.1", 60),  # the last one stated, RFC 1035
    ("b 60 A 192.0.2.2\n$TTL 5\na A 192.0.2.1", 5),
    ("$TTL 5\nb 60 A 192.0.2.2\na A 192.0.2.1", 5),
    ("$TTL 1d2h3m4s\na A 192.0.2.1", 93784),
    ("a 0 IN A 192.0.2.1", 0),
    ("a IN 7 A 192.0.2.1", 7),
]


@pytest.mark.parametrize(("text", "ttl_s"), TTLS)
def test_ttls(text: str, ttl_s: int) -> None:
    assert ours(text)["a.live.example.", 1][0] == ttl_s


def test_a_tab_begins_a_line_without_owner_and_line_ends_may_be_dos() -> None:
    assert set(ours("a\tA\t192.0.2.1\r\n\tTXT\tx\r\n")) == {("a.live.example.", 1), ("a.live.example.", 16)}


def test_places_are_those_of_the_type() -> None:
    records = master.read("f", b"a 60 IN TXT x\n  ( MX\n 10 m )\n", ORIGIN, 300, Findings())
    assert [(record.line, record.column, record.text) for record in records] == [(1, 9, '"x"'), (2, 5, "10 m")]


UNREAD = [
    (b"a A 192.0.2.1 \xff", "f:1:15: not UTF-8: byte 0xff"),
    (b"a TXT x\\", "f:1:8: \"\\\\\" ends the line"),
    (b"$ORIGIN", "f:1:1: $ORIGIN takes one value"),
    (b"$TTL 1h 2h", "f:1:1: $TTL takes one value"),
    (b"$ORIGIN b\xc3\xbccher.", 'f:1:9: "bücher." is not a name: other letters than ASCII are written as xn--… (IDNA)'),
    (b"a A ( 192.0.2.1", 'f:1:5: "(" is never closed'),
    (b"a 4w1 A ::", 'f:1:3: "4w1" is not a TTL: seconds up to 2147483647, or with s, m, h, d or w (1h30m)'),
    (b"a IN IN A 192.0.2.1", 'f:1:6: "IN" is not a record type'),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), UNREAD)
def test_messages(content: bytes, message: str) -> None:
    findings = Findings()
    assert master.read("f", content, ORIGIN, 300, findings) == []
    assert [str(error) for error in findings.errors] == [message]


def test_parentheses_that_are_never_closed_cost_a_bounded_time() -> None:
    findings = Findings()
    assert master.read("f", b"a A (\n" * 1000, ORIGIN, 300, findings) == []
    assert len(findings.errors) == 21


WORDS = st.sampled_from(
    ["a", "@", "$ORIGIN", "$TTL", "6", "IN", "A", "TXT", "192.0.2.1", '"x"', '"', "(", ")", ";", "\\", "\n", "\n "]
)  # fmt: skip


@settings(derandomize=True, deadline=None, max_examples=examples(500))
@given(st.lists(WORDS, max_size=30).map(" ".join) | st.text(max_size=60))
def test_any_text_gives_records_and_located_findings_only(text: str) -> None:
    findings = Findings()
    content = text.encode("utf-8", "surrogatepass")
    for record in master.read("f", content, ORIGIN, 300, findings):
        assert 0 <= record.ttl_s < 2**31
    lines = len(text.splitlines()) + 1
    assert all(error.path == "f" and 0 <= error.line <= lines and "\n" not in str(error) for error in findings.errors)
