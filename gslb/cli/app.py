"""All verbs in one application; the modules that hold them import nothing heavy."""

from __future__ import annotations

from typing import Annotated

import typer

from gslb.cli import agent, dispatch, drain, files, log, measure, override, plan, push, remote, serve, simulate, status

app = typer.Typer(
    name="gslb",
    help="An authoritative DNS server that steers live-stream viewers to the best edge.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ok, 1 errors found or failure, 2 usage, 78 no servable configuration at start.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from gslb import __version__

        print(f"gslb {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Options before the verb."""


app.command("serve")(serve.serve)
app.command("check")(files.check)
app.command("diff")(files.diff)
app.command("locate")(files.locate)
app.command("apply")(remote.apply)
app.command("explain")(remote.explain)
app.command("status")(status.status)
app.command("push")(push.push)
app.command("agent")(agent.agent)
app.command("drain")(drain.drain)
app.command("undrain")(drain.undrain)
app.add_typer(override.override, name="override")
app.add_typer(dispatch.dispatch, name="dispatch")
app.add_typer(measure.measure, name="measure")
app.add_typer(plan.plan, name="plan")
app.add_typer(log.log, name="log")
app.command("simulate")(simulate.simulate)
