"""How many examples a property is tried with: a share of them in the suite, all by `make soak`."""

from __future__ import annotations

import os

ALL = "GSLB_ALL_EXAMPLES"
"""Set by `make soak`: every property is tried with all its examples."""
SHARE = 8


def examples(count: int) -> int:
    """``count`` where all are wanted, else an eighth of them: the first ones, since examples are the same each time."""
    return count if os.environ.get(ALL) else -(-count // SHARE)
