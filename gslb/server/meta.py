"""What belongs to a catalog but is no part of its arrays: it lies beside the catalog's file as JSON."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gslb.server.status import Fault


class RateLimit(msgspec.Struct, frozen=True):
    """Response rate limiting, as `gslb.model.inventory.RateLimit`."""

    per_second: int
    slip: int
    window_s: int
    allow: tuple[str, ...]


class Meta(msgspec.Struct, frozen=True):
    """What belongs to a catalog but is no part of its arrays; it lies beside the catalog as JSON."""

    warnings: tuple[Fault, ...] = ()
    rate_limit: RateLimit | None = None


def read_meta(catalog: Path) -> Meta | None:
    """What lies beside a catalog file, or None where it is missing or torn; then the catalog is built again."""
    try:
        return msgspec.json.decode(catalog.with_suffix(".json").read_bytes(), type=Meta)
    except (OSError, msgspec.MsgspecError):
        return None
