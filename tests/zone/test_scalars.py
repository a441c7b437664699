"""What texts mean. The texts that are refused stand in tests/zone/bad/."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gslb.model.geography import CONTINENT_OF
from gslb.zone import scalars
from gslb.zone.nodes import Items, Text

GOOD = [
    (scalars.seconds, "0", 0),
    (scalars.seconds, "300", 300),
    (scalars.seconds, "5m", 300),
    (scalars.seconds, "1h", 3600),
    (scalars.seconds, "1d", 86400),
    (scalars.seconds, "30s", 30),
    (scalars.seconds, "2147483647", 2**31 - 1),
    (scalars.instant, "1970-01-01T00:00:01Z", 1),
    (scalars.instant, "1970-01-01T08:00:00+08:00", 0),
    (scalars.instant, "1970-01-01 00:01:00z", 60),
    (scalars.isp_name, "as4134", "AS4134"),
    (scalars.isp_name, "chinanet", "chinanet"),
    (scalars.fraction, "0", 0.0),
    (scalars.fraction, "0.3", 0.3),
    (scalars.fraction, "30%", 0.3),
    (scalars.fraction, "12.5 %", 0.125),
    (scalars.fraction, "100%", 1.0),
    (scalars.rate, "40Gbps", 40_000_000_000),
    (scalars.rate, "1.5 Tbps", 1_500_000_000_000),
    (scalars.rate, "0.1kbps", 100),
    (scalars.rate, "9600bps", 9600),
    (scalars.rate, "3.1Mbps", 3_100_000),
    (scalars.country, "no", "NO"),
    (scalars.country, "NO", "NO"),
    (scalars.region, "sh", "SH"),
    (scalars.region, "01", "01"),
    (scalars.region, "NSW", "NSW"),
    (scalars.boolean, "yes", True),
    (scalars.boolean, "False", False),
    (scalars.address4, "192.0.2.1", bytes((192, 0, 2, 1))),
    (scalars.address6, "2001:DB8::1", bytes.fromhex("20010db8000000000000000000000001")),
    (scalars.prefix, "192.0.2.7", "192.0.2.7/32"),
    (scalars.prefix, "2001:DB8::/32", "2001:db8::/32"),
    (scalars.asn, "4134", 4134),
    (scalars.asn, "as4134", 4134),
    (scalars.isp, "as4134", "AS4134"),
    (scalars.isp, "any", "any"),
    (scalars.isp, "china-net.2", "china-net.2"),
    (scalars.identifier, "sha-ct", "sha-ct"),
    (scalars.identifier, "010", "010"),
    (scalars.whole(-5, 5), "-5", -5),
    (scalars.number(-90, 90), "-31.25", -31.25),
    (scalars.one_of("open", "closed"), "closed", "closed"),
]


@pytest.mark.parametrize(("read", "text", "value"), GOOD)
def test_meaning(read: Callable[[object], object], text: str, value: object) -> None:
    assert read(Text(text)) == value


BAD = [
    (scalars.rate, "40gbps"),
    (scalars.rate, "40 GBps"),
    (scalars.rate, "1e9bps"),
    (scalars.rate, "0.0001kbps"),
    (scalars.rate, "99999999999Tbps"),
    (scalars.seconds, "1h30m"),
    (scalars.seconds, "３00"),
    (scalars.fraction, ".3"),
    (scalars.fraction, "1.01"),
    (scalars.number(0, 1), "nan"),
    (scalars.number(0, 1), "inf"),
    (scalars.whole(0, 9), "+1"),
    (scalars.whole(0, 9), "1.0"),
    (scalars.country, "XX"),
    (scalars.country, ""),
    (scalars.address4, "192.0.2.01"),
    (scalars.address4, "255.255.255.255"),
    (scalars.address4, "224.0.0.1"),
    (scalars.address6, "::"),
    (scalars.prefix, "192.0.2.0/33"),
    (scalars.prefix, "fe80::%1/64"),
    (scalars.identifier, "-a"),
    (scalars.identifier, "a" * 64),
    (scalars.identifier, "a|b"),
    (scalars.asn, "AS0"),
    (scalars.isp, "a|b"),
]


@pytest.mark.parametrize(("read", "text"), BAD)
def test_refusals_quote_the_text(read: Callable[[object], object], text: str) -> None:
    with pytest.raises(ValueError, match="^" + '"'):
        read(Text(text))


@pytest.mark.parametrize("read", [row[0] for row in GOOD] + [scalars.text, scalars.rdata_text, scalars.listed])
@pytest.mark.parametrize("value", [{"a": 1}, None, Text("", plain=True)])
def test_what_is_no_text_is_refused(read: Callable[[object], object], value: object) -> None:
    with pytest.raises(ValueError, match=r"a mapping|an empty value"):
        read(value)


def test_texts_keep_their_place() -> None:
    read = scalars.isp(Text("as1", 3, 4))
    assert (read, read.line, read.column) == ("AS1", 3, 4)
    assert scalars.identifier(Text("a", 5, 6)).line == 5


def test_a_value_alone_is_a_list_of_one() -> None:
    listed = scalars.listed(Text("a", 2, 3))
    assert isinstance(listed, Items)
    assert (listed, listed.line, listed.column) == (["a"], 2, 3)
    assert scalars.listed(listed) is listed


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("tll", ["ttl", "pool"], '; did you mean "ttl"?'),
        ("lniks", ["links"], '; did you mean "links"?'),
        ("AFFINITY", ["affinity"], '; did you mean "affinity"?'),
        ("owner", ["zone", "pools"], ""),
        ("v5", ["v4", "v6"], ""),
        ("a", [], ""),
        (["a"], ["a"], ""),
    ],
)
def test_did_you_mean(text: object, words: list[str], hint: str) -> None:
    assert scalars.did_you_mean(text, words) == hint


def test_every_country_has_a_continent() -> None:
    assert all(scalars.country(Text(code.lower())) == code for code in CONTINENT_OF)
    assert len(CONTINENT_OF) == 250
