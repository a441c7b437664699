"""What is asked and what answers it: networks, zones, queries, and the snapshots that are replayed in process."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from gslbtest.packets import A, asks, edns, subnet
from gslbtest.serving import write_files

from gslb.model.report import StoreState
from gslb.snapshot import layout
from gslb.snapshot import steering as steer
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.steering import Steering

SHARED = Path(__file__).parents[3] / "shared"
QUERIES = 100_000
SIZE = 1232
"""The UDP size that queries offer."""
COUNTRIES = ("US", "MX", "BR", "DE", "FR", "GB", "IN", "JP", "SG", "ID", "KR", "AE", "AU", "ZA", "NG")
EDGES = {"na": (1, "US", "VA", 39.0, -77.5), "eu": (11, "DE", "HE", 50.1, 8.7), "as": (21, "SG", "01", 1.35, 103.8),
         "oc": (31, "AU", "NSW", -33.9, 151.2), "af": (41, "ZA", "GP", -26.2, 28.0)}  # fmt: skip
"""An edge for each continent, as the other servers have them: host of its first address, and its place."""


class Network(NamedTuple):
    """A prefix of IPv4: its first address, its length, and the country it lies in."""

    first: int
    length: int
    country: str


class World(NamedTuple):
    """A pair of snapshots, as a worker would have them."""

    catalog: Catalog
    steering: Steering


def peers_work(folder: Path) -> None:
    """Write ``city.mmdb``, ``nets.csv``, ``ecs.bin`` and ``static.bin``, and ``data`` with the first for our server."""
    subprocess.run([sys.executable, str(SHARED / "peers/make_work.py"), str(folder)], check=True)
    (folder / "data/geo").mkdir(parents=True)
    shutil.copy(folder / "city.mmdb", folder / "data/geo")


def networks(count: int) -> list[Network]:
    """Disjoint prefixes, /20 to /24, one after the other from 11.0.0.0 on, each in a random country."""
    rng = random.Random(3)
    found, at = [], 11 << 24
    for _ in range(count):
        length = rng.choice((20, 21, 22, 23, 24, 24, 24))
        size = 1 << (32 - length)
        at = (at + size - 1) // size * size
        found.append(Network(at, length, rng.choice(COUNTRIES)))
        at += size
    return found


def table(nets: Iterable[Network]) -> str:
    """The networks as a file of ``data/isp``."""
    rows = (f"{_dotted(net.first)}/{net.length},AS64500,{net.country}\n" for net in nets)
    return "prefix,isp,country\n" + "".join(rows)


def zones(services: int = 0) -> dict[str, str]:
    """The zone of the other servers, ``live`` and ``static`` in it, and so many more services: ``s000000`` and so on.

    ``drawn`` has five edges to draw from.
    """
    pool = ", ".join(f"{name}: 1" for name in EDGES)
    edges = "".join(
        f"  {name}:\n    pop: {name}\n    addresses: {{v4: [192.0.2.{host}, 192.0.2.{host + 1}]}}\n"
        f'    location: {{country: {country}, region: "{region}", lat: {lat}, lon: {lon}}}\n'
        for name, (host, country, region, lat, lon) in EDGES.items()
    )
    more = "".join(f"  {_service(number)}: {{like: live}}\n" for number in range(services))
    zone = (
        "zone: example.test.\nsoa: {mname: ns1, rname: hostmaster}\n"
        "records:\n"
        '  "@": {NS: [ns1]}\n  ns1: {A: 192.0.2.53}\n  static: {A: 192.0.2.99}\n'
        "services:\n  live: {pool: all, ttl: 30, affinity: [continent, any]}\n  drawn: {like: live, affinity: [any]}\n"
        f"{more}pools:\n  all: {{{pool}}}\n"
    )
    return {"example.test.yaml": zone, "edges.yaml": f"edges:\n{edges}"}


def built(folder: Path, texts: dict[str, str], data: Path) -> World:
    """The snapshots of these zones and tables, built as the server builds them. No edge has reported."""
    state = folder / "state"
    state.mkdir(parents=True)
    return build(write_files(folder / "zones", texts), data, state)


def build(zone_folder: Path, data: Path, state: Path) -> World:
    """The snapshots of the files in these folders."""
    line = [sys.executable, "-m", "gslb.server.build", str(zone_folder), str(data), str(state)]
    said = json.loads(subprocess.run(line, check=True, capture_output=True).stdout)
    assert not said["errors"], said["errors"][:3]
    return opened(Path(said["catalog"]))


def opened(path: Path) -> World:
    """The catalog in a file, and the steering that fits it."""
    catalog = Catalog(memoryview(path.read_bytes()))
    sections = steer.build(catalog.arrays, StoreState(), 0)
    packed = b"".join(layout.pack(layout.STEERING_MAGIC, catalog.generation, sections))
    return World(catalog, Steering(memoryview(packed)))


def ecs_queries(nets: Sequence[Network], services: int = 0, count: int = QUERIES) -> list[bytes]:
    """Queries for the A of ``live``, or of a random one of the services, each with the /24 of a random client."""
    rng = random.Random(5)
    found = []
    for _ in range(count):
        net = rng.choice(nets)
        client = net.first + rng.randrange(1 << (32 - net.length))
        found.append(ecs_query(_service(rng.randrange(services)) if services else "live", client))
    return found


def ecs_query(label: str, client: int) -> bytes:
    """A query for the A of ``label`` below example.test with the /24 of ``client``."""
    return edns(subnet(1, 24, client.to_bytes(4)[:3]), question=asks(wire_name(f"{label}.example.test"), A), size=SIZE)


def flood(nets: Sequence[Network], count: int = QUERIES) -> list[bytes]:
    """Queries for random names that do not exist, with subnets as `ecs_queries` has them."""
    rng = random.Random(9)
    clients = [rng.choice(nets).first for _ in range(count)]
    return [ecs_query(f"{rng.getrandbits(60):015x}", client) for client in clients]


def wire_name(text: str) -> bytes:
    """A name without escapes as it stands in a message."""
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".") if label) + b"\0"


def read_queries(path: Path) -> list[bytes]:
    """The messages of a file in which each stands behind its length, as ``dnsperf -B`` reads them."""
    data = path.read_bytes()
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 2])
        found.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return found


def write_queries(path: Path, packets: Iterable[bytes]) -> Path:
    """Write such a file and give its path."""
    path.write_bytes(b"".join(len(packet).to_bytes(2) + packet for packet in packets))
    return path


def read_networks(path: Path) -> list[Network]:
    """The networks of ``nets.csv``."""
    found = []
    for row in path.read_text(encoding="ascii").splitlines()[1:]:
        prefix, country = row.split(",")
        address, _, length = prefix.partition("/")
        found.append(Network(int.from_bytes(bytes(map(int, address.split(".")))), int(length), country))
    return found


def _service(number: int) -> str:
    return f"s{number:06d}"


def _dotted(address: int) -> str:
    return ".".join(map(str, address.to_bytes(4)))
