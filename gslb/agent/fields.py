"""What a text in the agent's file may mean: spans of time, URLs, host and port, a command."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

from gslb.zone import scalars
from gslb.zone.fields import Reads, Several
from gslb.zone.nodes import Text, quote

RTMP_PORT = 1935

_SPAN = r"(\d{1,9}(?:\.\d{1,6})?) ?(ms|s|m|h|)"
_UNIT_S = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?"


class Place(NamedTuple):
    """Where something listens, and the text that says so. ``url`` is empty where only a host and a port are named."""

    text: str
    host: str
    port: int
    url: str = ""

    @property
    def family(self) -> int:
        """4 or 6 where the host is an address, 0 where it is a name."""
        try:
            return ipaddress.ip_address(self.host).version
        except ValueError:
            return 0


def span(low_s: float, high_s: float) -> Callable[[object], float]:
    """A reader of spans of time, in seconds: ``200ms``, ``1.5s``, ``5m``, ``2``."""

    def read(value: object) -> float:
        found = re.fullmatch(_SPAN, value, re.ASCII) if isinstance(value, Text) else None
        if found is None:
            raise ValueError(f"{quote(value)} is not a span of time: a number with ms, s, m or h, such as 200ms or 5s")
        seconds = round(float(found[1]) * _UNIT_S[found[2]], 6)
        if not low_s <= seconds <= high_s:
            raise ValueError(f"{quote(value)} is not from {low_s:g} s to {high_s:g} s")
        return seconds

    return read


def url(value: object) -> Place:
    """A URL of HTTP or HTTPS."""
    if isinstance(value, Text) and re.fullmatch(r"https?://[!-~]+", value) and "\\" not in value:
        try:
            parts = urlsplit(str(value))
            host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
            sound = _is_host(host) and parts.username is None and not parts.fragment
        except ValueError:
            sound = False
        if sound:
            return Place(str(value), host, port, str(value))
    raise ValueError(f"{quote(value)} is not a URL such as http://127.0.0.1:8080/health")


def place(port: int = 0) -> Callable[[object], Place]:
    """A reader of HOST:PORT; ``port`` holds where none is written, unless it is 0."""

    def read(value: object) -> Place:
        found = re.fullmatch(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::(\d{1,5}))?", value) if isinstance(value, Text) else None
        if found is not None:
            host, number = found[1] or found[2] or "", int(found[3] or port)
            if _is_host(host) and (":" in host) == bool(found[1]) and 0 < number < 65536:
                return Place(str(value), host, number)
        raise ValueError(f"{quote(value)} is not HOST:PORT, such as 127.0.0.1:1935 or [::1]:1935")

    return read


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        # What looks like an IPv4 address and is none is not a name either.
        return bool(re.fullmatch(_HOST, text)) and not re.fullmatch(r"[\d.]+", text)
    return "%" not in text


def _as_command(words: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(words) == 1 and re.search(r"\s", words[0]):
        raise ValueError(f"{quote(words[0])} is one word; a command is a list of words, such as [cat, /run/load]")
    return words


_WORD = Reads(scalars.text, {"type": ["string", "number"]})
_TEXT = {"type": "string"}

Words = Annotated[tuple[str, ...], Several(_WORD, empty="an empty list names nothing; leave the key out")]
Command = Annotated[tuple[str, ...], Several(_WORD, _as_command, "an empty list names no program; leave the key out")]
Url = Annotated[Place | None, Reads(url, _TEXT)]
HostPort = Annotated[Place | None, Reads(place(), _TEXT)]
RtmpPlace = Annotated[Place | None, Reads(place(RTMP_PORT), _TEXT)]


def spans(low_s: float, high_s: float) -> Reads:
    """Spans of time from ``low_s`` to ``high_s`` seconds."""
    return Reads(span(low_s, high_s), _TEXT)
