"""The CSV tables: every form that is read, and every fault with its exact message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gslb.errors import Findings
from gslb.geo import sheet
from gslb.geo.address import format_prefix
from gslb.geo.isps import IspNames
from gslb.geo.resolvers import ResolverShare
from gslb.geo.tables import read_demand, read_networks, read_resolvers, read_rtt
from gslb.model.demand import Demand
from gslb.model.rtt import Rtt
from gslb.model.view import View

HEADER = "prefix,isp,asn,country,region,lat,lon\n"


def networks(text: str | bytes, isps: IspNames) -> tuple[dict[str, View], list[str], list[str]]:
    """Facts by prefix, errors and warnings of a table t.csv."""
    findings = Findings()
    facts = read_networks("t.csv", text if isinstance(text, bytes) else text.encode(), isps, findings)
    found = {
        format_prefix(bits, start, length): facts.table.view(fact)
        for bits in (32, 64)
        for prefixes in [facts.family(bits)]
        for start, length, fact in zip(
            prefixes.starts.tolist(), prefixes.lens.tolist(), prefixes.facts.tolist(), strict=True
        )
    }
    return found, [str(error) for error in findings.errors], [str(warning) for warning in findings.warnings]


@pytest.mark.parametrize(
    ("row", "fact"),
    [
        ("192.0.2.0/24,,,,,,", View()),
        ("192.0.2.0/24,chinanet,,,,,", View(isp="chinanet")),
        ("192.0.2.0/24,,4134,,,,", View(isp="chinanet", asn=4134)),
        ("192.0.2.0/24,,64500,,,,", View(isp="AS64500", asn=64500)),
        ("192.0.2.0/24,AS64500,,,,,", View(isp="AS64500", asn=64500)),
        ("192.0.2.0/24,AS4812,,,,,", View(isp="chinanet", asn=4812)),
        ("192.0.2.0/24,AS4812,4134,,,,", View(isp="chinanet", asn=4134)),
        ("192.0.2.0/24,chinanet,64500,,,,", View(isp="chinanet", asn=64500)),
        ("192.0.2.0/24,,4294967295,,,,", View(isp="AS4294967295", asn=4294967295)),
        ("192.0.2.0/24,,,NO,03,,", View(country="NO", region="03", continent="EU")),
        ("192.0.2.0/24,,,CN,SH,31.2,121.5", View(country="CN", region="SH", continent="AS", lat=31.2, lon=121.5)),
        ("192.0.2.0/24,,,,,-90,+180", View(lat=-90.0, lon=180.0)),
        ("192.0.2.0/24,,,,,0,0", View(lat=0.0, lon=0.0)),
    ],
)
def test_facts(row: str, fact: View, isps: IspNames) -> None:
    assert networks(HEADER + row, isps) == ({"192.0.2.0/24": fact}, [], [])


CHINANET = {"192.0.2.0/24": View(isp="chinanet"), "2001:db8::/32": View(isp="unicom")}


@pytest.mark.parametrize(
    "text",
    [
        "prefix,isp\n192.0.2.0/24,chinanet\n2001:db8::/32,unicom\n",
        "prefix,isp\n192.0.2.0/24,chinanet\n2001:db8::/32,unicom",
        "prefix,isp\r\n192.0.2.0/24,chinanet\r\n2001:db8::/32,unicom\r\n",
        "\ufeffprefix,isp\n192.0.2.0/24,chinanet\n2001:db8::/32,unicom\n",
        "isp,prefix\nchinanet,192.0.2.0/24\nunicom,2001:db8::/32\n",
        "isp,lat,prefix,lon\nchinanet,,192.0.2.0/24,\nunicom,,2001:db8::/32,\n",
        'prefix,isp\n"192.0.2.0/24",chinanet\n2001:db8::/32,"unicom"\n',
        '"prefix","isp"\n"192.0.2.0/24","chinanet"\n"2001:db8::/32","unicom"\n',
        "prefix,isp\n\n192.0.2.0/24,chinanet\n\n\n2001:db8::/32,unicom\n\n",
        "prefix, isp\n 192.0.2.0/24 ,\tchinanet\n2001:db8::/32, unicom \n",
        "prefix,isp\n192.0.2.0/24,chinanet\n2001:db8::/32,unicom\n192.0.2.0/24,chinanet\n",
    ],
)
def test_forms_of_a_file(text: str, isps: IspNames) -> None:
    assert networks(text, isps) == (CHINANET, [], [])


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        # the file and its header
        ("", ["1:1: no header: the first line must name the columns, of prefix,isp,asn,country,region,lat,lon"]),
        ("\n\n", ["1:1: no header: the first line must name the columns, of prefix,isp,asn,country,region,lat,lon"]),
        (
            "192.0.2.0/24,chinanet\n",
            ["1:1: no header: the first line must name the columns, of prefix,isp,asn,country,region,lat,lon"],
        ),
        (
            '"prefix\n',
            ["1:1: no header: the first line must name the columns, of prefix,isp,asn,country,region,lat,lon"],
        ),
        ("isp,asn\n", ["1:1: column 'prefix' is missing"]),
        ("prefix,prefix\n", ["1:8: column 'prefix' is named twice"]),
        (
            "prefix,colour\n",
            ["1:8: unknown column 'colour'; known are prefix, isp, asn, country, region, lat, lon"],
        ),
        (
            "Prefix,isp,contry\n192.0.2.0/24,x,y\n",
            [
                "1:1: unknown column 'Prefix'; did you mean 'prefix'?",
                "1:12: unknown column 'contry'; did you mean 'country'?",
                "2:14: isp: 'x' is neither in isps.yaml nor AS<number>",
                "2:16: country: 'y' is not an ISO 3166-1 country",
            ],
        ),
        (b"prefix,isp\n192.0.2.0/24,\xff\n", ["2:14: not UTF-8 text"]),
        # rows
        (HEADER + "192.0.2.0/24\n", ["2:1: 1 column, the header names 7"]),
        (HEADER + "192.0.2.0/24,,,,,,,\n", ["2:1: 8 columns, the header names 7"]),
        (HEADER + "# a comment\n", ["2:1: 1 column, the header names 7"]),
        (HEADER + '"192.0.2.0/24,,,,,,\n192.0.2.0/33,,,,,,\n', [
            "2:1: not CSV: unexpected end of data",
            "3:1: prefix: '192.0.2.0/33' has a length that is not a number from 0 to 32",
        ]),
        (HEADER + '"192.0.2.0/24"x,,,,,,\n', ["2:1: not CSV: ',' expected after '\"'"]),
        # prefix
        (HEADER + ",chinanet,,,,,\n", ["2:1: prefix: is empty"]),
        (HEADER + "192.0.2.0,,,,,,\n", ["2:1: prefix: '192.0.2.0' has no length, as in 192.0.2.0/24"]),
        (
            HEADER + "192.0.2.1/24,,,,,,\n",
            ["2:1: prefix: '192.0.2.1/24' has bits set past its length; the prefix is 192.0.2.0/24"],
        ),
        (HEADER + "2001:db8::/96,,,,,,\n", ["2:1: prefix: '2001:db8::/96' is longer than /64"]),
        (HEADER + "localhost/8,,,,,,\n", ["2:1: prefix: 'localhost/8' is not an IP prefix"]),
        ("isp,prefix\nchinanet,x/8\n", ["2:10: prefix: 'x/8' is not an IP prefix"]),
        ('isp,prefix\n"chinanet",  x/8\n', ["2:14: prefix: 'x/8' is not an IP prefix"]),
        (
            HEADER + "192.0.2.0/24,chinanet,,,,,\n198.51.100.0/24,,,,,,\n192.0.2.0/24,unicom,,,,,\n",
            ["4:1: prefix: '192.0.2.0/24' has other facts on line 2"],
        ),
        (
            HEADER + "2001:db8::/32,,,CN,,,\n2001:0db8::/32,,,CN,SH,,\n2001:db8::/32,,,,,,\n",
            [
                "3:1: prefix: '2001:db8::/32' has other facts on line 2",
                "4:1: prefix: '2001:db8::/32' has other facts on line 2",
            ],
        ),
        # isp, asn
        (
            HEADER + "192.0.2.0/24,chinanett,,,,,\n",
            ["2:14: isp: 'chinanett' is neither in isps.yaml nor AS<number>; did you mean 'chinanet'?"],
        ),
        (HEADER + "192.0.2.0/24,AS0,,,,,\n", ["2:14: isp: 'AS0' is neither in isps.yaml nor AS<number>"]),
        (HEADER + "192.0.2.0/24,as4134,,,,,\n", ["2:14: isp: 'as4134' is neither in isps.yaml nor AS<number>"]),
        (HEADER + "192.0.2.0/24,any,,,,,\n", ["2:14: isp: 'any' is neither in isps.yaml nor AS<number>"]),
        (
            HEADER + "192.0.2.0/24,AS4294967296,,,,,\n",
            ["2:14: isp: 'AS4294967296' is neither in isps.yaml nor AS<number>"],
        ),
        (HEADER + "192.0.2.0/24,,0,,,,\n", ["2:15: asn: '0' is not a number from 1 to 4294967295"]),
        (HEADER + "192.0.2.0/24,,AS4134,,,,\n", ["2:15: asn: 'AS4134' is not a number from 1 to 4294967295"]),
        (HEADER + "192.0.2.0/24,,4294967296,,,,\n", ["2:15: asn: '4294967296' is not a number from 1 to 4294967295"]),
        (HEADER + "192.0.2.0/24,,-1,,,,\n", ["2:15: asn: '-1' is not a number from 1 to 4294967295"]),
        (HEADER + "192.0.2.0/24,,٣,,,,\n", ["2:15: asn: '٣' is not a number from 1 to 4294967295"]),
        # country, region
        (HEADER + "192.0.2.0/24,,,XX,,,\n", ["2:16: country: 'XX' is not an ISO 3166-1 country"]),
        (HEADER + "192.0.2.0/24,,,cn,,,\n", ["2:16: country: 'cn' is not an ISO 3166-1 country; did you mean 'CN'?"]),
        (HEADER + "192.0.2.0/24,,,China,,,\n", ["2:16: country: 'China' is not an ISO 3166-1 country"]),
        (
            HEADER + "192.0.2.0/24,,,CN,CN-SH,,\n",
            ["2:19: region: 'CN-SH' is not an ISO 3166-2 code without its country, as 'SH' or '13'"],
        ),
        (
            HEADER + "192.0.2.0/24,,,CN,sh,,\n",
            ["2:19: region: 'sh' is not an ISO 3166-2 code without its country, as 'SH' or '13'"],
        ),
        (
            HEADER + "192.0.2.0/24,,,,SH,,\n198.51.100.0/24,,,,SH,,\n203.0.113.0/24,,,CN,SH,,\n",
            ["2:17: region: 'SH' stands without country", "3:20: region: 'SH' stands without country"],
        ),
        ("prefix,region\n192.0.2.0/24,SH\n", ["2:14: region: 'SH' stands without country"]),
        (HEADER + "192.0.2.0/24,,,XX,SH,,\n", ["2:16: country: 'XX' is not an ISO 3166-1 country"]),
        # lat, lon
        (HEADER + "192.0.2.0/24,,,,,91,0\n", ["2:18: lat: '91' is not a number from -90 to 90"]),
        (HEADER + "192.0.2.0/24,,,,,0,-180.1\n", ["2:20: lon: '-180.1' is not a number from -180 to 180"]),
        (HEADER + "192.0.2.0/24,,,,,nan,0\n", ["2:18: lat: 'nan' is not a number from -90 to 90"]),
        (HEADER + "192.0.2.0/24,,,,,1e1,0\n", ["2:18: lat: '1e1' is not a number from -90 to 90"]),
        (HEADER + "192.0.2.0/24,,,,,1_0,0\n", ["2:18: lat: '1_0' is not a number from -90 to 90"]),
        (HEADER + "192.0.2.0/24,,,,,31.2,\n", ["2:18: lat: '31.2' stands without lon"]),
        (HEADER + "192.0.2.0/24,,,,,,121.5\n", ["2:19: lon: '121.5' stands without lat"]),
        # several at once, on one row and on many
        (
            HEADER + "192.0.2.9/24,x,y,ZZ,zz,a,b\n,x,y,ZZ,zz,a,b\n192.0.2.0/24,,,,,\n",
            [
                "2:1: prefix: '192.0.2.9/24' has bits set past its length; the prefix is 192.0.2.0/24",
                "2:14: isp: 'x' is neither in isps.yaml nor AS<number>",
                "2:16: asn: 'y' is not a number from 1 to 4294967295",
                "2:18: country: 'ZZ' is not an ISO 3166-1 country",
                "2:21: region: 'zz' is not an ISO 3166-2 code without its country, as 'SH' or '13'",
                "2:24: lat: 'a' is not a number from -90 to 90",
                "2:26: lon: 'b' is not a number from -180 to 180",
                "3:1: prefix: is empty",
                "3:2: isp: 'x' is neither in isps.yaml nor AS<number>",
                "3:4: asn: 'y' is not a number from 1 to 4294967295",
                "3:6: country: 'ZZ' is not an ISO 3166-1 country",
                "3:9: region: 'zz' is not an ISO 3166-2 code without its country, as 'SH' or '13'",
                "3:12: lat: 'a' is not a number from -90 to 90",
                "3:14: lon: 'b' is not a number from -180 to 180",
                "4:1: 6 columns, the header names 7",
            ],
        ),
    ],
)  # fmt: skip
def test_bad_networks(text: str | bytes, errors: list[str], isps: IspNames) -> None:
    found = networks(text, isps)[1]
    assert sorted(found, key=_place) == [f"t.csv:{error}" for error in errors]


def _place(error: str) -> tuple[int, int, str]:
    _, line, column, reason = error.split(":", 3)
    return int(line), int(column), reason


def test_columns_count_characters_not_bytes(isps: IspNames) -> None:
    assert networks("isp,country,prefix\n,Größe,x/8\n", isps)[1] == [
        "t.csv:2:2: country: 'Größe' is not an ISO 3166-1 country",
        "t.csv:2:8: prefix: 'x/8' is not an IP prefix",
    ]


def test_a_quote_within_a_value_hides_no_comma(isps: IspNames) -> None:
    errors = networks('country,isp,prefix\nX","a,b",y/8\nZ",,y/8\n', isps)[1]
    assert sorted(errors, key=_place) == [
        "t.csv:2:1: country: 'X\"' is not an ISO 3166-1 country",
        "t.csv:2:4: isp: 'a,b' is neither in isps.yaml nor AS<number>",
        "t.csv:2:10: prefix: 'y/8' is not an IP prefix",
        "t.csv:3:1: country: 'Z\"' is not an ISO 3166-1 country",
        "t.csv:3:5: prefix: 'y/8' is not an IP prefix",
    ]


def test_a_hopeless_file_is_cut_short(isps: IspNames, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "MAX_ERRORS", 3)
    errors = networks("prefix\n" + "x\n" * 10, isps)[1]
    assert errors == [
        *(f"t.csv:{line}:1: prefix: 'x' is not an IP prefix" for line in (2, 3, 4)),
        "t.csv:0:0: 7 more errors of this file are not shown",
    ]


def test_isps_that_could_not_be_read_cause_no_second_error() -> None:
    found, errors, _ = networks("prefix,isp\n192.0.2.0/24,anything\n", IspNames.unknown())
    assert (found["192.0.2.0/24"].isp, errors) == ("anything", [])


def test_what_has_no_error_is_kept(isps: IspNames) -> None:
    found, errors, _ = networks("prefix,isp\nx,chinanet\n192.0.2.0/24,unicom\n", isps)
    assert (found, len(errors)) == ({"192.0.2.0/24": View(isp="unicom")}, 1)


def read(reader: Callable[..., Any], text: str, *rest: Any, **more: Any) -> tuple[Any, list[str], list[str]]:
    findings = Findings()
    found = reader("t.csv", text.encode(), *rest, findings, **more)
    errors = sorted((str(error) for error in findings.errors), key=_place)
    return found, errors, [str(warning) for warning in findings.warnings]


def test_resolvers() -> None:
    text = (
        "resolver_prefix,client_prefix,share\n192.0.2.64/32,198.51.100.0/28,0.7\n"
        "2001:db8::/48,198.51.100.0/24,1\n192.0.2.64/32,198.51.100.0/28,0.70\n"
    )
    assert read(read_resolvers, text) == (
        [
            ResolverShare((32, 0xC0000240, 32), (32, 0xC6336400, 28), 0.7),
            ResolverShare((64, 0x20010DB800000000, 48), (32, 0xC6336400, 24), 1.0),
        ],
        [],
        [],
    )


@pytest.mark.parametrize(
    ("row", "errors"),
    [
        ("192.0.2.1/31,198.51.100.0/28,1", [
            "2:1: resolver_prefix: '192.0.2.1/31' has bits set past its length; the prefix is 192.0.2.0/31"]),
        ("2001:db8::1/128,198.51.100.0/28,1", ["2:1: resolver_prefix: '2001:db8::1/128' is longer than /64"]),
        (",198.51.100.0/28,1", ["2:1: resolver_prefix: is empty"]),
        ("192.0.2.1/32,,1", ["2:14: client_prefix: is empty"]),
        ("192.0.2.1/32,10.1.0.0/16,1", ["2:14: client_prefix: '10.1.0.0/16' is private and names nobody"]),
        ("192.0.2.1/32,fd00::/8,1", ["2:14: client_prefix: 'fd00::/8' is private and names nobody"]),
        ("192.0.2.1/32,2002:a00::/24,1", ["2:14: client_prefix: '2002:a00::/24' is private and names nobody"]),
        ("192.0.2.1/32,198.51.100.0/28,", ["2:30: share: '' is not a number from 0 to 1"]),
        ("192.0.2.1/32,198.51.100.0/28,1.1", ["2:30: share: '1.1' is not a number from 0 to 1"]),
        ("192.0.2.1/32,198.51.100.0/28,-0.1", ["2:30: share: '-0.1' is not a number from 0 to 1"]),
        ("192.0.2.1/32,198.51.100.0/28,70%", ["2:30: share: '70%' is not a number from 0 to 1"]),
        ("192.0.2.1/32,198.51.100.0/28,1\n192.0.2.1/32,198.51.100.0/28,0.5", [
            "3:14: client_prefix: '198.51.100.0/28' has another share on line 2"]),
        ("x,y,z", [
            "2:1: resolver_prefix: 'x' is not an IP prefix",
            "2:3: client_prefix: 'y' is not an IP prefix",
            "2:5: share: 'z' is not a number from 0 to 1",
        ]),
    ],
)  # fmt: skip
def test_bad_resolvers(row: str, errors: list[str]) -> None:
    found = read(read_resolvers, f"resolver_prefix,client_prefix,share\n{row}\n")
    assert found[1] == [f"t.csv:{error}" for error in errors]


def test_rtt(isps: IspNames) -> None:
    text = "country,region,isp,pop,rtt_ms\nZA,,,lhr,158\nCN,SH,AS4134,pek,30.5\nZA,,,lhr,158.0\nDE,,,fra,9\n"
    table, errors, warnings = read(read_rtt, text, isps, pops={"lhr", "pek"})
    assert table.rows == (
        Rtt("ZA", "", "", "lhr", 158.0),
        Rtt("CN", "SH", "chinanet", "pek", 30.5),
        Rtt("DE", "", "", "fra", 9.0),
    )
    assert len(table) == 3
    assert (errors, warnings) == ([], ["t.csv:5:6: pop: 'fra' is no PoP of an edge"])


@pytest.mark.parametrize(
    ("row", "errors"),
    [
        ("ZA,,,,158", ["2:6: pop: is empty"]),
        (",,,lhr,158", ["2:1: country: is empty; a row needs one"]),
        (",SH,chinanet,,158", ["2:1: country: is empty; a row needs one", "2:14: pop: is empty"]),
        ("ZA,,,lhr,", ["2:10: rtt_ms: '' is not a number from 0 to 10000"]),
        ("ZA,,,lhr,0", ["2:10: rtt_ms: '0' is not above 0"]),
        ("ZA,,,lhr,10001", ["2:10: rtt_ms: '10001' is not a number from 0 to 10000"]),
        ("ZA,,,lhr,12ms", ["2:10: rtt_ms: '12ms' is not a number from 0 to 10000"]),
        ("za,gp,cn,lhr,1", [
            "2:1: country: 'za' is not an ISO 3166-1 country; did you mean 'ZA'?",
            "2:4: region: 'gp' is not an ISO 3166-2 code without its country, as 'SH' or '13'",
            "2:7: isp: 'cn' is neither in isps.yaml nor AS<number>",
        ]),
        ("ZA,,,lhr,158\nZA,,,lhr,159", ["3:10: rtt_ms: '159' is another value than on line 2"]),
    ],
)  # fmt: skip
def test_bad_rtt(row: str, errors: list[str], isps: IspNames) -> None:
    found = read(read_rtt, f"country,region,isp,pop,rtt_ms\n{row}\n", isps)
    assert found[1] == [f"t.csv:{error}" for error in errors]


def test_rtt_needs_a_column_of_countries(isps: IspNames) -> None:
    assert read(read_rtt, "pop,rtt_ms\nlhr,158\n", isps)[1] == ["t.csv:1:1: column 'country' is missing"]


def test_demand(isps: IspNames) -> None:
    text = (
        "time,service,country,region,isp,demand_bps\n"
        "2026-01-01T00:00:00Z,Pull.live.example.,CN,SH,chinanet,9600000000\n"
        "2026-01-01T02:00+02:00,*.pull.live.example,,,,0.5\n"
    )
    assert read(read_demand, text, isps) == (
        [
            Demand(1767225600, "pull.live.example.", "CN", "SH", "chinanet", 9600000000),
            Demand(1767225600, "*.pull.live.example.", "", "", "", 0),
        ],
        [],
        [],
    )


@pytest.mark.parametrize(
    ("row", "errors"),
    [
        ("yesterday,a.,,,,1", ["2:1: time: 'yesterday' is not a time with its zone, as '2026-01-01T18:00:00Z'"]),
        ("2026-13-01T00:00Z,a.,,,,1", [
            "2:1: time: '2026-13-01T00:00Z' is not a time with its zone, as '2026-01-01T18:00:00Z'"]),
        ("2026-01-01T00:00:00,a.,,,,1", [
            "2:1: time: '2026-01-01T00:00:00' is not a time with its zone, as '2026-01-01T18:00:00Z'"]),
        ("2026-01-01T00:00Z,,,,,1", ["2:19: service: '' is not a name"]),
        ("2026-01-01T00:00Z,a b,,,,1", ["2:19: service: 'a b' is not a name"]),
        ("2026-01-01T00:00Z,a.,,,,", ["2:25: demand_bps: '' is not a number from 0 to 1000000000000000000"]),
        ("2026-01-01T00:00Z,a.,,,,40Gbps", [
            "2:25: demand_bps: '40Gbps' is not a number from 0 to 1000000000000000000"]),
        ("x,a.,C,,x,-1", [
            "2:1: time: 'x' is not a time with its zone, as '2026-01-01T18:00:00Z'",
            "2:6: country: 'C' is not an ISO 3166-1 country",
            "2:9: isp: 'x' is neither in isps.yaml nor AS<number>",
            "2:11: demand_bps: '-1' is not a number from 0 to 1000000000000000000",
        ]),
    ],
)  # fmt: skip
def test_bad_demand(row: str, errors: list[str], isps: IspNames) -> None:
    found = read(read_demand, f"time,service,country,region,isp,demand_bps\n{row}\n", isps)
    assert found[0] == []
    assert found[1] == [f"t.csv:{error}" for error in errors]


@pytest.mark.parametrize("reader", [read_rtt, read_demand])
def test_tables_without_rows_are_empty(reader: Callable[..., Any], isps: IspNames) -> None:
    header = "country,region,isp,pop,rtt_ms" if reader is read_rtt else "time,service,country,region,isp,demand_bps"
    found, errors, _ = read(reader, header, isps)
    assert (len(found), errors) == (0, [])
