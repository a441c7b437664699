"""``gslb dispatch``: demand in, published plan out."""

from __future__ import annotations

import typer

from gslb.cli import dispatching, solving

dispatch = typer.Typer(
    invoke_without_command=True,
    help="Publish a plan each round, from demand, capacity and cost; needs gslb\\[dispatch].",
)
dispatch.callback()(dispatching.dispatch)
dispatch.command("solve")(solving.solve)
