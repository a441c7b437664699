"""Runs of measuring as lines for a person, while they go on and when they are done."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from gslb.cli.show_plan import table

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from gslb.measure.done import Done
    from gslb.measure.quality import Verdict


class Bar:
    """How far each step is: bars on a terminal, else a line when a step is done. On standard error."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            columns = TextColumn("{task.description:20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
            self._bars = Progress(*columns, console=Console(stderr=True))
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def step(self, name: str, done: int, of: int) -> None:
        """``done`` of ``of`` things of a step are done."""
        if self._quiet or not of:
            return
        if self._bars is None:
            if done == of:
                print(f"{name}: {of}", file=sys.stderr)
            return
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=of)
        self._bars.update(self._tasks[name], completed=done, total=of)


def told(done: Done, *, as_json: bool) -> None:
    """What a run did; what failed on standard error."""
    from gslb.measure.done import summary

    found = summary(done)
    if as_json:
        print(json.dumps(found))
        return
    print("\n".join(run_lines(found)))
    refused = [
        f"{source}: {each['file']}: refused: {each['reason']}"
        for source, taken in found["sources"].items()
        for each in taken["refused"]
    ]
    for line in (*found["faults"], *refused, *found["stopped"]):
        for each in line.splitlines():
            print(f"gslb: {each}", file=sys.stderr)


def run_lines(found: dict[str, Any]) -> list[str]:
    """A run, from its data."""
    rows = [("SOURCE", "FILES", "ROWS", "SLICES", "DUPLICATES", "REJECTED", "REFUSED")]
    for source, taken in found["sources"].items():
        built = found["built"].get(source, {"slices": 0, "rows": 0, "duplicates": 0, "rejected": {}})
        rejected = sum(taken["rejected"].values()) + sum(built["rejected"].values())
        numbers = (taken["files"], taken["rows"], built["slices"], built["duplicates"], rejected, len(taken["refused"]))
        rows.append((source, *map(str, numbers)))
    lines = [f"run       {found['run']}, {sum(found['seconds'].values()):.1f} s"]
    for name, until in (("demand", found["demand_until"]), ("live", found["demand_live_until"])):
        lines.append(f"{name:10}" + (f"until {until}" if until else "none"))
    gates = ", ".join(f"{count} {level}" for level, count in sorted(found["gates"].items()))
    lines += [f"gates     {gates or 'none'}", "", *table(rows, right=range(1, 7))]
    if found["tables"]:
        made = [("TABLE", "PIECES", "ROWS", "BYTES")]
        made += [
            (name, *(str(told[key]) for key in ("pieces", "rows", "bytes"))) for name, told in found["tables"].items()
        ]
        lines += ["", *table(made, right=range(1, 4))]
    return lines


def verdict_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """Verdicts under each other."""
    rows = [("TABLE", "GATE", "LEVEL", "VALUE", "LIMIT", "RUN", "")]
    rows += [
        (
            each.table,
            each.gate,
            each.level,
            "-" if each.value is None else f"{each.value:g}",
            f"{each.limit:g}",
            each.run,
            each.text,
        )
        for each in verdicts
    ]
    return table(rows, right=(3, 4))
