"""The child process that builds: files → catalog file, compared with the base. Its result goes to standard output.

``python -m gslb.server.build ZONES DATA STATE [BASE]``, BASE being the catalog file to compare with. It is a process of
its own so that a build of minutes never holds up an answer, and so that the memory it took goes back.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy.typing as npt

from gslb.errors import ConfigError, GslbError
from gslb.server.meta import Meta, RateLimit, read_meta
from gslb.server.status import Built, Fault, Moved
from gslb.snapshot import compile as compiling
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.compile import Files
from gslb.snapshot.diff import diff
from gslb.store import files
from gslb.store.files import Sources


class Reading(NamedTuple):
    """All files, read and checked. `build` may find more faults than were there before it."""

    sources: Sources
    files: Files

    def build(self) -> dict[str, npt.NDArray[Any]] | None:
        """The sections of the catalog, or None where there are errors."""
        arrays = None if self.sources.findings.errors else compiling.build(self.files)
        return None if self.errors else arrays

    @property
    def errors(self) -> list[ConfigError]:
        """Every error, sorted by place. Where there are no zones to read, what follows from that is left out."""
        missing = self.sources.findings.errors and not self.sources.zone_files
        return _sorted(self.sources.findings.errors, [] if missing else self.files.findings.errors)

    @property
    def warnings(self) -> list[ConfigError]:
        """Every warning, sorted by place."""
        return _sorted(self.sources.findings.warnings, self.files.findings.warnings)


def read(zones: Path, data: Path, state: Path | None = None) -> Reading:
    """Read the files as they are; ``state`` remembers what large ones hashed to."""
    return _reading(files.read_sources(zones, data, state=state), zones)


def _reading(sources: files.Sources, zones: Path) -> Reading:
    return Reading(sources, compiling.read(sources.zone_files, sources.tables, sources.databases, zones_dir=str(zones)))


def build(zones: Path, data: Path, state: Path, base: Path | None) -> Built:
    """Build the catalog of the files as they are, or find it built; errors and warnings are part of the result."""
    sources = files.read_sources(zones, data, state=state)
    generation = sources.generation.hex()
    path = files.catalog_path(state, sources.generation)
    meta = None
    if not sources.findings.errors and path.exists():
        with contextlib.suppress(GslbError):  # a torn one was set aside, and is built again
            files.read_catalog(path, set_aside=True)
            meta = read_meta(path)
    if meta is None:
        reading = _reading(sources, zones)
        arrays = reading.build()
        errors, warnings = _faults(reading.errors), _faults(reading.warnings)
        if arrays is None or reading.files.intent is None:
            return Built(generation, errors=errors, warnings=warnings)
        rate = reading.files.intent.rate_limit
        limit = RateLimit(rate.per_second, rate.slip, rate.window_s, rate.allow) if rate else None
        meta = Meta(warnings, limit)
        # Beside it first, then the catalog itself: whoever finds a catalog finds the rest.
        files.write_atomic(path.with_suffix(".json"), [msgspec.json.encode(meta)])
        files.write_catalog(state, sources.generation, arrays)
    return Built(generation, str(path), warnings=meta.warnings, moved=_moved(base, path) if base else ())


def _moved(base: Path, path: Path) -> tuple[Moved, ...]:
    """The services whose known clients the catalog in ``path`` moves, against the one in ``base``."""
    found = diff(_catalog(base), _catalog(path))
    return tuple(Moved(each.service, each.fraction, each.max_change) for each in found.services if each.fraction)


def _catalog(path: Path) -> Catalog:
    return Catalog(files.read_catalog(path), verify=False)


def _sorted(*parts: list[ConfigError]) -> list[ConfigError]:
    return sorted({error for part in parts for error in part}, key=ConfigError.place)


def _faults(errors: Iterable[ConfigError]) -> tuple[Fault, ...]:
    return tuple(Fault(*error.place()) for error in errors)


def main(argv: list[str]) -> int:
    """Print the result as JSON. Exit 0 also where the files have errors: they are a result."""
    os.nice(5)  # answers come first
    zones, data, state, *base = map(Path, argv)
    result = build(zones, data, state, base[0] if base else None)
    sys.stdout.buffer.write(msgspec.json.encode(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
