"""The chooser between the compiled path and the reference.

The law: ``fast(q) is MISS or fast(q) == engine(q)``, byte for byte, for the same snapshots, time and draw; None is an
answer too, and means that none is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np
import numpy.typing as npt

from gslb.errors import GslbError
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.layout import STEERING_WIDTH
from gslb.snapshot.steering import Steering

if TYPE_CHECKING:
    from gslb.answer._fast.reply import Snapshot

OFF_SWITCH: Final = "GSLB_NO_EXTENSIONS"
"""Environment variable; any value but empty and 0 keeps to the reference path."""


@final
class Miss:
    """The type of `MISS`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISS"


MISS: Final = Miss()
"""Not for this path: the engine answers."""


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment lets the compiled path be used."""
    return environment.get(OFF_SWITCH, "") in ("", "0")


def compiled(environment: Mapping[str, str]) -> tuple[type[Snapshot] | None, str]:
    """The compiled path, or None and why it is not to be used."""
    if not wanted(environment):
        return None, f"{OFF_SWITCH} is set"
    try:
        from gslb.answer._fast import reply
    except (ImportError, TypeError, ValueError) as error:  # absent, or modules of different versions
        return None, f"not compiled: {error}"
    if not reply.fits():
        return None, "compiled for another version of gslb; install it anew"
    return reply.Snapshot, ""


def check_pair(catalog: Catalog, steering: Steering) -> None:
    """Raise `GslbError` unless every row that a catalog's services may look at is a row of a steering.

    Where the engine would raise `IndexError`, the compiled path would read what lies behind the arrays.
    """
    known, arrays = catalog.arrays, steering.arrays
    rows, services = len(arrays["count"]), known["service"]
    policies = known["policy"][services["policy"]]
    first = arrays["service_row"] if len(arrays["service_row"]) else policies["row"]
    if not (
        len(arrays["flags"]) == rows
        and all(len(arrays[name]) == rows * STEERING_WIDTH for name in ("edge", "level", "weight", "reciprocal"))
        and len(first) == len(services)
        and 2 * (first.astype("u8") + policies["classes"]).max(initial=0) <= rows
        and arrays["count"].max(initial=0) <= STEERING_WIDTH
        and (not rows or arrays["edge"].max() < len(known["edge"]))
    ):
        raise GslbError("steering: it is not for this catalog")


def index4(arrays: Mapping[str, npt.NDArray[Any]]) -> tuple[npt.NDArray[np.uint32], int]:
    """Of every upper part of an IPv4 address and geometry, the first row that begins there or later; and the shift.

    The index is as long as the longest table, within bounds: then a search among what is left is short.
    """
    starts = arrays["row4_start"]
    counts = arrays["geometry"][["row4", "row4_count"]].tolist()
    bits = min(18, max(16, max((count for _, count in counts), default=0).bit_length() - 2))
    begins = np.arange((1 << bits) + 1, dtype=np.uint64) << np.uint64(32 - bits)
    found = [first + np.searchsorted(starts[first : first + rows].astype(np.uint64), begins) for first, rows in counts]
    return np.column_stack(found or [np.zeros(len(begins))]).astype(np.uint32).reshape(-1), 32 - bits
