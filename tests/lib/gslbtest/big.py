"""A network as large as the numbers to hold speak of: a million prefixes, ten thousand names, sixteen policies."""

from __future__ import annotations

import random
from pathlib import Path

COUNTRIES = ["DE", "FR", "GB", "IT", "ES", "US", "CA", "BR", "JP", "KR", "CN", "IN", "ID", "AU", "ZA", "EG"]
EDGES = 63


def write(folder: Path, prefixes: int, names: int, policies: int) -> tuple[Path, Path]:
    """Write ``zones/`` and ``data/`` below ``folder`` and give both. Equal arguments give equal files."""
    rng = random.Random(1)
    zones, data = folder / "zones", folder / "data"
    (data / "isp").mkdir(parents=True)
    zones.mkdir()
    zones.joinpath("edges.yaml").write_text(
        "edges:\n"
        + "".join(
            f"  e{number}: {{pop: p{number}, addresses: {{v4: [192.0.2.{number}], v6: ['2001:db8::{number}']}},"
            f" capacity: 10Gbps, isps: [AS{100 + number % 7}, any],"
            f" location: {{country: {COUNTRIES[number % 16]}, region: R{number % 3}, lat: {number}, lon: {number}}}}}\n"
            for number in range(1, EDGES + 1)
        )
    )
    pools = ""
    for pool in range(policies):
        members = rng.sample(range(1, EDGES + 1), 12)
        pools += f"  p{pool}: {{{', '.join(f'e{edge}: {rng.randint(1, 100)}' for edge in members)}}}\n"
    services = "".join(
        f"  s{number}: {{pool: p{number % policies}, affinity: [isp+country, country, continent, any]}}\n"
        for number in range(names)
    )
    zones.joinpath("big.yaml").write_text(
        "zone: big.test.\nsoa: {mname: ns1, rname: hostmaster}\nrecords: {'@': {NS: [ns1]}, ns1: {A: 192.0.2.250}}\n"
        f"services:\n{services}pools:\n{pools}"
    )
    data.joinpath("isp", "all.csv").write_text("prefix,isp,country,region\n" + "".join(_rows(rng, prefixes)))
    return zones, data


def _rows(rng: random.Random, count: int) -> list[str]:
    """Disjoint prefixes, /20 to /24, one after the other from 1.0.0.0 on, each of a random network and place."""
    rows = []
    at = 1 << 24
    for _ in range(count):
        length = rng.choice((20, 21, 22, 23, 24, 24, 24))
        size = 1 << (32 - length)
        at = (at + size - 1) // size * size
        text = f"{at >> 24}.{at >> 16 & 255}.{at >> 8 & 255}.{at & 255}/{length}"
        rows.append(f"{text},AS{100 + rng.randrange(400)},{rng.choice(COUNTRIES)},R{rng.randrange(20)}\n")
        at += size
    return rows
