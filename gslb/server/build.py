"""The child process that builds: files → catalog file, compared with the base. Its result goes to standard output.

``python -m gslb.server.build ZONES DATA STATE [BASE]``, BASE being the catalog file to compare with. It is a process of
its own so that a build of minutes never holds up an answer, and so that the memory it took goes back.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy.typing as npt

from gslb.errors import ConfigError, Findings, GslbError
from gslb.server.meta import Meta, RateLimit, read_meta
from gslb.server.status import Built, Fault, Moved
from gslb.snapshot import compile as compiling
from gslb.snapshot import layout
from gslb.snapshot.catalog import Draft
from gslb.snapshot.compile import Files
from gslb.snapshot.diff import diff
from gslb.store import atomic, files
from gslb.store.files import Sources


class Reading(NamedTuple):
    """All files, read and checked. `build` may find more faults than were there before it.

    ``unread`` is what could not be read of them, ``missing`` whether there were no zones to read.
    """

    unread: Findings
    missing: bool
    files: Files

    def build(self) -> Draft | None:
        """The catalog to be written, or None where there are errors."""
        made = None if self.unread.errors else compiling.draft(self.files)
        return None if self.errors else made

    @property
    def errors(self) -> list[ConfigError]:
        """Every error, sorted by place. Where there are no zones to read, what follows from that is left out."""
        return _sorted(self.unread.errors, [] if self.missing else self.files.findings.errors)

    @property
    def warnings(self) -> list[ConfigError]:
        """Every warning, sorted by place."""
        return _sorted(self.unread.warnings, self.files.findings.warnings)


def read(zones: Path, data: Path, state: Path | None = None) -> Reading:
    """Read the files as they are; ``state`` remembers what large ones hashed to."""
    return _reading(files.read_sources(zones, data, state=state), zones)


def _reading(sources: Sources, zones: Path) -> Reading:
    """What the files say, without their text: of large tables it would lie in memory all through the build."""
    found = compiling.read(sources.zone_files, sources.tables, sources.databases, zones_dir=str(zones))
    return Reading(sources.findings, bool(sources.findings.errors) and not sources.zone_files, found)


def build(zones: Path, data: Path, state: Path, base: Path | None) -> Built:
    """Build the catalog of the files as they are, or find it built; errors and warnings are part of the result.

    What acts on published plans alone is not looked at: a fault there must not hold up another edit.
    """
    sources = files.read_sources(zones, data, state=state).of_catalog()
    generation = sources.generation
    path = files.catalog_path(state, generation)
    meta = None
    if not sources.findings.errors and path.exists():
        with contextlib.suppress(GslbError):  # a torn one was set aside, and is built again
            files.read_catalog(path, set_aside=True)
            meta = read_meta(path)
    if meta is None:
        reading = _reading(sources, zones)
        del sources
        draft = reading.build()
        errors, warnings = _faults(reading.errors), _faults(reading.warnings)
        if draft is None or reading.files.intent is None:
            return Built(generation.hex(), errors=errors, warnings=warnings)
        rate = reading.files.intent.rate_limit
        limit = RateLimit(rate.per_second, rate.slip, rate.window_s, rate.allow) if rate else None
        meta = Meta(warnings, limit)
        del reading
        # Beside it first, then the catalog itself: whoever finds a catalog finds the rest.
        atomic.write_atomic(path.with_suffix(".json"), [msgspec.json.encode(meta)])
        files.write_catalog(state, generation, draft.sections, draft.rows)
        del draft
    return Built(generation.hex(), str(path), warnings=meta.warnings, moved=_moved(base, path) if base else ())


class _Sections(NamedTuple):
    """A catalog as a comparison needs it, mapped: of a large one few pages are looked at."""

    arrays: Mapping[str, npt.NDArray[Any]]


def _moved(base: Path, path: Path) -> tuple[Moved, ...]:
    """The services whose known clients the catalog in ``path`` moves, against the one in ``base``."""
    found = diff(_sections(base), _sections(path))
    return tuple(Moved(each.service, each.fraction, each.max_change) for each in found.services if each.fraction)


def _sections(path: Path) -> _Sections:
    """Not verified: ``base`` was before this process began, the new one was written, or read through, just now."""
    buffer = files.read_catalog(path, verify=False)
    return _Sections(layout.unpack(layout.CATALOG_MAGIC, buffer, verify=False)[1])


def _sorted(*parts: list[ConfigError]) -> list[ConfigError]:
    return sorted({error for part in parts for error in part}, key=ConfigError.place)


def _faults(errors: Iterable[ConfigError]) -> tuple[Fault, ...]:
    return tuple(Fault(*error.place()) for error in errors)


def main(argv: list[str]) -> int:
    """Print the result as JSON. Exit 0 also where the files have errors: they are a result."""
    os.nice(5)  # answers come first
    gc.disable()  # it ends before there is garbage worth looking for among a million prefixes
    zones, data, state, *base = map(Path, argv)
    result = build(zones, data, state, base[0] if base else None)
    sys.stdout.buffer.write(msgspec.json.encode(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
