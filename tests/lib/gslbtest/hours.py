"""Hours of a made-up network as its logs have them: questions, deliveries, reports and counters, in the files that
servers, edges and the follower leave; and the zones and data that go with them.

Equal arguments give equal files. Nothing of it goes by the clock: an hour starts where it is said to.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gslb.model import records
from gslb.store import querylog

START_S = 1_767_225_600
"""2026-01-01 00:00:00 UTC."""
COUNTRIES = ("DE", "FR", "GB", "IT", "ES", "US", "CA", "BR", "JP", "KR", "CN", "IN", "ID", "AU", "ZA", "EG")
SEGMENT_ROWS = 250_000
_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Size:
    """How large a network is, and how much of an hour it logs. ``late`` is the share of rows whose time is up to
    ``late_s`` before what their segment is of, ``twice`` of those that are there twice, ``bad`` of those to reject."""

    queries: int
    deliveries: int
    places: int = 2_000
    clients: int = 1_000
    resolvers: int = 200
    views: int = 60
    services: int = 10
    edges: int = 12
    servers: int = 4
    report_every_s: int = 10
    late: float = 0.02
    late_s: int = 5
    twice: float = 0.01
    bad: float = 0.001
    segment_rows: int = SEGMENT_ROWS
    hour_s: int = records.HOUR_S


FULL = Size(
    queries=50_000_000,
    deliveries=5_000_000,
    places=500_000,
    clients=250_000,
    resolvers=20_000,
    views=3_000,
    services=50,
    edges=300,
    report_every_s=1,
)
"""What the bound speaks of."""


class Network(NamedTuple):
    """Who is where. Arrays by client or resolver; ``views`` are texts country|region|isp."""

    size: Size
    prefixes: list[str]
    prefix_view: Any
    views: list[str]
    client_prefix: Any
    resolver_prefix: Any
    net: Any
    length: Any
    family: Any
    edges_of_view: Any
    clients_of_edge: list[Any]

    def services(self) -> list[str]:
        """Their names as plans have them."""
        return [f"s{number}.hours.test." for number in range(self.size.services)]

    def edges(self) -> list[str]:
        """Their names."""
        return [f"e{number}" for number in range(self.size.edges)]


def network(size: Size) -> Network:
    """A network; of every ten prefixes one is IPv6."""
    rng = np.random.default_rng(1)
    views = sorted({f"{COUNTRIES[at % 16]}|R{at // 16 % 5}|AS{100 + at // 3}" for at in range(size.views)})
    lengths4 = rng.choice(np.array([20, 21, 22, 23, 24, 24, 24]), size.places)
    prefixes, nets, lengths, families = [], [], [], []
    at4, at6 = 11 << 24, 0x2400 << 48
    for number in range(size.places):
        if number % 10 == 9:
            prefixes.append(str(ipaddress.IPv6Network((at6 << 64, 44))))
            nets.append(at6), lengths.append(44), families.append(6)
            at6 += 1 << 20
            continue
        step = 1 << (32 - int(lengths4[number]))
        at4 = (at4 + step - 1) // step * step
        prefixes.append(f"{at4 >> 24}.{at4 >> 16 & 255}.{at4 >> 8 & 255}.{at4 & 255}/{lengths4[number]}")
        nets.append(at4), lengths.append(int(lengths4[number])), families.append(4)
        at4 += step
    crowd = np.cumsum(1.0 / np.arange(1, len(views) + 1))
    of_view = rng.permutation(len(views))[np.searchsorted(crowd / crowd[-1], rng.random(size.places))]
    clients = rng.permutation(size.places)[: size.clients]
    resolvers = rng.permutation(size.places)[: size.resolvers]
    # As affinity has it, edges serve views of their own country.
    of_country = np.arange(size.edges) % min(16, size.edges)
    near = [np.flatnonzero(of_country == COUNTRIES.index(view[:2]) % min(16, size.edges)) for view in views]
    edges_of_view = np.stack([rng.choice(edges, 3) for edges in near])
    by_edge: list[list[Any]] = [[] for _ in range(size.edges)]
    order = np.argsort(of_view[clients], kind="stable")
    starts = np.searchsorted(of_view[clients][order], np.arange(len(views) + 1))
    for view in range(len(views)):
        for edge in edges_of_view[view]:
            by_edge[edge].append(order[starts[view] : starts[view + 1]])
    return Network(
        size,
        prefixes,
        of_view,
        views,
        clients,
        resolvers,
        np.array(nets),
        np.array(lengths),
        np.array(families),
        edges_of_view,
        [np.concatenate([np.zeros(0, np.int64), *found]) for found in by_edge],
    )


def write_files(folder: Path, found: Network) -> tuple[Path, Path]:
    """Write ``zones/`` and ``data/`` of it below ``folder`` and give both."""
    zones, data = folder / "zones", folder / "data"
    (data / "isp").mkdir(parents=True)
    zones.mkdir()
    zones.joinpath("edges.yaml").write_text(
        "edges:\n"
        + "".join(
            f"  {edge}: {{pop: p{at // 4}, addresses: {{v4: [10.1.{at >> 8}.{at & 255}]}}, capacity: 40Gbps,"
            f" isps: [AS{100 + at % 7}, any], location: {{country: {COUNTRIES[at % 16]}, region: R{at % 5},"
            f" lat: {at % 80}, lon: {at % 170}}}}}\n"
            for at, edge in enumerate(found.edges())
        )
    )
    pool = ", ".join(f"{edge}: 1" for edge in found.edges())
    names = "".join(
        f"  s{at}: {{pool: all, ttl: 20s, affinity: [isp+country, country, any]}}\n"
        for at in range(found.size.services)
    )
    zones.joinpath("hours.yaml").write_text(
        "zone: hours.test.\nsoa: {mname: ns1, rname: hostmaster}\n"
        "records: {'@': {NS: [ns1]}, ns1: {A: 192.0.2.250}}\n"
        f"services:\n{names}pools:\n  all: {{{pool}}}\n"
    )
    parts = [view.split("|") for view in found.views]
    with data.joinpath("isp", "all.csv").open("w") as file:
        file.write("prefix,isp,country,region\n")
        for prefix, view in zip(found.prefixes, found.prefix_view, strict=True):
            country, region, isp = parts[view]
            file.write(f"{prefix},{isp},{country},{region}\n")
    return zones, data


def write_log(folder: Path, found: Network, start_s: int = START_S) -> int:
    """Write an hour of logs below ``folder``; how many rows, those that are there twice among them."""
    rows = _write_queries(folder, found, start_s)
    _write_deliveries(folder, found, start_s)
    return rows


def _write_queries(folder: Path, found: Network, start_s: int) -> int:
    size = found.size
    rng = np.random.default_rng(start_s)
    weights = np.cumsum(1.0 / np.arange(1, size.clients + 1) ** 0.7)
    chance = np.cumsum(1.0 / np.arange(1, size.services + 1) ** 1.2)
    per_server = size.queries // size.servers
    written = 0
    for server in range(size.servers):
        boot = f"{start_s // records.HOUR_S // 24 + server:016x}"
        day_seq = (start_s // size.hour_s) % 24 * per_server
        before: dict[str, Any] | None = None
        for at in range(0, per_server, size.segment_rows):
            count = min(size.segment_rows, per_server - at)
            rows = _rows(rng, found, weights / weights[-1], chance / chance[-1], count)
            rows["seq"] = day_seq + at + 1 + np.arange(count)
            first = start_s * _US + size.hour_s * _US * at // per_server
            rows["time"] = np.sort(rng.integers(0, size.hour_s * _US * count // per_server, count)) + first
            late = rng.random(count) < size.late
            back = rng.integers(0, size.late_s * _US, count)
            rows["time"] = np.where(late, np.maximum(rows["time"] - back, start_s * _US), rows["time"])
            rows["server"] = (np.zeros(count, np.int32), [f"ns{server}"])
            rows["boot_id"] = (np.zeros(count, np.int32), [boot])
            run = int(count * size.twice / 2)
            again = int(rng.integers(0, count - run + 1))
            once = _taken(rows, np.concatenate([np.arange(count), np.arange(again, again + run)]))
            name = f"ns{server}-{boot}"
            written += _segment(folder, f"{name}-{day_seq + at + 1}", once)
            if before is not None and (rng.random() < size.twice / 2 or (not server and at == size.segment_rows)):
                half = size.segment_rows // 2  # sent again, cut otherwise
                sent = _joined(_taken(before, np.arange(half, size.segment_rows)), _taken(rows, np.arange(count // 2)))
                written += _segment(folder, f"{name}-{day_seq + at + 1 - half}", sent)
            before = rows
            seq = day_seq + at + count
            told = {"queries": seq, "logged": seq, "lost": 0, "last_seq": seq}
            querylog.write(
                folder / "counters" / f"{name}-{seq}.parquet",
                records.COUNTERS,
                [
                    {
                        "time": [first + size.hour_s * _US * count // per_server],
                        "server": (np.zeros(1, np.int32), [f"ns{server}"]),
                        "boot_id": (np.zeros(1, np.int32), [boot]),
                        **{key: [value] for key, value in told.items()},
                    }
                ],
            )
    return written


def _segment(folder: Path, name: str, rows: dict[str, Any]) -> int:
    written, _ = querylog.write(folder / "queries" / f"{name}.parquet", records.QUERIES, [rows])
    return written


def _rows(rng: Any, found: Network, weights: Any, chance: Any, count: int) -> dict[str, Any]:
    """Random questions: two of three with Client Subnet, one of ten not for an address."""
    size = found.size
    client = np.searchsorted(weights, rng.random(count)).clip(0, size.clients - 1)
    prefix = found.client_prefix[client]
    resolver = (client * 7919 + rng.integers(0, 3, count)) % size.resolvers
    behind = found.resolver_prefix[resolver]
    ecs = rng.random(count) < 0.67
    view = np.where(ecs, found.prefix_view[prefix], found.prefix_view[behind])
    service = np.searchsorted(chance, rng.random(count)).clip(0, size.services - 1)
    edge = found.edges_of_view[view, (service + (rng.random(count) < 0.1)) % 3]
    bad = rng.random(count) < size.bad
    edge = np.where(bad & (service % 2 == 0), size.edges, edge)
    service = np.where(bad & (service % 2 == 1), size.services, service)
    qtype = np.where(rng.random(count) < 0.1, 65, np.where(rng.random(count) < 0.4, 28, 1))
    length6 = found.family[behind] == 6
    return {
        "service": (service.astype(np.int32), [*found.services(), "gone.hours.test."]),
        "qname_crc": service * 2654435761 % (1 << 32),
        "view": (view.astype(np.int32), found.views),
        "client_family": np.where(ecs, found.family[prefix], 0),
        "client_net": np.where(ecs, found.net[prefix], 0),
        "client_len": np.where(ecs, found.length[prefix], 0),
        "resolver_family": found.family[behind],
        "resolver_net": found.net[behind],
        "resolver_len": np.where(length6, 56, 24),
        "qtype": qtype,
        "rcode": np.zeros(count, np.int64),
        "level": np.where(qtype == 65, -1, service % 3),
        "scope": np.where(ecs, found.length[prefix], 0),
        "edge": (np.where(qtype == 65, size.edges + 1, edge).astype(np.int32), [*found.edges(), "ghost", ""]),
        "ttl_s": np.full(count, 20),
        "plan": (np.zeros(count, np.int32), ["17"]),
        "weight": np.ones(count, np.int64),
    }


def _taken(rows: dict[str, Any], at: Any) -> dict[str, Any]:
    return {
        name: (values[0][at], values[1]) if isinstance(values, tuple) else values[at] for name, values in rows.items()
    }


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {
        name: (np.concatenate([values[0], other[name][0]]), values[1])
        if isinstance(values, tuple)
        else np.concatenate([values, other[name]])
        for name, values in one.items()
    }


def _write_deliveries(folder: Path, found: Network, start_s: int) -> None:
    """Each other edge sends what it delivered, each five minutes; all report their load, which is just that."""
    size = found.size
    rng = np.random.default_rng(start_s + 1)
    logged = [edge for edge in range(0, size.edges, 2) if len(found.clients_of_edge[edge])]
    minutes = size.hour_s // 60
    per_minute = max(1, size.deliveries // (len(logged) * minutes))
    load_bps = rng.integers(1_000_000_000, 20_000_000_000, (size.edges, minutes))
    for edge in logged:
        for part in range(0, minutes, 5):
            minute = np.repeat(np.arange(part, min(part + 5, minutes)), per_minute)
            count = len(minute)
            prefix = found.client_prefix[rng.choice(found.clients_of_edge[edge], count)]
            share = rng.integers(1, 1000, count)
            total = np.bincount(minute - part, weights=share)[minute - part]
            used, codes = np.unique(prefix, return_inverse=True)
            querylog.write(
                folder / "delivery" / f"e{edge}-{start_s + part * 60}.parquet",
                records.DELIVERY,
                [
                    {
                        "minute": (start_s + minute * 60) * _US,
                        "edge": (np.zeros(count, np.int32), [f"e{edge}"]),
                        "service": (
                            rng.integers(0, size.services, count).astype(np.int32),
                            [name.rstrip(".") for name in found.services()],
                        ),
                        "client_prefix": (codes.astype(np.int32), [found.prefixes[at] for at in used]),
                        "bytes": (load_bps[edge, minute] / 8 * 60 * share / total).astype(np.int64),
                        "sessions_started": share // 100,
                    }
                ],
            )
    for number, rows in enumerate(_reports(found, load_bps, start_s)):
        ids = f"{rows['stream_ms'][0]}-0_{rows['stream_ms'][-1]}-{number}"
        querylog.write(folder / "reports" / f"{ids}.parquet", records.REPORTS, [rows])


def _reports(found: Network, load_bps: Any, start_s: int) -> Iterator[dict[str, Any]]:
    """A minute each."""
    size = found.size
    for minute in range(size.hour_s // 60):
        seconds = start_s + minute * 60 + np.arange(0, 60, size.report_every_s)
        edge = np.tile(np.arange(size.edges), len(seconds))
        at_s = np.repeat(seconds, size.edges)
        count = len(edge)
        load = load_bps[edge, minute]
        yield {
            "time": at_s * _US,
            "stream_ms": at_s * 1000 + 1,
            "stream_seq": edge,
            "edge": (edge.astype(np.int32), found.edges()),
            "epoch": np.full(count, start_s - start_s % 86_400),
            "seq": at_s - start_s + 1,
            "health4": (np.zeros(count, np.int32), ["up"]),
            "health6": (np.zeros(count, np.int32), ["up"]),
            "load_bps": load,
            "capacity_bps": np.full(count, 40_000_000_000),
            "headroom_milli": 1000 - load // 40_000_000,
            "sessions": load // 2_000_000,
        }
