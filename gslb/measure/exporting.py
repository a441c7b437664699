"""What was learned, as the files that servers read: `resolvers.csv`."""

from __future__ import annotations

import io
import os
from typing import Final

from gslb.errors import Findings, GslbError
from gslb.geo.tables import RESOLVER_COLUMNS, read_resolvers
from gslb.measure import footers, process
from gslb.measure.publish import RESOLVERS, Published
from gslb.measure.settings import Settings
from gslb.model import records
from gslb.tables.learned import COLUMNS, learned

NAME: Final = "resolvers.csv"


def resolvers(settings: Settings, hours: int) -> bytes:
    """The text of `resolvers.csv` by the newest ``hours`` of the table, sorted; it was read as a server reads it.
    Raises `GslbError` where there is nothing yet, `ConfigErrors` where a server would not take it."""
    table = Published(settings.out, RESOLVERS)
    newest_s = max(table.current.units(), default=0)
    if not newest_s:
        raise GslbError(f"{table.folder}: no resolver was learned yet: gslb measure run")
    from_s, until_s = newest_s - (hours - 1) * records.HOUR_S, newest_s + records.HOUR_S
    with process.engine(settings) as engine:
        folder = settings.scratch_path / "resolvers"
        written = engine.write(learned(table.read(engine, from_s, until_s)), folder, f"learned-{os.getpid()}")
        paths = [folder / each.name for each in written]
        rows = sorted(row for path in paths for row in footers.rows(path, tuple(COLUMNS)))
        for path in paths:
            path.unlink()
    text = io.StringIO()
    text.write(",".join(RESOLVER_COLUMNS) + "\n")
    for resolver, client, share in rows:
        text.write(f"{resolver},{client},{share:.6f}\n")
    content = text.getvalue().encode()
    findings = Findings()
    read_resolvers(NAME, content, findings)
    findings.raise_if_any()
    return content
