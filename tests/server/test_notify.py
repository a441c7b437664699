"""systemd's two protocols: what is told over NOTIFY_SOCKET, and which descriptors are taken from LISTEN_FDS."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from gslbtest.process import SOON_S

from gslb.server import notify
from gslb.server.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A service manager's socket and its name as NOTIFY_SOCKET has it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        name = f"@gslb-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
        sock.bind(name.replace("@", "\0"))
        sock.settimeout(SOON_S)
        yield sock, name


def test_messages(manager: tuple[socket.socket, str]) -> None:
    sock, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    for tell in (notifier.reloading, notifier.stopping, notifier.alive):
        tell()
    notifier.ready("serving 3 zones")
    notifier.status("draining")
    said = [sock.recv(1000).decode() for _ in range(5)]
    assert said[0].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert said[1:] == [
        "STOPPING=1",
        "WATCHDOG=1",
        f"READY=1\nSTATUS=serving 3 zones\nMAINPID={os.getpid()}",
        "STATUS=draining",
    ]
    assert notifier.watchdog_s is None


def test_a_manager_that_does_not_read_holds_nobody_up(
    manager: tuple[socket.socket, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel keeps some messages, about ten, and whoever sends more waits."""
    monkeypatch.setattr(notify, "PATIENCE_S", 0.01)
    sock, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    sending = threading.Thread(
        target=lambda: [notifier.alive() for _ in range(1000)] + [notifier.ready("")], daemon=True
    )
    sending.start()
    sending.join(SOON_S)
    assert not sending.is_alive()
    assert sock.recv(1000) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "10000000"}, 5.0),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "10000000", "WATCHDOG_PID": str(os.getpid())}, 5.0),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "1"}, None),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "10000000"}, None),
        ({}, None),
    ],
)
def test_watchdog(environ: dict[str, str], watchdog_s: float | None) -> None:
    notifier = Notifier(environ)
    assert notifier.watchdog_s == watchdog_s
    notifier.alive()  # nobody listens there: no harm


# What runs in a process of its own, because the descriptors are its 3, 4, …
TAKE = """
import os, sys
os.environ["LISTEN_PID"] = str(os.getpid() + int(os.environ.pop("OFF")))
from gslb.errors import GslbError
from gslb.server.notify import listen_fds
try:
    found = listen_fds(os.environ)
except GslbError as error:
    print(error)
else:
    print([(sock.type.name, sock.fileno(), sock.get_inheritable()) for sock in found])
print(sorted(key for key in os.environ if key.startswith("LISTEN_")))
"""


@pytest.mark.parametrize(
    ("kinds", "count", "off", "said"),
    [
        (["udp", "tcp"], "2", 0, "[('SOCK_DGRAM', 3, False), ('SOCK_STREAM', 4, False)]"),
        (["udp", "tcp"], "1", 0, "[('SOCK_DGRAM', 3, False)]"),
        (["udp"], "1", 1, "[]"),
        (["udp"], "x", 0, "[]"),
        ([], "0", 0, "[]"),
        (["null"], "1", 0, "LISTEN_FDS: descriptor 3 is no socket (Socket operation on non-socket)"),
        (["stream"], "1", 0, "LISTEN_FDS: descriptor 3 is neither a UDP socket nor a listening TCP socket"),
        (["unix"], "1", 0, "LISTEN_FDS: descriptor 3 is neither a UDP socket nor a listening TCP socket"),
    ],
)
def test_listen_fds(kinds: list[str], count: str, off: int, said: str) -> None:
    makers = {
        "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        "tcp": lambda: socket.create_server(("127.0.0.1", 0)),
        "stream": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "unix": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
        "null": lambda: Path("/dev/null").open("rb"),  # noqa: SIM115 closed below with the others
    }
    held = [makers[kind]() for kind in kinds]
    copies = [os.dup(each.fileno()) for each in held]
    high = [_to(fd, 20 + row) for row, fd in enumerate(copies)]

    def place() -> None:
        for row, fd in enumerate(high):
            os.dup2(fd, 3 + row)

    try:
        done = subprocess.run(
            [sys.executable, "-c", TAKE],
            env={**os.environ, "LISTEN_FDS": count, "LISTEN_FDNAMES": "a:b", "OFF": str(off)},
            preexec_fn=place,
            pass_fds=range(3, 3 + len(held)),
            capture_output=True,
            text=True,
            timeout=SOON_S,
            check=True,
        )
    finally:
        for fd in (*copies, *high):
            os.close(fd)
        for each in held:
            each.close()
    assert done.stdout == f"{said}\n[]\n"


def _to(fd: int, at: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD, at)
