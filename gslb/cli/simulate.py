"""The verb ``simulate``: policies side by side in a made-up world."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gslb.errors import ConfigError, GslbError

if TYPE_CHECKING:  # imported by the verb
    from gslb.simulate.comparing import Progress
    from gslb.simulate.scenario import Scenario


def simulate(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO.yaml", help="What the world is and what happens in it")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="The report, and FILE.json beside it; default: only print"),
    ] = None,
    mapping: Annotated[
        bool, typer.Option("--mapping", help="Only compare mapping with Client Subnet and without")
    ] = False,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes that policies are run in", show_default="one for each CPU")
    ] = os.cpu_count() or 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Run nearest, geo-weighted round robin, local spill and plans in one world with the same viewers.

    The same scenario gives the same numbers. Needs gslb\\[dispatch].
    """
    try:
        _simulate(scenario, out, mapping, processes, as_json)
    except ModuleNotFoundError as error:
        raise GslbError(f"simulate needs {error.name}: install gslb[dispatch]") from None


def _simulate(path: Path, out: Path | None, mapping: bool, processes: int, as_json: bool) -> None:
    from gslb.dispatch.solver import check_installed
    from gslb.simulate import comparing, report
    from gslb.simulate.importing import world_of
    from gslb.simulate.mapping import of_scenario, table
    from gslb.simulate.scenario import read_scenario

    check_installed()
    scenario = read_scenario(str(path), _content(path))
    notes = table(of_scenario(scenario, str(path))) if mapping or scenario.mapping is not None else []
    if mapping:
        print("\n".join(notes))
        return
    world = world_of(scenario, str(path), lambda name: _content(path.parent / name))
    with _bar(scenario) as progress:
        records = comparing.compare(scenario, world, processes, progress)
    text = report.as_json(scenario, world, records) if as_json or out is not None else ""
    if out is not None:
        from gslb.simulate.plots import plots

        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(report.as_html(scenario, world, records, plots(records), notes), "utf-8")
        out.with_suffix(".json").write_text(text + "\n", "utf-8")
    if as_json:
        print(text)
        return
    print("\n".join([*report.lines(scenario, records), *([""] if notes else []), *notes]))
    if out is not None:
        print(f"report: {out}, {out.with_suffix('.json')}")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(str(path), 0, 0, error.strerror or str(error)) from None


@contextmanager
def _bar(scenario: Scenario) -> Iterator[Progress]:
    """How far each policy is, where standard error is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<16}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    shown = Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), disable=not sys.stderr.isatty())
    total = scenario.warmup_s + scenario.duration_s
    with shown:
        tasks = {name: shown.add_task(name, total=total) for name in scenario.policies}
        yield lambda name, now_s: shown.update(tasks[name], completed=now_s)
