"""How daemons beside the servers come to their settings: flags over `GSLB_*` variables over a TOML file."""

from __future__ import annotations

import difflib
import ipaddress
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from gslb.errors import ConfigError, ConfigErrors, GslbError, UsageError

T = TypeVar("T")


def load(
    kind: type[T],
    read: Callable[[str, object], object],
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    path: Path | None,
    default: Path,
) -> T:
    """Settings of the dataclass ``kind``. ``flags`` are keyed by setting, None is not given. ``path`` must exist when
    given; else ``default`` is read where it is there. ``read`` makes the value of a setting out of what was told, and
    raises `ValueError` with the reason.

    Raises `UsageError` for flags and variables that cannot be used, all at once, `ConfigErrors` for a file that cannot
    be read.
    """
    if path is None and default.is_file():
        path = default
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # no dataclass is a type of its own
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
            found[name] = read(name, value)
        except ValueError as error:
            faults.append(f"{source}: {error}")
    if faults:
        raise UsageError("\n".join(faults))
    return kind(**found)


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


def text(value: object) -> str:
    """A text that is not empty. Raises `ValueError`."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is not a text")
    return value


def admin_token(token: str, state: Path) -> str:
    """The token of a server's admin port: ``token``, or where it is empty what stands in ``state``/admin.token. Raises
    `GslbError`."""
    if token:
        return token
    path = state / "admin.token"
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "holds other than ASCII characters"
        told = f"the admin token cannot be read: {path}: {reason}; set GSLB_ADMIN_TOKEN to that of the server"
        raise GslbError(told) from None


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
