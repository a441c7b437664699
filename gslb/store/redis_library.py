"""The function library by which Redis is written to: its text, its version, and loading it where it is missing."""

from __future__ import annotations

import functools
import re
from importlib import resources
from pathlib import Path
from typing import Any, Final

from gslb.store.redis_reading import Command, Many, Refused

NAME: Final = "gslb"
FAULT_KEY: Final = f"function library {NAME}"
"""Stands for a key where it is told that nobody can write."""

_FILES: Final = ("gslb.lua", "plans.lua")  # one text for Redis, in this order
_SINCE: Final = {"gslb_report": 1, "gslb_override": 1}
"""The version as of which a function is what it is, where that is not the newest: who may not load the library goes on
calling an older one."""
_VERSION: Final = re.compile(rb"^local VERSION = (\d{1,6})$", re.MULTILINE)


@functools.cache
def text() -> bytes:
    """What Redis loads: gslb.lua, and plans.lua behind it."""
    return b"".join(path.read_bytes() for path in _paths())


def version(code: object) -> int:
    """The version that a library's text has; 0 where it has none."""
    found = _VERSION.search(code) if isinstance(code, bytes) else None
    return int(found[1]) if found else 0


@functools.cache
def needed() -> int:
    """The version of the text."""
    return version(text())


def call(function: str, key: str, *content: str | bytes | int) -> Command:
    """The command that writes ``content`` to ``key``."""
    return ("FCALL", function, 1, key, _SINCE.get(function, needed()), *content)


def is_missing(answer: Any) -> bool:
    """Whether a call was refused since the library is not there, or is older than this one."""
    return isinstance(answer, Refused) and (answer.code == "GSLBVERSION" or "Function not found" in str(answer))


async def load(many: Many) -> str:
    """Load the library. Empty, or why that cannot be and what to do."""
    (answer,) = await many([("FUNCTION", "LOAD", "REPLACE", text())])
    return advice(answer) if isinstance(answer, Refused) else ""


async def check(many: Many) -> str:
    """Load the library where it is missing or older. Empty where it is there, or where this user may not know; else
    why it is not and what to do."""
    (found,) = await many([("FUNCTION", "LIST", "LIBRARYNAME", NAME, "WITHCODE")])
    if isinstance(found, Refused):
        return "" if found.code == "NOPERM" else advice(found)
    code = dict(zip(found[0][::2], found[0][1::2], strict=True)).get(b"library_code") if found else None
    return await load(many) if version(code) < needed() else ""


def advice(refused: Refused) -> str:
    """What somebody has to do who may."""
    if "unknown command" in str(refused):
        return f"Redis 7.0 or newer is needed: {refused}"
    return (
        f"is missing or too old, and cannot be loaded from here ({refused}); load it as a user who may:"
        f" cat {' '.join(map(str, _paths()))} | redis-cli -x FUNCTION LOAD REPLACE"
    )


def _paths() -> list[Path]:
    folder = resources.files("gslb.store")
    return [Path(str(folder / name)) for name in _FILES]
