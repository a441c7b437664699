"""How long large inputs take, and how much memory: the bounds are the contract, the figures are printed."""

from __future__ import annotations

import json
import random
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmdb_writer import Encoder

from gslb.model.geography import CONTINENT_OF

pytestmark = pytest.mark.soak

BUILD = """
import json, re, sys, time
from pathlib import Path
from gslb.errors import Findings
from gslb.geo import mmdb, prefix, special, tables, view
from gslb.geo.isps import IspNames
from gslb.geo.layers import Layers

began, findings, path = time.perf_counter(), Findings(), Path(sys.argv[1])
if path.suffix == ".csv":
    facts = tables.read_networks(str(path), path.read_bytes(), IspNames(()), findings)
    layers = Layers(isp_tables=[facts])
else:
    facts = mmdb.read(path, IspNames(()), findings)
    layers = Layers(places=[facts])
findings.raise_if_any()
read = time.perf_counter()
geography = view.merge(layers, findings)
merged = time.perf_counter()
rows = 0
for bits in (32, 64):
    located = geography.family(bits)
    carved = prefix.carve(located.starts, located.node_view[located.nodes], special.blocks(bits), bits)
    rows += len(prefix.cidr_pieces(*carved, bits)[0])
print(json.dumps({
    "prefixes": len(facts.v4) + len(facts.v6), "facts": len(facts.table), "views": len(geography.views), "rows": rows,
    "read_s": read - began, "merge_s": merged - read, "rows_s": time.perf_counter() - merged,
    "total_s": time.perf_counter() - began,
    # Not getrusage: that also counts what the parent held when it forked.
    "peak_mb": int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024,
}))
"""


def build(path: Path) -> dict[str, float]:
    """Build the tables of a file in a process of its own, and what that cost."""
    run = subprocess.run([sys.executable, "-c", BUILD, path], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(run.stdout)
    print("".join(f" {name} {value:.4g}" for name, value in found.items()))
    return found


def test_a_million_prefixes(tmp_path: Path) -> None:
    """Nested at random, both families: the worst that a table of this size can be."""
    rng = random.Random(1)
    countries = ("CN", "US", "DE", "FR", "BR", "IN")
    seen = set()
    with (tmp_path / "million.csv").open("w") as out:
        out.write("prefix,isp,asn,country,region,lat,lon\n")
        while len(seen) < 1_000_000:
            if rng.random() < 0.75:
                length = rng.choice([12, 16, 18, 20, 22, 23, 24, 24, 24, 24, 26, 28, 32])
                packed = (rng.getrandbits(32) >> (32 - length) << (32 - length)).to_bytes(4)
            else:
                length = rng.choice([32, 36, 40, 44, 48, 48, 56, 64])
                packed = ((1 << 125 | rng.getrandbits(125)) >> (128 - length) << (128 - length)).to_bytes(16)
            if (packed, length) in seen:
                continue
            seen.add((packed, length))
            text = socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
            kind = rng.randrange(3000)
            isp, place = f"AS{1000 + kind % 700},{1000 + kind % 700}", f"{countries[kind % 6]},R{kind % 7}"
            out.write(f"{text}/{length},{isp},{place},{kind % 170 - 85}.5,{kind % 350 - 170}.25\n")
    found = build(tmp_path / "million.csv")
    assert found["prefixes"] == 1_000_000
    assert found["total_s"] <= 20
    assert found["peak_mb"] <= 600


def test_a_database_of_five_million_networks(
    mmdb_database: Callable[[np.ndarray, bytes, dict[str, Any]], bytes], tmp_path: Path
) -> None:
    """City records in the form MaxMind writes them: shared parts behind pointers, 600,000 distinct ones."""
    rng = np.random.default_rng(2)
    records, data = city_records(600_000, random.Random(2))
    offsets = records.astype(np.int64)
    v4 = split_blocks(rng, 1_050_000, 22, 32, 0x01000000)
    v6 = split_blocks(rng, 260_000, 44, 64, 0x2400000000000000)
    tree = trie(v4, v6, offsets[rng.integers(0, len(offsets), len(v4[0]) + len(v6[0]))])
    metadata = {
        "ip_version": 6, "database_type": "GeoIP2-City", "languages": ["en"], "binary_format_major_version": 2,
        "binary_format_minor_version": 0, "description": {"en": "soak"}, "build_epoch": 1767225600, "record_size": 28,
    }  # fmt: skip
    path = tmp_path / "city.mmdb"
    path.write_bytes(mmdb_database(tree, data, metadata))
    found = build(path)
    assert found["prefixes"] == len(v4[0]) + len(v6[0]) >= 5_000_000
    assert found["total_s"] <= 60


def city_records(count: int, rng: random.Random) -> tuple[np.ndarray, bytes]:
    """Offsets of ``count`` distinct City records, and the data section they are in."""
    encoder = Encoder()
    languages = ("de", "en", "es", "fr", "ja", "pt-BR", "ru", "zh-CN")

    def part(geoname: int, name: str, **more: object) -> dict[str, object]:
        return {"geoname_id": geoname, "names": {language: f"{name} {language}" for language in languages}, **more}

    def pointer(value: object) -> bytes:
        return b"\x38" + struct.pack(">I", encoder.encode(value, return_offset=True))

    keys = {
        name: pointer(name)
        for name in (
            "city", "continent", "country", "location", "postal", "registered_country", "subdivisions",
            "accuracy_radius", "latitude", "longitude", "time_zone", "code",
        )
    }  # fmt: skip
    countries = sorted(CONTINENT_OF)
    continents = {code: pointer(part(1, code, code=code)) for code in set(CONTINENT_OF.values())}
    country = {code: pointer(part(row + 10, code, iso_code=code)) for row, code in enumerate(countries)}
    cities = [pointer(part(row + 1000, f"City {row}")) for row in range(20_000)]
    regions = [pointer([part(row + 90_000, f"Region {row}", iso_code=f"{row % 100:02}")]) for row in range(3_000)]
    zones = [pointer(f"Zone/Number_{row}") for row in range(400)]
    base = encoder.data_pointer
    body = bytearray()
    offsets = np.empty(count, dtype=np.uint32)
    for row in range(count):
        offsets[row] = base + len(body)
        code = countries[rng.randrange(len(countries))]
        body += b"\xe7" + keys["city"] + cities[rng.randrange(len(cities))]
        body += keys["continent"] + continents[CONTINENT_OF[code]] + keys["country"] + country[code]
        body += keys["location"] + b"\xe4" + keys["accuracy_radius"] + b"\xa1" + bytes([rng.randrange(1, 200)])
        latitude, longitude = rng.randrange(-900_000, 900_000) / 1e4, rng.randrange(-1_800_000, 1_800_000) / 1e4
        body += keys["latitude"] + b"\x68" + struct.pack(">d", latitude)
        body += keys["longitude"] + b"\x68" + struct.pack(">d", longitude)
        body += keys["time_zone"] + zones[rng.randrange(len(zones))]
        body += keys["postal"] + b"\xe1" + keys["code"] + b"\x45" + b"%05d" % rng.randrange(100_000)
        body += keys["registered_country"] + country[code]
        body += keys["subdivisions"] + regions[rng.randrange(len(regions))]
    return offsets, b"".join(encoder.data_list) + bytes(body)


Networks = tuple[np.ndarray, np.ndarray]  # starts as u64, lengths


def split_blocks(rng: np.random.Generator, count: int, length: int, bits: int, first: int) -> Networks:
    """Neighbouring blocks, some whole, most split into up to eight parts, as real allocations are."""
    patterns = [[0], [2] * 4, [1, 2, 2], [2, 2, 1], [1, 1], [1, 2, 3, 3], [2, 2, 2, 3, 3], [3] * 8]
    kinds = rng.choice(len(patterns), size=count, p=[0.1, 0.3, 0.12, 0.12, 0.06, 0.1, 0.1, 0.1])
    blocks = np.uint64(first) + np.arange(count, dtype=np.uint64) * np.uint64(1 << (bits - length))
    starts, lens = [], []
    for kind, pattern in enumerate(patterns):
        at = 0
        for deeper in pattern:
            starts.append(blocks[kinds == kind] + np.uint64(at))
            lens.append(np.full(len(starts[-1]), length + deeper, dtype=np.int64))
            at += 1 << (bits - length - deeper)
    order = np.argsort(np.concatenate(starts))
    return np.concatenate(starts)[order], np.concatenate(lens)[order]


def trie(v4: Networks, v6: Networks, offsets: np.ndarray) -> np.ndarray:
    """The search tree, level by level: IPv4 hangs below 96 zero bits."""
    levels: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # nodes' bits; leaves' bits one deeper; their offsets
    offsets4, offsets6 = offsets[: len(v4[0])], offsets[len(v4[0]) :]
    for depth in range(128):
        if depth < 64:
            level = level_of(v6, offsets6, depth, 64, zero=True)
        elif depth < 96:
            level = np.zeros(1, dtype=np.uint64), np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64)
        else:
            level = level_of(v4, offsets4, depth - 96, 32, zero=depth == 96)
        levels.append(level)
    while not len(levels[-1][0]):
        levels.pop()
    count = sum(len(level[0]) for level in levels)
    records = np.full((count, 2), count, dtype=np.uint32)
    first = 0
    for depth, (nodes, leaves, leaf_offsets) in enumerate(levels):
        children = levels[depth + 1][0] if depth + 1 < len(levels) else nodes[:0]
        numbers = first + len(nodes) + np.arange(len(children))
        for bits, values in ((children, numbers), (leaves, leaf_offsets + count + 16)):
            rows = first + np.searchsorted(nodes, bits >> np.uint64(1))
            records[rows, (bits & np.uint64(1)).astype(np.intp)] = values
        first += len(nodes)
    return records


def level_of(
    networks: Networks, offsets: np.ndarray, depth: int, bits: int, zero: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    starts, lens = networks
    inner = (starts[lens > depth] >> np.uint64(bits - depth)) if depth else np.zeros(1, dtype=np.uint64)
    nodes = np.unique(np.append(inner, np.zeros(int(zero), dtype=np.uint64)))
    ends = lens == depth + 1
    return nodes, starts[ends] >> np.uint64(bits - depth - 1), offsets[ends]
