"""Resolvers: which views stand behind them, in the words of `resolvers.csv`."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from gslbtest.tables import filled, run

from gslb.errors import Findings
from gslb.geo.address import format_prefix
from gslb.geo.tables import read_resolvers
from gslb.measure.engine import Engine
from gslb.model import records
from gslb.tables.resolvers import prefix_text, resolvers
from gslb.tables.schemas import Table

HOUR_S = 1_790_000_100 // 3600 * 3600
RESOLVER = {"resolver_family": 4, "resolver_net": 0x08080800, "resolver_len": 24, "slice_s": HOUR_S}
CN = {"country": "CN", "region": "SH", "isp": "chinanet"}
DE = {"country": "DE"}


def client(net: int, **said: Any) -> dict[str, Any]:
    return RESOLVER | {"client_family": 4, "client_net": net << 8, "client_len": 24} | said


def test_views_have_their_share_and_the_prefix_that_asked_most(engine: Engine) -> None:
    rows = filled(
        records.BEHIND,
        client(1, **CN, questions=30),
        client(2, **CN, questions=20, slice_s=HOUR_S + 300),
        client(2, **CN, questions=25),
        client(3, **DE, questions=10),
        client(4, **DE, questions=10),
        client(5, questions=4),  # nowhere
        client(6, country="FR", questions=1),  # too little of all
        client(7, country="FR", questions=900, slice_s=HOUR_S + 3600),  # of the next hour
        client(8, country="US", questions=99) | {"resolver_net": 0x09090900},  # too few to learn from
    )
    found = run(resolvers, [(rows, records.BEHIND)], engine, hour_s=HOUR_S, min_share=0.05)
    same = {"hour": datetime.fromtimestamp(HOUR_S, UTC), "resolver_prefix": "8.8.8.0/24", "region": "", "isp": ""}
    assert found == [
        same | {"client_prefix": "0.0.2.0/24", **CN, "share": 0.75, "questions": 75},
        same | {"client_prefix": "0.0.3.0/24", **DE, "share": 0.2, "questions": 20},
    ]


def test_a_client_that_moved_stands_for_one_view(engine: Engine) -> None:
    rows = filled(
        records.BEHIND,
        client(1, **CN, questions=60),
        client(1, **DE, questions=50, slice_s=HOUR_S + 300),
        client(2, **CN, questions=40),
        client(3, **DE, questions=50),
    )
    found = run(resolvers, [(rows, records.BEHIND)], engine, hour_s=HOUR_S)
    assert {row["country"]: (row["client_prefix"], row["questions"]) for row in found} == {
        "CN": ("0.0.2.0/24", 40),
        "DE": ("0.0.1.0/24", 160),
    }


def test_what_is_learned_is_read(engine: Engine) -> None:
    rng = random.Random(5)
    rows = [
        client(rng.randrange(1 << 14, 1 << 16), country=country, questions=rng.randrange(1, 300))
        | {"resolver_net": rng.randrange(4) << 8}
        for country in ("CN", "DE", "FR", "US", "")
        for _ in range(20)
    ]
    found = run(resolvers, [(filled(records.BEHIND, *rows), records.BEHIND)], engine, hour_s=HOUR_S, min_questions=1)
    lines = [f"{row['resolver_prefix']},{row['client_prefix']},{row['share']:.17f}" for row in found]
    findings = Findings()
    shares = read_resolvers("r", "\n".join(["resolver_prefix,client_prefix,share", *lines]).encode(), findings)
    findings.raise_if_any()
    assert len(shares) == len(found) == 16
    sums: dict[Any, float] = {}
    for each in shares:
        sums[each.resolver] = sums.get(each.resolver, 0.0) + each.share
    assert all(0.5 < total < 1 for total in sums.values())


PREFIXES = [
    (32, 0, 0),
    (32, 0xC0000200, 24),
    (32, 0xFFFFFFFF, 32),
    (64, 0, 0),
    (64, 0x20010DB8_00000000, 32),
    (64, 0x20010DB8_00000100, 56),
    (64, 0x20010000_00000001, 64),
    (64, 0x00000000_00000001, 64),
    (64, 0x00010000_00000000, 16),
    (64, 0x0064FF9B_00000000, 64),
    (64, 0xFE80_0000_0000_0000, 10),
    (64, 0xFFFF_FFFF_FFFF_FFFF, 64),
    (64, 0x0ABC_0DEF_0012_0003, 64),
]


def test_prefixes_are_written_as_everywhere(engine: Engine) -> None:
    rows = [
        {"family": 4 if bits == 32 else 6, "net": start - (1 << 64) if start >> 63 else start, "len": length}
        for bits, start, length in PREFIXES
    ]
    columns = {"family": records.WHOLE, "net": records.WHOLE, "len": records.WHOLE}

    def text(table: Table) -> Table:
        return table.select(text=prefix_text(table["family"], table["net"], table["len"]))

    found = run(text, [(rows, columns)], engine)
    assert [row["text"] for row in found] == sorted(format_prefix(*prefix) for prefix in PREFIXES)


@pytest.mark.parametrize("least", [1, 101])
def test_of_few_questions_nothing_is_learned(least: int, engine: Engine) -> None:
    rows = filled(records.BEHIND, client(1, **CN, questions=100))
    found = run(resolvers, [(rows, records.BEHIND)], engine, hour_s=HOUR_S, min_questions=least)
    assert bool(found) == (least == 1)
