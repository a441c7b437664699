"""Settings of measuring: flags over `GSLB_*` variables over a TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gslb.store import settings
from gslb.store.opening import check_url

DEFAULT_FILE: Final = Path("/etc/gslb/measure.toml")
ENGINES: Final = ("duckdb", "spark")
_PATHS: Final = ("log", "out", "zones", "data", "state", "scratch", "tokens")
_WHOLE: Final[Mapping[str, tuple[int, int]]] = {
    "memory_mb": (128, 1 << 20),
    "threads": (1, 1024),
    "batch_rows": (1, 10**10),
    "wait_s": (0, 3600),
    "keep_bronze_days": (1, 3650),
    "keep_silver_days": (1, 3650),
    "keep_gold_days": (1, 3650),
    "keep_quarantine_days": (1, 3650),
    "keep_lineage_days": (1, 3650),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. ``log`` is where sources land, ``out`` the folder of tables. ``store`` is where reports come from
    and the lease lies, empty: none; ``state`` and ``admin_token`` are for a store behind an admin port. ``listen`` is
    the port for delivery logs, ``tokens`` the file of who may send them; ``metrics`` where they are told; None:
    nowhere. ``wait_s`` is how long a bucket is waited for after it has ended; ``memory_mb`` and ``threads`` bound
    DuckDB, ``batch_rows`` what is built at once."""

    log: Path = Path("log")
    out: Path = Path("tables")
    zones: Path = Path("zones")
    data: Path = Path("data")
    state: Path = Path("/var/lib/gslb")
    store: str = ""
    admin_token: str = ""
    engine: str = "duckdb"
    scratch: Path | None = None
    memory_mb: int = 2048
    threads: int = 2
    batch_rows: int = 5_000_000
    wait_s: int = 20
    listen: tuple[str, int] | None = None
    tokens: Path | None = None
    metrics: tuple[str, int] | None = ("127.0.0.1", 8055)
    keep_bronze_days: int = 3
    keep_silver_days: int = 14
    keep_gold_days: int = 90
    keep_quarantine_days: int = 14
    keep_lineage_days: int = 90

    @property
    def scratch_path(self) -> Path:
        """Where engines keep what they are at work on."""
        return self.scratch if self.scratch is not None else self.out / "scratch"


def load(
    flags: Mapping[str, object], environ: Mapping[str, str], path: Path | None = None, default: Path = DEFAULT_FILE
) -> Settings:
    """The settings, as `gslb.store.settings.load` has them."""
    return settings.load(Settings, _read, flags, environ, path, default)


def _read(name: str, value: object) -> object:
    if name in _WHOLE:
        return _whole(value, *_WHOLE[name])
    if isinstance(value, Path) and name in _PATHS:
        return value
    told = settings.text(value)
    if name in _PATHS:
        return Path(told)
    if name in ("listen", "metrics"):
        return None if told == "none" else settings.endpoint(told)
    if name == "engine" and told not in ENGINES:
        raise ValueError(f"{told!r} is none of {', '.join(ENGINES)}")
    if name == "store" and not told.startswith("http://"):
        if told == "memory://":
            raise ValueError("the embedded store is inside of a server: its admin port is http://ADDR:PORT")
        check_url(told)
    return told


def _whole(value: object, least: int, most: int) -> int:
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()) or not least <= int(text[:20]) <= most:
        raise ValueError(f"{value!r} is not a whole number from {least} to {most}")
    return int(text)
