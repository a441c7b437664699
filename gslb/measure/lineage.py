"""What each run did: ``TABLES/runs/<run>.json`` from its begin on, and beside each table what its files were made of.

The name of a run says when it began, and which one it was of that second: it is claimed by making its file, so that no
two runs ever write files of one name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gslb import __version__
from gslb.measure import gold, silver
from gslb.measure.bronze import Entry
from gslb.measure.gold import Work
from gslb.measure.manifest import Piece, instant, run_time
from gslb.measure.publish import FOLDER, Published
from gslb.measure.quality import Verdict
from gslb.measure.silver import Built
from gslb.store.atomic import write_atomic

RUNNING: Final = "running"


def claimed(tables: Path, now_s: float) -> str:
    """The name of a new run. Raises `OSError`."""
    folder = tables / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        run = f"{run_time(now_s)}-{number}"
        try:
            at_hand = os.open(folder / f"{run}.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            number += 1
            continue
        with os.fdopen(at_hand, "wb") as file:
            file.write(_text({"run": run, "began": instant(int(now_s)), "state": RUNNING}))
        return run


def told(tables: Path, run: str, summary: Mapping[str, Any]) -> None:
    """Write what a run did, when it has ended. Raises `OSError`."""
    write_atomic(tables / "runs" / f"{run}.json", [_text(summary)])


def of_batch(engine: str, facts: str, built: Built, files: Sequence[Entry]) -> dict[str, Any]:
    """What a batch of silver was made of."""
    return {
        "engine": engine,
        "steps": silver.VERSION,
        "facts": facts,
        "source": built.source,
        "from": instant(built.batch.from_s),
        "until": instant(built.batch.until_s),
        "rows": built.rows,
        "duplicates": built.duplicates,
        "rejected": built.rejected,
        "landed": [{"name": each.landed, "rows": each.rows, "digest": f"{each.digest:032x}"} for each in files],
    }


def of_piece(engine: str, work: Work, tables: Mapping[str, Published], back_s: int) -> dict[str, Any]:
    """What a piece of gold was made of: pieces of silver from ``back_s`` on, whose own lineage says more."""
    inputs = {
        name: [
            {"files": piece.files, "rows": piece.rows, "run": piece.run, "units": piece.units, "counts": piece.counts}
            for piece in table.current.within(back_s, work.until_s)
        ]
        for name, table in tables.items()
    }
    return {
        "engine": engine,
        "steps": gold.VERSION,
        "from": instant(work.from_s),
        "until": instant(work.until_s),
        "inputs": inputs,
    }


def beside(table: Published, run: str, piece: Piece, of: Mapping[str, Any], verdicts: Sequence[Verdict]) -> None:
    """Write beside a table what a piece was made of, what it holds and how it was judged, before it is published.
    Raises `OSError`."""
    told = {
        "table": table.kind.name,
        "run": run,
        "version": __version__,
        **of,
        "made": {"files": piece.files, "rows": piece.rows, "bytes": piece.bytes},
        "gates": {verdict.gate: verdict.level for verdict in verdicts if verdict.table == table.kind.name},
    }
    write_atomic(table.folder / FOLDER / f"{table.stem(piece.units, run)}.json", [_text(told)])


def _text(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
