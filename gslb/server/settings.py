"""Settings of a server: flags over `GSLB_*` variables over a TOML file.

What can change an answer is never here: that stands in `zones/`.
"""

from __future__ import annotations

import binascii
import difflib
import ipaddress
import re
import socket
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from gslb.errors import ConfigError, ConfigErrors, UsageError
from gslb.server.endpoint import Endpoint
from gslb.store import redis_url
from gslb.store.opening import MEMORY, check_url

DEFAULT_FILE = Path("/etc/gslb/gslb.toml")
SECRET_BYTES = 16
"""Length of a cookie secret: a SipHash key (RFC 9018 section 4.4)."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _endpoint(value: object) -> object:
    return value if isinstance(value, Endpoint) else Endpoint.parse(str(value))


def _listed(value: object) -> object:
    """A list is given as such in TOML and by repeated flags, and with commas in a variable."""
    return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _some(value: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    if not value:
        raise ValueError("at least one ADDRESS:PORT to listen on is needed")
    return value


def _network(value: object) -> object:
    return ipaddress.ip_network(value.strip()) if isinstance(value, str) else value


def _secret(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        secret = binascii.unhexlify(value.strip())
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise ValueError("a cookie secret is 32 hexadecimal digits")
    return secret


def _store(value: object) -> object:
    if isinstance(value, str):
        check_url(value)
    return value


def read_secrets(path: Path) -> tuple[bytes, ...]:
    """The cookie secrets of a file: one of 32 hex digits a line, the current one first, then those still accepted.

    Blank lines and ``#`` comments are left out. Raises `ConfigErrors` with each faulty line; no secret is ever quoted.
    """
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError as error:
        raise ConfigErrors([ConfigError(str(path), 0, 0, error.strerror or str(error))]) from None
    secrets, errors = [], []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            secrets.append(_secret(text))
        except ValueError as error:
            errors.append(ConfigError(str(path), number, 1, str(error)))
    if not secrets and not errors:
        errors.append(ConfigError(str(path), 0, 0, "holds no cookie secret"))
    if errors:
        raise ConfigErrors(errors)
    return tuple(secret for secret in secrets if isinstance(secret, bytes))


class Settings(BaseModel):
    """All settings, checked. Times in seconds, sizes in bytes; limits of TCP hold in each worker."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    zones: Path = Path("zones")
    data: Path = Path("data")
    state: Path = Path("/var/lib/gslb")
    listen: Annotated[
        tuple[Annotated[Endpoint, BeforeValidator(_endpoint)], ...], BeforeValidator(_listed), AfterValidator(_some)
    ] = (Endpoint("127.0.0.1", 5300),)
    admin: Annotated[Endpoint, BeforeValidator(_endpoint)] = Endpoint("127.0.0.1", 8053)
    store: Annotated[str, BeforeValidator(_store)] = "memory://"
    workers: int = Field(1, ge=1, le=64)
    server_id: str = Field(default_factory=socket.gethostname, min_length=1, max_length=255)
    debug_acl: Annotated[tuple[Annotated[Network, BeforeValidator(_network)], ...], BeforeValidator(_listed)] = (
        ipaddress.ip_network("127.0.0.0/8"),
        ipaddress.ip_network("::1/128"),
    )
    cookie_secret_file: Path | None = None
    cookie_secrets: Annotated[tuple[Annotated[bytes, BeforeValidator(_secret)], ...], BeforeValidator(_listed)] = ()
    tcp_connections: int = Field(1000, ge=1, le=100_000)
    tcp_per_client: int = Field(100, ge=1, le=100_000)
    tcp_idle_s: float = Field(10.0, ge=0.1, le=3600)
    query_log: int | None = Field(None, ge=0, le=1_000_000)
    query_log_dir: Path | None = None
    query_log_s: float = Field(15.0, ge=1, le=3600)
    query_log_rows: int = Field(500_000, ge=1000, le=10_000_000)
    query_log_bytes: int = Field(10_000_000_000, ge=1_000_000)
    query_log_free: int = Field(256 * 1024 * 1024, ge=0)
    receive_buffer: int = Field(4 * 1024 * 1024, ge=4096)
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def logged_one_in(self) -> int:
        """Of the questions, one in so many is logged, 0: none; all where they are to be written and nothing is said."""
        return self.query_log if self.query_log is not None else int(self.query_log_dir is not None)

    @property
    def shown_store(self) -> str:
        """The store's URL without what is secret in it."""
        return self.store if self.store == MEMORY else redis_url.parse(self.store).shown


def load(
    flags: Mapping[str, object], environ: Mapping[str, str], path: Path | None = None, default: Path = DEFAULT_FILE
) -> tuple[Settings, frozenset[str]]:
    """The settings, and the names of those that somebody gave.

    ``flags`` are keyed by setting name; None and empty lists mean not given, as do empty variables. ``path`` must exist
    when given (else `GSLB_CONFIG`, else ``default`` where there is one). Raises `UsageError` for a bad flag or
    variable, `ConfigErrors` with places for a bad file. Unknown `GSLB_*` variables are let be: a cluster may set some
    for reasons of its own.
    """
    if path is None and environ.get("GSLB_CONFIG"):
        path = Path(environ["GSLB_CONFIG"])
    if path is None and default.is_file():
        path = default
    text, values = _read_toml(path) if path else ("", {})
    origin = dict.fromkeys(values, "")
    for name in Settings.model_fields:
        variable = f"GSLB_{name.upper()}"
        if environ.get(variable):
            values[name], origin[name] = environ[variable], variable
        if flags.get(name) not in (None, [], ()):
            values[name], origin[name] = flags[name], f"--{name.replace('_', '-')}"
    try:
        return Settings.model_validate(values), frozenset(values)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
    given = [f"{source}: {_reason(fault)}" for fault in faults if (source := origin[str(fault["loc"][0])])]
    if given:
        raise UsageError("\n".join(given))
    raise ConfigErrors(
        ConfigError(str(path), *_place(text, str(fault["loc"][0])), _described(fault)) for fault in faults
    )


def _read_toml(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text("utf-8")
        return text, tomllib.loads(text)
    except OSError as error:
        raise ConfigErrors([ConfigError(str(path), 0, 0, error.strerror or str(error))]) from None
    except UnicodeDecodeError:
        raise ConfigErrors([ConfigError(str(path), 0, 0, "is not UTF-8 text")]) from None
    except tomllib.TOMLDecodeError as error:
        reason, _, place = str(error).partition(" (at ")
        found = re.match(r"line (\d+), column (\d+)", place)
        line, column = (int(found[1]), int(found[2])) if found else (text.count("\n") + 1, len(text) - text.rfind("\n"))
        raise ConfigErrors([ConfigError(str(path), line, column, reason)]) from None


def _place(text: str, key: str) -> tuple[int, int]:
    """Line and column of a top-level key; settings are flat, so its assignment or table header is the only one."""
    pattern = re.compile(rf"""^[ \t]*\[*[ \t]*(["']?{re.escape(key)}["']?)[ \t]*[\].=]""", re.MULTILINE)
    found = pattern.search(text)
    if found is None:
        return (0, 0)
    begin = found.start(1)
    return (text.count("\n", 0, begin) + 1, begin - text.rfind("\n", 0, begin))


def _described(fault: Mapping[str, Any]) -> str:
    name = str(fault["loc"][0])
    if fault["type"] != "extra_forbidden":
        return f"{name}: {_reason(fault)}"
    near = difflib.get_close_matches(name, Settings.model_fields, n=1)
    return f"unknown setting {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def _reason(fault: Mapping[str, Any]) -> str:
    text: str = fault["msg"].removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
