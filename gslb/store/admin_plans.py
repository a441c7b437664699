"""Plans, leases and freezes as a server's admin port tells them."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from gslb.model.jsontext import decoded
from gslb.model.plan import Plan
from gslb.store.interface import Freeze, Lease

CURRENT: Final = "current"
"""Stands for the version that counts."""


class Kept(NamedTuple):
    """What ``GET /v1/plans`` replies: the versions that are kept, newest first, and the freeze that acts."""

    versions: tuple[str, ...]
    frozen: Freeze | None


def read_kept(body: bytes) -> Kept:
    """The reply to ``GET /v1/plans``. Raises `ValueError` with the reason where it is none."""
    told: Any = decoded(body)
    try:
        versions, found = told["versions"], told["frozen"]
        if not isinstance(versions, list) or not all(isinstance(each, str) for each in versions):
            raise ValueError("not a list of plans")
        frozen = None
        if found is not None:
            frozen = Freeze(int(found["until_ms"]), str(found["author"]), str(found["reason"]))
    except (ValueError, KeyError, TypeError, IndexError):
        raise ValueError("not a list of plans") from None
    return Kept(tuple(versions), frozen)


def read_lease(body: bytes) -> Lease:
    """The reply to ``PUT /v1/leases/NAME``. Raises `ValueError` with the reason where it is none."""
    told: Any = decoded(body)
    try:
        return Lease(int(told["token"]), str(told["holder"]), int(told["left_ms"]))
    except (ValueError, KeyError, TypeError, IndexError):
        raise ValueError("not a lease") from None


def read(data: bytes, sha256: str) -> Plan:
    """A plan that a server replied. Raises `GslbError`."""
    from gslb.plan import published  # most who write through the port have no plans to read

    return published.read(data, sha256)


def write(plan: Plan) -> tuple[bytes, str]:
    """A plan as it is sent. Raises `GslbError`."""
    from gslb.plan import published

    return published.write(plan)
