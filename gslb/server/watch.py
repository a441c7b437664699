"""Tells when something under the watched directories may have changed: edits, atomic renames, ConfigMap symlinks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import structlog
import watchfiles

QUIET_MS = 100
"""Changes are told once nothing has changed for this long."""
LONGEST_MS = 2000
"""… and at the latest this long after the first."""
LOOK_MS = 2000
"""How often the directories themselves are looked at: a watch follows the directory, not its name."""
POLL_S = 10.0
"""How often readers are told to look for themselves where the system cannot watch."""


async def watch(paths: Sequence[Path], changed: Callable[[], None]) -> None:
    """Call ``changed`` after every change until cancelled; what has changed is for the reader to find out.

    A path that does not exist, or is a symlink that moves to another directory, is taken up when it appears. What
    changes while a watch is being set up is told too, within `LOOK_MS`.
    """
    log: Any = structlog.get_logger("gslb.watch")
    told = False
    while True:
        fresh, seen = True, _identities(paths)
        there = [path for path, identity in zip(paths, seen, strict=True) if identity]
        try:
            if not there:
                await asyncio.sleep(LOOK_MS / 1000)
            else:
                looks = watchfiles.awatch(
                    *there,
                    watch_filter=None,
                    debounce=LONGEST_MS,
                    step=QUIET_MS,
                    rust_timeout=LOOK_MS,
                    yield_on_timeout=True,
                )
                async with aclosing(looks):
                    async for changes in looks:
                        if changes or fresh:
                            changed()
                        fresh = False
                        if _identities(paths) != seen:
                            break
        except (OSError, RuntimeError) as error:
            # The limit of inotify watches is reached, or a directory went between looking and watching.
            if not told:
                log.warning("files cannot be watched and are looked at instead", error=str(error), every_s=POLL_S)
            told = True
            await asyncio.sleep(POLL_S)
        changed()


def _identities(paths: Sequence[Path]) -> list[tuple[int, int] | None]:
    found: list[tuple[int, int] | None] = []
    for path in paths:
        try:
            stat = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((stat.st_dev, stat.st_ino))
    return found
