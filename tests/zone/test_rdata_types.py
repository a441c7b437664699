"""Rdata of every kind of type: our wire bytes against dnspython's own, and read back by it to the same record."""

from __future__ import annotations

import dns.name
import dns.rdata
import pytest
from gslbtest.examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from gslb.zone import rdata

ORIGIN = b"\x04live\x07example\0"
BASE = dns.name.from_text("live.example.")
DIGEST = "ab" * 32

ROWS = [
    ("A", "192.0.2.1"),
    ("AAAA", "2001:DB8::1"),
    ("NS", "ns1"),
    ("CNAME", "Pull.Other.Example."),
    ("PTR", "host"),
    ("SOA", "ns1 hostmaster 1 3600 600 604800 60"),
    ("MX", "10 Mail"),
    ("MX", "0 ."),
    ("TXT", '"v=spf1 -all"'),
    ("TXT", '"two" "strings" "" "with \\"quotes\\" \\009 and \\\\"'),
    ("SRV", "0 5 1935 origin"),
    ("NAPTR", '100 10 "s" "SIP+D2U" "" _sip._udp'),
    ("NAPTR", '100 10 "u" "E2U+sip" "!^.*$!sip:info@example.com!" .'),
    ("CAA", '0 issue "ca.example.net; policy=ev"'),
    ("CAA", '128 iodef "mailto:security@example.com"'),
    ("TLSA", f"3 1 1 {DIGEST}"),
    ("SMIMEA", f"3 1 1 {DIGEST}"),
    ("SSHFP", f"4 2 {DIGEST}"),
    ("DS", f"12345 13 2 {DIGEST}"),
    ("CDS", f"12345 13 2 {DIGEST}"),
    ("DNSKEY", "257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ=="),
    ("OPENPGPKEY", "AQMFBwkL"),
    ("HTTPS", "1 . alpn=h2,h3 port=8443 ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1"),
    ("HTTPS", '1 . alpn="h2,h3" key667="hello\\210qoo"'),
    ("HTTPS", "0 Pull"),
    ("SVCB", "1 origin mandatory=alpn alpn=h2 no-default-alpn"),
    ("LOC", "31 12 0.000 N 121 30 0.000 E 4.00m 1.00m 10000.00m 10.00m"),
    ("HINFO", '"AMD64" "Linux"'),
    ("RP", "Admin text"),
    ("AFSDB", "1 afs"),
    ("URI", '10 1 "https://www.example.com/path"'),
    ("EUI48", "00-00-5e-00-53-2a"),
    ("EUI64", "00-00-5e-ef-10-00-00-2a"),
    ("DHCID", "AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA="),
    ("CERT", "PGP 0 0 AQMFBwkL"),
    ("KX", "10 kx"),
    ("APL", "1:192.0.2.0/24 !2:2001:db8::/32"),
    ("CSYNC", "66 3 A NS AAAA"),
    ("ZONEMD", f"2021052501 1 1 {'cd' * 48}"),
    ("NID", "10 0014:4fff:ff20:ee64"),
    ("L32", "10 10.1.2.0"),
    ("L64", "10 2001:0DB8:1140:1000"),
    ("LP", "10 l64-subnet1"),
    ("SPF", '"v=spf1 +mx"'),
    ("X25", '"311061700956"'),
    ("ISDN", '"150862028003217" "004"'),
    ("RT", "10 relay"),
    ("PX", "50 map822 mapx400"),
    ("GPOS", '"-32.6882" "116.8652" "10.0"'),
    ("NSAP", "0x47.0005.80.005a00.0000.0001.e133.ffffff000161.00"),
    ("HIP", "2 200100107B1A74DF365639CC39F1D578 AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cIvM4p9+LrV4e19WzK00+C rvs"),
    ("CDNSKEY", "0 3 0 AA=="),
    ("IPSECKEY", "10 1 2 192.0.2.38 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ=="),
    ("AMTRELAY", "10 0 1 203.0.113.15"),
    ("NSAP-PTR", "host"),
    ("AVC", '"app-name:WOLFGANG|app-class:OAM"'),
    ("RESINFO", '"qnamemin" "exterr=15,16,17"'),
    ("WALLET", '"BTC" "wallet"'),
    ("DLV", f"12345 13 2 {DIGEST}"),
    ("TYPE65280", "\\# 4 0A000001"),
    ("TYPE65280", "\\# 0"),
    ("TYPE1", "\\# 4 0A000001"),
    ("AAAA", "\\# 16 20010db8000000000000000000000001"),
    ("TXT", "\\# 4 03616263"),
    ("MX", "\\# 8 000a 046d61696c 00"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), ROWS)
def test_as_dnspython_encodes_it(kind: str, text: str) -> None:
    number = rdata.rtype(kind)
    record = dns.rdata.from_text("IN", kind, text, origin=BASE, relativize=False)
    wire = rdata.wire(number, text, ORIGIN)
    assert wire == record.to_wire(origin=BASE)
    assert dns.rdata.from_wire("IN", number, wire, 0, len(wire)) == record


TEXTS = [
    ("plain words", b"\x0bplain words"),
    ("", b"\0"),
    ("back\\slash; and # and 'quotes'", b"\x1eback\\slash; and # and 'quotes'"),
    ("müde", b"\x05m\xc3\xbcde"),
    ("two\nlines", b"\x09two\nlines"),
    ("x" * 255, b"\xff" + b"x" * 255),
    ("x" * 256, b"\xff" + b"x" * 255 + b"\x01x"),
    ("y" * 700, b"\xff" + b"y" * 255 + b"\xff" + b"y" * 255 + b"\xbe" + b"y" * 190),
]


@pytest.mark.parametrize(("text", "wire"), TEXTS)
def test_a_text_without_quotes_is_taken_as_it_stands(text: str, wire: bytes) -> None:
    assert rdata.wire(rdata.TXT, text, ORIGIN) == wire
    assert b"".join(dns.rdata.from_wire("IN", "TXT", wire, 0, len(wire)).strings) == text.encode()


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("TXT", "x" * 66000, '"' + "x" * 57 + '..." is too long: 66259 bytes of rdata, at most 65535'),
        ("TXT", '"' + "x" * 256 + '"', '"\\"' + "x" * 56 + '..." is not a TXT record: string too long'),
        ("MX", "10 bücher", '"10 bücher" holds other letters than ASCII'),
        ("SRV", "0 0 80", '"0 0 80" is not an SRV record: something is missing at the end'),
        ("SRV", "0 0 80 a b", '"0 0 80 a b" is not an SRV record: "b" is more than it takes'),
        ("NS", "a\nb", '"a\\u000ab" goes over several lines'),
        ("TYPE65280", "\\# 65536 " + "00" * 65536, None),
        ("A", "\\# 3 000000", '"\\\\# 3 000000" is not an A record: text input is malformed'),
        (
            "TYPE9999",
            "A",
            '"A" is not a TYPE9999 record: a type without a form of its own is written \\# LENGTH HEX (RFC 3597)',
        ),
    ],
)  # fmt: skip
def test_reasons(kind: str, text: str, reason: str | None) -> None:
    with pytest.raises(ValueError, match=r'^"') as raised:
        rdata.wire(rdata.rtype(kind), text, ORIGIN)
    assert reason is None or str(raised.value) == reason


@pytest.mark.parametrize(
    ("kind", "text", "target"),
    [
        ("NS", "NS1", b"\x03ns1" + ORIGIN),
        ("CNAME", "a.", b"\x01a\0"),
        ("MX", "10 Mail", b"\x04mail" + ORIGIN),
        ("SRV", "0 0 80 x", b"\x01x" + ORIGIN),
        ("PTR", "x", None),
    ],
)
def test_targets(kind: str, text: str, target: bytes | None) -> None:
    number = rdata.rtype(kind)
    assert rdata.target(number, rdata.wire(number, text, ORIGIN)) == target


KINDS = sorted({row[0] for row in ROWS})


@settings(derandomize=True, deadline=None, max_examples=examples(600))
@given(st.sampled_from(KINDS), st.text(max_size=40) | st.sampled_from([row[1] for row in ROWS]))
def test_any_text_is_wire_or_one_clear_refusal(kind: str, text: str) -> None:
    number = rdata.rtype(kind)
    reason = ""
    wire = None
    try:
        wire = rdata.wire(number, text, ORIGIN)
    except ValueError as error:
        reason = f"{type(error).__name__}: {error}"
    if wire is None:
        assert reason.startswith('ValueError: "')
        assert "\n" not in reason
    else:
        assert len(wire) <= 65535
        dns.rdata.from_wire("IN", number, wire, 0, len(wire))
