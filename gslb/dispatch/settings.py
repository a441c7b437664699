"""Settings of a dispatcher: flags over `GSLB_*` variables over a TOML file.

What can change a plan stands in `zones/`.
"""

from __future__ import annotations

import difflib
import ipaddress
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from gslb.errors import ConfigError, ConfigErrors, GslbError
from gslb.store.opening import check_url

DEFAULT_FILE: Final = Path("/etc/gslb/dispatch.toml")
_PATHS: Final = ("zones", "data", "state", "demand", "demand_live")


class UsageError(GslbError):
    """A flag or a variable that cannot be used; the text names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. ``demand`` is the table of 300 s buckets, ``demand_live`` that of 60 s; ``metrics`` is where
    they are told, None: nowhere. ``admin_token`` is for a store behind an admin port."""

    zones: Path = Path("zones")
    data: Path = Path("data")
    state: Path = Path("/var/lib/gslb-dispatch")
    store: str = "memory://"
    demand: Path | None = None
    demand_live: Path | None = None
    metrics: tuple[str, int] | None = ("127.0.0.1", 8054)
    admin_token: str = ""

    @property
    def demand_path(self) -> Path:
        """The table of demand; demand.csv of the data where none is named."""
        return self.demand if self.demand is not None else self.data / "demand.csv"


def load(
    flags: Mapping[str, object], environ: Mapping[str, str], path: Path | None = None, default: Path = DEFAULT_FILE
) -> Settings:
    """The settings. ``flags`` are keyed by setting, None is not given. ``path`` must exist when given.

    Raises `UsageError` for flags and variables that cannot be used, all at once, `ConfigErrors` for a file that cannot
    be read.
    """
    if path is None and default.is_file():
        path = default
    names = [field.name for field in fields(Settings)]
    values: dict[str, tuple[str, object]] = {}
    if path is not None:
        told = _toml(path)
        unknown = [ConfigError(str(path), 0, 0, _unknown(name, names)) for name in told if name not in names]
        if unknown:
            raise ConfigErrors(unknown)
        values |= {name: (f"{path}: {name}", value) for name, value in told.items()}
    for name in names:
        variable = f"GSLB_{name.upper()}"
        if environ.get(variable):
            values[name] = variable, environ[variable]
        if name in flags and flags[name] is not None:
            values[name] = f"--{name.replace('_', '-')}", flags[name]
    found: dict[str, Any] = {}
    faults = []
    for name, (source, value) in values.items():
        try:
            found[name] = _read(name, value)
        except ValueError as error:
            faults.append(f"{source}: {error}")
    if faults:
        raise UsageError("\n".join(faults))
    return Settings(**found)


def endpoint(text: str) -> tuple[str, int]:
    """``ADDRESS:PORT`` → address and port. Raises `ValueError` with the reason."""
    host, _, port = text.strip().rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        address = None
    if address is None or (address.version == 6) != (bare != host):
        raise ValueError(f"{text!r} is not ADDRESS:PORT, such as 127.0.0.1:8054 or [::1]:8054")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise ValueError(f"{text!r}: the port is not a number from 0 to 65535")
    return str(address), int(port)


def _read(name: str, value: object) -> object:
    if isinstance(value, Path) and name in _PATHS:
        return value
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is not a text")
    if name in _PATHS:
        return Path(value)
    if name == "metrics":
        return None if value == "none" else endpoint(value)
    if name == "store" and not value.startswith("http://"):
        check_url(value)
    return value


def _unknown(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"unknown setting {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigErrors([ConfigError(str(path), 0, 0, error.strerror or str(error))]) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigErrors([ConfigError(str(path), 0, 0, str(error))]) from None
