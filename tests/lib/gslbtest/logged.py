"""Records of the query log for tests: as rings hold them, and as files do."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gslb.model import records
from gslb.server import ring
from gslb.snapshot import layout
from gslb.store import querylog
from gslbtest.world import World

T_US = 1_795_000_000_000_000
"""2026-11-18T11:06:40Z."""
NOTHING: dict[str, Any] = {
    "time": T_US, "server": "ns1", "boot_id": "00112233445566aa", "seq": 1, "service": "pull.live.example.",
    "qname_crc": 7, "view": "CN|SH|chinanet", "client_family": 4, "client_net": 0xC6336400, "client_len": 24,
    "resolver_family": 4, "resolver_net": 0xC0000200, "resolver_len": 24, "qtype": 1, "rcode": 0, "level": 0,
    "scope": 24, "edge": "sha", "ttl_s": 20, "plan": "", "weight": 1,
}  # fmt: skip
"""A record of the log, from which others differ."""


def ring_records(rows: Sequence[Mapping[str, int]]) -> npt.NDArray[Any]:
    """Records of a ring, numbered from 1 on; what a row does not say is as of a question that no service answered."""
    found = np.zeros(len(rows), ring.RECORD)
    found["service"], found["edge"], found["time_us"] = layout.NONE32, 0xFFFF, T_US
    found["number"] = np.arange(1, len(rows) + 1)
    for at, row in enumerate(rows):
        for name, value in row.items():
            found[name][at] = value
    return found


def snapshots(net: World) -> tuple[int, int]:
    """Descriptors of a catalog and its steering, as the control process has them."""
    generation = net.catalog.generation
    return (
        _memory(layout.pack(layout.CATALOG_MAGIC, generation, net.catalog.arrays)),
        _memory(layout.pack(layout.STEERING_MAGIC, generation, net.steering.arrays)),
    )


def _memory(pieces: Iterable[bytes | memoryview]) -> int:
    fd = os.memfd_create("test")
    os.write(fd, b"".join(pieces))
    return fd


def columns(rows: Sequence[Mapping[str, Any]], kinds: records.Columns = records.QUERIES) -> dict[str, Any]:
    """Rows as `querylog.write` takes a group."""
    found: dict[str, Any] = {}
    for name, kind in kinds.items():
        values = [row[name] for row in rows]
        if kind == records.TEXT:
            distinct = sorted(set(values))
            found[name] = np.array([distinct.index(value) for value in values], np.int32), distinct
        else:
            found[name] = np.array(values)
    return found


def segment(log: Path, name: str, rows: Sequence[Mapping[str, Any]], group: int = 1000) -> Path:
    """Write a segment of rows that differ from `NOTHING`."""
    full = [{**NOTHING, **row} for row in rows]
    path = log / querylog.QUERIES / f"{name}{querylog.SUFFIX}"
    groups = (columns(full[begin : begin + group]) for begin in range(0, len(full), group))
    querylog.write(path, records.QUERIES, groups)
    return path
