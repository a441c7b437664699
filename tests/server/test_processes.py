"""The processes of a server that answers: their end, their deaths, what they can bear. On both paths."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dns.edns
import dns.message
import dns.query
import pytest
from gslbtest.asking import addresses, ask
from gslbtest.process import SOON_S, free_port
from gslbtest.serving import Server, arguments, serving

AGAIN_S = 5.0
"""After so long clients ask again."""


def refused(line: list[str]) -> str:
    done = subprocess.run(line, capture_output=True, text=True, timeout=SOON_S, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


@pytest.fixture(scope="module")
def server(network: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two workers on three addresses, for the tests that it outlives."""
    port = free_port("::1")
    extra = ["--listen", f"[::1]:{port}", "--listen", f"0.0.0.0:{port}", "--workers", "2"]
    with serving(tmp_path_factory.mktemp("processes"), zones=network, arguments=extra) as found:
        yield found
    assert found.process.returncode == 0


def test_addresses_are_answered_on_and_nobody_elses(server: Server, tmp_path: Path) -> None:
    line = next(line for line in server.said().splitlines() if line.startswith("ready "))
    port = int(line.split()[2].rpartition(":")[2])
    for host in ("127.0.0.1", "127.0.0.2", "::1"):
        for tcp in (False, True):
            # dnspython refuses an answer from another address than it asked.
            for _ in range(4):
                assert addresses(ask(port, "www.live.example.", host=host, tcp=tcp)) == ["192.0.2.80"]
    assert addresses(ask(server.port, "www.live.example.")) == ["192.0.2.80"]
    assert line.startswith(
        f"ready 127.0.0.1:{server.port} [::1]:{port} 0.0.0.0:{port} (UDP, TCP), admin 127.0.0.1:{server.admin}:"
        " 1 zones, 1 services, generation "
    )
    assert refused(arguments(tmp_path, state=server.state)) == (
        f"gslb: the state directory {server.state} is in use by another server (process {server.process.pid})\n"
    )
    assert refused(arguments(tmp_path, listen=f"127.0.0.1:{server.port}")) == (
        f"gslb: cannot listen on 127.0.0.1:{server.port} (UDP): Address already in use\n"
    )
    assert refused(arguments(tmp_path, admin=f"127.0.0.1:{server.admin}")) == (
        f"gslb: cannot listen on 127.0.0.1:{server.admin} (TCP): Address already in use\n"
    )
    (tmp_path / "file").write_text("")
    assert refused(arguments(tmp_path, state=tmp_path / "file" / "state")) == (
        f"gslb: the state directory {tmp_path}/file/state cannot be used: Not a directory; name another by --state\n"
    )


def test_a_storm_of_malformed_packets(server: Server, admin_of: Callable[[Server], Any]) -> None:
    seeded = random.Random(53)
    good = dns.message.make_query("pull.live.example.", "A", use_edns=0, payload=1232).to_wire()
    admin = admin_of(server)
    said, before = server.said(), admin.metrics()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for number in range(4000):
            packet = bytearray(good if number % 2 else seeded.randbytes(seeded.randrange(80)))
            for _ in range(seeded.randrange(6)):
                if packet:
                    packet[seeded.randrange(len(packet))] = seeded.randrange(256)
            sock.sendto(
                bytes(packet[: seeded.randrange(len(packet) + 1)] if number % 3 == 0 else packet),
                ("127.0.0.1", server.port),
            )
            if number % 100 == 0:
                assert addresses(ask(server.port, "www.live.example.")) == ["192.0.2.80"]
    after = admin.metrics()
    assert after["gslb_engine_errors_total"] == 0
    malformed = 'gslb_replies_total{rcode="FORMERR",transport="udp"}'
    assert after[malformed] - before[malformed] > 100
    assert after["gslb_worker_restarts_total"] == before["gslb_worker_restarts_total"]
    assert server.said() == said  # not a line


class Asker(threading.Thread):
    """Asks over UDP as fast as answers come back, a window at a time, until told to stop; counts both."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.sent: set[int] = set()
        self.received: set[int] = set()
        self._port = port
        self._stopping = threading.Event()

    def run(self) -> None:
        query = bytearray(dns.message.make_query("pull.live.example.", "A").to_wire())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(1)
            number = 0
            while not self._stopping.is_set() and number < 65_000:
                for _ in range(20):
                    number += 1
                    query[:2] = number.to_bytes(2)
                    sock.sendto(query, ("127.0.0.1", self._port))
                    self.sent.add(number)
                if not self._take(sock, 20):
                    break
            while self.received < self.sent and self._take(sock, 1):
                pass

    def _take(self, sock: socket.socket, count: int) -> bool:
        for _ in range(count):
            try:
                self.received.add(int.from_bytes(sock.recv(2000)[:2]))
            except (TimeoutError, ConnectionError):
                return False
        return True

    def stop(self) -> None:
        self._stopping.set()
        self.join(SOON_S)


def test_a_dead_worker_is_replaced(server: Server, admin_of: Callable[[Server], Any]) -> None:
    admin = admin_of(server)
    first = admin.metrics()
    for _ in range(20):
        ask(server.port, "www.live.example.")
    before = admin.metrics()
    asker = Asker(server.port)
    asker.start()
    for round_ in range(2):
        victim = admin.status()["workers"][round_]["pid"]
        os.kill(victim, signal.SIGKILL)
        status = admin.until(
            lambda status, victim=victim, round_=round_: (
                status["workers"][round_]["pid"] not in (0, victim)
                and all(worker["answering"] for worker in status["workers"])
            )
        )
        assert status["ready"]
        assert status["workers"][round_]["restarts"] == 1
    asker.stop()
    # What a worker had already taken dies with it, and a window of the asker's at most has been there.
    assert len(asker.sent - asker.received) <= 40
    after = admin.metrics()
    assert after["gslb_worker_restarts_total"] == 2
    assert after["gslb_workers_answering"] == 2
    name = 'gslb_queries_total{family="ipv4",qtype="A",transport="udp"}'
    assert before[name] - first[name] == 20
    assert after[name] >= before[name] + len(asker.received)
    assert "worker died and is replaced" in server.said()


def test_sigterm_loses_nothing_in_flight(tmp_path: Path, small: dict[str, str]) -> None:
    """All that was sent before the signal is answered, UDP as TCP; half a question too, once it is whole."""
    with serving(tmp_path, zones=small, arguments=["--workers", "2"]) as server:
        wire = dns.message.make_query("pull.live.example.", "A").to_wire()
        framed = len(wire).to_bytes(2) + wire
        idle = socket.create_connection(("127.0.0.1", server.port), SOON_S)
        half = socket.create_connection(("127.0.0.1", server.port), SOON_S)
        half.sendall(framed + framed[:-1])
        assert half.recv(2000)[2:4] == wire[:2]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            sock.settimeout(SOON_S)
            for number in range(1500):
                sock.sendto(number.to_bytes(2) + wire[2:], ("127.0.0.1", server.port))
            pipelined = socket.create_connection(("127.0.0.1", server.port), SOON_S)
            pipelined.sendall(framed * 1500)
            server.process.send_signal(signal.SIGTERM)
            numbers = {int.from_bytes(sock.recv(2000)[:2]) for _ in range(1500)}
        assert numbers == set(range(1500))
        answers = b""
        while piece := pipelined.recv(65536):
            answers += piece
        length = 2 + int.from_bytes(answers[:2])
        assert len(answers) == 1500 * length
        half.sendall(framed[-1:])
        assert half.recv(2000)[2:4] == wire[:2]
        assert half.recv(2000) == b""
        assert idle.recv(2000) == b""
        for each in (idle, half, pipelined):
            each.close()
        assert server.process.wait(SOON_S) == 0


def test_the_only_worker_dies_and_then_the_control_process(
    tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]
) -> None:
    """Queries wait in the socket, which is the control process's, until the next worker answers them.

    The control process holds the catalog too, and not its name. Workers do not outlive the control process.
    """
    with serving(tmp_path, zones=small) as server:
        admin = admin_of(server)
        shutil.rmtree(server.state / "catalog")
        kill(admin.status()["workers"][0]["pid"])
        for tcp in (False, True):
            assert addresses(ask(server.port, "www.live.example.", tcp=tcp, again_s=AGAIN_S)) == ["192.0.2.80"]
        status = admin.status()
        [worker] = status["workers"]
        assert (status["ready"], worker["restarts"], _runs(worker["pid"])) == (True, 1, True)
        server.process.kill()
        server.process.wait()
        until = time.monotonic() + SOON_S
        while _runs(worker["pid"]):
            assert time.monotonic() < until
            time.sleep(0.02)


def kill(pid: int) -> None:
    """Kill a worker. A thread of it may take a packet with it even now: clients ask again."""
    os.kill(pid, signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        return b"gslb.server.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_limits_reach_where_they_hold(tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]) -> None:
    """The size of the receive buffer, and what it makes the kernel drop; the rate limit of edges.yaml."""
    small["edges.yaml"] += "rrl: {per_second: 5, slip: 2}\n"
    with serving(tmp_path, zones=small, env={"GSLB_RECEIVE_BUFFER": "4096"}) as server:
        admin = admin_of(server)
        pid = admin.status()["workers"][0]["pid"]
        os.kill(pid, signal.SIGSTOP)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(200):
                sock.sendto(bytes(11), ("127.0.0.1", server.port))
        lost = admin.metrics()["gslb_udp_receive_drops_total"]
        assert 0 < lost < 200
        os.kill(pid, signal.SIGCONT)
        until = time.monotonic() + SOON_S
        while admin.metrics()['gslb_replies_total{rcode="dropped",transport="udp"}'] < 200 - lost:
            assert time.monotonic() < until
            time.sleep(0.02)
        for _ in range(10):
            assert addresses(ask(server.port, "www.live.example.")) == ["192.0.2.80"]
            ask(server.port, "nowhere.live.example.")  # from loopback: never limited, only positives are counted
        metrics = admin.metrics()
        assert metrics["gslb_udp_receive_drops_total"] == lost
        assert metrics['gslb_rate_limited_total{action="dropped"}'] == 0
        assert "per_second" in next((server.state / "catalog").glob("*.json")).read_text()
