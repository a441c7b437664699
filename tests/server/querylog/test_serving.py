"""A real server's query log: what clients ask stands in it, once each, over reloads and the deaths of its processes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from gslbtest.asking import addresses, ask
from gslbtest.process import SOON_S, program
from gslbtest.serving import Server, serving

from gslb.server import serve
from gslb.server.durations import RELOAD_S, STEERING_S, Durations
from gslb.server.metrics import Scrape, exposition
from gslb.server.querylog.link import Told
from gslb.server.settings import Settings
from gslb.server.status import Status

WRITER = "gslb.server.querylog.process"
PULL = "pull.live.example."


def children(server: Server) -> dict[int, str]:
    """The processes of a server by their command lines."""
    found = {}
    for each in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((each / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == server.process.pid:
                found[int(each.name)] = (each / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return found


def writer(server: Server) -> int:
    """The process that writes the log, 0 while there is none."""
    return next((pid for pid, line in children(server).items() if WRITER in line), 0)


def wait(condition: Callable[[], object], server: Server) -> None:
    until = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < until, server.said()
        time.sleep(0.02)


def rows(log: Path, folder: str = "queries") -> list[dict[str, Any]]:
    return [row for path in sorted((log / folder).glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_every_question_is_logged_once(
    tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]
) -> None:
    log = tmp_path / "log"
    more = ["--query-log-dir", str(log), "--workers", "2", "--server-id", "ns1"]
    asked: Counter[tuple[str, str, int]] = Counter()
    with serving(tmp_path, zones=small, arguments=more, env={"GSLB_QUERY_LOG_S": "1"}) as server:

        def all_of_it(name: str, subnet: str | None = "198.51.100.0/24", *, tcp: bool = False, count: int = 10) -> None:
            for _ in range(count):
                found = ask(server.port, name, subnet=subnet, tcp=tcp)
                edge = {"192.0.2.10": "sha", "192.0.2.20": "fra"}.get((addresses(found) or [""])[0], "")
                asked[name if edge else "", edge if subnet else "", int(found.rcode())] += 1

        all_of_it(PULL)
        all_of_it(PULL, "203.0.113.0/24")
        all_of_it(PULL, tcp=True, count=3)
        all_of_it("www.live.example.", None, count=2)
        all_of_it("none.live.example.", None, count=2)
        wait(lambda: rows(log), server)
        killed = writer(server)
        os.kill(killed, signal.SIGKILL)
        all_of_it(PULL)
        wait(lambda: writer(server) not in (0, killed), server)
        text = small["live.yaml"].replace("  pull:", "  more: {pool: all, affinity: [any]}\n  pull:")
        (server.zones / "live.yaml").write_text(text)
        wait(lambda: admin_of(server).status()["services"] == 2, server)
        all_of_it("more.live.example.")
        total = sum(asked.values())
        wait(lambda: admin_of(server).metrics()["gslb_query_log_records_total"] == total, server)
        told = admin_of(server).metrics()
        assert told["gslb_query_log_restarts_total"] == 1
        assert sum(value for name, value in told.items() if name.startswith("gslb_query_log_lost_total")) == 0
        workers = [pid for pid, line in children(server).items() if "gslb.server.worker" in line]
        os.kill(workers[0], signal.SIGKILL)
        wait(lambda: admin_of(server).status()["workers"][0]["restarts"], server)
        all_of_it(PULL, count=5)
        assert server.stop() == 0
    found = rows(log)
    assert [row["seq"] for row in found] == list(range(1, sum(asked.values()) + 1))
    assert {(row["server"], row["plan"], row["weight"]) for row in found} == {("ns1", "", 1)}
    assert Counter((row["service"], row["edge"], row["rcode"]) for row in found) == asked
    views = {"sha": "CN||", "fra": "DE||"}
    by_view = {(row["view"], row["edge"]) for row in found if row["service"] == PULL}
    assert by_view == {(view, edge) for edge, view in views.items()}
    by_client = {(row["client_net"], row["client_len"], row["edge"]) for row in found if row["service"] == PULL}
    assert by_client == {(0xC6336400, 24, "sha"), (0xCB007100, 24, "fra")}
    last = rows(log, "counters")[-1]
    assert (last["logged"], last["lost"], last["last_seq"]) == (len(found), 0, len(found))
    assert last["queries"] == len(found)


def test_without_pyarrow_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serve.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(serve, "configure", lambda level: None)
    assert serve.run(Settings(query_log_dir=tmp_path, state=tmp_path)) == serve.NO_CONFIGURATION
    assert capsys.readouterr().err == "gslb: query_log_dir needs pyarrow: install gslb[log]\n"


def test_its_metrics() -> None:
    told = Told(5, {"ring": 1, "disk": 2, "catalog": 0, "fault": 0}, 3, 4000, 6, 7, True, 8, 9)
    status = Status("1", "id", 1, 0.0, False, (), "", "memory://")
    scrape = Scrape(status, [], {}, 0, Durations(RELOAD_S), Durations(STEERING_S), lambda: None)
    assert b"gslb_query_log_records_total 0.0" in exposition(scrape)
    text = exposition(scrape._replace(query_log=told)).decode()
    found = [line.removeprefix("gslb_query_log_") for line in text.splitlines() if line.startswith("gslb_query_log_")]
    assert found == [
        "records_total 5.0",
        'lost_total{reason="ring"} 1.0',
        'lost_total{reason="disk"} 2.0',
        'lost_total{reason="catalog"} 0.0',
        'lost_total{reason="fault"} 0.0',
        "segments_total 3.0",
        "bytes_total 4000.0",
        "removed_total 6.0",
        "failures_total 7.0",
        "failing 1.0",
        "waiting 8.0",
        "restarts_total 9.0",
    ]
    line = [program("promtool"), "check", "metrics"]
    done = subprocess.run(line, input=text.encode(), capture_output=True, timeout=SOON_S, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
