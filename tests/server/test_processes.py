"""The processes of a server: their start and end, their deaths, and what systemd has to do with it."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import dns.edns
import dns.message
import dns.query
from gslbtest.asking import addresses, ask
from gslbtest.process import SOON_S, command, free_port, running, wait_for_text
from gslbtest.serving import Server, serving, write_files

AGAIN_S = 5.0
"""After so long clients ask again."""


def arguments(folder: Path, **settings: object) -> list[str]:
    """A command line; what is not set goes to free ports and to ``folder``."""
    line = [command("gslb"), "serve", "--zones", str(folder / "zones"), "--data", str(folder / "data")]
    given = {"state": folder / "state", "listen": "127.0.0.1:0", "admin": "127.0.0.1:0"} | settings
    for name, value in given.items():
        line += [f"--{name.replace('_', '-')}", str(value)]
    return line


def refused(line: list[str]) -> str:
    done = subprocess.run(line, capture_output=True, text=True, timeout=SOON_S, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


def test_addresses_are_answered_on_and_nobody_elses(tmp_path: Path, small: dict[str, str]) -> None:
    port = free_port("::1")
    extra = ["--listen", f"[::1]:{port}", "--listen", f"0.0.0.0:{port}", "--workers", "2"]
    with serving(tmp_path, zones=small, arguments=extra) as server:
        for host in ("127.0.0.1", "127.0.0.2", "::1"):
            for tcp in (False, True):
                # dnspython refuses an answer from another address than it asked.
                for _ in range(4):
                    assert addresses(ask(port, "www.live.example.", host=host, tcp=tcp)) == ["192.0.2.80"]
        assert addresses(ask(server.port, "www.live.example.")) == ["192.0.2.80"]
        line = next(line for line in server.said().splitlines() if line.startswith("ready "))
        assert line.startswith(
            f"ready 127.0.0.1:{server.port} [::1]:{port} 0.0.0.0:{port} (UDP, TCP), admin 127.0.0.1:{server.admin}:"
            " 1 zones, 1 services, generation "
        )
        other = tmp_path / "other"
        assert refused(arguments(tmp_path)) == (
            f"gslb: the state directory {server.state} is in use by another server (process {server.process.pid})\n"
        )
        assert refused(arguments(tmp_path, state=other, listen=f"127.0.0.1:{server.port}")) == (
            f"gslb: cannot listen on 127.0.0.1:{server.port} (UDP): Address already in use\n"
        )
        assert refused(arguments(tmp_path, state=other, admin=f"127.0.0.1:{server.admin}")) == (
            f"gslb: cannot listen on 127.0.0.1:{server.admin} (TCP): Address already in use\n"
        )
    assert server.process.returncode == 0
    (tmp_path / "file").write_text("")
    assert refused(arguments(tmp_path, state=tmp_path / "file" / "state")) == (
        f"gslb: the state directory {tmp_path}/file/state cannot be used: Not a directory; name another by --state\n"
    )


def test_interrupting_the_whole_group_is_the_same(tmp_path: Path, small: dict[str, str]) -> None:
    """As Ctrl-C on a terminal does: every process gets the signal, and only the control process heeds it.

    Started as ``python -m gslb`` in a folder that has a gslb of its own: that does not stand in for the package.
    """
    write_files(tmp_path / "zones", small)
    write_files(tmp_path / "gslb", {"__init__.py": "raise SystemExit('not this one')\n"})
    line = [sys.executable, "-P", "-m", "gslb", *arguments(tmp_path)[1:]]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, start_new_session=True, text=True, cwd=tmp_path)
    assert process.stdout is not None
    ready = process.stdout.readline()
    assert ready.startswith("ready ")
    port = int(ready.split()[1].rpartition(":")[2])
    assert addresses(ask(port, "www.live.example.")) == ["192.0.2.80"]
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(SOON_S) == 0
    process.stdout.close()


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


def test_a_dead_worker_is_replaced(tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]) -> None:
    with serving(tmp_path, zones=small, arguments=["--workers", "2"]) as server:
        admin = admin_of(server)
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
        assert before[name] == 20
        assert after[name] >= 20 + len(asker.received)
        assert "worker died and is replaced" in server.said()


def test_the_only_worker_dies_and_then_the_control_process(
    tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]
) -> None:
    """Queries wait in the socket, which is the control process's, until the next worker answers them.

    Workers do not outlive the control process.
    """
    with serving(tmp_path, zones=small) as server:
        admin = admin_of(server)
        kill(admin.status()["workers"][0]["pid"])
        for tcp in (False, True):
            assert addresses(ask(server.port, "www.live.example.", tcp=tcp, again_s=AGAIN_S)) == ["192.0.2.80"]
        assert admin.status()["ready"]
        pid = admin.status()["workers"][0]["pid"]
        assert _runs(pid)
        server.process.kill()
        server.process.wait()
        until = time.monotonic() + SOON_S
        while _runs(pid):
            assert time.monotonic() < until
            time.sleep(0.02)


def test_the_only_worker_dies_when_its_catalog_file_has_gone(
    tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]
) -> None:
    """The control process holds the catalog, not its name."""
    with serving(tmp_path, zones=small) as server:
        pid = admin_of(server).status()["workers"][0]["pid"]
        shutil.rmtree(server.state / "catalog")
        kill(pid)
        for tcp in (False, True):
            assert addresses(ask(server.port, "www.live.example.", tcp=tcp, again_s=AGAIN_S)) == ["192.0.2.80"]
        [worker] = admin_of(server).status()["workers"]
        assert worker["restarts"] == 1
        assert _runs(worker["pid"])


def kill(pid: int) -> None:
    """Kill a worker. A thread of it may take a packet with it even now: clients ask again."""
    os.kill(pid, signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        return b"gslb.server.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _builds(pid: int) -> bool:
    """Whether a child of this process builds a catalog."""
    for found in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_child = f"\nPPid:\t{pid}\n" in (found / "status").read_text()
            if is_child and b"gslb.server.build" in (found / "cmdline").read_bytes():
                return True
    return False


def test_a_storm_of_malformed_packets(tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]) -> None:
    seeded = random.Random(53)
    good = dns.message.make_query("pull.live.example.", "A", use_edns=0, payload=1232).to_wire()
    with serving(tmp_path, zones=small) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        before = server.said()
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
        admin = admin_of(server)
        metrics = admin.metrics()
        assert metrics["gslb_engine_errors_total"] == 0
        assert metrics['gslb_replies_total{rcode="FORMERR",transport="udp"}'] > 100
        assert metrics["gslb_worker_restarts_total"] == 0
        assert server.said() == before  # not a line


class Manager:
    """A service manager's notification socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(str(path))
        self._sock.settimeout(SOON_S)

    def hears(self, start: str) -> str:
        """The next message that begins so; signs of life are passed over."""
        while (said := self._sock.recv(4096).decode()) == "WATCHDOG=1" != start:
            pass
        assert said.startswith(start), said
        return said

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()


def test_notify(tmp_path: Path, small: dict[str, str]) -> None:
    with Manager(tmp_path / "notify") as manager:
        env = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "200000"}
        with serving(tmp_path, zones=small, env=env) as server:
            said = manager.hears("READY=1\n")
            assert "STATUS=1 zones, 1 services, generation " in said
            assert f"MAINPID={server.process.pid}" in said
            assert manager.hears("WATCHDOG=1") == manager.hears("WATCHDOG=1")
            server.process.send_signal(signal.SIGHUP)
            manager.hears("RELOADING=1\nMONOTONIC_USEC=")
            manager.hears("READY=1\n")
            server.process.send_signal(signal.SIGTERM)
            manager.hears("STOPPING=1")


# Stands for the service manager: places the descriptors it was given at 3, 4, … and becomes the server.
ACTIVATE = """
import os, sys
fds = [int(text) for text in sys.argv[1].split(",")]
for number, fd in enumerate([os.dup2(fd, 100 + at) for at, fd in enumerate(fds)]):
    os.dup2(fd, 3 + number)
os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"] = str(os.getpid()), str(len(fds))
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_sockets_of_systemd(tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]) -> None:
    zones = write_files(tmp_path / "zones", small)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.create_server(("127.0.0.1", 0)) as tcp:
        udp.bind(("127.0.0.1", tcp.getsockname()[1]))
        port, admin_port = udp.getsockname()[1], free_port()
        # A query that came before the server did waits for it.
        early = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        early.settimeout(SOON_S)
        early.sendto(dns.message.make_query("www.live.example.", "A").to_wire(), ("127.0.0.1", port))
        fds = f"{udp.fileno()},{tcp.fileno()}"
        os.set_inheritable(udp.fileno(), True)
        os.set_inheritable(tcp.fileno(), True)
        line = [sys.executable, "-c", ACTIVATE, fds]
        line += arguments(tmp_path, admin=f"127.0.0.1:{admin_port}", workers=2)
        log = tmp_path / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(line, stdout=out, stderr=subprocess.STDOUT, close_fds=False)
        try:
            said = wait_for_text(process, log, "ready ")
            assert f"ready 127.0.0.1:{port} (UDP, TCP)" in said
            assert len(early.recv(2000)) > 12
            for over_tcp in (False, True):
                assert addresses(ask(port, "www.live.example.", tcp=over_tcp)) == ["192.0.2.80"]
            server = Server("127.0.0.1", port, admin_port, zones, zones, tmp_path / "state", log, process)
            admin = admin_of(server)
            os.kill(admin.status()["workers"][0]["pid"], signal.SIGKILL)
            assert addresses(ask(port, "www.live.example.", again_s=AGAIN_S)) == ["192.0.2.80"]
            admin.until(lambda status: all(worker["answering"] for worker in status["workers"]))
        finally:
            process.terminate()
            assert process.wait(SOON_S) == 0
            early.close()


def test_udp_alone_of_systemd(tmp_path: Path, small: dict[str, str]) -> None:
    write_files(tmp_path / "zones", small)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.set_inheritable(True)
        line = [sys.executable, "-c", ACTIVATE, str(udp.fileno()), *arguments(tmp_path)]
        process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, close_fds=False)
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith(f"ready 127.0.0.1:{udp.getsockname()[1]} (UDP), admin ")
        finally:
            process.terminate()
            assert process.wait(SOON_S) == 0
            process.stdout.close()


def test_a_log_nobody_reads_stops_nothing(
    tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]
) -> None:
    """Standard output and error are full: workers are replaced and files are read all the same."""
    zones = write_files(tmp_path / "zones", small)
    port, admin_port = free_port(), free_port()
    line = arguments(tmp_path, listen=f"127.0.0.1:{port}", admin=f"127.0.0.1:{admin_port}")
    with Path("/dev/full").open("wb") as full:
        process = subprocess.Popen(line, stdout=full, stderr=full)
    server = Server("127.0.0.1", port, admin_port, zones, zones, tmp_path / "state", Path("/dev/null"), process)
    admin = admin_of(server)
    try:
        until = time.monotonic() + SOON_S
        while not _accepts(admin_port):
            assert time.monotonic() < until
            time.sleep(0.02)
        pid = admin.until(lambda status: status["ready"])["workers"][0]["pid"]
        os.kill(pid, signal.SIGKILL)
        admin.until(lambda status: status["workers"][0]["answering"] and status["workers"][0]["pid"] != pid)
        for ttl_s in (1, 2):
            (zones / "live.yaml").write_text("zone: [\n")
            admin.until(lambda status: status["reload"]["state"] == "failed")
            (zones / "live.yaml").write_text(small["live.yaml"].replace("ttl: 300", f"ttl: {ttl_s}"))
            admin.until(lambda status, count=ttl_s + 1: status["reload"]["counts"]["applied"] == count)
            assert ask(port, "www.live.example.").answer[0].ttl == ttl_s
    finally:
        process.terminate()
        assert process.wait(SOON_S) == 0


def _accepts(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def test_a_descriptor_of_another_kind_is_refused(tmp_path: Path, small: dict[str, str]) -> None:
    write_files(tmp_path / "zones", small)
    line = [sys.executable, "-c", ACTIVATE, "0", *arguments(tmp_path)]
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SOON_S, check=False)
    assert done.returncode == 1
    assert done.stderr == "gslb: LISTEN_FDS: descriptor 3 is no socket (Socket operation on non-socket)\n"


def cookie_of(server: Server, sent: bytes) -> bytes:
    """The COOKIE option that comes back for the one sent: client and server part."""
    query = dns.message.make_query("www.live.example.", "A", use_edns=0)
    query.use_edns(0, options=[dns.edns.GenericOption(10, sent)])
    answer = dns.query.udp(query, "127.0.0.1", SOON_S, server.port)
    found = next(option for option in answer.options if int(option.otype) == 10)
    wire: bytes = found.to_wire()
    return wire


def test_cookie_secrets_are_read_again(
    tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]
) -> None:
    secrets = tmp_path / "secrets"
    secrets.write_text(f"{'1' * 32}\n")
    with serving(tmp_path, zones=small, arguments=["--cookie-secret-file", str(secrets)]) as server:
        admin = admin_of(server)
        first = cookie_of(server, b"clientxx")
        assert len(first) == 24
        cookie_of(server, first)
        assert admin.metrics()["gslb_cookies_valid_total"] == 1
        # Rotated: what the former secret made is still good, and what it is answered with is made by the new one.
        secrets.write_text(f"{'2' * 32}\n{'1' * 32}\n")
        server.process.send_signal(signal.SIGHUP)
        asked, until = 1, time.monotonic() + SOON_S
        while (second := cookie_of(server, first))[16:] == first[16:]:  # until the workers have the new ones
            asked += 1
            assert time.monotonic() < until
        assert admin.metrics()["gslb_cookies_valid_total"] == 1 + asked
        # A fault leaves the secrets as they are.
        secrets.write_text("nonsense\n")
        server.process.send_signal(signal.SIGHUP)
        admin.until(lambda _: "cookie secrets cannot be read, the former stay" in server.said())
        cookie_of(server, second)
        assert admin.metrics()["gslb_cookies_valid_total"] == 2 + asked
    secrets.write_text("")
    done = subprocess.run(
        arguments(tmp_path, cookie_secret_file=secrets), capture_output=True, text=True, timeout=SOON_S, check=False
    )
    assert (done.returncode, done.stderr) == (78, f"{secrets}:0:0: holds no cookie secret\n")


def test_sigterm_while_it_starts(tmp_path: Path, small: dict[str, str]) -> None:
    write_files(tmp_path / "zones", small)
    # A table that takes a while to read.
    table = tmp_path / "data" / "isp" / "big.csv"
    table.parent.mkdir(parents=True)
    rows = (f"10.{a}.{b}.0/24,AS{a + 1}\n" for a in range(256) for b in range(256))
    table.write_text("prefix,isp\n" + "".join(rows))
    log = tmp_path / "log"
    with running(arguments(tmp_path), log) as process:
        until = time.monotonic() + SOON_S
        while not (tmp_path / "state" / "lock").exists() and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SOON_S) == 0
    shutil.rmtree(tmp_path / "data")


def test_sigterm_while_apply_builds(tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]) -> None:
    with serving(tmp_path, zones=small) as server:
        admin = admin_of(server)
        admin.status()
        table = server.data / "isp" / "big.csv"
        table.parent.mkdir()
        rows = (f"10.{a}.{b}.0/24,AS{a + 1}\n" for a in range(256) for b in range(256))
        table.write_text("prefix,isp\n" + "".join(rows))
        found: list[tuple[int, bytes]] = []
        asking = threading.Thread(target=lambda: found.append(admin.ask("POST", "/v1/apply")))
        asking.start()
        until = time.monotonic() + SOON_S
        while not _builds(server.process.pid):
            assert time.monotonic() < until
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        asking.join(SOON_S)
        assert server.process.wait(SOON_S) == 0
        assert found == [(503, b'{"detail":"the server is ending"}')]
        assert "Traceback" not in server.said()


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
        for _ in range(10):
            assert addresses(ask(server.port, "www.live.example.")) == ["192.0.2.80"]
            ask(server.port, "nowhere.live.example.")  # from loopback: never limited, only positives are counted
        metrics = admin.metrics()
        assert metrics["gslb_udp_receive_drops_total"] == lost
        assert metrics['gslb_rate_limited_total{action="dropped"}'] == 0
        assert "per_second" in next((server.state / "catalog").glob("*.json")).read_text()
