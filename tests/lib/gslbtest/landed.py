"""Small logs, counters, delivery logs and reports, as they land, of a network that is the same each time.

Two servers, three edges of which ``a`` and ``b`` send delivery logs, two services, and viewers in four prefixes.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from gslb.measure import arrow
from gslb.measure.engine import Engine
from gslb.measure.silver import Facts
from gslb.model import records

BEGIN_S: Final = 1_795_860_000
"""2026-11-28T10:00:00Z."""
SERVICES: Final = ("news.example.", "pull.example.")
EDGES: Final = ("a", "b", "c")
SERVERS: Final = ("ns1", "ns2")
PREFIXES: Final = tuple((16 << 24) + (at << 8) for at in range(4))
VIEWS: Final = (("DE", "BE", "isp1"), ("DE", "BY", "isp1"), ("FR", "IDF", "isp2"), ("FR", "", "isp2"))

Row = dict[str, Any]


def facts(engine: Engine, digest: str = "facts") -> Facts:
    """What zones and data say of it."""
    places = [
        {"family": 4, "net": net, "len": 24, "country": country, "region": region, "isp": isp}
        for net, (country, region, isp) in zip(PREFIXES, VIEWS, strict=True)
    ]
    services = [{"service": service, "ttl_s": 20} for service in SERVICES]
    edges = [
        {"edge": edge, "pop": edge, "country": "DE", "region": "BE", "isps": "any", "capacity_bps": 10**9}
        for edge in EDGES
    ]
    return Facts(
        engine.rows_of(places, records.PLACES),
        engine.rows_of(services, records.SERVICES),
        engine.rows_of(edges, records.EDGES),
        digest,
    )


def queries(server: str, from_s: int, until_s: int, first_seq: int, per_minute: int = 24) -> list[Row]:
    """Questions of one server, spread over the time."""
    count = (until_s - from_s) * per_minute // 60
    rows = []
    for at in range(count):
        client = (at * 7 + at // 5) % 4
        rows.append(
            {
                "time": _time(from_s + (at + 0.5) * (until_s - from_s) / count),
                "server": server,
                "boot_id": f"{SERVERS.index(server) + 1:016x}",
                "seq": first_seq + at,
                "service": SERVICES[at % 2],
                "qname_crc": at % 3,
                "view": "|".join(VIEWS[client]),
                "client_family": 4,
                "client_net": PREFIXES[client],
                "client_len": 24,
                "resolver_family": 4,
                "resolver_net": (172 << 24) + (client // 2 << 8),
                "resolver_len": 24,
                "qtype": 1,
                "rcode": 0,
                "level": 0,
                "scope": 24,
                "edge": EDGES[(client + at // 11) % 3],
                "ttl_s": 20,
                "plan": "",
                "weight": 1,
            }
        )
    return rows


def reports(from_s: int, until_s: int) -> list[Row]:
    """What edges push, each every 10 s."""
    return [
        {
            "time": _time(time_s),
            "stream_ms": time_s * 1000,
            "stream_seq": at,
            "edge": edge,
            "epoch": 1,
            "seq": time_s // 10,
            "health4": "up",
            "health6": "up",
            "load_bps": 8_000_000 * (at + 1),
            "capacity_bps": 10**9,
            "headroom_milli": 1000,
            "sessions": 5,
        }
        for time_s in range(from_s, until_s, 10)
        for at, edge in enumerate(EDGES)
    ]


def delivery_lines(from_s: int, until_s: int) -> list[str]:
    """What edges ``a`` and ``b`` delivered, by the minute: all that they report."""
    lines = []
    for minute_s in range(from_s, until_s, 60):
        minute = datetime.fromtimestamp(minute_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for at, edge in enumerate(EDGES[:2]):
            for service, client in itertools.product(SERVICES, range(4)):
                count = 8_000_000 * (at + 1) * 60 // 8 // 8
                lines.append(f"{minute},{edge},{service},16.0.{client}.0/24,{count},{client}")
    return lines


def land_queries(log: Path, rows: Sequence[Mapping[str, Any]], name: str = "") -> Path:
    """A segment."""
    first = min(row["seq"] for row in rows)
    name = name or f"{rows[0]['server']}-{rows[0]['boot_id']}-{first:012d}.parquet"
    return _land(log / "queries" / name, rows, records.QUERIES)


def land_reports(log: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A file of the follower."""
    ids = [f"{row['stream_ms']}-{row['stream_seq']}" for row in rows]
    return _land(log / "reports" / f"{ids[0]}_{ids[-1]}.parquet", rows, records.REPORTS)


def land_deliveries(log: Path, lines: Iterable[str], name: str) -> Path:
    """A delivery log."""
    path = log / "delivery" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{name}")
    hidden.write_text("\n".join(["minute,edge,service,client_prefix,bytes,sessions_started", *lines]) + "\n")
    return hidden.rename(path)


def land_counters(log: Path, server: str, at_s: int, last_seq: int, lost: int = 0) -> Path:
    """What a server counts."""
    boot_id = f"{SERVERS.index(server) + 1:016x}"
    row = {
        "time": _time(at_s), "server": server, "boot_id": boot_id, "queries": last_seq, "logged": last_seq - lost,
        "lost": lost, "last_seq": last_seq,
    }  # fmt: skip
    return _land(log / "counters" / f"{server}-{boot_id}-{at_s}.parquet", [row], records.COUNTERS)


def land(log: Path, from_s: int, until_s: int, per_minute: int = 24, sources: Iterable[str] = ("q", "d", "r")) -> None:
    """All that there is of a time, a multiple of 300 s: of each 300 s and server a segment, of each 300 s a file."""
    wanted = set(sources)
    for start_s in range(from_s, until_s, 300):
        for server in SERVERS if "q" in wanted else ():
            first = (start_s - BEGIN_S) * per_minute // 60 + 1
            rows = queries(server, start_s, start_s + 300, first, per_minute)
            land_queries(log, rows)
            land_counters(log, server, start_s + 299, rows[-1]["seq"])
        if "d" in wanted:
            land_deliveries(log, delivery_lines(start_s, start_s + 300), f"edges-{start_s}.csv")
        if "r" in wanted:
            land_reports(log, reports(start_s, start_s + 300))


def disordered(rows: Sequence[Row], seed: int, share: float = 0.1) -> list[list[Row]]:
    """The same rows in three segments: some late, some twice, none in order."""
    draw = random.Random(seed)
    mixed = [*rows, *draw.sample(list(rows), int(len(rows) * share))]
    draw.shuffle(mixed)
    at = len(mixed) // 3
    return [mixed[:at], mixed[at : 2 * at], mixed[2 * at :]]


def _time(time_s: float) -> datetime:
    return datetime.fromtimestamp(time_s, UTC)


def _land(path: Path, rows: Iterable[Mapping[str, Any]], columns: records.Columns) -> Path:
    arrow.write_rows(path, rows, columns)
    return path
