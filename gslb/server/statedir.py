"""The state directory's own files: the lock that keeps a second server out, and the tokens of the admin port."""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path

from gslb.errors import GslbError

LOCK = "lock"
TOKEN = "admin.token"
REPORT_TOKEN = "report.token"


def lock(state: Path) -> int:
    """Make ``state`` if need be and take it for this process; the descriptor holds the lock until it is closed.

    Raises `GslbError` where another server has it, or it cannot be written.
    """
    path = state / LOCK
    try:
        state.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise GslbError(
            f"the state directory {state} cannot be used: {error.strerror}; name another by --state"
        ) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.read(fd, 32).decode("ascii", "replace").strip()
        os.close(fd)
        raise GslbError(
            f"the state directory {state} is in use by another server" + (f" (process {owner})" if owner else "")
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def admin_token(state: Path) -> str:
    """The token of the admin port, made at the first start; readable by the server's user alone."""
    return _token(state / TOKEN)


def report_token(state: Path) -> str:
    """The token with which edges may push their reports over the admin port and do nothing else; as `admin_token`."""
    return _token(state / REPORT_TOKEN)


def _token(path: Path) -> str:
    try:
        token = path.read_text("ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):  # what is no token is made anew
        token = ""
    if token:
        return token
    token = secrets.token_hex(24)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        os.fchmod(fd, 0o600)
        file.write(token + "\n")
    return token
