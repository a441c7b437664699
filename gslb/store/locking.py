"""A folder that one process at a time works in."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from gslb.errors import GslbError


@contextlib.contextmanager
def alone_in(folder: Path, lock: str, otherwise: str) -> Iterator[None]:
    """Have ``folder``, which is made where it is missing, by the file ``lock`` in it, which the system lets go of when
    the process ends. Raises `GslbError` where another process has it, which ``otherwise`` tells, or it cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        at_hand = os.open(folder / lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise GslbError(f"{folder}: cannot be used: {error.strerror}") from None
    try:
        try:
            fcntl.flock(at_hand, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise GslbError(f"{folder}: {otherwise}") from None
        yield
    finally:
        os.close(at_hand)
