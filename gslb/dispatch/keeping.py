"""What a dispatcher keeps in its state directory: its last plans and what rounds did.

``dispatch/plans/VERSION.plan`` is the SHA-256 of a published plan in hexadecimal, a line feed, and the plan as it was
published. ``dispatch/rounds.jsonl`` has a line of JSON for each round, the newest last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import zstandard

from gslb.errors import GslbError
from gslb.model.plan import Plan
from gslb.plan import published
from gslb.store.atomic import write_atomic

PLANS: Final = 100
ROUNDS: Final = 100
_SPARE: Final = 100  # the file of rounds is cut when so many more have been written


class Keeper:
    """Keeps them under ``state``."""

    def __init__(self, state: Path) -> None:
        self._plans = state / "dispatch" / "plans"
        self._rounds = state / "dispatch" / "rounds.jsonl"

    def keep(self, plan: Plan) -> None:
        """Keep a plan, and forget the oldest beyond `PLANS`. Raises `OSError`."""
        data, sha256 = published.write(plan)
        write_atomic(self._path(plan.version), [sha256.encode(), b"\n", data])
        for version in self.versions()[PLANS:]:
            self._path(version).unlink(missing_ok=True)

    def versions(self) -> list[str]:
        """Of the plans that are kept, newest first."""
        found = [(path.stat().st_mtime_ns, path.stem) for path in self._plans.glob("*.plan")]
        return [version for _, version in sorted(found, reverse=True)]

    def plan(self, version: str) -> Plan | None:
        """One of them; None where it is not kept. Raises `GslbError` where it is torn."""
        path = self._path(version)
        if not published.is_version(version) or not path.is_file():
            return None
        return read_plan(path)

    def newest(self) -> Plan | None:
        """The newest one that can be read."""
        for version in self.versions():
            try:
                return self.plan(version)
            except GslbError:
                continue
        return None

    def note(self, told: Mapping[str, Any]) -> None:
        """Write a line about a round. Raises `OSError`."""
        self._rounds.parent.mkdir(parents=True, exist_ok=True)
        with self._rounds.open("ab") as file:
            file.write(json.dumps(told, separators=(",", ":")).encode() + b"\n")
        lines = self._rounds.read_bytes().splitlines(keepends=True)
        if len(lines) > ROUNDS + _SPARE:
            write_atomic(self._rounds, lines[-ROUNDS:])

    def _path(self, version: str) -> Path:
        return self._plans / f"{version}.plan"


def read_plan(path: Path) -> Plan:
    """A plan from a file that `Keeper` wrote, or from JSON as `gslb plan show --json` prints it. Raises `GslbError`
    with the path and what is wrong."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise GslbError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        if content.lstrip().startswith(b"{"):
            data = zstandard.ZstdCompressor(level=1).compress(content)
            return published.read(data, hashlib.sha256(data).hexdigest())
        sha256, _, data = content.partition(b"\n")
        return published.read(data, sha256.decode("ascii", "replace"))
    except GslbError as error:
        raise GslbError(f"{path}: {error}") from None


def text_of(plan: Plan) -> str:
    """A plan as JSON, all of it; `read_plan` reads it back."""
    data, _ = published.write(plan)
    return zstandard.ZstdDecompressor().decompressobj().decompress(data).decode()
