"""The catalogs of the state directory, for the control process: found, built by a child, remembered, pruned."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import structlog

from gslb.errors import GslbError
from gslb.server.meta import Meta, read_meta
from gslb.server.status import Built
from gslb.store import files

FORMER_BYTES = 256 << 20
"""Of former catalogs that are kept for the journal's past, the two newest aside."""
_ERROR_TAIL = 2000


class Kept(NamedTuple):
    """A whole catalog of the state directory."""

    generation: str
    path: Path
    meta: Meta


class Catalogs:
    """What ``zones`` and ``data`` come to, kept in ``state``."""

    def __init__(self, zones: Path, data: Path, state: Path) -> None:
        self._zones = zones
        self._data = data
        self._state = state
        self.served: Path | None = None
        """The catalog that answers, once there is one: what is built is compared with it."""
        self.unusable = ""
        """Why the catalog applied last could not be used, when that was so."""
        self._log: Any = structlog.get_logger("gslb.catalogs")

    def applied(self, *, verify: bool = True) -> Kept | None:
        """The catalog that was served last, where it is still whole; what is torn is set aside and told.

        ``verify`` False leaves the catalog's checksum to whoever reads it next.
        """
        try:
            generation = files.applied(self._state)
            if generation is None:
                return None
            path = files.catalog_path(self._state, generation)
            if verify:
                files.read_catalog(path, set_aside=True)
        except GslbError as error:
            self._unusable(str(error))
            return None
        meta = read_meta(path)
        if meta is None:
            self._unusable(f"{path.with_suffix('.json')}: not there")
            return None
        return Kept(generation.hex(), path, meta)

    def _unusable(self, reason: str) -> None:
        self.unusable = reason
        self._log.warning("the catalog applied last cannot be used", reason=reason)

    def _base(self) -> Path | None:
        """What to compare with: what answers, also where it could not be remembered, else what was applied last."""
        if self.served is None:
            kept = self.applied()
            return kept.path if kept else None
        try:
            files.read_catalog(self.served, set_aside=True)
        except GslbError as error:
            self._unusable(str(error))
            return None
        return self.served

    async def generation(self) -> str:
        """The generation of the files as they are."""
        sources = await asyncio.to_thread(files.read_sources, self._zones, self._data, state=self._state)
        return "" if sources.findings.errors else sources.generation.hex()

    async def build(self) -> Built:
        """Build the files as they are in a child process, against the catalog that answers or was applied last."""
        base = await asyncio.to_thread(self._base)
        arguments = [str(self._zones), str(self._data), str(self._state), *([str(base)] if base else [])]
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "gslb.server.build", *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            out, err = await child.communicate()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
            raise
        if child.returncode:
            said = err.decode("utf-8", "replace").strip()
            self._log.error("the build failed", exit_code=child.returncode, said=said[-_ERROR_TAIL:])
            last = said.splitlines()[-1] if said else ""
            if os.strerror(errno.ENOSPC) in last:
                last += f": {self._state}"  # the one place it writes to; the system's message names none
            raise GslbError(f"the build ended with exit code {child.returncode}{': ' if last else ''}{last}")
        return msgspec.json.decode(out, type=Built)

    def remember(self, built: Built) -> None:
        """The catalog is served: keep it as the base of what comes, and some that were served before.

        Raises `GslbError` where it cannot be kept. Others that cannot be deleted are no more than a warning.
        """
        generation = bytes.fromhex(built.generation)
        try:
            files.set_applied(self._state, generation)
        except OSError as error:
            raise GslbError(f"{self._state / 'applied'}: cannot be written: {error.strerror}") from None
        try:
            with contextlib.suppress(OSError):  # built long ago, it may be served again only now
                os.utime(files.catalog_path(self._state, generation))
            files.prune(self._state, [generation], spare_bytes=FORMER_BYTES)
            for path in (self._state / "catalog").glob("*.json"):
                if not path.with_suffix(".cat").exists():
                    path.unlink(missing_ok=True)
        except OSError as error:
            self._log.warning("former catalogs cannot be deleted", reason=str(error))
