"""The loop closed: what a server under load was asked, and what edges served, becomes demand, a plan and other answers.

A server and a real Redis go by a clock that the test moves, so that a bucket of 300 s passes in seconds; the pipeline
and the dispatcher, which look at buckets that have ended, by the true one. Each joint is looked at.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from gslbtest import ring
from gslbtest.moved_clock import MovedClock
from gslbtest.process import SOON_S, command, program
from gslbtest.serving import Server, serving, write_files
from gslbtest.stores import RedisServer

from gslb.dispatch import manifest
from gslb.model.report import Report
from gslb.store.opening import open_writer

BUCKET_S = 300
MINUTES = 5
QUESTIONS = 24
"""For each place, in each minute."""
REDIS = ("--port", "@PORT", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")


def test_the_loop_is_closed(tmp_path: Path) -> None:
    now_s = int(time.time())
    begin_s = now_s // BUCKET_S * BUCKET_S - BUCKET_S
    log, tables = tmp_path / "log", tmp_path / "tables"
    zones = write_files(tmp_path / "zones", {**ring.zones(), "dispatch.yaml": "solve_limit_s: 10\n"})
    data = write_files(tmp_path / "data", {"rtt.csv": ring.rtt()})
    files = ["--zones", str(zones), "--data", str(data)]
    clock = MovedClock(tmp_path)
    with _redis(tmp_path / "redis", clock) as store:
        logged = ["--query-log-dir", str(log), "--store", store.url]
        with serving(
            tmp_path, zones=zones, data=data, arguments=logged, env={**clock.env, "GSLB_QUERY_LOG_S": "1"}
        ) as server:
            asked = _a_bucket(server, store, clock, begin_s)
            assert asked == {at: {ring.edge(at)} for at in range(ring.PLACES)}, "by local policy each stays near"

            found = _query_log(log, ring.PLACES * QUESTIONS * MINUTES)
            assert sorted(found["seq"]) == list(range(1, len(found["seq"]) + 1)), "nothing is lost"
            pairs = set(zip(found["view"], found["edge"], strict=True))
            assert pairs == {(f"US|{ring.region(at)}|isp", ring.edge(at)) for at in range(ring.PLACES)}

            _deliver(log / "delivery", begin_s)
            clock.show_true()
            run = ["measure", "run", "--log", str(log), "--out", str(tables), *files, "--store", store.url]
            _gslb(*run)
            reports = ds.dataset(log / "reports").to_table()
            assert reports.num_rows == ring.PLACES * MINUTES
            measured = _demand(tables / "gold" / "demand", begin_s)
            for at in range(ring.PLACES):
                wanted = _bps(at)
                bps, source = measured[ring.region(at)]
                assert bps == pytest.approx(wanted, rel=0.01), ring.region(at)
                assert source == ("delivered" if _sends_logs(at) else "inferred")

            demand = ["--demand", str(tables / "gold" / "demand")]
            state = ["--state", str(tmp_path / "dispatch"), "--store", store.url, "--metrics", "none"]
            plan = tmp_path / "plan.json"
            _gslb("dispatch", "--once", *files, *state, *demand, "--out", str(plan))
            rows = {row[2]: dict(row[4]) for row in json.loads(plan.read_text())["rows"]}
            for at in range(0, ring.PLACES, 2):
                assert set(rows[ring.region(at)]) == {ring.edge(at), ring.edge((at + 1) % ring.PLACES)}

            _answered(server, rows)


def _redis(folder: Path, clock: MovedClock) -> RedisServer:
    environment = [f"{name}={value}" for name, value in clock.env.items()]
    return RedisServer(folder, line=["env", *environment, program("redis-server"), *REDIS, "--dir", str(folder)])


def _a_bucket(server: Server, store: RedisServer, clock: MovedClock, begin_s: int) -> dict[int, set[str]]:
    """Live through a bucket: in each minute edges report and every place asks; which edges each got."""
    found: dict[int, set[str]] = {at: set() for at in range(ring.PLACES)}
    for minute in range(MINUTES):
        time_s = begin_s + 60 * minute + 20
        clock.show(time_s)
        asyncio.run(_report(store.url, minute))
        for at in range(ring.PLACES):
            found[at] |= set(ring.drawn(server.port, at, QUESTIONS))
    return found


async def _report(url: str, minute: int) -> None:
    writer = open_writer(url)
    try:
        for at in range(ring.PLACES):
            load_bps = _bps(at)
            report = Report(
                ring.edge(at), 1, minute + 1, 0, load_bps=load_bps, capacity_bps=ring.CAPACITY_BPS, headroom_milli=1000
            )
            assert (await writer.report(report)).accepted
    finally:
        await writer.close()


def _query_log(log: Path, wanted: int) -> dict[str, list[Any]]:
    """The columns of the query log, once it holds so many rows."""
    end = time.monotonic() + SOON_S
    while True:
        files = sorted((log / "queries").glob("[!.]*.parquet"))
        found = pa.concat_tables([pq.read_table(path) for path in files]).to_pydict() if files else {"seq": []}
        if len(found["seq"]) >= wanted:
            assert len(found["seq"]) == wanted
            return found
        assert time.monotonic() < end, f"{len(found['seq'])} of {wanted} rows"
        time.sleep(0.2)


def _bps(at: int) -> int:
    """What viewers of a place ask for: of every second place more than its edge carries below its knee, and less than
    what it holds, so that it stays with the plan."""
    return ring.FEW_BPS if at % 2 else 9 * ring.CAPACITY_BPS // 10


def _sends_logs(at: int) -> bool:
    """Half of the edges send delivery logs: of places with much demand and of those with little."""
    return at % 4 < 2


def _deliver(folder: Path, begin_s: int) -> None:
    """What those edges delivered, put where logs are dropped: four /24s each, a row each minute."""
    lines = ["minute,edge,service,client_prefix,bytes,sessions_started"]
    for at in filter(_sends_logs, range(ring.PLACES)):
        rate_bps = _bps(at)
        for minute in range(MINUTES):
            time_text = datetime.fromtimestamp(begin_s + 60 * minute, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            for subnet in ring.subnets(at, 4):
                prefix = ".".join(map(str, subnet)) + ".0/24"
                lines.append(f"{time_text},{ring.edge(at)},pull.live.example,{prefix},{rate_bps * 60 // 8 // 4},10")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".new").write_text("\n".join(lines) + "\n")
    (folder / ".new").rename(folder / "edges.csv")


def _demand(folder: Path, begin_s: int) -> dict[str, tuple[float, str]]:
    """Demand and where it is known from, by region, of the one bucket that was measured; as a dispatcher finds it."""
    told = manifest.read((folder / "_current.json").read_bytes(), "demand", BUCKET_S)
    assert told.buckets_s == (begin_s,)
    found = pa.concat_tables([pq.read_table(folder / name) for name in told.files]).to_pylist()
    assert {(row["service"], row["country"], row["isp"]) for row in found} == {(ring.SERVICE, "US", "isp")}
    assert len(found) == ring.PLACES
    return {row["region"]: (row["demand_bps"], row["source"]) for row in found}


def _answered(server: Server, rows: dict[str, dict[str, int]]) -> None:
    """Wait until viewers of every place with more than its edge holds get the edges of the plan, by its weights."""
    end = time.monotonic() + SOON_S
    for at in range(0, ring.PLACES, 2):
        weights = rows[ring.region(at)]
        near = weights[ring.edge(at)] / sum(weights.values())
        while True:
            drawn = Counter(ring.drawn(server.port, at, 400))
            if set(drawn) == set(weights) and abs(drawn[ring.edge(at)] / 400 - near) < 0.12:  # 5 sigma
                break
            assert time.monotonic() < end, (at, drawn, weights)
            time.sleep(0.2)


def _gslb(*arguments: str) -> None:
    done = subprocess.run([command("gslb"), *arguments], capture_output=True, text=True, timeout=SOON_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
