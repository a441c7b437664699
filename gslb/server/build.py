"""The child process that builds: files → catalog file, compared with the base. Its result goes to standard output.

``python -m gslb.server.build ZONES DATA STATE [BASE]``. It is a process of its own so that a build of minutes never
holds up an answer, and so that the memory it took goes back.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from gslb.errors import ConfigError, ConfigErrors, Findings
from gslb.server.frames import RateLimit
from gslb.server.reload import Built
from gslb.server.status import Fault, Moved
from gslb.snapshot import compile, layout
from gslb.snapshot.catalog import Catalog
from gslb.snapshot.diff import diff
from gslb.store import files


class Meta(msgspec.Struct, frozen=True):
    """What belongs to a catalog but is no part of its arrays; lies beside it as JSON."""

    warnings: tuple[Fault, ...] = ()
    rate_limit: RateLimit | None = None


def build(zones: Path, data: Path, state: Path, base: Path | None) -> Built:
    """Build the catalog of the files as they are, or find it built; errors and warnings are part of the result."""
    sources = files.read_sources(zones, data)
    generation = sources.generation.hex()
    path = files.catalog_path(state, sources.generation)
    meta = read_meta(path) if files.read_catalog(path) is not None else None
    if meta is None:
        parsed = compile.read(sources.zone_files, sources.tables, sources.databases)
        arrays = compile.build(parsed)
        findings = parsed.findings
        if arrays is None or parsed.intent is None:
            return Built(generation, errors=faults(findings.errors), warnings=faults(findings.warnings))
        rate = parsed.intent.rate_limit
        meta = Meta(
            faults(findings.warnings),
            RateLimit(rate.per_second, rate.slip, rate.window_s, rate.allow) if rate else None,
        )
        # First what belongs to it: where the catalog is, that is too.
        files.write_atomic(_meta_path(path), [msgspec.json.encode(meta)])
        files.write_atomic(path, layout.pack(layout.CATALOG_MAGIC, sources.generation, arrays))
    return Built(generation, str(path), warnings=meta.warnings, moved=_moved(base, path))
