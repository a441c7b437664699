"""What systemd asks of a service: readiness messages over NOTIFY_SOCKET, and sockets handed over as LISTEN_FDS."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, MutableMapping

from gslb.errors import GslbError

FIRST_FD = 3
"""Where handed-over descriptors begin (sd_listen_fds(3))."""
PATIENCE_S = 1.0
"""How long a manager may take to make room for `Notifier.ready`, which it waits for; of the rest the next will do."""


class Notifier:
    """Sends state to the service manager (sd_notify(3)); without NOTIFY_SOCKET it does nothing.

    ``watchdog_s`` is the interval at which the manager wants to hear `alive`, halved for safety, or None.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        usec = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(usec) / 2e6 if usec.isdigit() and int(usec) and ours and address else None

    def ready(self, status: str) -> None:
        """Start-up, or a reload, is over."""
        self._send(f"READY=1\nSTATUS={status}\nMAINPID={os.getpid()}", PATIENCE_S)

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The service goes down."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={text}")

    def alive(self) -> None:
        """The watchdog's sign of life."""
        self._send("WATCHDOG=1")

    def _send(self, message: str, patience_s: float = 0.0) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.settimeout(patience_s)
            try:
                sock.sendto(message.encode(), self._address)
            except OSError:
                return  # a manager that does not listen, or does not read, is no reason to stop answering


def listen_fds(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """The sockets that the service manager hands over (sd_listen_fds(3)); its variables are taken away.

    Raises `GslbError` for a descriptor that is neither a UDP socket nor a listening TCP socket.
    """
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    sockets = []
    for fd in range(FIRST_FD, FIRST_FD + int(count)):
        try:
            os.set_inheritable(fd, False)
            sock = socket.socket(fileno=fd)
            stream = sock.type == socket.SOCK_STREAM
            listening = stream and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError as error:
            raise GslbError(f"LISTEN_FDS: descriptor {fd} is no socket ({error.strerror})") from None
        if sock.family not in (socket.AF_INET, socket.AF_INET6) or not (listening or sock.type == socket.SOCK_DGRAM):
            raise GslbError(f"LISTEN_FDS: descriptor {fd} is neither a UDP socket nor a listening TCP socket")
        sockets.append(sock)
    return sockets
