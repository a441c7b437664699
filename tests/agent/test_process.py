"""`gslb agent` as a process, beside a real edge and a real Redis that comes and goes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gslbtest.edge import nginx
from gslbtest.process import SOON_S, command, end, free_port, running, wait_for_text
from gslbtest.stores import RedisServer, replicated

BACKLOG = 4096
"""Nobody takes the connections of probes: there is room for all."""


def gslb(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GSLB_")}
    return subprocess.run(
        [command("gslb"), *arguments], env=clean | env, capture_output=True, text=True, timeout=SOON_S, check=False
    )


def until(wanted: Callable[[], bool], told: Callable[[], object]) -> None:
    end_s = time.monotonic() + SOON_S
    while not wanted():
        assert time.monotonic() < end_s, told()
        time.sleep(0.02)


class Held:
    """What Redis holds of the edge. Where it cannot be asked, it holds nothing yet."""

    def __init__(self, redis: RedisServer) -> None:
        self._redis = redis

    def fields(self) -> dict[str, str]:
        lines = self._redis.says("HGETALL", "{gslb}:report:fra-1").split("\n")
        return dict(zip(lines[::2], lines[1::2], strict=False))

    def seq(self) -> int:
        """Of the last report; -1 without one."""
        return int(self.fields().get("seq", -1))

    def becomes(self, **wanted: str) -> dict[str, str]:
        """The fields once these are among them."""
        found: dict[str, str] = {}

        def so() -> bool:
            found.clear()
            found.update(self.fields())
            return wanted.items() <= found.items()

        until(so, lambda: found)
        return found


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


def test_an_edge_a_redis_and_an_agent(tmp_path: Path, redis: RedisServer) -> None:
    held, port = Held(redis), free_port()
    listener = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    load = tmp_path / "load"
    load.write_text("5Gbps\n")
    config = tmp_path / "agent.yaml"
    config.write_text(
        f"edge: fra-1\nstore: {redis.url}\ninterval: 0.1s\ntimeout: 0.5s\ncapacity: 10Gbps\n"
        f"load: {{command: [cat, {load}], interval: 0.1s}}\nsessions: {{command: [echo, 7]}}\n"
        f"probes: [{{tcp: '127.0.0.1:{port}', interval: 0.1s, fall: 2, rise: 2}}]\n"
    )
    log = tmp_path / "agent.log"
    with running([command("gslb"), "agent", "--config", str(config)], log) as process:
        wait_for_text(process, log, "ready edge=fra-1 probes=1 interval=0.1s\n")
        found = held.becomes(
            health4="up", health6="up", load_bps="5000000000", sessions="7", capacity_bps="10000000000"
        )
        first = (int(found["epoch"]), int(found["seq"]))

        listener.close()
        held.becomes(health4="down", health6="down")
        redis.kill()
        until(lambda: "store fails" in log.read_text(), log.read_text)
        listener = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
        redis.start()
        found = held.becomes(health4="up")
        assert (int(found["epoch"]), int(found["seq"])) > first
        until(lambda: "store is well again" in log.read_text(), log.read_text)

        seq = held.seq()
        redis.stop()
        time.sleep(1.5)  # several pushes hang meanwhile
        load.write_text("6Gbps\n")
        redis.cont()
        held.becomes(load_bps="6000000000")
        until(lambda: held.seq() > seq + 3, held.fields)
        assert held.fields()["epoch"] == found["epoch"]

        assert redis.cli("FLUSHALL").strip() == "OK"
        found = held.becomes(health4="up", load_bps="6000000000")
        assert end(process) == 0
    listener.close()
    held.becomes(health4="up")  # the end of an agent says nothing of its edge
    lines = [json.loads(line) for line in log.read_text().splitlines() if not line.startswith("ready ")]
    assert {line["event"] for line in lines} >= {"probe down", "probe up", "edge is", "store fails"}
    assert len(lines) < 30, "troubles are told sparingly"


def test_the_last_word_and_flags_over_the_file(tmp_path: Path, redis: RedisServer) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text("edge: ber-1\nstore: redis://127.0.0.1:1\nlast_word: down\n")
    log = tmp_path / "agent.log"
    line = [command("gslb"), "agent", "--config", str(config), "--edge", "fra-1"]
    with running(line, log, env={"GSLB_STORE": redis.url}) as process:
        wait_for_text(process, log, "ready edge=fra-1")
        Held(redis).becomes(health4="up")
        process.send_signal(signal.SIGINT)
        assert process.wait(SOON_S) == 0
    Held(redis).becomes(health6="down")


def test_it_starts_and_ends_without_a_store(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    line = [command("gslb"), "agent", "--edge", "fra-1", "--store", f"redis://user:secret@127.0.0.1:{free_port()}"]
    with running(line, log) as process:
        said = wait_for_text(process, log, "ready edge=fra-1")
        assert end(process) == 0
    assert "secret" not in said


def test_nobody_reads_what_it_says(tmp_path: Path, redis: RedisServer) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    line = [command("gslb"), "agent", "--edge", "fra-1", "--store", redis.url]
    process = subprocess.Popen(line, stdout=writing, stderr=writing)
    os.close(writing)
    try:
        Held(redis).becomes(health4="up")
    finally:
        assert end(process) == 0


def test_a_trial(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    with nginx(tmp_path / "nginx") as edge:
        (edge.root / "metrics").write_text("viewers 5\nsent_bytes_total 1\n")
        config.write_text(
            f"edge: fra-1\nstore: redis://127.0.0.1:1\ncapacity: 1Gbps\nload: {{interface: lo}}\n"
            f"sessions: {{prometheus: 'http://127.0.0.1:{edge.http}/metrics', metric: viewers}}\n"
            f"probes:\n  - {{http: 'https://127.0.0.1:{edge.https}/health', host: live.example}}\n"
            f"  - {{rtmp: '[::1]:{edge.rtmp}'}}\n"
        )
        good = gslb("agent", "--config", str(config), "--dry-run", SSL_CERT_FILE=str(edge.certificate))
        bad = gslb("agent", "--config", str(config), "--dry-run")
        wrong = tmp_path / "wrong.yaml"
        wrong.write_text(config.read_text().replace("live.example", "other.example"))
        other = gslb("agent", "--config", str(wrong), "--dry-run", SSL_CERT_FILE=str(edge.certificate))
    found = json.loads(good.stdout)
    assert isinstance(found.pop("load_bps"), int)
    assert found == {
        "edge": "fra-1",
        "health4": "up",
        "health6": "up",
        "capacity_bps": 1_000_000_000,
        "sessions": 5,
        "probes": [
            {"probe": f"http https://127.0.0.1:{edge.https}/health (IPv4)", "up": True, "reason": ""},
            {"probe": f"rtmp [::1]:{edge.rtmp} (IPv6)", "up": True, "reason": ""},
        ],
    }
    assert good.returncode == 0
    assert (bad.returncode, json.loads(bad.stdout)["health4"], json.loads(bad.stdout)["health6"]) == (1, "down", "up")
    assert json.loads(bad.stdout)["probes"][0]["reason"].startswith("certificate: ")
    assert "other.example" in json.loads(other.stdout)["probes"][0]["reason"]


def test_a_trial_of_sources_that_fail(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text("edge: e\nstore: redis://h\nload: {interface: nowhere}\nsessions: {command: [echo, many]}\n")
    done = gslb("agent", "--config", str(config), "--dry-run")
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert found["load_bps"] == "/sys/class/net/nowhere/statistics/tx_bytes: no such file or directory"
    assert found["sessions"].startswith('the command says "many" is not a whole number')


def test_a_faulty_file(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text("edge: e\nstore: redis://h\nprobes: [{}]\ncapacity: 0\n")
    done = gslb("agent", "--config", str(config))
    assert done.returncode == 78
    assert [line.partition(": ")[0] for line in done.stderr.splitlines()] == [f"{config}:3:10", f"{config}:4:11"]


def test_faulty_flags() -> None:
    done = gslb("agent", "--edge", "a b")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith('gslb: --edge: "a b" is not a name')
    assert done.stderr.splitlines()[1] == "gslb: --store is missing, and there is no file that says it"


def test_a_failover(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    with replicated(tmp_path / "redis") as ((primary, replica), url):
        line = [command("gslb"), "agent", "--edge", "fra-1", "--store", url]
        with running(line, log) as process:
            before = Held(primary).becomes(health4="up")
            primary.kill()
            until(replica.is_primary, log.read_text)
            held, seq = Held(replica), int(before["seq"])
            until(lambda: held.seq() > seq + 1, log.read_text)
            held.becomes(epoch=before["epoch"])
            assert end(process) == 0
