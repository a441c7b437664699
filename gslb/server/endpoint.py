"""An address and a port, as settings name them and as sockets are bound; apart, so that workers load no settings."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and a port to listen on; ``str`` gives it as it is read: ``192.0.2.1:53``, ``[2001:db8::1]:53``."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Raises `ValueError` with the reason where ``text`` is not ADDRESS:PORT."""
        host, colon, port = text.strip().rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        try:
            address = ipaddress.ip_address(host[1:-1] if bracketed else host)
        except ValueError:
            address = None
        if not colon or address is None or bracketed != (address.version == 6):
            raise ValueError(f"{text!r} is not ADDRESS:PORT, such as 192.0.2.1:53 or [2001:db8::1]:53")
        if not (port.isascii() and port.isdigit() and int(port) <= 65535):
            raise ValueError(f"{text!r}: the port is not a number from 0 to 65535")
        return cls(str(address), int(port))

    @property
    def family(self) -> socket.AddressFamily:
        """AF_INET or AF_INET6."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
