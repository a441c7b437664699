"""A server and what started it: systemd, a terminal, one that reads no log; signals at any time, secrets read again."""

from __future__ import annotations

import contextlib
import os
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
from gslbtest.process import SOON_S, free_port, running, wait_for_text
from gslbtest.serving import ACTIVATE, Server, arguments, serving, write_files

AGAIN_S = 5.0
"""After so long clients ask again."""


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


def test_systemd(tmp_path: Path, small: dict[str, str], admin_of: Callable[[Server], Any]) -> None:
    """It hands over sockets, is told what happens, and a worker's death is none of its business."""
    zones = write_files(tmp_path / "zones", small)
    with contextlib.ExitStack() as stack:
        manager = stack.enter_context(Manager(tmp_path / "notify"))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        early = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp.bind(("127.0.0.1", tcp.getsockname()[1]))
        port, admin_port = udp.getsockname()[1], free_port()
        # A query that came before the server did waits for it.
        early.settimeout(SOON_S)
        early.sendto(dns.message.make_query("www.live.example.", "A").to_wire(), ("127.0.0.1", port))
        fds = f"{udp.fileno()},{tcp.fileno()}"
        os.set_inheritable(udp.fileno(), True)
        os.set_inheritable(tcp.fileno(), True)
        line = [sys.executable, "-c", ACTIVATE, fds]
        line += arguments(tmp_path, admin=f"127.0.0.1:{admin_port}", workers=2)
        log = tmp_path / "log"
        env = {**os.environ, "NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "200000"}
        with log.open("wb") as out:
            process = subprocess.Popen(line, stdout=out, stderr=subprocess.STDOUT, close_fds=False, env=env)
        try:
            told = manager.hears("READY=1\n")
            assert "STATUS=1 zones, 1 services, generation " in told
            assert f"MAINPID={process.pid}" in told
            assert manager.hears("WATCHDOG=1") == manager.hears("WATCHDOG=1")
            assert f"ready 127.0.0.1:{port} (UDP, TCP)" in wait_for_text(process, log, "ready ")
            assert len(early.recv(2000)) > 12
            for over_tcp in (False, True):
                assert addresses(ask(port, "www.live.example.", tcp=over_tcp)) == ["192.0.2.80"]
            server = Server("127.0.0.1", port, admin_port, zones, zones, tmp_path / "state", log, process)
            admin = admin_of(server)
            os.kill(admin.status()["workers"][0]["pid"], signal.SIGKILL)
            assert addresses(ask(port, "www.live.example.", again_s=AGAIN_S)) == ["192.0.2.80"]
            admin.until(lambda status: all(worker["answering"] for worker in status["workers"]))
            process.send_signal(signal.SIGHUP)
            manager.hears("RELOADING=1\nMONOTONIC_USEC=")
            manager.hears("READY=1\n")
        finally:
            process.terminate()
            assert process.wait(SOON_S) == 0
        manager.hears("STOPPING=1")


def test_interrupting_the_whole_group_is_the_same(tmp_path: Path, small: dict[str, str]) -> None:
    """As Ctrl-C on a terminal does: every process gets the signal, and only the control process heeds it.

    Started as ``python -m gslb`` in a folder that has a gslb of its own: that does not stand in for the package. It was
    given a socket for UDP alone.
    """
    write_files(tmp_path / "zones", small)
    write_files(tmp_path / "gslb", {"__init__.py": "raise SystemExit('not this one')\n"})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        port = udp.getsockname()[1]
        udp.set_inheritable(True)
        line = [sys.executable, "-P", "-m", "gslb", *arguments(tmp_path)[1:]]
        process = subprocess.Popen(
            [sys.executable, "-c", ACTIVATE, str(udp.fileno()), *line],
            stdout=subprocess.PIPE, start_new_session=True, text=True, cwd=tmp_path, close_fds=False,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"ready 127.0.0.1:{port} (UDP), admin ")
    assert addresses(ask(port, "www.live.example.")) == ["192.0.2.80"]
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(SOON_S) == 0
    process.stdout.close()


def test_a_descriptor_of_another_kind_is_refused(tmp_path: Path, small: dict[str, str]) -> None:
    write_files(tmp_path / "zones", small)
    line = [sys.executable, "-c", ACTIVATE, "0", *arguments(tmp_path)]
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SOON_S, check=False)
    assert done.returncode == 1
    assert done.stderr == "gslb: LISTEN_FDS: descriptor 3 is no socket (Socket operation on non-socket)\n"


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
        (zones / "live.yaml").write_text("zone: [\n")
        admin.until(lambda status: status["reload"]["state"] == "failed")
        (zones / "live.yaml").write_text(small["live.yaml"].replace("ttl: 300", "ttl: 1"))
        admin.until(lambda status: status["reload"]["counts"]["applied"] == 2)
        assert ask(port, "www.live.example.").answer[0].ttl == 1
    finally:
        process.terminate()
        assert process.wait(SOON_S) == 0


def _accepts(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


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
            time.sleep(0.02)
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


def _builds(pid: int) -> bool:
    """Whether a child of this process builds a catalog."""
    for found in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_child = f"\nPPid:\t{pid}\n" in (found / "status").read_text()
            if is_child and b"gslb.server.build" in (found / "cmdline").read_bytes():
                return True
    return False
