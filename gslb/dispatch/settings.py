"""Settings of a dispatcher: flags over `GSLB_*` variables over a TOML file.

What can change a plan stands in `zones/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gslb.store import settings
from gslb.store.opening import check_url

DEFAULT_FILE: Final = Path("/etc/gslb/dispatch.toml")
_PATHS: Final = ("zones", "data", "state", "demand", "demand_live")


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
    """The settings, as `gslb.store.settings.load` has them."""
    return settings.load(Settings, _read, flags, environ, path, default)


def _read(name: str, value: object) -> object:
    if isinstance(value, Path) and name in _PATHS:
        return value
    told = settings.text(value)
    if name in _PATHS:
        return Path(told)
    if name == "metrics":
        return None if told == "none" else settings.endpoint(told)
    if name == "store" and not told.startswith("http://"):
        check_url(told)
    return told
