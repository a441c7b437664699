"""Processes that tests start: free ports, waiting for a word or a port, and an orderly end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

SOON_S = 60.0
"""How long a test waits for what should take a moment: generous, so that a busy machine fails no test."""
START_S = SOON_S
STOP_S = SOON_S


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free for UDP and for TCP at this moment."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(100):
        with socket.socket(family, socket.SOCK_STREAM) as tcp, socket.socket(family, socket.SOCK_DGRAM) as udp:
            tcp.bind((host, 0))
            port = int(tcp.getsockname()[1])
            try:
                udp.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free for both UDP and TCP")


def command(name: str) -> str:
    """The path of a script that lies beside the running Python, such as ``gslb``."""
    return str(Path(sys.executable).with_name(name))


def program(name: str) -> str:
    """The path of a system program, /usr/sbin included. A missing one fails the test: make test installs it."""
    for directory in [*os.environ.get("PATH", "").split(":"), "/usr/sbin", "/sbin"]:
        if os.access(path := Path(directory, name), os.X_OK):
            return str(path)
    raise AssertionError(f"{name} is not installed; `make packages` installs what the tests need")


@contextlib.contextmanager
def running(
    arguments: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose standard output and error go to the file ``log``; ended by SIGTERM, at last by SIGKILL."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, **(env or {})},
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> int:
    """Ask the process to end, wait, and give its exit code; one that does not end in time is killed."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


def wait_for_text(process: subprocess.Popen[bytes], log: Path, text: str) -> str:
    """What the log holds once ``text`` stands in it; fails with the whole log where the process ends before."""
    until = time.monotonic() + START_S
    while text not in (said := log.read_text(errors="replace")):
        assert process.poll() is None, f"{process.args} ended with {process.returncode}:\n{said}"
        assert time.monotonic() < until, f"{process.args} did not say {text!r} in {START_S} s:\n{said}"
        time.sleep(0.02)
    return said


def wait_for_tcp(process: subprocess.Popen[bytes], log: Path, port: int, host: str = "127.0.0.1") -> None:
    """Return once something accepts connections on the port; fails with the log where the process ends before."""
    until = time.monotonic() + START_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
            return
        said = log.read_text(errors="replace")
        assert process.poll() is None, f"{process.args} ended with {process.returncode}:\n{said}"
        assert time.monotonic() < until, f"nothing listens on port {port} after {START_S} s:\n{said}"
        time.sleep(0.02)
