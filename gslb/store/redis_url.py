"""Where a Redis store is: its URL, taken apart.

``redis://[USER[:PASSWORD]@]HOST[:PORT][/DB]``, the same as ``rediss://`` over TLS, and
``redis+sentinel://[USER[:PASSWORD]@]HOST[:PORT],HOST[:PORT]…/SERVICE[/DB]``, where the hosts are Sentinels and SERVICE
is the name they know the primary by. Keys after ``?``: ``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile`` (paths) and
``ssl_check_hostname`` (true or false) over TLS; with Sentinels also ``tls`` (true: TLS to them and to Redis),
``sentinel_user`` and ``sentinel_password``. What is no letter or digit in a password is written as ``%2F``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

REDIS_PORT: Final = 6379
SENTINEL_PORT: Final = 26379

_MAX_HOSTS: Final = 16
_MAX_DB: Final = 1 << 20
_TLS_KEYS: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname")
_KEYS: Final = {
    "redis": (),
    "rediss": _TLS_KEYS,
    "redis+sentinel": ("tls", *_TLS_KEYS, "sentinel_user", "sentinel_password"),
}


SCHEMES: Final = tuple(_KEYS)


@dataclass(frozen=True, slots=True)
class Tls:
    """How TLS is spoken; paths are empty where the system's certificates do, and where none is shown."""

    ca_certs: str = ""
    certfile: str = ""
    keyfile: str = ""
    check_hostname: bool = True


@dataclass(frozen=True, slots=True)
class Address:
    """A URL, taken apart. ``shown`` names the store and holds no password. ``service`` is empty without Sentinels; with
    them ``hosts`` are theirs, else there is one."""

    shown: str
    hosts: tuple[tuple[str, int], ...]
    service: str = ""
    db: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    tls: Tls | None = None
    sentinel_user: str = ""
    sentinel_password: str = field(default="", repr=False)


def parse(url: str) -> Address:
    """Take a URL apart. Raises `ValueError` with the reason, which shows no password."""
    scheme = url.partition("://")[0]
    if scheme not in _KEYS or "://" not in url:
        raise ValueError("the URL of a Redis store begins with redis://, rediss:// or redis+sentinel://")
    try:
        split = urlsplit(url)
    except ValueError:
        raise ValueError(f"the {scheme}:// URL cannot be taken apart") from None
    if split.fragment:
        raise ValueError("a # in the URL's password is written as %23")
    login, _, places = split.netloc.rpartition("@")
    user, _, password = login.partition(":")
    sentinel = scheme == "redis+sentinel"
    hosts = tuple(_host(place, SENTINEL_PORT if sentinel else REDIS_PORT) for place in places.split(","))
    if len(hosts) > (_MAX_HOSTS if sentinel else 1):
        raise ValueError(f"{len(hosts)} hosts in the URL; at most {_MAX_HOSTS} Sentinels, or one Redis")
    service, db = _path(split, sentinel)
    query = _query(split, _KEYS[scheme])
    over_tls = scheme == "rediss" or (sentinel and _truth("tls", query, False))
    if not over_tls and any(key in query for key in _TLS_KEYS):
        raise ValueError("ssl_… needs TLS: add tls=true")
    named = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in hosts)
    return Address(
        shown=f"{scheme}://{named}" + (f"/{service}" if service else "") + (f"/{db}" if db else ""),
        hosts=hosts,
        service=service,
        db=db,
        user=unquote(user),
        password=unquote(password),
        tls=_tls(query) if over_tls else None,
        sentinel_user=query.get("sentinel_user", ""),
        sentinel_password=query.get("sentinel_password", ""),
    )


def _host(place: str, otherwise: int) -> tuple[str, int]:
    bracketed = place.startswith("[")
    host, _, port = place[1:].partition("]") if bracketed else place.partition(":")
    if bracketed:
        port = port.removeprefix(":")
    if not host or (not bracketed and ":" in port):
        raise ValueError("the URL names no host, or one that is not HOST, HOST:PORT or [IPv6]:PORT")
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0
    if port and not 0 < number < 65536:
        raise ValueError(f"the port of {host!r} is not a number from 1 to 65535")
    return host, number or otherwise


def _path(split: SplitResult, sentinel: bool) -> tuple[str, int]:
    parts = [unquote(part) for part in split.path.split("/")[1:]]
    service = ""
    if sentinel:
        service = parts.pop(0) if parts else ""
        if not service or not all("!" <= letter <= "~" for letter in service):
            raise ValueError("a redis+sentinel:// URL names the service after its hosts: …/SERVICE")
    db = parts.pop(0) if parts else ""
    if parts or (db and not (db.isascii() and db.isdigit() and len(db) <= 7 and int(db) <= _MAX_DB)):
        raise ValueError("what follows the host in the URL is not the number of a database")
    return service, int(db or "0")


def _query(split: SplitResult, known: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in parse_qsl(split.query, keep_blank_values=True, max_num_fields=64):
        if key not in known:
            said = f"the keys are {', '.join(known)}" if known else "such a URL has none; TLS is rediss://"
            raise ValueError(f"{key!r} is not known in a {split.scheme}:// URL; {said}")
        if key in found:
            raise ValueError(f"{key!r} stands twice in the URL")
        found[key] = value
    return found


def _tls(query: Mapping[str, str]) -> Tls:
    if query.get("ssl_keyfile") and not query.get("ssl_certfile"):
        raise ValueError("ssl_keyfile needs ssl_certfile")
    return Tls(
        ca_certs=query.get("ssl_ca_certs", ""),
        certfile=query.get("ssl_certfile", ""),
        keyfile=query.get("ssl_keyfile", ""),
        check_hostname=_truth("ssl_check_hostname", query, True),
    )


def _truth(key: str, query: Mapping[str, str], otherwise: bool) -> bool:
    value = query.get(key)
    if value not in (None, "true", "false"):
        raise ValueError(f"{key} is true or false")
    return otherwise if value is None else value == "true"
