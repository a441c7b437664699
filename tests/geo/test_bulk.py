"""Many lines at a time against one after the other: the same prefixes, and the same of everything else left over."""

from __future__ import annotations

import random

import pytest

from gslb.errors import Findings
from gslb.geo import bulk, sheet, tables
from gslb.geo.address import parse_prefix
from gslb.geo.isps import IspNames
from gslb.model.view import View

PREFIXES = [
    *("0.0.0.0/0", "1.2.3.4/32", "192.0.2.0/24", "255.255.255.255/32", "128.0.0.0/1", "10.0.0.0/8", "10.1.0.0/9"),
    *("256.0.0.0/8", "1.2.3.1000/32", "1.2.3.4/33", "1.2.3.4/032", "01.2.3.4/32", "1.2.3.00/32", "00.0.0.0/0"),
    *("1.2.3/24", "1.2.3.4.5/32", "1.2.3.4", "1.2.3.4/", "/8", "1..2.3/8", ".1.2.3/8", "1.2.3.4/3/2", "1/2.3.4/5"),
    *("1.2.3.4\0/32", "+1.2.3.4/32", "1.2.3.4/-1", " 1.2.3.4/32", "1.2.3.4/32 ", "1.2.3.4/32\r", "１.2.3.4/32"),
    *("2001:db8::/32", "::1.2.3.4/64", "0x1.2.3.4/32", "", '"1.2.3.4/32"', "99999999999999999999.0.0.0/8", "\0"),
]
BEHIND = ["", ",", ",AS1", ",AS1,DE", ',"AS1"', ",1.2.3.4/8", "\r"]


def expected(line: str) -> tuple[int, int, str] | None:
    """Start, length and rest of a line that begins with an IPv4 prefix."""
    text, comma, rest = line.partition(",")
    try:
        bits, start, length = parse_prefix(text)
    except ValueError:
        return None
    return (start, length, comma + rest) if bits == 32 else None


def told(text: str) -> list[tuple[int, int, str] | None]:
    """What is found of every line."""
    raw = text.encode()
    found = bulk.read(raw)
    lines = zip(*(column.tolist() for column in (found.ends, found.rests, found.starts, found.lens)), strict=True)
    return [
        None if length == bulk.NO_PREFIX else (start, length, raw[rest:end].decode())
        for end, rest, start, length in lines
    ]


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("end", ["", "\n"])
def test_each_line(behind: str, end: str) -> None:
    lines = [prefix + behind for prefix in PREFIXES]
    assert told("\n".join(lines) + "\n\n" + end) == [*map(expected, lines), None] + [None] * bool(end)
    assert [told(line + end) for line in lines if line + end] == [[expected(line)] for line in lines if line + end]


def test_lines_a_little_off() -> None:
    rng = random.Random(7)
    lines = []
    for _ in range(20_000):
        length = rng.randrange(33)
        number = rng.getrandbits(32) >> (32 - length) << (32 - length)
        line = list(".".join(map(str, number.to_bytes(4))) + f"/{length}" + rng.choice(BEHIND))
        for _ in range(rng.choice((0, 0, 1, 2))):
            at = rng.randrange(len(line))
            line[at : at + rng.randrange(2)] = rng.choice(("", *"0123456789./,:x"))
        lines.append("".join(line))
    found = told("\n".join(lines) + "\n")
    assert found == [expected(line) for line in lines]
    assert sum(each is not None for each in found) > len(lines) / 3, "enough of them are prefixes"


TABLE = """prefix,isp,asn,country,region,lat,lon
192.0.2.0/24,chinanet,,CN,SH,,
198.51.100.0/24,chinanet,,CN,SH,,
2001:db8::/32,chinanet,,CN,SH,,
"203.0.113.0/24",chinanet,,CN,SH,,
 203.0.114.0/24 ,chinanet,,CN, SH,,
192.0.2.0/24,unicom,,CN,SH,,

192.0.2.0/25,nobody,,CN,SH,,
192.0.2.128/25,nobody,,CN,SH,,
2001:db8:1::/48,nobody,,XX,SH,1,
192.0.2.1/24,chinanet,,CN,SH,,
x,"a,b",0,CN,SH,,
192.0.2.0/26,chinanet
192.0.2.0/26,"chinanet,,CN,SH,,
192.0.2.0/27,chinanet,,CN,SH,,
2001:db8::/32,unicom,,CN,SH,,\r
192.0.2.0/28,chinanet,,CN,SH,,\r
10.0.0.0/8,AS1,,DE,,52.5,13.4"""


@pytest.mark.parametrize("turn", [0, 1], ids=["prefix first", "prefix last"])
@pytest.mark.parametrize("remembered", [0, 1, 1 << 17])
@pytest.mark.parametrize("block_bytes", [1, 70, 1 << 20])
def test_a_table_is_the_same_in_any_blocks(
    monkeypatch: pytest.MonkeyPatch, isps: IspNames, turn: int, remembered: int, block_bytes: int
) -> None:
    lines = [",".join(reversed(line.split(","))) if turn else line for line in TABLE.split("\n")]
    text = "\n".join(lines).encode()

    def read() -> tuple[list[tuple[int, int, int, View]], list[str]]:
        findings = Findings()
        facts = tables.read_networks("t.csv", text, isps, findings)
        prefixes = [
            (start, length, line, facts.table.view(fact))
            for family in (facts.v4, facts.v6)
            for start, length, line, fact in zip(
                *(column.tolist() for column in (family.starts, family.lens, family.lines, family.facts)), strict=True
            )
        ]
        return prefixes, [str(error) for error in findings.errors]

    whole = read()
    monkeypatch.setattr(tables, "_REMEMBERED", remembered)
    monkeypatch.setattr(sheet, "_BLOCK_BYTES", block_bytes)
    assert read() == whole
    assert len(whole[0]) > 8


def test_ipv6_prefixes() -> None:
    rng = random.Random(9)
    texts = ["::/0", "::/64", "::/65", "::", "2001:db8::/32", "2001:db8::/", "2001:db8::1/64", "2001:db8:1::/47", ":/0"]
    texts += [
        "2001:DB8::/032",
        "2001:db8::/-1",
        "fe80::%1/64",
        "::ffff:1.2.3.4/64",
        "::\0/64",
        "ff00::/8",
        "1.2.3.0/24",
    ]
    texts += ["", "/", "::/64/64", " ::/64", *PREFIXES]
    for _ in range(300):
        groups = ":".join(f"{rng.choice((0, 0, 1 << rng.randrange(16))):x}" for _ in range(4))
        texts.append(f"{groups}::/{rng.randrange(66)}")
    starts, lens = (column.tolist() for column in bulk.read6(texts))
    for text, start, length in zip(texts, starts, lens, strict=True):
        try:
            bits, wanted_start, wanted_length = parse_prefix(text)
        except ValueError:
            bits = 0
        if bits == 64:
            assert (start, length) == (wanted_start, wanted_length), text
        else:
            assert length == bulk.NO_PREFIX, text
    assert sum(length != bulk.NO_PREFIX for length in lens) > 30
