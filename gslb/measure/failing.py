"""Where a run may be killed in tests: between all of its steps."""

from __future__ import annotations

import os
import signal
from typing import Final

VARIABLE: Final = "GSLB_FAILPOINT"
POINTS: Final = (
    "run-claimed",
    "bronze-linked",
    "bronze-part",
    "bronze-published",
    "silver-written",
    "silver-published",
    "gold-written",
    "gold-judged",
    "gold-lineage",
    "gold-published",
    "run-told",
    "compacted",
    "removed",
)


def failpoint(name: str) -> None:
    """End this process at once, as a power cut would, where the environment names this point."""
    if os.environ.get(VARIABLE) == name:
        os.kill(os.getpid(), signal.SIGKILL)
